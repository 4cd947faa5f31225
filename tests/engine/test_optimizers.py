"""Optimizers of both stages: groups, joint steps, clipping, state."""

import copy

import pytest
import torch
from detectron2.config import CfgNode
from torch import nn

from pading.config import load_config
from pading.engine.optimizers import JointOptimizer, build_optimizer
from pading.errors import InputError
from pading.models.parameter_groups import ParameterGroups, groups_by_kind
from tests.models.recordings import ROOT


def config(stage: str, *overrides: str):
    return load_config(str(ROOT / "configs" / "shapes" / f"{stage}.yaml"), overrides)


class TinySegmenter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
        self.query_feat = nn.Embedding(2, 4)
        self.level_embed = nn.Parameter(torch.zeros(3, 4))
        self.head = nn.Linear(4, 2)
        self.frozen = nn.Linear(1, 1).requires_grad_(False)

    def parameter_groups(self, cfg: CfgNode) -> dict[str, ParameterGroups]:
        return {"segmenter": ParameterGroups(groups_by_kind(self, cfg))}


def joint(rng: torch.Generator, **changes) -> tuple[JointOptimizer, list[nn.Parameter]]:
    parameters = [nn.Parameter(torch.randn(3, generator=rng)) for _ in range(2)]
    optimizers = {
        "classifier": torch.optim.SGD([parameters[0]], lr=0.1, momentum=0.9),
        "generator": torch.optim.Adam([parameters[1]], lr=0.01),
    }
    return JointOptimizer(optimizers, **changes), parameters


def descend(optimizer: JointOptimizer, parameters: list[nn.Parameter], steps: int = 1) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        sum((p**2).sum() for p in parameters).backward()
        optimizer.step()


def test_groups_of_stage_one() -> None:
    cfg = config(
        "pretrain",
        *("SOLVER.BASE_LR", "0.5", "SOLVER.BACKBONE_MULTIPLIER", "0.1"),
        *("SOLVER.WEIGHT_DECAY", "0.05", "SOLVER.WEIGHT_DECAY_NORM", "0.01"),
        *("SOLVER.WEIGHT_DECAY_EMBED", "0.02"),
    )
    model = TinySegmenter()
    optimizer = build_optimizer(cfg, model)
    assert list(optimizer.optimizers) == ["segmenter"]
    assert isinstance(optimizer.optimizers["segmenter"], torch.optim.AdamW)
    found = {
        p: (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for p in group["params"]
    }
    wanted = {
        model.backbone[0].weight: (0.05, 0.05),
        model.backbone[0].bias: (0.05, 0.05),
        model.backbone[1].weight: (0.05, 0.01),
        model.backbone[1].bias: (0.05, 0.01),
        model.query_feat.weight: (0.5, 0.02),
        model.level_embed: (0.5, 0.02),
        model.head.weight: (0.5, 0.05),
        model.head.bias: (0.5, 0.05),
    }
    assert found.keys() == wanted.keys()
    for parameter, setting in wanted.items():
        assert found[parameter] == pytest.approx(setting)


def test_each_optimizer_steps_as_if_alone(rng: torch.Generator) -> None:
    optimizer, parameters = joint(rng)
    alone = [nn.Parameter(p.detach().clone()) for p in parameters]
    single = (torch.optim.SGD([alone[0]], 0.1, 0.9), torch.optim.Adam([alone[1]], 0.01))
    descend(optimizer, parameters, 3)
    for _ in range(3):
        for one, p in zip(single, alone, strict=True):
            one.zero_grad()
            (p**2).sum().backward()
            one.step()
    assert all(torch.equal(a, b) for a, b in zip(parameters, alone, strict=True))


def test_the_whole_gradient_is_clipped_together(rng: torch.Generator) -> None:
    optimizer, parameters = joint(rng, clip_norm=0.5)
    sum((p**2).sum() for p in parameters).backward()
    before = torch.cat([p.grad for p in parameters])
    optimizer.step()
    after = torch.cat([p.grad for p in parameters])
    torch.testing.assert_close(after.norm(), torch.tensor(0.5))
    torch.testing.assert_close(after / after.norm(), before / before.norm())


def test_a_scheduler_reaches_every_optimizer(rng: torch.Generator) -> None:
    optimizer, parameters = joint(rng)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.1**step)
    descend(optimizer, parameters)
    scheduler.step()
    rates = [o.param_groups[0]["lr"] for o in optimizer.optimizers.values()]
    assert rates == pytest.approx([0.01, 0.001])


def test_a_resumed_run_is_the_same_run(rng: torch.Generator) -> None:
    optimizer, parameters = joint(rng)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    descend(optimizer, parameters, 2)
    scheduler.step()
    scheduler.step()
    state = copy.deepcopy((optimizer.state_dict(), scheduler.state_dict()))

    resumed, others = joint(rng)
    again = torch.optim.lr_scheduler.StepLR(resumed, 2)
    for target, source in zip(others, parameters, strict=True):
        target.data.copy_(source.data)
    resumed.load_state_dict(state[0])
    again.load_state_dict(state[1])
    for one, its, schedule in ((optimizer, parameters, scheduler), (resumed, others, again)):
        descend(one, its, 2)
        schedule.step()
        schedule.step()
        descend(one, its)
    assert all(torch.equal(a, b) for a, b in zip(parameters, others, strict=True))
    rates = [o.param_groups[0]["lr"] for o in resumed.optimizers.values()]
    assert rates == pytest.approx([0.001, 0.0001])


def test_state_of_another_stage(rng: torch.Generator) -> None:
    optimizer, _ = joint(rng)
    with pytest.raises(InputError, match=r"holds the state of \['segmenter'\], but this stage"):
        optimizer.load_state_dict({"segmenter": {}})


def test_closure(rng: torch.Generator) -> None:
    optimizer, _ = joint(rng)
    with pytest.raises(ValueError, match="closure"):
        optimizer.step(lambda: 0.0)
