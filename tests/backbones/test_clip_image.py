"""pading.backbones.clip_image: the numbers of open_clip and transformers; what is refused."""

from typing import Any

import open_clip
import pytest
import torch
from torch import Tensor

from pading.backbones.clip_image import ClipImageTower, resized_table
from pading.backbones.clip_shapes import ClipImageShape, clip_image_shape
from pading.errors import InputError

SHAPE = ClipImageShape(24, 32, 3, 16, 1.5, 8, 32, quick_gelu=True)
CLOSE = {"atol": 2e-5, "rtol": 1e-4}


def varied(model: torch.nn.Module) -> Any:
    """With weights of which none is as it was made, so that a forgotten one shows."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    return model.eval()


def openclips(shape: ClipImageShape) -> Any:
    vision = {
        "layers": shape.layers,
        "width": shape.width,
        "head_width": shape.head_width,
        "mlp_ratio": shape.mlp_ratio,
        "patch_size": shape.patch_size,
        "image_size": shape.image_size,
        "output_tokens": True,
    }
    text = {"width": 32, "heads": 2, "layers": 1}
    return varied(open_clip.CLIP(shape.embed_dim, vision, text, quick_gelu=shape.quick_gelu))


def tower_of(weights: dict[str, Tensor], shape: ClipImageShape = SHAPE) -> ClipImageTower:
    tower = ClipImageTower(shape)
    tower.load_state_dict(tower.own_weights(weights))
    return tower.eval()


@torch.no_grad()
@pytest.mark.parametrize("quick", [True, False])
def test_open_clip(quick: bool, rng: torch.Generator) -> None:
    shape = ClipImageShape(**{**SHAPE.__dict__, "quick_gelu": quick})
    clip = openclips(shape)
    images = torch.randn(2, 3, 32, 32, generator=rng)
    wanted, patches = clip.visual(images)
    found = tower_of(clip.state_dict(), shape)(images)
    torch.testing.assert_close(found.image, wanted, **CLOSE)
    ours = found.patches.flatten(2).transpose(1, 2)
    torch.testing.assert_close(ours, patches @ clip.visual.proj, **CLOSE)


@torch.no_grad()
def test_transformers(rng: torch.Generator) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    size = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
    size["intermediate_size"] = 48
    vision = {**size, "image_size": 32, "patch_size": 8}
    config = transformers.CLIPConfig(text_config=size, vision_config=vision, projection_dim=24)
    clip = varied(transformers.CLIPModel(config))
    images = torch.randn(2, 3, 32, 32, generator=rng)
    wanted = clip.visual_projection(clip.vision_model(images).pooler_output)
    found = tower_of(clip.state_dict())(images)
    torch.testing.assert_close(found.image, wanted, **CLOSE)


@pytest.mark.slow
@torch.no_grad()
def test_vit_b_16_itself(rng: torch.Generator) -> None:
    clip = open_clip.create_model("ViT-B-16-quickgelu")
    varied(clip.visual)
    images = torch.randn(1, 3, 224, 224, generator=rng)
    shape = clip_image_shape("ViT-B-16-quickgelu")
    found = tower_of(clip.state_dict(), shape)(images)
    torch.testing.assert_close(found.image, clip.visual(images), **CLOSE)
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    vision = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12}
    vision |= {"intermediate_size": 3072, "patch_size": 16}
    theirs = transformers.CLIPVisionModelWithProjection(
        transformers.CLIPVisionConfig(**vision, projection_dim=512)
    )
    theirs = varied(theirs)
    found = tower_of(theirs.state_dict(), shape)(images)
    torch.testing.assert_close(found.image, theirs(images).image_embeds, **CLOSE)


def test_sizes_that_do_not_divide() -> None:
    with pytest.raises(InputError, match="image_size 30 is no multiple of patch_size 8"):
        ClipImageTower(ClipImageShape(24, 32, 1, 16, 4, 8, 30))


@torch.no_grad()
def test_other_sizes_and_prompts(rng: torch.Generator) -> None:
    tower = varied(ClipImageTower(SHAPE))
    images = torch.randn(2, 3, 40, 64, generator=rng)
    assert tower(images).patches.shape == (2, 24, 5, 8)
    # Prompts that are only looked at give what tokens give that are thrown away behind a layer.
    prompts = list(torch.randn(3, 1, 4, 32, generator=rng))
    tokens = tower.embed(images)
    for block, own in zip(tower.blocks, prompts, strict=True):
        tokens = block(torch.cat((tokens, own.expand(2, -1, -1)), 1))[:, :-4]
    found = tower(images, prompts)
    torch.testing.assert_close(found.image, tower.joint(tokens)[:, 0], **CLOSE)
    kept = tower(images, prompts[:1], keep=True)
    assert kept.patches.shape == found.patches.shape and not kept.image.allclose(found.image)


def test_a_table_of_another_size_is_resized_once(rng: torch.Generator) -> None:
    clip = openclips(SHAPE).state_dict()
    larger = ClipImageShape(**{**SHAPE.__dict__, "image_size": 48})
    table = tower_of(clip, larger).positional_embedding
    torch.testing.assert_close(table, resized_table(clip["visual.positional_embedding"], (6, 6)))
    assert resized_table(table, (6, 6)) is table


def test_files_that_are_refused() -> None:
    clip = openclips(SHAPE).state_dict()
    tower = ClipImageTower(SHAPE)
    with pytest.raises(InputError, match="no weights of a CLIP with a vision transformer"):
        tower.own_weights({"conv1.weight": torch.zeros(8, 3, 7, 7)})
    lacking = {n: v for n, v in clip.items() if n != "visual.ln_post.bias"}
    with pytest.raises(InputError, match=r"ln_post.bias missing in the file, but \(32,\)"):
        tower.own_weights(lacking)
    deeper = ClipImageTower(ClipImageShape(**{**SHAPE.__dict__, "layers": 2}))
    with pytest.raises(InputError, match=r"resblocks.2.*but none in the model; MODEL.CLIP.NAME"):
        deeper.own_weights(clip)


@torch.no_grad()
def test_a_stem_of_convolutions(rng: torch.Generator) -> None:
    tower = ClipImageTower(ClipImageShape(**{**SHAPE.__dict__, "stem": True})).eval()
    state = {f"visual.{name}": value for name, value in tower.state_dict().items()}
    images = torch.randn(1, 3, 32, 32, generator=rng)
    assert tower(images).patches.shape == (1, 24, 4, 4)
    again = tower_of(state, tower.shape)
    torch.testing.assert_close(again(images), tower(images))
