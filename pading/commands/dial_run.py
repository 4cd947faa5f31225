"""``pading evaluate --dial``: the whole curve of seen against unseen, and a choice on it."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from detectron2.config import CfgNode

from pading.checkpoint.weights import read_weights
from pading.data.catalogue import register_datasets
from pading.errors import InputError
from pading.evaluation.dial import BIASES, dial, halves
from pading.evaluation.seen_unseen_curve import Curve
from pading.evaluation.tables import without_nan
from pading.files import write_json
from pading.models.base import SegmentationModel
from pading.models.trained import save_with_settings
from pading.prediction import Predictor, load
from pading.projects.layout import is_project, read_project
from pading.visualize.dial_curve import draw_curves


def run(args: argparse.Namespace) -> None:
    """Draw the curve; with ``--choose-dial``, choose on one part of the data and score the other.

    Raises:
        InputError: what of model, data or options cannot work.
    """
    predictor = opened(args.dial, args.overrides)
    cfg, model = predictor.cfg, predictor.model
    register_datasets(cfg)
    if not cfg.DATASETS.TEST:
        raise InputError("DATASETS.TEST is empty; name the data set to score")
    folder = args.output or Path(cfg.OUTPUT_DIR) / "dial"
    biases = tuple(args.biases or BIASES)
    for name in cfg.DATASETS.TEST:
        if args.choose_dial is None:
            report(dial(cfg, model, name, folder / name, biases), folder / name, name)
            continue
        with halves(name, args.choose_dial, args.seed, folder / "parts") as (first, second):
            chosen = dial(cfg, model, first, folder / first, biases)
            report(chosen, folder / first, first)
            if len(chosen) > 1:
                tasks = ", ".join(curve.task for curve in chosen)
                raise InputError(f"--choose-dial: by which of {tasks}? switch the others off")
            best, now = chosen[0].best.bias, model.inference.seen_bias
            compare(cfg, model, second, folder / second, (now, best))
            print(write_bias(cfg.MODEL.WEIGHTS, best))


def opened(path: str, pairs: Sequence[str]) -> Predictor:
    """The model of a project, a checkpoint, or a configuration with MODEL.WEIGHTS."""
    if is_project(path):
        project = read_project(path)
        path = str(project.weights)
    if os.path.splitext(path)[1] in (".pth", ".safetensors", ".pkl"):
        return load(path, overrides=pairs)
    from pading.config import load_config

    return Predictor(load_config(path, pairs))


def report(curves: Sequence[Curve], folder: Path, name: str) -> None:
    """Print the curves, and write them as JSON and pictures."""
    write_json(folder / "dial.json", without_nan({c.task: c.record() for c in curves}), indent=1)
    for curve in curves:
        picture = folder / f"dial_{curve.task}.png"
        draw_curves({curve.task: curve}, picture)
        print(f"\n{name}, {curve.task}, {curve.figure} in per cent\n")
        print(f"{'SEEN_BIAS':>9}  {'seen':>6}  {'unseen':>6}  {'harmonic':>8}")
        for p in curve.points:
            mark = "  best" * (p == curve.best)
            print(f"{p.bias:>9g}  {p.seen:>6.1f}  {p.unseen:>6.1f}  {p.harmonic:>8.1f}{mark}")
        print(f"area {curve.area:.4f}; {picture}, {folder / 'dial.json'}")


def compare(
    cfg: CfgNode, model: SegmentationModel, name: str, folder: Path, biases: Sequence[float]
) -> None:
    """What the chosen value is worth on images that it was not chosen on."""
    [curve] = dial(cfg, model, name, folder, biases)
    print(f"\n{name}: images that the choice has not seen")
    for p in curve.points:
        print(
            f"SEEN_BIAS {p.bias:g}: seen {p.seen:.1f}, unseen {p.unseen:.1f}, harmonic "
            f"{p.harmonic:.1f}"
        )


def write_bias(path: str, bias: float) -> str:
    """Set SEEN_BIAS in a checkpoint; what to say.

    Args:
        path: a checkpoint that training wrote; one that carries no configuration stays as it is.
        bias: the value.
    """
    content = read_weights(path)
    if "config" not in content or not path.endswith(".pth"):
        return f"{path} carries no configuration; give MODEL.INFERENCE.SEEN_BIAS {bias:g} with it"
    save_with_settings(content, path, path, {"SEEN_BIAS": bias})
    return f"{path}: MODEL.INFERENCE.SEEN_BIAS is {bias:g} from now on"
