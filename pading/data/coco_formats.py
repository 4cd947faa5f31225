"""What a model gives, in COCO's formats: with the ids that the data set has for its classes."""

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from pading.data.rle import encode_mask, mask_box
from pading.vocabulary.splits import ClassSplit


def categories(split: ClassSplit) -> list[dict[str, Any]]:
    """The classes as COCO lists them; "unseen" is ours."""
    return [
        {
            "id": info.id,
            "name": info.name,
            "isthing": int(info.isthing),
            "unseen": int(info.unseen),
        }
        for info in split.classes
    ]


def panoptic_segments(
    segments: Iterable[Mapping[str, Any]], split: ClassSplit
) -> list[dict[str, Any]]:
    """``segments_info`` of segments with contiguous "category_id": id, class, the score if any."""
    return [
        {"id": s["id"], "category_id": split.classes[s["category_id"]].id}
        | ({"score": round(s["score"], 4)} if "score" in s else {})
        for s in segments
    ]


def panoptic_png(ids: np.ndarray) -> bytes:
    """H x W segment ids as a PNG that codes them as R + 256 G + 256^2 B."""
    png = io.BytesIO()
    # Level 1: larger files than the default by little, written in a fraction of the time.
    colours = np.stack((ids % 256, ids // 256 % 256, ids // 65536), axis=-1).astype(np.uint8)
    Image.fromarray(colours).save(png, "PNG", compress_level=1)
    return png.getvalue()


def coco_detections(
    masks: Iterable[np.ndarray],
    labels: Sequence[int],
    scores: Sequence[float],
    split: ClassSplit,
) -> list[dict[str, Any]]:
    """COCO's results of one image, which lack its "image_id": class, box, mask as RLE, score.

    Args:
        masks: each H x W, bool; read one at a time.
        labels: contiguous indices.
        scores: in [0, 1].
        split: the classes.
    """
    results = []
    for mask, label, score in zip(masks, labels, scores, strict=True):
        mask = mask.astype(bool, copy=False)
        results.append(
            {
                "category_id": split.classes[label].id,
                "bbox": mask_box(mask),
                "segmentation": encode_mask(mask),
                "score": score,
            }
        )
    return results
