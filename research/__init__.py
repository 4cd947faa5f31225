"""What only we use: ablation and parity with recordings. Not part of the wheel."""
