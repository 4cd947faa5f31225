#!/usr/bin/env python3
"""LSeg on synthetic scenes, from nothing, in minutes on a CPU: what ``make demo-lseg`` runs.

Trains on the seen classes, scores seen and unseen ones before and after, and draws. The commands
are those that work on any data set; they are printed as they run. ``--control`` trains once more
with random class vectors, from which nothing can be known of unseen classes.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from demo import only, run, scores_of, write_results
from PIL import Image

from pading import load
from pading.data.catalogue import DATASETS, datasets_root
from pading.data.ground_truth import LOADERS
from pading.data.masks import semantic_labels
from pading.data.spec import DatasetSpec
from pading.errors import exit_on_input_error
from pading.evaluation.tables import comparison_table
from pading.visualize import SheetRow, segments_of_labels, write_sheet
from pading.vocabulary.class_vectors import ClassVectors
from pading.vocabulary.splits import load_split

_TOOLS = Path(__file__).parent
_CONFIG = _TOOLS.parent / "configs" / "shapes" / "semantic" / "LSeg.yaml"
_TASK = "sem_seg"
_SHOWN = ("mIoU", "accuracy")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("output/demo_lseg"))
    parser.add_argument("--seed", type=int, default=1, help="of the training")
    parser.add_argument("--scenes", type=int, default=8, help="validation scenes to draw")
    parser.add_argument("--control", action="store_true", help="train with random vectors as well")
    parser.add_argument("overrides", nargs="*", help="KEY VALUE pairs for every training")
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
        vectors = random_vectors(args.output / "random_vectors.npz", args.seed, truth)
        run(*train, *settings, args.output / "control", "MODEL.CLASS_VECTORS", vectors)
        runs["random vectors"] = scores_of(args.output / "control", truth)

    minutes = (time.monotonic() - start) / 60
    results = write_results(args.output / "results.json", runs, minutes)
    shown = {name: only(scores[_TASK], _SHOWN) for name, scores in runs.items()}
    print(f"\n{truth.name}, per cent:\n\n{comparison_table(shown)}\n\nresults   {results}")
    picture = args.output / "scenes.png"
    draw_scenes(trained, truth, picture, args.scenes)
    print(f"pictures  {picture}\nmodel     {trained}\nfinished in {minutes:.1f} minutes")


def random_vectors(path: Path, seed: int, truth: DatasetSpec) -> Path:
    """Vectors of the classes that mean nothing, as long as those that do."""
    split = load_split(truth.split)
    drawn = torch.randn(split.num_classes, 384, generator=torch.Generator().manual_seed(seed))
    ClassVectors(split.names, drawn.numpy(), f"random, seed {seed}").save(path)
    return path


def draw_scenes(trained: Path, spec: DatasetSpec, path: Path, count: int) -> None:
    """A sheet of the validation scenes with the most pixels of unseen classes."""
    predictor, split = load(trained), load_split(spec.split)
    entries = LOADERS[spec.task](spec.under(datasets_root()), split)
    labels = {entry["file_name"]: semantic_labels(entry) for entry in entries}

    def unseen_pixels(name: str) -> int:
        return int(np.isin(labels[name], split.unseen).sum())

    places = np.zeros(max(split.contiguous_id) + 1, dtype=np.uint8)
    for class_id, label in split.contiguous_id.items():
        places[class_id] = label
    rows = []
    for name in sorted(labels, key=unseen_pixels, reverse=True)[:count]:
        image = np.asarray(Image.open(name).convert("RGB"))
        found = places[predictor.predict(image).semantic]
        panels = {"ground truth": labels[name], "prediction": found}
        maps = {heading: segments_of_labels(values) for heading, values in panels.items()}
        rows.append(SheetRow(image, maps))
    write_sheet(rows, split, path, title="Shapes with LSeg: unseen classes by their names alone")


if __name__ == "__main__":
    exit_on_input_error(main)
