"""mIoU and FB-IoU by folds."""

import numpy as np
import pytest

from pading.errors import InputError
from pading.evaluation.fold_scores import episode_areas, score_fold


def test_by_hand() -> None:
    target = np.array([[1, 1, 0, 0]])
    ignored = np.array([[False, False, False, True]])
    right = episode_areas(target, target)
    assert (right.intersection.tolist(), right.union.tolist()) == ([2, 2], [2, 2])
    half = episode_areas(np.array([[1, 0, 0, 1]]), target, ignored)
    assert (half.intersection.tolist(), half.union.tolist()) == ([1, 1], [2, 2])
    found = score_fold([(5, right), (5, half), (7, half)], (5, 7, 9))
    # 3 of 4 pixels, 1 of 2, and a class that is never asked for.
    assert found.iou == pytest.approx({5: 75.0, 7: 50.0, 9: 0.0})
    assert found.miou == pytest.approx(125 / 3)
    assert found.fb_iou == pytest.approx(100 * 4 / 6)


def test_order_makes_no_difference(rng) -> None:
    draw = np.random.default_rng(rng.initial_seed())
    maps = draw.integers(0, 2, (2, 9, 6, 6))
    episodes = [
        (int(i % 3), episode_areas(p, t)) for i, (p, t) in enumerate(zip(*maps, strict=True))
    ]
    assert score_fold(episodes, (0, 1, 2)) == score_fold(episodes[::-1], (0, 1, 2))


def test_what_does_not_belong() -> None:
    areas = episode_areas(np.zeros((2, 2)), np.zeros((2, 2)))
    with pytest.raises(InputError, match="asks for class 3, but the fold has"):
        score_fold([(3, areas)], (0, 1))
    with pytest.raises(InputError, match="predict at the target's size"):
        episode_areas(np.zeros((2, 2)), np.zeros((2, 3)))
