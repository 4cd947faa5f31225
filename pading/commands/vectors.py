"""Make class vectors out of class names, for MODEL.CLASS_VECTORS.

    pading vectors --names-from my_split.json --output my_minilm.npz
    pading vectors --names zebra "red hexagon" --encoder openclip \\
        --openclip-model ViT-B-16 --openclip-pretrained weights.pt --output mine.npz

    pading vectors --split my_split.json --encoder words --words glove.6B.300d.txt --output w.npz
    pading vectors --vectors my_minilm.npz --split my_split.json --explain near.png

writes the file and prints what is in it:

    my_minilm.npz: 17 classes, 384 numbers each, minilm
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from pading.errors import InputError
from pading.visualize.similarity_matrix import draw_similarities
from pading.vocabulary.class_vectors import ClassVectors, read_class_vectors
from pading.vocabulary.prompts import DEFAULT, PromptSet, prompt_set, prompt_sets
from pading.vocabulary.similarity import similarities
from pading.vocabulary.splits import load_split
from pading.vocabulary.text_encoders import encode_classes
from pading.vocabulary.text_sources import text_encoder, usual_prompts


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--names-from",
        "--split",
        action="append",
        default=[],
        metavar="SPLIT",
        help="a shipped class split or a split file; may be repeated",
    )
    parser.add_argument("--names", nargs="+", default=[], metavar="NAME", help="class names")
    parser.add_argument(
        "--encoder", choices=("minilm", "openclip", "words"), default="minilm", help="(%(default)s)"
    )
    parser.add_argument(
        "--words", metavar="FILE", help="of GloVe, fastText (.vec) or word2vec, for --encoder words"
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
        "--prompts",
        choices=prompt_sets(),
        help=f"a set of prompts (default: {DEFAULT}; of words, the name alone)",
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
    parser.add_argument("--output", metavar="FILE.npz", help="what to write")
    parser.add_argument(
        "--explain",
        metavar="PICTURE.png",
        help="draw how near the classes are, and list who is near whom, also of --vectors",
    )
    parser.add_argument("--vectors", metavar="FILE.npz", help="explain these instead of making any")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Build the vectors of the named classes and write them.

    Raises:
        InputError: no names, an unusable output, or what the splits and encoders refuse.
    """
    args = parse(arguments)
    splits = [load_split(split) for split in args.names_from]
    names = list(dict.fromkeys([*(n for split in splits for n in split.names), *args.names]))
    unseen = [split.names[label] for split in splits for label in split.unseen]
    if args.vectors:
        if not args.explain:
            raise InputError("--vectors is for --explain PICTURE.png; add it")
        known = read_class_vectors(args.vectors)
        chosen = tuple(names) or known.names
        explain(ClassVectors(chosen, known.select(chosen).numpy(), known.source), unseen, args)
        return
    if not names:
        raise InputError("no class names; give --names-from SPLIT or --names NAME ...")
    if not (args.output or args.explain):
        raise InputError("nothing to do: give --output FILE.npz, --explain PICTURE.png, or both")
    if args.output and Path(args.output).suffix != ".npz":
        raise InputError(f"--output {args.output}: the file's name must end in .npz")
    name = encoder_name(args)
    if args.prompt:
        prompts = PromptSet(tuple(args.prompt), synonyms=bool(args.synonyms))
    else:
        prompts = prompt_set(args.prompts or usual_prompts(name), args.synonyms)
    encoder, source = text_encoder(name, args.download)
    made: ClassVectors = encode_classes(names, encoder, source, prompts)
    if args.output:
        made.save(args.output)
        print(f"{args.output}: {len(made.names)} classes, {made.width} numbers each, {made.source}")
    if args.explain:
        explain(made, unseen, args)


def encoder_name(args: argparse.Namespace) -> str:
    """The encoder as :func:`text_encoder` takes it."""
    if args.encoder == "words":
        if not args.words:
            raise InputError("--encoder words: give --words FILE (GloVe, fastText or word2vec)")
        return f"words:{args.words}"
    if args.encoder == "openclip":
        folder = Path(args.openclip_pretrained).is_dir()
        model = "" if folder else f"{args.openclip_model}:"
        return f"openclip:{model}{args.openclip_pretrained}"
    return args.encoder


def explain(vectors: ClassVectors, unseen: Sequence[str], args: argparse.Namespace) -> None:
    """Draw and print how near the classes are to each other."""
    found = similarities(vectors, unseen)
    draw_similarities(found.names, found.cosines, unseen, args.explain)
    print(f"{found.report()}\n{args.explain}: how near the classes are")
