#!/usr/bin/env python3
"""Which parts of the method do what: stage 2 with many settings and seeds on stored embeddings.

    python tools/ablation.py --weights output/demo/pretrained_weight_panoptic.pth --seeds 5
    python tools/ablation.py --config-file configs/msrc/plain.yaml \\
        --weights output/demo_msrc/converted.pth --all-classes msrc_17_4_panoptic_train_all

writes OUTPUT.md, .json and .png after every run. Runs that are done are kept in --work and not
repeated, so it may be interrupted; seeds are the outer loop, so what is there at any time is
balanced. A run of other settings, weights or data is another run.
"""

import argparse
import logging
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import checkout_path  # noqa: F401
from detectron2.config import CfgNode
from script_processes import PROCESSES
from tqdm import tqdm

import pading
from pading.data.catalogue import DATASETS, datasets_root, register
from pading.data.shapes.generation import ShapesSettings, generate
from pading.data.spec import DatasetSpec
from pading.engine.interruption import Interrupted, Interruption
from pading.engine.setup import check_weights
from pading.errors import InputError, exit_on_input_error
from pading.vocabulary.splits import load_split
from research.ablation.ablation_report import draw, write_report
from research.ablation.runs import (
    AblationWork,
    Runs,
    Task,
    file_checksum,
    fingerprint_of,
    plan,
    prepare_store,
    until,
)
from research.ablation.seen_classes import curve_rows, draw_curve
from research.ablation.stage_one import ALL_CLASSES_SCENES
from research.ablation.study import ROWS, UNSEEN_SCENES, Row, chosen_rows
from research.ablation.workers import TaskError, run_in_processes, usable_cores

_SHAPES = Path(__file__).parents[1] / "configs" / "shapes" / "plain.yaml"
_VALIDATION = next(spec for spec in DATASETS if spec.name == "shapes_panoptic_val")
# Scenes of all classes that the bounds learn from (as "validation" ones), never those scored.
_SCENES = {
    UNSEEN_SCENES: ShapesSettings(seed=1, train=1, val=400),
    ALL_CLASSES_SCENES: ShapesSettings(seed=2, train=1, val=ShapesSettings().train),
}
_FOLDERS = {UNSEEN_SCENES: ".", ALL_CLASSES_SCENES: "all_classes"}
_LEARNS_FROM = {
    "real": UNSEEN_SCENES,
    "unlabelled": UNSEEN_SCENES,
    "segmenter": ALL_CLASSES_SCENES,
}
# Whatever is scored; the dial would hide what a part does to seen classes and what to unseen ones.
_SCORED = ("MODEL.INFERENCE.INSTANCE_ON", "True", "MODEL.INFERENCE.SEMANTIC_ON", "True")
_SCORED += ("MODEL.INFERENCE.SEEN_BIAS", "0.0")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--config-file",
        type=Path,
        default=_SHAPES,
        help="stage 2; pretrain.yaml beside it is stage 1 (default: that of Shapes)",
    )
    parser.add_argument("--weights", nargs="+", required=True, help="converted stage-1 checkpoints")
    parser.add_argument(
        "--all-classes",
        metavar="DATASET",
        help="training images with the masks of all classes, which the bounds learn from, and "
        "transductive stage 2 without the masks (default: scenes of Shapes, drawn for it)",
    )
    parser.add_argument(
        "--seen-classes",
        type=int,
        nargs="+",
        default=[],
        metavar="N",
        help="other rows, and a curve: stage 2 of each generator with N seen classes",
    )
    parser.add_argument("--seeds", type=int, default=5, help="stage-2 seeds for each checkpoint")
    parser.add_argument(
        "--bound-seeds", type=int, default=1, help="segmenters trained with the unseen masks"
    )
    parser.add_argument("--rows", nargs="*", default=[], help="parts of the names of rows to run")
    parser.add_argument("--minutes", type=float, default=90, help="start no run after this long")
    parser.add_argument(
        "--processes", type=int, help="runs at a time (default: a core each; on a GPU one)"
    )
    parser.add_argument("--work", type=Path, default=Path("output/ablation"), help="scratch folder")
    parser.add_argument("--output", type=Path, default=Path("output/ablation/ablation"))
    parser.add_argument(
        "--notes", type=Path, help="Markdown file that the report ends with (the analysis)"
    )
    parser.add_argument(
        "--bound-overrides", nargs="*", default=[], help="KEY VALUE pairs for those segmenters"
    )
    parser.add_argument("overrides", nargs="*", help="KEY VALUE pairs for every run of stage 2")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if min(args.seen_classes, default=1) < 1:
        raise InputError(f"--seen-classes {min(args.seen_classes)}: it must be 1 or more")
    rows = chosen_rows(args.rows, curve_rows(args.seen_classes) or ROWS)
    if not rows or args.seeds < 1 or args.bound_seeds < 1:
        raise InputError("no row to run: --rows takes parts of rows' names, seeds are 1 or more")
    if args.processes is not None and args.processes < 1:
        raise InputError(f"--processes is {args.processes}; it must be 1 or more")
    notes = read_notes(args.notes) if args.notes else ""
    logging.disable(logging.INFO)  # what a single run says would bury the progress
    runs = Runs(args.work / "runs.json")
    try:
        with Interruption().handled():
            run_all(args, rows, runs, notes)
    except Interrupted:
        print(f"\nstopped; {runs.path} keeps what is done: the same command goes on", flush=True)
        raise
    except TaskError as error:
        sys.exit(f"error: {error}\n{runs.path} keeps what is done: the same command goes on")


