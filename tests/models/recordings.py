"""Where the project is, and the recordings of the published code in the reference data."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MASK2FORMER = ("mask2former_resnet", "mask2former_swin")
PADING = "pading_stage2"
