"""Losses and matching against the recordings of the published code."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from pading.losses.matcher import pairing_cost
from pading.losses.moment_matching import moment_matching_loss
from pading.losses.structure import cosine_similarity, softened_divergence
from tests.modeling.recordings import MASK2FORMER, PADING, Recording

DRAWS = 24
STANDARD_ERRORS = 4
# Losses are sums of thousands of float32 numbers; a recorded standard error may be 0.
ROUNDING = 1e-5


def read(shared: Path, name: str, factory: pytest.TempPathFactory) -> Recording:
    return Recording(shared / "golden" / "model" / f"{name}.npz", factory.mktemp(name))


@pytest.fixture(scope="module", params=MASK2FORMER)
def stage_one(
    request: pytest.FixtureRequest, shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> Recording:
    return read(shared, request.param, tmp_path_factory)


@pytest.fixture(scope="module")
def stage_two(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return read(shared, PADING, tmp_path_factory)


def test_mean_segmenter_losses(stage_one: Recording, seed: int) -> None:
    model = stage_one.model
    images = model.preprocess(stage_one.batch)
    targets = model.targets(stage_one.batch, images)
    model.train()
    try:
        with torch.no_grad():
            predictions = model.segment(images)
            draws = [model.criterion(predictions, targets) for _ in range(DRAWS)]
    finally:
        model.eval()
    names = stage_one.parsed("loss_names")
    assert set(draws[0]) == set(names)
    ours = np.array([[draw[name].item() for name in names] for draw in draws])
    mean, error = ours.mean(0), ours.std(0, ddof=1) / DRAWS**0.5
    wanted = stage_one.numbers("loss_mean")
    allowed = STANDARD_ERRORS * np.hypot(error, stage_one.numbers("loss_standard_error"))
    allowed += ROUNDING * wanted
    for name, value, recorded, tolerance in zip(names, mean, wanted, allowed, strict=True):
        assert abs(value - recorded) <= tolerance, name


def test_pairing_costs_no_more_than_the_recorded(stage_two: Recording, seed: int) -> None:
    model = stage_two.model
    images = model.preprocess(stage_two.batch)
    [target] = model.targets(stage_two.batch, images)
    with torch.no_grad():
        predictions = model.segment(images)
    [[(query, segment)]] = model.criterion.match([predictions], [target])
    height, width = target.masks.shape[-2:]
    y, x = torch.meshgrid(
        (torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width, indexing="ij"
    )
    everywhere = torch.stack((x, y), dim=-1).reshape(1, -1, 2)
    [dense] = pairing_cost(
        predictions.logits, predictions.masks, target, everywhere, model.criterion.weights
    )
    ours = dense[query, segment].sum().item()
    # The recording names queries and their labels; two targets may share a label.
    recorded_query = stage_two.tensor("matched_query")
    recorded_label = stage_two.tensor("matched_label")
    candidates = dense[recorded_query].clone()
    candidates[recorded_label[:, None] != target.labels] = float("inf")
    recorded = cheapest_pairing(candidates.numpy())
    assert ours <= recorded + 0.01 * abs(recorded)


def cheapest_pairing(cost: np.ndarray) -> float:
    """Over the few pairings that the labels allow, by trying them all."""
    if not len(cost):
        return 0.0
    return min(
        cost[0, j] + cheapest_pairing(np.delete(cost[1:], j, axis=1))
        for j in range(cost.shape[1])
        if np.isfinite(cost[0, j])
    )


def test_moment_matching(stage_two: Recording) -> None:
    model = stage_two.model
    tokens = model.semantic_projection(model.class_vectors)
    with torch.no_grad():
        synthetic = model.generator(tokens[stage_two.tensor("matched_label")])
        loss = moment_matching_loss(
            synthetic, stage_two.tensor("real_embeddings"), [2, 5, 10, 20, 40, 80]
        )
    assert loss.item() == pytest.approx(stage_two.numbers("part/gmmn_loss/0").item(), rel=1e-5)


def test_divergences(stage_two: Recording) -> None:
    unrelated = [stage_two.tensor(f"part/projection_unrelated/{i}") for i in (0, 1)]
    r, ru = (stage_two.tensor(f"part/projection_related/{i}") for i in (0, 1))
    s, su = (stage_two.tensor(f"part/fc_projection/{i}") for i in (0, 1))
    s = s[stage_two.tensor("matched_label")]
    pairs = [
        (unrelated[0], stage_two.tensor("noise/0")),
        (cosine_similarity(r, r), cosine_similarity(s, s)),
        (cosine_similarity(ru, ru), cosine_similarity(su, su)),
        (cosine_similarity(r, ru), cosine_similarity(s, su)),
        (unrelated[1], stage_two.tensor("noise/1")),
    ]
    for i, (values, target) in enumerate(pairs):
        loss = softened_divergence(values, target, 0.1).item()
        wanted = stage_two.numbers(f"part/kl_loss/{i}").item()
        assert loss == pytest.approx(wanted, rel=1e-4), i


def test_sum_of_the_generator_losses(stage_two: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    model = stage_two.model
    embeddings, labels = real_embeddings(stage_two)
    noises = iter([stage_two.tensor("noise/0"), stage_two.tensor("noise/1")])
    monkeypatch.setattr(torch, "randn_like", lambda like, **_: next(noises))
    with torch.no_grad():
        losses = model.zero_shot_losses(embeddings, labels)
        # The published L_cls runs over all 66 logits here; ours, over the seen classes.
        synthetic = model.generator(model.semantic_projection(model.class_vectors)[labels])
        losses["loss_generator_class"] = 0.001 * F.cross_entropy(
            model.classifier(synthetic), labels
        )
    del losses["loss_classifier"]
    total = torch.stack(list(losses.values())).sum().item()
    assert total == pytest.approx(stage_two.numbers("generate_loss").item(), rel=1e-5)


def test_classifier_loss(stage_two: Recording, seed: int) -> None:
    embeddings = stage_two.tensor("pred_embed")[0]
    labels = stage_two.tensor("query_label")[0]
    with torch.no_grad():
        losses = stage_two.model.zero_shot_losses(embeddings, labels)
    wanted = stage_two.numbers("classifier_loss_all_unseen").item()
    assert losses["loss_classifier"].item() == pytest.approx(wanted, rel=1e-5)


def real_embeddings(recording: Recording) -> tuple[torch.Tensor, torch.Tensor]:
    return recording.tensor("real_embeddings"), recording.tensor("matched_label")
