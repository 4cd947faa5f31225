"""Make class vectors out of class names, for MODEL.CLASS_VECTORS.

    pading vectors --names-from my_split.json --output my_minilm.npz
    pading vectors --names zebra "red hexagon" --encoder openclip \\
        --openclip-model ViT-B-16 --openclip-pretrained weights.pt --output mine.npz

writes the file and prints what is in it:

    my_minilm.npz: 17 classes, 384 numbers each, minilm
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from pading.errors import InputError
from pading.vocabulary.class_vectors import ClassVectors
from pading.vocabulary.prompts import DEFAULT, PromptSet, prompt_set, prompt_sets
from pading.vocabulary.splits import load_split
from pading.vocabulary.text_encoders import encode_classes
from pading.vocabulary.text_sources import text_encoder


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--names-from",
        action="append",
        default=[],
        metavar="SPLIT",
        help="a shipped class split or a split file; may be repeated",
    )
    parser.add_argument("--names", nargs="+", default=[], metavar="NAME", help="class names")
    parser.add_argument(
        "--encoder", choices=("minilm", "openclip"), default="minilm", help="(%(default)s)"
    )
    parser.add_argument(
        "--openclip-model", default="ViT-B-16", help="open_clip's model name (%(default)s)"
    )
    parser.add_argument(
        "--openclip-pretrained",
        default="openai",
        help="a weights file or folder of yours, or a tag that open_clip downloads",
    )
    parser.add_argument(
        "--download", action="store_true", help="let open_clip fetch weights from the network"
    )
    parser.add_argument(
        "--prompts", choices=prompt_sets(), default=DEFAULT, help="a set of prompts"
    )
    parser.add_argument(
        "--synonyms",
        action=argparse.BooleanOptionalAction,
        help='"cup, mug" is two names, averaged; by default as the set of prompts says',
    )
    parser.add_argument(
        "--prompt",
        action="append",
        metavar="TEXT",
        help="with {} for the name; may be repeated; instead of --prompts",
    )
    parser.add_argument("--output", required=True, metavar="FILE.npz")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Build the vectors of the named classes and write them.

    Raises:
        InputError: no names, an unusable output, or what the splits and encoders refuse.
    """
    args = parse(arguments)
    names = [name for split in args.names_from for name in load_split(split).names]
    names = list(dict.fromkeys([*names, *args.names]))
    if not names:
        raise InputError("no class names; give --names-from SPLIT or --names NAME ...")
    if Path(args.output).suffix != ".npz":
        raise InputError(f"--output {args.output}: the file's name must end in .npz")
    if args.prompt:
        prompts = PromptSet(tuple(args.prompt), synonyms=bool(args.synonyms))
    else:
        prompts = prompt_set(args.prompts, args.synonyms)
    name = args.encoder
    if name == "openclip":
        folder = Path(args.openclip_pretrained).is_dir()
        name += (
            f":{args.openclip_pretrained}"
            if folder
            else (f":{args.openclip_model}:{args.openclip_pretrained}")
        )
    encoder, source = text_encoder(name, args.download)
    made: ClassVectors = encode_classes(names, encoder, source, prompts)
    made.save(args.output)
    print(f"{args.output}: {len(made.names)} classes, {made.width} numbers each, {made.source}")
