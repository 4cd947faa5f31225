"""From class scores and masks of queries to instances.

Mask2Former (Cheng et al., CVPR 2022), section 3 and its released inference procedure.
"""

from collections.abc import Sequence

import torch
from detectron2.structures import Boxes, Instances
from torch import Tensor

from pading.inference.bands import Band
from pading.inference.large_maps import large_zeros

_TINY = 1e-6


class InstancePart:
    """The best (query, class) pairs, each with its query's mask."""

    def __init__(
        self,
        scores: Tensor,
        size: tuple[int, int],
        max_instances: int,
        classes: Sequence[int] | None = None,
        candidates: Sequence[int] | None = None,
    ) -> None:
        """
        Args:
            scores: (Q, K + 1) class probabilities.
            size: height and width.
            max_instances: how many pairs to take.
            classes: contiguous indices that may be given; None: all. Pairs of others are dropped
                after the choice, as published, so that fewer may remain.
            candidates: contiguous indices that the choice is made from; None: all.
        """
        columns = torch.arange(scores.shape[-1] - 1, device=scores.device)
        if candidates is not None:
            columns = columns[list(candidates)]
        pairs = scores[:, columns].flatten()
        best, index = pairs.topk(min(max_instances, len(pairs)), sorted=False)
        labels = columns[index % len(columns)]
        query = index.div(len(columns), rounding_mode="floor")
        if classes is not None:
            kept = torch.isin(labels, torch.tensor(classes, device=labels.device))
            best, labels, query = best[kept], labels[kept], query[kept]
        self._best, self._labels, self._class_scores = best, labels, scores[query, :-1]
        # A query can be chosen for several classes: its mask is looked at once.
        self.queries, self._places = query.unique(return_inverse=True)
        count = len(self.queries)
        self._masks = large_zeros((count, *size), scores, torch.bool)
        self._areas, self._chances = scores.new_zeros(2, count)
        self._columns = self._masks.new_zeros(count, size[1])
        self._rows = self._masks.new_zeros(count, size[0])

    def take(self, band: Band) -> None:
        # Numbers: sums and maxima of truth values copy them to integers first, and comparing and
        # copying takes half the time.
        inside = torch.gt(band.masks, 0, out=torch.empty_like(band.masks))
        self._masks[:, band.rows] = inside
        self._areas += inside.flatten(1).sum(1)
        self._chances += inside.mul_(band.chances).flatten(1).sum(1)
        self._columns |= band.masks.amax(1) > 0
        self._rows[:, band.rows] = band.masks.amax(2) > 0

    @property
    def result(self) -> Instances:
        """Instances with ``pred_masks`` (N, H, W) bool, ``pred_boxes``, ``pred_classes``,
        ``scores`` (class probability x mean mask probability inside the mask), and
        ``class_scores`` (N, K), the class probabilities of the query.
        """
        quality = self._chances / (self._areas + _TINY)
        found = Instances((self._masks.shape[1], self._masks.shape[2]))
        found.pred_masks = self._masks[self._places]
        found.pred_boxes = Boxes(boxes(self._columns, self._rows)[self._places])
        found.scores = self._best * quality[self._places]
        found.pred_classes = self._labels
        found.class_scores = self._class_scores
        return found


def boxes(columns: Tensor, rows: Tensor) -> Tensor:
    """The boxes around masks: (N, 4) float32 of x0, y0, x1, y1; 0 where empty.

    Detectron2's own puts them on the CPU, wherever the masks are, and asks a GPU four times a mask.

    Args:
        columns, rows: (N, W) and (N, H) bool, whether anything of the mask lies there.
    """

    def span(hit: Tensor) -> tuple[Tensor, Tensor]:
        hit = hit.int()  # argmax gives the first of equals
        return hit.argmax(1), hit.shape[1] - hit.flip(1).argmax(1)

    (left, right), (top, bottom) = span(columns), span(rows)
    corners = torch.stack((left, top, right, bottom), dim=1)
    return (corners * rows.any(1, keepdim=True)).float()
