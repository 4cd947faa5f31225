"""An interrupted and resumed run ends with the weights of the uninterrupted one, bit by bit."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from pading.checkpoint.weights import read_weights
from pading.engine.run_checkpoints import RunCheckpointer
from pading.randomness import generator, seed_everything
from tests.runs import FROM_IMAGES, UNSCORED, Killed, assert_same_weights, train


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("stage", ["pretrain", "images", "stored"])
def test_resumed_run_ends_with_the_same_weights(
    stage: str, workers: int, tiny_scenes: Path, converted: Path, kill_at, tmp_path: Path
) -> None:
    options = [*UNSCORED, "SOLVER.MAX_ITER", 6, "DATALOADER.NUM_WORKERS", workers]
    if stage == "pretrain":
        # Augmentation, dropout and points are all drawn by chance.
        options += ["INPUT.AUGMENTATION", "large_scale_jitter", "INPUT.IMAGE_SIZE", 64]
        options += ["MODEL.SEGMENTER.DECODER_DROPOUT", 0.1]
    else:
        options += ["MODEL.WEIGHTS", converted]
        options += FROM_IMAGES if stage == "images" else ["MODEL.ZERO_SHOT.SOURCE", stage]
    name = "pretrain" if stage == "pretrain" else "PADing"
    train(name, tmp_path / "whole", *options)
    for iteration in (3, 4) if workers else (3,):  # checkpoints are written after 1, 3 and 5
        kill_at(iteration)
        with pytest.raises(Killed):
            train(name, tmp_path / "cut", "--resume", *options)
    train(name, tmp_path / "cut", "--resume", *options)
    assert_same_weights(tmp_path / "whole/model_final.pth", tmp_path / "cut/model_final.pth")


def test_killed_between_the_last_two_checkpoints(
    tiny_scenes: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    options = [*UNSCORED, "SOLVER.MAX_ITER", 4]
    save = RunCheckpointer.save

    def save_and_die(checkpointer: RunCheckpointer, name: str, **kwargs) -> None:
        save(checkpointer, name, **kwargs)
        if kwargs["iteration"] == 3:
            raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(RunCheckpointer, "save", save_and_die)
        train("pretrain", tmp_path / "cut", *options)
    train("pretrain", tmp_path / "cut", "--resume", *options)
    train("pretrain", tmp_path / "whole", *options)
    assert_same_weights(tmp_path / "whole/model_final.pth", tmp_path / "cut/model_final.pth")


def test_a_seed_drawn_by_chance_is_resumed(tiny_scenes: Path, kill_at, tmp_path: Path) -> None:
    """With SEED -1 another run has another seed, but the resumed run keeps the first one's."""
    options = [*UNSCORED, "SOLVER.MAX_ITER", 4, "SEED", -1]
    kill_at(3)
    with pytest.raises(Killed):
        train("pretrain", tmp_path, *options)
    before = read_weights(tmp_path / "model_0000001.pth")["trainer"]["_trainer"]["seed"]
    train("pretrain", tmp_path, "--resume", *options)
    assert read_weights(tmp_path / "model_final.pth")["trainer"]["_trainer"]["seed"] == before


def test_random_numbers_depend_on_the_place(seed: int) -> None:
    def draws(*where: int) -> tuple[float, float, float]:
        seed_everything(seed, *where)
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    assert draws(2, 5, 0) == draws(2, 5, 0)
    places = [(2, 5, 0), (2, 6, 0), (2, 5, 1), (1, 5, 0)]
    assert len({draws(*place) for place in places}) == len(places)
    assert generator(seed, 1, 2).random() != generator(seed, 2, 1).random()
