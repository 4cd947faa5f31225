"""Pictures: what has to be visible in them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pading.data.coco_formats import coco_detections
from pading.visualize import (
    UNSEEN_COLOUR,
    SegmentMap,
    SheetRow,
    class_colour,
    draw_segments,
    enlargement,
    segments_of_detections,
    segments_of_labels,
    write_sheet,
)
from pading.visualize import labels as labels_module
from pading.vocabulary.splits import ClassInfo, ClassSplit


@pytest.fixture
def split() -> ClassSplit:
    """The third of four classes is unseen."""
    rows = [(3, "cat"), (5, "dog"), (9, "fox"), (20, "sky")]
    classes = [ClassInfo(i, name, isthing=True, unseen=name == "fox") for i, name in rows]
    return ClassSplit("small", tuple(classes))


@pytest.fixture
def image(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (60, 80, 3), dtype=np.uint8)


def halves(left: int, right: int) -> SegmentMap:
    """Two segments of the given classes; the top left corner is unlabelled."""
    ids = np.full((60, 80), 7)
    ids[:, 40:] = 300_000
    ids[:10, :10] = 0
    segments = [{"id": 7, "category_id": left}, {"id": 300_000, "category_id": right}]
    return SegmentMap(ids, segments)


def share_of(picture: np.ndarray, colour: tuple[int, int, int]) -> float:
    """Share of pixels within 70 levels of ``colour`` in each channel."""
    distance = np.abs(picture.astype(int) - np.array(colour)).max(axis=2)
    return float((distance < 70).mean())


def test_only_unseen_classes_are_marked(image: np.ndarray, split: ClassSplit) -> None:
    seen = draw_segments(image, halves(0, 3), split, scale=4)
    unseen = draw_segments(image, halves(0, 2), split, scale=4)
    assert seen.shape == unseen.shape == (240, 320, 3)
    assert share_of(seen[:, 165:], UNSEEN_COLOUR) < 0.01
    assert share_of(unseen[:, 165:], UNSEEN_COLOUR) > 0.15
    np.testing.assert_array_equal(seen[60:, :150], unseen[60:, :150])


def test_colours_tell_segments_from_the_unlabelled(image: np.ndarray, split: ClassSplit) -> None:
    picture = draw_segments(np.full_like(image, 128), halves(0, 0), split, scale=4)
    corner, left, right = picture[8, 8], picture[230, 10], picture[230, 310]
    assert corner[0] == corner[1] == corner[2]  # darkened grey
    assert len({tuple(corner), tuple(left), tuple(right)}) == 3  # two instances of one class
    border = picture[120, 155:166]
    assert (border == 255).all(axis=1).any()


def test_a_class_keeps_its_colour(image: np.ndarray, split: ClassSplit) -> None:
    grey = np.full_like(image, 128)
    one, other = (draw_segments(grey, halves(0, c), split, scale=1) for c in (1, 3))
    np.testing.assert_array_equal(one[50, 5], other[50, 5])
    assert (one[50, 75] != other[50, 75]).any()
    assert len({class_colour(i) for i in range(171)}) == 171


def test_an_unseen_segment_is_labelled_even_where_the_label_hardly_fits(
    image: np.ndarray, split: ClassSplit
) -> None:
    ids = np.ones((30, 60), dtype=int)
    ids[10, 20] = 2
    segments = [{"id": 1, "category_id": 0}, {"id": 2, "category_id": 2}]
    picture = draw_segments(image[:30, :60], SegmentMap(ids, segments), split)
    assert share_of(picture, UNSEEN_COLOUR) > 0.1


def test_sheet(image: np.ndarray, split: ClassSplit, tmp_path: Path) -> None:
    panels = {"ground truth": halves(0, 2), "before": halves(0, 1), "after": halves(0, 2)}
    rows = [SheetRow(image, panels, "a scene"), SheetRow(image, panels)]
    path = tmp_path / "new" / "sheet.png"
    write_sheet(rows, split, path, title="Shapes", panel_width=240)
    sheet = Image.open(path)
    assert sheet.width >= 4 * 240
    assert sheet.height >= 2 * 180
    assert [file.name for file in path.parent.iterdir()] == ["sheet.png"]


@pytest.mark.parametrize("size", [(1, 3000), (3000, 1), (1, 1)])
def test_thin_pictures(split: ClassSplit, tmp_path: Path, size: tuple[int, int]) -> None:
    image = np.zeros((*size, 3), np.uint8)
    segments = SegmentMap(np.ones(size, np.int32), [{"id": 1, "category_id": 2}])
    scale = enlargement(*size)
    assert draw_segments(image, segments, split, scale).shape == (*(n * scale for n in size), 3)
    # Captions are names of files: of two lines, or in no encoding.
    rows = [SheetRow(image, {"found": segments}, "a\nb\udce9.png")]
    write_sheet(rows, split, tmp_path / "sheet.png", panel_width=100)
    assert (tmp_path / "sheet.png").is_file()


def test_small_pictures_are_enlarged_for_their_labels() -> None:
    sizes = {
        (128, 128): 4,
        (480, 640): 1,
        (319, 4000): 2,
        (320, 320): 1,
        (3000, 4000): 1,
        (1, 1): 480,
        (2, 1500): 5,
        (3000, 2): 2,
        (1, 9000): 1,
    }
    assert {size: enlargement(*size) for size in sizes} == sizes


def test_labels_do_not_overlap(
    split: ClassSplit, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes = []
    place = labels_module._free_box

    def recording(*arguments: object) -> object:
        boxes.append(place(*arguments))
        return boxes[-1]

    monkeypatch.setattr(labels_module, "_free_box", recording)
    generator = np.random.default_rng(seed)
    ids = np.kron(generator.permutation(48).reshape(6, 8) + 1, np.ones((80, 80), dtype=int))
    segments = [{"id": i, "category_id": int(generator.integers(4))} for i in range(1, 49)]
    draw_segments(np.zeros((480, 640, 3), np.uint8), SegmentMap(ids, segments), split)
    drawn = [box for box in boxes if box is not None]
    assert len(drawn) == 48  # there is room for all
    for number, (left, top, right, bottom) in enumerate(drawn):
        assert 0 <= left < right <= 640
        assert 0 <= top < bottom <= 480
        for other in drawn[:number]:
            apart = right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top
            assert apart, (drawn[number], other)


def test_label_maps_become_segments() -> None:
    found = segments_of_labels(np.array([[0, 0, 255], [2, 0, 255]], dtype=np.uint8))
    assert found.segments == [{"id": 1, "category_id": 0}, {"id": 3, "category_id": 2}]
    np.testing.assert_array_equal(found.ids, [[1, 1, 0], [3, 1, 0]])


def test_detections_become_segments_that_hide_no_other(split: ClassSplit) -> None:
    large, small, shifted, faint = np.zeros((4, 20, 20), dtype=bool)
    large[2:18, 2:18] = True
    shifted[2:18, 3:18] = True
    small[5:8, 5:8] = True
    faint[:2] = True
    found = segments_of_detections(
        coco_detections([large, small, shifted, faint], [0, 2, 1, 3], [0.9, 0.5, 0.8, 0.1], split),
        split,
        (20, 20),
        min_score=0.3,
    )
    # The second guess at the large object and the unlikely one are left out.
    drawn = {
        (s["category_id"], s["score"]): int((found.ids == s["id"]).sum()) for s in found.segments
    }
    assert drawn == {(0, 0.9): 16 * 16 - 9, (2, 0.5): 9}
    nothing = segments_of_detections([], split, (20, 30), min_score=0.3)
    assert not nothing.segments
    assert nothing.ids.shape == (20, 30)
