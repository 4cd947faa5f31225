"""pading.vocabulary.clip_text: the same numbers as open_clip's and transformers' own encoders."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from pading.commands import vectors
from pading.errors import InputError
from pading.vocabulary.class_vectors import read_class_vectors
from pading.vocabulary.clip_names import image_tower, text_tower
from pading.vocabulary.clip_text import build_text_tower, clip_tokenizer, openclip_encoder
from pading.vocabulary.prompts import prompt_set
from pading.vocabulary.text_sources import vectors_like

TEXTS = ["a photo of a cat.", "an unusually long hedgehog", "cable-car"]
CONFIG = {
    "embed_dim": 24,
    "quick_gelu": True,
    "vision_cfg": {"layers": 2, "width": 32, "head_width": 16, "patch_size": 16, "image_size": 32},
    "text_cfg": {"width": 32, "heads": 2, "layers": 2},
}


@pytest.fixture
def clip(seed: int) -> open_clip.CLIP:
    model = open_clip.CLIP(**CONFIG).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # biases and norms, too
            parameter.add_(torch.randn_like(parameter) * 0.02)
    return model


def write_folder(folder: Path, weights: dict[str, torch.Tensor], name: str, config: dict) -> str:
    folder.mkdir()
    save_file(weights, folder / "model.safetensors")
    (folder / name).write_text(json.dumps(config))
    return str(folder)


@pytest.mark.parametrize("custom", [False, True])
def test_an_open_clip_folder(custom: bool, clip: open_clip.CLIP, tmp_path: Path) -> None:
    weights = clip.state_dict()
    if custom:
        weights = open_clip.model.convert_to_custom_text_state_dict(weights)
    config = {"model_cfg": CONFIG | {"custom_text": custom}}
    folder = write_folder(tmp_path / "c", weights, "open_clip_config.json", config)
    encode, source = openclip_encoder("", folder)
    with torch.no_grad():
        wanted = clip.encode_text(open_clip.tokenize(TEXTS)).numpy()
    np.testing.assert_allclose(encode(TEXTS), wanted, atol=1e-5)
    made = vectors_like(f"{source}; prompts: a {{}}", ["cat"])
    assert made.width == 24 and made.source == f"openclip:{folder}; prompts: a {{}}"


def test_a_label_beyond_the_context_is_named(clip: open_clip.CLIP, tmp_path: Path) -> None:
    folder = write_folder(
        tmp_path / "c", clip.state_dict(), "open_clip_config.json", {"model_cfg": CONFIG}
    )
    encode, _ = openclip_encoder("", folder)
    encode(["cat " * 75])
    with pytest.raises(InputError, match="'cat cat .* has 78 tokens, .* reads 77"):
        encode(["cat " * 76])


@pytest.mark.parametrize("kind", ["CLIPModel", "CLIPTextModelWithProjection", "CLIPTextModel"])
def test_hugging_face_folders(kind: str, seed: int, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    size["intermediate_size"] = 48
    config = transformers.CLIPConfig(
        text_config={**size, "projection_dim": 24},
        vision_config={**size, "image_size": 32, "patch_size": 16},
        projection_dim=24,
    )
    whole = kind == "CLIPModel"
    model = getattr(transformers, kind)(config if whole else config.text_config).eval()
    model.save_pretrained(tmp_path / "hf")
    encode, _ = openclip_encoder("", str(tmp_path / "hf"))
    tokens = clip_tokenizer()(TEXTS)
    with torch.no_grad():
        if whole:
            out = model.text_model(tokens)
            wanted = model.text_projection(out.pooler_output)
        else:
            out = model(tokens)
            wanted = out.text_embeds if "Projection" in kind else out.pooler_output
    np.testing.assert_allclose(encode(TEXTS), wanted.numpy(), atol=1e-5)
    if whole:
        tower = open_clip.CLIP(**_mlp(CONFIG, 1.5)).visual
        tower.load_state_dict(image_tower(model.state_dict()))
        images = torch.randn(2, 3, 32, 32)
        with torch.no_grad():
            wanted = model.visual_projection(model.vision_model(images).pooler_output)
            torch.testing.assert_close(tower.eval()(images), wanted, atol=1e-4, rtol=1e-4)


# A file of real vectors, the prompts that made it, and other encoders' code that makes ours.
REAL = [
    ("coco_stuff_clip_vitb16_multi", "zegclip", "open_clip"),
    ("coco_stuff_clip_vitb16_single", "single", "transformers"),
    ("voc_clip_vitb16_single", "single", "open_clip"),
]


@pytest.mark.parametrize(("file", "prompts", "code"), REAL)
def test_real_vectors_in_shape_and_names(
    file: str, prompts: str, code: str, shared: Path, seed: int, tmp_path: Path
) -> None:
    """By the command and random weights; the numbers are those of other encoders' own code."""
    path = shared / "data" / "clip_vectors" / f"{file}.npz"
    if not path.is_file():
        pytest.skip("no real vectors")
    real = read_class_vectors(path)
    encode = open_clip_of_512 if code == "open_clip" else transformers_of_512
    weights, encode_texts = encode(tmp_path / "clip")
    output = tmp_path / "ours.npz"
    options = ["--encoder", "openclip", "--openclip-pretrained", weights, "--prompts", prompts]
    vectors.main(["--names", *real.names, *options, "--output", str(output)])
    made = read_class_vectors(output)
    assert made.names == real.names
    assert made.vectors.shape == real.vectors.shape
    assert made.vectors.dtype == real.vectors.dtype
    np.testing.assert_allclose(np.linalg.norm(real.vectors, axis=1), 1, atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(made.vectors, axis=1), 1, atol=1e-5)
    for place in range(0, len(real.names), 19):
        texts = prompt_set(prompts).texts(real.names[place])
        own = F.normalize(encode_texts(texts), dim=-1).mean(0)
        wanted = F.normalize(own, dim=-1).numpy()
        np.testing.assert_allclose(made.vectors[place], wanted, atol=1e-5)


