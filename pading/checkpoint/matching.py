"""State dicts load whole or not at all, under published names or ours."""

import difflib
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from pading.checkpoint.published_names import THEIRS, NameTable, usable
from pading.errors import InputError

_logger = logging.getLogger(__name__)
# A report of many thousand names helps nobody.
_MOST_NAMED = 40
_COUNTER = "num_batches_tracked"  # of batch norms: not every file has it, and PyTorch needs none


class LoadsWhole(nn.Module):
    """A model whose ``load_state_dict`` takes published names, and only what fits as a whole.

    So a plain Detectron2 ``DetectionCheckpointer`` cannot load a part of a file in silence.
    """

    published_names: ClassVar[NameTable] = NameTable()
    """Names of published checkpoints, and ours."""
    initialised_afresh: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """Groups of names (by how they begin) that a state dict may lack, each group as a whole."""
    beside_backbone: ClassVar[tuple[str, ...]] = ("head.",)
    """How names begin that a trained model has and a file of backbone weights has not."""
    made_by_conversion: ClassVar[tuple[str, ...]] = ()
    """How names begin that a conversion adds: missing, they are explained by what else differs."""

    def shape_hint(self, name: str, theirs: tuple[int, ...], ours: tuple[int, ...]) -> str:
        """What may be the matter with a tensor of another shape; "" where nothing is known.

        Args:
            name: ours.
            theirs, ours: its shape in the file and in the model.
        """
        return ""

    def adapted(self, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """A file's weights, changed where this model starts from other shapes; by default not."""
        return weights

    def described(self) -> dict[str, Any]:
        """What a checkpoint says of the model beside its weights."""
        return {}

    def check_checkpoint(self, checkpoint: Mapping[str, Any]) -> list[str]:
        """What a checkpoint whose tensors fit gives cause to warn of.

        Args:
            checkpoint: of :func:`~pading.checkpoint.weights.read_weights`, under our names.

        Raises:
            InputError: it cannot be used in spite of fitting.
        """
        return []

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """As ``nn.Module.load_state_dict``, with published names or ours.

        With ``strict=False`` a state dict may lack what the model starts afresh, or hold a
        backbone alone; nothing else may be missing, unknown or of another shape.

        Raises:
            InputError: it does not fit, and ``strict`` is False; the message names every tensor.
            RuntimeError: it does not fit, and ``strict`` is True.
        """
        renamed = self.published_names.to_ours(state_dict)
        weights = usable(renamed)
        backbone_only = not strict and is_backbone_alone(weights, type(self))
        if backbone_only:
            wanted = [name for name in self.state_dict() if name.startswith("backbone.")]
            missing = [name for name in wanted if name not in weights]
            if missing:
                raise InputError(_report(self, missing, {}, [], "or there in another shape"))
        elif not strict:
            check_fit(self, state_dict, lost="or there in another shape")
        found = super().load_state_dict(weights, strict, assign)
        if not strict:
            unused = [name.removeprefix(THEIRS) for name in renamed if name not in weights]
            if unused:
                _logger.info("not used here: %s", _first(unused))
            started = {name.split(".")[0]: None for name in found.missing_keys}
            if started:
                _logger.info(
                    "not in these weights, so they stay as the model was built: %s",
                    ", ".join(started),
                )
            found.missing_keys.clear()  # said in one line
        return found


def is_backbone_alone(weights: Iterable[str], model: type[LoadsWhole]) -> bool:
    """Whether these are names of a backbone (ImageNet weights) rather than of a trained model."""
    return not any(
        model.published_names.ours(name).startswith(model.beside_backbone) for name in weights
    )


def check_fit(model: LoadsWhole, weights: Mapping[str, Tensor], lost: str = "") -> None:
    """Refuse a state dict that does not fit a model, before any of it is loaded.

    Args:
        model: what it must fit.
        weights: under published names or ours.
        lost: what else may be the matter with a tensor that is missing.

    Raises:
        InputError: names every tensor that is missing, unknown or of another shape.
    """
    table = model.published_names
    ours = usable(table.to_ours(weights))
    names_in_file = table.to_ours({name: name for name in weights})
    state = model.state_dict()
    afresh: list[str] = []
    for group in model.initialised_afresh:
        if not any(name.startswith(tuple(group)) for name in ours):
            afresh += group
    afresh_names = tuple(afresh)
    missing = [
        name
        for name in state
        if name not in ours and not name.startswith(afresh_names) and not name.endswith(_COUNTER)
    ]
    unknown = {
        names_in_file[name]: _guess(name, value, missing, state)
        for name, value in ours.items()
        if name not in state
    }
    other = [
        (names_in_file[name], name, tuple(value.shape), tuple(state[name].shape))
        for name, value in ours.items()
        if name in state and value.shape != state[name].shape
    ]
    if missing or unknown or other:
        raise InputError(_report(model, missing, unknown, other, lost))


def _guess(name: str, value: Tensor, missing: Sequence[str], state: Mapping[str, Tensor]) -> str:
    """Which missing tensor this one may be: of the same shape, or of a similar name."""
    same_shape = [m for m in missing[:_MOST_NAMED] if state[m].shape == value.shape]
    close = difflib.get_close_matches(name, same_shape, n=1, cutoff=0.0)
    if close:
        return f"renamed from {close[0]}? The shape is the same"
    close = difflib.get_close_matches(name, missing[:_MOST_NAMED], n=1, cutoff=0.8)
    return f"renamed from {close[0]}?" if close else ""


def _report(
    model: LoadsWhole,
    missing: Sequence[str],
    unknown: Mapping[str, str],
    other: Sequence[tuple[str, str, tuple, tuple]],
    lost: str = "",
) -> str:
    """What does not fit, by group and name, and what would help.

    Args:
        model: knows the published names, and what a shape hints at.
        missing: our names.
        unknown: names in the file, and what each may be.
        other: name in the file, our name, shape in the file, shape in the model.
        lost: see :func:`check_fit`.
    """
    groups = {
        "missing from the file" + f", {lost}" * bool(lost): [_both(model, n) for n in missing],
        "unknown to the model": [
            name + f" ({guess})" * bool(guess) for name, guess in unknown.items()
        ],
        "of another shape": [
            f"{name}: {theirs} in the file, {ours} in the model" for name, _, theirs, ours in other
        ],
    }
    lines = ["these weights do not fit the model:"]
    for title, names in groups.items():
        if names:
            lines.append(f"  {len(names)} {title}:")
            lines += [f"    {name}" for name in sorted(names)[:_MOST_NAMED]]
            if len(names) > _MOST_NAMED:
                lines.append(f"    ... and {len(names) - _MOST_NAMED} more")
    hints = {
        model.shape_hint(name, theirs, ours) if len(theirs) == len(ours) else "": None
        for _, name, theirs, ours in other
    }
    converted = model.made_by_conversion
    if len(hints) == 1 and not unknown and all(name.startswith(converted) for name in missing):
        [hint] = hints
        if hint:  # one thing is the matter, and the hint says it
            return hint
    lines += [hint for hint in hints if hint]
    lines.append("use the configuration that the weights were trained with")
    return "\n".join(lines)


def _both(model: LoadsWhole, name: str) -> str:
    published = model.published_names.published(name)
    return name if published == name else f"{name} (published: {published})"


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" * (len(names) > _MOST_NAMED)
    return ", ".join(names[:_MOST_NAMED]) + more
