"""Mask2Former's weights in the package transformers, there and back, beside the package itself."""

from pathlib import Path
from typing import Any

import pytest
import torch

from pading import load_config
from pading.checkpoint.checkpointer import Checkpointer
from pading.checkpoint.transformers_folder import write_folder
from pading.checkpoint.weights import read_weights
from pading.errors import InputError
from pading.models.registry import build_model
from pading.vocabulary.splits import ClassInfo, ClassSplit
from tests.narrow import NARROW, RESNET, SHAPES

transformers = pytest.importorskip("transformers", reason="transformers is not installed")

CLASSES = ClassSplit("five", tuple(ClassInfo(i + 1, f"class {i}", i < 3, False) for i in range(5)))
STAGES = [f"stage{i + 1}" for i in range(4)]
OURS: dict[str, dict[str, Any]] = {
    "resnet": RESNET,
    "swin": {
        **RESNET,
        "MODEL.BACKBONE.NAME": "SwinTransformer",
        "MODEL.SWIN.EMBED_DIM": 16,
        "MODEL.SWIN.DEPTHS": [2, 1, 2, 1],
        "MODEL.SWIN.NUM_HEADS": [1, 2, 2, 4],
        "MODEL.SWIN.WINDOW_SIZE": 4,
    },
}
THEIRS: dict[str, Any] = {
    "resnet": lambda: transformers.ResNetConfig(
        embedding_size=16, hidden_sizes=[32, 64, 128, 256], out_features=STAGES
    ),
    "swin": lambda: transformers.SwinConfig(
        embed_dim=16,
        depths=[2, 1, 2, 1],
        num_heads=[1, 2, 2, 4],
        window_size=4,
        out_features=STAGES,
    ),
}


def our_model(backbone: str) -> torch.nn.Module:
    settings = {**NARROW, **OURS[backbone]}
    pairs = [str(part) for pair in settings.items() for part in pair]
    cfg = load_config(str(SHAPES.with_name("pretrain.yaml")), pairs)
    return build_model(cfg, CLASSES).eval()


def their_model(backbone: str) -> Any:
    config = transformers.Mask2FormerConfig(
        backbone_config=THEIRS[backbone](),
        use_pretrained_backbone=False,
        num_labels=len(CLASSES.classes),
        num_queries=8,
        hidden_dim=32,
        feature_size=32,
        mask_feature_size=32,
        encoder_layers=1,
        decoder_layers=3,
        encoder_feedforward_dim=32,
        dim_feedforward=32,
    )
    model = transformers.Mask2FormerForUniversalSegmentation(config).eval()
    with torch.no_grad():  # as a trained one: nothing at its initial value
        for value in [*model.parameters(), *model.buffers()]:
            if value.is_floating_point():
                value.add_(0.05 * torch.rand_like(value))
    return model


def assert_same_outputs(ours: Any, theirs: Any, rng: torch.Generator) -> None:
    """Where gradients are wanted PyTorch's own layers are called, as there: packed weights round
    otherwise, and of random networks a mask on the border of the attention may fall the other way.
    """
    images = torch.randn(2, 3, 96, 160, generator=rng)
    one, other = ours.network(images), theirs(images)
    torch.testing.assert_close(one.logits, other.class_queries_logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(one.masks, other.masks_queries_logits, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("backbone", OURS)
def test_theirs_load(backbone: str, tmp_path: Path, rng: torch.Generator) -> None:
    theirs, ours = their_model(backbone), our_model(backbone)
    theirs.save_pretrained(tmp_path / "theirs")
    Checkpointer(ours).load(str(tmp_path / "theirs"))
    assert_same_outputs(ours, theirs, rng)


@pytest.mark.parametrize("backbone", OURS)
def test_ours_are_written(backbone: str, tmp_path: Path, rng: torch.Generator) -> None:
    ours = our_model(backbone)
    labels = dict(enumerate(CLASSES.names))
    write_folder(tmp_path / "ours", ours.state_dict(), labels, heads=8)
    theirs = transformers.Mask2FormerForUniversalSegmentation.from_pretrained(tmp_path / "ours")
    assert theirs.config.id2label == labels
    assert_same_outputs(ours, theirs.eval(), rng)
    # And back, bit for bit.
    again = read_weights(tmp_path / "ours")["model"]
    for name, value in ours.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(again[name], value), name


def test_a_folder_without_weights_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="this folder has no model.safetensors"):
        read_weights(tmp_path)
