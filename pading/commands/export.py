"""Export a trained model: its network as a graph that runs without Python or PyTorch.

    pading export model_final.pth model.onnx
    pading export model_final.pth model.pt2 --compiled
    pading export model_final.pth model.onnx --size 512 512 --batch 1 MODEL.INFERENCE.SEEN_BIAS 0.1

What it gives is compared with PyTorch on random images before the file takes its place, and a line
says by how much they differ:

    model.onnx: outputs within 2.1e-06 of PyTorch's (allowed: 0.001)

.onnx runs in onnxruntime, OpenVINO and TensorRT; pading predict model.onnx predicts with it, and
pading.runtime does in Python without PyTorch. .pt2 is torch.export's, or with --compiled
AOTInductor's: machine code for this kind of processor.

Batch and image size may vary unless they are given; classes may be added where the model takes them
by name. KEY VALUE pairs behind the options override the configuration that the checkpoint carries.
"""

import argparse
from collections.abc import Sequence

from pading.export import Sizes, export_model
from pading.export.checking import TOLERANCE
from pading.export.exporting import OPSET
from pading.prediction import load


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; None: that of this process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", help="a checkpoint that training wrote")
    parser.add_argument("output", help="where to write: .onnx or .pt2")
    parser.add_argument("--config-file", default="", help="of weights that carry none")
    parser.add_argument("--batch", type=int, help="images at a time (default: any number)")
    parser.add_argument(
        "--size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), help="default: any size"
    )
    parser.add_argument("--opset", type=int, default=OPSET, help="of ONNX (%(default)s)")
    parser.add_argument("--compiled", action="store_true", help="a .pt2 of machine code")
    parser.add_argument(
        "--results",
        action="store_true",
        help="the graph takes one image of pixels and gives results",
    )
    parser.add_argument(
        "--tolerance", type=float, default=TOLERANCE, help="of the check (%(default)s)"
    )
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE")
    return parser.parse_intermixed_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    args = parse(arguments)
    predictor = load(args.weights, args.config_file, args.overrides)
    exported = export_model(
        predictor.cfg,
        predictor.model,
        args.output,
        sizes=Sizes(args.batch, tuple(args.size) if args.size else None),
        opset=args.opset,
        compiled=args.compiled,
        results=args.results,
        tolerance=args.tolerance,
    )
    print(
        f"{exported.path}: outputs within {exported.difference:.1e} of PyTorch's "
        f"(allowed: {args.tolerance:g})"
    )
