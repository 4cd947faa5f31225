"""The one error type for what a user can mend."""


class InputError(ValueError):
    """Bad user input: a file, key or value that cannot work.

    The message names the culprit and says what to do. The entry points in ``tools/`` print it
    without a traceback and exit with status 2; everything else that is raised is a bug of ours.
    """
