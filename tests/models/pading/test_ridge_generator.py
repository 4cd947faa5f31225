"""Ridge regression as a generator: against the primal solution in NumPy, and inside stage 2."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from pading.checkpoint.checkpointer import Checkpointer
from pading.config import load_config
from pading.engine.optimizers import build_optimizer
from pading.models.pading.ridge_generator import RidgeGenerator
from pading.vocabulary.splits import ClassInfo, ClassSplit
from tests.models.pading.test_stage_two import NO_OBJECT, UNSEEN
from tests.narrow import SHAPES

RIDGE = {"MODEL.GENERATOR.NAME": "ridge"}
SEEN = [0, 2, 4]
K, D, C = 9, 6, 5


def observed(
    rng: torch.Generator, noise: bool = False, error: float = 0.0
) -> tuple[RidgeGenerator, torch.Tensor, torch.Tensor]:
    """A generator that has met all classes but the last two, in batches; and what it met."""
    vectors = torch.randn(K, D, generator=rng)
    ridge = RidgeGenerator(vectors, C, penalty=0.3, noise=noise, error=error)
    labels = torch.arange(K - 2).repeat(30)[torch.randperm(30 * (K - 2), generator=rng)]
    embeddings = torch.randn(len(labels), C, generator=rng) + labels[:, None]
    for rows in torch.arange(len(labels)).split(11):
        ridge.observe(embeddings[rows], labels[rows])
    return ridge, embeddings, labels


def test_centres_equal_the_primal_solution(rng: torch.Generator, seed: int) -> None:
    ridge, embeddings, labels = observed(rng)
    met = range(K - 2)
    means = np.stack([embeddings[labels == k].double().mean(0).numpy() for k in met])
    torch.testing.assert_close(
        ridge.means[: K - 2].double(), torch.from_numpy(means), rtol=1e-4, atol=1e-4
    )
    vectors = ridge.vectors.double().numpy()
    known = vectors[: K - 2] - vectors[: K - 2].mean(0)
    penalty = 0.3 * (known**2).sum(1).mean()
    weights = np.linalg.solve(
        known.T @ known + penalty * np.eye(D), known.T @ (means - means.mean(0))
    )
    wanted = (vectors - vectors[: K - 2].mean(0)) @ weights + means.mean(0)
    found = ridge(ridge.vectors).double()
    torch.testing.assert_close(found, torch.from_numpy(wanted), rtol=1e-4, atol=1e-4)


def test_a_linear_world_is_learned(rng: torch.Generator, seed: int) -> None:
    world = torch.randn(D, C, generator=rng)
    ridge = RidgeGenerator(
        torch.randn(40, D, generator=rng), C, penalty=1e-6, noise=False, error=0.5
    )
    seen = torch.arange(30)
    ridge.observe(ridge.vectors[seen] @ world, seen)
    torch.testing.assert_close(ridge(ridge.vectors), ridge.vectors @ world, rtol=1e-2, atol=1e-2)


def added_noise(ridge: RidgeGenerator, count: int) -> torch.Tensor:
    """(count, C) what is around the mean of the last class."""
    vectors = ridge.vectors[-1:].expand(count, -1)
    found = ridge(vectors)
    ridge.noise = False
    return found - ridge(vectors)


def test_noise_is_that_of_real_embeddings(rng: torch.Generator, seed: int) -> None:
    ridge, embeddings, labels = observed(rng, noise=True)
    added = added_noise(ridge, 2000)
    held = ridge.deviations[: int(ridge.kept)]
    assert len(held) == len(labels)
    distances = torch.cdist(added, held, compute_mode="donot_use_mm_for_euclid_dist")
    assert (distances.min(1).values < 1e-4).all()
    assert len(distances.argmin(1).unique()) > 150  # of 210
    # The last one deviates from a mean that has not moved since.
    torch.testing.assert_close(held[-1], embeddings[-1] - ridge.means[labels[-1]])


def test_embeddings_stray_as_classes_left_out_do(rng: torch.Generator, seed: int) -> None:
    ridge, _, _ = observed(rng, noise=True, error=1.5)
    ridge.deviations.zero_()
    vectors, means = ridge.vectors[: K - 2].double(), ridge.means[: K - 2].double()
    centred = vectors - vectors.mean(0)
    penalty = 0.3 * centred.square().sum(1).mean()  # of all classes, whichever is left out
    errors = []
    for left_out in range(K - 2):
        others = [k for k in range(K - 2) if k != left_out]
        x, y = vectors[others], means[others]
        known = x - x.mean(0)
        normal = known.T @ known + penalty * torch.eye(D, dtype=torch.float64)
        weights = torch.linalg.solve(normal, known.T @ (y - y.mean(0)))
        errors.append(means[left_out] - (vectors[left_out] - x.mean(0)) @ weights - y.mean(0))
    wanted = 1.5**2 * torch.stack(errors).T @ torch.stack(errors) / (K - 2)
    added = added_noise(ridge, 40_000).double()
    found = added.T @ added / len(added)
    torch.testing.assert_close(found, wanted, rtol=0.05, atol=0.03 * wanted.diagonal().max())


def test_a_ring_keeps_the_last(rng: torch.Generator, seed: int) -> None:
    ridge = RidgeGenerator(torch.randn(2, D, generator=rng), C, penalty=0.1, noise=True, error=0.5)
    for _ in range(7):
        ridge.observe(torch.randn(100, C, generator=rng), torch.randint(2, (100,), generator=rng))
    last = torch.randn(600, C, generator=rng)
    ridge.observe(last, torch.zeros(600, dtype=torch.int64))
    assert int(ridge.kept) == 700 + 512
    wanted = (last - ridge.means[0])[-512:].sort(0).values
    torch.testing.assert_close(ridge.deviations.sort(0).values, wanted)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_few_or_equal_classes(count: int, rng: torch.Generator, seed: int) -> None:
    ridge = RidgeGenerator(torch.ones(4, D), C, penalty=0.1, noise=True, error=0.5)
    labels = torch.arange(count)
    embeddings = torch.randn(count, C, generator=rng)
    ridge.observe(embeddings, labels)
    assert ridge(torch.ones(2, D)).isfinite().all()
    ridge.noise = False
    wanted = embeddings.mean(0) if count else torch.zeros(C)
    found = ridge(torch.randn(2, D, generator=rng))
    torch.testing.assert_close(found, wanted.expand(2, -1))


def batch_of(width: int, rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    labels = torch.tensor([*SEEN, 0, 2] + [NO_OBJECT] * 7)
    return torch.randn(12, width, generator=rng), labels


def test_stage_two_trains_the_classifier_alone(
    make_model: Callable, rng: torch.Generator, tmp_path: Path, seed: int
) -> None:
    model = make_model("PADing", RIDGE).train()
    losses = model.zero_shot_losses(*batch_of(32, rng))
    assert set(losses) == {"loss_classifier"}
    losses["loss_classifier"].backward()
    trained = {n.split(".")[0] for n, p in model.named_parameters() if p.requires_grad}
    assert trained == {"classifier"}
    assert model.generator.counts.tolist() == [2, 0, 2, 0, 1]
    torch.save({"model": model.state_dict()}, tmp_path / "model_final.pth")
    again = make_model("PADing", RIDGE)
    Checkpointer(again).load(str(tmp_path / "model_final.pth"))
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    torch.manual_seed(seed)
    wanted = model.generator(model.semantic_tokens()[list(UNSEEN)])
    torch.manual_seed(seed)
    assert torch.equal(again.generator(again.semantic_tokens()[list(UNSEEN)]), wanted)


def test_its_optimizer_has_no_generator(make_model: Callable) -> None:
    cfg = load_config(str(SHAPES), [])
    assert set(build_optimizer(cfg, make_model("PADing", RIDGE)).optimizers) == {"classifier"}


def test_classes_may_go_and_come(make_model: Callable, rng: torch.Generator, seed: int) -> None:
    model = make_model("PADing", RIDGE).train()
    model.zero_shot_losses(*batch_of(32, rng))
    old = model.split.classes
    kept = [0, 1, 3, 4]
    split = ClassSplit("kitchen", (*(old[i] for i in kept), ClassInfo(9, "knife", True, True)))
    vectors = torch.cat((model.class_vectors[kept], torch.randn(1, 12, generator=rng)))
    grown = model.with_classes(split, vectors, [*kept, None], seed)
    assert grown.generator.counts.tolist() == [2, 0, 0, 1, 0]
    torch.testing.assert_close(grown.generator.means[:4], model.generator.means[kept])
    assert grown.classifier.weight[4].any()
    # The new class lies where the two classes that are left put it.
    wanted = RidgeGenerator(vectors, 32, penalty=model.generator.penalty, noise=False, error=0.5)
    seen = torch.tensor([0, 3])
    wanted.observe(model.generator.means[[0, 4]], seen)
    grown.generator.noise = False
    found = grown.generator(grown.semantic_tokens()[4:])
    torch.testing.assert_close(found, wanted(vectors[4:]), rtol=1e-4, atol=1e-4)
