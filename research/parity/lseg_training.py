"""LSeg's training beside a recording: loss, gradients, running statistics, first step, rates.

Arrays, each also as ``train_<block>/...`` with a block of depth 2:

    train/loss, train/grad_norms, train/no_grad, train/running/<key>
    optimizer        the published settings and the groups that come of them
    step_norms       how far each parameter moves in the first step after ``train``
    learning_rates   (epochs, groups)
"""

from typing import Any

import torch
from torch import Tensor

from pading.data.masks import IGNORE_LABEL
from pading.engine.optimizers import build_optimizer
from pading.engine.schedules import build_schedule
from pading.models.lseg.lseg import LSeg
from research.parity.comparison import Comparer
from research.parity.lseg_recording import LSegRecording

LOSS, RUNNING = 1e-5, 1e-5
NORMS = (1e-2, 1e-4)
"""Of a norm: relative, and absolute beside it."""
RATES = 1e-6


def compare_training(comparer: Comparer, recording: LSegRecording, text: Tensor) -> None:
    """One forward and backward in training mode, without and with each recorded block."""
    for name in [name for name in recording.arrays if name.endswith("/grad_norms")]:
        part = name.split("/")[0]
        block = part.removeprefix("train").removeprefix("_") or "none"
        vectors = text[0] if recording.is_zero_shot else text
        model = recording.built(vectors, block, depth=1 if block == "none" else 2).train()
        loss = _loss(recording, model, text)
        loss.backward()
        wanted = float(recording.numbers(f"{part}/loss"))
        comparer.add(f"{part}/loss", abs(loss.item() - wanted), LOSS, "absolute")
        norms = {
            published: parameter.grad.norm().item()
            for published, parameter in _parameters(model).items()
            if parameter.grad is not None
        }
        _compare_norms(comparer, name, norms, recording.parsed(name))
        untouched = set(recording.parsed(f"{part}/no_grad"))
        differing = len(untouched & set(norms))
        differing += len({n for n in _parameters(model) if n not in norms} - untouched)
        comparer.count(f"{part}/no_grad", differing, "parameters")
        state = {model.published_names.published(n): v for n, v in model.state_dict().items()}
        for array in [a for a in recording.arrays if a.startswith(f"{part}/running/")]:
            comparer.values(array, state[array.removeprefix(f"{part}/running/")], RUNNING)
        if part == "train" and "optimizer" in recording:
            compare_step(comparer, recording, model)


def compare_step(comparer: Comparer, recording: LSegRecording, model: LSeg) -> None:
    """``optimizer`` and ``step_norms``: the groups, and the first step with their gradients."""
    published = recording.parsed("optimizer")
    cfg = recording.configuration(_solver(published))
    optimizer = build_optimizer(cfg, model)
    unused = [name for name in recording.parsed("train/no_grad") if name not in _parameters(model)]
    names = {id(p): name for name, p in _parameters(model).items()}
    differing = abs(len(optimizer.param_groups) - len(published["groups"]))
    for ours, theirs in zip(optimizer.param_groups, published["groups"], strict=False):
        prefix = theirs["first"].split(".")[:2]
        left = [name for name in unused if name.split(".")[:2] == prefix]
        differing += len(ours["params"]) + len(left) != theirs["parameters"]
        differing += names[id(ours["params"][0])].split(".")[:2] != prefix
        differing += abs(ours["lr"] / theirs["lr"] - 1) > RATES
    comparer.count("optimizer", differing, "groups' sizes, rates and parts")
    before = {name: p.detach().clone() for name, p in _parameters(model).items()}
    optimizer.step()
    moved = {
        name: (p.detach() - before[name]).norm().item() for name, p in _parameters(model).items()
    }
    _compare_norms(comparer, "step_norms", moved, recording.parsed("step_norms"))


def compare_schedule(comparer: Comparer, recording: LSegRecording) -> None:
    """``learning_rates``: one step an epoch."""
    if "learning_rates" not in recording:
        return
    published = recording.parsed("optimizer")
    cfg = recording.configuration(_solver(published))
    model = recording.built(torch.eye(2, recording.options["out_c"]))
    optimizer = build_optimizer(cfg, model)
    schedule = build_schedule(cfg, optimizer)
    rates = []
    for _ in range(published["max_epochs"]):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.zero_grad()
        optimizer.step()  # of no gradient: nothing moves
        schedule.step()
    wanted = torch.from_numpy(recording.numbers("learning_rates"))
    ours = torch.tensor(rates, dtype=wanted.dtype)
    comparer.add("learning_rates", (ours / wanted - 1).abs().max().item(), RATES, "relative")


def _loss(recording: LSegRecording, model: LSeg, text: Tensor) -> Tensor:
    if recording.is_zero_shot:
        images = (recording.images("images_rgb") - model.pixel_mean) / model.pixel_std
        target = recording.tensor("target").long()
        [loss] = model.pair_losses(images, text, target).values()
        return loss
    target = recording.tensor("train_target").long()
    target[target < 0] = IGNORE_LABEL
    images = recording.images("train_images_rgb")
    batch = [{"image": x, "sem_seg": labels} for x, labels in zip(images, target, strict=True)]
    [loss] = model(batch).values()
    return loss


def _parameters(model: LSeg) -> dict[str, torch.nn.Parameter]:
    """By published name."""
    return {model.published_names.published(n): p for n, p in model.named_parameters()}


def _solver(published: dict[str, Any]) -> dict[str, Any]:
    """Our settings for the published ones: a rate for 16 images, the backbone's a tenth of it."""
    return {
        "SOLVER.OPTIMIZER": "SGD",
        "SOLVER.BASE_LR": 10 * published["base_lr"],
        "SOLVER.REFERENCE_BATCH": 16,
        "SOLVER.IMS_PER_BATCH": published["batch_size"],
        "SOLVER.BACKBONE_MULTIPLIER": 0.1,
        "SOLVER.MOMENTUM": 0.9,
        "SOLVER.WEIGHT_DECAY": published["weight_decay"],
        "SOLVER.LR_SCHEDULER_NAME": "WarmupPolyLR",
        "SOLVER.WARMUP_ITERS": 0,
        "SOLVER.MAX_ITER": published["max_epochs"],
    }


def _compare_norms(
    comparer: Comparer, array: str, ours: dict[str, float], wanted: dict[str, float]
) -> None:
    """Excess of every difference over the absolute part of the tolerance, relative to the norm."""
    relative, absolute = NORMS
    worst = 0.0
    for name in ours.keys() | wanted.keys():
        a, b = ours.get(name, 0.0), wanted.get(name, 0.0)
        worst = max(worst, (abs(a - b) - absolute) / max(b, 1e-12))
    comparer.add(array, worst, relative, f"relative, beyond {absolute:g}")
