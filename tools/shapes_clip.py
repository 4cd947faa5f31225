"""A tiny CLIP of images and captions of Shapes: what stands for OpenAI's in ``make demo-zegclip``.

It sees pictures of one object on a ground, or of a ground, and their captions: all combinations of
colours and shapes, also those that are unseen later, but no mask of any. Texts are the shipped
vectors of class names, centred, under a linear map that is learned.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pading.backbones.clip_image import ClipImageTower
from pading.backbones.clip_shapes import ClipImageShape
from pading.checkpoint.weights import write_weights
from pading.data.shapes.crops import draw_crop
from pading.data.shapes.scenes import Look, parse_look
from pading.vocabulary.class_vectors import ClassVectors, load_class_vectors
from pading.vocabulary.splits import ClassSplit, load_split

SHAPE = ClipImageShape(
    embed_dim=64, width=64, layers=4, head_width=16, patch_size=8, image_size=64, stem=True
)
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
_SCENE = 128  # side of the scenes of which pictures are parts
_GROUND_ALONE = 0.2  # share of pictures without an object


class TinyCLIP(nn.Module):
    """Both towers, and the temperature."""

    def __init__(self, names: Tensor) -> None:
        super().__init__()
        self.visual = ClipImageTower(SHAPE)
        self.map = nn.Linear(names.shape[1], SHAPE.embed_dim, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        centred = names - names.mean(0)
        self.register_buffer("names", F.normalize(centred, dim=1))

    def texts(self) -> Tensor:
        """(K, D) unit vectors of all captions."""
        return F.normalize(self.map(self.names), dim=1)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 255] to logits of all captions (B, K)."""
        mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (MEAN, STD))
        found = F.normalize(self.visual((images - mean) / std).image, dim=1)
        return self.logit_scale.exp() * found @ self.texts().T


def train(folder: Path, seed: int, pictures: int = 64_000, batch: int = 128) -> float:
    """Train it, and write ``clip.pth`` and the class vectors ``texts.npz``.

    Args:
        folder: to write to.
        seed: of weights and pictures.
        pictures: how many it sees.
        batch: of them.

    Returns:
        zero-shot accuracy over the things, on pictures that it has not seen.
    """
    split = load_split("shapes")
    torch.manual_seed(seed)
    model = TinyCLIP(load_class_vectors("shapes_minilm", split))
    rng, steps = np.random.default_rng(seed), pictures // batch
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, steps, pct_start=0.1)
    looks = [parse_look(info) for info in split.classes]
    for step in range(steps):
        labels = [_drawn(rng, split) for _ in range(batch)]
        images = torch.stack([_picture(rng, looks, split, label) for label in labels])
        loss = F.cross_entropy(model(images), torch.tensor(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 99:
            print(f"CLIP of Shapes: {(step + 1) * batch} pictures, loss {loss.item():.3f}")
    folder.mkdir(parents=True, exist_ok=True)
    model.eval()
    state = model.visual.state_dict()
    write_weights(folder / "clip.pth", {f"visual.{name}": value for name, value in state.items()})
    texts = model.texts().detach().numpy()
    ClassVectors(split.names, texts, f"CLIP of Shapes, seed {seed}").save(folder / "texts.npz")
    return accuracy(model, split, np.random.default_rng([seed, 1]))


@torch.no_grad()
def accuracy(model: TinyCLIP, split: ClassSplit, rng: np.random.Generator, each: int = 20) -> float:
    """Share of pictures of every thing whose best caption among the things is right."""
    looks = [parse_look(info) for info in split.classes]
    things = list(split.things)
    right = 0
    for place, label in enumerate(things):
        images = torch.stack([_picture(rng, looks, split, label) for _ in range(each)])
        right += int((model(images)[:, things].argmax(1) == place).sum())
    return right / (each * len(things))


def _drawn(rng: np.random.Generator, split: ClassSplit) -> int:
    alone = rng.random() < _GROUND_ALONE
    return int(rng.choice(split.stuff if alone else split.things))


def _picture(
    rng: np.random.Generator, looks: Sequence[Look], split: ClassSplit, label: int
) -> Tensor:
    thing = looks[label] if looks[label].isthing else None
    ground = looks[int(rng.choice(split.stuff))] if thing else looks[label]
    image = draw_crop(rng, thing, ground, _SCENE, SHAPE.image_size)
    return torch.from_numpy(image).permute(2, 0, 1).float()
