"""Scoring many classifiers on one frozen segmenter: what does not change is computed once."""

import dataclasses
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.data import build_detection_test_loader
from tqdm import tqdm

from pading.data.mappers import SegmentationMapper
from pading.evaluation.evaluators import build_evaluator
from pading.models.mask2former import Mask2Former
from pading.structures import ImageSizes, QueryPredictions


class SegmentedImages:
    """A validation set as the frozen segmenter sees it: embeddings and masks of every query.

    Held in memory (masks in half precision at a quarter of the images' size), so it is for data
    sets of hundreds of small images.
    """

    @torch.no_grad()
    def __init__(self, cfg: CfgNode, model: Mask2Former, data_set: str) -> None:
        """
        Args:
            cfg: says which results are scored, and how images are loaded.
            model: with its weights loaded.
            data_set: name of a registered data set with ground truth.
        """
        self.data_set = data_set
        self.images: list[tuple[list[dict[str, Any]], ImageSizes, QueryPredictions]] = []
        loader = build_detection_test_loader(
            cfg, data_set, mapper=SegmentationMapper(cfg, is_train=False)
        )
        training = model.training
        model.eval()
        for batch in tqdm(loader, "segmenting", leave=False):
            images, sizes = model.preprocess(batch)
            found = model.segment(images)
            kept = QueryPredictions(
                found.logits.cpu(), found.masks.half().cpu(), found.embeddings.cpu()
            )
            bare = [{k: v for k, v in image.items() if k != "image"} for image in batch]
            self.images.append((bare, sizes, kept))
        model.train(training)

    @torch.no_grad()
    def score(self, cfg: CfgNode, model: Mask2Former, folder: str | Path) -> dict[str, float]:
        """Figures of a model whose segmenter is the one that segmented.

        Args:
            cfg: says which results are scored.
            model: classifies the queries.
            folder: where predictions and results are written.

        Returns:
            "panoptic_seg/PQ_seen" and so on, per cent.
        """
        evaluator = build_evaluator(cfg, self.data_set, folder)
        evaluator.reset()
        training = model.training
        model.eval()
        for batch, sizes, kept in self.images:
            device = model.device
            here = QueryPredictions(
                kept.logits.to(device), kept.masks.to(device), kept.embeddings.to(device)
            )
            here = dataclasses.replace(here, logits=model.class_logits(here))
            evaluator.process(batch, model.results(here, sizes))
        model.train(training)
        results = evaluator.evaluate()
        return {f"{t}/{name}": v for t, values in results.items() for name, v in values.items()}
