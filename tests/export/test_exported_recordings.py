"""Recordings of the published code beside exported graphs, and sizes up to a large photograph's."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pading.export import Sizes, export_model
from pading.export.network import ExportedNetwork
from research.parity.recording import Recording
from tests.export.narrow_systems import narrow_predictor
from tests.models.recordings import MASK2FORMER, PADING

pytest.importorskip("onnxscript", reason="the packages of the extra `export` are not installed")
onnxruntime = pytest.importorskip("onnxruntime")


@pytest.mark.slow
@pytest.mark.parametrize("name", [*MASK2FORMER, PADING])
def test_recordings_pass_through_the_graph(name: str, shared: Path, tmp_path: Path) -> None:
    recording = Recording(shared / "golden" / "model" / f"{name}.npz", tmp_path)
    model = recording.model.eval()
    images, _ = model.preprocess(recording.batch)
    size = (images.shape[-2], images.shape[-1])
    path = tmp_path / "model.onnx"
    export_model(recording.config, model, path, sizes=Sizes(1, size))
    session = onnxruntime.InferenceSession(path)
    given = {n: v.numpy() for n, v in ExportedNetwork(model).class_inputs.items()}
    logits, masks = session.run(["logits", "masks"], {"images": images.numpy(), **given})
    wanted = "classifier_logits" if recording.is_stage_two else "pred_logits"
    np.testing.assert_allclose(logits, recording.numbers(wanted).astype(np.float32), atol=1e-3)
    np.testing.assert_allclose(masks, recording.numbers("pred_masks").astype(np.float32), atol=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["zero_shot", "clip"])
def test_one_file_takes_small_and_large_images(name: str, tmp_path: Path, seed: int) -> None:
    predictor = narrow_predictor(name)
    model = predictor.model
    predictor.export(tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    network = ExportedNetwork(model)
    given = {n: v.numpy() for n, v in network.class_inputs.items()}
    for height, width in ((256, 320), (1024, 1333)):
        divisor = model.image_divisor
        images = torch.randn(1, 3, height // divisor * divisor, -(-width // divisor) * divisor)
        with torch.no_grad():
            outputs = network(images, *network.class_inputs.values())
        found = session.run(list(outputs), {"images": images.numpy(), **given})
        for ours, theirs in zip(outputs.values(), found, strict=True):
            apart = np.abs(theirs - ours.numpy())
            assert np.mean(apart > 1e-3) <= 1e-3, (height, width, float(apart.max()))
