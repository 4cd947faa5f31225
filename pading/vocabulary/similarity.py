"""What class vectors say of the classes before any training: who is near whom."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pading.vocabulary.class_vectors import ClassVectors

CONFUSED = 0.85
"""Cosine from which two classes are hard to tell apart."""
_NEAREST = 3
_FAR = 0.1
"""Share of the seen classes that are as lonely as an unseen one that counts as far."""


@dataclass(frozen=True)
class Similarities:
    """Who is near whom.

    Args:
        names: of the classes.
        cosines: (K, K).
        nearest: class -> its nearest others and their cosines, the nearest first.
        confused: pairs that training will hardly tell apart, the closest first.
        far: unseen classes that are far from every seen one, and the cosine of the nearest.
    """

    names: tuple[str, ...]
    cosines: np.ndarray
    nearest: dict[str, list[tuple[str, float]]]
    confused: list[tuple[str, str, float]]
    far: list[tuple[str, float]]

    def report(self) -> str:
        """For people to read."""
        width = max(map(len, self.names))
        lines = ["nearest classes (cosine)"]
        for name, others in self.nearest.items():
            told = ", ".join(f"{other} {cosine:.2f}" for other, cosine in others)
            lines.append(f"  {name:{width}}  {told}")
        lines.append("will be confused" if self.confused else "no two classes nearly coincide")
        lines += [f"  {one} - {other} {cosine:.2f}" for one, other, cosine in self.confused]
        if self.far:
            lines.append("unseen, and far from every seen class (hard to infer)")
            lines += [f"  {name} {cosine:.2f}" for name, cosine in self.far]
        return "\n".join(lines)


def similarities(vectors: ClassVectors, unseen: Sequence[str] = ()) -> Similarities:
    """Compare all classes with each other.

    Args:
        vectors: of the classes.
        unseen: names of the unseen ones, of those.
    """
    names = vectors.names
    unit = vectors.vectors / np.linalg.norm(vectors.vectors, axis=1, keepdims=True)
    cosines = unit @ unit.T
    others = cosines - 4 * np.eye(len(names), dtype=cosines.dtype)
    order = np.argsort(-others, axis=1, kind="stable")[:, : min(_NEAREST, len(names) - 1)]
    nearest = {
        name: [(names[j], float(cosines[i, j])) for j in order[i]] for i, name in enumerate(names)
    }
    rows, columns = np.triu_indices(len(names), 1)
    pairs = sorted(zip(rows, columns, strict=True), key=lambda pair: -cosines[pair])
    confused = [
        (names[i], names[j], float(cosines[i, j])) for i, j in pairs if cosines[i, j] >= CONFUSED
    ]
    seen = [i for i, name in enumerate(names) if name not in unseen]
    far = []
    if len(seen) > 1:
        usual = others[np.ix_(seen, seen)].max(axis=1)
        limit = np.quantile(usual, _FAR)
        closest = {name: float(cosines[names.index(name), seen].max()) for name in unseen}
        far = [(name, cosine) for name, cosine in closest.items() if cosine < limit]
    return Similarities(names, cosines, nearest, confused, sorted(far, key=lambda pair: pair[1]))
