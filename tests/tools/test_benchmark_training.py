"""tools/benchmark_training.py: a contestant learns from the grid, and says what it took."""

import multiprocessing
import sys

import benchmark_training
import pytest
import torch

from tests.narrow import NARROW_OVERRIDES, SHAPES


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_a_contestant_makes_steps_when_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ["--config-file", SHAPES.with_name("pretrain.yaml"), "--size", 64, "--segments", 6]
    arguments = [*map(str, options), *NARROW_OVERRIDES]
    monkeypatch.setattr(sys, "argv", ["benchmark_training.py", *arguments])
    ours, theirs = multiprocessing.Pipe()
    for told in (True, True, False):
        ours.send(told)
    losses = []
    our_step = benchmark_training.our_step

    def watched(cfg, model, *rest):
        model.register_forward_hook(lambda _, given, found: losses.append(sum(found.values())))
        return our_step(cfg, model, *rest)

    monkeypatch.setattr(benchmark_training, "our_step", watched)
    benchmark_training.contestant(name, benchmark_training.parse_args(), theirs)
    first, second, peak = (ours.recv() for _ in range(3))
    assert first > 0 and second > 0 and 100 < peak < 10000
    assert len(losses) == 2 and losses[0] != losses[1]


def test_segments_of_the_grid_cover_the_image() -> None:
    image = benchmark_training.grid(32, 8, (3, 5))
    masks = image["instances"].gt_masks
    assert torch.equal(masks.sum(0), torch.ones(32, 32, dtype=torch.long))
    assert image["instances"].gt_classes.tolist() == [3, 5] * 4
