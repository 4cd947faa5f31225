"""A store of any size out of random numbers, and what reading it costs.

    python -m tests.models.pading.synthetic_store --images 118000 --folder /tmp/store

makes one of COCO's size (133 classes, C = 256) and prints size, time per step and memory as JSON.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from pading.models.pading.embedding_store import EmbeddingStore, Header, shard_path, write_shard
from pading.models.pading.embeddings import BalancedRows, ImageRows
from pading.vocabulary.splits import ClassSplit, load_split

COCO = "coco_panoptic_119_14"
# Segments that an image of COCO panoptic has, about; and kept queries beside them.
MATCHED, UNMATCHED = 11, 9
QUERIES = 100


def make(folder: Path, split: ClassSplit, images: int, width: int, shard_images: int) -> None:
    """Write a finished store."""
    settings = {
        "AUGMENTATIONS": 1,
        "NO_OBJECT_SHARE": UNMATCHED / (QUERIES - MATCHED),
        "DTYPE": "float16",
        "SHARD_IMAGES": shard_images,
    }
    classes = sorted(split.names[i] for i in split.seen)
    header = Header("none", classes, ["synthetic"], "none", {}, settings, images, width)
    header.write(folder)
    random = torch.Generator().manual_seed(0)
    for shard, items in enumerate(header.shard_items()):
        labels = torch.randint(len(classes), (len(items), MATCHED + UNMATCHED), generator=random)
        labels[:, MATCHED:] = len(classes)
        embeddings = torch.randn(labels.numel(), width, generator=random)
        counts = torch.full((len(items),), labels.shape[1])
        write_shard(
            shard_path(folder, shard), embeddings.half(), labels.flatten().short(), counts.int()
        )


def resident() -> dict[str, float]:
    """Resident memory of this process in MB: its own, and of mapped files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    pairs = (line.split(":") for line in lines if line.startswith("Rss"))
    return {name: int(value.split()[0]) / 1024 for name, value in pairs}


def measure(folder: Path, split: ClassSplit, images_per_step: int, steps: int) -> dict[str, float]:
    """Size on disk, seconds to open, milliseconds per step, and growth of resident memory."""
    before = resident()
    start = time.perf_counter()
    store = EmbeddingStore(folder, split)
    opened = time.perf_counter() - start
    random = np.random.default_rng(1)
    result = {
        "gigabytes": sum(path.stat().st_size for path in folder.iterdir()) / 1e9,
        "rows": len(store.labels),
        "seconds_to_open": opened,
    }
    for name, draw in (("image", ImageRows(store)), ("balanced", BalancedRows(store))):
        start = time.perf_counter()
        for _ in range(steps):
            found = store.embeddings(draw.rows(images_per_step, random))
        result[f"{name}_ms_per_step"] = 1000 * (time.perf_counter() - start) / steps
        result[f"{name}_rows_per_step"] = len(found)
    after = resident()
    result["own_memory_growth_mb"] = after["RssAnon"] - before["RssAnon"]
    result["mapped_memory_growth_mb"] = after["RssFile"] - before["RssFile"]
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=118_000)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=500)
    args = parser.parse_args()
    split = load_split(COCO)
    if not args.folder.exists():
        make(args.folder, split, args.images, 256, 1200)
    print(json.dumps(measure(args.folder, split, 12, args.steps), indent=1))


if __name__ == "__main__":
    main()
