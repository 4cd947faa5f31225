"""Add classes to a trained model by their names, without an image; remove and rename classes.

    pading add-classes --weights model.pth --names zebra "red hexagon" --output bigger.pth
    pading add-classes --weights model.pth --stuff "cable car rail" --output bigger.pth
    pading add-classes --weights model.pth --remove fork --rename cup=mug --output new.pth

Writes a checkpoint, its split (.json) and its class vectors (.npz), and prints the KEY VALUE pairs
with which the other commands take them:

    bigger.pth: 134 classes, 1 new and 0 gone, in SECONDS s
    use it with
        MODEL.WEIGHTS bigger.pth DATASETS.SPLIT bigger.json MODEL.CLASS_VECTORS bigger.npz

Vectors come from the text encoder that made the model's, or from a file of them.
"""

import argparse
import shlex
import time
from collections.abc import Sequence

from pading.errors import InputError
from pading.models.pading.naming import (
    save_trained,
    text_encoder,
    vectors_by_encoder,
    vectors_by_file,
)
from pading.models.pading.new_classes import (
    TrainedClasses,
    add_classes,
    read_trained,
    remove_classes,
    rename_classes,
    similar_classes,
)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; None: that of this process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", required=True, help="checkpoint of stage 2")
    parser.add_argument("--names", nargs="+", default=[], help="new things")
    parser.add_argument("--stuff", nargs="+", default=[], help="new stuff")
    parser.add_argument("--remove", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--rename", nargs="+", default=[], metavar="OLD=NEW")
    parser.add_argument(
        "--source", default="minilm", help="of the vectors: minilm, openclip, or a file of them"
    )
    parser.add_argument("--openclip-model", default="ViT-B-16", help="open_clip's model name")
    parser.add_argument("--openclip-pretrained", default="openai", help="its weights: file or tag")
    parser.add_argument(
        "--ids", nargs="+", type=int, default=[], help="category ids of the new classes, in turn"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", required=True, metavar="FILE.pth")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    args = parse(arguments)
    start = time.monotonic()
    trained = read_trained(args.weights)
    before = set(trained.split.names)
    if args.remove:
        trained = remove_classes(trained, args.remove)
    if args.rename:
        trained = rename_classes(trained, dict(map(renaming, args.rename)))
    names = [*args.names, *args.stuff]
    if names:
        trained = with_new(trained, names, args)
    if not (names or args.remove or args.rename):
        raise InputError("nothing to do: give --names, --stuff, --remove or --rename")
    pairs = save_trained(trained, args.output)
    after = set(trained.split.names)
    print(
        f"{args.output}: {trained.split.num_classes} classes, {len(after - before)} new and "
        f"{len(before - after)} gone, in {time.monotonic() - start:.1f} s\nuse it with\n"
        f"    {shlex.join(pairs)}"
    )


def renaming(text: str) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not equals:
        raise InputError(f"--rename {text}: give OLD=NEW")
    return old, new


def with_new(trained: TrainedClasses, names: list[str], args: argparse.Namespace) -> TrainedClasses:
    """The checkpoint with new classes; says which are hard to tell from others."""
    empty = [name for name in names if not name.strip()]
    if empty:
        raise InputError("a class's name is empty; give the name that the text encoder reads")
    if args.source.endswith(".npz") or args.source.endswith("_minilm"):
        vectors = vectors_by_file(trained, names, args.source)
    else:
        encoder, source = text_encoder(args.source, args.openclip_model, args.openclip_pretrained)
        vectors = vectors_by_encoder(trained, names, encoder, source)
    grown = add_classes(trained, vectors, args.stuff, args.ids, args.seed)
    for new, other, cosine in similar_classes(trained, vectors):
        print(f"warning: {new!r} nearly coincides with {other!r} (cosine {cosine:.2f})")
    return grown
