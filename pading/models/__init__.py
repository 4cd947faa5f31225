"""The systems, and the contract that each keeps."""
