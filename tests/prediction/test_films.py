"""Films: ids that are kept while things move, and files that can be read."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from pading.data.coco_formats import coco_detections
from pading.data.shapes.scenes import Scene, draw_scene, parse_look
from pading.errors import InputError
from pading.prediction.films import Tracks, predict_film
from pading.prediction.result import PanopticResult, Prediction
from pading.vocabulary.splits import ClassInfo, ClassSplit, load_split

SPLIT = ClassSplit("two", (ClassInfo(3, "red", True, False), ClassInfo(5, "green", True, True)))
SIZE, FRAMES = (96, 128), 12


class ByColour:
    """Finds what is red and what is green, and so moves as the scene does."""

    split = SPLIT

    def predict(self, frame: np.ndarray, keep_scores: bool = True) -> Prediction:
        masks = [(frame[..., n] > 150) & (frame[..., 1 - n] < 100) for n in range(2)]
        shown = [(n, mask) for n, mask in enumerate(masks) if mask.any()]
        labels = [n for n, _ in shown]
        found = coco_detections([m for _, m in shown], labels, [0.9] * len(shown), SPLIT)
        return Prediction(None, found, None, split=SPLIT, image=frame)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """A red and a green square; the green one is gone for two frames, red moves on."""
    path = tmp_path / "scene.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, SIZE[::-1])
    for number in range(FRAMES):
        frame = np.zeros((*SIZE, 3), np.uint8)
        frame[20:50, 4 + 6 * number : 34 + 6 * number, 2] = 255
        if number not in (5, 6):
            frame[60:90, 90 - 4 * number : 120 - 4 * number, 1] = 255
        writer.write(frame)
    writer.release()
    return path


def test_ids_are_kept(film: Path, tmp_path: Path) -> None:
    model = ByColour()
    frames, ids = predict_film(model, film, tmp_path / "out")  # type: ignore[arg-type]
    assert (frames, ids) == (FRAMES, 2)
    content = json.loads((tmp_path / "out" / "scene.json").read_text())
    assert len(content["frames"]) == FRAMES
    for number, segments in enumerate(content["frames"]):
        assert {s["category_id"] for s in segments} == ({3} if number in (5, 6) else {3, 5})
        for segment in segments:
            assert segment["id"] == {3: 1, 5: 2}[segment["category_id"]]
            assert coco_mask.decode(segment["segmentation"]).shape == SIZE
    drawn = cv2.VideoCapture(str(tmp_path / "out" / "scene.mp4"))
    assert int(drawn.get(cv2.CAP_PROP_FRAME_COUNT)) == FRAMES


class Knows:
    """Finds the segments of a scene that passes by, numbered anew in every frame."""

    split = load_split("shapes")

    def __init__(self, scene: Scene, places: list[slice], draw: np.random.Generator) -> None:
        self.seen = [scene.segments[:, place] for place in places]
        self.labels, self.draw, self.numbers = scene.labels, draw, []

    def predict(self, frame: np.ndarray, keep_scores: bool = True) -> Prediction:
        found = self.seen[len(self.numbers)]
        shown = np.unique(found)
        own = dict(
            zip(shown.tolist(), (1 + self.draw.permutation(len(shown))).tolist(), strict=True)
        )
        self.numbers.append(own)
        ids = np.vectorize(own.get)(found).astype(np.int32)
        classes = [self.split.classes[self.labels[old]] for old in own]
        segments = [
            {"id": own[old], "category_id": info.id, "score": 0.9}
            for old, info in zip(own, classes, strict=True)
        ]
        return Prediction(PanopticResult(ids, segments), None, None, split=self.split, image=frame)


def overlap_with_itself(mask: np.ndarray, step: int) -> float:
    """Intersection over union of a mask and itself a step further: of a sliver it is nothing."""
    both = mask[:, step:] & mask[:, :-step]
    return both.sum() / (2 * mask.sum() - both.sum())


def test_a_film_of_shapes(tmp_path: Path, seed: int) -> None:
    """A camera passes by a scene: what is wholly in the picture keeps its id, and has it alone."""
    draw = np.random.default_rng(seed)
    looks = {label: parse_look(info) for label, info in enumerate(Knows.split.classes)}
    scene = draw_scene(draw, looks, 128)
    places = [slice(start, start + 80) for start in range(0, 48, 3)]
    writer = cv2.VideoWriter(
        str(tmp_path / "s.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 10, (80, 128)
    )
    for place in places:
        writer.write(np.ascontiguousarray(scene.image[:, place, ::-1]))
    writer.release()
    model = Knows(scene, places, draw)
    predict_film(model, tmp_path / "s.mp4", tmp_path / "out")  # type: ignore[arg-type]
    frames = json.loads((tmp_path / "out" / "s.json").read_text())["frames"]
    assert len(frames) == len(places)
    whole = dict(zip(*np.unique(scene.segments, return_counts=True), strict=True))
    ids: dict[int, set[int]] = {}
    for seen, told in zip(model.seen, frames, strict=True):
        masks = {s["id"]: coco_mask.decode(s["segmentation"]).astype(bool) for s in told}
        assert sum(mask.sum() for mask in masks.values()) == seen.size
        for old, count in zip(*np.unique(seen, return_counts=True), strict=True):
            if count == whole[old] and overlap_with_itself(scene.segments == old, 3) > 0.4:
                [own] = [i for i, mask in masks.items() if mask[seen == old].all()]
                ids.setdefault(int(old), set()).add(own)
    assert ids and all(len(own) == 1 for own in ids.values())
    assert len(set().union(*ids.values())) == len(ids)


def test_a_class_does_not_take_anothers_id_and_what_is_gone_long_is_new() -> None:
    mask = np.zeros(SIZE, np.uint8, order="F")
    mask[10:40, 10:40] = 1
    code = coco_mask.encode(mask)
    tracks = Tracks()
    assert tracks.follow([(3, code)]) == [1]
    assert tracks.follow([(5, code)]) == [2]
    assert tracks.follow([(3, code), (5, code)]) == [1, 2]
    for _ in range(6):
        assert tracks.follow([]) == []
    assert tracks.follow([(3, code)]) == [3]


def test_no_film(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(b"no film")
    with pytest.raises(InputError, match="x.mp4: OpenCV cannot read"):
        predict_film(ByColour(), tmp_path / "x.mp4", tmp_path / "out")  # type: ignore[arg-type]
