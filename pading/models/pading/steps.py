"""What the losses of stage 2 look at: generator's and classifier's step (PADing, section 3)."""

from typing import NamedTuple

import torch
from torch import Tensor

from pading.models.pading.disentanglement import Disentangler, Parts


class StageTwoBatch(NamedTuple):
    """What one step of stage 2 learns from."""

    embeddings: Tensor
    """(R, C) class embeddings of queries, without gradient."""
    labels: Tensor
    """(R,) int64 in [0, K]; K is no-object."""
    no_object_share: float = 1.0
    """Share of the unmatched queries that these are, in (0, 1]."""


class Group(NamedTuple):
    """Disentangled embeddings of the seen or of the unseen classes."""

    embeddings: Tensor
    """(N, C)."""
    labels: Tensor
    """(N,) int64, among the classes of the group."""
    parts: Parts
    relation_scores: Tensor
    """(N, classes of the group)."""
    tokens: Tensor
    """(N, C), the semantic token of each row's class."""
    noise: Tensor
    """(N, C), standard normal: what the unrelated part should look like."""


class GeneratorStep(NamedTuple):
    """What the generator's losses look at."""

    synthetic: Tensor
    """(N, C) one synthetic embedding for each real one."""
    real: Tensor
    """(N, C) matched embeddings."""
    guiding_logits: Tensor
    """(N, G) the classifier's logits of the synthetic embeddings: the seen classes', or what the
    published code takes (MODEL.ZERO_SHOT.GENERATOR_CLASS_LOGITS)."""
    guiding_labels: Tensor
    """(N,) int64, among those G."""
    groups: tuple[Group, Group] | None
    """Seen and unseen; None where disentanglement and alignment are off."""


class ClassifierStep(NamedTuple):
    """What the classifier's loss looks at."""

    logits: Tensor
    """(R, K + 1), of real and synthetic embeddings."""
    labels: Tensor
    """(R,) int64 in [0, K]; K is no-object."""
    unseen: Tensor
    """(U,) int64, the unseen classes."""
    no_object_share: float = 1.0
    """Share of the unmatched queries that are among the rows, in (0, 1]."""


def disentangled(
    disentangler: Disentangler,
    tokens: Tensor,
    seen: tuple[Tensor, Tensor, Tensor],
    unseen: tuple[Tensor, Tensor, Tensor],
) -> tuple[Group, Group]:
    """Disentangle embeddings of seen and of unseen classes, in one pass.

    Args:
        disentangler: of all groups.
        tokens: (K, C) semantic tokens.
        seen, unseen: embeddings (N, C), their classes (N,) int64 in [0, K), and all classes of the
            group, ascending.
    """
    groups = (seen, unseen)
    parts = disentangler(torch.cat([embeddings for embeddings, _, _ in groups]))
    sizes = [len(embeddings) for embeddings, _, _ in groups]
    pieces = zip(*(part.split(sizes) for part in parts), strict=True)
    found = []
    for (embeddings, classes, members), piece in zip(groups, pieces, strict=True):
        labels, own = torch.searchsorted(members, classes), tokens[members]
        mine = Parts(*piece)
        found.append(
            Group(
                embeddings=embeddings,
                labels=labels,
                parts=mine,
                relation_scores=disentangler.relation_scores(mine.related, own),
                tokens=own[labels],
                noise=torch.randn_like(mine.unrelated, dtype=torch.float32),
            )
        )
    return found[0], found[1]
