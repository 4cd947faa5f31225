"""ZegCLIP beside a recording: tokens, prompts, decoder, windows, losses, gradients; texts.

The arrays are those of the recordings' own description; what is compared is named in each function.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from pading.data.masks import IGNORE_LABEL
from pading.inference.windows import at_size, windowed
from pading.models.zegclip.class_mask_decoder import DecoderLayer
from pading.models.zegclip.zegclip import ZegCLIP
from pading.vocabulary.clip_text import build_text_tower
from research.parity.comparison import LOSSES, Comparer
from research.parity.zegclip_recording import ZegCLIPRecording

# What a right implementation may differ by, absolute unless said otherwise.
TOKENS, SCORES, MASK_LOGITS, ATTENTION, TEXT = 1e-4, 1e-4, 1e-3, 1e-3, 1e-4
NORMS = (1e-3, 1e-3)
"""Of a gradient's norm: relative, of norms above the second."""
_VOID = 255  # of recorded labels
_EVERY, _EVERY_TRAINED = 4, 8  # pixels of the sampled scores and mask logits

INPUTS = (
    *("opts", "text_embedding", "image_rgb", "output_size", "rect/image_rgb"),
    *("train/images_rgb", "train/labels", "tokens"),
)
"""Arrays that are given, not compared."""
# Setting -> (of MODEL.ZEGCLIP, crops, whether every class is seen)
_TRAINED: Mapping[str, tuple[str, tuple[int, int], bool]] = {
    "inductive": ("inductive", (0, 1), False),
    "inductive_unlabelled": ("inductive", (0, 2), False),
    "transductive": ("transductive", (0, 1), False),
    "supervised": ("supervised", (0, 1), True),
}


def is_input(name: str) -> bool:
    """Whether an array describes what was computed."""
    return name.startswith("weights/") or name in INPUTS


def compare_zegclip(comparer: Comparer, recording: ZegCLIPRecording) -> None:
    """Compare everything of a recording of a network."""
    model = recording.built()
    compare_window(comparer, recording, model)
    compare_frozen(comparer, recording, model)
    compare_image(comparer, recording)
    compare_prompts(comparer, recording)
    for part in _TRAINED:
        compare_training(comparer, recording, part)


@torch.no_grad()
def compare_window(comparer: Comparer, recording: ZegCLIPRecording, model: ZegCLIP) -> None:
    """``window/*``: every step of one window.

    The published tower carries prompts along that it then throws away; ours only looks at them.
    They are carried here, by our blocks, for the recorded tokens.
    """
    size = recording.options["test_cfg"]["crop_size"]
    images = _normalised(model, recording.images("image_rgb")[..., : size[0], : size[1]])
    assert model.prompts is not None and model.prompts.norm is not None
    prompts = model.prompts(1)
    tokens = model.backbone.embed(images, model.class_embeddings)
    for i, block in enumerate(model.backbone.blocks):
        patches_from = 1 if i == 0 else 1 + prompts[0].shape[1]
        tokens = torch.cat((tokens[:, :1], prompts[i], tokens[:, patches_from:]), 1)
        if i == 0:
            comparer.values("window/tokens", tokens[0], TOKENS)
        tokens = block(tokens)
        comparer.values(f"window/block/{i}", tokens[0], TOKENS)
    comparer.values("window/prompt_norm", model.prompts.norm(tokens)[0], TOKENS)

    image, patches = model.encode(images)
    comparer.values("window/class_token", image[0], TOKENS)
    comparer.values("window/patch", patches[0], TOKENS)
    head, text = model.head, model.text
    memory = patches.flatten(2).transpose(1, 2)
    descriptor = head.describe(text, image)
    comparer.values("window/descriptor", descriptor[0], TOKENS)
    queries = head.q_proj(descriptor)
    comparer.values("window/query", queries[0], TOKENS)
    for i, layer in enumerate(head.layers):
        attention = layer.multihead_attn
        scale = (attention.heads * attention.q.out_features) ** -0.5
        found = scale * attention.q(queries) @ attention.k(memory).transpose(1, 2)
        comparer.values(f"window/decoder/{i}/attention", found[0], ATTENTION)
        queries = layer(queries, memory)
        comparer.values(f"window/decoder/{i}/output", queries[0], TOKENS)
    last = len(head.layers)
    comparer.values(f"window/decoder/{last}/attention", head.last(queries, memory)[0], ATTENTION)
    if f"window/decoder/{last}/output" in recording:
        output = last_output(recording, queries, memory, last)
        comparer.values(f"window/decoder/{last}/output", output[0], TOKENS)
    logits = at_size(model.network(images), (size[0], size[1]))
    comparer.values("window/pred_masks", logits[0], MASK_LOGITS)
    scores = logits.sigmoid()[0]
    scores[list(model.split.seen)] -= model.inference.seen_bias
    comparer.values("window/scores", scores, SCORES)


