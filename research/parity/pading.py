"""Stage 2 beside a recording: matching, every part of the generator's step, and both losses.

Arrays (N: matched queries; S, U: seen and unseen classes), in the order of the published calls,
seen first, then unseen:

    matched_query, matched_label (N,), query_label (1, Q), real_embeddings (N, C)
    part/<module>/i      outputs of the modules
    part/gmmn_loss/0     the moment-matching loss
    part/kl_loss/i       unrelated seen, related seen-seen, unseen-unseen, seen-unseen, unrelated
                         unseen
    noise/0, noise/1     targets of the unrelated losses
    generate_loss, classifier_loss_all_unseen, grad_norms of the former
"""

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from pading.losses.matcher import pairing_cost
from pading.models.pading.steps import Group
from pading.models.pading.structure_losses import cosine_similarity, softened_divergence
from pading.structures import QueryPredictions
from research.parity.comparison import LOGITS, Comparer
from research.parity.mask2former import compare_gradients

_COST = 0.01
_GRADIENTS = 1.01  # nothing is drawn

INPUTS = ("matched_label", "seen_vectors", "unseen_vectors", "noise/0", "noise/1")
"""Arrays that are given, not compared (the labels go with ``matched_query``)."""


@torch.no_grad()
def compare_matching(comparer: Comparer, predictions: QueryPredictions) -> None:
    """Compare the cost of our pairing with that of the recorded one, at every pixel's centre.

    Matching samples random points, so two right matchers may pair near-ties differently.
    """
    recording, model = comparer.recording, comparer.recording.model
    [target] = model.targets(recording.batch, model.preprocess(recording.batch)[1])
    [[(query, segment)]] = model.criterion.match([predictions], [target])
    height, width = target.masks.shape[-2:]
    y, x = torch.meshgrid(
        (torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width, indexing="ij"
    )
    everywhere = torch.stack((x, y), dim=-1).reshape(1, -1, 2)
    [cost] = pairing_cost(
        predictions.logits, predictions.masks, target, everywhere, model.criterion.weights
    )
    ours = cost[query, segment].sum().item()
    # The recording names queries and their labels; two targets may share a label.
    candidates = cost[recording.tensor("matched_query")]
    other = recording.tensor("matched_label")[:, None] != target.labels
    candidates[other] = torch.inf
    if other.all(1).any():
        comparer.add("matched_query", torch.inf, _COST, "labels that no target has")
        return
    wanted = candidates[linear_sum_assignment(candidates)].sum().item()
    excess = (ours - wanted) / max(abs(wanted), 1e-12)
    comparer.add("matched_query", excess, _COST, "cost, relative")


def compare_stage_two(comparer: Comparer, predictions: QueryPredictions) -> None:
    """Compare what the recorded matching leads to, part by part."""
    recording, model = comparer.recording, comparer.recording.model
    query, label = recording.tensor("matched_query"), recording.tensor("matched_label")
    embeddings = predictions.embeddings.detach()[0]
    query_label = torch.full((len(embeddings),), model.split.num_classes)
    query_label[query] = label
    if comparer.recorded("query_label"):
        differing = (query_label != recording.tensor("query_label")[0]).sum()
        comparer.count("query_label", int(differing), "queries")
    comparer.values("real_embeddings", embeddings[query], LOGITS)

    tokens = model.semantic_tokens()
    drawn = model.unseen.repeat(model.num_per_unseen_class)
    synthetic, unseen, added = model.synthetic(tokens, label, model.unseen, drawn)
    step = model.generator_step(tokens, synthetic, unseen, embeddings[query], label)
    seen, unseen = (
        group._replace(noise=recording.tensor(f"noise/{i}")) for i, group in enumerate(step.groups)
    )
    step = step._replace(groups=(seen, unseen))
    losses = model.zero_shot_criterion.generator_losses(step)
    total = torch.stack(list(losses.values())).sum()
    total.backward()
    # Here the published loss reaches the classifier, too, whose optimizer does not use it.
    compare_gradients(comparer, "grad_norms", _GRADIENTS, detached=("new_fc.",))
    model.zero_grad()

    with torch.no_grad():
        _compare_parts(comparer, tokens, seen, unseen)
        comparer.loss("part/gmmn_loss/0", losses["loss_moment"])
        _compare_divergences(comparer, seen, unseen)
        comparer.loss("generate_loss", total)
        step = model.classifier_step(embeddings, query_label, added, drawn)
        loss = model.zero_shot_criterion.classifier_loss(step)
        comparer.loss("classifier_loss_all_unseen", loss)


def _compare_parts(comparer: Comparer, tokens: Tensor, seen: Group, unseen: Group) -> None:
    recording, model = comparer.recording, comparer.recording.model
    parts = {
        "fc_projection/0": tokens[model.seen],
        "fc_projection/1": tokens[model.unseen],
        "fc_projection/2": tokens[model.unseen],
        "generator/0": seen.embeddings,
        "generator/1": unseen.embeddings,
        "generator/2": _as_drawn(recording.tensor("part/generator/2"), unseen.embeddings),
    }
    for i, group in enumerate((seen, unseen)):
        parts |= {
            f"projection_related/{i}": group.parts.related,
            f"projection_unrelated/{i}": group.parts.unrelated,
            f"decoder/{i}": group.parts.rebuilt,
            f"relation/{i}": group.relation_scores.reshape(-1, 1),
        }
    for name, ours in parts.items():
        array = f"part/{name}"
        if name.startswith("generator/"):
            ours = ours[None, None]
        comparer.values(array, ours, LOGITS)


def _as_drawn(recorded: Tensor, unseen: Tensor) -> Tensor:
    """Our embeddings of the unseen classes in the order in which the recording drew them.

    Each must be drawn equally often; otherwise the order stays, and so does the difference.
    """
    drawn = torch.cdist(recorded.flatten(0, -2), unseen).argmin(1)
    times = drawn.bincount(minlength=len(unseen))
    return unseen[drawn] if (times == times[0]).all() else unseen


def _compare_divergences(comparer: Comparer, seen: Group, unseen: Group) -> None:
    r, ru = seen.parts.related, unseen.parts.related
    s, su = seen.tokens, unseen.tokens
    pairs = (
        (seen.parts.unrelated, seen.noise),
        (cosine_similarity(r, r), cosine_similarity(s, s)),
        (cosine_similarity(ru, ru), cosine_similarity(su, su)),
        (cosine_similarity(r, ru), cosine_similarity(s, su)),
        (unseen.parts.unrelated, unseen.noise),
    )
    temperature = comparer.recording.model.zero_shot_criterion.temperature
    for i, (ours, target) in enumerate(pairs):
        comparer.loss(f"part/kl_loss/{i}", softened_divergence(ours, target, temperature))
