"""Add classes to a trained model by their names, without an image; remove and rename classes.

    pading add-classes home --names mug --output home/more.pth
    pading add-classes --weights model.pth --names zebra "red hexagon" --output bigger.pth
    pading add-classes --weights model.pth --stuff "cable car rail" --output bigger.pth
    pading add-classes --weights model.pth --remove fork --rename cup=mug --output new.pth

Writes a checkpoint, its split (.json) and its class vectors (.npz), and prints the KEY VALUE pairs
with which the other commands take them:

    bigger.pth: 134 classes, 1 new and 0 gone, in SECONDS s
    use it with
        MODEL.WEIGHTS bigger.pth DATASETS.SPLIT bigger.json MODEL.CLASS_VECTORS bigger.npz

Vectors come from the text encoder that made the model's, with its prompts, as the checkpoint
records it, or from what --source names.
"""

import argparse
import shlex
import sys
import time
from collections.abc import Sequence

from pading.errors import InputError
from pading.models.base import SegmentationModel
from pading.models.label_vectors import LabelVectors
from pading.models.trained import load_trained, save_trained
from pading.models.vocabulary_edits import (
    add_classes,
    remove_classes,
    rename_classes,
    similar_classes,
    vectors_by_encoder,
    vectors_by_file,
)
from pading.projects.layout import is_project, trained_weights
from pading.vocabulary.text_sources import text_encoder


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; None: that of this process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", required=True, help="checkpoint that training wrote")
    parser.add_argument("--names", nargs="+", default=[], help="new things")
    parser.add_argument("--stuff", nargs="+", default=[], help="new stuff")
    parser.add_argument("--remove", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--rename", nargs="+", default=[], metavar="OLD=NEW")
    parser.add_argument(
        "--source",
        default="",
        help="of the vectors, instead of what the checkpoint records: minilm, openclip, "
        "openclip:FOLDER, words:FILE, or a file of them",
    )
    parser.add_argument("--openclip-model", default="ViT-B-16", help="open_clip's model name")
    parser.add_argument("--openclip-pretrained", default="openai", help="its weights: file or tag")
    parser.add_argument("--download", action="store_true", help="let open_clip fetch weights")
    parser.add_argument(
        "--ids", nargs="+", type=int, default=[], help="category ids of the new classes, in turn"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", required=True, metavar="FILE.pth")
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and is_project(given[0]):
        given[:1] = ["--weights", trained_weights(given[0])]
    return parser.parse_args(given)


def main(arguments: Sequence[str] | None = None) -> None:
    args = parse(arguments)
    start = time.monotonic()
    cfg, model = load_trained(args.weights)
    before = set(model.split.names)
    if args.remove:
        model = remove_classes(model, args.remove)
    if args.rename:
        model = rename_classes(model, dict(map(renaming, args.rename)))
    names = [*args.names, *args.stuff]
    if names:
        model = with_new(model, names, args)
    if not (names or args.remove or args.rename):
        raise InputError("nothing to do: give --names, --stuff, --remove or --rename")
    pairs = save_trained(cfg, model, args.output)
    after = set(model.split.names)
    print(
        f"{args.output}: {model.split.num_classes} classes, {len(after - before)} new and "
        f"{len(before - after)} gone, in {time.monotonic() - start:.1f} s\nuse it with\n"
        f"    {shlex.join(pairs)}"
    )


def renaming(text: str) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not equals:
        raise InputError(f"--rename {text}: give OLD=NEW")
    return old, new


def with_new(
    model: SegmentationModel, names: list[str], args: argparse.Namespace
) -> SegmentationModel:
    """The model with new classes; says which are hard to tell from others."""
    empty = [name for name in names if not name.strip()]
    if empty:
        raise InputError("a class's name is empty; give the name that the text encoder reads")
    if not args.source:
        vectors = LabelVectors(model)(names)
    elif args.source.endswith(".npz") or args.source.endswith("_minilm"):
        vectors = vectors_by_file(model, names, args.source)
    else:
        name = args.source
        if name == "openclip":
            name = f"openclip:{args.openclip_model}:{args.openclip_pretrained}"
        encoder, source = text_encoder(name, args.download)
        vectors = vectors_by_encoder(model, names, encoder, source)
    grown = add_classes(model, vectors, args.stuff, args.ids, args.seed)
    for new, other, cosine in similar_classes(model, vectors):
        print(f"warning: {new!r} nearly coincides with {other!r} (cosine {cosine:.2f})")
    return grown
