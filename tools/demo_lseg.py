#!/usr/bin/env python3
"""LSeg on synthetic scenes, from nothing, in minutes on a CPU: what ``make demo-lseg`` runs.

Trains on the seen classes, scores seen and unseen ones before and after, and draws. The commands
are those that work on any data set; they are printed as they run. ``--control`` trains once more
with random class vectors, from which nothing can be known of unseen classes.
"""

import argparse
import time
from pathlib import Path

from demo import demo_parser, only, run, scores_of, write_results
from semantic_scenes import draw_scenes, random_vectors

from pading.data.catalogue import DATASETS
from pading.errors import exit_on_input_error
from pading.evaluation.tables import comparison_table

_TOOLS = Path(__file__).parent
_CONFIG = _TOOLS.parent / "configs" / "shapes" / "semantic" / "LSeg.yaml"
_TASK = "sem_seg"
_SHOWN = ("mIoU", "accuracy")


def parse_args() -> argparse.Namespace:
    parser = demo_parser(__doc__)
    parser.add_argument("--output", type=Path, default=Path("output/demo_lseg"))
    parser.add_argument("--control", action="store_true", help="train with random vectors as well")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    start = time.monotonic()
    truth = next(spec for spec in DATASETS if spec.name == "shapes_semantic_val")
    trained = args.output / "LSeg" / "model_final.pth"
    train = (_TOOLS / "train_net.py", "--num-gpus", 1, "--config-file", _CONFIG)
    settings = ("SEED", args.seed, *args.overrides, "OUTPUT_DIR")

    run(_TOOLS.parent / "datasets" / "prepare_shapes.py")
    first = ("SOLVER.MAX_ITER", 1, "SOLVER.WARMUP_ITERS", 0)
    run(*train, *settings, args.output / "untrained", *first)
    run(*train, *settings, trained.parent)
    runs = {
        "after one step": scores_of(args.output / "untrained", truth),
        "after training": scores_of(trained.parent, truth),
    }
    if args.control:
        vectors = random_vectors(args.output / "random_vectors.npz", args.seed, truth, width=384)
        run(*train, *settings, args.output / "control", "MODEL.CLASS_VECTORS", vectors)
        runs["random vectors"] = scores_of(args.output / "control", truth)

    minutes = (time.monotonic() - start) / 60
    results = write_results(args.output / "results.json", runs, minutes)
    shown = {name: only(scores[_TASK], _SHOWN) for name, scores in runs.items()}
    print(f"\n{truth.name}, per cent:\n\n{comparison_table(shown)}\n\nresults   {results}")
    picture = args.output / "scenes.png"
    title = "Shapes with LSeg: unseen classes by their names alone"
    draw_scenes({"prediction": trained}, truth, picture, args.scenes, title)
    print(f"pictures  {picture}\nmodel     {trained}\nfinished in {minutes:.1f} minutes")


if __name__ == "__main__":
    exit_on_input_error(main)
