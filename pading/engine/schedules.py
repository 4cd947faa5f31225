"""Learning rates over a run: Detectron2's schedules, and the polynomial one of dense prediction."""

from detectron2.config import CfgNode
from detectron2.solver import LRMultiplier, WarmupParamScheduler, build_lr_scheduler
from fvcore.common.param_scheduler import ParamScheduler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from pading.errors import InputError


class PolynomialDecay(ParamScheduler):
    """(1 - where) ** power, down to ``end`` rather than 0, times a linear rise at first."""

    def __init__(self, power: float, end: float, rise: float = 0.0, start: float = 1.0) -> None:
        """
        Args:
            power, end: of the decay.
            rise: share of the run in which a factor rises from ``start`` to 1; 0: none.
            start: of that factor.
        """
        self.power, self.end, self.rise, self.start = power, end, rise, start

    def __call__(self, where: float) -> float:
        factor = 1.0
        if where < self.rise:
            factor = 1 - (1 - where / self.rise) * (1 - self.start)
        return factor * ((1 - self.end) * (1 - where) ** self.power + self.end)


def build_schedule(cfg: CfgNode, optimizer: Optimizer) -> LRScheduler:
    """What SOLVER.LR_SCHEDULER_NAME and its WARMUP keys ask for.

    "WarmupPolyLR": base x (1 - iteration / MAX_ITER) ** POLY_LR_POWER, ending at POLY_LR_END,
    reached by a warm-up or multiplied with it; the others are Detectron2's.

    Raises:
        InputError: a warm-up that the schedule has not.
    """
    solver = cfg.SOLVER
    if solver.WARMUP_METHOD == "product" and solver.LR_SCHEDULER_NAME != "WarmupPolyLR":
        raise InputError(
            f"SOLVER.WARMUP_METHOD is 'product', which {solver.LR_SCHEDULER_NAME} has not; take "
            "'linear', or SOLVER.LR_SCHEDULER_NAME WarmupPolyLR"
        )
    if solver.LR_SCHEDULER_NAME != "WarmupPolyLR":
        return build_lr_scheduler(cfg, optimizer)
    power, end, start = solver.POLY_LR_POWER, solver.POLY_LR_END, solver.WARMUP_FACTOR
    rise = min(solver.WARMUP_ITERS / solver.MAX_ITER, 1.0)
    schedule: ParamScheduler
    if solver.WARMUP_METHOD == "product":
        schedule = PolynomialDecay(power, end, rise, start)
    else:
        decay = PolynomialDecay(power, end)
        schedule = WarmupParamScheduler(decay, start, rise, solver.WARMUP_METHOD)
    return LRMultiplier(optimizer, multiplier=schedule, max_iter=solver.MAX_ITER)
