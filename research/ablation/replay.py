"""Scoring many classifiers on one frozen segmenter: what does not change is computed once."""

from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.data import build_detection_test_loader
from detectron2.structures import ImageList
from torch import Tensor
from tqdm import tqdm

from pading.data.mappers import SegmentationMapper
from pading.evaluation.evaluators import build_evaluator
from pading.models.mask2former import Mask2Former
from pading.structures import QueryPredictions


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
        self.images: list[tuple[list[dict[str, Any]], torch.Size, list, QueryPredictions]] = []
        loader = build_detection_test_loader(
            cfg, data_set, mapper=SegmentationMapper(cfg, is_train=False)
        )
        training = model.training
        model.eval()
        for batch in tqdm(loader, "segmenting", leave=False):
            prepared = model.preprocess(batch)
            found = model.segment(prepared)
            kept = QueryPredictions(
                found.logits.cpu(), found.masks.half().cpu(), found.embeddings.cpu()
            )
            bare = [{k: v for k, v in image.items() if k != "image"} for image in batch]
            self.images.append((bare, prepared.tensor.shape, prepared.image_sizes, kept))
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
        for batch, shape, sizes, kept in self.images:
            device = model.device
            here = QueryPredictions(
                kept.logits.to(device), kept.masks.to(device), kept.embeddings.to(device)
            )
            evaluator.process(
                batch,
                model.results(
                    batch, _without_pixels(shape, sizes), model.class_logits(here), here.masks
                ),
            )
        model.train(training)
        results = evaluator.evaluate()
        return {f"{t}/{name}": v for t, values in results.items() for name, v in values.items()}


def _without_pixels(shape: torch.Size, sizes: list) -> ImageList:
    """Images of which only the sizes are asked for."""
    blank: Tensor = torch.empty(1).expand(shape)
    return ImageList(blank, sizes)
