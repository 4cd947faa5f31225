"""Image lists: text files that name the images of a data set, as VOC's ImageSets do.

With a class beside every image they are the pairs of training and test by folds.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from pading.data.entry_files import OnError, stem_of
from pading.data.spec import DatasetSpec
from pading.errors import InputError
from pading.vocabulary.splits import ClassSplit


def read_image_list(path: str | Path) -> tuple[str, ...]:
    """The stems that a list names, one a line, in its order; empty lines are left out.

    Raises:
        InputError: no such file or no text; a line of several words; a stem twice; no stem.
    """
    stems: dict[str, int] = {}
    for number, stem in enumerate(_lines(path, "of one image a line"), 1):
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


def read_pairs(spec: DatasetSpec, split: ClassSplit) -> list[tuple[str, int]]:
    """What a file of pairs asks, in its order: stems and contiguous labels.

    Args:
        spec: with ``pairs``.
        split: its classes.

    Raises:
        InputError: no such file or no pair; a line that is none; a class outside the split, or an
            unseen one in a seen-only data set.
    """
    pairs = []
    for number, line in enumerate(_lines(spec.pairs, "of one image and class a line"), 1):
        if not line:
            continue
        where = f"{spec.pairs}: line {number}"
        stem, _, class_id = line.rpartition("__")
        if not stem or not class_id.isdecimal():
            raise InputError(
                f"{where}, {line!r:.80}: a pair is an image and the id of a class, such as "
                "2007_000032__01; write all lines so"
            )
        label = split.contiguous_id.get(int(class_id))
        if label is None:
            raise InputError(
                f"{where}: the class {int(class_id)} is not in the class split {split.name!r}; "
                "remove the line, or name the split that the pairs are of",
                "outside the split",
            )
        if spec.seen_only and split.classes[label].unseen:
            raise InputError(
                f"{where}: {split.classes[label].name!r} is an unseen class of {split.name!r}, and "
                "may not be asked for in training",
                "outside the split",
            )
        pairs.append((stem, label))
    if not pairs:
        raise InputError(f"{spec.pairs}: names no image; write one pair a line", "empty")
    return pairs


def named_maps(
    source: str, stems: Iterable[str], folder: str, maps: Sequence[str], on_error: OnError
) -> list[str]:
    """The label maps of the images that a file names, in its order.

    Args:
        source: the file.
        stems: what it names.
        folder: of the label maps.
        maps: names of those that there are, relative to it.
        on_error: gets an error for every image without a label map.
    """
    by_stem = {stem_of(name): name for name in maps}
    found = []
    for stem in stems:
        if stem in by_stem:
            found.append(by_stem[stem])
        else:
            on_error(
                InputError(
                    f"{source}: names the image {stem}, but there is no label map {stem}.png in "
                    f"{folder}; complete that folder, or remove the line",
                    "missing",
                )
            )
    return found


def _lines(path: str | Path, what: str) -> list[str]:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: cannot read this image list ({error}); name a text file {what}", "missing"
        ) from error
    return [line.strip() for line in text.splitlines()]