def open_clip_of_512(folder: Path) -> tuple[str, Callable[[list[str]], torch.Tensor]]:
    """A folder of a random CLIP with 512 numbers for a text, and open_clip's own encoder."""
    config = CONFIG | {"embed_dim": 512}
    clip = open_clip.CLIP(**config).eval()
    weights = write_folder(
        folder, clip.state_dict(), "open_clip_config.json", {"model_cfg": config}
    )

    @torch.no_grad()
    def encode(texts: list[str]) -> torch.Tensor:
        return clip.encode_text(open_clip.tokenize(texts))

    return weights, encode


def transformers_of_512(folder: Path) -> tuple[str, Callable[[list[str]], torch.Tensor]]:
    """As above, of transformers."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.CLIPTextConfig(**size, intermediate_size=48, projection_dim=512)
    clip = transformers.CLIPTextModelWithProjection(config).eval()
    clip.save_pretrained(folder)

    @torch.no_grad()
    def encode(texts: list[str]) -> torch.Tensor:
        return clip(open_clip.tokenize(texts)).text_embeds

    return str(folder), encode


def _mlp(config: dict, ratio: float) -> dict:
    towers = {key: config[key] | {"mlp_ratio": ratio} for key in ("vision_cfg", "text_cfg")}
    return config | towers


def test_openai_names_under_a_prefix(clip: open_clip.CLIP) -> None:
    weights = {f"module.{name}": value for name, value in clip.state_dict().items()}
    text, image = text_tower(weights), image_tower(weights)
    assert text["text_projection"].shape == (32, 24)
    assert set(image) == set(clip.visual.state_dict())
    assert not text_tower({"visual.proj": torch.zeros(1)})


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_openais_archive_by_the_name_of_its_architecture(
    clip: open_clip.CLIP, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # open_clip's plain name has GELU; an archive is known to have QuickGELU.
    plain = CONFIG | {"quick_gelu": False}
    monkeypatch.setattr(open_clip, "list_models", lambda: ["tiny"])
    monkeypatch.setattr(open_clip, "get_model_config", lambda name: dict(plain))
    images, tokens = torch.randn(1, 3, 32, 32), open_clip.tokenize(TEXTS)
    torch.jit.trace(clip, (images, tokens), check_trace=False).save(str(tmp_path / "archive.pt"))
    encode, source = openclip_encoder("tiny", str(tmp_path / "archive.pt"))
    with torch.no_grad():
        np.testing.assert_allclose(encode(TEXTS), clip.encode_text(tokens).numpy(), atol=1e-5)
    assert source == f"openclip:tiny:{tmp_path / 'archive.pt'}"


def test_the_text_tower_in_a_checkpoint_of_lseg(
    clip: open_clip.CLIP, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Lightning file holds all of CLIP in float16, beside a network that has its own names."""
    monkeypatch.setattr(open_clip, "list_models", lambda: ["tiny"])
    monkeypatch.setattr(open_clip, "get_model_config", lambda name: dict(CONFIG))
    clip.half()
    state = {f"net.clip_pretrained.{name}": v for name, v in clip.state_dict().items()}
    state["net.scratch.head1.weight"] = torch.zeros(24, 8, 1, 1)
    path = tmp_path / "demo_e200.ckpt"
    torch.save({"state_dict": state, "pytorch-lightning_version": "1.4.5"}, path)
    encode, source = openclip_encoder("tiny", str(path))
    with torch.no_grad():
        wanted = clip.float().encode_text(open_clip.tokenize(TEXTS)).numpy()
    np.testing.assert_allclose(encode(TEXTS), wanted, atol=1e-5)
    assert vectors_like(f"{source}; prompts: {{}}", ["cat"]).width == 24


