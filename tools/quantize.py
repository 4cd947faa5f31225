#!/usr/bin/env python3
"""``pading quantize``, for a checkout."""

from pading.commands import run

if __name__ == "__main__":
    run("quantize")
