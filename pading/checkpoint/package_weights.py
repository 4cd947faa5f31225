"""Weights that lie in an installed package: ``package://NAME`` in the place of a file's path."""

import importlib.util
from pathlib import Path
from typing import Any

from detectron2.utils.file_io import PathManager
from iopath.common.file_io import PathHandler

from pading.errors import InputError

PREFIX = "package://"
_ENDINGS = (".pth", ".pt", ".bin", ".safetensors")


def package_weights(name: str) -> Path:
    """The file of weights in an installed package, of which nothing is run.

    Args:
        name: of the package; where it holds several files of weights, with the path of one in it,
            after a slash.

    Raises:
        InputError: the package is not installed, or it holds no such file, or several.
    """
    package, _, inside = name.partition("/")
    module = package.replace("-", "_")
    found = importlib.util.find_spec(module) if module.isidentifier() else None
    if found is None or not found.submodule_search_locations:
        raise InputError(
            f"{PREFIX}{name}: the package {package} is not installed; run: pip install {package}"
        )
    [folder, *_] = map(Path, found.submodule_search_locations)
    if inside:
        files = [folder / inside] if (folder / inside).is_file() else []
    else:
        files = sorted(path for path in folder.rglob("*") if path.suffix in _ENDINGS)
    if len(files) == 1:
        return files[0]
    there = ", ".join(str(path.relative_to(folder)) for path in files[:5])
    raise InputError(
        f"{PREFIX}{name}: the package holds "
        + (f"{there}; name one, behind a slash" if files else "no such file of weights")
    )


class PackageHandler(PathHandler):
    """Makes Detectron2's paths know :data:`PREFIX`."""

    def _get_supported_prefixes(self) -> list[str]:
        return [PREFIX]

    def _get_local_path(self, path: str, force: bool = False, **kwargs: Any) -> str:
        return str(package_weights(path.removeprefix(PREFIX)))


PathManager.register_handler(PackageHandler())
