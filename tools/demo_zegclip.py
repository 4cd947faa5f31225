#!/usr/bin/env python3
"""ZegCLIP on synthetic scenes, in minutes on a CPU: what ``make demo-zegclip`` runs.

A tiny CLIP is trained on pictures and captions (tools/shapes_clip.py); then ZegCLIP on the seen
classes, and self-training from its half-way checkpoint on scenes that show all classes. The
commands are those that work on any data set; they are printed as they run. ``--control`` trains
once more with random class vectors, from which nothing can be known of unseen classes.
"""

import argparse
import time
from pathlib import Path

import shapes_clip
from demo import demo_parser, only, run, scores_of, write_results
from semantic_scenes import draw_scenes, random_vectors

from pading.config import load_config
from pading.data.catalogue import DATASETS
from pading.data.shapes.generation import ShapesSettings, generate
from pading.errors import exit_on_input_error
from pading.evaluation.tables import comparison_table
from pading.files import write_json
from pading.vocabulary.splits import load_split

_TOOLS = Path(__file__).parent
CONFIG = _TOOLS.parent / "configs" / "shapes" / "semantic" / "ZegCLIP.yaml"
MIXED = "shapes_mixed_train"
_SCENES = ShapesSettings(seed=11, train=1, val=1200)  # of which those of all classes are used


def parse_args() -> argparse.Namespace:
    parser = demo_parser(__doc__)
    parser.add_argument("--output", type=Path, default=Path("output/demo_zegclip"))
    parser.add_argument("--control", action="store_true", help="train with random vectors as well")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    start, output = time.monotonic(), args.output.resolve()
    truth = next(spec for spec in DATASETS if spec.name == "shapes_semantic_val")
    clip, inductive = output / "clip", output / "inductive"
    run(_TOOLS.parent / "datasets" / "prepare_shapes.py")
    mixed = mixed_scenes(output)
    accuracy = shapes_clip.train(clip, args.seed)
    print(f"zero-shot accuracy of the tiny CLIP over the things: {100 * accuracy:.1f} %")

    train = (_TOOLS / "train_net.py", "--num-gpus", 1, "--config-file", CONFIG)
    weights = ("MODEL.WEIGHTS", clip / "clip.pth")
    vectors = ("MODEL.CLASS_VECTORS", clip / "texts.npz")
    settings = (*vectors, "SEED", args.seed, *args.overrides)
    half = load_config(str(CONFIG), [str(v) for v in args.overrides]).SOLVER.MAX_ITER // 2
    halved = ("SOLVER.CHECKPOINT_PERIOD", half)
    run(*train, *weights, *settings, *halved, "OUTPUT_DIR", inductive)
    run(
        *(*train, *settings, "OUTPUT_DIR", output / "transductive", "SOLVER.MAX_ITER", half),
        *("MODEL.ZEGCLIP.SETTING", "transductive", "DATASETS.FILES", f"('{mixed}',)"),
        *("DATASETS.TRAIN", f"('{MIXED}',)"),
        *("MODEL.WEIGHTS", inductive / f"model_{half - 1:07d}.pth"),
    )
    runs = {name: scores_of(output / name, truth) for name in ("inductive", "transductive")}
    if args.control:
        width = shapes_clip.SHAPE.embed_dim
        drawn = random_vectors(output / "random_vectors.npz", args.seed, truth, width)
        control = ("MODEL.CLASS_VECTORS", drawn, "OUTPUT_DIR", output / "control")
        run(*train, *weights, *settings, *control)
        runs["random vectors"] = scores_of(output / "control", truth)

    minutes = (time.monotonic() - start) / 60
    results = write_results(output / "results.json", runs, minutes)
    shown = {name: only(scores["sem_seg"], ("mIoU", "accuracy")) for name, scores in runs.items()}
    print(f"\n{truth.name}, per cent:\n\n{comparison_table(shown)}\n\nresults   {results}")
    trained = {name: output / name / "model_final.pth" for name in ("inductive", "transductive")}
    picture = output / "scenes.png"
    title = "Shapes with ZegCLIP: unseen classes by their names, and by self-training"
    draw_scenes(trained, truth, picture, args.scenes, title)
    print(f"pictures  {picture}\nmodel     {trained['inductive']}")
    print(f"finished in {minutes:.1f} minutes")


def mixed_scenes(output: Path) -> Path:
    """Scenes of all classes to train on, and the file that describes them."""
    split = load_split("shapes")
    generate(output / "mixed", split, _SCENES)
    file = output / "mixed.json"
    spec = {
        "name": MIXED,
        "task": "semantic",
        "split": "shapes",
        "images": "mixed/val",
        "annotations": "mixed/annotations/panoptic_val.json",
        "labels": "mixed/panoptic_val",
    }
    write_json(file, [spec])
    return file


if __name__ == "__main__":
    exit_on_input_error(main)
