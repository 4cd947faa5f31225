"""A generator without a training of its own: where a class's embeddings lie is a linear map.

From few seen classes, what a trained generator makes of unseen ones hangs on its rate and on the
seed. Ridge regression from class vectors to mean embeddings has one answer (as Verma and Rai,
ECML-PKDD 2017, regress the parameters of class distributions); around the mean, embeddings are
spread as those of seen classes are around theirs. This is ours; the paper has primitives.
"""

import torch
from torch import Tensor, nn

_KEPT = 512
# Of the penalty, where the vectors of all seen classes are the same.
_TINY = 1e-12


class RidgeGenerator(nn.Module):
    """Class vectors to mean embeddings, and deviations of real embeddings around them.

    It has no parameters. It learns by :meth:`observe`, and its buffers are part of a checkpoint.
    """

    vectors: Tensor
    means: Tensor
    counts: Tensor
    deviations: Tensor
    kept: Tensor

    def __init__(self, class_vectors: Tensor, dim: int, *, penalty: float, noise: bool) -> None:
        """
        Args:
            class_vectors: (K, d).
            dim: C, width of an embedding.
            penalty: of the regression's weights, beside the mean squared length of the seen
                classes' centred vectors.
            noise: whether many embeddings come of a class; without, all are its mean.
        """
        super().__init__()
        self.penalty, self.noise = penalty, noise
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
        centres = self.centres(vectors)
        if not self.noise:
            return centres
        held = int(self.kept.clamp(max=_KEPT))
        if not held:
            return centres
        drawn = torch.randint(held, (len(centres),), device=centres.device)
        return centres + self.deviations[drawn]

    def centres(self, vectors: Tensor) -> Tensor:
        """(N, C) the mean embeddings that are expected of classes with vectors (N, d)."""
        seen = self.counts > 0
        if not seen.any():
            return self.means.new_zeros(len(vectors), self.means.shape[1])
        # In float64: of K classes whose vectors are alike, the K x K system is badly conditioned.
        known, means = self.vectors[seen].double(), self.means[seen].double()
        centre, mean = known.mean(0), means.mean(0)
        known, means = known - centre, means - mean
        kernel = known @ known.T
        ridge = (self.penalty * kernel.diagonal().mean()).clamp_min(_TINY)
        weights = torch.linalg.solve(kernel + ridge * torch.eye(len(known)).to(kernel), means)
        found = (vectors.double() - centre) @ known.T @ weights + mean
        return found.to(self.means.dtype)
