"""pading.backbones.clip_shapes: all towers of open_clip by name, and files that say otherwise."""

import json
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from pading.backbones.clip_image import ClipImageTower
from pading.backbones.clip_shapes import ClipImageShape, check_declared, clip_image_shape
from pading.errors import InputError


def test_every_plain_vit_of_open_clip_by_name() -> None:
    assert clip_image_shape("ViT-B-16") == ClipImageShape()
    assert clip_image_shape("ViT-B-16-quickgelu").quick_gelu
    large = clip_image_shape("ViT-L-14-336", layers=2)
    assert (large.width, large.layers, large.image_size) == (1024, 2, 336)
    assert clip_image_shape("ViT-H-14").head_width == 80


def test_every_tower_that_is_taken_is_open_clips() -> None:
    taken = 0
    for name in open_clip.list_models():
        try:
            shape = clip_image_shape(name, layers=1)
        except InputError:
            continue
        config = open_clip.get_model_config(name)
        vision, quick = {**config["vision_cfg"], "layers": 1}, config.get("quick_gelu", False)
        text = {"layers": 1, "width": 64, "heads": 1, "vocab_size": 8}
        with torch.device("meta"):
            theirs = open_clip.CLIP(config["embed_dim"], vision, text, quick).visual
            ours = ClipImageTower(shape)
        shapes = [{n: v.shape for n, v in m.state_dict().items()} for m in (ours, theirs)]
        assert shapes[0] == shapes[1], name
        block = theirs.transformer.resblocks[0]
        assert block.attn.num_heads == ours.blocks[0].attn.heads, name
        assert type(block.mlp.gelu).__name__ == type(ours.blocks[0].mlp.gelu).__name__, name
        taken += 1
    assert taken > 40


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("ViT-B-61", {}, "no architecture 'ViT-B-61'"),
        ("RN50", {}, "RN50: its image tower is a ResNet"),
        ("ViT-B-16-SigLIP", {}, "timm_model_name vit_base.* not supported"),
        ("ViT-B-16", {"depth": 3}, "MODEL.CLIP.OPTIONS: there is no 'depth'; take .*layers"),
    ],
)
def test_architectures_that_are_refused(name: str, changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        clip_image_shape(name, **changes)


def huggingface(**vision: Any) -> dict[str, Any]:
    return {"model_type": "clip", "vision_config": vision}


def open_clips(quick_gelu: bool) -> dict[str, Any]:
    return {"model_cfg": {"vision_cfg": {"width": 768}, "quick_gelu": quick_gelu}}


@pytest.mark.parametrize(
    ("config", "content", "shape", "message"),
    [
        ("config.json", huggingface(hidden_act="gelu"), {}, ""),
        ("config.json", huggingface(hidden_act="gelu"), {"quick_gelu": True}, "False, but .* True"),
        ("config.json", huggingface(), {}, "config.json says .* quick_gelu True, but .* False"),
        ("config.json", huggingface(hidden_act="relu"), {}, "activation 'relu' is not supported"),
        (
            "config.json",
            huggingface(num_attention_heads=8, hidden_act="gelu"),
            {},
            "head_width 96, but MODEL.CLIP asks for 64",
        ),
        ("config.json", {"model_type": "bert"}, {}, ""),
        ("open_clip_config.json", open_clips(True), {}, r"MODEL.CLIP.OPTIONS \[quick_gelu, True\]"),
        ("open_clip_config.json", open_clips(False), {}, ""),
        ("open_clip_config.json", {}, {}, "open_clip_config.json: .*model_cfg"),
    ],
)
def test_a_configuration_beside_the_file(
    config: str, content: dict, shape: dict, message: str, tmp_path: Path
) -> None:
    (tmp_path / config).write_text(json.dumps(content))
    path = tmp_path / "model.safetensors"
    save_file({"weight": torch.zeros(1)}, path)
    if message:
        with pytest.raises(InputError, match=message):
            check_declared(ClipImageShape(**shape), str(path))
    else:
        check_declared(ClipImageShape(**shape), str(path))
    check_declared(ClipImageShape(), str(path.rename(tmp_path / "mine.safetensors")))


def test_openais_archives_have_quickgelu(tmp_path: Path) -> None:
    path = str(tmp_path / "ViT-B-16.pt")
    torch.jit.script(torch.nn.Linear(1, 1)).save(path)
    check_declared(ClipImageShape(quick_gelu=True), path)
    with pytest.raises(InputError, match="OpenAI's archive. says .* quick_gelu True"):
        check_declared(ClipImageShape(), path)
