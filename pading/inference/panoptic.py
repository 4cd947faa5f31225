"""From class scores and masks of queries to segments that do not overlap.

Mask2Former (Cheng et al., CVPR 2022), section 3 and its released inference procedure.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from pading.inference.bands import Band
from pading.inference.query_scores import confident_queries


class PanopticPart:
    """Every pixel goes to at most one segment."""

    def __init__(
        self,
        scores: Tensor,
        size: tuple[int, int],
        things: Sequence[int],
        score_threshold: float,
        overlap_threshold: float,
    ) -> None:
        """
        Args:
            scores: (Q, K + 1) class probabilities.
            size: height and width.
            things: contiguous indices of the countable classes.
            score_threshold: see :func:`~pading.inference.query_scores.confident_queries`.
            overlap_threshold: a segment stays if the pixels won are at least this share of its
                mask's.
        """
        self.queries = confident_queries(scores, score_threshold).nonzero()[:, 0]
        self._scores = scores[self.queries]
        self._best, self._labels = self._scores.max(-1)
        self._things, self._overlap_threshold = set(things), overlap_threshold
        # At every pixel, the query that wins it, and whether it lies inside that query's mask.
        self._winner = torch.zeros(size, dtype=torch.long, device=scores.device)
        self._inside = torch.zeros(size, dtype=torch.bool, device=scores.device)
        self._areas = scores.new_zeros(len(self.queries))
        self._order = torch.arange(len(self.queries), 0, -1).to(scores)[:, None, None]

    def take(self, band: Band) -> None:
        # The first of those that score best, as argmax gives, which takes a CPU ten times as long.
        scores = self._best[:, None, None] * band.chances
        winner = len(self._order) - (scores.eq_(scores.amax(0)) * self._order).amax(0)
        self._winner[band.rows] = winner
        chances = band.chances.gather(0, self._winner[None, band.rows])[0]
        torch.ge(chances, 0.5, out=self._inside[band.rows])
        # Numbers instead of truth values, which a sum copies to integers first.
        inside = torch.ge(band.chances, 0.5, out=scores)
        self._areas += inside.flatten(1).sum(1)

    @property
    def result(self) -> tuple[Tensor, list[dict], Tensor]:
        """(H, W) int32 segment ids (0: nothing); for every segment its ``id``, ``category_id``,
        ``isthing`` and ``score``; and (segments, K) the class probabilities of its query. Segments
        of one stuff class are one: its score is the first query's, its probabilities are those of
        the query that scores best.
        """
        count = len(self._labels)
        if not count:
            ids = torch.zeros_like(self._winner, dtype=torch.int32)
            return ids, [], self._scores[:, :-1]
        areas_won = self._winner.flatten().bincount(minlength=count).tolist()
        areas_visible = self._winner[self._inside].bincount(minlength=count).tolist()
        areas, best_scores = self._areas.tolist(), self._best.tolist()
        ids_of_queries = torch.zeros(count, dtype=torch.int32)
        segments: list[dict] = []
        best_queries: list[int] = []  # of each segment
        stuff_ids: dict[int, int] = {}
        for query, label in enumerate(self._labels.tolist()):
            if not (areas[query] and areas_visible[query]):
                continue
            if areas_won[query] / areas[query] < self._overlap_threshold:
                continue
            isthing = label in self._things
            if not isthing and label in stuff_ids:
                segment_id = stuff_ids[label]
                ids_of_queries[query] = segment_id
                if best_scores[query] > best_scores[best_queries[segment_id - 1]]:
                    best_queries[segment_id - 1] = query
                continue
            segment_id = len(segments) + 1
            ids_of_queries[query] = segment_id
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
        ids = ids_of_queries.to(self._winner.device)[self._winner] * self._inside
        return ids, segments, self._scores[best_queries, :-1]
