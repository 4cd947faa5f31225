"""What happens when a control of the page is used; knows nothing of how the page looks."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from pading.apps.looks import Look
from pading.apps.model_pool import MOST_NAMES, ModelPool, Vocabulary, checked_name
from pading.apps.uploads import read_upload
from pading.apps.viewer import viewer_value
from pading.errors import InputError

GONE = "choose a photograph first; those of an earlier visit are not kept"


@dataclass(frozen=True)
class Session:
    """What is kept of a visitor: a photograph, and the results of one model or two.

    A new one takes the place of the old when everything has succeeded, so nothing is half-done.
    """

    image: np.ndarray | None = None
    name: str = ""
    titles: tuple[str, ...] = ()
    vocabulary: Vocabulary = ((), ())
    looks: tuple[Look, ...] = ()
    seconds: float = field(default=0.0, compare=False)

    def __deepcopy__(self, memo: dict) -> "Session":
        return self  # nothing in it changes


def looked(session: Session, pool: ModelPool) -> Session:
    """The session with results of its photograph, models and classes.

    Raises:
        InputError: what the models refuse.
    """
    models = [pool.get(title, session.vocabulary) for title in session.titles]
    if session.image is None:
        return session
    start = time.perf_counter()
    looks = tuple(Look(model, session.image, session.name) for model in models)
    return replace(session, looks=looks, seconds=time.perf_counter() - start)


def opened(session: Session, path: str, pool: ModelPool) -> Session:
    """The session with another photograph."""
    name = Path(path).name
    image = read_upload(path, name)
    return looked(replace(session, image=image, name=Path(name).stem[:60]), pool)


def with_class(session: Session, text: str, pool: ModelPool) -> Session:
    """The session with a class more.

    Raises:
        InputError: a name that no class can have, or one that is there.
    """
    name = checked_name(text)
    labels, added = session.vocabulary
    if name in added:
        raise InputError(f"{name!r} has been added already")
    if len(added) >= MOST_NAMES:
        raise InputError(f"{len(added)} classes have been added; remove one first")
    return looked(replace(session, vocabulary=(labels, (*added, name))), pool)


def with_added(session: Session, names: Sequence[str], pool: ModelPool) -> Session:
    """The session with those of the added classes that are named."""
    labels, added = session.vocabulary
    kept = tuple(name for name in added if name in names)
    return looked(replace(session, vocabulary=(labels, kept)), pool)


def view(session: Session, bias: float, with_image: bool) -> str:
    """What the viewer shows of a session, with the dial at ``bias``.

    Raises:
        InputError: there is no photograph.
    """
    if not session.looks:
        raise InputError(GONE)
    bias = float(np.clip(bias, -1, 1))
    sides = [
        (title, look.at(bias)) for title, look in zip(session.titles, session.looks, strict=True)
    ]
    return viewer_value(sides, session.vocabulary[1], with_image)


def summary(session: Session) -> str:
    """A sentence on what was done."""
    labels, added = session.vocabulary
    classes = f"{len(labels)} labels" if labels else "its own classes"
    classes += f" and {len(added)} added" if added else ""
    if session.image is None:
        return f"Ready, with {classes}: choose a photograph."
    height, width = session.image.shape[:2]
    return f"{session.name}, {width} x {height} pixels, {classes}: {session.seconds:.1f} s"
