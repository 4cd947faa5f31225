"""Train or evaluate a model: which stage of which system is a matter of the configuration.

    pading train home
    pading train configs/panoptic/pretrain.yaml --num-gpus 8
    pading train configs/panoptic/PADing.yaml MODEL.WEIGHTS pretrained_weight_panoptic.pth
    pading train configs/panoptic/PADing.yaml --eval-only MODEL.WEIGHTS model_final.pth
    pading train --config-file configs/panoptic/PADing.yaml --resume

The first argument is a project (pading new), all stages of which are trained that are not yet, or a
configuration, which --config-file may name as well. Options come next, KEY VALUE pairs
last; they override the configuration.

OUTPUT_DIR gets model_final.pth, metrics.json, run.json and, for every data set that is scored,
inference/NAME/results.json; with TEST.REPORT True, report.html too. A table of scores is printed:

           %    PQ    SQ     RQ
    --------  ----  ----  -----
         all  31.1  82.7   34.7
        seen  31.8  82.3   35.1
      unseen  27.3  84.9   32.2
    harmonic  29.4

A run that is asked to stop (SIGTERM, Ctrl-C) writes a checkpoint and exits with status 75: start it
again with --resume.
"""

import argparse
import logging
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from detectron2.config import CfgNode
from detectron2.engine import default_argument_parser, default_setup
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from pading.commands import convert, tune
from pading.commands.configuration_argument import with_configuration
from pading.config import load_config
from pading.data.catalogue import register_datasets
from pading.data.spec import read_specs
from pading.engine import record
from pading.engine.console import brief_console
from pading.engine.interruption import Interrupted, Interruption
from pading.engine.launch import launch, num_processes
from pading.engine.run_checkpoints import RunCheckpointer
from pading.engine.setup import setup
from pading.engine.trainer import Trainer
from pading.evaluation.evaluator import ReportingEvaluators
from pading.evaluation.evaluators import build_evaluator
from pading.projects.layout import is_project, read_project
from pading.projects.training import train_project
from pading.reports.html_report import write_report

logger = logging.getLogger(__name__)


class EvaluatingTrainer(Trainer):
    """The trainer with the evaluators of the configured tasks."""

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> ReportingEvaluators:
        return build_evaluator(cfg, dataset_name)


def run(cfg: CfgNode, args: argparse.Namespace) -> None:
    """The work of one process."""
    with brief_console() if args.brief else nullcontext():
        default_setup(cfg, args)
        setup_logger(cfg.OUTPUT_DIR, distributed_rank=comm.get_rank(), name="pading")
    if args.eval_only:
        model = EvaluatingTrainer.build_model(cfg)
        checkpointer = RunCheckpointer(
            model, cfg.OUTPUT_DIR, record.run_of(cfg) if args.resume else None
        )
        checkpointer.resume_or_load(cfg.MODEL.WEIGHTS, resume=args.resume)
        EvaluatingTrainer.test(cfg, model)
        report(cfg)
        return
    interruption = Interruption()
    with interruption.handled(), record.alone_in(cfg.OUTPUT_DIR):
        trainer = EvaluatingTrainer(cfg, record.begin(cfg, args.resume), interruption)
        trainer.resume_or_load(resume=args.resume)
        try:
            trainer.train()
        except Interrupted:
            comm.synchronize()  # the launcher ends all processes when the first one has stopped
            raise
    report(cfg)


def report(cfg: CfgNode) -> None:
    """Write the report of what was scored, where TEST.REPORT asks for one (main process)."""
    if cfg.TEST.REPORT and cfg.DATASETS.TEST and comm.is_main_process():
        logger.info("The report is %s", write_report(cfg.OUTPUT_DIR))


def run_in_new_process(cfg: CfgNode, args: argparse.Namespace) -> None:
    """What ``launch`` starts: another process knows no data set yet."""
    register_datasets(cfg)
    run(cfg, args)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; None: that of this process."""
    parser = default_argument_parser(epilog=__doc__)
    parser.add_argument(
        "--brief", action="store_true", help="progress, warnings and scores; log.txt has the rest"
    )
    return parser.parse_args(with_configuration(parser, arguments))


def main(arguments: Sequence[str] | None = None) -> None:
    args = parse(arguments)
    if args.config_file and is_project(args.config_file):
        gpus = ["--num-gpus", str(args.num_gpus)] if args.num_gpus > 1 else []
        project = read_project(args.config_file)
        train_project(project, main, convert.main, tune.main, gpus, args.opts, num_processes(args))
        return
    cfg = setup(args, num_processes(args))
    launch(run_in_new_process, args, cfg.MODEL.DEVICE, (cfg, args))


def train(
    config: str,
    data: str | Sequence[str] = (),
    weights: str = "",
    output: str = "",
    resume: bool = False,
    overrides: Sequence[object] = (),
) -> Path:
    """Train a model, as ``pading train`` does.

    Args:
        config: name or path of a configuration.
        data: files of your own data sets. Those that are declared seen_only are trained on, the
            others are scored.
        weights: what training starts from (MODEL.WEIGHTS).
        output: folder of the run (OUTPUT_DIR).
        resume: go on with the run in that folder.
        overrides: configuration keys and values in turn.

    Returns:
        the folder of the run, in which ``model_final.pth`` is the model.

    Raises:
        InputError: what the command refuses.
    """
    pairs = [str(part) for part in overrides]
    files = [data] if isinstance(data, str) else list(data)
    if files:
        specs = [spec for file in files for spec in read_specs(file)]
        own = {
            "FILES": tuple(files),
            "TRAIN": tuple(spec.name for spec in specs if spec.seen_only),
            "TEST": tuple(spec.name for spec in specs if not spec.seen_only),
        }
        pairs = [part for key, v in own.items() for part in (f"DATASETS.{key}", repr(v))] + pairs
    pairs += ["MODEL.WEIGHTS", weights] if weights else []
    pairs += ["OUTPUT_DIR", output] if output else []
    main(["--config-file", config, *(["--resume"] if resume else []), *pairs])
    return Path(load_config(config, pairs).OUTPUT_DIR)
