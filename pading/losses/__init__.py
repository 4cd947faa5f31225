"""Matching and losses: functions of tensors, and the criteria that models ask for by name."""

from pading.losses.set_criterion import SetCriterion
from pading.losses.zero_shot import ZeroShotCriterion

__all__ = ["SetCriterion", "ZeroShotCriterion"]
