#!/usr/bin/env python3
"""Real photographs on a laptop, PADing in half an hour and LSeg: what ``make demo-msrc`` runs.

    python tools/demo_msrc.py --source /downloads/MSRC_ObjCategImageDatabase_v2
    python tools/demo_msrc.py --source FOLDER --vectors coco_stuff_clip.npz --control

Prepares MSRC v2, trains PADing's segmenter on 17 classes, and teaches it the other four (sheep,
dog, boat, mountain) by their names: with the class vectors that come with pading (MiniLM), with
those of --vectors, and with random ones (--control), of which nothing can be learned. Then trains
LSeg with the vectors of --vectors, else with MiniLM's. ZegCLIP needs CLIP's weights, so it is not
part of it (docs/msrc.md).
"""

import argparse
import time
from pathlib import Path

from demo import demo_parser, draw_scenes, only, predictions_of, run, scores_of, write_results
from semantic_scenes import draw_scenes as draw_label_maps
from semantic_scenes import random_vectors

from pading.data.catalogue import DATASETS
from pading.errors import exit_on_input_error
from pading.evaluation.tables import comparison_table
from pading.vocabulary.class_vectors import ClassVectors, read_class_vectors
from pading.vocabulary.splits import load_split

_TOOLS = Path(__file__).parent
_CONFIGS = _TOOLS.parent / "configs" / "msrc"
_SHOWN = {"panoptic_seg": ("PQ",), "sem_seg": ("mIoU",), "segm": ("AP50",)}
# What COCO-Stuff calls four of the classes, since its vectors are those that are published.
_COCO_STUFF = {
    "sign": "stop sign",
    "building": "building-other",
    "sky": "sky-other",
    "water": "water-other",
}


def parse_args() -> argparse.Namespace:
    parser = demo_parser(__doc__)
    parser.add_argument(
        "--source", metavar="FOLDER", required=True, help="MSRC v2 (pading prepare msrc --help)"
    )
    parser.add_argument("--output", type=Path, default=Path("output/demo_msrc"))
    parser.add_argument(
        "--vectors",
        metavar="FILE.npz",
        help="class vectors to try as well, under our names or COCO-Stuff's",
    )
    parser.add_argument("--no-lseg", action="store_true", help="leave LSeg out")
    parser.add_argument("--control", action="store_true", help="try random vectors as well")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    start = time.monotonic()
    output = args.output
    truth = next(spec for spec in DATASETS if spec.name == "msrc_17_4_panoptic_val")
    labels = next(spec for spec in DATASETS if spec.name == "msrc_17_4_semantic_val")
    vectors = {"MiniLM": "msrc_minilm"}
    if args.vectors:
        own = _of_our_classes(args.vectors, truth.split, output / "vectors.npz")
        vectors[Path(args.vectors).stem] = str(own)
    if args.control:
        drawn = random_vectors(output / "random_vectors.npz", args.seed, truth, width=512)
        vectors["random"] = str(drawn)
    pretrained, converted = output / "pretrain" / "model_final.pth", output / "converted.pth"
    store = output / "embeddings"
    settings = ("SEED", args.seed, "TEST.REPORT", True, "MODEL.INFERENCE.SEMANTIC_ON", True)
    settings += ("MODEL.INFERENCE.INSTANCE_ON", True, *args.overrides)
    train = (_TOOLS / "train_net.py", "--num-gpus", 1, "--config-file")

    run(_TOOLS / "prepare_dataset.py", "msrc", "--source", args.source)
    run(*train, _CONFIGS / "pretrain.yaml", "OUTPUT_DIR", pretrained.parent, *settings)
    run(
        _TOOLS / "preprocess_pretrained_weight.py",
        *("--task_name", "panoptic", "--split", truth.split),
        *("--input_file", pretrained, "--output_file", converted),
    )
    stage2 = (*settings, "MODEL.WEIGHTS", converted)
    store_config = ("--config-file", _CONFIGS / "PADing.yaml", "--output", store)
    run(_TOOLS / "store_embeddings.py", *store_config, *stage2)
    runs = {"before stage 2": scores_of(pretrained.parent, truth)}
    for name, path in vectors.items():
        own_settings = ("MODEL.CLASS_VECTORS", path, "MODEL.STORE.PATH", store)
        folder = output / f"PADing_{name}"
        run(*train, _CONFIGS / "PADing.yaml", "OUTPUT_DIR", folder, *stage2, *own_settings)
        runs[f"PADing {name}"] = scores_of(folder, truth)
    padings_minutes = (time.monotonic() - start) / 60
    words = Path(args.vectors).stem if args.vectors else "MiniLM"
    lseg_folder = output / f"LSeg_{words}"
    if not args.no_lseg:
        lseg = ("MODEL.CLASS_VECTORS", vectors[words], "OUTPUT_DIR", lseg_folder, "SEED", args.seed)
        run(*train, _CONFIGS / "LSeg.yaml", *lseg, "TEST.REPORT", True, *args.overrides)
        runs[f"LSeg {words}"] = scores_of(lseg_folder, labels)

    minutes = (time.monotonic() - start) / 60
    results = write_results(output / "results.json", runs, minutes)
    print(f"\n{truth.name}, per cent:")
    for task, figures in _SHOWN.items():
        shown = {
            name: only(scores[task], figures) for name, scores in runs.items() if task in scores
        }
        print(f"\n{comparison_table(shown)}")
    best = output / f"PADing_{words}"
    pictures = [output / "photographs.png"]
    title = "MSRC v2: sheep, dog, boat and mountain by their names alone"
    draw_scenes(predictions_of(best, truth), truth, pictures[0], args.scenes, title)
    if not args.no_lseg:
        trained = {"LSeg": lseg_folder / "model_final.pth"}
        pictures.append(output / "label_maps.png")
        draw_label_maps(trained, labels, pictures[1], args.scenes, title)
    print(f"\nresults   {results}\npictures  {', '.join(map(str, pictures))}")
    print(f"model     {best / 'model_final.pth'}")
    print(f"finished in {minutes:.1f} minutes, of which PADing took {padings_minutes:.1f}")


def _of_our_classes(path: str, split: str, output: Path) -> Path:
    """A file's vectors under our names of the classes."""
    given, names = read_class_vectors(path), load_split(split).names
    theirs = [name if name in given.names else _COCO_STUFF.get(name, name) for name in names]
    ClassVectors(names, given.select(theirs).numpy(), given.source).save(output)
    return output


if __name__ == "__main__":
    exit_on_input_error(main)
