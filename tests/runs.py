"""Whole runs of the entry point, on a few scenes and the narrowest model, in this process."""

import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from detectron2.utils.logger import setup_logger

from pading.checkpoint.weights import read_weights
from pading.commands import convert as preprocess_pretrained_weight
from pading.commands import train as train_net
from pading.errors import exit_on_input_error
from tests.narrow import NARROW

ROOT = Path(__file__).resolve().parents[1]
ITERATIONS = 3
# Two scenes at a time of 64 x 64 pixels, and the narrowest model.
TINY = {
    **NARROW,
    "SOLVER.IMS_PER_BATCH": 2,
    "SOLVER.MAX_ITER": ITERATIONS,
    "SOLVER.CHECKPOINT_PERIOD": 2,
    "DATALOADER.NUM_WORKERS": 0,
}
# Leaves the evaluation at the end of training out.
UNSCORED = ("DATASETS.TEST", "()")
# Stage 2 as published.
FROM_IMAGES = ("MODEL.ZERO_SHOT.SOURCE", "images", "MODEL.ZERO_SHOT.CLASS_BALANCED", False)


class Killed(BaseException):
    """Stands for the end of a process."""


def arguments(stage: str, output: Path, *more: object) -> list[str]:
    """Of the command line: options among ``more`` come before the KEY VALUE pairs."""
    options = [str(m) for m in more if str(m).startswith("--")]
    pairs = [str(m) for m in more if not str(m).startswith("--")]
    tiny = [str(part) for pair in TINY.items() for part in pair]
    config = ROOT / "configs" / "shapes" / f"{stage}.yaml"
    return ["--config-file", str(config), *options, "OUTPUT_DIR", str(output), *tiny, *pairs]


def run(main: Callable[[], None], *command: object) -> None:
    """As from the command line, in this process."""
    loggers = [logging.getLogger(name) for name in ("detectron2", "fvcore", "pading")]
    before = [list(logger.handlers) for logger in loggers]
    disabled = logging.root.manager.disable
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["program", *map(str, command)])
            exit_on_input_error(main)
    finally:
        logging.disable(disabled)
        # The handlers that a run adds write to pytest's stream of one test.
        setup_logger.cache_clear()
        for logger, handlers in zip(loggers, before, strict=True):
            logger.handlers[:] = handlers


def train(stage: str, output: Path, *more: object) -> None:
    """A stage of the Shapes configuration; evaluated unless ``more`` holds UNSCORED."""
    run(train_net.main, *arguments(stage, output, *more))


def convert(checkpoint: Path, output: Path, split: object = "shapes") -> None:
    """Stage 1's weights to stage 2's."""
    run(
        preprocess_pretrained_weight.main,
        *("--task_name", "panoptic", "--split", split),
        *("--input_file", checkpoint, "--output_file", output),
    )


def metrics(output: Path) -> list[dict]:
    """What a run wrote of its iterations."""
    lines = (output / "metrics.json").read_text().splitlines()
    return [json.loads(line) for line in lines]


def assert_same_weights(first: Path, second: Path) -> None:
    """Two checkpoints hold the same model, bit by bit."""
    one, other = (read_weights(path)["model"] for path in (first, second))
    assert one.keys() == other.keys()
    different = [name for name, value in one.items() if not torch.equal(value, other[name])]
    assert not different, f"{len(different)} of {len(one)} tensors differ: {different[:5]}"
