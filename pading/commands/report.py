"""Make a report of a run, or of several beside each other: one HTML file that opens anywhere.

    pading report output/panoptic/PADing
    pading report output/seed1 output/seed2 output/seed3 --output seeds.html
    pading report after/inference/coco_panoptic_val/results.json before

The first is what the report is about: its images, its curves, its configuration. Others stand
beside it, with differences; runs that differ in their seeds alone get a mean with its 95 %
interval too. Each is the folder of a run, a folder of results, or a results.json.

What it looks like: tables of seen, unseen and harmonic scores; every class, sortable, with bars and
counts; what unseen classes were taken for; the worst and the best images and those where unseen
classes were found, each as image, ground truth and prediction; how reliable scores are; the
curve of seen against unseen, where pading evaluate --dial has made one; the losses of the training;
configuration, versions and command. It prints

    output/panoptic/PADing/report.html: 1 run, 2.1 MB

TEST.REPORT True lets training and evaluation write it too.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from pading.reports.html_report import write_report


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; None: that of this process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, metavar="RUN_OR_RESULTS")
    parser.add_argument("others", nargs="*", type=Path, metavar="OTHERS")
    parser.add_argument(
        "--output", default="", help="the HTML file; by default report.html in the first folder"
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    args = parse(arguments)
    path = write_report(args.run, args.others, args.output)
    runs = 1 + len(args.others)
    size = path.stat().st_size / 1e6
    print(f"{path}: {runs} {'run' if runs == 1 else 'runs'}, {size:.1f} MB")
