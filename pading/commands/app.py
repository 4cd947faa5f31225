"""Look at a trained model in the browser: a page on this machine.

    pading app model_final.pth
    pading app after.pth before.pth --examples photographs
    pading app model_final.pth --port 8000 MODEL.DEVICE cpu

Drop a photograph and see what is found, as panoptic, instance and semantic results with a legend;
type a name to add a class; turn the dial between seen and unseen classes; lay two models beside
each other; download COCO JSON and PNG. It prints where the page is:

    http://127.0.0.1:7860/  (Ctrl-C ends it)

Nothing is sent to any other machine, and nobody else can reach the page unless --host says so.
KEY VALUE pairs behind the options override the configuration. Needs pip install 'pading[app]'.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from pading.errors import InputError

_EXAMPLES = 12


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; None: that of this process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", nargs="+", help="checkpoints, and KEY VALUE pairs behind them")
    parser.add_argument("--examples", type=Path, help="image, or folder of images, to choose from")
    parser.add_argument(
        "--vectors",
        default="",
        help="where vectors of new names come from: a file (.npz), minilm, openclip:MODEL:WEIGHTS "
        "or openclip:FOLDER; by default the encoder that each checkpoint records",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=7860, help="(%(default)s)")
    return parser.parse_intermixed_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    args = parse(arguments)
    checkpoints = [word for word in args.weights if word.endswith((".pth", ".safetensors", ".pkl"))]
    overrides = args.weights[len(checkpoints) :]
    if not checkpoints or args.weights[: len(checkpoints)] != checkpoints:
        raise InputError(f"{args.weights[0]}: name a checkpoint (.pth) first")
    try:
        from pading.apps.page import serve
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is not installed: pip install 'pading[app]'") from error
    from pading.apps.model_pool import ModelPool
    from pading.prediction import find_images

    examples = find_images([args.examples])[0][:_EXAMPLES] if args.examples else []
    pool = ModelPool(checkpoints, overrides, args.vectors)
    serve(pool, examples, args.host, args.port)
