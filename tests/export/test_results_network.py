"""Results inside the graph beside those of the models."""

import numpy as np
import pytest
import torch

from pading.export.results_network import ResultsNetwork
from tests.export.narrow_systems import SETTINGS, narrow_predictor


@pytest.mark.parametrize("name", SETTINGS)
def test_they_are_those_of_the_model(name: str, rng: torch.Generator) -> None:
    one_view = {"MODEL.INFERENCE.FLIP": False, "MODEL.INFERENCE.WINDOW": []}
    predictor = narrow_predictor(name, one_view)
    coarse = 255 * torch.rand(1, 3, 6, 8, generator=rng)
    image = torch.nn.functional.interpolate(coarse, (96, 160), mode="bilinear")
    network = ResultsNetwork(predictor.model)
    with torch.no_grad():
        found = network(image, *network.class_inputs.values())
        [wanted] = predictor.model([{"image": image[0], "height": 96, "width": 160}])
    assert np.mean((found["semantic"] != wanted["sem_seg"].argmax(0)).numpy()) <= 1e-3
    if "panoptic_seg" not in wanted:
        return
    ids, segments = wanted["panoptic_seg"]
    assert len(segments) > 0
    assert np.mean((found["panoptic"] != ids).numpy()) <= 1e-3
    assert int(found["panoptic_segments"].max()) == len(segments)
    for segment in segments:
        first = int((found["panoptic_segments"] == segment["id"]).int().argmax())
        assert int(found["panoptic_classes"][first]) == segment["category_id"]
    kept = found["instance_classes"] >= 0
    scores = found["instance_scores"][kept].sort().values
    torch.testing.assert_close(scores, wanted["instances"].scores.sort().values)
    assert int(kept.sum()) == len(wanted["instances"])


@pytest.mark.slow
def test_they_export(tmp_path, rng: torch.Generator) -> None:
    pytest.importorskip("onnxscript", reason="the packages of the extra `export` are missing")
    onnxruntime = pytest.importorskip("onnxruntime")
    predictor = narrow_predictor("segmenter")
    path = tmp_path / "results.onnx"
    predictor.export(path, results=True)
    session = onnxruntime.InferenceSession(path)
    coarse = 255 * torch.rand(1, 3, 6, 8, generator=rng)
    image = torch.nn.functional.interpolate(coarse, (160, 192), mode="bilinear")
    outputs = [item.name for item in session.get_outputs()]
    found = dict(zip(outputs, session.run(outputs, {"images": image.numpy()}), strict=True))
    with torch.no_grad():
        wanted = ResultsNetwork(predictor.model)(image)
    assert found.keys() == wanted.keys()
    for name in ("semantic", "panoptic"):
        assert np.mean(found[name] != wanted[name].numpy()) <= 1e-3
