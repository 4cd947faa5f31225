"""The configuration as a command's first argument: ``pading train panoptic/PADing ...``."""

import argparse
import re
import sys
from collections.abc import Sequence

# What a KEY of KEY VALUE pairs looks like: MODEL.WEIGHTS, OUTPUT_DIR, SEED.
_KEY = re.compile(r"[A-Z][A-Z0-9_]*(\.[A-Z0-9_]+)*")
_OPTION = "--config-file"


def with_configuration(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None
) -> list[str]:
    """Arguments whose first one, if it is a configuration, has become that of ``--config-file``.

    Only the first is looked at: behind options, it could not be told from their values.

    Args:
        parser: says that the configuration is given twice, and exits with status 2.
        arguments: of the command; None: those of this process.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0].startswith("-") or _KEY.fullmatch(given[0]):
        return given
    if any(argument.split("=")[0] == _OPTION for argument in given):
        parser.error(f"the configuration is given twice: {given[0]} and {_OPTION}")
    return [_OPTION, *given]
