#!/usr/bin/env python3
"""``pading prepare shapes``, for a checkout."""

from pading.data.preparation.shapes import main
from pading.errors import exit_on_input_error

if __name__ == "__main__":
    exit_on_input_error(main)