def compare_frozen(comparer: Comparer, recording: ZegCLIPRecording, model: ZegCLIP) -> None:
    """``frozen``: what of the image side is not trained; the text side is not in our model."""
    if comparer.recorded("frozen"):
        theirs = {n for n in recording.parsed("frozen") if not n.startswith("text_encoder.")}
        ours = {n for n, p in model.named_parameters() if not p.requires_grad}
        comparer.count("frozen", len(theirs ^ ours), "parameters")


def last_output(
    recording: ZegCLIPRecording, queries: Tensor, memory: Tensor, number: int
) -> Tensor:
    """What the last layer gives out beside its attention: recorded, and used by nobody.

    Our decoder has no such weights; they are the recording's, in a layer of ours.
    """
    head = recording.options["decode_head"]
    prefix = f"decode_head.decoder_1.layers.{number}."
    own = {
        name.removeprefix(prefix): value
        for name, value in recording.weights().items()
        if name.startswith(prefix) and not name.startswith((f"{prefix}self_attn", f"{prefix}norm1"))
    }
    layer = DecoderLayer(head["embed_dims"], head["num_heads"], len(own["linear1.bias"]), 0.0)
    layer.load_state_dict(own)
    return layer.eval()(queries, memory)


@torch.no_grad()
def compare_image(comparer: Comparer, recording: ZegCLIPRecording) -> None:
    """``slide_scores_sample``, ``scores_sample``, ``sem_seg_argmax``, ``transductive/*``."""
    height, width = recording.numbers("output_size").tolist()
    pixels = recording.images("image_rgb")
    for setting, prefix in (("inductive", ""), ("transductive", "transductive/")):
        model = recording.built(setting)
        if not prefix:
            window = recording.options["test_cfg"]
            scores = windowed(
                model.chances,
                _normalised(model, pixels),
                tuple(window["crop_size"]),
                tuple(window["stride"]),
            )[0]
            scores[list(model.split.seen)] -= model.inference.seen_bias
            sample = scores[:, ::_EVERY, ::_EVERY]
            comparer.values("slide_scores_sample", sample, SCORES)
        [result] = model([{"image": pixels[0], "height": height, "width": width}])
        found = result["sem_seg"]
        comparer.values(f"{prefix}scores_sample", found[:, ::_EVERY, ::_EVERY], SCORES)
        comparer.pixels(f"{prefix}sem_seg_argmax", found.argmax(0).numpy())


@torch.no_grad()
def compare_prompts(comparer: Comparer, recording: ZegCLIPRecording) -> None:
    """``rect/*`` and ``variant/*``: another grid, and other uses of prompts."""
    size = recording.options["test_cfg"]["crop_size"]
    window = recording.images("image_rgb")[..., : size[0], : size[1]]
    cases = {
        "rect": (recording.built(), recording.images("rect/image_rgb")),
        "variant/shallow": (recording.built(depth=0), window),
        "variant/partial": (recording.built(depth=1), window),
        "variant/none": (recording.built(prompts=0), window),
    }
    for name, (model, pixels) in cases.items():
        image, patches = model.encode(_normalised(model, pixels))
        comparer.values(f"{name}/patch", patches[0], TOKENS)
        comparer.values(f"{name}/class_token", image[0], TOKENS)


