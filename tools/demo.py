#!/usr/bin/env python3
"""The whole method on synthetic scenes, in minutes on a CPU: what ``make demo`` runs.

Pretrain on seen classes, convert, fine-tune with PADing, evaluate before and after, and draw. Each
stage is one of the commands that work on any data set; they are printed as they run.
"""

import argparse
import multiprocessing
import runpy
import shlex
import sys
import time
from pathlib import Path

import numpy as np
from panopticapi.utils import rgb2id
from PIL import Image

from pading.data.datasets import DATASETS, datasets_root
from pading.data.files import read_json, write_json
from pading.data.splits import ClassSplit, load_split
from pading.engine.setup import exit_on_input_error
from pading.evaluation.groups import Scores
from pading.evaluation.panoptic import score_panoptic
from pading.evaluation.report import comparison_table, without_nan
from pading.visualize import SegmentMap, SheetRow, write_sheet

_TOOLS = Path(__file__).parent
_CONFIGS = _TOOLS.parent / "configs" / "shapes"
# Each stage is a process of its own, forked from one that has imported already: that takes longer
# than some of the stages.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["pading.engine.trainer", "pading.evaluation.build"])
_VALIDATION = next(spec for spec in DATASETS if spec.name == "shapes_panoptic_val")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("output/demo"), help="where results go")
    parser.add_argument("--seed", type=int, default=1, help="of both training stages")
    parser.add_argument("--scenes", type=int, default=8, help="validation scenes to draw")
    parser.add_argument("overrides", nargs="*", help="KEY VALUE pairs for both training stages")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    start = time.monotonic()
    pretrained, converted, fine_tuned = (
        args.output / "pretrain" / "model_final.pth",
        args.output / "pretrained_weight_panoptic.pth",
        args.output / "PADing" / "model_final.pth",
    )
    run(_TOOLS.parent / "datasets" / "prepare_shapes.py")
    train("pretrain.yaml", pretrained.parent, args)
    run(
        _TOOLS / "preprocess_pretrained_weight.py",
        *("--task_name", "panoptic", "--split", _VALIDATION.split),
        *("--input_file", pretrained, "--output_file", converted),
    )
    train("PADing.yaml", fine_tuned.parent, args, "MODEL.WEIGHTS", converted)

    split = load_split(_VALIDATION.split)
    before = score(predictions_of(pretrained.parent), split)
    after = score(predictions_of(fine_tuned.parent), split)
    results, picture = args.output / "results.json", args.output / "scenes.png"
    draw_scenes(predictions_of(fine_tuned.parent), split, picture, args.scenes)
    minutes = (time.monotonic() - start) / 60
    runs = {"before stage 2": before, "after stage 2": after}
    content = {name.replace(" ", "_"): scores.nested() for name, scores in runs.items()}
    write_json(results, without_nan({**content, "minutes": round(minutes, 1)}), indent=1)
    print(
        f"\nPanoptic quality on {_VALIDATION.name}, per cent:\n\n{comparison_table(runs)}\n\n"
        f"results   {results}\npictures  {picture}\nmodel     {fine_tuned}\n"
        f"finished in {minutes:.1f} minutes"
    )


def run(script: Path, *arguments: object) -> None:
    """Run one of the project's scripts as a user would; stop with its exit status if it fails."""
    command = [str(script), *map(str, arguments)]
    print(f"\n$ {shlex.join(['python', *command])}", flush=True)
    process = _PROCESSES.Process(target=run_as_main, args=(command,))
    process.start()
    process.join()
    if process.exitcode:
        sys.exit(process.exitcode)


def run_as_main(command: list[str]) -> None:
    """What ``python SCRIPT ARGUMENTS`` does, in this process."""
    sys.argv = command
    sys.path[0] = str(Path(command[0]).parent)
    runpy.run_path(command[0], run_name="__main__")


def train(config: str, output: Path, args: argparse.Namespace, *overrides: object) -> None:
    """One stage; Detectron2 evaluates at its end."""
    settings = ("OUTPUT_DIR", output, "SEED", args.seed, *overrides, *args.overrides)
    run(_TOOLS / "train_net.py", "--config-file", _CONFIGS / config, "--num-gpus", 1, *settings)


def predictions_of(output: Path) -> Path:
    """The predictions that a stage's evaluation left behind; their PNGs are in a folder beside."""
    return output / "inference" / _VALIDATION.name / "panoptic_predictions.json"


def score(predictions: Path, split: ClassSplit) -> Scores:
    truth = _VALIDATION.under(datasets_root())
    return score_panoptic(
        truth.annotations, truth.labels, predictions, predictions.with_suffix(""), split
    )


def draw_scenes(predictions: Path, split: ClassSplit, path: Path, count: int) -> None:
    """A sheet of the validation scenes with the most unseen segments."""
    truth = _VALIDATION.under(datasets_root())
    annotated = read_json(truth.annotations)
    names = {image["id"]: image["file_name"] for image in annotated["images"]}
    predicted = {a["image_id"]: a for a in read_json(predictions)["annotations"]}
    unseen = {split.classes[i].id for i in split.unseen}

    def count_unseen(annotation: dict) -> int:
        return sum(s["category_id"] in unseen for s in annotation["segments_info"])

    chosen = sorted(annotated["annotations"], key=count_unseen, reverse=True)[:count]
    rows = [
        SheetRow(
            np.asarray(Image.open(Path(truth.images) / names[a["image_id"]]).convert("RGB")),
            {
                "ground truth": panoptic_map(a, Path(truth.labels), split),
                "prediction": panoptic_map(
                    predicted[a["image_id"]], predictions.with_suffix(""), split
                ),
            },
        )
        for a in chosen
    ]
    write_sheet(rows, split, path, title="Shapes: unseen classes by their names alone")


def panoptic_map(annotation: dict, folder: Path, split: ClassSplit) -> SegmentMap:
    """One annotation of a COCO panoptic file with the PNG that belongs to it."""
    ids = rgb2id(np.asarray(Image.open(folder / annotation["file_name"]).convert("RGB")))
    segments = [
        {**s, "category_id": split.contiguous_id[s["category_id"]]}
        for s in annotation["segments_info"]
    ]
    return SegmentMap(ids, segments)


if __name__ == "__main__":
    exit_on_input_error(main)
