"""Train or evaluate any stage: which one is a matter of the configuration.

    python tools/train_net.py --config-file configs/panoptic/pretrain.yaml --num-gpus 8
    python tools/train_net.py --config-file configs/panoptic/PADing.yaml --eval-only \\
        MODEL.WEIGHTS model.pth

KEY VALUE pairs behind the options override the configuration; pading/config explains each key.
"""

import argparse

from detectron2.config import CfgNode
from detectron2.engine import default_argument_parser, default_setup
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from pading.data.catalogue import register_datasets
from pading.engine import record
from pading.engine.interruption import Interrupted, Interruption
from pading.engine.launch import launch, num_processes
from pading.engine.run_checkpoints import RunCheckpointer
from pading.engine.setup import setup
from pading.engine.trainer import Trainer
from pading.evaluation.evaluator import ReportingEvaluators
from pading.evaluation.evaluators import build_evaluator


class EvaluatingTrainer(Trainer):
    """The trainer with the evaluators of the configured tasks."""

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> ReportingEvaluators:
        return build_evaluator(cfg, dataset_name)


def run(cfg: CfgNode, args: argparse.Namespace) -> None:
    """The work of one process."""
    default_setup(cfg, args)
    setup_logger(cfg.OUTPUT_DIR, distributed_rank=comm.get_rank(), name="pading")
    if args.eval_only:
        model = EvaluatingTrainer.build_model(cfg)
        checkpointer = RunCheckpointer(
            model, cfg.OUTPUT_DIR, record.run_of(cfg) if args.resume else None
        )
        checkpointer.resume_or_load(cfg.MODEL.WEIGHTS, resume=args.resume)
        EvaluatingTrainer.test(cfg, model)
        return
    interruption = Interruption()
    with interruption.handled():
        trainer = EvaluatingTrainer(cfg, record.begin(cfg, args.resume), interruption)
        trainer.resume_or_load(resume=args.resume)
        try:
            trainer.train()
        except Interrupted:
            comm.synchronize()  # the launcher ends all processes when the first one has stopped
            raise


def run_in_new_process(cfg: CfgNode, args: argparse.Namespace) -> None:
    """What ``launch`` starts: another process knows no data set yet."""
    register_datasets(cfg)
    run(cfg, args)


def main() -> None:
    args = default_argument_parser(epilog=__doc__).parse_args()
    cfg = setup(args, num_processes(args))
    launch(run_in_new_process, args, cfg.MODEL.DEVICE, (cfg, args))
