"""A project trained to its end: all stages, resumed where it was stopped, predicted with."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from pading.commands import add_classes, new, predict, train
from pading.config import load_config
from pading.errors import InputError
from pading.projects.layout import read_project, trained_weights
from pading.projects.training import Command, train_project
from pading.tuning import pretence
from tests.models.zegclip.conftest import NARROW as NARROW_CLIP
from tests.narrow import NARROW
from tests.projects import twins
from tests.runs import Killed

PAIRS = [
    str(part)
    for key, value in {
        **NARROW,
        "SOLVER.MAX_ITER": 3,
        "SOLVER.IMS_PER_BATCH": 2,
        "SOLVER.CHECKPOINT_PERIOD": 1,
        "DATALOADER.NUM_WORKERS": 0,
        "SEED": 1,
    }.items()
    for part in (key, value)
    if key != "MODEL.GENERATOR.NAME"  # data are to choose it
]


def made(folder: Path, *options: str) -> Path:
    folder.mkdir(exist_ok=True)
    given = twins.write_coco(folder)
    home = folder / "home"
    new.main([str(home), *given, *twins.vectors(folder), "--val-share", "0.3", *options])
    return home


@pytest.mark.slow
def test_all_stages_resumed_and_used(
    tmp_path: Path, kill_at, capsys: pytest.CaptureFixture[str]
) -> None:
    home = made(tmp_path, "--unseen", "fork")
    kill_at(2)
    with pytest.raises(Killed):
        train.main([str(home), *PAIRS])
    train.main([str(home), *PAIRS])
    out = capsys.readouterr().out
    assert "stage 1 of 2: 1_segmenter" in out
    assert "stage 2 of 2: 2_generator" in out
    assert "Environment info" not in out
    assert out.count("total_loss: ") >= 2 and "loss_ce" not in out
    assert "2 seen classes are too few to leave some of them out" in out
    assert "harmonic" in out.rpartition("home_val, per cent")[2]
    assert f"pading predict {home} --input PHOTOGRAPHS" in out
    project = read_project(home)
    log = (project.weights.parent / "log.txt").read_text(encoding="utf-8")
    assert "Environment info" in log and "loss_" in log
    assert f"a page: {project.weights.parent / 'report.html'}" in out
    assert "<html" in (project.weights.parent / "report.html").read_text(encoding="utf-8")
    weights = torch.load(project.weights, weights_only=True)["model"]
    # The same run without the interruption.
    other = made(tmp_path / "other", "--unseen", "fork")
    train.main([str(other), *PAIRS])
    again = torch.load(read_project(other).weights, weights_only=True)["model"]
    assert all(torch.equal(value, again[name]) for name, value in weights.items())
    capsys.readouterr()
    train.main([str(home), *PAIRS])
    assert capsys.readouterr().out.count("is done already") == 2
    # The project's name stands for its model.
    photographs = str(tmp_path / "images")
    predict.main([str(home), photographs, "--output", str(tmp_path / "predicted")])
    assert (tmp_path / "predicted" / "instance.json").is_file()
    assert predict.parse([str(home), "x.png", "--output", "y"]).weights == trained_weights(
        str(home)
    )
    assert add_classes.parse([str(home), "--names", "mug", "--output", "y.pth"]).weights == str(
        project.weights
    )


@pytest.mark.slow
def test_without_unseen_classes_and_the_rules(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = made(tmp_path)
    text = (home / "1_segmenter.yaml").read_text()
    (home / "1_segmenter.yaml").write_text(f"{text}SOLVER: {{BASE_LR: 0.5}}\nSEED: 7\n")
    train.main([str(home), *PAIRS])
    cfg = load_config(str(home / "output" / "1_segmenter.yaml"))
    assert cfg.SOLVER.BASE_LR == 0.5, "what the user wrote counts"
    assert cfg.SOLVER.MAX_ITER == 3
    assert cfg.INPUT.IMAGE_SIZE == 64, "the images' longer side"
    assert cfg.MODEL.WEIGHTS == "", "a small network from nothing"
    assert "a small network learns from nothing" in capsys.readouterr().out
    assert read_project(home).weights.is_file()


def test_a_system_of_pixels(tmp_path: Path) -> None:
    home = made(tmp_path, "--unseen", "fork", "--system", "lseg")
    pairs = ["SOLVER.MAX_ITER", "2", "SOLVER.IMS_PER_BATCH", "2", "DATALOADER.NUM_WORKERS", "0"]
    train.main([str(home), *pairs])
    assert read_project(home).weights.is_file()


def test_a_system_that_starts_from_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = twins.write_coco(tmp_path)
    command = [str(tmp_path / "home"), *given, "--unseen", "fork", "--system", "zegclip"]
    with pytest.raises(InputError, match="starts from trained weights .*; give your file of them"):
        new.main(command)
    with pytest.raises(InputError, match="clip.safetensors: there is no such file"):
        new.main([*command, "--weights", str(tmp_path / "clip.safetensors")])
    assert not (tmp_path / "home").exists()
    # A narrow CLIP by the name of the one that is usual.
    vision = {"layers": 3, "width": 32, "head_width": 16, "patch_size": 8, "image_size": 32}
    text = {"width": 32, "heads": 2, "layers": 1}
    config = {"embed_dim": 24, "quick_gelu": True, "vision_cfg": vision, "text_cfg": text}
    monkeypatch.setattr(open_clip, "get_model_config", lambda name: dict(config))
    save_file(open_clip.CLIP(**config).state_dict(), tmp_path / "clip.safetensors")
    new.main([*command, "--weights", str(tmp_path / "clip.safetensors")])
    assert f"vectors: openclip:ViT-B-16-quickgelu:{tmp_path}/clip.saf" in capsys.readouterr().out
    narrow = {
        **NARROW_CLIP,
        "MODEL.INFERENCE.WINDOW": [32, 32],
        "MODEL.INFERENCE.STRIDE": [32, 32],
        "INPUT.CROP_SIZE": [32, 32],
        "INPUT.BASE_SIZE": [64, 48],
        "INPUT.MIN_SIZE_TEST": 32,
        "SOLVER.MAX_ITER": 2,
        "SOLVER.IMS_PER_BATCH": 2,
        "DATALOADER.NUM_WORKERS": 0,
    }
    train.main([str(tmp_path / "home"), *(str(part) for pair in narrow.items() for part in pair)])
    assert "home_val, per cent, sem_seg" in capsys.readouterr().out
    assert read_project(tmp_path / "home").weights.is_file()


def test_data_choose_the_generator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = made(tmp_path, "--unseen", "fork")
    project = read_project(home)
    said: list[tuple[str, ...]] = []

    def trained(arguments: Sequence[str]) -> None:
        said.append(("train", *arguments))
        stage = project.stages[sum(name == "train" for name, *_ in said) - 1]
        project.output(stage).mkdir(parents=True, exist_ok=True)
        (project.output(stage) / "model_final.pth").touch()

    def other(name: str) -> Command:
        return lambda arguments: said.append((name, *arguments))

    def stage_two(*pairs: str) -> list[tuple[str, ...]]:
        said.clear()
        shutil.rmtree(home / "output", ignore_errors=True)
        with pytest.raises(InputError, match="results.json"):  # nothing was scored
            train_project(project, trained, other("convert"), other("tune"), pairs=[*PAIRS, *pairs])
        return said[2:]

    assert [name for name, *_ in stage_two()] == ["train"]
    assert "2 seen classes are too few" in capsys.readouterr().out
    monkeypatch.setattr(pretence, "LEAST_SEEN", 2)
    assert [name for name, *_ in stage_two()] == ["train"]
    assert "images of seen classes are too few to choose by" in capsys.readouterr().out
    monkeypatch.setattr(pretence, "LEAST_IMAGES", 1)
    tuned, then = stage_two()
    assert tuned[0] == "tune" and "MODEL.WEIGHTS" in tuned
    chosen = project.output(project.stages[-1]) / "tuning" / "chosen.yaml"
    assert then[:3] == ("train", "--config-file", str(chosen))
    given = stage_two("SOLVER.GENERATOR_LR", "0.1")
    assert [name for name, *_ in given] == ["train"], "the user has chosen"
