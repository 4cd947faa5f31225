"""Quality, confusion and what was found, against panopticapi and by hand."""

import numpy as np
import pytest
from panopticapi.evaluation import PQStat

from pading.evaluation import panoptic_quality
from pading.reports.segment_comparison import compare_segments
from pading.visualize import SegmentMap
from pading.vocabulary.splits import ClassInfo, ClassSplit
from tests.evaluation import conftest as evaluation
from tests.evaluation.panoptic_set import PanopticSet

ground_truth, prediction, split = evaluation.ground_truth, evaluation.prediction, evaluation.split


def test_quality_is_that_of_panopticapi(
    ground_truth: PanopticSet, prediction: PanopticSet, split: ClassSplit
) -> None:
    from panopticapi.utils import rgb2id
    from PIL import Image

    def segment_map(files: PanopticSet, annotation: dict) -> SegmentMap:
        ids = rgb2id(np.asarray(Image.open(files.folder / annotation["file_name"])))
        segments = [
            {**s, "category_id": split.contiguous_id[s["category_id"]]}
            for s in annotation["segments_info"]
        ]
        return SegmentMap(ids, segments)

    categories = {info.id: {"isthing": int(info.isthing)} for info in split.classes}
    folders = (ground_truth.folder, prediction.folder)
    pairs = zip(ground_truth.load()["annotations"], prediction.load()["annotations"], strict=True)
    for truth, found in pairs:
        compared = compare_segments(
            segment_map(ground_truth, truth), segment_map(prediction, found), split
        )
        stat: PQStat = panoptic_quality._compare(0, [(truth, found)], *folders, categories)
        entries = [stat[info.id] for info in split.classes]
        total = sum(e.tp + 0.5 * e.fp + 0.5 * e.fn for e in entries)
        assert compared.quality == pytest.approx(sum(e.iou for e in entries) / total)


def test_confusion_and_unseen_classes_by_hand() -> None:
    rows = ((7, "a", False), (8, "b", True), (9, "c", True))
    split = ClassSplit("small", tuple(ClassInfo(i, name, True, unseen) for i, name, unseen in rows))
    # Ids are any numbers. Unlabelled: the last column.
    truth = SegmentMap(
        np.array([[5, 5, 9, 9, 0], [5, 5, 9, 9, 0]]),
        [{"id": 5, "category_id": 1}, {"id": 9, "category_id": 0}],
    )
    found = SegmentMap(
        np.array([[1, 1, 1, 4, 6], [1, 0, 4, 4, 6]]),
        [
            {"id": 1, "category_id": 1, "score": 0.9},
            {"id": 4, "category_id": 2, "score": 0.4},
            {"id": 6, "category_id": 2, "score": 0.7},
        ],
    )
    compared = compare_segments(truth, found, split)
    assert compared.confusion.tolist() == [[0, 1, 3, 0], [0, 3, 0, 1], [0, 0, 0, 0]]
    assert compared.unseen_found == (("b", 3 / 5),)
    # One hit; one missed; one mistake: the segment on unlabelled pixels is none.
    assert compared.quality == pytest.approx(0.6 / 2)
    assert compared.hits == ((0.9, True), (0.4, False))


def test_nothing_there_and_nothing_said() -> None:
    split = ClassSplit("small", (ClassInfo(1, "a", True, False),))
    empty = SegmentMap(np.zeros((2, 3), int), [])
    compared = compare_segments(empty, empty, split)
    assert np.isnan(compared.quality) and not compared.confusion.any()
