"""Backbones beside Detectron2's ResNet."""
