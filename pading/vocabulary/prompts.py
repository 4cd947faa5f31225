"""Prompts: the sentences that class names are put into before a text encoder reads them.

A set is declared once, as a JSON file in ``prompts/``: ``{"about", "prompts", "cleaned",
"synonyms"}``. A prompt holds ``{}`` once, where the name goes, and may hold ``{article}``, which
becomes "a" or "an".
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pading.errors import InputError
from pading.files import field, read_json

_SHIPPED = Path(__file__).parent / "prompts"
# What COCO adds to a name to say how the class was delimited, not what it is.
_QUALIFIERS = ("merged", "other", "stuff")


@dataclass(frozen=True)
class PromptSet:
    """What becomes of a class name before it is encoded.

    Args:
        prompts: each with ``{}`` once.
        cleaned: whether names go in as :func:`prompt_text`, or as they are.
        synonyms: whether "cup, mug" is two names, whose vectors are averaged.
        name: of a set that ships with pading, or empty.

    Raises:
        InputError: no prompt, or one without ``{}``.
    """

    prompts: tuple[str, ...]
    cleaned: bool = True
    synonyms: bool = False
    name: str = ""

    def __post_init__(self) -> None:
        if not self.prompts:
            raise InputError("class vectors need at least one prompt")
        for prompt in self.prompts:
            if prompt.count("{}") != 1:
                raise InputError(
                    f'the prompt {prompt!r} must hold "{{}}" once, where the class name goes'
                )

    def texts(self, class_name: str) -> list[str]:
        """The sentences of a class: every prompt, for every synonym.

        Raises:
            InputError: nothing is left of the name.
        """
        parts = class_name.split(",") if self.synonyms else [class_name]
        names = [part.strip() for part in parts if part.strip()]
        if not names:
            raise InputError(f"the class name {class_name!r} is empty")
        if self.cleaned:
            names = [prompt_text(name) for name in names]
        return [_filled(prompt, name) for name in names for prompt in self.prompts]

    def record(self) -> str:
        """What :meth:`parse` reads."""
        told = [] if self.cleaned else ["names as they are"]
        told += ["synonyms averaged"] if self.synonyms else []
        shipped = bool(self.name) and self.name != DEFAULT
        last = f"prompt set: {self.name}" if shipped else f"prompts: {' | '.join(self.prompts)}"
        return "; ".join([*told, last])

    @classmethod
    def parse(cls, record: str) -> "PromptSet":
        """The set that a file of class vectors was made with.

        Raises:
            InputError: it says something else.
        """
        told, listed, text = f"; {record}".partition("; prompts: ")
        parts = told.split("; ")
        named = [p.removeprefix("prompt set: ") for p in parts if p.startswith("prompt set: ")]
        if not (listed or named):
            raise InputError(f"{record!r} names no prompts")
        return cls(
            prompt_set(named[0]).prompts if named else tuple(text.split(" | ")),
            "names as they are" not in parts,
            "synonyms averaged" in parts,
            named[0] if named else "",
        )


DEFAULT = "ours"
"""The set that is taken where none is named."""


def prompt_sets() -> tuple[str, ...]:
    """Names of the sets that come with pading."""
    return tuple(sorted(path.stem for path in _SHIPPED.glob("*.json")))


def prompt_set(name: str, synonyms: bool | None = None) -> PromptSet:
    """A set that ships with pading.

    Args:
        name: one of :func:`prompt_sets`.
        synonyms: whether names are split at commas; by default as the set says.

    Raises:
        InputError: there is no such set.
    """
    if name not in prompt_sets():
        raise InputError(
            f"there is no prompt set {name!r}; take one of {', '.join(prompt_sets())}, "
            "or give prompts of your own"
        )
    path = str(_SHIPPED / f"{name}.json")
    content = read_json(path)
    found = PromptSet(
        tuple(field(content, "prompts", list, path)),
        field(content, "cleaned", bool, path),
        field(content, "synonyms", bool, path),
        name,
    )
    return found if synonyms is None else replace(found, synonyms=synonyms)


def as_prompt_set(prompts: "PromptSet | Sequence[str]") -> PromptSet:
    """A set, also of bare prompts."""
    return prompts if isinstance(prompts, PromptSet) else PromptSet(tuple(prompts))


def prompt_text(class_name: str) -> str:
    """A class's name as a prompt has it: "wall-other-merged" is "wall", "floor-wood" "floor wood".

    Raises:
        InputError: nothing is left of the name.
    """
    words = class_name.replace("_", "-").replace("-", " ").split()
    while len(words) > 1 and words[-1] in _QUALIFIERS:
        words.pop()
    if not words:
        raise InputError(f"the class name {class_name!r} is empty")
    return " ".join(words)


def _filled(prompt: str, name: str) -> str:
    article = "an" if name[0].lower() in "aeiou" else "a"
    return prompt.replace("{article}", article).replace("{}", name)
