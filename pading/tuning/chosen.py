"""What tuning has found, in files: a configuration to train with, and tables of what was tried."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tabulate import tabulate

from pading.config import flat_line
from pading.files import write_json, writing
from pading.tuning.choosing import BIAS_KEY, Setting, Trial

FOLDER = "tuning"
"""In OUTPUT_DIR; of the following files."""
CHOSEN, TABLE, RECORD = "chosen.yaml", "trials.md", "trials.json"


def write_chosen(
    folder: Path, config: str, pairs: Mapping[str, Any], best: Trial, more: Setting
) -> Path:
    """A configuration that says how to train: the given one, the command line, and the choice.

    Args:
        folder: gets the file.
        config: that tuning was given.
        pairs: keys of the command line, with their values.
        best: what was chosen.
        more: further keys and values of this run.
    """
    path = folder / CHOSEN
    lines = [
        "# Chosen by pading tune: seen classes were pretended unseen, trials.md says which. The",
        "# classes that are unseen had no part in it.",
        f"_BASE_: {os.path.relpath(config, folder)}",
    ]
    chosen = {**pairs, **more, **best.setting, BIAS_KEY: best.bias}
    lines += [flat_line(key, value) for key, value in chosen.items()]
    with writing(path) as temporary:
        Path(temporary).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_trials(folder: Path, trials: Sequence[Trial], pretended: Sequence[Sequence[str]]) -> str:
    """Write the trials as Markdown and JSON; the table of the Markdown.

    Args:
        folder: gets the files.
        trials: best first.
        pretended: names of the classes that each pretence takes for unseen.
    """
    keys = list(dict.fromkeys(key for trial in trials for key in trial.setting))
    headers = [*(key.rpartition(".")[2] for key in keys), BIAS_KEY.rpartition(".")[2]]
    headers += ["seen", "unseen", "harmonic", "pretences"]
    rows = [
        [
            *(str(trial.setting.get(key, "")) for key in keys),
            f"{trial.bias:g}",
            *(f"{figure:.1f}" for figure in (trial.seen, trial.unseen, trial.harmonic)),
            trial.pretences,
        ]
        for trial in trials
    ]
    table = tabulate(rows, headers, tablefmt="github", disable_numparse=True)
    listed = "\n".join(f"{n}. {', '.join(names)}" for n, names in enumerate(pretended, 1))
    text = (
        "Stage 2 with seen classes pretended unseen: how well stored queries are recognised, per "
        "cent,\nmeans over the pretences. They compare settings; unseen classes are harder, since "
        f"the segmenter\nknows the pretended ones.\n\nPretended unseen:\n\n{listed}\n\n{table}\n"
    )
    with writing(folder / TABLE) as temporary:
        Path(temporary).write_text(text, encoding="utf-8")
    content = {"pretended": [list(n) for n in pretended], "trials": [asdict(t) for t in trials]}
    write_json(folder / RECORD, content, indent=1)
    return table
