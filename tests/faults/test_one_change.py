"""One thing is changed in a right small data set: the same is found and scored, or it is refused.

Never a traceback, never another score without a warning; what training accepts can be scored.
"""

import functools
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog
from hypothesis import HealthCheck, settings
from PIL import Image

from pading.config import add_pading_config
from pading.data.catalogue import metadata_of, register
from pading.data.dataset_checks import check_entry
from pading.data.mappers import SegmentationMapper
from pading.data.scored_instances import check_scored_instances
from pading.data.spec import read_specs
from pading.data.survey import survey
from pading.errors import InputError
from pading.evaluation.average_precision import score_instances
from pading.evaluation.map_folders import predicted_folder, truth_folder
from pading.evaluation.panoptic_quality import score_panoptic
from pading.evaluation.pixel_scores import panoptic_labels, score_semantic
from pading.vocabulary.splits import load_split
from tests.bad_inputs.world import World
from tests.faults.changes import apply_json, apply_picture, json_changes, picture_changes

_TRUTH = ("panoptic.json", "instances.json", "split.json")
_PREDICTED = ("predicted.json", "detections.json")
_TRUE_PICTURES = ("images/0.jpg", "images/1.jpg", "labels/0.png", "labels/1.png", "maps/0.png")
_PREDICTED_PICTURES = ("predicted/0.png", "predicted_maps/1.png")
_SEMANTIC = ("semantic_train",)
_Result = dict[str, Any]


@pytest.fixture
def world(tmp_path: Path, seed: int) -> World:
    """The small world, with predictions of its training images, some of which are wrong."""
    made = World(tmp_path / "world", np.random.default_rng(seed))
    root = made.root
    made.edit("data.yaml", lambda rows: rows[0].update(instances="instances.json"))
    (root / "images/2.jpg").rename(root / "2.jpg")  # which has no label map
    shutil.copytree(root / "labels", root / "predicted")
    shutil.copytree(root / "maps", root / "predicted_maps")
    values = np.asarray(Image.open(root / "maps/1.png")).copy()
    values[:, :9] = 3
    Image.fromarray(values).save(root / "predicted_maps/1.png")
    content = json.loads((root / "panoptic.json").read_text())
    content["annotations"][0]["segments_info"][0]["category_id"] = 9
    made.write_json("predicted.json", content)
    keys = ("image_id", "category_id", "segmentation", "bbox")
    found = json.loads((root / "instances.json").read_text())["annotations"]
    made.write_json("detections.json", [{**{k: a[k] for k in keys}, "score": 0.5} for a in found])
    for picture in root.glob("images/*.jpg"):  # so that every change can be made of it
        Image.open(picture).save(picture, format="PNG")
    return made


