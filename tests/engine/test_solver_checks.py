"""Settings of SOLVER are honoured in both stages, or refused."""

from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from detectron2.utils.events import EventStorage
from torch import nn

import pading
from pading.engine.interruption import Interruption
from pading.engine.loop import NonFiniteLossError, TrainingLoop
from pading.engine.optimizers import JointOptimizer
from pading.engine.solver_checks import check_solver
from pading.errors import InputError
from tests.runs import FROM_IMAGES, ROOT, UNSCORED, metrics, train


@pytest.mark.parametrize(
    ("stage", "key", "value", "reason"),
    [
        ("pretrain", "SOLVER.GENERATOR_LR", 0.1, "stage 1 has no generator"),
        ("pretrain", "SOLVER.BIAS_LR_FACTOR", 2.0, "biases learn as weights do"),
        ("pretrain", "SOLVER.WEIGHT_DECAY_BIAS", 0.1, "biases decay as weights do"),
        ("pretrain", "SOLVER.MOMENTUM", 0.5, "ADAMW has none"),
        ("pretrain", "SOLVER.NESTEROV", True, "ADAMW has no momentum"),
        ("pretrain", "SOLVER.ACCUMULATION_STEPS", 5, "give a multiple of 5"),
        ("pretrain", "TEST.PRECISE_BN.ENABLED", True, "could not be resumed"),
        ("PADing", "SOLVER.BACKBONE_MULTIPLIER", 0.5, "keeps the backbone as it is"),
        ("PADing", "SOLVER.WEIGHT_DECAY_NORM", 0.1, "norms as they are"),
        ("PADing", "SOLVER.WEIGHT_DECAY_EMBED", 0.1, "embeddings as they are"),
        ("PADing", "SOLVER.ACCUMULATION_STEPS", 2, "stored embeddings need no segmenter"),
    ],
)
def test_what_a_stage_cannot_honour_is_refused(
    stage: str, key: str, value: object, reason: str
) -> None:
    cfg = pading.load_config(str(ROOT / "configs/shapes" / f"{stage}.yaml"))
    check_solver(cfg)
    cfg.SOLVER.AMP.ENABLED = True
    *sections, name = key.split(".")
    node = cfg
    for section in sections:
        node = node[section]
    node[name] = value
    with pytest.raises(InputError, match=reason) as caught:
        check_solver(cfg)
    assert key in str(caught.value)


@pytest.mark.parametrize("config", sorted((ROOT / "configs").glob("*/p*.yaml")), ids=str)
def test_the_shipped_configurations_are_honoured(config: Path) -> None:
    check_solver(pading.load_config(str(config)))


class Toy(nn.Module):
    """The mean over a batch of numbers of what a line is off by."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(1, 1)

    def forward(self, batch: list[float]) -> dict[str, torch.Tensor]:
        x = torch.tensor(batch)[:, None]
        return {"loss": (self.line(x) - 3 * x).square().mean()}


class Numbers:
    seed, shared = 1, False

    def starting_at(self, iteration: int):
        while True:
            yield torch.arange(8.0).add(iteration).tolist()

    def image_names(self, iteration: int) -> list[str]:
        return [f"{iteration}.jpg"]


def toy_loop(batches: Numbers, kind: type[Toy] = Toy, **options: int) -> TrainingLoop:
    torch.manual_seed(0)
    model = kind()
    optimizer = JointOptimizer({"toy": torch.optim.SGD(model.parameters(), lr=1e-3)})
    return TrainingLoop(model, batches, optimizer, interruption=Interruption(), **options)


def trained(steps: int) -> tuple[dict, float]:
    loop = toy_loop(Numbers(), accumulation_steps=steps)
    with EventStorage() as storage:
        for loop.iter in range(3):
            loop.run_step()
        return dict(loop.model.state_dict()), storage.history("total_loss").latest()


def test_accumulated_parts_make_the_step_of_the_whole_batch() -> None:
    (whole, whole_loss), (parts, loss) = trained(1), trained(4)
    assert loss == pytest.approx(whole_loss)
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value)


class Overflowing(Numbers):
    """What labels the batch of one iteration overflows."""

    def starting_at(self, iteration: int):
        for number, batch in enumerate(super().starting_at(iteration), iteration):
            if number == 1:
                raise FloatingPointError("the matching cost is not finite")
            yield batch


class Steep(Numbers):
    """The loss of one iteration's batch is 0, where :class:`Root` has no gradient."""

    def starting_at(self, iteration: int):
        for number, batch in enumerate(super().starting_at(iteration), iteration):
            yield [0.0] * 8 if number == 1 else batch


class Root(Toy):
    """The square root of that, through the origin: at 0 its gradient is NaN."""

    def __init__(self) -> None:
        super().__init__()
        self.line.bias = None

    def forward(self, batch: list[float]) -> dict[str, torch.Tensor]:
        return {"loss": super().forward(batch)["loss"].sqrt()}


@pytest.mark.parametrize(
    ("batches", "model", "reason"),
    [
        (Overflowing(), Toy, "the matching cost is not finite"),
        (Steep(), Root, "the gradient's norm is nan"),
    ],
)
@pytest.mark.parametrize("allowed", [0, 1])
def test_a_batch_without_finite_gradients_changes_nothing(
    batches: Numbers, model: type[Toy], reason: str, allowed: int
) -> None:
    loop = toy_loop(batches, model, max_skipped_steps=allowed)
    weights = []
    with EventStorage():
        for loop.iter in range(3):
            refused = loop.iter == 1 and not allowed
            with (
                pytest.raises(NonFiniteLossError, match=rf"iteration 1: {reason} .* 1\.jpg")
                if refused
                else nullcontext()
            ):
                loop.run_step()
            weights.append(loop.model.line.weight.item())
            if refused:
                break
    assert weights[0] == weights[1]
    if allowed:
        assert loop.skipped == 1
        assert weights[1] != weights[2]


def test_accumulation_in_both_stages(
    tiny_scenes: Path, converted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stage 2's losses are those of the whole batch, stage 1's are means over the parts."""
    train("pretrain", tmp_path / "one", *UNSCORED, "SOLVER.ACCUMULATION_STEPS", 2)
    options = (*UNSCORED, "MODEL.WEIGHTS", converted, *FROM_IMAGES)
    found = []
    for steps in (1, 2):
        output = tmp_path / f"two{steps}"
        train("PADing", output, *options, "SOLVER.ACCUMULATION_STEPS", steps)
        found.append(metrics(output)[-1]["total_loss"])
    assert found[1] == pytest.approx(found[0], rel=1e-4)
