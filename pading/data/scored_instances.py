"""The instance file of a panoptic data set, against the panoptic one."""

from collections.abc import Iterable
from dataclasses import replace

from pading.data.entry_files import Entry, OnError, raise_error
from pading.data.ground_truth import load_instances
from pading.data.spec import DatasetSpec
from pading.errors import InputError
from pading.vocabulary.splits import ClassSplit


def check_scored_instances(
    spec: DatasetSpec,
    split: ClassSplit,
    entries: Iterable[Entry] | None,
    on_error: OnError = raise_error,
) -> None:
    """Read the file that a panoptic data set's instances are scored against.

    Args:
        spec: its ``instances`` name the file.
        split: the classes.
        entries: the panoptic ones; None: they are not known, so that nothing is compared.
        on_error: gets what does not fit.

    Raises:
        InputError: what :func:`load_instances` refuses; the two files do not list the same images
            under the same ids.
    """
    instances = replace(spec, task="instance", annotations=spec.instances, seen_only=False)
    scored = {entry["image_id"]: entry for entry in load_instances(instances, split, on_error)}
    if entries is None:
        return
    own = {entry["image_id"]: entry for entry in entries}
    for image_id in [*own, *(i for i in scored if i not in own)]:
        if image_id in own and image_id in scored:
            keys = ("file_name", "height", "width")
            first, second = ([entry[image_id][key] for key in keys] for entry in (own, scored))
            if first != second:
                on_error(
                    InputError(
                        f"{spec.instances}: image {image_id} is {second[0]} of {second[1]} x "
                        f"{second[2]} (height x width), but {first[0]} of {first[1]} x {first[2]} "
                        f"in {spec.annotations}; give the two files the same ids"
                    )
                )
            continue
        lacking = spec.instances if image_id in own else spec.annotations
        other = spec.annotations if image_id in own else spec.instances
        on_error(
            InputError(
                f"{lacking}: has no image {image_id!r}, which {other} has; the instances of a "
                "panoptic data set are scored on its own images: list the same in both"
            )
        )
