"""Locks of files, which end with the process that has them, however it ends."""

import fcntl
from typing import IO


def has_lock(file: IO, wait: bool = False) -> bool:
    """Take the lock of an open file, until it is closed; whether no other process has it.

    Args:
        file: open for writing.
        wait: until it can be had.

    Raises:
        OSError: the file system has no locks.
    """
    try:
        # Not flock: workers would inherit it and hold it when this process is killed.
        fcntl.lockf(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except (BlockingIOError, PermissionError):
        return False
    return True