def compare_training(comparer: Comparer, recording: ZegCLIPRecording, part: str) -> None:
    """``<part>/labels``, ``pred_masks_sample``, losses, ``acc_seg``, ``grad_norms``."""
    setting, crops, all_seen = _TRAINED[part]
    model = recording.built(setting, all_seen=all_seen).train()
    pixels = recording.images("train/images_rgb")[list(crops)]
    labels = recording.tensor("train/labels")[list(crops)].long()
    labels = labels.masked_fill(labels == _VOID, IGNORE_LABEL)
    if setting == "inductive":  # as a data set that is seen_only gives them
        unseen = torch.isin(labels, torch.tensor(model.split.unseen))
        labels = labels.masked_fill(unseen, IGNORE_LABEL)
    batch = [{"image": x, "sem_seg": y} for x, y in zip(pixels, labels, strict=True)]
    losses = model(batch)
    sum(losses.values()).backward()

    with torch.no_grad():
        logits = model.logits(_normalised(model, pixels), model.text[model.asked])
        logits = at_size(logits, (labels.shape[-2], labels.shape[-1]))
        rows = model.rows_asked(logits, labels)
    taught = rows.masked_fill(rows < 0, _VOID)
    wrong = (taught != recording.tensor(f"{part}/labels")).sum()
    comparer.count(f"{part}/labels", int(wrong), "pixels")
    sample = logits[..., ::_EVERY_TRAINED, ::_EVERY_TRAINED]
    comparer.values(f"{part}/pred_masks_sample", sample, MASK_LOGITS)
    for name, value in losses.items():
        wanted = float(recording.numbers(f"{part}/{name}"))
        # A batch without labels has a dice loss of exactly 0.
        difference = abs(value.item() - wanted) / max(abs(wanted), 1e-12)
        comparer.add(f"{part}/{name}", difference, LOSSES, "relative")
    right = (logits.argmax(1) == rows)[rows >= 0].float()
    share = 100 * right.mean().item() if len(right) else 0.0
    difference = abs(share - float(recording.numbers(f"{part}/acc_seg")))
    comparer.add(f"{part}/acc_seg", difference, 0.1, "per cent")
    _compare_norms(comparer, model, f"{part}/grad_norms", recording.parsed(f"{part}/grad_norms"))


def _compare_norms(
    comparer: Comparer, model: ZegCLIP, array: str, wanted: Mapping[str, float]
) -> None:
    relative, least = NORMS
    ours = {
        model.published_names.published(name): p.grad.norm().item()
        for name, p in model.named_parameters()
        if p.grad is not None
    }
    worst = 0.0
    for name in ours.keys() | wanted.keys():
        a, b = ours.get(name, float("inf")), wanted.get(name, 0.0)
        if max(a, b) > least:
            worst = max(worst, abs(a - b) / max(b, least))
    comparer.add(array, worst, relative, f"relative, of norms above {least:g}")


@torch.no_grad()
def compare_text_encoder(comparer: Comparer) -> None:
    """``embedding`` and ``unit_embedding`` of ``tokens``: CLIP's text tower alone."""
    recording = comparer.recording
    options = recording.parsed("opts")
    config = {
        "embed_dim": options["embed_dim"],
        "quick_gelu": True,
        "text_cfg": {
            "context_length": options["context_length"],
            "vocab_size": options["vocab_size"],
            "width": options["transformer_width"],
            "heads": options["transformer_heads"],
            "layers": options["transformer_layers"],
        },
    }
    tower = build_text_tower(recording.weights(), config, str(recording.path))
    found = tower(recording.tensor("tokens").long())
    comparer.values("embedding", found, TEXT)
    comparer.values("unit_embedding", F.normalize(found, dim=-1), TEXT)


def _normalised(model: ZegCLIP, pixels: Tensor) -> Tensor:
    return (pixels - model.pixel_mean) / model.pixel_std
