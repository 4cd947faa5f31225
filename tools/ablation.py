#!/usr/bin/env python3
"""Which parts of the method do what: stage 2 with many settings and seeds on stored embeddings.

    python tools/ablation.py --weights output/demo/pretrained_weight_panoptic.pth --seeds 5

writes OUTPUT.md, .json and .png. Runs that are done are kept in --work and not repeated, so it may
be interrupted; seeds are the outer loop, so what is there at any time is balanced.
"""

import argparse
import logging
import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

import pading
from pading.data.datasets import DATASETS, register
from pading.data.files import read_json, write_json
from pading.data.shapes import ShapesSettings, generate
from pading.data.splits import load_split
from pading.engine.setup import exit_on_input_error
from pading.errors import InputError
from pading.evaluation.ablation import UNSEEN_SCENES, Laboratory, chosen_rows
from pading.evaluation.ablation_report import write_report
from pading.evaluation.report import without_nan

_CONFIG = Path(__file__).parents[1] / "configs" / "shapes" / "PADing.yaml"
# Scenes with the unseen classes for the bound on real embeddings, never those that are scored.
_SETTINGS = ShapesSettings(seed=1, train=1, val=400)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", nargs="+", required=True, help="converted stage-1 checkpoints")
    parser.add_argument("--seeds", type=int, default=5, help="stage-2 seeds for each checkpoint")
    parser.add_argument("--rows", nargs="*", default=[], help="parts of the names of rows to run")
    parser.add_argument("--minutes", type=float, default=90, help="start no run after this long")
    parser.add_argument("--work", type=Path, default=Path("output/ablation"), help="scratch folder")
    parser.add_argument("--output", type=Path, default=Path("output/ablation/ablation"))
    parser.add_argument("overrides", nargs="*", help="KEY VALUE pairs for every run")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    rows = chosen_rows(args.rows)
    if not rows or args.seeds < 1:
        raise InputError("no row to run: --rows takes parts of rows' names, --seeds 1 or more")
    logging.disable(logging.INFO)  # what a single run says would bury the progress
    deadline = time.monotonic() + 60 * args.minutes
    done_file = args.work / "runs.json"
    runs = read_json(done_file) if done_file.exists() else []
    done = {(run["row"], run["weights"], run["seed"]) for run in runs}
    laboratories = {w: laboratory(w, args, number) for number, w in enumerate(args.weights)}
    plan = [(r, w, s) for s in range(1, args.seeds + 1) for w in args.weights for r in rows]
    command = shlex.join(["python", "tools/ablation.py", *sys.argv[1:]])
    for row, weights, seed in tqdm(plan, "runs"):
        # Without stage 2 there is nothing that a seed decides.
        if (row.name, weights, seed) in done or (row.learns == "nothing" and seed > 1):
            continue
        if time.monotonic() > deadline:
            break
        figures = without_nan(laboratories[weights].run(row, seed))
        runs.append({"row": row.name, "weights": weights, "seed": seed, "figures": figures})
        write_json(done_file, runs)
        ordered = [run for r in rows for run in runs if run["row"] == r.name]
        write_report(ordered, args.output, "Ablation on Shapes", command)
    print(f"{args.output}.md, .json, .png: {len(runs)} runs")


def laboratory(weights: str, args: argparse.Namespace, number: int) -> Laboratory:
    """What the runs on one checkpoint share; its store is made where missing."""
    work = args.work / f"stage1_{number}"
    cfg = pading.load_config(
        str(_CONFIG),
        [
            *("MODEL.WEIGHTS", weights, "OUTPUT_DIR", str(work)),
            *("MODEL.INFERENCE.INSTANCE_ON", "True", "MODEL.INFERENCE.SEMANTIC_ON", "True"),
            *args.overrides,
        ],
    )
    pading.register_datasets(cfg)
    register_unseen_scenes(args.work)
    return Laboratory(cfg, weights, work)


def register_unseen_scenes(root: Path) -> None:
    """Make the scenes that the bound on real embeddings learns from."""
    spec = next(spec for spec in DATASETS if spec.name == "shapes_panoptic_val")
    generate(root / "shapes", load_split(spec.split), _SETTINGS)
    register(replace(spec.under(root), name=UNSEEN_SCENES))


if __name__ == "__main__":
    exit_on_input_error(main)
