#!/usr/bin/env python3
"""Time LSeg beside the published network: equal weights, equal outputs, one process, on the CPU.

    LSEG_CHECKOUT=lang-seg python tools/benchmark_lseg.py
    python tools/benchmark_lseg.py --budgets 64 512 100000 --labels 150 1000 --sizes 960x720

LSEG_CHECKOUT is a checkout of the published code that runs on the CPU: it loads CLIP there, casts
nothing to float16, takes no weights from the network, and its imports (``clip``) are found in it or
installed. Weights are random. Both take turns; printed are medians in seconds, the resident memory
(MiB) that a pass needs beside the weights, and how far the logits differ. Images whose sides are no
multiples of 32, which the published network does not take, are padded to some for both.

With --budgets it is ours alone, from an image to the class of every pixel, with these values of
MODEL.INFERENCE.MEMORY: seconds, MiB, and which share of the pixels has the class that it has with
the last of them.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from script_timing import now
from side_by_side import Network, compare, forget_peak, resident
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from pading import load_config
from pading.checkpoint.matching import check_fit
from pading.checkpoint.published_names import usable
from pading.errors import InputError, exit_on_input_error
from pading.models.lseg.lseg import LSeg
from pading.models.registry import build_model
from pading.structures import pixel_classes
from pading.vocabulary.splits import ClassInfo, ClassSplit

_VARIABLE = "LSEG_CHECKOUT"
_BACKBONE = "clip_vitl16_384"
_LABELS = (3, 20, 150)
_SIZES = ("480x480", "960x720")
_CPU = torch.device("cpu")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", default=list(_SIZES), metavar="WIDTHxHEIGHT")
    parser.add_argument("--labels", nargs="+", type=int, default=list(_LABELS), metavar="K")
    parser.add_argument("--repeats", type=int, default=3, help="of each network (%(default)s)")
    parser.add_argument("--budgets", nargs="+", type=int, metavar="MIB", help="of the label maps")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = parser.parse_args()
    if args.repeats < 1 or min(args.labels) < 1:
        parser.error("--repeats and --labels: at least 1")
    return args


def main() -> None:
    args = parse_args()
    if args.budgets:
        print("\n".join(json.dumps(row) for row in compare_budgets(args)))
        return
    published = published_network([f"label {i}" for i in range(max(args.labels))])
    ours = network_of(published.state_dict())
    rows = []
    for size in tqdm(args.sizes, "sizes"):
        width, height = map(int, size.split("x"))
        generator = torch.Generator().manual_seed(0)
        image = torch.randn(1, 3, height, width, generator=generator)
        image = F.pad(image, (0, -width % 32, 0, -height % 32))
        for count in args.labels:
            labels = [f"label {i}" for i in range(count)]
            text = unit_texts(published, labels)
            networks: dict[str, Network] = {
                "published": lambda x, labels=labels: published(x, labels),
                "ours": lambda x, text=text: ours.logits(x, text),
            }
            rows.append({"size": size, "labels": count, **compare(networks, image, args.repeats)})
            print(json.dumps(rows[-1]), file=sys.stderr)
    about = {"threads": torch.get_num_threads(), "torch": torch.__version__, "rows": rows}
    print(json.dumps(about, indent=1) if args.json else table(rows, torch.get_num_threads()))


@torch.inference_mode()
def compare_budgets(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Seconds and MiB of results of many labels, by what their maps may take."""
    model = fresh_network()
    for size in args.sizes:
        width, height = map(int, size.split("x"))
        image = {"image": torch.randint(256, (3, height, width), dtype=torch.uint8)}
        for count in args.labels:
            classes = tuple(ClassInfo(i, f"label {i}", True, False) for i in range(count))
            asked = model.with_vocabulary(ClassSplit("any", classes), torch.randn(count, 512))
            usual = None
            for budget in reversed(args.budgets):
                asked.inference = replace(asked.inference, memory=budget * 2**20)
                asked([image])  # threads, code
                forget_peak()
                before, start = resident("VmRSS"), now(_CPU)
                [output] = asked([image])
                seconds, used = now(_CPU) - start, (resident("VmHWM") - before) / 2**20
                labels = pixel_classes(output).labels
                usual = labels if usual is None else usual
                same = float((labels == usual).float().mean())
                row = {"size": size, "labels": count, "budget": budget, "seconds": seconds}
                yield {**row, "mib": round(used), "same": same}


def published_network(labels: Sequence[str]) -> nn.Module:
    """The published network with random weights.

    Raises:
        InputError: no checkout of it, or one that does not run on the CPU.
    """
    checkout = Path(os.environ.get(_VARIABLE, ""))
    if not (checkout / "modules" / "models" / "lseg_net.py").is_file():
        raise InputError(
            f"{_VARIABLE} is {os.environ.get(_VARIABLE, '')!r}, which is no checkout of the "
            "published code (modules/models/lseg_net.py); fetch isl-org/lang-seg and name it"
        )
    sys.path.insert(0, str(checkout))
    torch.manual_seed(0)
    try:
        from modules.models.lseg_net import LSegNet

        network = LSegNet(labels=list(labels), backbone=_BACKBONE, readout="project", arch_option=0)
    except (ImportError, RuntimeError, AssertionError) as error:
        raise InputError(f"{checkout}: it does not run on the CPU: {error}") from error
    # As it was trained, features have statistics; here they are not those of the identity.
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network.eval()


@torch.inference_mode()
def unit_texts(published: Any, labels: Sequence[str]) -> Tensor:
    """(K, D) unit vectors by the published network's own text tower, encoded once."""
    import clip

    return F.normalize(published.clip_pretrained.encode_text(clip.tokenize(list(labels))), dim=-1)


def network_of(weights: dict[str, Tensor]) -> LSeg:
    """Ours with the published network's weights, through the names of its checkpoints."""
    model = fresh_network()
    check_fit(model, weights)
    model.load_state_dict(usable(model.published_names.to_ours(weights)), strict=False)
    return model


def fresh_network() -> LSeg:
    """Ours in the published size, for one label."""
    cfg = load_config("lseg/base", ["MODEL.DEVICE", "cpu"])
    split = ClassSplit("any", (ClassInfo(0, "any", isthing=False, unseen=False),))
    model = build_model(cfg, split, torch.ones(1, 512))
    assert isinstance(model, LSeg)
    return model.eval()


def table(rows: Sequence[dict[str, Any]], threads: int) -> str:
    """Rows for people to read."""
    lines = [
        f"{threads} threads",
        f"{'size':>9} {'labels':>6} {'published':>10} {'ours':>8} {'times':>6} "
        f"{'MiB':>7} {'MiB':>7} {'difference':>11}",
    ]
    for row in rows:
        lines.append(
            f"{row['size']:>9} {row['labels']:6} {row['published']:8.2f} s {row['ours']:6.2f} s "
            f"{row['published'] / row['ours']:6.2f} {row['published_mib']:7.0f} "
            f"{row['ours_mib']:7.0f} {row['difference']:11.1e}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    exit_on_input_error(main)
