#!/usr/bin/env python3
"""The whole method on synthetic scenes, in minutes on a CPU: what ``make demo`` runs.

Pretrain on seen classes, convert, fine-tune with PADing, evaluate before and after, and draw. Each
stage is one of the commands that work on any data set; they are printed as they run. The instance
task is evaluated in both settings, generalised and plain; pictures are of the panoptic task.
"""

import argparse
import shlex
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from panopticapi.utils import rgb2id
from PIL import Image
from script_processes import start_script

from pading.data.catalogue import DATASETS, datasets_root
from pading.data.spec import DatasetSpec
from pading.engine.launch import signals_passed_on
from pading.errors import exit_on_input_error
from pading.evaluation.evaluator import RESULTS_FILE
from pading.evaluation.groups import Scores
from pading.evaluation.tables import comparison_table, without_nan
from pading.files import read_json, write_json
from pading.visualize import SegmentMap, SheetRow, write_sheet
from pading.vocabulary.splits import ClassSplit, load_split

_TOOLS = Path(__file__).parent
_CONFIGS = _TOOLS.parent / "configs" / "shapes"
# Task -> figures of the printed table; results.json has all.
_SHOWN = {
    "panoptic": ("PQ", "SQ", "RQ"),
    "instance": ("AP50", "recall50"),
    "semantic": ("mIoU", "accuracy"),
}


def demo_parser(description: str | None) -> argparse.ArgumentParser:
    """The options that demonstrations have in common; --output is each one's own."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=1, help="of all trainings")
    parser.add_argument("--scenes", type=int, default=8, help="validation images to draw")
    parser.add_argument("overrides", nargs="*", help="KEY VALUE pairs for every training")
    return parser


def parse_args() -> argparse.Namespace:
    parser = demo_parser(__doc__)
    parser.add_argument("--task", choices=tuple(_SHOWN), default="panoptic")
    parser.add_argument(
        "--output", type=Path, help="where results go (default: output/demo, _TASK if another one)"
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    start = time.monotonic()
    suffix = "" if args.task == "panoptic" else f"_{args.task}"
    output = args.output or Path(f"output/demo{suffix}")
    configs = _CONFIGS if args.task == "panoptic" else _CONFIGS / args.task
    truth = next(spec for spec in DATASETS if spec.name == f"shapes_{args.task}_val")
    pretrained, converted, fine_tuned = (
        output / "pretrain" / "model_final.pth",
        output / f"pretrained_weight_{args.task}.pth",
        output / "PADing" / "model_final.pth",
    )
    train = (_TOOLS / "train_net.py", "--num-gpus", 1, "--config-file")
    settings = ("SEED", args.seed, "TEST.REPORT", True, *args.overrides)

    run(_TOOLS.parent / "datasets" / "prepare_shapes.py")
    run(*train, configs / "pretrain.yaml", "OUTPUT_DIR", pretrained.parent, *settings)
    run(
        _TOOLS / "preprocess_pretrained_weight.py",
        *("--task_name", args.task, "--split", truth.split),
        *("--input_file", pretrained, "--output_file", converted),
    )
    stage2 = (*settings, "MODEL.WEIGHTS")
    run(*train, configs / "PADing.yaml", "OUTPUT_DIR", fine_tuned.parent, *stage2, converted)
    runs = {
        "before stage 2": scores_of(pretrained.parent, truth),
        "after stage 2": scores_of(fine_tuned.parent, truth),
    }
    if args.task == "instance":
        plain = ("OUTPUT_DIR", output / "zsi", "MODEL.INFERENCE.INSTANCE_SETTING", "zsi")
        run(*train, configs / "PADing.yaml", "--eval-only", *plain, *stage2, fine_tuned)
        runs["zsi"] = scores_of(output / "zsi", truth)

    report = output / "report.html"
    run(_TOOLS / "report.py", fine_tuned.parent, pretrained.parent, "--output", report)
    minutes = (time.monotonic() - start) / 60
    results = write_results(output / "results.json", runs, minutes)
    print(f"\n{truth.name}, per cent:")
    for task in runs["after stage 2"]:
        shown = {name: only(scores[task], _SHOWN[args.task]) for name, scores in runs.items()}
        print(f"\n{task}\n\n{comparison_table(shown)}")
    print(f"\nresults   {results}\nreport    {report}")
    if args.task == "panoptic":
        picture = output / "scenes.png"
        title = "Shapes: unseen classes by their names alone"
        draw_scenes(predictions_of(fine_tuned.parent, truth), truth, picture, args.scenes, title)
        print(f"pictures  {picture}")
    print(f"model     {fine_tuned}\nfinished in {minutes:.1f} minutes")


def run(script: Path, *arguments: object) -> None:
    """Run one of the project's scripts as a user would; stop with its exit status if it fails."""
    command = [str(script), *map(str, arguments)]
    print(f"\n$ {shlex.join(['python', *command])}", flush=True)
    with signals_passed_on():
        process = start_script(command)
        process.join()
    if process.exitcode:
        sys.exit(process.exitcode)


def scores_of(output: Path, truth: DatasetSpec) -> dict[str, Scores]:
    """What a stage scored on the validation scenes: Detectron2's name of each task -> scores."""
    report = read_json(output / "inference" / truth.name / RESULTS_FILE)
    return {task: Scores.from_report(task, report) for task in report["metrics"]}


def only(scores: Scores, labels: tuple[str, ...]) -> Scores:
    """The figures that are named."""
    return replace(
        scores,
        groups={
            group: {label: value for label, value in values.items() if label in labels}
            for group, values in scores.groups.items()
        },
    )


def write_results(path: Path, runs: Mapping[str, Mapping[str, Scores]], minutes: float) -> Path:
    """All figures of all runs as JSON; a task's name only where there are several (instances)."""
    content: dict[str, Any] = {"minutes": round(minutes, 1)}
    for name, tasks in runs.items():
        nested = {task: scores.nested() for task, scores in tasks.items()}
        content[name.replace(" ", "_")] = nested if len(nested) > 1 else next(iter(nested.values()))
    write_json(path, without_nan(content), indent=1)
    return path


def predictions_of(output: Path, truth: DatasetSpec) -> Path:
    """The predictions that a stage's evaluation left behind; their PNGs are in a folder beside."""
    return output / "inference" / truth.name / "panoptic_predictions.json"


def draw_scenes(predictions: Path, spec: DatasetSpec, path: Path, count: int, title: str) -> None:
    """A sheet of the validation images with the most unseen segments."""
    split, truth = load_split(spec.split), spec.under(datasets_root())
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
    write_sheet(rows, split, path, title=title)


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
