"""Raw and processed outputs against the recordings of the published code, with their tolerances."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pading.modeling.pixel_decoder import PixelFeatures
from pading.modeling.transformer_decoder import Predictions
from tests.modeling.recordings import MASK2FORMER, PADING, Recording

LOGITS = 1e-4
MASK_LOGITS = 1e-3
# Feature maps are recorded in float16: half a unit in the last of 11 binary places.
HALF = 2.0**-11
PIXELS = 0.001


@pytest.fixture(scope="module", params=(*MASK2FORMER, PADING))
def recording(
    request: pytest.FixtureRequest, shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> Recording:
    path = shared / "golden" / "model" / f"{request.param}.npz"
    return Recording(path, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
@torch.no_grad()
def raw(recording: Recording) -> tuple[dict[str, torch.Tensor], PixelFeatures, Predictions]:
    """Backbone features, what the pixel decoder makes of them, and the predictions."""
    model = recording.model
    features = model.backbone(model.preprocess(recording.batch).tensor)
    pixels = model.sem_seg_head["pixel_decoder"](features)
    predictions = model.sem_seg_head["predictor"](pixels.multi_scale, pixels.mask_features)
    return features, pixels, predictions


@pytest.fixture(scope="module")
def results(recording: Recording) -> dict:
    with torch.no_grad():
        return recording.model(recording.batch)[0]


def close(recording: Recording, name: str, value: torch.Tensor, atol: float, rtol: float = 0.0):
    torch.testing.assert_close(
        value, recording.tensor(name), atol=atol, rtol=rtol, msg=lambda text: f"{name}: {text}"
    )


def test_raw_outputs(recording: Recording, raw: tuple) -> None:
    features, pixels, predictions = raw
    compared = {
        **{f"features/{name}": (value, LOGITS, HALF) for name, value in features.items()},
        "mask_features": (pixels.mask_features, LOGITS, 0.0),
        **{f"multi_scale/{i}": (m, LOGITS, 0.0) for i, m in enumerate(pixels.multi_scale)},
        **{f"aux_logits/{i}": (p.logits, LOGITS, 0.0) for i, p in enumerate(predictions.auxiliary)},
        "pred_logits": (predictions.logits, LOGITS, 0.0),
        "pred_masks": (predictions.masks, MASK_LOGITS, 0.0),
        "pred_embed": (predictions.embeddings, LOGITS, 0.0),
        "classifier_logits": (recording.model.class_logits(predictions), LOGITS, 0.0),
    }
    recorded = {name for name in compared if name in recording}
    assert {"pred_logits", "pred_masks"} <= recorded
    stages = 0 if recording.is_stage_two else len(predictions.auxiliary)
    assert sum(name.startswith("aux_logits/") for name in recorded) == stages
    for name in sorted(recorded):
        value, atol, rtol = compared[name]
        close(recording, name, value, atol, rtol)


def test_panoptic_result(recording: Recording, results: dict) -> None:
    ids, segments = results["panoptic_seg"]
    wanted = recording.numbers("panoptic_seg")
    listed = [{key: s[key] for key in ("id", "isthing", "category_id")} for s in segments]
    assert listed == recording.parsed("segments_info")
    assert (ids.numpy() != wanted).mean() <= PIXELS


def test_semantic_result(recording: Recording, results: dict) -> None:
    scores = results["sem_seg"]
    wanted = recording.numbers("sem_seg_argmax")
    assert (scores.argmax(0).numpy() != wanted).mean() <= PIXELS
    close(recording, "sem_seg_sample", scores[:, ::16, ::16], LOGITS)


def test_instance_result(recording: Recording, results: dict) -> None:
    instances = results["instances"]
    masks = recording.masks("instance_masks", instances.image_size[1])
    left = list(
        zip(
            recording.numbers("instance_classes").tolist(),
            recording.numbers("instance_scores").tolist(),
            masks,
            strict=True,
        )
    )
    assert len(instances) == len(left)
    # The order is arbitrary: every result takes the recorded one that it equals.
    for label, score, mask in zip(
        instances.pred_classes.tolist(),
        instances.scores.tolist(),
        instances.pred_masks.numpy(),
        strict=True,
    ):
        for place, (wanted_label, wanted_score, wanted_mask) in enumerate(left):
            if (
                label == wanted_label
                and abs(score - wanted_score) <= LOGITS
                and np.mean(mask != wanted_mask) <= PIXELS
            ):
                del left[place]
                break
        else:
            pytest.fail(f"no recorded instance of class {label} with score {score} and this mask")
