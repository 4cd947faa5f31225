#!/usr/bin/env python3
"""Which parts of ZegCLIP do what on synthetic scenes: rows of settings, several seeds, one CLIP.

    python tools/ablation_zegclip.py --seeds 1,2,3 SOLVER.MAX_ITER 500
    python tools/ablation_zegclip.py --rows inductive "no descriptor" --seeds 1

The tiny CLIP and the scenes are those of ``make demo-zegclip`` (--demo). Trainings that are done
are kept in --output and not repeated. Printed is mIoU in per cent: the mean over the seeds, and
half of its 95 % interval (Student's t), which one seed does not have.
"""

import argparse
from pathlib import Path

import shapes_clip
from demo import run, scores_of
from demo_zegclip import CONFIG, MIXED
from semantic_scenes import random_vectors

from pading.bench.summary import figure_of
from pading.config import load_config
from pading.data.catalogue import DATASETS
from pading.errors import InputError, exit_on_input_error

_ROWS: dict[str, tuple[object, ...]] = {
    "inductive": (),
    "transductive": ("MODEL.ZEGCLIP.SETTING", "transductive"),
    "no descriptor": ("MODEL.ZEGCLIP.DESCRIPTOR", False),
    "whole encoder": ("MODEL.ZEGCLIP.TUNE", "all", "MODEL.ZEGCLIP.PROMPTS", 0),
    "random vectors": (),
}
_GROUPS = ("seen", "unseen", "harmonic")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--demo", type=Path, default=Path("output/demo_zegclip"))
    parser.add_argument("--rows", nargs="+", choices=_ROWS, default=list(_ROWS))
    parser.add_argument("--seeds", default="1,2,3", help="separated by commas (%(default)s)")
    parser.add_argument("--output", type=Path, default=Path("output/ablation_zegclip"))
    parser.add_argument("overrides", nargs="*", help="KEY VALUE pairs for every training")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    clip = args.demo / "clip"
    if not (clip / "clip.pth").is_file():
        raise InputError(f"--demo {args.demo}: no clip/clip.pth is there; run make demo-zegclip")
    truth = next(spec for spec in DATASETS if spec.name == "shapes_semantic_val")
    half = load_config(str(CONFIG), [str(v) for v in args.overrides]).SOLVER.MAX_ITER // 2
    train = (Path(__file__).parent / "train_net.py", "--num-gpus", 1, "--config-file", CONFIG)
    lines = ["| mIoU | " + " | ".join(_GROUPS) + " |", "|:--|" + "--:|" * len(_GROUPS)]
    for row in args.rows:
        found = []
        for seed in map(int, args.seeds.split(",")):
            output = args.output / f"{row.replace(' ', '_')}_{seed}"
            vectors, weights = clip / "texts.npz", clip / "clip.pth"
            more: tuple[object, ...] = ("SOLVER.CHECKPOINT_PERIOD", half)
            if row == "random vectors":
                drawn = args.output / f"random_{seed}.npz"
                vectors = random_vectors(drawn, seed, truth, shapes_clip.SHAPE.embed_dim)
            if row == "transductive":
                weights = args.output / f"inductive_{seed}" / f"model_{half - 1:07d}.pth"
                more = ("DATASETS.FILES", f"('{args.demo / 'mixed.json'}',)")
                more = (*more, "DATASETS.TRAIN", f"('{MIXED}',)", "SOLVER.MAX_ITER", half)
            if not (output / "model_final.pth").is_file():
                given = ("MODEL.WEIGHTS", weights, "MODEL.CLASS_VECTORS", vectors, "SEED", seed)
                run(*train, *given, *args.overrides, *_ROWS[row], *more, "OUTPUT_DIR", output)
            groups = scores_of(output, truth)["sem_seg"].groups
            found.append([groups[group]["mIoU"] for group in _GROUPS])
        lines.append(
            f"| {row} | "
            + " | ".join(str(figure_of({"": of_group})) for of_group in zip(*found, strict=True))
            + " |"
        )
    print("\n" + "\n".join(lines))


if __name__ == "__main__":
    exit_on_input_error(main)
