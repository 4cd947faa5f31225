"""A generator without a training of its own: where a class's embeddings lie is a linear map.

From few seen classes, what a trained generator makes of unseen ones hangs on its rate and on the
seed. Ridge regression from class vectors to mean embeddings has one answer (as Verma and Rai,
ECML-PKDD 2017, regress the parameters of class distributions); around the mean, embeddings are
spread as those of seen classes are around theirs. The mean itself is uncertain: each seen class
lies off what the others foretell of it. Synthetic embeddings stray with such errors, so that the
classifier leaves unseen classes the room that they need. This is ours; the paper has primitives.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

_KEPT = 512
# Of the penalty, where the vectors of all seen classes are the same.
_TINY = 1e-12


class _Regression(NamedTuple):
    """From the centred vectors of S seen classes to their means, in float64."""

    known: Tensor
    """(S, d) the centred vectors."""
    centre: Tensor
    """(d,) what they were centred by."""
    mean: Tensor
    """(C,) of the means."""
    weights: Tensor
    """(S, C)."""
    errors: Tensor
    """(S, C) each mean, less what the regression on all other classes makes of it."""

    def at(self, vectors: Tensor) -> Tensor:
        """(N, C) the means that are expected of vectors (N, d)."""
        return (vectors.double() - self.centre) @ self.known.T @ self.weights + self.mean


class RidgeGenerator(nn.Module):
    """Class vectors to mean embeddings, and deviations of real embeddings around them.

    It has no parameters. It learns by :meth:`observe`, and its buffers are part of a checkpoint.
    """

    vectors: Tensor
    means: Tensor
    counts: Tensor
    deviations: Tensor
    kept: Tensor

    def __init__(
        self, class_vectors: Tensor, dim: int, *, penalty: float, noise: bool, error: float
    ) -> None:
        """
        Args:
            class_vectors: (K, d).
            dim: C, width of an embedding.
            penalty: of the regression's weights, beside the mean squared length of the seen
                classes' centred vectors.
            noise: whether many embeddings come of a class; without, all are its mean.
            error: how far these stray with the regression's error, beside its size on seen classes.
        """
        super().__init__()
        self.penalty, self.noise, self.error = penalty, noise, error
        self.register_buffer("vectors", class_vectors.clone())
        self.register_buffer("means", torch.zeros(len(class_vectors), dim))
        self.register_buffer("counts", torch.zeros(len(class_vectors), dtype=torch.int64))
        # The last real embeddings, less the means of their classes; a ring.
        self.register_buffer("deviations", torch.zeros(_KEPT, dim))
        self.register_buffer("kept", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def observe(self, embeddings: Tensor, labels: Tensor) -> None:
        """Take in real embeddings (R, C) of classes (R,) in [0, K)."""
        embeddings = embeddings.to(self.means.dtype)
        met = labels.bincount(minlength=len(self.counts))
        self.counts += met
        off = embeddings - self.means[labels]
        self.means.index_add_(0, labels, off / self.counts[labels, None])
        off = (embeddings - self.means[labels])[-_KEPT:]
        places = (self.kept + torch.arange(len(off), device=labels.device)) % _KEPT
        self.deviations[places] = off
        self.kept += len(off)

    @torch.no_grad()
    def forward(self, vectors: Tensor) -> Tensor:
        """(N, d) vectors of the wanted classes -> (N, C) synthetic embeddings."""
        regression = self._regression()
        if regression is None:
            return self.means.new_zeros(len(vectors), self.means.shape[1])
        found = regression.at(vectors).to(self.means.dtype)
        if not self.noise:
            return found
        held = int(self.kept.clamp(max=_KEPT))
        found = found + self.deviations[torch.randint(held, (len(found),), device=found.device)]
        # Normal, with the second moments of the errors.
        errors = regression.errors.to(found) * (self.error / len(regression.errors) ** 0.5)
        return found + torch.randn(len(found), len(errors), device=found.device) @ errors

    def _regression(self) -> _Regression | None:
        """Fitted to the classes met so far; None before the first."""
        seen = self.counts > 0
        if not seen.any():
            return None
        # In float64: of K classes whose vectors are alike, the K x K system is badly conditioned.
        known, means = self.vectors[seen].double(), self.means[seen].double()
        centre, mean = known.mean(0), means.mean(0)
        known, means = known - centre, means - mean
        kernel = known @ known.T
        ridge = (self.penalty * kernel.diagonal().mean()).clamp_min(_TINY)
        inverse = torch.linalg.inv(kernel + ridge * torch.eye(len(known)).to(kernel))
        weights = inverse @ means
        # Leaving a class out, in closed form (Allen's PRESS); the last term is the intercept's.
        left = inverse.diagonal() - 1 / (len(known) * ridge)
        errors = weights / left[:, None] if len(known) > 1 else torch.zeros_like(weights)
        return _Regression(known, centre, mean, weights, errors)
