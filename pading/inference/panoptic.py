"""From class scores and masks of queries to segments that do not overlap.

Mask2Former (Cheng et al., CVPR 2022), section 3 and its released inference procedure.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from pading.inference.query_scores import confident_queries


def panoptic_inference(
    scores: Tensor,
    masks: Tensor,
    things: Sequence[int],
    score_threshold: float,
    overlap_threshold: float,
) -> tuple[Tensor, list[dict], Tensor]:
    """Give every pixel to at most one segment.

    Args:
        scores: (Q, K + 1) class probabilities.
        masks: (Q, H, W) mask logits.
        things: contiguous indices of the countable classes.
        score_threshold: see :func:`~pading.inference.query_scores.confident_queries`.
        overlap_threshold: a segment stays if the pixels won are at least this share of its mask's.

    Returns:
        (H, W) int32 segment ids (0: nothing); for every segment its ``id``, ``category_id``,
        ``isthing`` and ``score``; and (segments, K) the class probabilities of its query. Segments
        of one stuff class are one: its score is the first query's, its probabilities are those of
        the query that scores best.
    """
    chosen = confident_queries(scores, score_threshold)
    best, labels = scores[chosen].max(-1)
    probabilities = masks[chosen].sigmoid()
    result = torch.zeros(masks.shape[-2:], dtype=torch.int32, device=masks.device)
    if not len(labels):
        return result, [], scores.new_zeros(0, scores.shape[-1] - 1)

    inside = probabilities >= 0.5
    # As argmax gives, which takes a CPU five times as long.
    winner = (best[:, None, None] * probabilities).max(0).indices
    won = winner == torch.arange(len(labels), device=masks.device)[:, None, None]
    areas = inside.flatten(1).sum(1).tolist()
    areas_won = won.flatten(1).sum(1).tolist()
    won &= inside
    areas_visible = won.flatten(1).sum(1).tolist()

    best_scores = best.tolist()
    segments: list[dict] = []
    best_queries: list[int] = []  # of each segment
    stuff_ids: dict[int, int] = {}
    countable = set(things)
    for query, label in enumerate(labels.tolist()):
        if not (areas[query] and areas_won[query] and areas_visible[query]):
            continue
        if areas_won[query] / areas[query] < overlap_threshold:
            continue
        isthing = label in countable
        if not isthing and label in stuff_ids:
            segment_id = stuff_ids[label]
            result[won[query]] = segment_id
            if best_scores[query] > best_scores[best_queries[segment_id - 1]]:
                best_queries[segment_id - 1] = query
            continue
        segment_id = len(segments) + 1
        result[won[query]] = segment_id
        segments.append(
            {
                "id": segment_id,
                "isthing": isthing,
                "category_id": label,
                "score": best_scores[query],
            }
        )
        best_queries.append(query)
        if not isthing:
            stuff_ids[label] = segment_id
    return result, segments, scores[chosen][best_queries, :-1]
