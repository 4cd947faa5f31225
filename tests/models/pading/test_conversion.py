"""The converter's core: which row of the class head lands where."""

import pytest
import torch

from pading.errors import InputError
from pading.models.pading.conversion import grow_class_head
from pading.vocabulary.splits import ClassInfo, ClassSplit

HEAD = "sem_seg_head.predictor.class_embed."
UNSEEN = (1, 4)
SPLIT = ClassSplit(
    "six", tuple(ClassInfo(10 + i, f"class {i}", i % 2 == 0, i in UNSEEN) for i in range(6))
)


def stage_one(rng: torch.Generator, outputs: int = 5) -> dict[str, torch.Tensor]:
    return {
        "backbone.conv.weight": torch.randn(2, 2, generator=rng),
        HEAD + "weight": torch.randn(outputs, 3, generator=rng),
        HEAD + "bias": torch.randn(outputs, generator=rng),
    }


def test_rows_land_by_class(rng: torch.Generator) -> None:
    weights = stage_one(rng)
    before = {name: value.clone() for name, value in weights.items()}
    grown = grow_class_head(weights, SPLIT, "w.pth")
    for name in ("weight", "bias"):
        old = weights[HEAD + name]
        # Classes 0, 2, 3, 5 are seen; the no-object row lands last.
        for row, place in enumerate((0, 2, 3, 5, 6)):
            assert torch.equal(grown[HEAD + name][place], old[row])
        assert not grown[HEAD + name][list(UNSEEN)].any()
        assert torch.equal(grown["classifier." + name], grown[HEAD + name])
        assert grown["classifier." + name] is not grown[HEAD + name]
    assert torch.equal(grown["backbone.conv.weight"], weights["backbone.conv.weight"])
    assert set(grown) == {*weights, "classifier.weight", "classifier.bias"}
    assert all(torch.equal(weights[name], value) for name, value in before.items())


def test_half_precision_stays(rng: torch.Generator) -> None:
    weights = {name: value.half() for name, value in stage_one(rng).items()}
    assert grow_class_head(weights, SPLIT, "w.pth")["classifier.weight"].dtype == torch.float16


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (4, "w.pth: its class head has 4 outputs, but split six has 4 seen classes and no-object"),
        (7, "It seems to be converted already"),
    ],
)
def test_wrong_size(outputs: int, message: str, rng: torch.Generator) -> None:
    with pytest.raises(InputError, match=message):
        grow_class_head(stage_one(rng, outputs), SPLIT, "w.pth")


def test_no_class_head(rng: torch.Generator) -> None:
    weights = stage_one(rng)
    del weights[HEAD + "bias"]
    with pytest.raises(InputError, match=r"class_embed\.bias; give a checkpoint of stage 1"):
        grow_class_head(weights, SPLIT, "w.pth")
