"""Checkpoints that load whole or not at all."""

from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from torch import nn

from pading.checkpoint.checkpointer import Checkpointer
from pading.checkpoint.matching import LoadsWhole
from pading.errors import InputError
from pading.models.mask2former import Mask2Former
from pading.models.pading.stage_two import PADing
from pading.vocabulary.splits import ClassInfo, ClassSplit


class Predictor(nn.Module):
    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.class_embed = nn.Linear(4, outputs)
        self.mask_embed = nn.Linear(4, 4)


class Model(LoadsWhole):
    """The names that matter, in small."""

    initialised_afresh = (("class_vectors",), ("generator.",))
    beside_backbone = ("sem_seg_head.",)
    published_names = PADing.published_names
    made_by_conversion = PADing.made_by_conversion
    shape_hint = PADing.shape_hint
    split: ClassSplit | None = None

    def __init__(self, outputs: int = 5, vectors: int = 6) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1))
        self.sem_seg_head = nn.ModuleDict({"predictor": Predictor(outputs)})
        self.generator = nn.Linear(2, 2)
        self.register_buffer("class_vectors", torch.zeros(3, vectors))

    def described(self) -> dict:
        return {"split": self.split.record()} if self.split else {}

    def check_checkpoint(self, checkpoint: dict) -> list[str]:
        return Mask2Former.check_checkpoint(self, checkpoint)


def write(tmp_path: Path, weights: dict[str, torch.Tensor]) -> str:
    path = str(tmp_path / "w.pth")
    torch.save({"model": weights}, path)
    return path


def test_round_trip(tmp_path: Path, seed: int) -> None:
    first, second = Model(), Model()
    Checkpointer(first, str(tmp_path)).save("model_0001", iteration=3)
    found = Checkpointer(second, str(tmp_path)).resume_or_load("", resume=True)
    assert found["iteration"] == 3
    for name, value in first.state_dict().items():
        assert torch.equal(second.state_dict()[name], value)


def test_a_converted_checkpoint_may_lack_the_generator(tmp_path: Path, seed: int) -> None:
    weights = Model().state_dict()
    for name in ("class_vectors", "generator.weight", "generator.bias"):
        del weights[name]
    model = Model()
    before = model.generator.weight.clone()
    Checkpointer(model).load(write(tmp_path, weights))
    assert torch.equal(model.generator.weight, before)
    assert torch.equal(model.backbone[0].weight, weights["backbone.0.weight"])


def test_a_backbone_alone(tmp_path: Path, seed: int) -> None:
    weights = {
        name.removeprefix("backbone."): value + 1
        for name, value in Model().state_dict().items()
        if name.startswith("backbone.")
    }
    model = Model()
    Checkpointer(model).load(write(tmp_path, weights | {"fc1000.weight": torch.zeros(2, 2)}))
    assert torch.equal(model.backbone[1].weight, weights["1.weight"])


def spoilt(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """One tensor renamed, one missing, one too many, one of another shape."""
    weights["backbone.0.wait"] = weights.pop("backbone.0.weight")
    del weights["generator.bias"]
    weights["extra.weight"] = torch.zeros(1)
    weights["sem_seg_head.predictor.class_embed.weight"] = torch.zeros(5, 9)
    return weights


def test_everything_that_does_not_fit_is_named_at_once(tmp_path: Path, seed: int) -> None:
    path = write(tmp_path, spoilt(Model().state_dict()))
    with pytest.raises(InputError) as caught:
        Checkpointer(Model()).load(path)
    lines = str(caught.value).splitlines()
    assert lines[:9] == [
        f"{path}: these weights do not fit the model:",
        "  2 missing from the file:",
        "    backbone.0.weight",
        "    generator.bias",
        "  2 unknown to the model:",
        "    backbone.0.wait (renamed from backbone.0.weight? The shape is the same)",
        "    extra.weight",
        "  1 of another shape:",
        "    sem_seg_head.predictor.class_embed.weight: (5, 9) in the file, (5, 4) in the model",
    ]
    assert "the class head has 5 outputs" not in str(caught.value)


def test_detectron2s_own_checkpointer_loads_no_part_of_a_file(tmp_path: Path, seed: int) -> None:
    path = write(tmp_path, spoilt(Model().state_dict()))
    with pytest.raises(InputError) as caught:
        DetectionCheckpointer(Model()).load(path)
    lines = str(caught.value).splitlines()
    # It takes out what has another shape before the model sees it.
    assert lines[:8] == [
        "these weights do not fit the model:",
        "  3 missing from the file, or there in another shape:",
        "    backbone.0.weight",
        "    generator.bias",
        "    sem_seg_head.predictor.class_embed.weight",
        "  2 unknown to the model:",
        "    backbone.0.wait (renamed from backbone.0.weight? The shape is the same)",
        "    extra.weight",
    ]


def test_thousands_of_names_are_not_listed(tmp_path: Path, seed: int) -> None:
    weights = {f"sem_seg_head.{i:04}": torch.zeros(1) for i in range(2000)}
    with pytest.raises(InputError) as caught:
        Checkpointer(Model()).load(write(tmp_path, weights))
    message = str(caught.value)
    assert "2000 unknown to the model:\n    sem_seg_head.0000" in message
    assert "    ... and 1960 more" in message
    assert len(message.splitlines()) < 70


def test_a_refused_file_leaves_the_model_as_it_was(tmp_path: Path, seed: int) -> None:
    weights = {name: value + 1 for name, value in Model().state_dict().items()}
    weights["extra.weight"] = torch.zeros(1)
    model = Model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(InputError, match=r"extra\.weight"):
        Checkpointer(model).load(write(tmp_path, weights))
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())


