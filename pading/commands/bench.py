"""A benchmark: systems and their variants by class folds by seeds, as a paper's table.

    pading bench msrc.yaml --output output/bench_msrc --processes 2

The file says which rows there are, how each is trained, and on which folds and seeds:

    seeds: [1, 2, 3]
    settings: {SOLVER.AMP.ENABLED: true}   # of all stages
    folds:
      17/4: {}
      fold 1:
        DATASETS.TRAIN: [msrc_fold_1_panoptic_train]
        DATASETS.TEST: [msrc_fold_1_panoptic_val]
    rows:
      plain generator:
        stages:
          - {config: msrc/pretrain, SEED: 1}
          - {config: msrc/plain}
      shuffled words:
        vectors: shuffled                  # or random; text where it is left out
        stages:
          - {config: msrc/pretrain, SEED: 1}
          - {config: msrc/plain}
      tuned:
        tune: true                         # pading tune chooses the last stage's settings
        stages:
          - {config: msrc/pretrain, SEED: 1}
          - config: msrc/PADing

A stage is a configuration of ours by name, or any by its path, those of a project as well. It
starts from the weights of the stage before. What rows, folds and seeds have in common is trained
once: above, a segmenter a fold. What is done is never run again, so a benchmark that was stopped
goes on, and one that has got more rows trains these. Any number of processes may share one folder:
--processes starts some, and the same command on another terminal joins them.

In the end a table is printed, such as

    |                 |    PQ seen |  PQ unseen | PQ harmonic |
    |:----------------|-----------:|-----------:|------------:|
    | plain generator | 67.9 ± 0.8 | 31.8 ± 2.1 |  43.3 ± 1.9 |

The folder of --output gets

    table.md, table.tex, table.png   means ± half of the 95 % interval, over folds where there are
                                     several, else over seeds; table.md has the differences from
                                     the first row, too, fold by fold
    results.json                     the same, and every cell with its file of scores
    runs/                            a folder for every stage; what it said is in said.txt
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from pading.bench.cells import Commands, Runs
from pading.bench.plan import read_plan
from pading.bench.summary import write_summary
from pading.commands import store, train, tune
from pading.errors import InputError


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; None: that of this process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("plan", metavar="FILE.yaml", help="what to run, as above")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    parser.add_argument(
        "--processes", type=int, default=1, metavar="N", help="that share the cells (default: 1)"
    )
    args = parser.parse_args(arguments)
    if args.processes < 1:
        parser.error("--processes must be at least 1")
    return args


def main(arguments: Sequence[str] | None = None) -> None:
    args = parse(arguments)
    plan = read_plan(args.plan)
    runs = Runs(args.output, Commands(train.main, store.main, tune.main))
    helpers = [_helper(args) for _ in range(args.processes - 1)]
    failure = None
    try:
        runs.all_of(plan)
    except InputError as error:
        failure = error
    finally:
        for helper in helpers:
            helper.terminate()
            helper.wait()
    cells = list(plan.cells())
    found = [(cell, path) for cell in cells if (path := runs.result(cell))]
    if found:
        table = write_summary(args.output, Path(args.plan).stem, found, len(cells))
        print(f"\n{table}\n\n{args.output / 'table.md'}, table.tex, table.png, results.json")
    if failure:
        raise failure


def _helper(args: argparse.Namespace) -> subprocess.Popen:
    """Another process on the same cells, with its share of the cores."""
    code = "from pading.commands import pading; pading()"
    command = ["bench", args.plan, "--output", str(args.output)]
    threads = max(1, (os.cpu_count() or 1) // args.processes)
    environment = {"OMP_NUM_THREADS": str(threads), **os.environ}
    args.output.mkdir(parents=True, exist_ok=True)
    with open(args.output / "helpers.txt", "a", encoding="utf-8") as said:
        return subprocess.Popen(
            [sys.executable, "-c", code, *command], stdout=said, stderr=said, env=environment
        )
