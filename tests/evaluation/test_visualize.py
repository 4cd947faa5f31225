"""Pictures: what has to be visible in them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pading.data.splits import ClassSplit
from pading.visualize import (
    UNSEEN_COLOUR,
    PanopticMap,
    SheetRow,
    class_colour,
    draw_panoptic,
    panoptic_sheet,
)


@pytest.fixture
def image(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (60, 80, 3), dtype=np.uint8)


def halves(left: int, right: int) -> PanopticMap:
    """Two segments of the given classes; the top left corner is unlabelled."""
    ids = np.full((60, 80), 7)
    ids[:, 40:] = 300_000
    ids[:10, :10] = 0
    segments = [{"id": 7, "category_id": left}, {"id": 300_000, "category_id": right}]
    return PanopticMap(ids, segments)


def share_of(picture: np.ndarray, colour: tuple[int, int, int]) -> float:
    """Share of pixels within 70 levels of ``colour`` in each channel."""
    distance = np.abs(picture.astype(int) - np.array(colour)).max(axis=2)
    return float((distance < 70).mean())


def test_only_unseen_classes_are_marked(image: np.ndarray, split: ClassSplit) -> None:
    seen = draw_panoptic(image, halves(0, 3), split, scale=4)
    unseen = draw_panoptic(image, halves(0, 2), split, scale=4)
    assert seen.shape == unseen.shape == (240, 320, 3)
    assert share_of(seen[:, 165:], UNSEEN_COLOUR) < 0.01
    assert share_of(unseen[:, 165:], UNSEEN_COLOUR) > 0.15
    np.testing.assert_array_equal(seen[60:, :150], unseen[60:, :150])


def test_colours_tell_segments_from_the_unlabelled(image: np.ndarray, split: ClassSplit) -> None:
    picture = draw_panoptic(np.full_like(image, 128), halves(0, 0), split, scale=4)
    corner, left, right = picture[8, 8], picture[230, 10], picture[230, 310]
    assert corner[0] == corner[1] == corner[2]  # darkened grey
    assert len({tuple(corner), tuple(left), tuple(right)}) == 3  # two instances of one class
    border = picture[120, 155:166]
    assert (border == 255).all(axis=1).any()


def test_a_class_keeps_its_colour(image: np.ndarray, split: ClassSplit) -> None:
    grey = np.full_like(image, 128)
    one, other = (draw_panoptic(grey, halves(0, c), split, scale=1) for c in (1, 3))
    np.testing.assert_array_equal(one[50, 5], other[50, 5])
    assert (one[50, 75] != other[50, 75]).any()
    assert len({class_colour(i) for i in range(171)}) == 171


def test_an_unseen_segment_is_labelled_even_where_the_label_hardly_fits(
    image: np.ndarray, split: ClassSplit
) -> None:
    ids = np.ones((30, 60), dtype=int)
    ids[10, 20] = 2
    segments = [{"id": 1, "category_id": 0}, {"id": 2, "category_id": 2}]
    picture = draw_panoptic(image[:30, :60], PanopticMap(ids, segments), split)
    assert share_of(picture, UNSEEN_COLOUR) > 0.1


def test_sheet(image: np.ndarray, split: ClassSplit, tmp_path: Path) -> None:
    panels = {"ground truth": halves(0, 2), "before": halves(0, 1), "after": halves(0, 2)}
    rows = [SheetRow(image, panels, "a scene"), SheetRow(image, panels)]
    path = tmp_path / "new" / "sheet.png"
    panoptic_sheet(rows, split, path, title="Shapes", panel_width=240)
    sheet = Image.open(path)
    assert sheet.width >= 4 * 240
    assert sheet.height >= 2 * 180
    assert [file.name for file in path.parent.iterdir()] == ["sheet.png"]
