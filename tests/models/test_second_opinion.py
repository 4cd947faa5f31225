"""A second opinion on segments: what is asked, how it is mixed, and what is refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pading.config import load_config
from pading.errors import InputError
from pading.models.registry import build_model
from pading.models.second_opinion import SecondOpinion
from pading.models.trained import save_trained
from pading.structures import ImageSizes
from pading.vocabulary.splits import ClassSplit
from tests.models.zegclip.conftest import CONFIG, NARROW, WIDTH, narrow_split
from tests.narrow import NARROW as NARROW_SEGMENTS

KEY = "MODEL.INFERENCE.SECOND_OPINION."


@pytest.fixture
def make_checkpoint(rng: torch.Generator, tmp_path: Path) -> Callable[[ClassSplit], Path]:
    """Give ``make(split)``: a narrow per-pixel model's checkpoint."""

    def make(split: ClassSplit) -> Path:
        cfg = load_config(str(CONFIG), [str(part) for pair in NARROW.items() for part in pair])
        vectors = torch.randn(split.num_classes, WIDTH, generator=rng)
        save_trained(cfg, build_model(cfg, split, vectors), tmp_path / "pixels.pth")
        return tmp_path / "pixels.pth"

    return make


@torch.no_grad()
def test_segments_take_the_mean_of_their_pixels(
    make_model, make_batch, make_checkpoint, rng: torch.Generator
) -> None:
    model = make_model("PADing", {KEY + "WEIGHTS": make_checkpoint(narrow_split())}).eval()
    opinion = model.second_opinion
    batch = make_batch([0], [2])
    masks = torch.where(torch.rand(2, 3, 16, 16, generator=rng) < 0.5, 60.0, -60.0)
    sizes = ImageSizes((64, 64), [(64, 40), (64, 56)], [(9, 9), (9, 9)])
    found = opinion.asked(batch, masks, sizes)
    for image, mask, one in zip(batch, masks, found, strict=True):
        [scores] = [x["sem_seg"] for x in opinion.model([image])]
        width = scores.shape[2]
        inside = (mask > 0).repeat_interleave(4, 1).repeat_interleave(4, 2)[..., :width]
        for segment, shares in zip(inside, one, strict=True):
            mean = scores[:, segment].mean(1)
            torch.testing.assert_close(shares, mean / mean.sum(), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_weights_from_none_to_all(make_model, make_batch, make_checkpoint, rng) -> None:
    settings = {KEY + "WEIGHTS": make_checkpoint(narrow_split()), KEY + "SEEN_WEIGHT": 0.0}
    asked = make_model("PADing", {**settings, KEY + "UNSEEN_WEIGHT": 0.0}).eval()
    alone = make_model("PADing").eval()
    alone.load_state_dict(asked.state_dict())  # the other model's weights are not in it
    batch = make_batch([0])
    torch.testing.assert_close(
        asked(batch)[0]["sem_seg"], alone(batch)[0]["sem_seg"], atol=1e-5, rtol=1e-4
    )
    scores = torch.rand(4, 6, generator=rng).softmax(1)
    theirs = torch.rand(4, 5, generator=rng).softmax(1)
    whole = SecondOpinion(asked.second_opinion.model, 1.0, 1.0).mixed(scores, theirs)
    torch.testing.assert_close(whole[:, :-1], theirs * scores[:, :-1].sum(1, keepdim=True))
    for unseen_weight in (0.3, 0.9):
        mixed = SecondOpinion(asked.second_opinion.model, 0.0, unseen_weight).mixed(scores, theirs)
        torch.testing.assert_close(mixed.sum(1), torch.ones(4))
        torch.testing.assert_close(mixed[:, -1], scores[:, -1])
        ratio = (mixed / scores)[:, [0, 2, 4]]  # seen classes keep their proportions
        torch.testing.assert_close(ratio, ratio[:, :1].expand(-1, 3))


def test_what_is_refused(make_model, make_checkpoint, tmp_path: Path) -> None:
    names = replace(narrow_split().classes[0], name="plate")
    other = ClassSplit("other", (names, *narrow_split().classes[1:]))
    with pytest.raises(InputError, match="'cup' is a class of one of the models alone"):
        make_model("PADing", {KEY + "WEIGHTS": make_checkpoint(other)})
    path = make_checkpoint(narrow_split())
    with pytest.raises(InputError, match="ZegCLIP does not give; leave it out"):
        make_model("semantic/ZegCLIP", {**NARROW, KEY + "WEIGHTS": path})
    model = make_model("PADing", {KEY + "WEIGHTS": path})
    for ask in (model.reading, lambda: model.with_classes(model.split, model.class_vectors, [0])):
        with pytest.raises(InputError, match="SECOND_OPINION.WEIGHTS is"):
            ask()
    narrow = [str(part) for pair in NARROW_SEGMENTS.items() for part in pair]
    segments = tmp_path / "segments.pth"
    save_trained(load_config("shapes/PADing", narrow), make_model("PADing"), segments)
    with pytest.raises(InputError, match="a PADing classifies segments itself"):
        make_model("PADing", {KEY + "WEIGHTS": segments})
