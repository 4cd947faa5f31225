from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode
from PIL import Image
from pycocotools import mask as coco_mask

from pading import Predictor
from pading.data.mappers import SegmentationMapper
from pading.errors import InputError
from pading.prediction import predictor as module
from pading.prediction.predictor import draw_prediction, finish, load
from pading.vocabulary.splits import ClassInfo, ClassSplit

MakeCfg = Callable[..., CfgNode]


@pytest.fixture
def split() -> ClassSplit:
    """Ids neither in order nor without gaps."""
    ids = (30, 7, 12)
    rows = zip(ids, "abc", (True, True, False), (False, True, False), strict=True)
    return ClassSplit("letters", tuple(ClassInfo(*row) for row in rows))


def test_call_gives_what_evaluation_scores(
    make_cfg: MakeCfg, image: np.ndarray, tmp_path: Path
) -> None:
    cfg = make_cfg()
    predictor = Predictor(cfg)
    found = predictor(image)

    Image.fromarray(image).save(tmp_path / "image.png")
    entry = {"task": "panoptic", "file_name": str(tmp_path / "image.png"), "image_id": 1}
    with torch.no_grad():
        [raw] = predictor.model([SegmentationMapper(cfg, is_train=False)(entry)])
    classes = predictor.split.classes

    ids, segments = raw["panoptic_seg"]
    np.testing.assert_array_equal(found.panoptic.ids, ids.numpy())
    assert segments
    assert [(s["id"], s["category_id"]) for s in found.panoptic.segments] == [
        (s["id"], classes[s["category_id"]].id) for s in segments
    ]
    instances = raw["instances"]
    assert len(found.instance) == len(instances) > 0
    for place, detection in enumerate(found.instance):
        assert detection["category_id"] == classes[instances.pred_classes[place]].id
        assert detection["score"] == pytest.approx(float(instances.scores[place]))
        mask = coco_mask.decode(detection["segmentation"])
        np.testing.assert_array_equal(mask, instances.pred_masks[place].numpy())
        left, top, width, height = detection["bbox"]
        np.testing.assert_allclose(
            [left, top, left + width, top + height], instances.pred_boxes.tensor[place], atol=1e-4
        )
    labels = raw["sem_seg"].argmax(0).numpy()
    np.testing.assert_array_equal(found.semantic, np.array([c.id for c in classes])[labels])


def test_scores_of_segments_and_instances_are_kept(make_cfg: MakeCfg, image: np.ndarray) -> None:
    predictor = Predictor(make_cfg())
    found = predictor.predict(image)
    classes = [info.id for info in predictor.split.classes]
    panoptic, instance = found.scores.panoptic, found.scores.instance
    assert panoptic is not None and panoptic.shape == (len(found.panoptic.segments), len(classes))
    for row, segment in zip(panoptic, found.panoptic.segments, strict=True):
        assert classes[row.argmax()] == segment["category_id"]
        assert row.max() >= segment["score"] - 1e-4  # which is rounded; more where stuff is merged
    assert instance is not None and instance.shape == (len(found.instance), len(classes))
    for row, detection in zip(instance, found.instance, strict=True):
        assert row[classes.index(detection["category_id"])] >= detection["score"] - 1e-4


def test_only_the_tasks_that_are_on(make_cfg: MakeCfg, image: np.ndarray) -> None:
    off = ("MODEL.INFERENCE.INSTANCE_ON", "False", "MODEL.INFERENCE.SEMANTIC_ON", "False")
    predictor = Predictor(make_cfg(*off))
    found = predictor(image)
    assert predictor.tasks == ("panoptic",)
    assert found.instance is None
    assert found.semantic is None
    assert list(predictor.draw(image, found)) == ["panoptic"]


def test_mixed_precision_is_that_of_pytorch(make_cfg: MakeCfg, image: np.ndarray) -> None:
    exact, low = (
        Predictor(make_cfg("MODEL.INFERENCE.DTYPE", dtype)) for dtype in ("float32", "bfloat16")
    )

    def scores(predictor: Predictor) -> torch.Tensor:
        with torch.no_grad():
            return predictor.model([predictor.prepare(image)])[0]["sem_seg"]

    wanted, found = scores(exact), scores(low)
    assert found.dtype == torch.float32
    assert not torch.equal(found, wanted)
    assert (found - wanted).norm() < 0.1 * wanted.norm()
    # Without a type of its own a model goes by what surrounds it.
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(scores(exact), found, rtol=0, atol=0)


def test_channels_go_in_the_order_that_the_model_was_trained_with(
    make_cfg: MakeCfg, image: np.ndarray
) -> None:
    rgb, bgr = Predictor(make_cfg()), Predictor(make_cfg("INPUT.FORMAT", "BGR"))
    flipped = np.ascontiguousarray(image[..., ::-1])
    np.testing.assert_array_equal(rgb(image).semantic, bgr(flipped).semantic)
    torch.testing.assert_close(bgr.prepare(image)["image"][0], rgb.prepare(image)["image"][2])


