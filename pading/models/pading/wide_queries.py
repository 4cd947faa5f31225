"""The segmenter as stage 2 sees it: queries with wide embeddings, and what they stand for."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from pading.models.mask2former import Mask2Former
from pading.models.pading.backbone_means import backbone_means, with_wide_classifier
from pading.structures import QueryPredictions


class WideQueries(Mask2Former):
    """Embeddings may end with what the backbone sees in masks; see :mod:`.backbone_means`."""

    width: int
    """Numbers of an embedding."""
    backbone_features: tuple[str, ...]
    """Outputs of the backbone that are part of it."""

    def adapted(self, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return with_wide_classifier(weights, self.published_names, self.width)

    def with_backbone(
        self, predictions: QueryPredictions, features: Mapping[str, Tensor]
    ) -> QueryPredictions:
        if not self.backbone_features:
            return predictions
        maps = [features[name] for name in self.backbone_features]
        own = predictions.embeddings
        means = backbone_means(maps, predictions.masks, own.shape[-1])
        return replace(predictions, embeddings=torch.cat((own, means.to(own.dtype)), -1))

    @torch.no_grad()
    def labelled_embeddings(self, batch: list[dict]) -> tuple[Tensor, Tensor]:
        """What stage 2 learns from: embeddings of all queries and the classes of their segments.

        Returns:
            (B * Q, C) embeddings, and (B * Q,) int64 labels in [0, K], where K is no-object.
        """
        images, sizes = self.preprocess(batch)
        predictions = self.segment(images)
        labels = self.criterion.query_labels(predictions, self.targets(batch, sizes))
        return predictions.embeddings.flatten(0, 1), labels.flatten()
