"""Exported files of every system: what they hold, and that they give what PyTorch gives."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pading import Predictor
from pading.commands import export as export_command
from pading.commands import predict as predict_command
from pading.errors import InputError
from pading.export import Sizes, export_model
from pading.export.network import ExportedNetwork
from pading.vocabulary.class_vectors import ClassVectors
from tests.export.narrow_systems import CONVNET, SETTINGS, narrow_predictor
from tests.runs import run

onnx = pytest.importorskip("onnx", reason="the packages of the extra `export` are not installed")
pytest.importorskip("onnxscript")
onnxruntime = pytest.importorskip("onnxruntime")

_IMAGES = ((256, 320), (97, 131), (70, 200))
# Of this size alone, one at a time; the others take any.
_FIXED = {"segmenter": Sizes(1, _IMAGES[0])}
# Plain C++: what takes minutes is trying vector instructions and compiling PyTorch's headers anew.
_PLAIN = {
    "cpp.vec_isa_ok": False,
    "compile_threads": 1,
    "cpp_cache_precompile_headers": False,
    "aot_inductor.precompile_headers": False,
}


@pytest.fixture(scope="module")
def predictors() -> dict[str, Predictor]:
    torch.manual_seed(0)
    return {name: narrow_predictor(name) for name in SETTINGS}


@pytest.fixture(scope="module")
def exported(predictors: dict[str, Predictor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of NAME.onnx, and what a process without PyTorch made of images with them."""
    folder = tmp_path_factory.mktemp("exported")
    generator = np.random.default_rng(0)
    for name, predictor in predictors.items():
        predictor.export(folder / f"{name}.onnx", sizes=_FIXED.get(name))
        for number, (height, width) in enumerate(_IMAGES[:1] if name in _FIXED else _IMAGES):
            coarse = generator.integers(0, 256, (6, 8, 3), dtype=np.uint8)
            image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
            np.save(folder / f"{name}_{number}.npy", np.asarray(image))
    script = Path(__file__).with_name("without_torch.py")
    done = subprocess.run(
        [sys.executable, script, folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
def test_a_process_without_pytorch_gives_the_same(
    name: str, predictors: dict[str, Predictor], exported: Path
) -> None:
    predictor = predictors[name]
    files = sorted(exported.glob(f"{name}_*.npy"))
    assert len(files) == (1 if name in _FIXED else len(_IMAGES))
    for file in files:
        found, coco = (
            np.load(file.with_suffix(".npz")),
            json.loads(file.with_suffix(".json").read_text()),
        )
        network = ExportedNetwork(predictor.model)
        with torch.no_grad():
            outputs = network(torch.from_numpy(found["looked_at"]), *network.class_inputs.values())
        for output, value in outputs.items():
            np.testing.assert_allclose(found[output], value.numpy(), atol=1e-3)
        wanted = predictor.predict(np.load(file))
        if wanted.semantic is not None:
            assert np.mean(found["result_semantic"] != wanted.semantic) <= 1e-3
        if wanted.panoptic is not None:
            assert np.mean(found["result_panoptic"] != wanted.panoptic.ids) <= 1e-3
            assert len(coco["panoptic"]) == len(wanted.panoptic.segments) > 0
        if wanted.instance is not None:
            ours, theirs = (
                Counter(d["category_id"] for d in x) for x in (coco["instance"], wanted.instance)
            )
            assert ours == theirs


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
def test_what_a_file_holds(name: str, predictors: dict[str, Predictor], exported: Path) -> None:
    predictor = predictors[name]
    graph = onnx.load(exported / f"{name}.onnx")
    assert {node.domain for node in graph.graph.node} == {""}, "custom operators"
    assert "GridSample" not in {node.op_type for node in graph.graph.node}
    assert [(item.domain, item.version) for item in graph.opset_import] == [("", 18)]
    entries = {entry.key: entry.value for entry in graph.metadata_props}
    about = json.loads(entries["pading"])
    assert about["split"] == predictor.split.record()
    assert about["pixels"]["mean"] == predictor.model.pixel_mean.flatten().tolist()
    assert about["inference"]["seen_bias"] == predictor.model.inference.seen_bias
    assert ("pading.class_vectors" in entries) == (predictor.model.class_vectors is not None)
    inputs = [item.name for item in graph.graph.input]
    assert inputs == ["images", *about["class_inputs"]]


@pytest.mark.slow
def test_a_class_is_a_row_of_the_graph(
    predictors: dict[str, Predictor], exported: Path, rng: torch.Generator
) -> None:
    """With the rows that PyTorch's model with one class more has, it gives what that one gives."""
    from pading.runtime import load

    vector = torch.randn(1, 12, generator=rng).numpy()
    for name in ("pixel_text", "fourth"):
        grown = predictors[name].add_classes(ClassVectors(("hedgehog",), vector, "a test"))
        ours = load(exported / f"{name}.onnx", threads=1)
        ours = ours.add_classes(["hedgehog"], {"class_vectors": vector})
        image = np.load(exported / f"{name}_1.npy")
        wanted, found = grown.predict(image), ours.predict(image)
        assert found.classes == wanted.classes
        assert np.mean(found.semantic != wanted.semantic) <= 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["zero_shot", "clip"])
def test_one_file_takes_small_and_large_images(
    name: str, predictors: dict[str, Predictor], exported: Path, rng: torch.Generator
) -> None:
    # Which points a query attends to turns on signs, so rounding may sway one query a little.
    swayed = {"zero_shot": 1, "clip": 0}[name]
    session = onnxruntime.InferenceSession(exported / f"{name}.onnx")
    network = ExportedNetwork(predictors[name].model)
    given = {n: v.numpy() for n, v in network.class_inputs.items()}
    for height, width in ((256, 320), (1024, 1333)):
        divisor = network.model.image_divisor
        size = (height // divisor * divisor, -(-width // divisor) * divisor)
        images = torch.randn(1, 3, *size, generator=rng)
        with torch.no_grad():
            outputs = network(images, *network.class_inputs.values())
        found = session.run(list(outputs), {"images": images.numpy(), **given})
        for ours, theirs in zip(outputs.values(), found, strict=True):
            apart = np.abs(theirs - ours.numpy())[0]
            rows = np.quantile(apart.reshape(len(apart), -1), 0.999, axis=1)  # queries, or classes
            assert np.sum(rows > 1e-3) <= swayed, (height, width, rows)
            assert rows.max() <= 1e-2, (height, width, rows)


@pytest.mark.slow
def test_a_class_of_a_class_head_is_a_row_of_the_graph(
    predictors: dict[str, Predictor], exported: Path, rng: torch.Generator
) -> None:
    """Rows that a generator taught PyTorch's model, given to the file by name."""
    from pading.runtime import load

    model = predictors["zero_shot"].model
    for label in range(model.split.num_classes + 1):  # of random embeddings
        labels = torch.full((4,), label)
        kept = torch.randn(4, model.memory.embeddings.shape[-1], generator=rng)
        model.memory.keep(kept, labels)
    grown = predictors["zero_shot"].add_classes(
        ClassVectors(("hedgehog",), torch.randn(1, 20, generator=rng).numpy(), "a test")
    )
    rows = grown.model.class_rows(["hedgehog"])
    assert rows.keys() == {"classifier_weight", "classifier_bias"}
    ours = load(exported / "zero_shot.onnx", threads=1).add_classes(["hedgehog"], rows)
    image = np.load(exported / "zero_shot_1.npy")
    wanted, found = grown.predict(image), ours.predict(image)
    assert found.classes == wanted.classes
    assert np.mean(found.panoptic.ids != wanted.panoptic.ids) <= 1e-3
    assert np.mean(found.semantic != wanted.semantic) <= 1e-3
    # Half precision, of scores that add up to more than 1.
    np.testing.assert_allclose(found.scores.semantic, wanted.scores.semantic, atol=1e-3, rtol=1e-3)
    with pytest.raises(InputError, match="'zebra' is none of the model's classes"):
        grown.model.class_rows(["zebra"])


def test_torch_export_and_the_command(
    predictors: dict[str, Predictor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predictor = predictors["clip"]
    predictor.save(str(tmp_path / "model.pth"))
    run(export_command.main, tmp_path / "model.pth", tmp_path / "model.pt2", "--batch", 1)
    assert "of PyTorch's (allowed: 0.001)" in capsys.readouterr().out
    extra = {"pading": ""}
    program = torch.export.load(tmp_path / "model.pt2", extra_files=extra)
    assert json.loads(extra["pading"])["split"] == predictor.split.record()
    images = torch.randn(1, 3, 96, 64)
    network = ExportedNetwork(predictor.model)
    classes = network.class_inputs.values()
    with torch.no_grad():
        wanted, found = network(images, *classes), program.module()(images, *classes)
    torch.testing.assert_close(found["scores"], wanted["scores"], atol=1e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling takes a C++ compiler")
def test_machine_code(tmp_path: Path, rng: torch.Generator) -> None:
    from torch._inductor import aoti_load_package
    from torch._inductor import config as inductor

    predictor = narrow_predictor("fourth", CONVNET)  # few layers: they take time to compile
    path, sizes = tmp_path / "model.pt2", Sizes(1, (64, 96))
    with inductor.patch(_PLAIN):
        exported = predictor.export(path, compiled=True, sizes=sizes)
    assert exported.difference < 1e-3
    compiled, network = aoti_load_package(str(path)), ExportedNetwork(predictor.model)
    about = json.loads(compiled.get_metadata()["pading"])
    assert about["split"] == predictor.split.record()
    images = torch.randn(1, 3, 64, 96, generator=rng)
    with torch.no_grad():
        wanted = network(images, *network.class_inputs.values())
        found = compiled(images, *network.class_inputs.values())
    torch.testing.assert_close(found["scores"], wanted["scores"], atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_predict_takes_an_exported_file(exported: Path, tmp_path: Path) -> None:
    Image.fromarray(np.load(exported / "zero_shot_1.npy")).save(tmp_path / "photo.png")
    model, output = exported / "zero_shot.onnx", tmp_path / "found"
    run(predict_command.main, model, tmp_path / "photo.png", "--output", output)
    assert (output / "panoptic" / "photo.png").is_file()
    [annotation] = json.loads((output / "panoptic.json").read_text())["annotations"]
    assert len(annotation["segments_info"]) > 0
    with pytest.raises(SystemExit):
        run(predict_command.main, model, tmp_path / "photo.png", "--output", output, "SEED", 1)


def test_what_differs_is_not_written(predictors: dict[str, Predictor], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"scores differs from PyTorch's by .* nothing was"):
        predictors["fourth"].export(tmp_path / "model.pt2", tolerance=-1.0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("model.pth", {}, "a model is exported to .onnx"),
        ("model.onnx", {"compiled": True}, "a model is exported to .onnx"),
        ("model.onnx", {"sizes": Sizes(image=(100, 96))}, "multiples of 32"),
        ("model.onnx", {"sizes": Sizes(batch=0)}, "give at least 1"),
    ],
)
def test_what_cannot_be_exported(
    path: str,
    options: dict[str, Any],
    message: str,
    predictors: dict[str, Predictor],
    tmp_path: Path,
) -> None:
    predictor = predictors["fourth"]
    with pytest.raises(InputError, match=message):
        export_model(predictor.cfg, predictor.model, tmp_path / path, **options)
