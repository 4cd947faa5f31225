"""Films: every frame predicted by itself, segments that keep their id from frame to frame.

An id goes on with the segment of the same class whose mask overlaps most with where it was last
seen. So ids are kept while things move by less than their own size from frame to frame, and are
lost where things cross, are hidden for long or change their class; there is no model of motion.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask
from tqdm import tqdm

from pading.data.coco_formats import categories
from pading.errors import InputError
from pading.files import replacing
from pading.prediction.predictor import Predictor
from pading.prediction.result_formats import masks_of
from pading.visualize import SegmentMap, draw_segments
from pading.vocabulary.splits import ClassSplit

_OVERLAP = 0.3
"""Intersection over union with its last mask from which a segment goes on."""
_PATIENCE = 5
"""Frames that a segment may be gone for."""


@dataclass
class Tracks:
    """Ids of segments, frame by frame."""

    last: dict[int, tuple[int, int, Any]] = field(default_factory=dict)
    """Id -> class, frame and mask (RLE) of when it was seen last."""
    frame: int = -1
    next_id: int = 1

    def follow(self, segments: list[tuple[int, Any]]) -> list[int]:
        """Ids of the next frame's segments.

        Args:
            segments: class and mask (RLE) of each.
        """
        self.frame += 1
        alive = {i: seen for i, seen in self.last.items() if self.frame - seen[1] <= _PATIENCE}
        self.last = alive
        ids, masks = list(alive), [mask for _, _, mask in alive.values()]
        found: list[int] = [0] * len(segments)
        if segments and masks:
            overlap = np.asarray(coco_mask.iou([m for _, m in segments], masks, [0] * len(masks)))
            for place, (label, _) in enumerate(segments):
                overlap[place, [alive[i][0] != label for i in ids]] = 0
            while overlap.size and overlap.max() >= _OVERLAP:
                place, other = map(int, np.unravel_index(overlap.argmax(), overlap.shape))
                found[place] = ids[other]
                overlap[place], overlap[:, other] = 0, 0
        for place, (label, mask) in enumerate(segments):
            if not found[place]:
                found[place], self.next_id = self.next_id, self.next_id + 1
            self.last[found[place]] = (label, self.frame, mask)
        return found


def predict_film(
    predictor: Predictor, path: Path, output: Path, min_score: float = 0.3
) -> tuple[int, int]:
    """Predict on a film; ``output`` gets NAME.json and NAME.mp4, the film with overlays.

    Args:
        predictor: the model.
        path: any film that OpenCV reads.
        output: a folder.
        min_score: instances that score less are left out.

    Returns:
        the number of frames and of ids.

    Raises:
        InputError: the film cannot be read, or the overlays not be written.
    """
    film = cv2.VideoCapture(str(path))
    if not film.isOpened():
        raise InputError(f"{path}: OpenCV cannot read this film; convert it to MP4 (H.264)")
    rate = film.get(cv2.CAP_PROP_FPS) or 25.0
    count = int(film.get(cv2.CAP_PROP_FRAME_COUNT))
    tracks, number, split = Tracks(), 0, predictor.split
    head = {"file_name": path.name, "fps": rate, "categories": categories(split)}
    with (
        replacing(output / f"{path.stem}.json") as name,
        open(name, "w", encoding="utf-8") as file,
        _overlays(output / f"{path.stem}.mp4", rate) as write,
    ):
        file.write(f'{json.dumps(head)[:-1]}, "frames": [')
        for frame in tqdm(_frames(film), path.name, count or None, unit=" frames"):
            segments, drawn = _segments(predictor, frame, tracks, min_score)
            file.write(f"{',' if number else ''}\n{json.dumps(segments)}")
            write(draw_segments(frame, drawn, split))
            number += 1
        file.write("]}\n")
        if not number:
            raise InputError(f"{path}: has no frame that OpenCV can read", "empty")
    return number, tracks.next_id - 1


def _frames(film: Any) -> Iterator[np.ndarray]:
    try:
        while True:
            there, frame = film.read()
            if not there:
                return
            yield np.ascontiguousarray(frame[..., ::-1])
    finally:
        film.release()


def _segments(
    predictor: Predictor, frame: np.ndarray, tracks: Tracks, min_score: float
) -> tuple[list[dict[str, Any]], SegmentMap]:
    """The segments of a frame, for the JSON file and to be drawn."""
    found = predictor.predict(frame, keep_scores=False)
    rows = sorted(masks_of(found, min_score), key=lambda row: row[1])
    codes = [coco_mask.encode(np.asfortranarray(mask.astype(np.uint8))) for _, _, mask in rows]
    pairs = [(info.id, code) for (info, _, _), code in zip(rows, codes, strict=True)]
    ids = tracks.follow(pairs)
    split: ClassSplit = predictor.split
    drawn = np.zeros(frame.shape[:2], dtype=np.int32)
    segments, told = [], []
    for (info, score, mask), code, own in zip(rows, codes, ids, strict=True):
        drawn[mask] = own
        segments.append({"id": own, "category_id": split.contiguous_id[info.id], "score": score})
        told.append(
            {
                "id": own,
                "category_id": info.id,
                "score": round(score, 4),
                "bbox": coco_mask.toBbox(code).tolist(),
                "segmentation": {"size": code["size"], "counts": code["counts"].decode()},
            }
        )
    return told, SegmentMap(drawn, segments)


@contextmanager
def _overlays(path: Path, rate: float) -> Iterator[Any]:
    """A function that adds a picture (H x W x 3, RGB) to a film, which appears in the end."""
    with replacing(path) as name:
        writer: Any = None

        def write(picture: np.ndarray) -> None:
            nonlocal writer
            if writer is None:
                size = (picture.shape[1], picture.shape[0])
                code = cv2.VideoWriter.fourcc(*"mp4v")
                writer = cv2.VideoWriter(name, code, rate, size)
                if not writer.isOpened():
                    raise InputError(f"{path}: OpenCV cannot write this film")
            writer.write(np.ascontiguousarray(picture[..., ::-1]))

        try:
            yield write
        finally:
            if writer is not None:
                writer.release()
