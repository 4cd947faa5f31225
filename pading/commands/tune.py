"""Choose the settings of stage 2 by data, in minutes, without a look at the unseen classes.

    pading tune configs/msrc/PADing.yaml MODEL.WEIGHTS converted.pth OUTPUT_DIR output/msrc/PADing
    pading train output/msrc/PADing/tuning/chosen.yaml

Which generator, rates and weights serve depends on data and class vectors. So some seen classes are
left out of stage 2 and pretended unseen; every setting learns without them, and is scored by how
well it tells them and the others apart on images that it has not learned from. All settings are
compared on one such pretence, the best quarter on others as well. MODEL.INFERENCE.SEEN_BIAS is
chosen on the way, for panoptic and instance results; a model of label maps alone keeps its own. All
happens on stored embeddings: those of MODEL.STORE.PATH, or of a store that is made first.

--grid FILE.yaml says what to try, as keys that start with MODEL.GENERATOR, MODEL.ZERO_SHOT, SOLVER
or MODEL.CLASS_VECTORS, each with a list of values:

    SOLVER.GENERATOR_LR: [0.0005, 0.001, 0.002]
    MODEL.ZERO_SHOT.UNSEEN_WEIGHT: [1, 4]

In the end the best settings are printed, and

    chosen in 6.2 minutes; train with it: pading train output/msrc/PADing/tuning/chosen.yaml

The folder OUTPUT_DIR/tuning gets

    chosen.yaml              the given configuration with the best setting: train with it
    trials.md, trials.json   all settings with their figures
    trainings.json           trainings that are done; run again, the command goes on after them
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.utils.logger import setup_logger

from pading.checkpoint.checkpointer import Checkpointer
from pading.commands.configuration_argument import with_configuration
from pading.config import overridden
from pading.engine.building import configured_model
from pading.engine.setup import setup
from pading.models.pading.source import check_storable, open_store
from pading.tuning.choosing import choose, configured, default_settings, read_grid, settings
from pading.tuning.chosen import FOLDER, write_chosen, write_trials
from pading.tuning.pretence import pretences

_MOST_ITERATIONS = 2000


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; None: that of this process."""
    parser = argparse.ArgumentParser(
        epilog=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--config-file", default="", metavar="FILE", help="the configuration of stage 2"
    )
    parser.add_argument("--grid", metavar="FILE.yaml", help="what to try, as above")
    parser.add_argument(
        "--pretences", type=int, default=3, metavar="N", help="groups of classes (default: 3)"
    )
    parser.add_argument(
        "--iterations",
        type=int,
        metavar="N",
        help=f"of each training (default: SOLVER.MAX_ITER, {_MOST_ITERATIONS} at most)",
    )
    parser.add_argument("opts", nargs=argparse.REMAINDER, metavar="KEY VALUE")
    # Of Detectron2's parser, what the configuration is checked by.
    parser.set_defaults(num_gpus=1, eval_only=False, resume=False)
    args = parser.parse_args(with_configuration(parser, arguments))
    if args.pretences < 1 or (args.iterations or 1) < 1:
        parser.error("--pretences and --iterations must be at least 1")
    return args


def main(arguments: Sequence[str] | None = None) -> None:
    start = time.monotonic()
    args = parse(arguments)
    grid = read_grid(args.grid) if args.grid else None
    cfg = setup(args)
    check_storable(cfg, args.config_file)
    candidates = settings(grid) if grid else default_settings()
    for setting in candidates:
        configured(cfg, setting)  # refuses what cannot be before anything is trained
    setup_logger(name="pading")
    model: Any = configured_model(cfg)  # of stage 2, as has been checked
    Checkpointer(model).load(cfg.MODEL.WEIGHTS)
    open_store(cfg, model)
    store = cfg.MODEL.STORE.PATH or str(Path(cfg.OUTPUT_DIR) / "embeddings")
    stored = {"MODEL.ZERO_SHOT.SOURCE": "stored", "MODEL.STORE.PATH": store}
    seed, folder = max(cfg.SEED, 0), Path(cfg.OUTPUT_DIR) / FOLDER
    pretended = pretences(model, store, args.pretences, seed)
    trials = choose(
        shortened(configured(cfg, stored), args.iterations),
        candidates,
        pretended,
        seed,
        folder / "trainings.json",
    )
    table = write_trials(folder, trials, [pretence.names for pretence in pretended])
    pairs = overridden(cfg, args.opts)
    path = write_chosen(folder, args.config_file, pairs, trials[0], stored)
    minutes = (time.monotonic() - start) / 60
    print(f"\n{table}\n\nchosen in {minutes:.1f} minutes; train with it: pading train {path}")


def shortened(cfg: CfgNode, iterations: int | None) -> CfgNode:
    """A copy with so many iterations, its steps in proportion; None: few enough for a choice."""
    cfg = cfg.clone()
    cfg.defrost()
    wanted = iterations or min(cfg.SOLVER.MAX_ITER, _MOST_ITERATIONS)
    share, cfg.SOLVER.MAX_ITER = wanted / cfg.SOLVER.MAX_ITER, wanted
    cfg.SOLVER.STEPS = tuple(max(1, round(step * share)) for step in cfg.SOLVER.STEPS)
    return cfg
