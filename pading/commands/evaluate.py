"""Score stored predictions, without a model; or weigh seen against unseen classes, with one.

    pading evaluate --task panoptic --split coco_panoptic_119_14 \\
        --ground-truth panoptic_val2017.json --predictions panoptic_predictions.json

What the two files are:

panoptic   COCO panoptic JSON; its PNG files are in the folder of the same name without ".json"
instance   ground truth: COCO instance annotations; predictions: COCO results JSON (masks as RLE)
semantic   ground truth: a folder of PNG label maps (places in the split or class ids, 255
           ignored), or COCO panoptic JSON; predictions: a folder of PNG label maps, or an .npz file
           with one map for each image; maps are named by the image's id, with or without leading
           zeros, or as its file is

Where both files say how the images are called, they are matched by name, else by id.

Prints a table in per cent:

           %    PQ    SQ     RQ
    --------  ----  ----  -----
         all  36.2  42.3   45.6
      things  15.9  24.7   21.4
       stuff  81.8  81.8  100.0
        seen  21.0  28.9   29.2
      unseen  86.8  86.8  100.0
    harmonic  33.8

Images without a prediction count as empty, with a warning.

    pading evaluate --dial home
    pading evaluate --dial model_final.pth --choose-dial 0.3 DATASETS.TEST "('home_val',)"

One constant, MODEL.INFERENCE.SEEN_BIAS, is taken off the scores of seen classes. --dial takes a
project, a checkpoint, or a configuration with MODEL.WEIGHTS, looks at every image once, and gives
the scores at many values: the curve of seen against unseen, its area and its harmonic best, as JSON
and picture. --choose-dial SHARE chooses the best value on that share of the images, scores the
others with it, and writes it into the checkpoint.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pading.errors import InputError
from pading.evaluation import map_folders
from pading.evaluation.average_precision import score_instances
from pading.evaluation.groups import Scores
from pading.evaluation.map_folders import MEANINGS, predicted_folder
from pading.evaluation.panoptic_quality import score_panoptic
from pading.evaluation.pixel_scores import (
    archive_labels,
    panoptic_labels,
    score_semantic,
)
from pading.evaluation.tables import class_table, group_table, without_nan
from pading.files import write_json
from pading.vocabulary.splits import ClassSplit, load_split


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; None: that of this process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", choices=("panoptic", "instance", "semantic"))
    parser.add_argument("--split", help="class split, by name or as a JSON file")
    parser.add_argument(
        "--setting",
        choices=("gzsi", "zsi"),
        help="instance: all classes (gzsi, the default), or the unseen ones alone (zsi)",
    )
    parser.add_argument("--ground-truth", type=Path)
    parser.add_argument("--ground-truth-folder", type=Path, help="where its PNG files are instead")
    parser.add_argument("--predictions", type=Path)
    parser.add_argument("--predictions-folder", type=Path, help="where its PNG files are instead")
    parser.add_argument(
        "--class-ids",
        action="store_true",
        help="semantic: the folder of predicted maps holds class ids, as pading predict writes",
    )
    parser.add_argument(
        "--ground-truth-values",
        choices=MEANINGS,
        help="semantic: what a folder of true maps holds, where its values do not tell",
    )
    parser.add_argument("--output", type=Path, help="JSON file of the scores; folder of a dial")
    parser.add_argument("--per-class", action="store_true", help="print a table of the classes too")
    parser.add_argument("--dial", metavar="MODEL", help="the curve of seen against unseen")
    parser.add_argument("--biases", type=float, nargs="+", help="values of the curve; -- ends them")
    parser.add_argument(
        "--choose-dial", type=float, metavar="SHARE", help="of the images, to choose the value by"
    )
    parser.add_argument("--seed", type=int, default=0, help="of that share")
    parser.add_argument("overrides", nargs=argparse.REMAINDER, metavar="KEY VALUE")
    args = parser.parse_args(arguments)
    if args.overrides[:1] == ["--"]:  # which argparse keeps or not, by Python's version
        del args.overrides[0]
    needed = () if args.dial else ("task", "split", "ground_truth", "predictions")
    missing = [f"--{name.replace('_', '-')}" for name in needed if getattr(args, name) is None]
    if missing:
        parser.error(f"the following arguments are required: {', '.join(missing)} (or --dial)")
    return args


def main(arguments: Sequence[str] | None = None) -> None:
    args = parse(arguments)
    if args.dial:
        from pading.commands import dial_run  # which loads what a model needs

        dial_run.run(args)
        return
    if args.setting and args.task != "instance":
        raise InputError(f"--setting {args.setting}: is for --task instance alone; leave it out")
    if args.class_ids and not (args.task == "semantic" and args.predictions.is_dir()):
        raise InputError("--class-ids is for --task semantic and a folder of maps; leave it out")
    if args.ground_truth_values and not (args.task == "semantic" and args.ground_truth.is_dir()):
        raise InputError(
            "--ground-truth-values is for --task semantic and a folder of maps; leave it out"
        )
    all_scores = score(args, load_split(args.split))
    for scores in all_scores:
        print(f"\n{scores.task}, {args.split}\n\n{group_table(scores)}")
        if args.per_class:
            print(f"\n{class_table(scores)}")
    if args.output:
        contents = {s.task: {**s.nested(), "per_class": s.per_class} for s in all_scores}
        # Masks and boxes stand beside each other; the one task of the others is the whole file.
        content: Mapping[str, Any] = contents if len(contents) > 1 else contents[all_scores[0].task]
        write_json(args.output, without_nan(content), indent=1)
        print(f"\nwritten to {args.output}")


def score(args: argparse.Namespace, split: ClassSplit) -> tuple[Scores, ...]:
    """The scores of the task that the command line asks for."""
    truth_folder = args.ground_truth_folder or args.ground_truth.with_suffix("")
    if args.task == "panoptic":
        folder = args.predictions_folder or args.predictions.with_suffix("")
        return (score_panoptic(args.ground_truth, truth_folder, args.predictions, folder, split),)
    if args.task == "instance":
        return score_instances(args.ground_truth, args.predictions, split, args.setting or "gzsi")
    named_by_file = False
    if args.predictions.is_dir():
        predicted, named_by_file = predicted_folder(args.predictions, split, args.class_ids)
    else:
        predicted = archive_labels(args.predictions)
    if args.ground_truth.is_dir():
        truth = map_folders.truth_folder(args.ground_truth, split, args.ground_truth_values)
    else:
        truth = panoptic_labels(args.ground_truth, truth_folder, split, predicted, named_by_file)
    return (score_semantic(truth, predicted, split),)
