"""Results in NumPy beside those in PyTorch, of the same raw outputs."""

from typing import Any

import numpy as np
import pytest
import torch

from pading import Predictor
from pading.export.describing import described_tensors, description
from pading.export.network import Sizes
from pading.runtime.bilinear import resized
from pading.runtime.description import Description, read, written
from pading.runtime.onnx_predictor import OnnxPredictor
from tests.export.narrow_systems import narrow_predictor


class FakeSession:
    """PyTorch's network behind onnxruntime's interface."""

    def __init__(self, predictor: Predictor) -> None:
        self.model = predictor.model

    def get_inputs(self) -> list[Any]:
        return [type("Input", (), {"name": "images"})]

    def get_outputs(self) -> list[Any]:
        outputs = ("logits", "masks") if "head_rows" in dict(self.model.named_buffers()) else ()
        return [type("Output", (), {"name": name}) for name in outputs or ("scores",)]

    @torch.no_grad()
    def run(self, names: list[str], given: dict[str, np.ndarray]) -> list[np.ndarray]:
        found = self.model.network(torch.from_numpy(given["images"]))
        return [self.model.named_outputs(found)[name].numpy() for name in names]


def described(predictor: Predictor) -> Description:
    about = description(predictor.cfg, predictor.model, Sizes(), {})
    return read(written(about, described_tensors(predictor.model)), "here")


def photographs(rng: torch.Generator) -> list[np.ndarray]:
    """Smooth, so that segments differ; of sizes that are no multiples of anything."""
    found = []
    for height, width in ((75, 109), (64, 96)):
        coarse = 255 * torch.rand(1, 3, 7, 9, generator=rng)
        fine = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
        found.append(fine[0].permute(1, 2, 0).byte().numpy())
    return found


WAYS = [
    ("segmenter", {}),
    ("segmenter", {"MODEL.INFERENCE.INSTANCE_ON": False, "MODEL.INFERENCE.SEMANTIC_ON": False}),
    ("segmenter", {"INPUT.MIN_SIZE_TEST": 90, "INPUT.MAX_SIZE_TEST": 120}),
    (
        "segmenter",
        {
            "MODEL.INFERENCE.PANOPTIC_ON": False,
            "MODEL.INFERENCE.INSTANCE_ON": False,
            "INPUT.MIN_SIZE_TEST": 50,
        },
    ),
    ("zero_shot", {"MODEL.INFERENCE.PANOPTIC_ON": False, "INPUT.FORMAT": "BGR"}),
    ("pixel_text", {"MODEL.INFERENCE.SEEN_BIAS": 0.1}),
    (
        "pixel_text",
        {
            "MODEL.LSEG.BASE_SIZE": 70,
            "MODEL.INFERENCE.WINDOW": [64, 64],
            "MODEL.INFERENCE.STRIDE": [48, 48],
            "MODEL.INFERENCE.SCALES": [0.8, 1.2],
        },
    ),
    ("clip", {}),
    ("clip", {"MODEL.INFERENCE.SCALES": [1.0, 1.5], "MODEL.INFERENCE.FLIP": True}),
    ("fourth", {"MODEL.INFERENCE.FLIP": True, "INPUT.MIN_SIZE_TEST": 80}),
]


@pytest.mark.parametrize(("name", "settings"), WAYS)
def test_results_are_those_of_pytorch(
    name: str, settings: dict[str, Any], rng: torch.Generator
) -> None:
    predictor = narrow_predictor(name, settings)
    ours = OnnxPredictor(FakeSession(predictor), described(predictor))
    for image in photographs(rng):
        assert_alike(predictor.predict(image), ours.predict(image))


def assert_alike(wanted: Any, found: Any) -> None:
    """The same results, but for one pixel in a thousand and the order of detections."""
    if wanted.panoptic is not None:
        assert np.mean(wanted.panoptic.ids != found.panoptic.ids) <= 1e-3
        classes = [[s["category_id"] for s in x.panoptic.segments] for x in (wanted, found)]
        assert classes[0] == classes[1]
        np.testing.assert_allclose(wanted.scores.panoptic, found.scores.panoptic, atol=1e-3)
    if wanted.semantic is not None:
        assert np.mean(wanted.semantic != found.semantic) <= 1e-3
        assert wanted.semantic.dtype == found.semantic.dtype
        np.testing.assert_allclose(wanted.scores.semantic, found.scores.semantic, atol=2e-3)
    if wanted.instance is not None:
        ordered = [sorted(x.instance, key=_order) for x in (wanted, found)]
        assert len(ordered[0]) == len(ordered[1])
        for one, other in zip(*ordered, strict=True):
            assert one["category_id"] == other["category_id"]
            assert abs(one["score"] - other["score"]) < 1e-3
            np.testing.assert_allclose(one["bbox"], other["bbox"], atol=1)
    assert (wanted.instance is None) == (found.instance is None)
    assert (wanted.panoptic is None) == (found.panoptic is None)


def _order(detection: dict[str, Any]) -> tuple[float, ...]:
    return detection["category_id"], round(detection["score"], 3), *detection["bbox"]


@pytest.mark.parametrize("align_corners", [False, True])
def test_resizing_is_that_of_pytorch(align_corners: bool, rng: torch.Generator) -> None:
    values = torch.randn(3, 11, 17, generator=rng)
    for size in ((11, 40), (5, 17), (30, 9), (1, 1)):
        wanted = torch.nn.functional.interpolate(
            values[None], size, mode="bilinear", align_corners=align_corners
        )[0]
        found = resized(values.numpy(), size, align_corners)
        np.testing.assert_allclose(found, wanted.numpy(), atol=1e-5)


def test_a_class_is_a_row(rng: torch.Generator) -> None:
    predictor = narrow_predictor("pixel_text")
    model = OnnxPredictor(FakeSession(predictor), described(predictor))
    row = torch.randn(1, 12, generator=rng).numpy()
    grown = model.add_classes(["hedgehog"], {"class_vectors": row})
    assert [info.name for info in grown.split.classes][-1] == "hedgehog"
    assert grown.described.tensors["class_vectors"].shape == (6, 12)
    assert model.described.tensors["class_vectors"].shape == (5, 12)
    with pytest.raises(ValueError, match="rows of class_vectors: wanted"):
        model.add_classes(["hedgehog"], {"class_vectors": row[:, :5]})
