#!/usr/bin/env python3
"""Kills and resumes both stages of the Shapes run again and again: what ``make soak`` runs.

Each stage runs once undisturbed, then once for each of SIGKILL and SIGTERM, which strike at random
moments, every other time while a file is being written. After each strike the run is started again
with --resume. It must always start, and its final weights must be the undisturbed run's, bit for
bit.
"""

import argparse
import multiprocessing
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from script_processes import start_script

from pading.checkpoint.weights import read_weights
from pading.engine.interruption import EXIT_STATUS
from pading.errors import exit_on_input_error

_TOOLS = Path(__file__).resolve().parent
_CONFIGS = _TOOLS.parent / "configs" / "shapes"
_FINAL = "model_final.pth"
_TOO_LATE = 20
"""Signals in a row that came after a run's end, or that it did not heed."""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("output/soak"), help="an empty folder")
    parser.add_argument("--kills", type=int, default=20, help="of each kind, in each stage")
    parser.add_argument("--iterations", type=int, default=100, help="of each stage")
    parser.add_argument("--period", type=int, default=5, help="iterations between checkpoints")
    parser.add_argument("--seed", type=int, default=None, help="of the moments; default: by chance")
    parser.add_argument("overrides", nargs="*", help="KEY VALUE pairs for both stages")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    seed = random.SystemRandom().randrange(2**31) if args.seed is None else args.seed
    print(f"moments of seed {seed}", flush=True)
    if args.output.exists() and any(args.output.iterdir()):
        sys.exit(f"error: {args.output} is not empty; remove it, or name another --output")
    finish([_TOOLS.parent / "datasets" / "prepare_shapes.py"], args.output / "prepare.log")
    common = (
        *("SOLVER.MAX_ITER", args.iterations, "SOLVER.CHECKPOINT_PERIOD", args.period),
        *("DATASETS.TEST", "()", *args.overrides),
    )
    soak_both_stages(args.output, common, args.kills, random.Random(seed))


def soak_both_stages(
    output: Path, common: Sequence[object], kills: int, moments: random.Random
) -> None:
    """Everything that the module's docstring says, on data that is there.

    Args:
        output: an empty folder.
        common: KEY VALUE pairs for both stages.
        kills: of each kind, in each stage.
        moments: chooses them.
    """
    converted = output / "converted.pth"
    weights: tuple[object, ...] = ()
    for stage in ("pretrain", "PADing"):
        pairs = (*common, *weights)
        undisturbed = output / stage / "undisturbed"
        start = time.monotonic()
        finish(command(stage, undisturbed, pairs), undisturbed.with_suffix(".log"))
        seconds = time.monotonic() - start
        for number in (signal.SIGKILL, signal.SIGTERM):
            folder = output / stage / number.name
            met = soak(stage, folder, pairs, number, kills, seconds, moments)
            assert_same(undisturbed / _FINAL, folder / _FINAL)
            print(f"{stage}: {number.name} {kills} times ({met}): the same weights", flush=True)
        if stage == "pretrain":
            convert = (_TOOLS / "preprocess_pretrained_weight.py", "--task_name", "panoptic")
            files = ("--input_file", undisturbed / _FINAL, "--output_file", converted)
            finish([*convert, "--split", "shapes", *files], output / "convert.log")
            weights = ("MODEL.WEIGHTS", converted)


def command(stage: str, output: Path, pairs: Sequence[object]) -> list[object]:
    """Of one stage, resumed if there is something to resume."""
    config = _CONFIGS / f"{stage}.yaml"
    program = (_TOOLS / "train_net.py", "--config-file", config, "--resume")
    return [*program, "OUTPUT_DIR", output, *pairs]


def soak(
    stage: str,
    output: Path,
    pairs: Sequence[object],
    number: signal.Signals,
    kills: int,
    seconds: float,
    moments: random.Random,
) -> str:
    """Run a stage to its end in spite of so many signals; what was met, in words.

    Args:
        seconds: that an undisturbed run takes.
    """
    met: Counter[str] = Counter()
    missed = 0
    log = output.with_suffix(".log")
    # Late enough that runs get somewhere, and early enough that most are struck.
    longest = max(2 * seconds / kills, 3)
    while (struck := met.total() - met["finished before"]) < kills:
        process = start(command(stage, output, pairs), log)
        time.sleep(moments.uniform(0, longest))
        in_write = struck % 2 == 1 and wait_for_write(process, output)
        if process.is_alive():
            os.kill(process.pid or 0, number)
        process.join()
        if process.exitcode == 0:  # too late: everything again, for as many signals as wanted
            met["finished before"] += 1
            missed += 1
            if missed == _TOO_LATE:
                sys.exit(f"error: {missed} runs finished in spite of {number.name}; see {log}")
            remove(output)
            longest /= 2
            continue
        missed = 0
        expected = {-number} if number == signal.SIGKILL else {EXIT_STATUS, -number}
        if process.exitcode not in expected:
            sys.exit(f"error: exit status {process.exitcode} after {number.name}; see {log}")
        met["while writing" if in_write else "at any moment"] += 1
    finish(command(stage, output, pairs), log)
    left = [str(path) for path in output.rglob(".*")]
    if left:
        sys.exit(f"error: left behind: {left}")
    return ", ".join(f"{count} {what}" for what, count in sorted(met.items()))


def wait_for_write(process: multiprocessing.process.BaseProcess, folder: Path) -> bool:
    """Wait until a file is being written in a folder; False if the process ends before."""
    while process.is_alive():
        if any(".partial" in name for name in (os.listdir(folder) if folder.is_dir() else ())):
            return True
        time.sleep(0.001)
    return False


def remove(folder: Path) -> None:
    """Remove a run's files, but keep the folder's log beside it."""
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def start(words: Sequence[object], log: Path) -> multiprocessing.process.BaseProcess:
    """Start one of the project's scripts as a user would, what it prints going to a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    return start_script([*map(str, words)], log)


def finish(words: Sequence[object], log: Path) -> None:
    """Run a script to its end; stop if it fails."""
    process = start(words, log)
    process.join()
    if process.exitcode:
        sys.exit(f"error: {words[0]} failed with {process.exitcode}; see {log}")


def assert_same(first: Path, second: Path) -> None:
    """Stop if the models in two checkpoints differ in a single bit."""
    one, other = (read_weights(path)["model"] for path in (first, second))
    different = [n for n in one.keys() | other.keys() if not torch.equal(one[n], other[n])]
    if different:
        sys.exit(f"error: {first} and {second} differ in {len(different)}, {different[0]} first")


if __name__ == "__main__":
    exit_on_input_error(main)
