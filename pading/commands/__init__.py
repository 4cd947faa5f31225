"""One module per command: ``pading NAME`` and ``tools/*.py`` both run it.

Every module has ``main()``, which reads the command line. Nothing is imported before a command is
chosen, so that ``pading --help`` answers at once.
"""

import importlib
import sys

from pading.errors import exit_on_input_error

COMMANDS = {
    "train": "train or evaluate a model",
    "predict": "predict on images of your own",
    "evaluate": "score stored predictions",
    "convert": "convert a checkpoint of stage 1 for stage 2",
    "add-classes": "add classes to a trained model by their names",
    "vectors": "make class vectors out of class names",
    "check-data": "find what is wrong in data sets",
    "store": "store what stage 2 learns from",
    "rename-weights": "rename weights between the published code's names and ours",
}
"""Name of each command -> what it does."""


def run(name: str) -> None:
    """Run a command with the arguments of this process; exit with status 2 on bad input."""
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    exit_on_input_error(module.main)


def pading() -> None:
    """The console command ``pading NAME ...``."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help"):
        width = max(map(len, COMMANDS))
        lines = [f"  {command:{width}}  {what}" for command, what in COMMANDS.items()]
        print("\n".join(["usage: pading COMMAND ...", "", *lines, "", "pading COMMAND --help"]))
        return
    if name not in COMMANDS:
        print(f"error: there is no command {name!r}; see pading --help", file=sys.stderr)
        sys.exit(2)
    sys.argv[:2] = [f"pading {name}"]
    run(name)
