#!/usr/bin/env python3
"""Time ZegCLIP beside the published network: equal weights, equal outputs, one process, on the CPU.

    ZEGCLIP_CHECKOUT=ZegCLIP python tools/benchmark_zegclip.py
    python tools/benchmark_zegclip.py --only 171 --dtype bfloat16

ZEGCLIP_CHECKOUT is a checkout of the published code. It stands on mmcv and mmsegmentation, of which
it needs a registry, a resize and base classes; stand-ins are made when this runs. Weights are
random, ViT-B/16. From normalised pixels to the class of every pixel, both take turns: medians in
seconds, the resident memory (MiB) that a pass needs beside the weights, and how many pixels differ.
First the scores of all classes are compared: they must be equal in float32. Then a training step.

``peak`` is which share of the processor's matrix-product rate the published arithmetic is done at.
"""

import argparse
import json
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from published_zegclip import published_network, training_losses
from script_timing import now
from side_by_side import compare
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from pading import load_config
from pading.checkpoint.matching import check_fit
from pading.checkpoint.published_names import usable
from pading.data.masks import IGNORE_LABEL
from pading.errors import InputError, exit_on_input_error
from pading.layers.precision import autocast
from pading.models.registry import build_model
from pading.models.zegclip.zegclip import ZegCLIP
from pading.structures import pixel_classes
from pading.vocabulary.splits import ClassInfo, ClassSplit

_CASES = {"20": (20, 512), "171": (171, 512), "windows": (171, 1024), "training": (171, 512)}
_PROMPTS = {20: 10, 171: 100}
_UNSEEN = {20: 5, 171: 15}
_LARGEST = 1e-4  # difference of scores in 0..1 that float32 explains
_CPU = torch.device("cpu")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=_CASES, default=list(_CASES))
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--memory", type=int, default=16, help="MODEL.INFERENCE.MEMORY of ours")
    parser.add_argument("--repeats", type=int, default=3, help="of each network (%(default)s)")
    args = parser.parse_args()
    if args.repeats < 1:
        parser.error("--repeats: at least 1")
    return args


def main() -> None:
    args = parse_args()
    rate = matrix_rate(getattr(torch, args.dtype))
    print(f"{torch.get_num_threads()} threads, {args.dtype}, matrix products {rate / 1e9:.0f} G/s")
    for case in args.only:
        classes, width = _CASES[case]
        generator = torch.Generator().manual_seed(0)
        image = torch.randint(256, (3, 512, width), generator=generator, dtype=torch.uint8)
        split = split_of(classes)
        published = published_network(split, _PROMPTS[classes])
        ours = network_of(published, split)
        measure = measure_training if case == "training" else measure_inference
        row = {"case": case, **measure(published, ours, image, args)}
        operations = row.pop("operations")
        row["peak"] = operations / row["ours"] / rate
        row["times"] = row["published"] / row["ours"]
        print(json.dumps(row), flush=True)


def measure_inference(
    published: Any, ours: ZegCLIP, image: Tensor, args: argparse.Namespace
) -> dict[str, Any]:
    """Seconds, MiB and the share of pixels with another class.

    Raises:
        InputError: scores in float32 differ.
    """
    shape = [{"ori_shape": image.shape[-2:]}]
    dtype = getattr(torch, args.dtype)

    def theirs(x: Tensor) -> Tensor:
        pixels, _ = ours.preprocess([{"image": x}])
        return published.slide_inference(pixels, shape, rescale=True)

    def their_classes(x: Tensor) -> Tensor:
        with autocast(_CPU, dtype):
            return theirs(x).softmax(1)[0].argmax(0)  # as mmsegmentation makes a result

    def our_classes(x: Tensor) -> Tensor:
        return pixel_classes(ours([{"image": x}])[0]).labels

    ours.inference = replace(ours.inference, memory=1 << 62)  # all maps, to be compared
    with torch.inference_mode():
        difference = float((theirs(image)[0] - ours([{"image": image}])[0]["sem_seg"]).abs().max())
    if difference > _LARGEST:
        raise InputError(f"scores differ by {difference:.1e}; this is not the published network")
    operations = counted(lambda: theirs(image))
    ours.inference = replace(ours.inference, dtype=dtype, memory=args.memory << 20)
    found = compare({"published": their_classes, "ours": our_classes}, image, args.repeats)
    same = float((their_classes(image) == our_classes(image)).float().mean())
    del found["difference"]
    return {**found, "scores": difference, "same": same, "operations": operations}


