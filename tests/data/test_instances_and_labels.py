"""Instance annotations and semantic label maps: loading, masks, mapping."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from PIL import Image
from pycocotools import mask as coco_mask

from pading.config import add_pading_config
from pading.data.dataset_checks import check_entry
from pading.data.ground_truth import load_instances, load_semantic
from pading.data.mappers import SegmentationMapper
from pading.data.masks import label_table
from pading.data.spec import DatasetSpec
from pading.errors import InputError
from pading.vocabulary.splits import load_split

HEIGHT, WIDTH = 20, 30


@pytest.fixture
def mapper():
    cfg = get_cfg()
    add_pading_config(cfg)
    cfg.INPUT.AUGMENTATION = "none"
    return SegmentationMapper(cfg, True)


@pytest.fixture
def split(split_file):
    return load_split(split_file)


def _mask(top, left, bottom, right):
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    mask[top:bottom, left:right] = 1
    return mask


def _compressed(mask):
    code = coco_mask.encode(np.asfortranarray(mask))
    return {"size": code["size"], "counts": code["counts"].decode()}


def _uncompressed(mask):
    flat = mask.flatten(order="F")
    ends = [0, *(np.flatnonzero(np.diff(flat)) + 1).tolist(), flat.size]
    counts = np.diff(ends).tolist()
    return {"size": [HEIGHT, WIDTH], "counts": [0, *counts] if flat[0] else counts}


@pytest.fixture
def instances(tmp_path, split_file):
    """A spec and the content of its file; the first image has three instances, the second none."""
    (tmp_path / "images").mkdir()
    images = []
    for number in range(2):
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "images" / f"{number}.jpg")
        size = {"height": HEIGHT, "width": WIDTH}
        images.append({"id": number, "file_name": f"{number}.jpg", **size})
    polygon = [[2, 3, 12, 3, 12, 9, 2, 9]]
    segmentations = [polygon, _compressed(_mask(1, 4, 8, 20)), _uncompressed(_mask(5, 0, 9, 7))]
    annotations = [
        {"id": 50 + i, "image_id": 0, "category_id": c, "iscrowd": 0, "segmentation": s}
        for i, (c, s) in enumerate(zip([9, 3, 5], segmentations, strict=True))
    ]
    content = {"images": images, "annotations": annotations, "categories": []}
    spec = DatasetSpec("mini", "instance", str(split_file), "images", "mini.json").under(tmp_path)

    def rewrite(change=lambda content: None):
        changed = json.loads(json.dumps(content))
        change(changed)
        Path(spec.annotations).write_text(json.dumps(changed))
        return spec

    return rewrite


def test_instances_are_loaded_and_drawn(instances, split, mapper):
    first, second = load_instances(instances(), split)
    assert second["annotations"] == []
    check_entry(first)
    found = mapper(first)["instances"]
    assert found.gt_classes.tolist() == [1, 0, 2]
    wanted = [_mask(3, 2, 9, 12), _mask(1, 4, 8, 20), _mask(5, 0, 9, 7)]
    for mask, other in zip(found.gt_masks, wanted, strict=True):
        assert torch.equal(mask, torch.from_numpy(other).bool())
    assert mapper(second)["instances"].gt_masks.shape == (0, HEIGHT, WIDTH)


def test_crowds_and_degenerate_polygons_are_left_out(instances, split, mapper):
    def change(content):
        content["annotations"][0]["segmentation"] = [[1, 2, 3, 4]]
        content["annotations"][1]["iscrowd"] = 1

    first, _ = load_instances(instances(change), split)
    assert mapper(first)["instances"].gt_classes.tolist() == [2]


def _annotation(**values):
    return lambda content: content["annotations"][1].update(values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_annotation(image_id=9), "annotation 51: the file lists no image of the id 9"),
        (_annotation(category_id=4), "annotation 51: category 4 is not in the class split"),
        (_annotation(segmentation="x"), "'segmentation' must be list or dict"),
        (_annotation(segmentation=[[1, 2, 3]]), "annotation 51: a polygon is a list of x, y"),
        (_annotation(segmentation=[1, 2, 3, 4, 5, 6]), "a polygon is a list of x, y"),
        (
            _annotation(segmentation={"size": [3, 3], "counts": [9]}),
            r"annotation 51: the mask's size is \[3, 3\], its image's \[20, 30\]",
        ),
        (lambda c: c["annotations"][1].pop("id"), "entry 1: 'id' .int. is missing"),
        (lambda c: c["images"][1].update(file_name="2.jpg"), "images/2.jpg: there is no such file"),
    ],
)
def test_bad_instances_are_refused_by_name(instances, split, change, message):
    spec = instances(change)
    with pytest.raises(InputError, match=message) as error:
        load_instances(spec, split)
    assert spec.annotations in str(error.value)


def test_unseen_instance_in_training_annotations(instances, split):
    with pytest.raises(InputError, match="annotation 52: 'spoon' is an unseen class"):
        load_instances(replace(instances(), seen_only=True), split)


@pytest.mark.parametrize("counts", ["abc~~", [3, "x"], [-3, 603], [3, 9999]])
def test_broken_rle_is_named(instances, split, counts):
    change = _annotation(segmentation={"size": [HEIGHT, WIDTH], "counts": counts})
    with pytest.raises(InputError, match="annotation 51: broken RLE; write the mask again"):
        load_instances(instances(change), split)


def test_all_errors_can_be_collected(instances, split):
    def change(content):
        content["annotations"][0]["category_id"] = 99
        content["annotations"][1]["image_id"] = 99
        content["images"][1]["file_name"] = "gone.jpg"

    errors: list[InputError] = []
    (first,) = load_instances(instances(change), split, errors.append)
    assert [a["category_id"] for a in first["annotations"]] == [2]
    assert len(errors) == 3


@pytest.fixture
def labels(tmp_path, split_file):
    """A spec of two images with label maps of class ids, the first of them with all values."""
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for name in "ab":
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "images" / f"{name}.jpg")
    values = np.repeat([3, 9, 5, 20, 21, 255], 5).astype(np.uint8)[None].repeat(HEIGHT, axis=0)
    Image.fromarray(values).save(tmp_path / "labels" / "a.png")
    Image.fromarray(np.full_like(values, 255)).save(tmp_path / "labels" / "b.png")
    return DatasetSpec("mini", "semantic", str(split_file), "images", labels="labels").under(
        tmp_path
    )


@pytest.mark.parametrize("seen_only", [False, True])
def test_label_maps(labels, split, mapper, seen_only):
    first, second = load_semantic(replace(labels, seen_only=seen_only), split)
    check_entry(first)
    result = mapper(first)
    assert (result["height"], result["width"]) == (HEIGHT, WIDTH)
    found = result["instances"]
    assert found.gt_classes.tolist() == ([0, 1, 3] if seen_only else [0, 1, 2, 3, 4])
    for label, mask in zip(found.gt_classes.tolist(), found.gt_masks, strict=True):
        assert torch.equal(
            mask, torch.from_numpy(_mask(0, 5 * label, HEIGHT, 5 * label + 5)).bool()
        )
    assert mapper(second)["instances"].gt_masks.shape == (0, HEIGHT, WIDTH)


def test_ignored_and_unknown_values(labels, split, mapper):
    path = Path(labels.labels) / "a.png"
    Image.fromarray(np.full((HEIGHT, WIDTH), 11, dtype=np.uint8)).save(path)
    entry = load_semantic(labels, split)[0]
    with pytest.raises(InputError, match=r"a.png: the value 11 belongs to no class"):
        mapper(entry)
    with pytest.raises(InputError, match=r"a.png: the value 11 belongs to no class"):
        check_entry(entry)
    entry = load_semantic(replace(labels, ignored_labels=(11,)), split)[0]
    assert len(mapper(entry)["instances"]) == 0


def test_contiguous_labels(labels, split):
    table = np.frombuffer(label_table(replace(labels, contiguous_labels=True), split), np.uint16)
    assert table.tolist() == [0, 1, 2, 3, 4]


def test_table_refuses_what_it_cannot_hold(labels, split):
    with pytest.raises(InputError, match="ignored_labels has 9, which is a class"):
        label_table(replace(labels, ignored_labels=(9,)), split)
    large = replace(split, classes=(replace(split.classes[0], id=65534), *split.classes[1:]))
    with pytest.raises(InputError, match="the class 'cup' has the value 65534"):
        label_table(labels, large)


def test_bad_label_maps_are_named(labels, split, mapper):
    stray = Path(labels.labels) / "c.png"
    Image.new("L", (WIDTH, HEIGHT)).save(stray)
    with pytest.raises(InputError, match=r"labels/c.png: there is no image c\.\*"):
        load_semantic(labels, split)
    stray.unlink()
    entry = load_semantic(labels, split)[0]
    Image.new("L", (3, 4)).save(entry["sem_seg_file_name"])
    with pytest.raises(InputError, match=r"a.png: height x width is 4 x 3, but 20 x 30"):
        mapper(entry)
    Image.new("RGB", (WIDTH, HEIGHT)).save(entry["sem_seg_file_name"])
    with pytest.raises(InputError, match=r"a.png: a label map has one channel"):
        mapper(entry)


def test_semantic_masks_of_panoptic_ground_truth(make_panoptic, mapper):
    mini = make_panoptic([[20, 3, 20]])
    entry = load_semantic(replace(mini.spec, task="semantic"), mini.split)[0]
    found = mapper(entry)["instances"]
    assert found.gt_classes.tolist() == [0, 3]
    assert found.gt_masks.any(dim=0).all()
    assert found.gt_masks[1, 0, [0, -1]].all()
