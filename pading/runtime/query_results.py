"""From class logits and masks of queries to results, in NumPy.

The same results as :mod:`pading.inference` makes. Masks are never at an image's size all at once:
it is gone through by strips of rows.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pading.runtime.bilinear import Taps, resized, taps
from pading.runtime.description import Description
from pading.runtime.preparation import Sizes

_TINY = 1e-6
_STRIP_VALUES = 16_000_000  # of all masks, in one strip


def softmax(logits: np.ndarray, axis: int) -> np.ndarray:
    """Probabilities in float32."""
    shifted = np.exp(logits - logits.max(axis, keepdims=True))
    return shifted / shifted.sum(axis, keepdims=True)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Probabilities in float32."""
    return 1 / (1 + np.exp(-np.clip(logits, -80, 80)))


class QueryMasks(NamedTuple):
    """Masks (Q, h, w) of an image, and how they are brought to its size."""

    logits: np.ndarray
    rows: Taps
    columns: Taps

    @property
    def size(self) -> tuple[int, int]:
        """Of the image."""
        return len(self.rows.places), len(self.columns.places)

    def strips(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Rows of the image, and the mask logits (Q, n, W) there."""
        height, width = self.size
        wide = self.columns.apply(self.logits, -1)
        step = max(1, _STRIP_VALUES // max(1, len(wide) * width))
        for first in range(0, height, step):
            here = Taps(
                self.rows.places[first : first + step], self.rows.share[first : first + step]
            )
            yield slice(first, min(first + step, height)), here.apply(wide, -2)

    def of(self, queries: np.ndarray) -> "QueryMasks":
        """Those of some queries."""
        return self._replace(logits=self.logits[queries])


def query_results(
    outputs: Mapping[str, np.ndarray], sizes: Sizes, described: Description, keep_scores: bool
) -> dict[str, Any]:
    """Raw results of one image, as :func:`pading.prediction.result.finish` takes them.

    Args:
        outputs: "logits" (Q, outputs of the class head) and "masks" (Q, h, w).
        sizes: of the image.
        described: the model's description.
        keep_scores: also give what the results were chosen by, under "scores".
    """
    settings, split = described.inference, described.split
    scores = _all_class_scores(outputs["logits"], described)
    to_image = [
        taps(there, padded).first(own)
        for there, padded, own in zip(
            outputs["masks"].shape[-2:], sizes.padded, sizes.image, strict=True
        )
    ]
    to_wanted = [
        to if own == wanted else taps(own, wanted).after(to)
        for to, own, wanted in zip(to_image, sizes.image, sizes.wanted, strict=True)
    ]
    masks = QueryMasks(outputs["masks"], *to_wanted)
    raw: dict[str, Any] = {}
    kept: dict[str, np.ndarray] = {}
    if "panoptic" in settings["tasks"]:
        raw["panoptic"], kept["panoptic"] = panoptic(
            scores,
            masks,
            split.things,
            settings["score_threshold"],
            settings["overlap_threshold"],
        )
    if "instance" in settings["tasks"]:
        beside_stuff = split.things if "panoptic" in settings["tasks"] else None
        raw["instance"], kept["instance"] = instances(
            scores,
            masks,
            settings["max_instances"],
            beside_stuff,
            described.reading["candidates"],
        )
    if "semantic" in settings["tasks"]:
        if len(settings["tasks"]) > 1:
            mixed = semantic(scores, masks)
        else:
            # Mixed before resizing where nothing else is asked for, as published.
            mixed = resized(semantic(scores, QueryMasks(outputs["masks"], *to_image)), sizes.wanted)
        raw["semantic"] = mixed.argmax(0).astype(np.int32)
        kept["semantic"] = mixed.astype(np.float16)
    if keep_scores:
        raw["scores"] = kept
    return raw


def _all_class_scores(logits: np.ndarray, described: Description) -> np.ndarray:
    """(Q, outputs of the class head) logits to (Q, K + 1) scores, the seen ones calibrated."""
    rows = np.array(described.reading["rows"])
    scores = softmax(logits.astype(np.float32), -1)[:, np.maximum(rows, 0)] * (rows >= 0)
    scores[:, list(described.split.seen)] -= np.float32(described.inference["seen_bias"])
    return scores.astype(np.float32)


def panoptic(
    scores: np.ndarray,
    masks: QueryMasks,
    things: Sequence[int],
    score_threshold: float,
    overlap_threshold: float,
) -> tuple[tuple[np.ndarray, list[dict[str, Any]]], np.ndarray]:
    """Every pixel to at most one segment.

    Args:
        scores: (Q, K + 1), no-object last.
        masks: of the queries.
        things: countable classes.
        score_threshold, overlap_threshold: see :func:`pading.inference.panoptic`.

    Returns:
        segment ids (H, W) int32 and the segments; and the class scores (segments, K).
    """
    labels, best = scores.argmax(-1), scores.max(-1)
    chosen = np.flatnonzero((labels != scores.shape[-1] - 1) & (best > score_threshold))
    labels, best = labels[chosen], best[chosen]
    # Of every pixel the query that wins it, from 1; 0 where it is not inside that query's mask.
    winner = np.zeros(masks.size, dtype=np.int32)
    area, won, visible = np.zeros((3, len(chosen) + 1), dtype=np.int64)
    if len(chosen):
        for rows, logits in masks.of(chosen).strips():
            best_here = (best[:, None, None] * sigmoid(logits)).argmax(0)
            inside = np.take_along_axis(logits, best_here[None], 0)[0] >= 0
            area[1:] += np.count_nonzero(logits >= 0, axis=(1, 2))
            won[1:] += np.bincount(best_here.ravel(), minlength=len(chosen))
            winner[rows] = (best_here + 1) * inside
            visible += np.bincount(winner[rows].ravel(), minlength=len(chosen) + 1)
    ids = np.zeros(len(chosen) + 1, dtype=np.int32)
    segments: list[dict[str, Any]] = []
    queries: list[int] = []  # of each segment the one whose scores count
    for place, (label, score) in enumerate(zip(labels.tolist(), best.tolist(), strict=True), 1):
        if not visible[place] or won[place] / area[place] < overlap_threshold:
            continue
        same = [s for s in segments if s["category_id"] == label and not s["isthing"]]
        if same:
            ids[place] = same[0]["id"]
            if score > best[queries[ids[place] - 1]]:
                queries[ids[place] - 1] = place - 1
            continue
        ids[place] = len(segments) + 1
        isthing = label in things
        segments.append(
            {"id": len(segments) + 1, "isthing": isthing, "category_id": label, "score": score}
        )
        queries.append(place - 1)
    return (ids[winner], segments), scores[chosen[queries]][:, :-1]


def instances(
    scores: np.ndarray,
    masks: QueryMasks,
    most: int,
    classes: Sequence[int] | None,
    candidates: Sequence[int] | None,
) -> tuple[tuple[np.ndarray, int, list[int], list[float]], np.ndarray]:
    """The best pairs of query and class, the best first.

    Args:
        scores: (Q, K + 1).
        masks: of the queries.
        most: how many pairs.
        classes: that may be given; None: all.
        candidates: that are chosen from; None: all.

    Returns:
        packed masks (N, H, W / 8), W, classes and scores; and the class scores (N, K).
    """
    columns = np.arange(scores.shape[-1] - 1)
    if candidates is not None:
        columns = columns[list(candidates)]
    pairs = scores[:, columns].ravel()
    order = np.argsort(-pairs, kind="stable")[:most]
    labels, query = columns[order % len(columns)], order // len(columns)
    if classes is not None:
        kept = np.isin(labels, classes)
        order, labels, query = order[kept], labels[kept], query[kept]
    asked, place = np.unique(query, return_inverse=True)
    height, width = masks.size
    packed = np.zeros((len(asked), height, -(-width // 8)), dtype=np.uint8)
    area, inside_sum = np.zeros((2, len(asked)))
    for rows, logits in masks.of(asked).strips() if len(asked) else ():
        inside = logits > 0
        packed[:, rows] = np.packbits(inside, axis=-1)
        area += inside.sum((1, 2))
        inside_sum += (sigmoid(logits) * inside).sum((1, 2))
    found = pairs[order] * (inside_sum / (area + _TINY))[place]
    best_first = np.argsort(-found, kind="stable")
    place, labels, query = place[best_first], labels[best_first], query[best_first]
    result = packed[place], width, labels.tolist(), found[best_first].tolist()
    return result, scores[query, :-1]


def semantic(scores: np.ndarray, masks: QueryMasks) -> np.ndarray:
    """(K, H, W): the sum over queries of class score times mask probability."""
    mixed = np.empty((scores.shape[-1] - 1, *masks.size), dtype=np.float32)
    weights = np.ascontiguousarray(scores[:, :-1].T)
    for rows, logits in masks.strips():
        here = weights @ sigmoid(logits).reshape(len(logits), -1)
        mixed[:, rows] = here.reshape(len(mixed), -1, masks.size[1])
    return mixed
