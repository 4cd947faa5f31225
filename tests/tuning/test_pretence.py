"""Pretending: who is left out of what, and how well queries are said to be recognised."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from detectron2.config import CfgNode

from pading import load_config
from pading.engine.loop import NonFiniteLossError
from pading.errors import InputError
from pading.tuning.choosing import choose
from pading.tuning.pretence import Pretence, pretences, scores_of
from pading.vocabulary.splits import ClassSplit, load_split
from tests.models.pading.synthetic_store import MATCHED, UNMATCHED, make
from tests.narrow import NARROW_OVERRIDES, SHAPES, narrow_model

SPLIT = load_split("shapes")
IMAGES = 200


@pytest.fixture
def model(tmp_path: Path):
    make(tmp_path / "store", SPLIT, IMAGES, 32, IMAGES)
    return narrow_model("PADing")


@pytest.fixture
def configured() -> CfgNode:
    return load_config(str(SHAPES), NARROW_OVERRIDES)


def test_unseen_classes_have_no_part_and_pretended_ones_are_not_learned(
    model, tmp_path: Path, seed: int
) -> None:
    found = pretences(model, tmp_path / "store", 3, seed)
    names = [name for pretence in found for name in pretence.names]
    assert len({*names}) == len(names), "a class is pretended twice"
    for pretence in found:
        assert list(pretence.split.names) == [SPLIT.names[k] for k in SPLIT.seen]
        share = pretence.split.num_unseen / pretence.split.num_classes
        assert share == pytest.approx(SPLIT.num_unseen / SPLIT.num_classes, abs=0.05)
        assert not {*pretence.learned.labels.tolist()} & {*pretence.split.unseen}
        assert {*pretence.scored.labels.tolist()} >= {*pretence.split.unseen}
        assert len(pretence.scored.labels) == IMAGES // 4 * (MATCHED + UNMATCHED)
        learned, scored = (
            {tuple(row) for row in part.embeddings(torch.arange(len(part.labels))).tolist()}
            for part in (pretence.learned, pretence.scored)
        )
        assert not learned & scored
        weight, _ = pretence.classifier
        rows = [*SPLIT.seen, SPLIT.num_classes]
        for place, row in enumerate(rows):
            expected = 0 if place in pretence.split.unseen else model.classifier.weight[row]
            assert (weight[place] == expected).all()


def test_too_few_classes(model, tmp_path: Path) -> None:
    few = [replace(info, unseen=place >= 5) for place, info in enumerate(SPLIT.classes)]
    model.split = ClassSplit("few", tuple(few))
    with pytest.raises(InputError, match="split few: 5 seen classes are too few"):
        pretences(model, tmp_path / "store", 1, 0)


def test_too_few_images(model, tmp_path: Path) -> None:
    make(tmp_path / "few", SPLIT, 8, 32, 8)
    with pytest.raises(InputError, match="8 images of seen classes are too few .*; 20 are needed"):
        pretences(model, tmp_path / "few", 1, 0)


def pretence_of(labels: list[int], pretended: int = 2) -> Pretence:
    """Two seen classes and one pretended unseen; an embedding is the label's unit vector."""
    classes = [
        replace(info, unseen=place == pretended) for place, info in enumerate(SPLIT.classes[:3])
    ]
    embeddings = torch.eye(4)[labels]
    part: Any = SimpleNamespace(
        labels=torch.tensor(labels),
        no_object=3,
        no_object_share=0.5,
        header=SimpleNamespace(weights="w", data="d"),
        embeddings=lambda rows: embeddings[rows],
    )
    split = ClassSplit("three", tuple(classes))
    return Pretence(split, part, part, (torch.zeros(4, 4), torch.zeros(4)))


def told(table: list[list[float]]) -> Any:
    """A model that gives an embedding of each label these logits."""
    weight = torch.tensor(table, dtype=torch.float32)
    return SimpleNamespace(device=torch.device("cpu"), classifier=lambda rows: rows @ weight)