def test_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no architecture 'ViT-C-16'"):
        openclip_encoder("ViT-C-16", "openai")
    with pytest.raises(InputError, match="'openai' of ViT-B-16 .* network; allow it"):
        openclip_encoder("ViT-B-16", "openai")
    with pytest.raises(InputError, match="opensesame: neither a file .* nor a tag"):
        openclip_encoder("ViT-B-16", "opensesame")
    save_file({"conv.weight": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match="no weights of a CLIP"):
        openclip_encoder("ViT-B-16", str(tmp_path / "w.safetensors"))
    with pytest.raises(InputError, match="no weights in this folder"):
        openclip_encoder("", str(tmp_path))


def test_the_recorded_text_encoder(shared: Path) -> None:
    path = shared / "golden" / "zegclip" / "text_encoder.npz"
    if not path.is_file():
        pytest.skip("no recording of a text encoder")
    with np.load(path, allow_pickle=False) as file:
        recorded = {name: file[name] for name in file.files}
    opts = json.loads(str(recorded["opts"]))
    weights = {
        name.removeprefix("weights/"): torch.from_numpy(value).float()
        for name, value in recorded.items()
        if name.startswith("weights/")
    }
    text = {
        "context_length": opts["context_length"],
        "vocab_size": opts["vocab_size"],
        "width": opts["transformer_width"],
        "heads": opts["transformer_heads"],
        "layers": opts["transformer_layers"],
    }
    config = {"embed_dim": opts["embed_dim"], "quick_gelu": True, "text_cfg": text}
    tower = build_text_tower(weights, config, str(path))
    with torch.no_grad():
        found = tower(torch.from_numpy(recorded["tokens"]).long()).numpy()
    np.testing.assert_allclose(found, recorded["embedding"], atol=1e-4)


def test_the_recorded_tokens(shared: Path) -> None:
    path = shared / "golden" / "zegclip" / "tokenizer.json"
    if not path.is_file():
        pytest.skip("no recording of a tokenizer")
    cases = json.loads(path.read_text(encoding="utf-8"))["cases"]
    tokenize = clip_tokenizer()
    different = []
    for case in cases:
        text, ids = case.values() if isinstance(case, dict) else case
        if len(ids) <= 77 and tokenize([text])[0, : len(ids)].tolist() != ids:
            different.append(text)
    assert all("startoftext" in text for text in different)
