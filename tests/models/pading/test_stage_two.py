"""Stage 2 as a whole: what is trained by which loss, what is frozen, and what is drawn."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from pading.errors import InputError
from pading.models.pading.split_checks import guiding_classes
from pading.models.pading.steps import StageTwoBatch
from pading.vocabulary.splits import ClassInfo, ClassSplit

UNSEEN = (1, 3)
NO_OBJECT = 5


def gradients(model: nn.Module) -> dict[str, bool]:
    """Which parameters have got a gradient other than zero."""
    return {
        name: p.grad is not None and bool(p.grad.abs().sum() > 0)
        for name, p in model.named_parameters()
        if p.requires_grad
    }


def losses_of(model: nn.Module, rng: torch.Generator) -> dict[str, torch.Tensor]:
    embeddings = torch.randn(12, 32, generator=rng)
    labels = torch.tensor([0, 2, 4, 0, 2] + [NO_OBJECT] * 7)
    return model.train().zero_shot_losses(embeddings, labels)


def test_the_two_losses_touch_disjoint_parameters(
    make_model: Callable, rng: torch.Generator, seed: int
) -> None:
    model = make_model("PADing")
    losses = losses_of(model, rng)
    losses.pop("loss_classifier").backward()
    touched = {name for name, found in gradients(model).items() if found}
    assert touched == {"classifier.weight", "classifier.bias"}

    model.zero_grad()
    losses = losses_of(model, rng)
    del losses["loss_classifier"]
    torch.stack(list(losses.values())).sum().backward()
    touched = {name for name, found in gradients(model).items() if found}
    assert {name.split(".")[0] for name in touched} == {
        "generator",
        "semantic_projection",
        "disentangler",
    }


@pytest.mark.parametrize("source", ["synthetic", "both"])
def test_every_loss_is_finite(
    source: str, make_model: Callable, rng: torch.Generator, seed: int
) -> None:
    model = make_model("PADing", {"MODEL.ZERO_SHOT.STRUCTURE_SOURCE": source})
    losses = losses_of(model, rng)
    assert len(losses) == 7
    assert all(value.isfinite() and value > 0 for value in losses.values())


@pytest.mark.parametrize(("choice", "classes"), [("seen", (0, 2, 4)), ("first_156", range(6))])
def test_logits_that_guide_the_generator(
    choice: str, classes: tuple[int, ...], make_model: Callable, rng: torch.Generator, seed: int
) -> None:
    model = make_model("PADing", {"MODEL.ZERO_SHOT.GENERATOR_CLASS_LOGITS": choice}).eval()
    labels = torch.tensor([4, 0, 2])
    real = torch.randn(3, 32, generator=rng)
    tokens = model.semantic_tokens()
    synthetic, unseen = model.synthetic(tokens, labels, model.unseen)
    step = model.generator_step(tokens, synthetic, unseen, real, labels)
    logits = model.classifier(step.synthetic)
    torch.testing.assert_close(step.guiding_logits, logits[:, list(classes)])
    own = step.guiding_logits.gather(1, step.guiding_labels[:, None])
    torch.testing.assert_close(own, logits.gather(1, labels[:, None]))


def test_a_cut_that_would_lose_a_seen_class() -> None:
    infos = tuple(ClassInfo(i + 1, f"class {i}", True, i == 0) for i in range(157))
    with pytest.raises(InputError, match="the seen class 'class 156' of split long is not among"):
        guiding_classes(ClassSplit("long", infos), "first_156")


def test_without_structure_there_is_no_disentangler(
    make_model: Callable, rng: torch.Generator, seed: int
) -> None:
    model = make_model("PADing", {"MODEL.ZERO_SHOT.STRUCTURE_WEIGHT": 0.0})
    assert model.disentangler is None
    assert set(losses_of(model, rng)) == {
        "loss_classifier",
        "loss_moment",
        "loss_generator_class",
    }


def test_batch_without_a_matched_query_trains_the_classifier_alone(
    make_model: Callable, rng: torch.Generator, seed: int
) -> None:
    model = make_model("PADing").train()
    embeddings = torch.randn(6, 32, generator=rng)
    losses = model.zero_shot_losses(embeddings, torch.full((6,), NO_OBJECT))
    torch.stack(list(losses.values())).sum().backward()
    assert all(value.isfinite() for value in losses.values())
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_segmenter_is_frozen_and_in_evaluation_mode(
    make_model: Callable, make_batch: Callable, seed: int
) -> None:
    model = make_model("PADing").train()
    assert model.training
    assert model.generator.training
    frozen = (model.backbone, model.sem_seg_head)
    assert not any(module.training for part in frozen for module in part.modules())
    assert not any(p.requires_grad for part in frozen for p in part.parameters())
    before = {n: v.clone() for n, v in model.state_dict().items() if "running" in n}
    losses = model(StageTwoBatch(*model.labelled_embeddings(make_batch([0, 2], [4]))))
    torch.stack(list(losses.values())).sum().backward()
    assert before
    assert all(torch.equal(model.state_dict()[n], v) for n, v in before.items())


def test_labelled_embeddings(make_model: Callable, make_batch: Callable, seed: int) -> None:
    model = make_model("PADing").train()
    embeddings, labels = model.labelled_embeddings(make_batch([0, 2, 4], []))
    assert embeddings.shape == (16, 32)
    assert not embeddings.requires_grad
    assert sorted(labels[:8].tolist()) == [0, 2, 4] + [NO_OBJECT] * 5
    assert labels[8:].tolist() == [NO_OBJECT] * 8


@pytest.mark.parametrize(("classes", "each"), [(1, 1), (2, 3), (9, 1)])
def test_unseen_classes_are_drawn_without_repeat(
    classes: int, each: int, make_model: Callable, rng: torch.Generator, seed: int, monkeypatch
) -> None:
    model = make_model(
        "PADing",
        {
            "MODEL.ZERO_SHOT.NUM_UNSEEN_CLASSES": classes,
            "MODEL.ZERO_SHOT.NUM_PER_UNSEEN_CLASS": each,
        },
    )
    steps = []
    monkeypatch.setattr(
        model.zero_shot_criterion,
        "classifier_loss",
        lambda step: steps.append(step) or step.logits.sum(),
    )
    losses_of(model, rng)
    drawn = steps[0].labels[12:].tolist()
    counts = {label: drawn.count(label) for label in drawn}
    assert set(counts) <= set(UNSEEN)
    assert len(counts) == min(classes, len(UNSEEN))
    assert set(counts.values()) == {each}
    assert len(steps[0].logits) == 12 + len(drawn)


def test_the_classifier_decides_at_inference(
    make_model: Callable, make_batch: Callable, seed: int
) -> None:
    model = make_model("PADing").eval()
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.copy_(torch.tensor([0.0, 9, 0, 0, 0, 0]))
        [result] = model(make_batch([0]))
    assert (result["sem_seg"].argmax(0) == 1).all()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"MODEL.SEGMENTER.CLASSES": "seen"}, r'MODEL\.SEGMENTER\.CLASSES must be "all"'),
        (
            {"MODEL.ZERO_SHOT.STRUCTURE_SOURCE": "real"},
            r"MODEL\.ZERO_SHOT\.STRUCTURE_SOURCE is 'real'",
        ),
        (
            {"MODEL.ZERO_SHOT.GENERATOR_CLASS_LOGITS": "first"},
            r"MODEL\.ZERO_SHOT\.GENERATOR_CLASS_LOGITS is 'first'",
        ),
    ],
)
def test_settings_that_cannot_work(
    overrides: dict[str, object], message: str, make_model: Callable
) -> None:
    with pytest.raises(InputError, match=message):
        make_model("PADing", overrides)


def test_an_unseen_class_in_training_is_refused(
    make_model: Callable, make_batch: Callable, seed: int
) -> None:
    model = make_model("PADing").train()
    with pytest.raises(InputError, match="0.png: a segment of the unseen class 'fork' in training"):
        model.labelled_embeddings(make_batch([0, 1]))