def measure_training(
    published: Any, ours: ZegCLIP, image: Tensor, args: argparse.Namespace
) -> dict[str, Any]:
    """Seconds and MiB of a step of AdamW on one image.

    Raises:
        InputError: losses in float32, without dropout, differ.
    """
    generator = torch.Generator().manual_seed(1)
    images, _ = ours.preprocess([{"image": image}])
    coarse = torch.randint(ours.split.num_classes, (1, 1, 4, 4), generator=generator)
    labels = F.interpolate(coarse.float(), images.shape[-2:])[0].long()
    unseen = torch.isin(labels, torch.tensor(ours.split.unseen))

    def step(network: nn.Module, losses: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        trained = [p for p in network.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trained, 2e-4, weight_decay=0.01)

        def run(x: Tensor) -> Tensor:
            with autocast(_CPU, getattr(torch, args.dtype)):
                loss = losses(x)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss.detach()

        return run

    def their_losses(x: Tensor) -> Tensor:
        return training_losses(published, x, labels)

    def our_losses(x: Tensor) -> Tensor:
        masks = ours.logits(x, ours.text[ours.asked])
        losses = ours.asked_losses(masks, labels.masked_fill(unseen, IGNORE_LABEL))
        return losses["loss_mask"] + losses["loss_dice"]

    for network in (published, ours):
        network.train()
    with without_dropout(published, ours):
        losses = [float(f(images).detach()) for f in (their_losses, our_losses)]
    difference = abs(losses[0] - losses[1]) / losses[0]
    if difference > _LARGEST:
        raise InputError(f"losses differ: {losses}")
    operations = counted(lambda: their_losses(images).backward())
    steps = {"published": step(published, their_losses), "ours": step(ours, our_losses)}
    found = compare(steps, images, args.repeats, gradients=True)
    del found["difference"]  # dropout differs
    return {**found, "loss": difference, "operations": operations}


def network_of(published: nn.Module, split: ClassSplit) -> ZegCLIP:
    """Ours with the published network's weights, through the names of its checkpoints."""
    classes = split.num_classes
    settings = [
        "MODEL.DEVICE",
        "cpu",
        "MODEL.WEIGHTS",
        "",
        "MODEL.ZEGCLIP.PROMPTS",
        str(_PROMPTS[classes]),
    ]
    cfg = load_config("zegclip/coco_stuff_156_15", settings)
    model = build_model(cfg, split, torch.from_numpy(np.load(published.load_text_embedding)))
    assert isinstance(model, ZegCLIP)
    weights = model.published_names.to_ours(published.state_dict())
    check_fit(model, weights)
    model.load_state_dict(usable(weights), strict=False)
    return model.eval()


def split_of(classes: int) -> ClassSplit:
    """So many classes, of which the last are unseen."""
    unseen = classes - _UNSEEN[classes]
    infos = [ClassInfo(i, f"class {i}", isthing=False, unseen=i >= unseen) for i in range(classes)]
    return ClassSplit("any", tuple(infos))


def counted(run: Callable[[], object]) -> int:
    """Operations of all products; those of attention are seen where it is not one kernel."""
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        run()
    return counter.get_total_flops()


def matrix_rate(dtype: torch.dtype) -> float:
    """Operations a second of the products that most of the arithmetic is."""
    left, right = torch.randn(1024, 768).to(dtype), torch.randn(768, 3072).to(dtype)
    seconds = []
    for _ in range(20):
        start = now(_CPU)
        left @ right
        seconds.append(now(_CPU) - start)
    return 2 * left.numel() * right.shape[1] / statistics.median(seconds)


@contextmanager
def without_dropout(*networks: nn.Module) -> Iterator[None]:
    """Where outputs of training are compared."""
    found = [(m, n) for net in networks for m in net.modules() for n in ("p", "dropout")]
    kept = [(m, n, getattr(m, n)) for m, n in found if isinstance(getattr(m, n, None), float)]
    for module, name, _ in kept:
        setattr(module, name, 0.0)
    yield
    for module, name, value in kept:
        setattr(module, name, value)


if __name__ == "__main__":
    exit_on_input_error(main)
