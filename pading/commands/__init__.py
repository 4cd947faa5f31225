"""One module per command: ``pading NAME`` and ``tools/*.py`` both run it.

Every module has ``parse(arguments)`` and ``main(arguments)``; without arguments they read those of
this process. Nothing is imported before a command is chosen, so that ``pading --help`` answers at
once.
"""

import importlib
import sys

from pading.errors import exit_on_input_error

COMMANDS = {
    "new": "make a project of photographs and annotations",
    "train": "train or evaluate a model, or a whole project",
    "predict": "predict on images of your own",
    "export": "write a model for ONNX runtimes or compiled",
    "quantize": "prepare a trained model for 8-bit inference",
    "evaluate": "score stored predictions",
    "app": "look at a trained model in the browser",
    "report": "show what a run found, as a page that opens anywhere",
    "convert": "convert a checkpoint of stage 1 for stage 2",
    "add-classes": "add classes to a trained model by their names",
    "vectors": "make class vectors out of class names",
    "prepare": "prepare a published data set",
    "check-data": "find what is wrong in data sets",
    "store": "store what stage 2 learns from",
    "tune": "choose stage 2's settings by classes that are pretended unseen",
    "bench": "train and score systems, folds and seeds: a paper's table",
    "rename-weights": "rename weights between the published code's names and ours",
}
"""Name of each command -> what it does."""

_EXAMPLES = """\
examples:
  pading new home --images photographs --annotations train.json --unseen cup
  pading train home
  pading prepare coco_panoptic
  pading check-data --files home.yaml
  pading train panoptic/PADing MODEL.WEIGHTS converted.pth
  pading predict panoptic/PADing --input photographs --output predictions \\
      MODEL.WEIGHTS model_final.pth

pading COMMAND --help explains a command."""


def run(name: str) -> None:
    """Run a command with the arguments of this process; exit with status 2 on bad input."""
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    exit_on_input_error(module.main)


def pading() -> None:
    """The console command ``pading NAME ...``."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help"):
        print(overview())
    elif name == "--version":
        from pading import __version__

        print(f"pading {__version__}")
    elif name in COMMANDS:
        sys.argv[:2] = [f"pading {name}"]
        run(name)
    else:
        print(f"error: there is no command {name!r}{_nearest(name)}", file=sys.stderr)
        sys.exit(2)


def overview() -> str:
    """What ``pading --help`` prints."""
    width = max(map(len, COMMANDS))
    lines = [f"  {command:{width}}  {what}" for command, what in COMMANDS.items()]
    usage = ["usage: pading COMMAND ...", "       pading --version", "", "commands:"]
    return "\n".join([*usage, *lines, "", _EXAMPLES])


def _nearest(name: str) -> str:
    """Which command may have been meant."""
    from difflib import get_close_matches  # takes longer to import than all else here

    near = get_close_matches(name, COMMANDS, n=1)
    return f"; did you mean {near[0]!r}?" if near else "; see pading --help"
