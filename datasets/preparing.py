"""What the prepare scripts share: the pool of workers, the table of counts, how they fail."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

from tabulate import tabulate
from tqdm import tqdm

from pading.errors import InputError

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")
_CHUNK = 16


def default_workers() -> int:
    """One process per core."""
    return os.cpu_count() or 1


def run_jobs(
    function: Callable[[_Job], _Result], jobs: Sequence[_Job], workers: int, label: str
) -> list[_Result]:
    """``function`` of every job, in order, over ``workers`` processes, with a progress bar."""
    if workers <= 1:
        return [function(job) for job in tqdm(jobs, desc=label)]
    with ProcessPoolExecutor(workers) as pool:
        results = pool.map(function, jobs, chunksize=_CHUNK)
        return list(tqdm(results, desc=label, total=len(jobs)))


def print_counts(counts: Mapping[str, Mapping[str, int]]) -> None:
    """Print subset -> what -> number as the table that datasets/README.md is compared with."""
    whats = dict.fromkeys(what for numbers in counts.values() for what in numbers)
    rows = [[what, *(numbers.get(what) for numbers in counts.values())] for what in whats]
    print(tabulate(rows, headers=["", *counts], tablefmt="pipe", intfmt=",", missingval="-"))


def run_script(main: Callable[[], None]) -> None:
    """Run a script; print what the user can mend without a traceback, and exit with status 2."""
    try:
        main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
