"""What looks odd and is legitimate: it is read, trained on and scored as it is meant."""

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from PIL import Image

from pading.config import add_pading_config
from pading.data.ground_truth import load_panoptic
from pading.data.images import check_image, read_image
from pading.data.mappers import SegmentationMapper
from pading.data.spec import DatasetSpec
from pading.evaluation.panoptic_quality import score_panoptic
from pading.vocabulary.splits import load_split
from tests.bad_inputs.world import SIZE, World
from tests.runs import FROM_IMAGES, convert

_UNDO = {
    # EXIF orientation -> what an upright image goes through to be stored so.
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
_GREY = {
    "grey": lambda image: image.convert("L"),
    "grey with transparency": lambda image: image.convert("L").convert("LA"),
    "16 bits": lambda image: Image.fromarray(
        np.asarray(image.convert("L")).astype(np.uint16) * 257
    ),
}
_COLOURED = {
    "transparent": lambda image: image.convert("RGBA"),
    "palette": lambda image: image.quantize(256),
    "upright": lambda image: image,
}


def _spec(world: World) -> DatasetSpec:
    files = ("split.json", "images", "panoptic.json", "labels")
    return DatasetSpec("kitchen", "panoptic", *files).under(world.root)


def _map_first(world: World, **settings: object) -> dict:
    cfg = get_cfg()
    add_pading_config(cfg)
    for key, value in {"AUGMENTATION": "none", **settings}.items():
        cfg.INPUT[key] = value
    first = load_panoptic(_spec(world), load_split(world.path("split.json")))[0]
    return SegmentationMapper(cfg, is_train=True)(first)


@pytest.mark.parametrize("orientation", _UNDO)
def test_image_and_masks_are_upright(orientation: int, world: World) -> None:
    upright = Image.open(world.path("labels/0.png"))  # so pixels and masks can be compared
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = world.path("images/0.jpg")
    upright.transpose(_UNDO[orientation]).save(path, format="PNG", exif=exif)
    assert check_image(str(path)) == SIZE
    mapped = _map_first(world)
    red = mapped["image"][0]
    assert red.shape == SIZE
    for category, mask in zip((3, 20), mapped["instances"].gt_masks, strict=True):
        assert torch.equal(red == category, mask)


@pytest.mark.parametrize("make", _GREY.values(), ids=_GREY)
def test_grey_images(make: Callable, world: World) -> None:
    grey = np.asarray(Image.open(world.path("images/0.jpg")).convert("L"))
    path = str(world.path("images/0.jpg"))
    make(Image.open(path)).save(path, format="PNG")
    for image_format in ("RGB", "BGR"):
        found = read_image(path, image_format)
        assert found.dtype == np.uint8
        assert np.array_equal(found, np.repeat(grey[..., None], 3, axis=2))


@pytest.mark.parametrize("make", _COLOURED.values(), ids=_COLOURED)
def test_coloured_images(make: Callable, world: World) -> None:
    colours = np.zeros((*SIZE, 3), np.uint8)
    colours[:, ::2] = (10, 60, 200)
    path = str(world.path("images/0.jpg"))  # PNG, whatever the extension says
    make(Image.fromarray(colours)).save(path, format="PNG")
    assert np.array_equal(read_image(path), colours)
    assert np.array_equal(read_image(path, "BGR"), colours[..., ::-1])


def test_cmyk(world: World) -> None:
    colours = np.full((*SIZE, 3), (200, 60, 10), np.uint8)
    path = str(world.path("images/0.jpg"))
    Image.fromarray(colours).convert("CMYK").save(path, format="JPEG", quality=100)
    assert abs(read_image(path).astype(int) - colours).max() <= 4  # of JPEG


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1)])
def test_images_of_hardly_a_pixel(size: tuple[int, int], world: World) -> None:
    Image.fromarray(np.zeros((*size, 3), np.uint8)).save(world.path("images/0.jpg"), format="PNG")
    colours = np.zeros((*size, 3), np.uint8)
    colours[..., 0] = 3
    Image.fromarray(colours).save(world.path("labels/0.png"))

    def change(content: dict) -> None:
        content["images"][0].update(height=size[0], width=size[1])
        content["annotations"][0]["segments_info"].pop()

    world.edit("panoptic.json", change)
    jitter = {"AUGMENTATION": "large_scale_jitter", "IMAGE_SIZE": 64, "MIN_SCALE": 0.1}
    mapped = _map_first(world, **jitter)
    assert min(mapped["image"].shape) >= 1
    assert mapped["instances"].gt_masks.shape[1:] == mapped["image"].shape[1:]
    if size == (1, 3000):
        world.train("INPUT.MIN_SIZE_TEST", 32, "INPUT.MAX_SIZE_TEST", 64, "INPUT.IMAGE_SIZE", 64)


