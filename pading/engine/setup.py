"""From the command line to a checked configuration, before any long work starts."""

import argparse
import os

from detectron2.config import CfgNode
from detectron2.utils.file_io import PathManager

from pading.checkpoint.checkpointer import LAST_CHECKPOINT
from pading.checkpoint.matching import is_backbone_alone
from pading.checkpoint.weights import read_weights
from pading.config import check_settings, config_path, load_config
from pading.data.catalogue import register_datasets
from pading.data.dataset_checks import check_datasets
from pading.engine.building import configured_vocabulary, scored_vocabulary
from pading.engine.environment import check_device, check_num_gpus, check_output_folder
from pading.engine.record import check_resumable
from pading.engine.solver_checks import check_solver
from pading.errors import InputError
from pading.models.registry import model_class


def setup(args: argparse.Namespace, processes: int = 1) -> CfgNode:
    """Read the configuration, register its data sets, and check what can be checked.

    Args:
        args: of Detectron2's parser: config_file, opts, num_gpus, eval_only, resume.
        processes: that will share the work.

    Returns:
        the frozen configuration.

    Raises:
        InputError: anything of the user's that cannot work; the message says what and the remedy.
    """
    if not args.config_file:
        raise InputError("--config-file is missing; configs/ holds one for every task and stage")
    args.config_file = config_path(args.config_file)  # Detectron2 prints the file
    cfg = load_config(args.config_file, args.opts)
    system = model_class(cfg.MODEL.META_ARCHITECTURE)  # which registers its backbones as well
    check_settings(cfg)
    register_datasets(cfg)
    check_num_gpus(args.num_gpus, on_cpu=_asked_for_cpu(args.opts))
    check_device(cfg.MODEL.DEVICE, max(processes, args.num_gpus))
    check_solver(cfg, processes, training=not args.eval_only)
    check_output_folder(cfg.OUTPUT_DIR)
    resumes = args.resume and os.path.exists(os.path.join(cfg.OUTPUT_DIR, LAST_CHECKPOINT))
    split, _ = configured_vocabulary(cfg)
    system.check(cfg, split)
    for name in cfg.DATASETS.TEST if cfg.DATASETS.OWN_LABELS else ():
        scored_vocabulary(cfg, name)
    needed = args.eval_only or system.needs_trained_weights
    check_weights(cfg, trained=needed and not resumes)
    check_datasets(cfg, training=not args.eval_only, unseen=system.learns_unseen(cfg))
    if args.resume:
        check_resumable(cfg)
    cfg.freeze()
    return cfg


def _asked_for_cpu(overrides: list[str]) -> bool:
    """Whether the command line names the CPU, rather than that there is nothing else."""
    pairs = zip(overrides[::2], overrides[1::2], strict=False)
    return dict(pairs).get("MODEL.DEVICE") == "cpu"  # the last one counts


def check_weights(cfg: CfgNode, trained: bool) -> str:
    """Fetch remote weights, and refuse a file that is missing or cannot be read.

    Whether they fit the model is checked when it has been built.

    Args:
        cfg: the configuration.
        trained: refuse to go without weights, or with those that training starts from.

    Returns:
        the file on this machine; "" without weights.

    Raises:
        InputError: as above, or what :func:`~pading.checkpoint.weights.read_weights` refuses.
    """
    weights = cfg.MODEL.WEIGHTS
    if trained and not weights:
        raise InputError(
            "no weights; give those of a trained model as MODEL.WEIGHTS FILE (stage 2 trains on a "
            "converted checkpoint of stage 1)"
        )
    if not weights:
        return ""
    path = weights
    if "://" in weights:
        try:
            path = PathManager.get_local_path(weights)  # kept: no process fetches it again
        except InputError as error:
            raise InputError(f"MODEL.WEIGHTS {error}") from error
        except (OSError, RuntimeError, ValueError, LookupError, AssertionError) as error:
            raise InputError(
                f"MODEL.WEIGHTS {weights}: cannot be fetched ({error}); "
                "fetch it elsewhere, and name the file"
            ) from error
    if not os.path.exists(path):
        raise InputError(
            f"MODEL.WEIGHTS {weights}: there is no such file; correct MODEL.WEIGHTS or get it"
        )
    system = model_class(cfg.MODEL.META_ARCHITECTURE)
    if is_backbone_alone(read_weights(path)["model"], system) and trained:
        raise InputError(
            f"MODEL.WEIGHTS {weights}: it holds a backbone alone, from which stage 1 starts; "
            "give a trained model as MODEL.WEIGHTS"
        )
    return path