def test_other_class_count_names_the_converter(tmp_path: Path, seed: int) -> None:
    path = write(tmp_path, Model(outputs=4).state_dict())
    with pytest.raises(
        InputError,
        match=r"w\.pth: the class head has 4 outputs in the file, but 5 in this model .*"
        r"tools/preprocess_pretrained_weight\.py grows the head",
    ):
        Checkpointer(Model(outputs=5)).load(path)


def test_other_class_vectors(tmp_path: Path, seed: int) -> None:
    path = write(tmp_path, Model(vectors=9).state_dict())
    with pytest.raises(InputError, match=r"class vectors of shape \(3, 9\), but MODEL\.CLASS_VECT"):
        Checkpointer(Model()).load(path)


def test_a_kill_while_saving_leaves_the_last_checkpoint_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    checkpointer = Checkpointer(Model(), str(tmp_path))
    checkpointer.save("model_final")
    before = (tmp_path / "model_final.pth").read_bytes()

    def killed(data: object, file) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpointer.save("model_final")
    assert (tmp_path / "model_final.pth").read_bytes() == before


def test_numpy_weights_of_the_model_zoo(tmp_path: Path, seed: int) -> None:
    import pickle

    weights = {n: np.asarray(v) + 1 for n, v in Model().state_dict().items()}
    path = tmp_path / "w.pkl"
    path.write_bytes(pickle.dumps({"model": weights, "__author__": "someone"}))
    model = Model()
    Checkpointer(model).load(str(path))
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), weights[name])


def split_of(*names: str, unseen: str = "") -> ClassSplit:
    rows = [ClassInfo(i, name, True, name == unseen) for i, name in enumerate(names)]
    return ClassSplit("other" if unseen else "first", tuple(rows))


@pytest.mark.parametrize(
    ("here", "message", "warning"),
    [
        (split_of("cup", "fork", "spoon", "table"), "", ""),
        # Four of them are seen, and so are the rows of a stage 1.
        (split_of("cup", "fork", "owl", "spoon", "table", unseen="owl"), "", ""),
        (split_of("cup", "fork", "spoon", "desk"), "", "1 classes differently; 'table' is 'desk'"),
        (
            split_of("cup", "spoon", "fork", "table"),
            "w.pth: it was trained on the class split 'first', in which 'spoon' is at row 2",
            "",
        ),
        (split_of("owl", "cup", "fork", "spoon", "table", unseen="table"), "'cup' is at row 0", ""),
    ],
)
def test_rows_of_the_class_head_stay_with_their_classes(
    here: ClassSplit, message: str, warning: str, tmp_path: Path, caplog
) -> None:
    model = Model(outputs=5)
    record = split_of("cup", "fork", "spoon", "table").record()
    path = tmp_path / "w.pth"
    torch.save({"model": model.state_dict(), "split": record}, path)
    model.split = here
    if message:
        with pytest.raises(InputError, match=message):
            Checkpointer(model).load(str(path))
        return
    Checkpointer(model).load(str(path))
    said = [m for m in caplog.messages if "differently" in m]
    assert bool(said) == bool(warning)
    assert all(warning in m for m in said)


def test_vectors_that_do_not_count_are_pointed_out(tmp_path: Path, caplog) -> None:
    trained, model = Model(), Model()
    path = write(tmp_path, trained.state_dict())
    Checkpointer(model).load(path)
    assert "MODEL.CLASS_VECTORS" not in caplog.text
    model.class_vectors += 1
    Checkpointer(model).load(path)
    assert "w.pth: its class vectors are others than those of MODEL.CLASS_VECTORS" in caplog.text
    assert torch.equal(model.class_vectors, trained.class_vectors)
