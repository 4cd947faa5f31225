"""Predict on images of your own with a trained model.

    pading predict home photographs --output predictions
    pading predict model_final.pth photographs --output predictions
    pading predict panoptic/PADing --input photographs --output predictions MODEL.WEIGHTS other.pth
    pading predict model_final.pth photographs --classes cat "red sofa" other --output predictions
    pading predict model.onnx photographs --output predictions

A project (pading new), a checkpoint that training wrote, or what pading export made of it needs
nothing else; other weights need their configuration.

The folder of --output gets, for each task that the configuration switches on (MODEL.INFERENCE):

panoptic.json, panoptic/*.png     COCO's panoptic format
instance.json                     COCO's results format: boxes, masks as RLE
images.json                       the images and their ids, where no other file lists them
semantic.json, semantic/*.png     the classes; label maps of class ids
..._overlays/*.png                pictures; classes with a star and hatching are unseen ones

With --format, folders of these names as well:

yolo/*.txt                        YOLO segmentation: outlines in shares of the image
label_maps/*.png                  class ids, also of instances, which lie on each other
datumaro/                         an export that Datumaro reads (annotations/default.json)
fiftyone/*.json                   FiftyOne's samples (fiftyone.Sample.from_json)

With --classes the model chooses from these labels, any texts, whose ids are their places in the
list, counted from 0. Their vectors come from the text encoder that made the model's.

pading evaluate scores these files (label maps with --class-ids).

and a line says how many images were done:

    12 of 12 images: results in predictions

A film (--input film.mp4) gives one JSON file of its frames, and the film with overlays; segments
keep their id from frame to frame by overlap and class.

Under torchrun or srun, each process does its share of the images, with the results of one; the last
one to finish writes the JSON files. A run that was killed goes on when it is said again.

Results have the size of their image, small pictures are enlarged. Running it again replaces the
files of the same images. The exit status is 1 if an image could not be read; the others are done.

KEY VALUE pairs behind the options override the configuration.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from pading.commands.configuration_argument import with_configuration
from pading.config import load_config
from pading.engine.environment import check_output_folder
from pading.errors import InputError, first_few
from pading.prediction import Predictor, find_images, load, predict_files
from pading.prediction.journal import local_rank, share
from pading.prediction.result_formats import package
from pading.prediction.writing import FORMS
from pading.projects.layout import is_project, trained_weights
from pading.runtime import OnnxPredictor
from pading.runtime import load as load_exported

_EXPORTED = ".onnx"
_WEIGHTS = (".pth", ".safetensors", ".pkl", _EXPORTED)
FILM_ENDINGS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v")
_KEY = re.compile(r"(MODEL|DATASETS|INPUT|TEST|DATALOADER)\.")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; None: that of this process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", help="a checkpoint that training wrote; it needs nothing else")
    parser.add_argument("--config-file", help="of weights that carry none (MODEL.WEIGHTS)")
    parser.add_argument(
        "--input",
        required=True,
        nargs="+",
        type=Path,
        metavar="FILE_OR_FOLDER",
        help="images, or folders of images",
    )
    parser.add_argument("--output", required=True, type=Path, help="folder for the results")
    parser.add_argument(
        "--classes", nargs="+", metavar="LABEL", help="choose from these, not the model's classes"
    )
    parser.add_argument(
        "--vectors",
        default="",
        metavar="FILE_OR_ENCODER",
        help="of --classes: a file (.npz), minilm, openclip:MODEL:WEIGHTS or openclip:FOLDER; by "
        "default what the checkpoint records",
    )
    parser.add_argument(
        "--format",
        nargs="+",
        choices=tuple(FORMS),
        default=[],
        help="also write these forms, each into a folder of its name",
    )
    parser.add_argument("--no-overlays", action="store_true", help="draw no pictures")
    parser.add_argument(
        "--min-score",
        type=float,
        default=0.3,
        help="of instances that are drawn, and that --format writes; instance.json holds all "
        "(%(default)s)",
    )
    parser.add_argument("overrides", nargs=argparse.REMAINDER, metavar="KEY VALUE")
    args = parser.parse_args(with_configuration(parser, with_weights(arguments)))
    if not args.weights and not args.config_file:
        parser.error("which model? give a checkpoint, or a configuration and MODEL.WEIGHTS")
    images = [str(path) for path in args.input if not path.exists()]
    for option, given in (("--input", images), ("--classes", args.classes or [])):
        keys = [text for text in given if _KEY.match(text)]
        if keys:
            what = "an image" if option == "--input" else "a label"
            parser.error(
                f"{option} takes {keys[0]} for {what}: let another option, such as --output, stand "
                f"between {option} and the KEY VALUE pairs"
            )
    if args.vectors and not args.classes:
        parser.error("--vectors are those of --classes, of which there are none")
    return args


def with_weights(arguments: Sequence[str] | None) -> list[str]:
    """Arguments that begin with a checkpoint, or a project, and images, as options."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or not (given[0].endswith(_WEIGHTS) or is_project(given[0])):
        return given
    options = [n for n, word in enumerate(given) if word.startswith("-")]
    images = given[1 : options[0] if options else len(given)]
    inputs = ["--input", *images] if images else []
    return ["--weights", trained_weights(given[0]), *inputs, *given[1 + len(images) :]]


