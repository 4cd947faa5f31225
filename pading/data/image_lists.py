"""Image lists: text files that name the images of a data set, as VOC's ImageSets do."""

from collections.abc import Sequence
from pathlib import Path

from pading.data.entry_files import OnError, stem_of
from pading.data.spec import DatasetSpec
from pading.errors import InputError


def read_image_list(path: str | Path) -> tuple[str, ...]:
    """The stems that a list names, one a line, in its order; empty lines are left out.

    Raises:
        InputError: no such file or no text; a line of several words; a stem twice; no stem.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: cannot read this image list ({error}); name a text file of one image a line",
            "missing",
        ) from error
    stems: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        stem = line.strip()
        if not stem:
            continue
        if len(stem.split()) > 1:
            raise InputError(
                f"{path}: line {number}, {stem!r:.80}: an image list has one name a line, without "
                "extension; leave the rest out"
            )
        if stem in stems:
            raise InputError(
                f"{path}: line {number}: the image {stem} is on line {stems[stem]} already; "
                "remove one of the two"
            )
        stems[stem] = number
    if not stems:
        raise InputError(f"{path}: names no image; write one name a line", "empty")
    return tuple(stems)


def listed_maps(spec: DatasetSpec, maps: Sequence[str], on_error: OnError) -> list[str]:
    """The label maps of the images that the data set's list names, in the list's order.

    Args:
        spec: with ``list`` and ``labels``.
        maps: file names of the label maps that there are.
        on_error: gets an error for every listed image without a label map.

    Raises:
        InputError: what :func:`read_image_list` refuses.
    """
    by_stem = {stem_of(name): name for name in maps}
    found = []
    for stem in read_image_list(spec.list):
        if stem in by_stem:
            found.append(by_stem[stem])
        else:
            on_error(
                InputError(
                    f"{spec.list}: names the image {stem}, but there is no label map {stem}.png in "
                    f"{spec.labels}; complete that folder, or remove the line",
                    "missing",
                )
            )
    return found
