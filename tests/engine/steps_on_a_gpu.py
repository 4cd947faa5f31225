"""Both stages train and predict on a pretend GPU; what ``test_devices.py`` runs.

python -m tests.engine.steps_on_a_gpu
"""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from detectron2.structures import Instances
from detectron2.utils.events import EventStorage
from torch import nn

from pading import load_config
from pading.engine.interruption import Interruption
from pading.engine.loop import TrainingLoop
from pading.engine.optimizers import build_optimizer
from pading.models.pading.embedding_store import segmenter_checksum
from pading.models.pading.embeddings import ImageEmbeddings
from pading.models.pading.stage_two import PADing
from tests.narrow import NARROW_OVERRIDES, SHAPES, narrow_model
from tests.pretend_gpu import DEVICE, MixedDevicesError, PretendGPU, moved

STEPS, SIZE = 2, 64


class Scenes:
    """The same two images in every batch, the first without a segment."""

    seed, shared = 0, False

    def __init__(self, classes: tuple[int, ...]) -> None:
        self.batch = [
            {
                "image": torch.randint(256, (3, SIZE, SIZE)).byte(),
                "instances": Instances(
                    (SIZE, SIZE),
                    gt_classes=torch.tensor(shown, dtype=torch.int64),
                    gt_masks=torch.rand(len(shown), SIZE, SIZE) > 0.5,
                ),
                "height": 80,
                "width": 48,
            }
            for shown in ((), classes)
        ]

    def starting_at(self, iteration: int) -> Iterator[list[dict]]:
        while True:
            yield self.batch

    def image_names(self, iteration: int) -> list[str]:
        return []


def check_the_device() -> None:
    """It refuses what a GPU refuses, and allows what it allows."""
    here, there = torch.arange(3), torch.arange(3, device=DEVICE)
    assert there[here].device == there.to(DEVICE).device == (there + 1).device == DEVICE
    assert there.cpu().tolist() == here.tolist()
    for mixed in (lambda: here + there, lambda: here[there], lambda: torch.cat((here, there))):
        with pytest.raises(MixedDevicesError):
            mixed()
    with pytest.raises(RuntimeError, match="not supported"):  # TypeError on a GPU
        there.numpy()


def check_stage(stage: str) -> nn.Module:
    """Train for some steps; every weight that is not frozen must have learned."""
    cfg = load_config(str(SHAPES.with_name(f"{stage}.yaml")), NARROW_OVERRIDES)
    model = moved(narrow_model(stage)).train()
    scenes = Scenes(model.split.seen[:3])
    batches = ImageEmbeddings(scenes, model) if isinstance(model, PADing) else scenes
    loop = TrainingLoop(model, batches, build_optimizer(cfg, model), interruption=Interruption())
    with EventStorage(0) as loop.storage:
        for loop.iter in range(STEPS):
            loop.run_step()
        assert loop.storage.latest()["total_loss"][0] > 0
    assert all(p.grad.device == DEVICE for p in model.parameters() if p.requires_grad)
    check_results(model, scenes.batch)
    return model


def check_results(model: nn.Module, batch: list[dict]) -> None:
    model.eval()
    model.inference = replace(model.inference, tasks=("panoptic", "instance", "semantic"))
    for candidates in (None, model.split.unseen):
        model.instance_candidates = candidates
        with torch.no_grad():
            for found in model(batch):
                assert found["panoptic_seg"][0].device == found["sem_seg"].device == DEVICE
                assert found["instances"].pred_boxes.device == DEVICE
                found["instances"].to("cpu").pred_masks.numpy()


if __name__ == "__main__":
    torch.manual_seed(0)
    with PretendGPU():
        check_the_device()
        check_stage("pretrain")
        model = check_stage("PADing")
        assert model.memory.held()[0].device == DEVICE
        assert len(segmenter_checksum(model)) == 64
    print("done")
