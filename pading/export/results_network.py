"""Results inside the graph: from pixels to segments, without anything of Python behind it.

Every query keeps its place, so that no size depends on what is found.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from pading.export.network import ExportedNetwork
from pading.inference.calibration import calibrated
from pading.inference.query_scores import class_scores
from pading.inference.semantic import semantic_inference

_TINY = 1e-6


class ResultsNetwork(ExportedNetwork):
    """One image of pixels, and the class tensors, to results by name.

    ``semantic`` (H, W) classes. ``panoptic`` (H, W) segments, 0 for none, and of every query
    ``panoptic_segments`` (Q,) the segment that it is part of, ``panoptic_classes`` and
    ``panoptic_scores``. ``instance_masks`` (N, H, W), ``instance_scores`` and ``instance_classes``
    (N,), -1 where there is none. Classes are places in the split.
    """

    def random_images(self, shape: Sequence[int], generator: torch.Generator) -> Tensor:
        return 255 * torch.rand(*shape, generator=generator)

    def compared(self, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Maps, and scores in order: rounding may change places of equals."""
        found: dict[str, Tensor] = {
            name: outputs[name] for name in ("semantic", "panoptic") if name in outputs
        }
        if "instance_scores" in outputs:
            found["instance_scores"] = outputs["instance_scores"].sort().values
        return found

    def forward(self, images: Tensor, *classes: Tensor) -> dict[str, Tensor]:
        """
        Args:
            images: (1, 3, H, W) in [0, 255], channels in the order of the model's input.
            classes: see :class:`ExportedNetwork`.
        """
        model, size = self.model, (images.shape[-2], images.shape[-1])
        outputs = super().forward((images - model.pixel_mean) / model.pixel_std, *classes)
        if "scores" in outputs:
            return {"semantic": self._labels(outputs["scores"], size)}
        return self._of_queries(outputs["logits"][0], outputs["masks"], size)

    def _labels(self, scores: Tensor, size: tuple[int, int]) -> Tensor:
        whole = F.interpolate(scores, size, mode="bilinear", align_corners=False)[0]
        sigmoid = self.model.reading()["activation"] == "sigmoid"
        chances = whole.sigmoid() if sigmoid else whole.softmax(0)
        split = self.model.split
        return calibrated(chances, split.seen, self.model.inference.seen_bias).argmax(0)

    def _of_queries(
        self, logits: Tensor, masks: Tensor, size: tuple[int, int]
    ) -> dict[str, Tensor]:
        model, settings = self.model, self.model.inference
        reading, split = model.reading(), model.split
        rows = torch.tensor(reading["rows"])
        scores = class_scores(logits)[:, rows.clamp_min(0)] * (rows >= 0)
        scores = calibrated(scores, split.seen, settings.seen_bias)
        whole = F.interpolate(masks, size, mode="bilinear", align_corners=False)[0]
        found: dict[str, Tensor] = {}
        if "semantic" in settings.tasks:
            found["semantic"] = semantic_inference(scores, whole).argmax(0)
        if "panoptic" in settings.tasks:
            found |= panoptic_of_queries(
                scores, whole, split.things, settings.score_threshold, settings.overlap_threshold
            )
        if "instance" in settings.tasks:
            beside_stuff = split.things if "panoptic" in settings.tasks else None
            found |= instances_of_queries(
                scores, whole, settings.max_instances, beside_stuff, reading["candidates"]
            )
        return found


def panoptic_of_queries(
    scores: Tensor,
    masks: Tensor,
    things: Sequence[int],
    score_threshold: float,
    overlap_threshold: float,
) -> dict[str, Tensor]:
    """:class:`pading.inference.panoptic.PanopticPart` without a loop; arguments as there.

    Returns:
        see :class:`ResultsNetwork`.
    """
    queries, nothing = scores.shape[0], scores.shape[1] - 1
    best, labels = scores.max(-1)
    chosen = (labels != nothing) & (best > score_threshold)
    probabilities = masks.sigmoid()
    inside = probabilities >= 0.5
    numbers = torch.arange(queries)
    winner = (torch.where(chosen, best, -1.0)[:, None, None] * probabilities).argmax(0)
    won = winner == numbers[:, None, None]
    areas, areas_won, visible = (x.flatten(1).sum(1) for x in (inside, won, won & inside))
    enough = areas_won.float() / areas.clamp_min(1).float() >= overlap_threshold
    kept = chosen & (visible > 0) & enough
    countable = torch.zeros(nothing + 1, dtype=torch.bool)
    countable[list(things)] = True
    stuff = kept & ~countable[labels]
    # Segments of one stuff class are one: that of the first of its queries.
    one = (numbers[:, None] == numbers) | ((labels[:, None] == labels) & stuff[:, None] & stuff)
    first_of_segment = one.int().argmax(1)
    begins = kept & (first_of_segment == numbers)
    segments = begins.long().cumsum(0)[first_of_segment] * kept
    at_pixel = inside.gather(0, winner[None])[0]
    return {
        "panoptic": (segments[winner] * at_pixel).int(),
        "panoptic_segments": segments,
        "panoptic_classes": labels,
        "panoptic_scores": best,
    }


def instances_of_queries(
    scores: Tensor,
    masks: Tensor,
    most: int,
    classes: Sequence[int] | None,
    candidates: Sequence[int] | None,
) -> dict[str, Tensor]:
    """:class:`pading.inference.instance.InstancePart` of a fixed number; arguments as there.

    Returns:
        see :class:`ResultsNetwork`.
    """
    columns = torch.arange(scores.shape[1] - 1)
    if candidates is not None:
        columns = columns[list(candidates)]
    pairs = scores[:, columns].flatten()
    best, index = pairs.topk(min(most, pairs.shape[0]))
    labels, query = columns[index % columns.shape[0]], index // columns.shape[0]
    inside = masks > 0
    area = inside.flatten(1).sum(1)
    quality = (masks.sigmoid() * inside).flatten(1).sum(1) / (area + _TINY)
    if classes is not None:
        allowed = torch.zeros(scores.shape[1] - 1, dtype=torch.bool)
        allowed[list(classes)] = True
        labels = torch.where(allowed[labels], labels, -1)
    return {
        "instance_masks": inside[query],
        "instance_scores": best * quality[query],
        "instance_classes": labels,
    }
