#!/usr/bin/env python3
"""Times ``pading predict`` on many images in one process and in several, and watches the memory.

    tools/benchmark_predict.py output/demo/PADing/model_final.pth datasets/shapes/val --count 2000

The images of the folder are linked again and again under new names until there are --count of them.
Each number of processes runs under torchrun, start and end included, with one thread a process.
Prints images a second, and the most memory that one process held (resident) in each quarter of the
run, when so many images were done:

    processes  images/s  seconds   peak MiB at 25 %, 50 %, 75 %, 100 %
"""

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from pading.errors import exit_on_input_error
from pading.prediction import find_images

_ROOT = Path(__file__).resolve().parents[1]
_PERIOD = 0.5
"""Seconds between two looks at the memory."""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", help="a checkpoint that training wrote")
    parser.add_argument("images", type=Path, help="a folder")
    parser.add_argument("--count", type=int, default=2000, help="of images (%(default)s)")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE")
    return parser.parse_intermixed_args()


def main() -> None:
    args = parse_args()
    print("processes  images/s  seconds   peak MiB at 25 %, 50 %, 75 %, 100 %", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        images = linked(args.images, Path(folder) / "images", args.count)
        for number in args.processes:
            output = Path(folder) / f"by_{number}"
            command = [args.weights, str(images), "--output", str(output), "--no-overlays"]
            seconds, peaks = timed([*command, *args.overrides], number, output, args.count)
            told = ", ".join(f"{peak:.0f}" for peak in peaks)
            print(
                f"{number:>9}  {args.count / seconds:>8.2f}  {seconds:>7.1f}   {told}", flush=True
            )


def linked(source: Path, folder: Path, count: int) -> Path:
    """A folder with as many images as asked for."""
    found, _ = find_images([source])
    folder.mkdir()
    for number, path in zip(range(count), itertools.cycle(found), strict=False):
        (folder / f"{number:06d}{path.suffix}").symlink_to(path.resolve())
    return folder


def timed(
    arguments: Sequence[str], processes: int, output: Path, count: int
) -> tuple[float, list[float]]:
    """Seconds of a whole run, and the peak of a process's memory (MiB) in each quarter of it."""
    launcher = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}"]
    command = [*launcher, "--master-port=0", str(_ROOT / "tools" / "predict.py"), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(_ROOT), "OMP_NUM_THREADS": "1"}
    with open(output.with_suffix(".log"), "w", encoding="utf-8") as log:
        start = time.perf_counter()
        run = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        peaks = [0.0] * 4
        while run.poll() is None:
            quarter = min(3, 4 * _done(output) // count)
            peaks[quarter] = max(peaks[quarter], *_resident(run.pid), 0.0)
            time.sleep(_PERIOD)
        seconds = time.perf_counter() - start
    if run.returncode:
        sys.exit(f"error: predict failed:\n{output.with_suffix('.log').read_text()[-2000:]}")
    return seconds, peaks


def _done(output: Path) -> int:
    """Images whose maps are written."""
    return max((len(os.listdir(folder)) for folder in output.glob("[!.]*/")), default=0)


def _resident(parent: int) -> Iterator[float]:
    """MiB of every process below one."""
    yield 0.0
    for child in _children(parent):
        try:
            pages = int(Path(f"/proc/{child}/statm").read_text().split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        yield pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _children(parent: int) -> list[int]:
    try:
        text = Path(f"/proc/{parent}/task/{parent}/children").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    own = [int(word) for word in text.split()]
    return own + [below for child in own for below in _children(child)]


if __name__ == "__main__":
    exit_on_input_error(main)
