"""The one error type for what a user can mend."""

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
