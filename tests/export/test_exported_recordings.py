"""Recordings of the published code beside exported graphs."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from pading.export.exporting import OPSET
from pading.export.graph_files import onnx_file
from pading.export.network import ExportedNetwork, Sizes, capture
from pading.inference.windows import at_size
from pading.models.base import SegmentationModel
from research.parity.lseg_recording import LSegRecording
from research.parity.recording import Recording
from research.parity.zegclip_recording import ZegCLIPRecording
from tests.models.recordings import PADING

pytest.importorskip("onnxscript", reason="the packages of the extra `export` are not installed")
pytest.importorskip("onnxruntime")


def outputs_of_graph(
    model: SegmentationModel, images: Tensor, path: Path
) -> Mapping[str, np.ndarray]:
    """What the model's graph of that size gives, in onnxruntime."""
    network = ExportedNetwork(model.eval())
    program = capture(network, Sizes(len(images), (images.shape[-2], images.shape[-1])))
    run = onnx_file(program, network, path / "model.onnx", {}, OPSET)
    return run([images, *network.class_inputs.values()])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mask2former_resnet", "mask2former_swin", PADING])
def test_queries(name: str, shared: Path, tmp_path: Path) -> None:
    recording = Recording(shared / "golden" / "model" / f"{name}.npz", tmp_path)
    images, _ = recording.model.preprocess(recording.batch)
    found = outputs_of_graph(recording.model, images, tmp_path)
    logits = "classifier_logits" if recording.is_stage_two else "pred_logits"
    for name, wanted, apart in (("logits", logits, 1e-3), ("masks", "pred_masks", 2e-3)):
        numbers = recording.numbers(wanted).astype(np.float32)
        np.testing.assert_allclose(found[name], numbers, atol=apart)


@pytest.mark.slow
def test_pixels_and_texts(shared: Path, tmp_path: Path) -> None:
    recording = LSegRecording(shared / "golden" / "lseg" / "lseg_vit_b32.npz", tmp_path)
    model = recording.built(F.normalize(recording.tensor("text_features"), dim=-1))
    images = (recording.images("image_rgb") - model.pixel_mean) / model.pixel_std
    found = outputs_of_graph(model, images, tmp_path)
    np.testing.assert_allclose(found["scores"], recording.numbers("logits"), atol=1e-3)


@pytest.mark.slow
def test_a_window_and_texts(shared: Path, tmp_path: Path) -> None:
    recording = ZegCLIPRecording(shared / "golden" / "zegclip" / "zegclip.npz", tmp_path)
    model = recording.built()
    height, width = recording.options["test_cfg"]["crop_size"]
    window = recording.images("image_rgb")[..., :height, :width]
    found = outputs_of_graph(model, (window - model.pixel_mean) / model.pixel_std, tmp_path)
    [logits] = at_size(torch.from_numpy(found["scores"]), (height, width))
    np.testing.assert_allclose(logits, recording.numbers("window/pred_masks"), atol=1e-3)
