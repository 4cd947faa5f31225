"""State dicts load whole or not at all, under published names or ours."""

import difflib
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from pading.checkpoint.published_names import THEIRS, our_name, our_names, published_name
from pading.errors import InputError

_logger = logging.getLogger(__name__)
_HEAD = "sem_seg_head."
_CLASS_HEADS = (_HEAD + "predictor.class_embed.", "classifier.")
_CONVERTER = "tools/preprocess_pretrained_weight.py"
# A report of many thousand names helps nobody.
_MOST_NAMED = 40


class LoadsWhole(nn.Module):
    """A model whose ``load_state_dict`` takes published names, and only what fits as a whole.

    So a plain Detectron2 ``DetectionCheckpointer`` cannot load a part of a file in silence.
    """

    initialised_afresh: tuple[tuple[str, ...], ...] = ()
    """Groups of names (by how they begin) that a state dict may lack, each group as a whole."""

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
        renamed = our_names(state_dict)
        weights = usable(renamed)
        backbone_only = not strict and is_backbone_alone(weights)
        if backbone_only:
            wanted = [name for name in self.state_dict() if name.startswith("backbone.")]
            missing = [name for name in wanted if name not in weights]
            if missing:
                raise InputError(report(missing, {}, [], "or there in another shape"))
        elif not strict:
            check_fit(self, state_dict, lost="or there in another shape")
        found = super().load_state_dict(weights, strict, assign)
        if not strict:
            unused = [name.removeprefix(THEIRS) for name in renamed if name not in weights]
            if unused:
                _logger.info("not used, as the configuration says it here: %s", ", ".join(unused))
            started = {name.split(".")[0]: None for name in found.missing_keys}
            if started:
                _logger.info(
                    "not in these weights, so they stay as the model was built: %s",
                    ", ".join(started),
                )
            found.missing_keys.clear()  # said in one line
        return found


def is_backbone_alone(weights: Iterable[str]) -> bool:
    """Whether these are names of a backbone (ImageNet weights) rather than of a segmenter."""
    return not any(our_name(name).startswith(_HEAD) for name in weights)


def usable(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Without what only the published code has a use for."""
    return {name: value for name, value in weights.items() if not name.startswith(THEIRS)}


def check_fit(model: nn.Module, weights: Mapping[str, Tensor], lost: str = "") -> None:
    """Refuse a state dict that does not fit a model, before any of it is loaded.

    Args:
        model: may have ``initialised_afresh``, as :class:`LoadsWhole`.
        weights: under published names or ours.
        lost: what else may be the matter with a tensor that is missing.

    Raises:
        InputError: names every tensor that is missing, unknown or of another shape.
    """
    ours = usable(our_names(weights))
    names_in_file = our_names({name: name for name in weights})
    state = model.state_dict()
    afresh: list[str] = []
    for group in getattr(model, "initialised_afresh", ()):
        if not any(name.startswith(tuple(group)) for name in ours):
            afresh += group
    missing = [n for n in state if n not in ours and not n.startswith(tuple(afresh))]
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
        raise InputError(report(missing, unknown, other, lost))


def _guess(name: str, value: Tensor, missing: Sequence[str], state: Mapping[str, Tensor]) -> str:
    """Which missing tensor this one may be: of the same shape, or of a similar name."""
    same_shape = [m for m in missing[:_MOST_NAMED] if state[m].shape == value.shape]
    close = difflib.get_close_matches(name, same_shape, n=1, cutoff=0.0)
    if close:
        return f"renamed from {close[0]}? The shape is the same"
    close = difflib.get_close_matches(name, missing[:_MOST_NAMED], n=1, cutoff=0.8)
    return f"renamed from {close[0]}?" if close else ""


def report(
    missing: Sequence[str],
    unknown: Mapping[str, str],
    other: Sequence[tuple[str, str, tuple, tuple]],
    lost: str = "",
) -> str:
    """What does not fit, by group and name, and what would help.

    Args:
        missing: our names.
        unknown: names in the file, and what each may be.
        other: name in the file, our name, shape in the file, shape in the model.
        lost: see :func:`check_fit`.
    """
    groups = {
        "missing from the file" + f", {lost}" * bool(lost): [_both_names(n) for n in missing],
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
    hints = {_hint(name, theirs, ours): None for _, name, theirs, ours in other}
    if len(hints) == 1 and not unknown and all(name.startswith("classifier.") for name in missing):
        [hint] = hints
        if hint:  # one thing is the matter, and the hint says it
            return hint
    lines += [hint for hint in hints if hint]
    lines.append("use the configuration that the weights were trained with")
    return "\n".join(lines)


def _both_names(name: str) -> str:
    published = published_name(name)
    return name if published == name else f"{name} (published: {published})"


def _hint(name: str, theirs: tuple, ours: tuple) -> str:
    if len(theirs) != len(ours):
        return ""
    if name.startswith(_CLASS_HEADS) and theirs[0] != ours[0]:
        return (
            f"the class head has {theirs[0]} outputs in the file, but {ours[0]} in this model "
            f"(classes and no-object): {_CONVERTER} grows the head of a stage-1 checkpoint from "
            "the seen classes to all classes of the split. If it is converted already, it belongs "
            "to another split or stage (MODEL.SEGMENTER.CLASSES)"
        )
    if name == "class_vectors":
        return (
            f"it was trained with class vectors of shape {theirs}, but MODEL.CLASS_VECTORS gives "
            f"{ours}: use the vectors that it was trained with"
        )
    if name == "semantic_projection.weight":
        return (
            f"it was trained with class vectors of {theirs[1]} numbers, but MODEL.CLASS_VECTORS "
            f"gives {ours[1]}: use the vectors that it was trained with"
        )
    return ""