def test_scores_by_hand(configured: CfgNode) -> None:
    # Of class 0: 3 right. Class 1: told as 0. Class 2: right. No-object (each counts 2): told as 2.
    model = told([[9, 0, 0, 0], [9, 0, 0, 0], [0, 0, 9, 0], [0, 0, 9, 0]])
    [(seen, unseen, harmonic)] = scores_of(
        configured, model, pretence_of([0, 0, 0, 1, 2, 3]), [0.0]
    )
    first, second = 100 * 2 * 3 / (4 + 3), 0
    assert seen == pytest.approx((first + second) / 2)
    assert unseen == pytest.approx(100 * 2 * 1 / (3 + 1))
    assert harmonic == pytest.approx(2 * seen * unseen / (seen + unseen))


def test_the_bias_counts(configured: CfgNode) -> None:
    # Seen classes look a little more like the unseen one.
    unsure = told([[2, 0, 2.1, 0], [0, 2, 2.1, 0], [0, 0, 5, 0], [0, 0, 0, 9]])
    favoured, as_it_is = scores_of(configured, unsure, pretence_of([0, 1, 2, 3]), [-0.1, 0.0])
    assert favoured == (100, 100, 100)
    assert as_it_is[0] == 0
    assert as_it_is[1] == pytest.approx(100 * 2 / (3 + 1))


def test_the_best_setting_comes_first_and_trainings_are_kept(
    configured: CfgNode, tmp_path: Path
) -> None:
    right = torch.eye(4) * 9
    models = {0.1: right, 0.2: right[[0, 0, 2, 3]], 0.3: right[[0, 0, 0, 3]]}
    asked: list[float] = []

    def run(cfg: CfgNode, _: Pretence, seed: int) -> Any:
        rate = cfg.SOLVER.GENERATOR_LR
        asked.append(rate)
        if rate not in models:
            raise NonFiniteLossError("iteration 3: loss is nan")
        return told(models[rate].tolist())

    rates = (0.3, 0.4, 0.2, 0.1)
    candidates = [{"SOLVER.GENERATOR_LR": rate} for rate in rates]
    pretended = [pretence_of([0, 1, 2, 3]), pretence_of([0, 1, 1, 2], 1)]
    known = tmp_path / "trainings.json"
    trials = choose(configured, candidates, pretended, 0, known, run)
    assert [trial.setting["SOLVER.GENERATOR_LR"] for trial in trials][:2] == [0.1, 0.2]
    assert [trial.pretences for trial in trials] == [2, 2, 1, 1]
    assert trials[0].harmonic == pytest.approx(100)
    assert trials[-1].harmonic == 0
    assert asked == [*rates, 0.1, 0.2]
    assert choose(configured, candidates, pretended, 0, known, run) == trials
    assert len(asked) == 6, "what is done is not trained again"
    choose(configured, candidates, pretended, 1, known, run)
    assert len(asked) == 12, "another seed is another training"


def test_label_maps_alone_keep_their_dial(configured: CfgNode, tmp_path: Path) -> None:
    unsure = told([[2, 0, 2.1, 0], [0, 2, 2.1, 0], [0, 0, 5, 0], [0, 0, 0, 9]])
    configured.defrost()
    configured.MODEL.INFERENCE.SEEN_BIAS = 0.02
    found = []
    for panoptic in (True, False):
        configured.MODEL.INFERENCE.PANOPTIC_ON = panoptic
        configured.MODEL.INFERENCE.SEMANTIC_ON = True
        known = tmp_path / "trainings.json"
        rates = [{"SOLVER.GENERATOR_LR": 0.1}]
        pretended = [pretence_of([0, 1, 2, 3])]
        [trial] = choose(configured, rates, pretended, 0, known, lambda *_: unsure)
        found.append(trial.bias)
    assert found[0] < 0
    assert found[1] == 0.02
