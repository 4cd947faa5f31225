"""Detectron2 as installed does what pading relies on, whichever of the two it is."""

from pathlib import Path

import pytest
import torch
from detectron2 import model_zoo
from detectron2.config import CfgNode, get_cfg
from detectron2.data import MapDataset
from detectron2.layers import nms_rotated
from detectron2.utils.collect_env import collect_env_info
from torch import Tensor, nn

from pading.compat import DefaultTrainer, detectron2_version_line

COMPILED = ", compiled)" in detectron2_version_line()


class Regression(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        return {"loss": self.layer(batch).square().mean()}


class TinyTrainer(DefaultTrainer):
    """Detectron2's trainer around a linear layer, with Adam and PyTorch's own schedule."""

    @classmethod
    def build_model(cls, cfg: CfgNode) -> nn.Module:
        return Regression()

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam(model.parameters())

    @classmethod
    def build_lr_scheduler(
        cls, cfg: CfgNode, optimizer: torch.optim.Optimizer
    ) -> torch.optim.lr_scheduler.LRScheduler:
        return torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=100)

    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> list[Tensor]:
        return [torch.rand(4, 3) for _ in range(cfg.SOLVER.MAX_ITER)]

    @classmethod
    def test(cls, cfg: CfgNode, model: nn.Module) -> dict[str, float]:
        return {}


def test_resuming_restores_optimizer_and_schedule(tmp_path: Path, seed: int) -> None:
    cfg = get_cfg()
    cfg.OUTPUT_DIR = str(tmp_path)
    cfg.SOLVER.MAX_ITER = 5
    cfg.MODEL.WEIGHTS = ""
    first = TinyTrainer(cfg)
    first.train()

    second = TinyTrainer(cfg)
    second.resume_or_load(resume=True)
    assert second.start_iter == 5
    assert second.scheduler.last_epoch == first.scheduler.last_epoch == 5
    assert second.scheduler.get_last_lr() == first.scheduler.get_last_lr()
    one, other = (t._trainer.optimizer.state_dict() for t in (first, second))
    assert other["param_groups"] == one["param_groups"]
    for index, moments in one["state"].items():
        for name, value in moments.items():
            assert torch.equal(other["state"][index][name], value), name
    weight = second.model.layer.weight
    assert torch.equal(weight, first.model.layer.weight)


def test_a_failing_sample_is_replaced() -> None:
    mapped = MapDataset(range(10), lambda index: None if index == 3 else index)
    assert mapped[3] in set(range(10)) - {3}


def test_model_zoo_finds_its_files() -> None:
    path = model_zoo.get_config_file("COCO-Detection/retinanet_R_50_FPN_1x.yaml")
    assert Path(path).is_file()


def test_environment_report() -> None:
    report = collect_env_info()
    assert torch.__version__ in report and "not built correctly" not in report


@pytest.mark.skipif(COMPILED, reason="this Detectron2 has its compiled extension")
def test_compiled_layers_say_what_is_missing() -> None:
    with pytest.raises(ImportError, match=r"_C\.nms_rotated.*without its compiled extension"):
        nms_rotated(torch.zeros(1, 5), torch.zeros(1), 0.5)
