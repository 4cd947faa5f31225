"""Predictions are scored against the image that their file's name says, whatever the ids."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pading.data.coco_formats import categories
from pading.errors import InputError
from pading.evaluation.average_precision import score_instances
from pading.evaluation.image_names import listed_names, true_ids
from pading.evaluation.panoptic_quality import score_panoptic
from pading.evaluation.pixel_scores import panoptic_labels, score_semantic
from pading.vocabulary.splits import ClassSplit
from tests.bad_inputs.world import rle
from tests.evaluation.panoptic_set import PanopticSet

_NAMES = {1: "10.jpg", 2: "1.jpg", 3: "2.jpg", 4: "sub/3.jpg", 5: "x.jpg", 6: "4.jpg"}


def test_folders_and_extensions_may_differ() -> None:
    predicted = {10: "10.png", 1: "elsewhere\\1.jpg", 3: "3"}
    assert true_ids(predicted, _NAMES, "p", "t") == {10: 1, 1: 2, 3: 4}


def test_folders_tell_images_apart() -> None:
    truth = {1: "a/x.jpg", 2: "b/x.jpg"}
    assert true_ids({7: "b/x.png"}, truth, "p", "t") == {7: 2}
    with pytest.raises(InputError, match=r"p: the image 'x.png' \(id 7\) has no image of its name"):
        true_ids({7: "x.png"}, truth, "p", "t")
    with pytest.raises(InputError, match="p: the image 'd/y.png' .* and 'c/y.png' are one in t"):
        true_ids({7: "c/y.png", 8: "d/y.png"}, {1: "y.jpg"}, "p", "t")
    with pytest.raises(InputError, match=r"f: the images 1 and 2 are both 'a.png'"):
        listed_names(
            {"images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "a.jpg"}]}, "f"
        )


@pytest.fixture
def named(ground_truth: PanopticSet, prediction: PanopticSet) -> Callable[[dict, dict], None]:
    """Gives the images of truth and prediction ids and names; the prediction's ids are new."""

    def run(truth: dict[int, str], predicted: dict[int, str]) -> None:
        for side, names in ((ground_truth, truth), (prediction, predicted)):
            content = side.load()
            for annotation, image_id in zip(content["annotations"], names, strict=True):
                annotation["image_id"] = image_id
            images = [{"id": i, "file_name": name} for i, name in names.items()]
            side.save({**content, "images": images})

    return run


def test_panoptic(
    ground_truth: PanopticSet, prediction: PanopticSet, split: ClassSplit, named
) -> None:
    def score() -> dict[str, float]:
        sides = (ground_truth.json, ground_truth.folder, prediction.json, prediction.folder)
        return score_panoptic(*sides, split).flat()

    expected = score()
    for ids in ((3, 1, 2, 6, 5, 4), range(100, 106)):
        named(_NAMES, dict(zip(ids, _NAMES.values(), strict=True)))
        assert score() == pytest.approx(expected, nan_ok=True, rel=1e-12)
    named(_NAMES, {**_NAMES, 1: "y.jpg"})
    with pytest.raises(InputError, match=r"prediction.json: the image 'y.jpg' \(id 1\) has no"):
        score()


def test_semantic(ground_truth: PanopticSet, split: ClassSplit, named) -> None:
    truth = panoptic_labels(ground_truth.json, ground_truth.folder, split)
    by_id = dict(truth.items())
    named(_NAMES, _NAMES)
    files = {
        name.split(".")[0]: by_id[str(i)] for i, name in _NAMES.items() if not name.startswith("s")
    }
    sides = (ground_truth.json, ground_truth.folder, split)
    named_truth = panoptic_labels(*sides, files)  # "x" is no id
    assert all(np.array_equal(named_truth[name], labels) for name, labels in files.items())
    scores = score_semantic(named_truth, files, split)
    assert scores.groups["all"]["accuracy"] < 100  # one image has no prediction
    with pytest.raises(InputError, match="the label map 1 may be that of the image with this id"):
        panoptic_labels(*sides, ["1", "2"])
    assert np.array_equal(panoptic_labels(*sides, ["1", "2"], named_by_file=True)["1"], by_id["2"])
    assert np.array_equal(panoptic_labels(*sides, ["1", "5"])["1"], by_id["1"])


@pytest.mark.parametrize("listing", ["panoptic.json", "images.json"])
def test_instances(listing: str, split: ClassSplit, tmp_path: Path, seed: int) -> None:
    generator = np.random.default_rng(seed)
    masks = [np.zeros((30, 30), bool) for _ in range(2)]
    for mask, left in zip(masks, (0, 15), strict=True):
        mask[generator.integers(0, 10) : 20, left : left + 10] = True
    content = {
        "images": [
            {"id": i, "file_name": f"{1 - i}.jpg", "height": 30, "width": 30} for i in (0, 1)
        ],
        "annotations": [
            {"id": i + 1, "image_id": i, "category_id": 3, "segmentation": rle(mask)}
            for i, mask in enumerate(masks)
        ],
        "categories": categories(split),
    }
    truth, predictions = tmp_path / "truth.json", tmp_path / "instance.json"
    truth.write_text(json.dumps(content))
    found = [  # numbered as their files are
        {"image_id": 1 - i, "category_id": 3, "score": 0.9, "segmentation": rle(mask)}
        for i, mask in enumerate(masks)
    ]
    predictions.write_text(json.dumps(found))
    assert score_instances(truth, predictions, split)[0].flat()["AP_seen"] == 0
    images = [{"id": i, "file_name": f"{i}.png"} for i in (0, 1)]
    (tmp_path / listing).write_text(json.dumps({"images": images}))
    for scores in score_instances(truth, predictions, split):
        assert scores.flat()["AP_seen"] == pytest.approx(100)
