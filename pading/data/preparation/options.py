"""Options that preparations have in common."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence

from pading.data.catalogue import datasets_root

SUBSETS = ("train", "val")


def parser(name: str, description: str | None, folder: str) -> argparse.ArgumentParser:
    """A parser that knows where the data set is.

    Args:
        name: of the preparation.
        description: its docstring.
        folder: the data set's, below the root of all.
    """
    result = argparse.ArgumentParser(
        prog=f"pading prepare {name} [FOLDER]",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument(
        "--root",
        metavar="FOLDER",
        default=os.path.join(datasets_root(), folder),
        help="the data set's folder, which may be the first argument as well; default: %(default)s",
    )
    return result


def parsed(options: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """The arguments (None: those of this process); a folder as the first is that of --root."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and not given[0].startswith("-"):
        given.insert(0, "--root")
    return options.parse_args(given)


def add_subsets(options: argparse.ArgumentParser, layout: Mapping[str, str]) -> None:
    """--subsets, and --train and --val, which say where the files of each are.

    Args:
        options: where to add them.
        layout: what --train and --val name, below the root, each with its default, in which {}
            stands for the subset.
    """
    options.add_argument(
        "--subsets", nargs="+", choices=SUBSETS, default=list(SUBSETS), help="default: both"
    )
    for subset in SUBSETS:
        options.add_argument(
            f"--{subset}",
            nargs=len(layout),
            metavar=tuple(layout),
            default=[path.format(subset) for path in layout.values()],
            help="where the files are below the folder; default: %(default)s",
        )


def add_split(options: argparse.ArgumentParser, split: str) -> None:
    """--split, the class split that label maps are made for."""
    options.add_argument(
        "--split",
        default=split,
        help="a shipped class split or a .json file; default: %(default)s",
    )


def add_workers(options: argparse.ArgumentParser) -> None:
    """--workers, the processes or threads that make the files; 0, as 1: none but this one."""
    options.add_argument(
        "--workers",
        type=_workers,
        default=os.cpu_count(),
        help="how many work at once (0 as 1); default: %(default)s",
    )


def _workers(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{number} is below 0")
    return max(number, 1)
