"""Lets a script import ``research``, which is part of the checkout and not installed."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
