"""Instance inference on cases made by hand."""

import torch
from detectron2.structures import BitMasks, Instances
from torch import Tensor

from pading.inference.instance import InstancePart, boxes
from tests.inference.queries_by_hand import THINGS, at_once, mask, query


def inference(scores: Tensor, masks: Tensor, *choice, **named) -> Instances:
    part = InstancePart(scores, masks.shape[1:], *choice, **named)
    at_once(part, masks)
    return part.result


def test_instances_are_the_best_pairs_of_query_and_class() -> None:
    scores = torch.tensor([[0.6, 0.3, 0.0, 0.0, 0.1], [0.1, 0.0, 0.5, 0.0, 0.4]])
    masks = torch.stack((mask("1100"), mask("0001")))
    found = inference(scores, masks, 3)
    order = found.scores.argsort(descending=True)
    assert found.pred_classes[order].tolist() == [0, 2, 1]
    inside = torch.tensor(4.0).sigmoid()
    torch.testing.assert_close(found.scores[order], torch.tensor([0.6, 0.5, 0.3]) * inside)
    assert found.pred_masks[order[0]].tolist() == [[True, True, False, False]] * 2
    assert found.pred_boxes.tensor[order[:2]].tolist() == [[0, 0, 2, 2], [3, 0, 4, 2]]


def test_instances_of_chosen_classes_alone() -> None:
    scores = torch.tensor([[0.6, 0.3, 0.0, 0.0, 0.1], [0.1, 0.0, 0.5, 0.0, 0.4]])
    masks = torch.stack((mask("1100"), mask("0001")))
    # As published: chosen first, dropped then.
    assert inference(scores, masks, 2, THINGS).pred_classes.tolist() == [0]


def test_candidates_alone_are_chosen_from() -> None:
    scores = torch.tensor([[0.6, 0.3, 0.0, 0.0, 0.1], [0.1, 0.0, 0.5, 0.0, 0.4]])
    masks = torch.stack((mask("1100"), mask("0001")))
    found = inference(scores, masks, 2, candidates=(1, 3))
    order = found.scores.argsort(descending=True)
    assert found.pred_classes[order[0]] == 1
    assert set(found.pred_classes.tolist()) <= {1, 3}
    torch.testing.assert_close(found.scores[order[0]], torch.tensor(4.0).sigmoid() * 0.3)
    # Beside panoptic results, of the candidates the things remain.
    assert inference(scores, masks, 4, THINGS, (1, 3)).pred_classes.tolist() == [1, 1]


def test_instance_of_an_empty_mask_scores_zero() -> None:
    found = inference(query(0, 0.9)[None], mask("0000")[None], 1)
    assert found.scores.tolist() == [0.0]


def test_more_instances_wanted_than_pairs() -> None:
    assert len(inference(query(0, 0.9)[None], mask("1100")[None], 100)) == 4


def test_boxes_are_those_of_detectron2(rng: torch.Generator) -> None:
    masks = torch.rand(20, 7, 9, generator=rng) < torch.linspace(0, 0.2, 20)[:, None, None]
    assert not masks[0].any()
    assert boxes(masks.any(1), masks.any(2)).equal(BitMasks(masks).get_bounding_boxes().tensor)


def test_class_probabilities_of_instances(rng: torch.Generator) -> None:
    scores = torch.randn(5, 7, generator=rng).softmax(-1)
    masks = torch.randn(5, 4, 6, generator=rng)
    found = inference(scores, masks, 12, classes=(0, 2, 5))
    assert found.class_scores.shape == (len(found), 6)
    quality = (masks.sigmoid() * (masks > 0)).sum((1, 2)) / (masks > 0).sum((1, 2))
    for row, label, score, inside in zip(
        found.class_scores, found.pred_classes, found.scores, found.pred_masks, strict=True
    ):
        [own] = (masks > 0).eq(inside).flatten(1).all(1).nonzero()[:, 0].tolist()
        assert torch.equal(row, scores[own, :-1])
        torch.testing.assert_close(row[label] * quality[own], score)
