"""Learning rates over a run: Detectron2's schedules, and the polynomial one of dense prediction."""

from detectron2.config import CfgNode
from detectron2.solver import LRMultiplier, WarmupParamScheduler, build_lr_scheduler
from fvcore.common.param_scheduler import PolynomialDecayParamScheduler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


def build_schedule(cfg: CfgNode, optimizer: Optimizer) -> LRScheduler:
    """What SOLVER.LR_SCHEDULER_NAME and its WARMUP keys ask for.

    "WarmupPolyLR": base x (1 - iteration / MAX_ITER) ** POLY_LR_POWER, reached by a warm-up; the
    others are Detectron2's.
    """
    solver = cfg.SOLVER
    if solver.LR_SCHEDULER_NAME != "WarmupPolyLR":
        return build_lr_scheduler(cfg, optimizer)
    decay = PolynomialDecayParamScheduler(1.0, solver.POLY_LR_POWER)
    warmed_up = WarmupParamScheduler(
        decay,
        solver.WARMUP_FACTOR,
        min(solver.WARMUP_ITERS / solver.MAX_ITER, 1.0),
        solver.WARMUP_METHOD,
    )
    return LRMultiplier(optimizer, multiplier=warmed_up, max_iter=solver.MAX_ITER)
