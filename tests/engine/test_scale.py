"""Two gloo processes with half the batch each do what one process does with all of it.

What is asserted: with the same data order and augmentation (which depend on seed and iteration
alone), losses and weights agree within 1e-5 after 10 steps.

Stage 1 draws its points by chance, other ones in each process, so the test fixes them; dropout is 0
as published; batch normalisation is frozen, since its statistics are a process's own (as published;
SyncBN shares them on GPUs); and all images have one size, since padding goes by a process's images.
Stage 2 needs no such care beyond the matching's points: every process computes the losses of the
whole batch with the same noise, dropout and drawn classes.
"""

from pathlib import Path

import pytest
import torch

import pading
from pading.losses import matcher, points
from pading.models.pading.stage_two import PADing
from tests.engine.two_processes import in_processes
from tests.narrow import NARROW, RESNET
from tests.runs import FROM_IMAGES, ROOT

STEPS = 10
TOLERANCE = 1e-5


def fixed_points(count: int, num_points: int, device: torch.device) -> torch.Tensor:
    """The same points for every mask, whichever process it is in."""
    drawn = torch.rand(1, num_points, 2, generator=torch.Generator().manual_seed(5))
    return drawn.expand(count, -1, -1).to(device)


def ten_steps(stage: str, overrides: list[str]) -> dict:
    """Losses of every step (mean over the processes) and the final weights."""
    from pading.engine.trainer import Trainer

    points.random_points = matcher.random_points = fixed_points
    config = ROOT / "configs" / "shapes" / f"{stage}.yaml"
    narrow = [str(part) for pair in NARROW.items() for part in pair]
    cfg = pading.load_config(str(config), [*narrow, *overrides])
    pading.register_datasets(cfg)
    torch.manual_seed(0)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=False)
    losses = []
    write = trainer._trainer._write

    def kept(values: dict[str, float]) -> None:
        losses.append(values)
        write(values)

    trainer._trainer._write = kept
    trainer.train()
    model = trainer.checkpointer.model
    if isinstance(model, PADing):
        assert model.generator.noise
        assert model.generator.layers[0].dropout.p > 0
    return {"losses": losses, "weights": dict(model.state_dict())}


def options(output: Path, *more: object) -> list[str]:
    tiny = {
        "OUTPUT_DIR": output,
        "SOLVER.IMS_PER_BATCH": 4,
        "SOLVER.MAX_ITER": STEPS,
        "DATALOADER.NUM_WORKERS": 0,
        "DATASETS.TEST": "()",
        "SEED": 7,
    }
    return [str(part) for part in (*(p for pair in tiny.items() for p in pair), *more)]


CASES = {
    # SGD: Adam makes full steps along gradients that are nothing but rounding. Batch statistics
    # would be those of a process, and both losses of pooled masks are to be there.
    "pretrain": (
        *(part for pair in RESNET.items() for part in pair),
        *("MODEL.SEGMENTER.MASK_POOLING", True, "MODEL.SEGMENTER.LOSS.SEGMENT_WEIGHT", 10.0),
        *("MODEL.RESNETS.NORM", "FrozenBN", "SOLVER.OPTIMIZER", "SGD"),
        *("SOLVER.BASE_LR", 0.01, "SOLVER.WARMUP_ITERS", 0),
    ),
    "images": FROM_IMAGES,
    "both": (*FROM_IMAGES, "MODEL.ZERO_SHOT.STRUCTURE_SOURCE", "both"),
    "stored": ("MODEL.ZERO_SHOT.SOURCE", "stored"),
}


@pytest.mark.parametrize("case", CASES)
def test_two_processes_are_one(
    case: str, tiny_scenes: Path, converted: Path, tmp_path: Path
) -> None:
    stage, weights = "pretrain", ()
    if case != "pretrain":
        stage, weights = "PADing", ("MODEL.WEIGHTS", converted)
    results = {}
    for count in (1, 2):
        output = tmp_path / str(count)
        overrides = options(output, *CASES[case], *weights)
        results[count] = in_processes(count, ten_steps, tmp_path, stage, overrides)
    [one], (first, second) = results[1], results[2]
    assert len(one["losses"]) == STEPS
    for step, (mine, theirs) in enumerate(zip(one["losses"], first["losses"], strict=True)):
        assert theirs == pytest.approx(mine, rel=TOLERANCE, abs=TOLERANCE), f"step {step}"
    assert one["losses"][-1] != pytest.approx(one["losses"][0], rel=1e-3), "nothing was learned"
    close = {"rtol": TOLERANCE, "atol": TOLERANCE}
    for name, value in one["weights"].items():
        torch.testing.assert_close(first["weights"][name], value, **close)
        assert torch.equal(second["weights"][name], first["weights"][name]), name