class _Warnings(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(record.getMessage())


_specs = functools.cache(lambda root: read_specs(root / "data.yaml"))


def _read(root: Path) -> _Result:
    """What training and check-data find, which must agree on whether there is a fault."""
    specs = _specs(root)
    for spec in specs:
        if spec.name in DatasetCatalog:
            DatasetCatalog.remove(spec.name)
            MetadataCatalog.remove(spec.name)
    names = [spec.name for spec in specs if spec.seen_only]
    refusal: InputError | None = None
    targets: _Result = {}
    try:
        for spec in specs:
            register(spec)
            if spec.name in names:
                targets[spec.name] = _targets(spec.name)
                if spec.instances:
                    entries = DatasetCatalog.get(spec.name)
                    check_scored_instances(spec, load_split(spec.split), entries)
    except InputError as error:
        refusal = error
    if refusal is not None and any(spec.name not in DatasetCatalog for spec in specs):
        raise refusal  # of the split: nothing is registered
    faults = [m for name in names for kind in survey(name).errors.values() for m in kind]
    assert bool(faults) == (refusal is not None), (faults, refusal)
    assert all(str(root) in fault for fault in faults), faults
    if refusal is not None:
        raise refusal
    return targets


@functools.cache
def _mapper() -> SegmentationMapper:
    cfg = get_cfg()
    add_pading_config(cfg)
    cfg.INPUT.AUGMENTATION = "none"
    return SegmentationMapper(cfg, is_train=True)


def _targets(name: str) -> list[tuple[Any, ...]]:
    found = []
    for entry in DatasetCatalog.get(name):
        check_entry(entry)
        instances = _mapper()(entry)["instances"]
        areas = instances.gt_masks.flatten(1).sum(1).tolist()
        split = metadata_of(name).split
        classes = [split.classes[label].id for label in instances.gt_classes.tolist()]
        found.append((str(entry["image_id"]), sorted(zip(classes, areas, strict=True))))
    return sorted(found)


def _panoptic(root: Path) -> _Result:
    files = (root / "panoptic.json", root / "labels", root / "predicted.json", root / "predicted")
    return score_panoptic(*files, load_split(root / "split.json")).flat()


def _instances(root: Path) -> _Result:
    files = (root / "instances.json", root / "detections.json")
    found = score_instances(*files, load_split(root / "split.json"))
    return {f"{s.task} {key}": value for s in found for key, value in s.flat().items()}


def _semantic(root: Path) -> _Result:
    split = load_split(root / "split.json")
    predicted, _ = predicted_folder(root / "predicted_maps", split, class_ids=True)
    panoptic = panoptic_labels(root / "panoptic.json", root / "labels", split, predicted)
    folder = truth_folder(root / "maps", split, "class-ids")
    truths = {"folder": folder, "panoptic": panoptic}
    return {
        f"{what} {key}": value
        for what, truth in truths.items()
        for key, value in score_semantic(truth, predicted, split).flat().items()
    }


_SCORES = (_panoptic, _instances, _semantic)


def _check(root: Path, expected: list[_Result], of_truth: bool) -> None:
    """The same as before, a refusal that names a file, or another score with a warning."""
    try:
        targets = _read(root) if of_truth else expected[0]
    except InputError as error:
        assert str(root) in str(error)
        return
    if of_truth and any("images without a label map" in survey(name).notes for name in _SEMANTIC):
        return  # what has no map is not trained on, and noted
    assert targets == expected[0]
    for score, before in zip(_SCORES, expected[1:], strict=True):
        warnings = _Warnings()
        logging.getLogger("pading").addHandler(warnings)
        try:
            found = score(root)
        except InputError as error:
            assert not of_truth, f"training accepts it, but: {error}"
            assert any(what in str(error) for what in (str(root), "label maps", "of image 1"))
            continue
        finally:
            logging.getLogger("pading").removeHandler(warnings)
        same = found == pytest.approx(before, nan_ok=True, rel=1e-12)
        assert same or warnings.found, (score.__name__, before, found)


@pytest.fixture
def try_all(world: World, seed: int, tmp_path: Path, monkeypatch) -> Callable[..., None]:
    """Draws changes and checks each on a copy of the world."""
    monkeypatch.setattr("pading.data.survey.tqdm", lambda entries, *_, **__: entries)
    for module in ("panoptic_quality", "pixel_scores"):
        monkeypatch.setattr(f"pading.evaluation.{module}.tqdm", lambda entries, *_, **__: entries)
    torch.set_num_threads(1)
    root = tmp_path / "changed"

    shutil.copytree(world.root, root)

    def restore(name: str) -> None:
        """Copying all anew would take longer than all that is tested."""
        if "/" in name:
            shutil.rmtree((root / name).parent)
            shutil.copytree((world.root / name).parent, (root / name).parent)
        else:
            shutil.copyfile(world.root / name, root / name)

    expected = [_read(root), *(score(root) for score in _SCORES)]

    def run(strategy: Any, apply: Callable, count: int, of_truth: bool) -> None:
        @hypothesis.seed(seed)
        @settings(
            max_examples=count,
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        )
        @hypothesis.given(strategy)
        def draw(change: Any) -> None:
            try:
                apply(root, change)
                _check(root, expected, of_truth)
            finally:
                restore(change[0])

        draw()

    return run


def test_annotation_files(try_all) -> None:
    try_all(json_changes(_TRUTH), apply_json, 1000, of_truth=True)


def test_prediction_files(try_all) -> None:
    try_all(json_changes(_PREDICTED), apply_json, 950, of_truth=False)


def test_true_pictures(try_all) -> None:
    try_all(picture_changes(_TRUE_PICTURES), apply_picture, 300, of_truth=True)


def test_predicted_pictures(try_all) -> None:
    try_all(picture_changes(_PREDICTED_PICTURES), apply_picture, 100, of_truth=False)