def test_names_below_folders_and_links(world: World) -> None:
    world.path("images/more").mkdir()
    world.path("images/0.jpg").rename(world.path("elsewhere.jpg"))
    world.path("images/more/0.jpg").symlink_to(world.path("elsewhere.jpg"))
    world.edit("panoptic.json", lambda c: c["images"][0].update(file_name="more/../more/0.jpg"))
    assert _map_first(world)["image"].shape[1:] == SIZE


def _empty(*numbers: int) -> Callable[[World], None]:
    """Without any segment."""

    def change(world: World) -> None:
        for number in numbers:
            blank = np.zeros((*SIZE, 3), np.uint8)
            Image.fromarray(blank).save(world.path(f"labels/{number}.png"))
            clear = lambda c, n=number: c["annotations"][n]["segments_info"].clear()  # noqa: E731
            world.edit("panoptic.json", clear)

    return change


@pytest.mark.parametrize("stage", ["pretrain", "PADing"])
def test_batches_in_which_no_query_matches(stage: str, world: World) -> None:
    _empty(0)(world)
    # One image in a batch: one of the two batches is without a segment.
    one = ("SOLVER.IMS_PER_BATCH", 1, "SOLVER.MAX_ITER", 2, "DATASETS.TEST", "()")
    weights: tuple[object, ...] = ()
    if stage == "PADing":
        world.train(*one)
        converted = world.path("converted.pth")
        convert(world.output / "model_final.pth", converted, world.path("split.json"))
        weights = ("MODEL.WEIGHTS", converted)
    world.train(*one, *FROM_IMAGES, *weights, stage=stage)
    lines = (world.output / "metrics.json").read_text().splitlines()
    losses = [value for line in lines for key, value in json.loads(line).items() if "loss" in key]
    assert losses
    assert np.isfinite(losses).all()


def test_instances_of_some_images(world: World) -> None:
    world.edit("instances.json", lambda c: c["annotations"].pop())
    world.train("DATALOADER.FILTER_EMPTY_ANNOTATIONS", "False", task="instance")


def test_classes_that_never_occur(world: World) -> None:
    """Nothing but cups and tables, in training and validation."""
    world.edit("panoptic.json", lambda c: c["annotations"][1]["segments_info"].pop(0))
    colours = np.asarray(Image.open(world.path("labels/1.png"))).copy()
    colours[colours == 9] = 0
    Image.fromarray(colours).save(world.path("labels/1.png"))
    world.train()
    path = world.output / "inference" / "panoptic_val" / "results.json"
    results = json.loads(path.read_text())["metrics"]["panoptic_seg"]
    assert results["PQ"] is not None
    assert results["PQ_unseen"] is None  # of nothing; stage 1 finds no unseen class either
    assert all(value is None or np.isfinite(value) for value in results.values())


def test_absolute_names_inside_the_folder(world: World) -> None:
    folders = {"images": "images", "annotations": "labels"}
    for key, folder in folders.items():
        name = str(world.path(folder))
        world.edit(
            "panoptic.json",
            lambda c, key=key, name=name: [
                e.update(file_name=f"{name}/{e['file_name']}") for e in c[key]
            ],
        )
    assert len(_map_first(world)["instances"]) == 2
    paths = world.path("panoptic.json"), world.path("labels")
    scores = score_panoptic(*paths, *paths, load_split(world.path("split.json")))
    assert scores.flat()["PQ"] == 100
