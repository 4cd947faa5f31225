#!/usr/bin/env python3
"""Compare our models with recordings of the published code.

    python tools/check_parity.py RECORDING.npz ... --output parity.json

A recording holds weights under published names, the published options, an image, and what the
published code made of them. The model is built from the options, its weights are loaded as any
published checkpoint is, and everything recorded is compared; nothing is skipped in silence. The
exit status is 1 where a tolerance is exceeded or an array is not known.
"""

import argparse
import sys
from pathlib import Path

import checkout_path  # noqa: F401
from tqdm import tqdm

from pading.errors import InputError, exit_on_input_error
from pading.files import write_json
from research.parity.check import check_recording


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recordings", type=Path, nargs="+", help=".npz files")
    parser.add_argument("--output", type=Path, help="JSON file to write the differences to")
    parser.add_argument(
        "--draws", type=int, default=48, help="random draws of the losses (default: 48)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of these draws (default: 0)")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if args.draws < 2:
        raise InputError(f"--draws {args.draws}: at least 2 are needed for a standard error")
    reports = []
    for path in tqdm(args.recordings, desc="recordings", disable=None):
        reports.append(check_recording(path, args.draws, args.seed))
        tqdm.write(reports[-1].table() + "\n")
    if args.output:
        write_json(args.output, {r.path: r.as_json() for r in reports}, indent=1)
        print(f"written to {args.output}")
    failed = [report.path for report in reports if not report.passed]
    if failed:
        print(f"differs from the published code: {', '.join(failed)}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    exit_on_input_error(main)
