"""The one error type for what a user can mend."""

import io
import sys
from collections.abc import Callable, Sequence
from typing import Literal

Kind = Literal["missing", "corrupt", "empty", "outside the split", "inconsistent"]


class InputError(ValueError):
    """Bad user input: a file, key or value that cannot work.

    The message names the culprit and says what to do. The entry points in ``tools/`` print it
    without a traceback and exit with status 2; everything else that is raised is a bug of ours.

    Args:
        message: what is shown.
        kind: what is wrong in a word; a check of a whole data set sorts what it finds by it.
    """

    def __init__(self, message: str, kind: Kind = "inconsistent") -> None:
        super().__init__(message)
        self.kind = kind


def exit_on_input_error(main: Callable[[], None]) -> None:
    """Run an entry point; print an InputError without a traceback and exit with status 2.

    A character that the terminal cannot show, as of a file's name in another encoding, is printed
    as an escape.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        main()
    except InputError as error:
        print(f"error: {_message(error)}", file=sys.stderr)
        sys.exit(2)


def _message(error: InputError) -> str:
    """What it says; PyTorch puts a traceback in front of what a data loader's worker has raised."""
    text = str(error)
    if text.startswith(f"Caught {InputError.__name__} in DataLoader worker"):
        return text.rpartition(f"{InputError.__module__}.{InputError.__name__}: ")[2].strip()
    return text


def first_few(names: Sequence[str], most: int = 5) -> str:
    """Names in a row, of many the first few."""
    more = f" and {len(names) - most} more" * (len(names) > most)
    return ", ".join(names[:most]) + more
