"""Optimizers, checkpoints, and what Detectron2's trainer lacks."""
