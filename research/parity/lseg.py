"""LSeg beside a recording: from its texts to its scores, its losses, gradients and first step.

The arrays are those of the recordings' own description; what is compared is named in each function.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from pading.models.lseg.fusion import enlarged
from pading.models.lseg.lseg import LSeg
from pading.models.lseg.multiscale import multiscale_scores
from pading.models.lseg.reassembly import resized_positions
from pading.models.lseg.spatial_regularisation import SpatialRegularisation
from pading.models.lseg.token_backbone import TokenBackbone
from pading.vocabulary.clip_text import clip_tokenizer
from research.parity.comparison import Comparer
from research.parity.lseg_recording import BLOCK_WEIGHTS, LSegRecording
from research.parity.lseg_training import compare_schedule, compare_training

# What a right implementation may differ by, absolute unless said otherwise.
FEATURES, LOGITS, SCORES = 5e-5, 2e-5, 5e-5
BLOCK = {1: 5e-5, 2: 5e-5, 4: 5e-4}
POSITIONS, TEXT, LOSS, HALF = 1e-6, 1e-5, 1e-5, 1e-2
OTHERS = "others"
_EVERY = 4  # pixels of the sampled embeddings, in both directions

INPUTS = (
    *("config", "image_rgb", "labels", "free_labels", "train_images_rgb", "train_target"),
    *("images_rgb", "names", "class_id", "target", "ignore"),
    *("zero_shot/names", "zero_shot/class_id"),
)
"""Arrays that are given, not compared."""


def is_input(name: str) -> bool:
    """Whether an array describes what was computed."""
    given = name.startswith(("weights/", BLOCK_WEIGHTS)) or name.endswith("/image_rgb")
    return given or name in INPUTS


def compare_lseg(comparer: Comparer, recording: LSegRecording) -> None:
    """Compare everything of a recording of a network."""
    zero_shot = recording.is_zero_shot
    compare_texts(comparer, recording)
    text = unit(recording.tensor("text_features"))
    model = recording.built(text[0] if zero_shot else text)
    compare_outputs(comparer, recording, model, text)
    if not zero_shot:
        free = recording.built(unit(recording.tensor("free_text_features")))
        compare_free_labels(comparer, recording, free)
        compare_half(comparer, recording, model)
    compare_blocks(comparer, recording, text)
    compare_pairs(comparer, recording, model)
    compare_training(comparer, recording, text)
    compare_schedule(comparer, recording)


@torch.no_grad()
def compare_texts(comparer: Comparer, recording: LSegRecording) -> None:
    """``tokens``, ``text_features``, also ``free_*`` and ``zero_shot/tokens``."""
    tokenize = clip_tokenizer(recording.options["text"]["context_length"])
    for prefix, labels in (("", "labels"), ("free_", "free_labels"), ("zero_shot/", "")):
        if f"{prefix}tokens" not in recording:
            continue
        if labels and labels in recording:
            texts = recording.parsed(labels)
        else:
            names = recording.parsed(f"{prefix}names")
            asked = recording.numbers(f"{prefix}class_id").tolist()
            texts = [text for i in asked for text in (OTHERS, names[i])]
        wanted = recording.tensor(f"{prefix}tokens")
        tokens = tokenize(texts).reshape(wanted.shape)
        comparer.count(f"{prefix}tokens", int((tokens != wanted).sum()), "tokens")
        if f"{prefix}text_features" in recording:
            features = recording.text_features(tokens)
            comparer.values(f"{prefix}text_features", features, TEXT)


@torch.no_grad()
def compare_outputs(
    comparer: Comparer, recording: LSegRecording, model: LSeg, text: Tensor
) -> None:
    """``tapped``, ``pos_embed_resized``, ``reassembled``, ``layer_rn``, ``path``, ..., ``argmax``.

    The paths of the published code come after convolutions that ours merges or exchanges with the
    enlargement: they are made here as it makes them, out of our modules.
    """
    pixels = recording.images("images_rgb" if recording.is_zero_shot else "image_rgb")
    images = (pixels - model.pixel_mean) / model.pixel_std
    if isinstance(model.backbone, TokenBackbone):
        backbone = model.backbone
        for i, tokens in enumerate(backbone.tokens(images), 1):
            comparer.values(f"tapped/{i}", tokens, FEATURES)
        grid = (images.shape[-2] // backbone.patch_size, images.shape[-1] // backbone.patch_size)
        positions = resized_positions(backbone.vit.pos_embed, backbone.prefix, grid)
        comparer.values("pos_embed_resized", positions, POSITIONS)
    found = model.backbone(images)
    pyramid = [found[name] for name in model.features]
    pyramid = pyramid if model.reassembly is None else model.reassembly(pyramid)
    for i, x in enumerate(pyramid, 1):
        comparer.values(f"reassembled/{i}", x, FEATURES)
        comparer.values(f"layer_rn/{i}", model.fusion.projections[i - 1](x), FEATURES)
    for i, path in _paths(model, pyramid):
        comparer.values(f"path/{i}", path, FEATURES)
        if i == 1:
            embeddings = model.pixel_embedding(path)[..., ::_EVERY, ::_EVERY]
            comparer.values("image_features_sample", embeddings, FEATURES)
    low = model.label_maps(model.fused(images), text)
    comparer.values("logits_low", low, LOGITS)
    logits = enlarged(low, images.shape[-2:])
    if not recording.is_zero_shot:  # where the model's labels are those of every image
        logits = model.network(images)
    comparer.values("logits", logits, LOGITS)
    comparer.pixels("argmax", logits.argmax(1).numpy())
    if recording.is_zero_shot and comparer.recorded("loss_eval"):
        loss = F.cross_entropy(logits, recording.tensor("target").long())
        wanted = float(recording.numbers("loss_eval"))
        comparer.add("loss_eval", abs(loss.item() - wanted), LOSS, "absolute")


def _paths(model: LSeg, pyramid: list[Tensor]) -> Iterator[tuple[int, Tensor]]:
    """Published number and value of every path, from the coarsest."""
    skips = [p(x) for p, x in zip(model.fusion.projections, pyramid, strict=True)]
    path = None
    for i in reversed(range(len(skips))):
        size = [2 * length for length in skips[i].shape[-2:]]
        path = enlarged(model.fusion.stages[i](skips[i], path), size)
        yield i + 1, path


@torch.no_grad()
def compare_free_labels(comparer: Comparer, recording: LSegRecording, model: LSeg) -> None:
    """``free_logits``, and ``multiscale/*/scores`` of the same labels."""
    images = (recording.images("image_rgb") - model.pixel_mean) / model.pixel_std
    comparer.values("free_logits", model.network(images), LOGITS)
    views = recording.options.get("multiscale")
    names = [name for name in recording.arrays if name.startswith("multiscale/")]
    for name in sorted(name for name in names if name.endswith("/scores")):
        pixels = recording.images(name.replace("scores", "image_rgb"))
        image = (pixels - model.pixel_mean) / model.pixel_std
        crop = views["crop_size"]
        scores = multiscale_scores(
            model.network,
            image,
            base_size=views["base_size"],
            crop=crop,
            stride=crop * 2 // 3,
            scales=views["scales"],
            flip=views["flip"],
            black=-model.pixel_mean / model.pixel_std,
        )
        # Theirs is the sum over scales and mirrored pairs.
        comparer.values(name, scores * len(views["scales"]) * (1 + views["flip"]), SCORES)


@torch.no_grad()
def compare_half(comparer: Comparer, recording: LSegRecording, model: LSeg) -> None:
    """``half``: the published arithmetic, which ours need only be near."""
    if "half/logits_low" not in recording:
        return
    images = (recording.images("image_rgb") - model.pixel_mean) / model.pixel_std
    low = model.label_maps(model.fused(images), model.text)
    difference = (low - recording.tensor("half/logits_low")).abs().max().item()
    comparer.add("half/logits_low", difference, HALF, "absolute")
    ours = recording.text_features(recording.tensor("tokens"))
    text = ours - recording.tensor("half/text_features")
    comparer.add("half/text_features", text.abs().max().item(), HALF, "absolute")


@torch.no_grad()
def compare_blocks(comparer: Comparer, recording: LSegRecording, text: Tensor) -> None:
    """``block/<kind>/<activation>/<depth>``, and ``block/<kind>/logits`` of the whole model."""
    names = [name for name in recording.arrays if name.startswith("block/")]
    for name in names:
        _, kind, *rest = name.split("/")
        if rest == ["logits"]:
            model = recording.built(text, kind, depth=2)
            images = (recording.images("image_rgb") - model.pixel_mean) / model.pixel_std
            comparer.values(name, model.network(images), BLOCK[2])
        else:
            activation, depth = rest[0], int(rest[1])
            model = recording.built(text, kind, activation, depth)
            images = (recording.images("image_rgb") - model.pixel_mean) / model.pixel_std
            assert isinstance(model.spatial_regularisation, SpatialRegularisation)
            low = model.label_maps(model.fused(images), model.text)
            comparer.values(name, low, BLOCK.get(depth, BLOCK[4]))


@torch.no_grad()
def compare_pairs(comparer: Comparer, recording: LSegRecording, model: LSeg) -> None:
    """``zero_shot/logits``: every image with a pair of labels of its own."""
    if "zero_shot/tokens" not in recording:
        return
    tokens = recording.tensor("zero_shot/tokens")
    features = recording.text_features(tokens)
    images = (recording.images("train_images_rgb") - model.pixel_mean) / model.pixel_std
    low = model.label_maps(model.fused(images), unit(features))
    comparer.values("zero_shot/logits", enlarged(low, images.shape[-2:]), LOGITS)


def unit(vectors: Tensor) -> Tensor:
    """Rows of length 1."""
    return F.normalize(vectors, dim=-1)
