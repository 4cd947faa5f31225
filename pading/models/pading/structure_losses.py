"""Disentanglement and relation alignment (PADing, sections 3.3 and 3.4).

METHOD: L_u, L_rel, L_rec, L_align.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def softened_divergence(values: Tensor, target: Tensor, temperature: float) -> Tensor:
    """Kullback-Leibler divergence of rows' softmax from the target's, mean over all entries.

    Args:
        values, target: (N, D) logits.
        temperature: divides both.

    Returns:
        scalar; 0 where there are no rows.
    """
    divergence = F.kl_div(
        (values / temperature).log_softmax(-1),
        (target / temperature).log_softmax(-1),
        reduction="sum",
        log_target=True,
    )
    return divergence / max(values.numel(), 1)


def unrelated_loss(unrelated: Tensor, noise: Tensor, temperature: float) -> Tensor:
    """L_u: the unrelated part should look like noise and so say nothing of the class.

    Args:
        unrelated: (N, C).
        noise: (N, C), standard normal.
    """
    return softened_divergence(unrelated, noise, temperature)


def relation_loss(scores: Tensor, labels: Tensor) -> Tensor:
    """L_rel: a related part fits its own class best among its group's.

    Args:
        scores: (N, K) in (0, 1).
        labels: (N,) int64 in [0, K).
    """
    return F.cross_entropy(scores, labels, reduction="sum") / max(len(labels), 1)


def reconstruction_loss(rebuilt: Tensor, embeddings: Tensor) -> Tensor:
    """L_rec: mean absolute difference of (N, C); nothing is lost by disentangling."""
    return F.l1_loss(rebuilt, embeddings, reduction="sum") / max(embeddings.numel(), 1)


def alignment_loss(
    related_seen: Tensor,
    related_unseen: Tensor,
    tokens_seen: Tensor,
    tokens_unseen: Tensor,
    temperature: float,
) -> Tensor:
    """L_align: related parts stand to each other as the semantic tokens of their classes do.

    Args:
        related_seen, tokens_seen: (N, C), row by row of the same class.
        related_unseen, tokens_unseen: (M, C), likewise.

    Returns:
        scalar: the mean over seen-seen, unseen-unseen and seen-unseen pairs.
    """
    rs, ru, ss, su = (
        F.normalize(x, dim=-1) for x in (related_seen, related_unseen, tokens_seen, tokens_unseen)
    )
    pairs = ((rs, rs, ss, ss), (ru, ru, su, su), (rs, ru, ss, su))
    losses = [softened_divergence(r1 @ r2.T, s1 @ s2.T, temperature) for r1, r2, s1, s2 in pairs]
    return torch.stack(losses).mean()


def cosine_similarity(a: Tensor, b: Tensor) -> Tensor:
    """(N, M) cosine of the angle between each row of a (N, C) and of b (M, C)."""
    return F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T
