"""A recording checked as a whole."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate

from research.parity import lseg, zegclip
from research.parity import pading as stage_two
from research.parity.comparison import Comparer, Comparison
from research.parity.lseg_recording import LSegRecording
from research.parity.lseg_scores import SCORE_INPUTS, compare_scores
from research.parity.mask2former import compare_losses, compare_outputs, segmenter_inputs
from research.parity.recording import Recording
from research.parity.zegclip_recording import ZegCLIPRecording


@dataclass(frozen=True)
class ParityReport:
    """What became of every array of a recording."""

    path: str
    comparisons: tuple[Comparison, ...]
    unknown: tuple[str, ...]
    """Arrays that are neither a known input nor compared: a failure, too."""
    not_recorded: tuple[str, ...]
    """What we compute and the recording lacks."""
    inputs: int
    """How many arrays describe what was computed."""

    @property
    def passed(self) -> bool:
        """Whether all is within its tolerance, and nothing was left out."""
        return not self.unknown and all(c.passed for c in self.comparisons)

    def table(self) -> str:
        """To print."""
        rows: list[tuple[str, ...]] = [
            (
                c.label,
                f"{c.difference:.2g}",
                f"{c.tolerance:.3g}",
                c.measure,
                "" if c.passed else "EXCEEDED",
            )
            for c in self.comparisons
        ]
        rows += [
            (name, "", "", "neither known input nor output", "UNKNOWN") for name in self.unknown
        ]
        headers = ("array", "largest difference", "tolerance", "measure", "")
        lines = [f"{self.path}", "", tabulate(rows, headers, disable_numparse=True)]
        lines.append(f"\n{self.inputs} arrays are inputs (weights, image, options, ...).")
        if self.not_recorded:
            lines.append(f"Not in this recording: {', '.join(self.not_recorded)}.")
        exceeded = sum(not c.passed for c in self.comparisons) + len(self.unknown)
        lines.append(f"{len(rows) - exceeded} of {len(rows)} pass.")
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """The same for a JSON file; NaN and infinite differences are strings."""
        return {
            "passed": self.passed,
            "arrays": [
                {
                    "array": c.array,
                    "part": c.part,
                    "difference": _finite(c.difference),
                    "tolerance": _finite(c.tolerance),
                    "measure": c.measure,
                    "passed": c.passed,
                }
                for c in self.comparisons
            ],
            "unknown": list(self.unknown),
            "not_recorded": list(self.not_recorded),
        }


def check_recording(path: str | Path, draws: int = 48, seed: int = 0) -> ParityReport:
    """Build the model of a recording, load its weights, run it, and compare everything.

    Args:
        path: ``.npz`` file of the published code's outputs (:class:`Recording`).
        draws: random draws of losses, at least 2.
        seed: of the draws.

    Raises:
        InputError: a file that is no recording, options that we do not know, or weights that do not
            fit them.
    """
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        recording = Recording(path, folder)
        if "text_embedding" in recording or "unit_embedding" in recording:
            return _check_zegclip(ZegCLIPRecording(path, folder))
        if "config" in recording or "semantic_prediction" in recording:
            return _check_lseg(LSegRecording(path, folder))
        comparer = Comparer(recording)
        predictions = compare_outputs(comparer)
        inputs = segmenter_inputs(recording)
        if recording.is_stage_two:
            inputs |= set(stage_two.INPUTS)
            stage_two.compare_matching(comparer, predictions)
            stage_two.compare_stage_two(comparer, predictions)
        else:
            compare_losses(comparer, draws)
    return _report(comparer, inputs & set(recording.arrays))


def _check_lseg(recording: LSegRecording) -> ParityReport:
    comparer = Comparer(recording)
    if "config" not in recording:
        compare_scores(comparer)
        return _report(comparer, set(SCORE_INPUTS) & set(recording.arrays))
    lseg.compare_lseg(comparer, recording)
    return _report(comparer, {name for name in recording.arrays if lseg.is_input(name)})


def _check_zegclip(recording: ZegCLIPRecording) -> ParityReport:
    comparer = Comparer(recording)
    if "text_embedding" in recording:
        zegclip.compare_zegclip(comparer, recording)
    else:
        zegclip.compare_text_encoder(comparer)
    return _report(comparer, {name for name in recording.arrays if zegclip.is_input(name)})


def _report(comparer: Comparer, inputs: set[str]) -> ParityReport:
    recording = comparer.recording
    known = inputs | {c.array for c in comparer.comparisons}
    return ParityReport(
        path=str(recording.path),
        comparisons=tuple(comparer.comparisons),
        unknown=tuple(name for name in recording.arrays if name not in known),
        not_recorded=tuple(comparer.not_recorded),
        inputs=len(inputs),
    )


def _finite(value: float) -> float | str:
    return value if abs(value) < float("inf") else str(value)