def run_all(args: argparse.Namespace, rows: Sequence[Row], runs: Runs, notes: str) -> None:
    """Do what is left to do, and report after every run."""
    deadline = time.monotonic() + 60 * args.minutes
    work, tasks = prepare(args, rows)
    left = [task for task in tasks if not runs.of([task])]
    on_cpu = work.stage1.MODEL.DEVICE == "cpu"
    processes = args.processes or (usable_cores() if on_cpu else 1)
    scratch = args.work / "processes"
    shutil.rmtree(scratch, ignore_errors=True)
    with tqdm(total=len(tasks), initial=len(tasks) - len(left), desc="runs") as bar:
        done = run_in_processes(
            work,
            until(deadline, left),
            scratch,
            context=PROCESSES,
            processes=processes,
            # On the CPU their number decides the rounding, so that it must not follow from how many
            # runs go on at a time; steps this small gain little by more.
            threads=1 if on_cpu else max(usable_cores() // processes, 1),
            at_work=lambda now: bar.set_postfix_str("; ".join(map(str, now))),
        )
        for task, figures in done:
            runs.add(task, figures)
            bar.update()
            report(args, rows, tasks, runs, notes)
    report(args, rows, tasks, runs, notes)
    found = len(runs.of(tasks))
    print(f"{args.output}.md, .json, .png: {found} of {len(tasks)} runs")
    if found < len(tasks):
        print(f"{args.minutes:g} minutes (--minutes) are over: the same command does the rest")


def report(
    args: argparse.Namespace, rows: Sequence[Row], tasks: Sequence[Task], runs: Runs, notes: str
) -> None:
    """Report the runs that fit, by row."""
    found = runs.of(tasks)
    if found:
        ordered = [run for row in rows for run in found if run["row"] == row.name]
        command = shlex.join(["python", "tools/ablation.py", *sys.argv[1:]])
        heading, picture = "Ablation", draw
        if args.seen_classes:
            heading = "Over the number of seen classes"
            picture = partial(draw_curve, counts=args.seen_classes)
        place = " on Shapes" if args.config_file == _SHAPES else ""
        write_report(ordered, args.output, heading + place, command, notes, picture)


def read_notes(path: Path) -> str:
    """The text of a file of the user's."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"--notes {path}: cannot read this file: {reason}") from error


def prepare(args: argparse.Namespace, rows: Sequence[Row]) -> tuple[AblationWork, list[Task]]:
    """All that runs share, made where missing, and the runs."""
    stage1 = pading.load_config(
        str(args.config_file.with_name("pretrain.yaml")),
        [
            *("MODEL.SEGMENTER.CLASSES", "all", "DATASETS.TRAIN", f"('{ALL_CLASSES_SCENES}',)"),
            *("SOLVER.CHECKPOINT_PERIOD", "250", "SOLVER.CHECKPOINTS_KEPT", "1"),
            *(*_SCORED, *args.bound_overrides),
        ],
    )
    checksums = {path: checksum(path) for path in args.weights}
    if len(set(checksums.values())) < len(args.weights):
        raise InputError("--weights names the same checkpoint twice; give each of them once")
    pading.register_datasets(stage1)
    needed = {name for row in rows if (name := _LEARNS_FROM.get(row.learns))}
    data_sets = [bound_data(args, name) for name in sorted(needed)]
    stage2, stores = {}, {}
    for path in args.weights:
        # Named by what it is, so that the order of the checkpoints does not matter.
        cfg = stage2_configuration(path, args.work / f"stage1_{checksums[path][:12]}", args)
        stage2[path] = cfg
        if any(row.learns != "segmenter" for row in rows):
            stores[path] = prepare_store(cfg)

    def fingerprint(row: Row, path: str) -> str:
        name = _LEARNS_FROM.get(row.learns)
        common: dict[str, Any] = {
            "learns": row.learns,
            "row's vectors": row.vectors,
            "seen classes": row.seen_classes,
            "scenes": (args.all_classes or asdict(_SCENES[name])) if name else None,
        }
        if not path:
            return fingerprint_of(stage1, **common)
        cfg = row.configured(stage2[path])
        return fingerprint_of(cfg, weights=checksums[path], store=stores[path], **common)

    planned = plan(rows, args.weights, args.seeds, args.bound_seeds, fingerprint)
    return AblationWork(stage2, stage1, args.work, data_sets), planned


def checksum(path: str) -> str:
    """Of a checkpoint, which is there."""
    if not Path(path).is_file():
        raise InputError(f"--weights {path}: there is no such file; pading convert makes one")
    return file_checksum(path)


def stage2_configuration(weights: str, folder: Path, args: argparse.Namespace) -> CfgNode:
    """Of the runs on one checkpoint."""
    where = ("MODEL.WEIGHTS", weights, "OUTPUT_DIR", str(folder))
    cfg = pading.load_config(str(args.config_file), [*where, *_SCORED, *args.overrides])
    check_weights(cfg, trained=True)
    return cfg


def bound_data(args: argparse.Namespace, name: str) -> DatasetSpec:
    """Register what a bound learns from: --all-classes, or scenes that are made where missing."""
    if args.all_classes:
        found = [spec for spec in DATASETS if spec.name == args.all_classes]
        if not found:
            raise InputError(
                f"--all-classes {args.all_classes}: no such data set; datasets/README.md lists them"
            )
        spec = replace(found[0].under(datasets_root()), name=name)
    elif args.config_file == _SHAPES:
        folder = args.work / _FOLDERS[name]
        generate(folder / "shapes", load_split(_VALIDATION.split), _SCENES[name])
        spec = replace(_VALIDATION.under(folder), name=name)
    else:
        raise InputError("bounds learn from unseen masks: name a data set with --all-classes")
    register(spec)
    return spec


if __name__ == "__main__":
    exit_on_input_error(main)
