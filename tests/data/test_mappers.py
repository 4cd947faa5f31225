import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from PIL import Image

from pading.config import add_pading_config
from pading.data.ground_truth import load_panoptic
from pading.data.mappers import SegmentationMapper
from pading.errors import InputError


@pytest.fixture
def cfg():
    cfg = get_cfg()
    add_pading_config(cfg)
    cfg.INPUT.AUGMENTATION = "none"
    cfg.INPUT.IMAGE_SIZE = 64
    return cfg


def _entries(mini):
    return load_panoptic(mini.spec, mini.split)


def _segment_colours(mini, number=0):
    ids = [s["id"] for s in mini.content["annotations"][number]["segments_info"]]
    return torch.tensor([[i % 256, i // 256 % 256, i // 65536] for i in ids])


def test_masks_and_classes_without_augmentation(cfg, make_panoptic):
    mini = make_panoptic([[9, 20, 3]])
    (entry,) = _entries(mini)
    result = SegmentationMapper(cfg, True)(entry)
    image, instances = result["image"], result["instances"]
    assert image.dtype == torch.uint8
    assert image.shape == (3, entry["height"], entry["width"])
    assert instances.image_size == (entry["height"], entry["width"])
    assert instances.gt_classes.dtype == torch.int64
    assert instances.gt_classes.tolist() == [1, 3, 0]
    assert instances.gt_masks.dtype == torch.bool
    assert torch.equal(instances.gt_masks.sum(0), torch.ones(image.shape[1:], dtype=torch.int64))
    for mask, colour in zip(instances.gt_masks, _segment_colours(mini), strict=True):
        assert torch.equal(image[:, mask].unique(dim=1)[:, 0], colour.to(torch.uint8))
    assert {"file_name", "image_id", "height", "width"} <= result.keys()


@pytest.mark.parametrize("augmentation", ["large_scale_jitter", "flip", "none"])
def test_masks_move_with_the_image(cfg, make_panoptic, augmentation):
    cfg.INPUT.AUGMENTATION = augmentation
    cfg.INPUT.PHOTOMETRIC_DISTORTION = False
    cfg.INPUT.BASE_SIZE, cfg.INPUT.CROP_SIZE = (64, 48), (48, 64)
    mini = make_panoptic([[9, 20, 3]])
    (entry,) = _entries(mini)
    mapper = SegmentationMapper(cfg, True)
    colour_of = dict(zip([1, 3, 0], _segment_colours(mini).float(), strict=True))
    shapes = set()
    for _ in range(20):
        result = mapper(entry)
        instances = result["instances"]
        shapes.add(tuple(result["image"].shape))
        assert instances.gt_masks.any(dim=(1, 2)).all()
        for label, mask in zip(instances.gt_classes.tolist(), instances.gt_masks, strict=True):
            # Bilinear resizing blends the image at a stripe's edges, so the middle counts.
            columns = mask.any(dim=0).nonzero()[:, 0]
            column = columns[len(columns) // 2]
            middle = result["image"][:, mask[:, column], column].float()
            if len(columns) > 10:
                torch.testing.assert_close(middle.mean(dim=1), colour_of[label], atol=2, rtol=0)
    if augmentation == "large_scale_jitter":
        assert len(shapes) > 1
        assert max(max(shape[1:]) for shape in shapes) <= 64
    elif augmentation == "semantic":
        assert shapes == {(3, 48, 64)}
    else:
        assert shapes == {(3, entry["height"], entry["width"])}


def test_flip_is_random(cfg, make_panoptic):
    cfg.INPUT.AUGMENTATION = "flip"
    (entry,) = _entries(make_panoptic([[9, 20]]))
    mapper = SegmentationMapper(cfg, True)
    first_columns = {bool(mapper(entry)["instances"].gt_masks[0, 0, 0]) for _ in range(60)}
    assert first_columns == {True, False}


def test_crowds_and_vanished_segments_are_left_out(cfg, make_panoptic):
    mini = make_panoptic([[9, 20, 3]])
    mini.rewrite(lambda c: c["annotations"][0]["segments_info"][1].update(iscrowd=1))
    (entry,) = _entries(mini)
    entry["segments_info"].append(
        {"id": 0xFFFFFF, "category_id": 4, "iscrowd": 0, "isthing": False}
    )
    assert SegmentationMapper(cfg, True)(entry)["instances"].gt_classes.tolist() == [1, 0]


def test_no_instances(cfg, make_panoptic):
    (entry,) = _entries(make_panoptic([[]]))
    instances = SegmentationMapper(cfg, True)(entry)["instances"]
    assert instances.gt_masks.shape == (0, entry["height"], entry["width"])
    assert instances.gt_classes.shape == (0,)


@pytest.mark.parametrize("size", [0, 50])
def test_test_time_resizes_the_image_alone(cfg, make_panoptic, size):
    cfg.INPUT.MIN_SIZE_TEST = size
    (entry,) = _entries(make_panoptic([[9]]))
    result = SegmentationMapper(cfg, False)(entry)
    assert min(result["image"].shape[1:]) == (size or min(entry["height"], entry["width"]))
    assert "instances" not in result
    assert (result["height"], result["width"]) == (entry["height"], entry["width"])


def test_channel_order(cfg, make_panoptic):
    (entry,) = _entries(make_panoptic([[9, 3]]))
    rgb = SegmentationMapper(cfg, False)(entry)["image"]
    cfg.INPUT.FORMAT = "BGR"
    assert torch.equal(SegmentationMapper(cfg, False)(entry)["image"], rgb.flip(0))


def test_exif_orientation(cfg, make_panoptic, tmp_path):
    (entry,) = _entries(make_panoptic([[9, 3]]))
    upright = np.asarray(Image.open(entry["file_name"]))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    entry["file_name"] = str(tmp_path / "turned.png")
    Image.fromarray(np.rot90(upright).copy()).save(entry["file_name"], exif=exif)
    image = SegmentationMapper(cfg, True)(entry)["image"]
    assert np.array_equal(image.permute(1, 2, 0).numpy(), upright)


@pytest.mark.parametrize("key", ["file_name", "pan_seg_file_name"])
def test_damaged_file_is_named(cfg, make_panoptic, key):
    (entry,) = _entries(make_panoptic([[9, 3]]))
    with open(entry[key], "r+b") as file:
        file.truncate(60)
    with pytest.raises(InputError, match="cannot read this image") as error:
        SegmentationMapper(cfg, True)(entry)
    assert entry[key] in str(error.value)


@pytest.mark.parametrize("key", ["file_name", "pan_seg_file_name"])
def test_wrong_size_is_named(cfg, make_panoptic, key):
    (entry,) = _entries(make_panoptic([[9, 3]]))
    Image.new("RGB", (7, 5)).save(entry[key])
    with pytest.raises(InputError, match="height x width is 5 x 7, but") as error:
        SegmentationMapper(cfg, True)(entry)
    assert entry[key] in str(error.value)


def test_grey_panoptic_png_is_refused(cfg, make_panoptic):
    (entry,) = _entries(make_panoptic([[9]]))
    Image.new("L", (entry["width"], entry["height"])).save(entry["pan_seg_file_name"])
    with pytest.raises(InputError, match=r"R \+ 256 G.*mode of this image is L"):
        SegmentationMapper(cfg, True)(entry)


def test_real_photographs(cfg, shared):
    from pading.data.spec import DatasetSpec
    from pading.vocabulary.splits import load_split

    cfg.INPUT.AUGMENTATION = "large_scale_jitter"
    spec = DatasetSpec(
        "x", "panoptic", "coco_panoptic_119_14", "images", "panoptic.json", "panoptic"
    )
    root = shared / "data" / "coco_panoptic_sample"
    entries = load_panoptic(spec.under(root), load_split(spec.split))
    for entry in entries:
        instances = SegmentationMapper(cfg, True)(entry)["instances"]
        assert len(instances) > 0
        assert int(instances.gt_masks.sum(0).max()) == 1
