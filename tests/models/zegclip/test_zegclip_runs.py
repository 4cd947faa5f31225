"""ZegCLIP's runs: resumed bit by bit, self-training from an inductive run, two processes as one."""

import json
from pathlib import Path

import pytest
import torch

from pading.config import load_config
from pading.data.masks import IGNORE_LABEL
from pading.models.registry import build_model
from tests.engine.two_processes import in_processes
from tests.models.zegclip.conftest import CONFIG, NARROW, WIDTH, narrow_split
from tests.runs import UNSCORED, Killed, assert_same_weights, train

_PARTS = "SOLVER.ACCUMULATION_STEPS"
STAGE = "semantic/ZegCLIP"
TOWER = ["embed_dim", 384, "width", 32, "layers", 3, "head_width", 16, "patch_size", 8]
TINY = (
    *("MODEL.CLIP.OPTIONS", [*TOWER, "image_size", 32]),
    *("MODEL.WEIGHTS", "", "MODEL.CLASS_VECTORS", "shapes_minilm"),
    *("MODEL.ZEGCLIP.PROMPT_DEPTH", 2, "MODEL.ZEGCLIP.DECODER_FFN_DIM", 32),
)
SETTINGS = ("inductive", "transductive")
SELF_TRAINING = (
    *("MODEL.ZEGCLIP.SETTING", "transductive"),
    *("DATASETS.TRAIN", "('shapes_semantic_val',)"),  # the scenes that show unseen classes
)


def test_both_settings_resume_exactly(tiny_scenes: Path, kill_at, tmp_path: Path) -> None:
    start = tmp_path / "inductive" / "model_0000001.pth"
    for setting in SETTINGS:
        options = [*UNSCORED, *TINY, "SOLVER.MAX_ITER", 4]
        if setting == "transductive":
            options += [*SELF_TRAINING, "MODEL.WEIGHTS", start]
        train(STAGE, tmp_path / setting, *options)
        cut = tmp_path / f"{setting} cut"
        kill_at(3)
        with pytest.raises(Killed):
            train(STAGE, cut, "--resume", *options)
        train(STAGE, cut, "--resume", *options)
        assert_same_weights(tmp_path / setting / "model_final.pth", cut / "model_final.pth")


def test_parts_and_mixed_precision(tiny_scenes: Path, tmp_path: Path) -> None:
    no_chance = ("MODEL.ZEGCLIP.DROPOUT", 0, "MODEL.ZEGCLIP.PROMPT_DROPOUT", 0)
    options = [*UNSCORED, *TINY, *no_chance, "SOLVER.MAX_ITER", 1]
    precision = ("SOLVER.AMP.ENABLED", "True", "SOLVER.AMP.DTYPE", "bfloat16")
    losses = {}
    for name, more in {"whole": (), "parts": (_PARTS, 2), "mixed": precision}.items():
        train(STAGE, tmp_path / name, *options, *more)
        [line] = (tmp_path / name / "metrics.json").read_text().splitlines()[-1:]
        losses[name] = json.loads(line)["total_loss"]
    # Each part counts its own masks, so its loss is not quite the whole's.
    for name, close in (("parts", 0.3), ("mixed", 0.05)):
        assert losses[name] == pytest.approx(losses["whole"], rel=close)
    assert losses["mixed"] != losses["whole"]


def test_evaluation_and_starts_that_are_refused(
    tiny_scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run = tmp_path / "supervised"
    supervised = ("MODEL.ZEGCLIP.SETTING", "supervised", *SELF_TRAINING[2:])
    train(STAGE, run, *TINY, *supervised)
    assert "mIoU" in capsys.readouterr().out + (run / "log.txt").read_text()
    other = tmp_path / "other.pth"
    torch.save({"model": {"visual.conv1.weight": torch.zeros(1)}}, other)
    for weights, message in (
        ("", "which needs a start"),
        (other, "it holds no ZegCLIP"),
        (run / "model_final.pth", "it was trained supervised"),
    ):
        with pytest.raises(SystemExit) as refused:
            train(STAGE, tmp_path / "out", *TINY, *SELF_TRAINING, "MODEL.WEIGHTS", weights)
        assert message in str(refused.value) + capsys.readouterr().err


def gradients(images: torch.Tensor, labels: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Of this process's share of a batch in each setting, averaged over the processes."""
    return {
        f"{setting} {name}": value
        for setting in SETTINGS
        for name, value in gradients_in(setting, images, labels[setting]).items()
    }


def gradients_in(setting: str, images: torch.Tensor, labels: torch.Tensor) -> dict:
    from detectron2.utils import comm

    no_chance = {"MODEL.ZEGCLIP.DROPOUT": 0.0, "MODEL.ZEGCLIP.PROMPT_DROPOUT": 0.0}
    every = {**NARROW, **no_chance, "MODEL.ZEGCLIP.SETTING": setting}
    cfg = load_config(str(CONFIG), [str(part) for pair in every.items() for part in pair])
    torch.manual_seed(0)
    model = build_model(cfg, narrow_split(), torch.randn(5, WIDTH)).train()
    size, rank = comm.get_world_size(), comm.get_rank()
    share = len(images) // size
    mine = slice(rank * share, (rank + 1) * share)
    batch = [{"image": x, "sem_seg": y} for x, y in zip(images[mine], labels[mine], strict=True)]
    sum(model(batch).values()).backward()
    found = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    if size > 1:
        for value in found.values():
            torch.distributed.all_reduce(value)
        # Focal and dice are sums over a process's images by the mean count of masks.
        found = {n: value / size for n, value in found.items()}
    return found


def test_two_processes_as_one(rng: torch.Generator, tmp_path: Path) -> None:
    images = torch.randint(256, (4, 3, 32, 32), generator=rng, dtype=torch.uint8)
    labels = {}
    for setting, shown in zip(SETTINGS, ([0, 2, 4], range(5)), strict=True):
        known = torch.tensor([*shown, IGNORE_LABEL])
        labels[setting] = known[torch.randint(len(known), (4, 32, 32), generator=rng)]
        labels[setting][3] = IGNORE_LABEL  # the second process has fewer pairs
    one = gradients(images, labels)
    assert {name.partition(" ")[0] for name in one} == {*SETTINGS}
    for two in in_processes(2, gradients, tmp_path, images, labels):
        torch.testing.assert_close(two, one, rtol=1e-3, atol=1e-5)
