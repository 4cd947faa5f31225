"""Ground truth in MATLAB files (up to version 7.2), with errors that name them."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from pading.errors import InputError

_BROKEN = (OSError, ValueError, TypeError, KeyError, IndexError, NotImplementedError, zlib.error)


def read_labels_of_mat(path: str | Path, *keys: str) -> np.ndarray:
    """A label map out of a file, H x W uint8 or uint16.

    Args:
        path: the file.
        keys: of the variable and, where it is a structure, of the field in it.

    Raises:
        InputError: missing or damaged, or without such a map.
    """
    try:
        found: Any = loadmat(path, variable_names=keys[0])
        for key in keys:
            found = found[key]
            # A structure is an array of one element.
            found = found[0, 0] if found.dtype.names or found.dtype == object else found
    except (*_BROKEN, MatReadError) as error:
        raise InputError(
            f"{path}: cannot read {'.'.join(keys)} ({error!r:.80}); fetch this file again",
            "missing" if isinstance(error, FileNotFoundError) else "corrupt",
        ) from error
    if isinstance(found, np.ndarray) and found.dtype.kind == "f" and (found % 1 == 0).all():
        found = found.astype(np.int64)  # MATLAB's own numbers are of this kind
    if not isinstance(found, np.ndarray) or found.ndim != 2 or found.dtype.kind not in "ui":
        raise InputError(f"{path}: {'.'.join(keys)} is no label map; fetch this file again")
    if found.size and not 0 <= found.min() <= found.max() <= np.iinfo(np.uint16).max:
        raise InputError(f"{path}: {'.'.join(keys)} has values beyond 16 bits; fetch it again")
    return found if found.dtype == np.uint8 else found.astype(np.uint16)