def main(arguments: Sequence[str] | None = None) -> None:
    args = parse(arguments)
    if any(path.suffix.lower() in FILM_ENDINGS for path in args.input):
        predict_films(args)
        return
    images, others = find_images(args.input)
    if others:
        print(f"passed over, as no images: {first_few([str(path) for path in others])}")
    check_output_folder(args.output, "--output")
    process = share()
    if process[1] > 1 and torch.cuda.is_available():
        torch.cuda.set_device(local_rank() % torch.cuda.device_count())
    predictor: Predictor | OnnxPredictor
    workers = 0
    if args.weights and args.weights.endswith(_EXPORTED):
        predictor = exported(args)
    else:
        if args.weights:
            predictor = load(args.weights, args.config_file or "", args.overrides)
        else:
            predictor = Predictor(load_config(args.config_file, args.overrides))
        workers = predictor.cfg.DATALOADER.NUM_WORKERS
        if args.classes:
            predictor = predictor.with_classes(args.classes, args.vectors)
    unreadable = predict_files(
        predictor,
        images,
        args.output,
        workers=workers,
        overlays=not args.no_overlays,
        min_score=args.min_score,
        forms=args.format,
        run=run_of(args),
        process=process,
    )
    if unreadable is None:  # no failure: torchrun would end the others
        print(
            f"process {process[0]} has done its share; the last one of {process[1]} says the rest"
        )
        return
    print(f"{len(images) - len(unreadable)} of {len(images)} images: results in {args.output}")
    if unreadable:
        print(*(f"error: {problem}" for problem in unreadable), sep="\n", file=sys.stderr)
        sys.exit(1)


def predict_films(args: argparse.Namespace) -> None:
    """Each film by itself: a JSON file and the film with overlays."""
    package("cv2")  # of an extra, which films need
    from pading.prediction.films import predict_film

    others = [path for path in args.input if path.suffix.lower() not in FILM_ENDINGS]
    if others or not args.weights or args.weights.endswith(_EXPORTED):
        what = f"{others[0]} is none" if others else "give a checkpoint or a project"
        raise InputError(f"--input: films are predicted on by themselves; {what}")
    check_output_folder(args.output, "--output")
    predictor = load(args.weights, args.config_file or "", args.overrides)
    if args.classes:
        predictor = predictor.with_classes(args.classes, args.vectors)
    for path in args.input:
        frames, ids = predict_film(predictor, path, args.output, args.min_score)
        print(f"{path}: {frames} frames, {ids} segments; {args.output / path.stem}.json and .mp4")


def run_of(args: argparse.Namespace) -> dict[str, Any]:
    """What results depend on; weights by the file's size and time, so that no new ones pass."""
    pairs = dict(zip(args.overrides[::2], args.overrides[1::2], strict=False))
    path = args.weights or pairs.get("MODEL.WEIGHTS", "")
    file = Path(path)
    stamp = (file.stat().st_size, file.stat().st_mtime_ns) if file.is_file() else ()
    told = {key: getattr(args, key) for key in ("weights", "config_file", "classes", "vectors")}
    return {**told, "overrides": args.overrides, "file": stamp}


def exported(args: argparse.Namespace) -> OnnxPredictor:
    """The model of an .onnx file, whose settings were laid down when it was exported."""
    if args.classes:
        raise InputError(
            "--classes: an exported model takes classes as rows of numbers, not by name "
            "(pading.runtime, add_classes); give the checkpoint instead"
        )
    if args.config_file or args.overrides:
        given = args.config_file or args.overrides[0]
        raise InputError(
            f"{given}: an exported model keeps the settings that it was exported with; export the "
            "checkpoint again with others"
        )
    return load_exported(args.weights)
