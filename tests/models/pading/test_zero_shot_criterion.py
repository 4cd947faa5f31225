"""The losses of stage 2: each term's weight, and batches without a matched query."""

import dataclasses

import pytest
import torch
from torch.nn import functional as F

from pading.models.pading.disentanglement import Parts
from pading.models.pading.steps import ClassifierStep, GeneratorStep, Group
from pading.models.pading.structure_losses import (
    alignment_loss,
    reconstruction_loss,
    relation_loss,
    unrelated_loss,
)
from pading.models.pading.zero_shot_criterion import StructureWeights, ZeroShotCriterion

WEIGHTS = StructureWeights(alignment=0.3, unrelated=0.5, relation=0.7, reconstruction=0.9)
WIDTH, SEEN, UNSEEN = 6, 4, 3


@pytest.fixture
def criterion() -> ZeroShotCriterion:
    return ZeroShotCriterion(
        bandwidths=[2.0, 10.0],
        moment_class_share=0.0,
        generator_class_weight=0.01,
        structure=WEIGHTS,
        temperature=0.1,
        unseen_weight=5.0,
        no_object_weight=0.1,
    )


def group(rng: torch.Generator, rows: int, classes: int) -> Group:
    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=rng).requires_grad_()

    return Group(
        embeddings=draw(rows, WIDTH),
        labels=torch.randint(classes, (rows,), generator=rng),
        parts=Parts(draw(rows, WIDTH), draw(rows, WIDTH), draw(rows, WIDTH)),
        relation_scores=draw(rows, classes).sigmoid(),
        tokens=draw(rows, WIDTH),
        noise=torch.randn(rows, WIDTH, generator=rng),
    )


def generator_step(rng: torch.Generator, rows: int) -> GeneratorStep:
    return GeneratorStep(
        synthetic=torch.randn(rows, WIDTH, generator=rng).requires_grad_(),
        real=torch.randn(rows, WIDTH, generator=rng),
        guiding_logits=torch.randn(rows, SEEN, generator=rng).requires_grad_(),
        guiding_labels=torch.randint(SEEN, (rows,), generator=rng),
        groups=(group(rng, rows, SEEN), group(rng, UNSEEN, UNSEEN)),
    )


def test_weight_of_each_term(criterion: ZeroShotCriterion, rng: torch.Generator) -> None:
    step = generator_step(rng, 5)
    losses = criterion.generator_losses(step)
    seen, unseen = step.groups

    def mean(loss) -> float:
        return (loss(seen).item() + loss(unseen).item()) / 2

    verdict = F.cross_entropy(step.guiding_logits, step.guiding_labels).item()
    alignment = alignment_loss(
        seen.parts.related, unseen.parts.related, seen.tokens, unseen.tokens, 0.1
    )
    unrelated = mean(lambda g: unrelated_loss(g.parts.unrelated, g.noise, 0.1))
    relation = mean(lambda g: relation_loss(g.relation_scores, g.labels))
    reconstruction = mean(lambda g: reconstruction_loss(g.parts.rebuilt, g.embeddings))
    wanted = {
        "loss_generator_class": 0.01 * verdict,
        "loss_alignment": WEIGHTS.alignment * alignment.item(),
        "loss_unrelated": WEIGHTS.unrelated * unrelated,
        "loss_relation": WEIGHTS.relation * relation,
        "loss_reconstruction": WEIGHTS.reconstruction * reconstruction,
    }
    assert set(losses) == {*wanted, "loss_moment"}
    for name, value in wanted.items():
        assert losses[name].item() == pytest.approx(value, rel=1e-5), name


def test_without_structure(criterion: ZeroShotCriterion, rng: torch.Generator) -> None:
    step = generator_step(rng, 5)._replace(groups=None)
    assert set(criterion.generator_losses(step)) == {"loss_moment", "loss_generator_class"}


def test_classifier_loss(criterion: ZeroShotCriterion, rng: torch.Generator) -> None:
    logits = torch.randn(6, 5, generator=rng, dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 3, 4, 4])
    weight = torch.tensor([1, 5, 1, 5, 0.1], dtype=torch.float64)[labels]
    terms = -logits.log_softmax(-1)[range(6), labels]
    wanted = (weight * terms).sum() / weight.sum()
    step = ClassifierStep(logits, labels, unseen=torch.tensor([1, 3]))
    assert criterion.classifier_loss(step).item() == pytest.approx(wanted.item(), rel=1e-5)


def test_batch_without_a_matched_query(criterion: ZeroShotCriterion, rng: torch.Generator) -> None:
    step = generator_step(rng, 0)
    losses = criterion.generator_losses(step)
    torch.stack(list(losses.values())).sum().backward()
    assert all(value.isfinite() for value in losses.values())
    assert losses["loss_moment"].item() <= 1e-6
    assert losses["loss_generator_class"].item() == 0
    unseen = step.groups[1].parts
    assert all(part.grad.isfinite().all() for part in unseen)


def test_autocast_does_not_reach_the_losses(
    criterion: ZeroShotCriterion, rng: torch.Generator
) -> None:
    step = generator_step(rng, 5)
    logits = torch.randn(6, 5, generator=rng)
    classifier = ClassifierStep(logits, torch.randint(5, (6,), generator=rng), torch.tensor([1]))
    plain = criterion(step, classifier)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = criterion(step, classifier)
    for name, value in plain.items():
        assert mixed[name].item() == value.item(), name


def test_structure_weights_hold_the_published_factors() -> None:
    from pading.config import load_config
    from tests.models.recordings import ROOT

    cfg = load_config(
        str(ROOT / "configs" / "panoptic" / "PADing.yaml"),
        ["MODEL.ZERO_SHOT.STRUCTURE_WEIGHT", "0.01", "MODEL.ZERO_SHOT.RECONSTRUCTION_WEIGHT", "3"],
    )
    structure = dataclasses.asdict(ZeroShotCriterion(cfg).structure)
    wanted = {"alignment": 1.0, "unrelated": 0.5, "relation": 0.2, "reconstruction": 3.0}
    assert structure == pytest.approx({name: 0.01 * value for name, value in wanted.items()})
