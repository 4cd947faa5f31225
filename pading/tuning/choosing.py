"""Which settings serve pretended classes best: all on one pretence, the best on the others."""

import itertools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from tqdm import tqdm

from pading.config import override, read_yaml
from pading.engine.loop import NonFiniteLossError
from pading.errors import InputError
from pading.files import read_json, write_json
from pading.models.pading.embedding_store import content_checksum
from pading.tuning.pretence import Pretence, scores_of, trained

logger = logging.getLogger(__name__)

Setting = Mapping[str, Any]
"""Configuration keys and values."""

Scores = Sequence[Sequence[float]]
"""Seen, unseen, harmonic mean in per cent, at each value of the dial that is tried."""

GRID: dict[str, tuple[Any, ...]] = {
    "MODEL.GENERATOR.NAME": ("mlp", "primitives"),
    "SOLVER.GENERATOR_LR": (0.002, 0.0005),
    "MODEL.ZERO_SHOT.MOMENT_CLASS_SHARE": (0.0, 1.0),
}
"""What is tried where nobody says what to try, beside the generator that has no rate: see
:func:`default_settings`."""
BIASES = (-0.2, -0.1, -0.05, 0.0, 0.05, 0.1, 0.2, 0.3, 0.5)
"""Values of the dial that are tried; see :func:`biases_of`."""
BIAS_KEY = "MODEL.INFERENCE.SEEN_BIAS"
_TUNABLE = ("MODEL.GENERATOR.", "MODEL.ZERO_SHOT.", "MODEL.CLASS_VECTORS", "SOLVER.")
_KEPT_SHARE = 4


@dataclass(frozen=True)
class Trial:
    """A setting with what it gave.

    Args:
        setting: keys and values.
        bias: of MODEL.INFERENCE.SEEN_BIAS, the best one.
        seen, unseen, harmonic: per cent, means over the pretences.
        pretences: how many.
    """

    setting: Setting
    bias: float
    seen: float
    unseen: float
    harmonic: float
    pretences: int


def read_grid(path: str | Path) -> dict[str, tuple[Any, ...]]:
    """A grid out of a YAML file: configuration keys, and the values to try of each.

    Raises:
        InputError: no such file, no list of values, or a key that stored embeddings hang on.
    """
    try:
        content = read_yaml(path)
    except OSError as error:
        raise InputError(f"{path}: cannot read this grid: {error.strerror}") from error
    if not isinstance(content, dict) or not content:
        raise InputError(f"{path}: expected configuration keys, each with a list of values")
    for key, values in content.items():
        if not isinstance(values, list) or not values:
            raise InputError(f"{path}: {key} is {values!r}; give a list of the values to try")
        if not str(key).startswith(_TUNABLE):
            raise InputError(
                f"{path}: {key} cannot be chosen on stored embeddings; keys that start with "
                f"{', '.join(_TUNABLE)} can"
            )
    return {key: tuple(values) for key, values in content.items()}


def settings(grid: Mapping[str, Sequence[Any]]) -> list[Setting]:
    """All combinations of a grid's values."""
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def default_settings() -> list[Setting]:
    """What is tried where nobody says what to try."""
    return [{"MODEL.GENERATOR.NAME": "ridge"}, *settings(GRID)]


def choose(
    cfg: CfgNode,
    candidates: Sequence[Setting],
    pretended: Sequence[Pretence],
    seed: int,
    known: Path,
    run: Callable[[CfgNode, Pretence, int], Any] = trained,
) -> list[Trial]:
    """The candidates, best first: those that came through to the end before all others.

    Args:
        cfg: of stage 2.
        candidates: to compare.
        pretended: all candidates learn the first; the best quarter, the others.
        seed: of every training.
        known: file of runs that are done, which are not repeated.
        run: trains.
    """
    cfgs = [configured(cfg, setting) for setting in candidates]
    done = read_json(known) if known.is_file() else {}
    found: dict[int, list[Scores]] = {place: [] for place in range(len(candidates))}
    kept, biases = _kept(len(candidates)), biases_of(cfg)
    trials: list[Trial] = []
    with tqdm(total=len(cfgs) + kept * (len(pretended) - 1), desc="trainings") as bar:
        for part, places in ((pretended[:1], list(found)), (pretended[1:], None)):
            for place in places or [candidates.index(trial.setting) for trial in trials[:kept]]:
                for pretence in part:
                    name = _name(cfgs[place], pretence, seed)
                    if name not in done:
                        done[name] = _scores(cfgs[place], pretence, seed, run, biases)
                        write_json(known, done)
                    found[place].append(done[name])
                    bar.update()
            trials = sorted(
                (_trial(candidates[place], scores, biases) for place, scores in found.items()),
                key=lambda trial: (-trial.pretences, -trial.harmonic),
            )
    return trials


def _scores(
    cfg: CfgNode,
    pretence: Pretence,
    seed: int,
    run: Callable[[CfgNode, Pretence, int], Any],
    biases: Sequence[float],
) -> Scores:
    """Seen, unseen and harmonic mean at each bias; of a training that diverges, none."""
    try:
        return scores_of(cfg, run(cfg, pretence, seed), pretence, biases)
    except NonFiniteLossError as error:
        logger.info("a setting that does not work: %s", error)
        return [(0.0, 0.0, 0.0)] * len(biases)


def biases_of(cfg: CfgNode) -> tuple[float, ...]:
    """The values of the dial to try: BIASES, but for label maps alone that of the configuration.

    What suits the scores of queries, of which panoptic and instance results are chosen, ruins sums
    of them over pixels: at 0.5, mIoU of unseen classes on Shapes is 30 rather than 62.
    """
    inference = cfg.MODEL.INFERENCE
    by_query = inference.PANOPTIC_ON or inference.INSTANCE_ON
    return BIASES if by_query else (float(inference.SEEN_BIAS),)


def configured(cfg: CfgNode, setting: Setting) -> CfgNode:
    """A copy with a setting's values.

    Raises:
        InputError: no such key, or a value of another type.
    """
    cfg = cfg.clone()
    cfg.defrost()
    override(cfg, [str(part) for pair in setting.items() for part in pair])
    return cfg


def _kept(candidates: int) -> int:
    return min(candidates, max(2, candidates // _KEPT_SHARE))


def _name(cfg: CfgNode, pretence: Pretence, seed: int) -> str:
    """What a training is known by: all that its scores hang on, and not where it is written."""
    cfg = cfg.clone()
    cfg.OUTPUT_DIR = cfg.MODEL.STORE.PATH = ""
    header = pretence.learned.header
    made_of = [header.weights, header.data, pretence.names, sorted(pretence.split.names)]
    return content_checksum([cfg.dump(), seed, *made_of])


def _trial(setting: Setting, found: Sequence[Scores], biases: Sequence[float]) -> Trial:
    """Means over pretences at the best bias; of equals the nearest to 0."""
    means = [
        [sum(column) / len(found) for column in zip(*rows, strict=True)]
        for rows in zip(*found, strict=True)
    ]
    best = max(range(len(biases)), key=lambda place: (means[place][2], -abs(biases[place])))
    seen, unseen, harmonic = means[best]
    return Trial(setting, biases[best], seen, unseen, harmonic, len(found))