def test_large_images_keep_their_size(
    make_cfg: MakeCfg, image: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor(make_cfg())
    whole = predictor(image)
    monkeypatch.setattr(module, "_MOST_PIXELS", 48 * 64 // 4)
    found = predictor(image)
    assert predictor.prepare(image)["height"] == 24
    assert found.panoptic.ids.shape == found.semantic.shape == (48, 64)
    assert {tuple(d["segmentation"]["size"]) for d in found.instance} == {(48, 64)}
    assert (found.semantic == whole.semantic).mean() > 0.8


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("MODEL.WEIGHTS", ""), "no weights; give those of a trained model as MODEL.WEIGHTS FILE"),
        (("MODEL.WEIGHTS", "none.pth"), "MODEL.WEIGHTS none.pth: there is no such file"),
        (("MODEL.DEVICE", "cuda"), "PyTorch sees no GPU"),
        (("DATASETS.TEST", "('nowhere',)"), "there is no data set 'nowhere'"),
        (
            [
                part
                for task in ("PANOPTIC", "INSTANCE", "SEMANTIC")
                for part in (f"MODEL.INFERENCE.{task}_ON", "False")
            ],
            "nothing to predict",
        ),
        (("MODEL.SEGMENTER.NUM_QUERIES", "9"), "these weights do not fit the model"),
        (("INPUT.FORMAT", "BRG"), "INPUT.FORMAT is 'BRG'; it must be one of 'RGB', 'BGR'"),
    ],
)
def test_what_cannot_work_is_refused(
    make_cfg: MakeCfg,
    overrides: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(InputError, match=message):
        Predictor(make_cfg(*overrides))


def test_a_backbone_alone_is_no_trained_model(
    make_cfg: MakeCfg, weights: Path, tmp_path: Path
) -> None:
    state = torch.load(weights)["model"]
    backbone = {name: value for name, value in state.items() if name.startswith("backbone.")}
    torch.save({"model": backbone}, tmp_path / "R-50.pth")
    with pytest.raises(InputError, match=r"R-50\.pth: it holds a backbone alone"):
        Predictor(
            make_cfg(
                "MODEL.META_ARCHITECTURE", "Mask2Former", "MODEL.WEIGHTS", tmp_path / "R-50.pth"
            )
        )


def test_class_ids_are_those_of_the_split(split: ClassSplit) -> None:
    labels = np.array([[0, 1], [2, 2]])
    masks = np.array([[[1, 0], [0, 0]], [[0, 0], [1, 1]]], dtype=bool)
    raw = {
        "panoptic": (labels + 1, [{"id": i + 1, "category_id": i, "score": 1.0} for i in range(3)]),
        "instance": (np.packbits(masks, axis=-1), 2, [1, 0], [0.9, 0.8]),
        "semantic": labels,
    }
    image = np.full((4, 6, 3), 90, np.uint8)
    found = finish(raw, split, image)
    assert [s["category_id"] for s in found.panoptic.segments] == [30, 7, 12]
    assert [d["category_id"] for d in found.instance] == [7, 30]
    assert [d["bbox"] for d in found.instance] == [[0, 0, 3, 2], [0, 2, 6, 2]]
    assert found.semantic.dtype == np.uint8
    np.testing.assert_array_equal(found.semantic[::2, ::3], [[30, 7], [12, 12]])
    np.testing.assert_array_equal(found.panoptic.ids, np.kron(labels + 1, np.ones((2, 3))))
    pictures = draw_prediction(image, found, split, min_score=0.5)
    assert {task: picture.shape for task, picture in pictures.items()} == dict.fromkeys(
        ("panoptic", "instance", "semantic"), (480, 720, 3)
    )


@pytest.mark.parametrize("largest", [255, 300])
def test_large_class_ids(split: ClassSplit, largest: int) -> None:
    wide = ClassSplit("wide", (*split.classes, ClassInfo(largest, "d", True, False)))
    found = finish({"semantic": np.array([[3, 1]])}, wide, np.zeros((1, 2, 3), np.uint8))
    assert found.semantic.dtype == np.uint16
    np.testing.assert_array_equal(found.semantic, [[largest, 7]])


def test_draw_takes_what_is_predicted_on(
    make_cfg: MakeCfg, image: np.ndarray, tmp_path: Path
) -> None:
    predictor = Predictor(make_cfg())
    path = tmp_path / "photo.png"
    Image.fromarray(image).save(path)
    found = predictor(path)
    expected = predictor.draw(image, found)
    for same in (path, Image.open(path), torch.tensor(image), image / 255):
        pictures = predictor.draw(same, found)
        assert list(pictures) == ["panoptic", "instance", "semantic"]
        for task, picture in pictures.items():
            np.testing.assert_array_equal(picture, expected[task])
    assert predictor.draw(image[..., 0], found)["panoptic"].shape == expected["panoptic"].shape
    with pytest.raises(InputError, match="image to draw on: height x width is 47 x 64, but 48 x"):
        predictor.draw(image[1:], found)
    with pytest.raises(InputError, match="float64 is in .0, 1., but this one reaches"):
        predictor.draw(image.astype(float), found)


def test_a_device_without_kernels_is_refused_before_the_model_is_read() -> None:
    with pytest.raises(InputError, match="MODEL.DEVICE is 'mps'; pading runs on"):
        load("nowhere.pth", overrides=["MODEL.DEVICE", "mps"])
