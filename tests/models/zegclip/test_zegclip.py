"""ZegCLIP: classes apart, settings of training, sizes, published names, what is refused."""

import math
from dataclasses import replace

import open_clip
import pytest
import torch
from torch.nn import functional as F

from pading.checkpoint.checkpointer import Checkpointer
from pading.data.masks import IGNORE_LABEL
from pading.errors import InputError
from pading.models.registry import system_of_weights
from pading.models.zegclip.pseudo_labels import labelled_by_scores, labelled_where_unlabelled
from pading.structures import pixel_classes
from tests.models.zegclip.conftest import NARROW, UNSEEN, WIDTH, narrow_split

SETTING = "MODEL.ZEGCLIP.SETTING"


class Holder(torch.nn.Module):
    """An image tower under its name in OpenAI's archives."""

    def __init__(self, visual: torch.nn.Module) -> None:
        super().__init__()
        self.visual = visual

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.visual(images)


@torch.no_grad()
def test_class_lists_in_chunks_give_equal_numbers(make_zegclip, rng: torch.Generator) -> None:
    model = make_zegclip().eval()
    images = torch.randn(2, 3, 40, 64, generator=rng)
    vectors = torch.randn(9, WIDTH, generator=rng)
    text = F.normalize(vectors, dim=1)
    whole = model.logits(images, text)
    parts = torch.cat([model.logits(images, part) for part in text.split([1, 5, 3])], 1)
    torch.testing.assert_close(parts, whole, atol=1e-5, rtol=1e-5)
    other = model.with_classes(narrow_split(()), vectors[:5], [None] * 5)
    torch.testing.assert_close(other.network(images), whole[:, :5], atol=1e-5, rtol=1e-5)
    assert model.split.unseen == UNSEEN and other.head is model.head


@torch.no_grad()
def test_a_prior_is_added_to_mask_logits(make_zegclip, rng: torch.Generator) -> None:
    published, rare = (make_zegclip({"MODEL.ZEGCLIP.PRIOR": p}).eval() for p in (0.5, 0.02))
    rare.load_state_dict(published.state_dict())
    images = torch.randn(1, 3, 40, 64, generator=rng)
    added = rare.network(images) - published.network(images)
    torch.testing.assert_close(added, torch.full_like(added, math.log(0.02 / 0.98)))


@pytest.mark.parametrize(
    "overrides",
    [
        {},
        {"MODEL.ZEGCLIP.PROMPT_DEPTH": 0},
        {"MODEL.ZEGCLIP.PROMPTS": 0, "MODEL.ZEGCLIP.TUNE": "all"},
        {"MODEL.ZEGCLIP.DESCRIPTOR": False},
        {"MODEL.ZEGCLIP.DECODER_LAYERS": 1, "MODEL.ZEGCLIP.CLASS_EMBEDDING": "twice"},
    ],
)
def test_every_trained_parameter_gets_a_gradient(
    overrides: dict, make_zegclip, make_labelled
) -> None:
    model = make_zegclip(overrides).train()
    sum(model(make_labelled([0, 2, 4], [2])).values()).backward()
    trained = [n for n, p in model.named_parameters() if p.requires_grad]
    lacking = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    tower = [n for n in trained if n.startswith("backbone.")]
    assert not lacking
    assert bool(tower) == (overrides.get("MODEL.ZEGCLIP.TUNE") == "all")


def test_frozen_tower_and_groups(make_zegclip) -> None:
    model = make_zegclip()
    assert not any(p.requires_grad for p in model.backbone.parameters())
    limit = math.sqrt(6 / (3 * 8**2 + 32))
    assert model.prompts.first.abs().max() <= limit < 1.5 * model.prompts.deep.abs().max()


@torch.no_grad()
@pytest.mark.parametrize("size", [(64, 64), (41, 77), (32, 136)])
def test_any_size_by_windows_and_whole(size, make_zegclip, rng: torch.Generator) -> None:
    image = torch.randint(256, (3, *size), generator=rng, dtype=torch.uint8)
    asked = [{"image": image, "height": 50, "width": 90}]
    whole = make_zegclip().eval()(asked)[0]["sem_seg"]
    windows = {"MODEL.INFERENCE.WINDOW": [40, 28], "MODEL.INFERENCE.STRIDE": [30, 20]}
    model = make_zegclip({**windows, "MODEL.INFERENCE.SEEN_BIAS": 0.1}).eval()
    [found] = model(asked)
    assert whole.shape == found["sem_seg"].shape == (5, 50, 90)
    assert whole.min() >= 0 and whole.max() <= 1 and found["sem_seg"].min() >= -0.1


@torch.no_grad()
def test_results_of_raw_outputs_are_those_of_the_model(make_zegclip, make_labelled) -> None:
    model = make_zegclip({"MODEL.INFERENCE.SEEN_BIAS": 0.1}).eval()
    for image in make_labelled([0], [2]):
        pixels, sizes = model.preprocess([image])
        [wanted] = model([image])
        [found] = model.results(model.network(pixels), sizes)
        torch.testing.assert_close(found["sem_seg"], wanted["sem_seg"], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_images_and_windows_in_one_batch(make_zegclip, rng: torch.Generator) -> None:
    sizes = [(40, 56), (32, 24), (40, 56)]
    images = [torch.randint(256, (3, *s), generator=rng, dtype=torch.uint8) for s in sizes]
    batch = [{"image": x, "height": 20 + n, "width": 30} for n, x in enumerate(images)]
    windows = {"MODEL.INFERENCE.WINDOW": [32, 32], "MODEL.INFERENCE.STRIDE": [16, 16]}
    by_eight = {**windows, "MODEL.INFERENCE.WINDOW_BATCH": 8}
    for settings, looks in (({}, [2, 1]), (by_eight, [8, 4, 1])):
        model = make_zegclip(settings).eval()
        seen: list[int] = []
        model.backbone.register_forward_pre_hook(lambda _, x, seen=seen: seen.append(len(x[0])))
        together = model(batch)
        assert seen == looks
        for one, found in zip(batch, together, strict=True):
            [alone] = model([one])
            torch.testing.assert_close(found["sem_seg"], alone["sem_seg"], atol=1e-5, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("window", [[], [32, 32]])
def test_classes_in_turn_are_those_of_all_at_once(
    window: list[int], make_zegclip, rng: torch.Generator
) -> None:
    sizes = {"MODEL.INFERENCE.WINDOW": window, "MODEL.INFERENCE.STRIDE": [24, 24]}
    model = make_zegclip({"MODEL.INFERENCE.SEEN_BIAS": 0.01, **sizes}).eval()
    image = {"image": torch.randint(256, (3, 40, 56), generator=rng), "height": 50, "width": 70}
    expected = pixel_classes(model([image])[0])
    model.inference = replace(model.inference, memory=2 * 4 * 50 * 70)
    labels, best, total = model([image])[0]["pixel_classes"]
    torch.testing.assert_close(best, expected.best, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(total, expected.total, atol=1e-5, rtol=1e-4)
    assert (labels == expected.labels).float().mean() > 0.99  # but for ties


@torch.no_grad()
def test_mixed_precision(make_zegclip, make_labelled) -> None:
    whole = make_zegclip().eval()
    mixed = make_zegclip({"MODEL.INFERENCE.DTYPE": "bfloat16"}).eval()
    mixed.load_state_dict(whole.state_dict())
    batch = make_labelled([0], [2])
    for wanted, found in zip(whole(batch), mixed(batch), strict=True):
        assert found["sem_seg"].dtype == torch.float32
        assert not found["sem_seg"].equal(wanted["sem_seg"])
        torch.testing.assert_close(found["sem_seg"], wanted["sem_seg"], atol=0.03, rtol=0.1)


def test_inductive_refuses_unseen_and_takes_nothing(make_zegclip, make_labelled) -> None:
    model = make_zegclip().train()
    with pytest.raises(InputError, match=r"0.png: the unseen class 'fork' in training"):
        model(make_labelled([1]))
    nothing = model(make_labelled([], []))
    assert nothing["loss_dice"] == 0 and nothing["loss_mask"] > 0
    ignored = make_zegclip({"MODEL.ZEGCLIP.VOID": "ignored"}).train()
    losses = ignored(make_labelled([], []))
    sum(losses.values()).backward()
    assert not any(losses.values())


def test_losses_of_all_rows_are_those_of_asked_rows(make_zegclip, make_labelled) -> None:
    model = make_zegclip({"MODEL.ZEGCLIP.DROPOUT": 0.0, "MODEL.ZEGCLIP.PROMPT_DROPOUT": 0.0})
    model.train()
    batch = make_labelled([0, 2], [4])
    images, sizes = model.preprocess(batch)
    found = model.losses(model.network(images), model.targets(batch, sizes))
    torch.testing.assert_close(found, model(batch), rtol=1e-4, atol=1e-6)


def test_self_training_never_reads_which_unseen_class_it_is(make_zegclip, make_labelled) -> None:
    no_chance = {"MODEL.ZEGCLIP.DROPOUT": 0.0, "MODEL.ZEGCLIP.PROMPT_DROPOUT": 0.0}
    model = make_zegclip({SETTING: "transductive", **no_chance}).train()
    batch = make_labelled([0, 1, 3], [2, 3])
    exchanged = [{**x, "sem_seg": torch.where(x["sem_seg"] == 1, 3, x["sem_seg"])} for x in batch]
    torch.testing.assert_close(model(batch), model(exchanged))
    # Without annotation of where they are, nothing changes where they are unlabelled.
    model.unseen_pixels = "unlabelled"
    hidden = [x["sem_seg"].clone() for x in batch]
    for labels in hidden:
        labels[torch.isin(labels, torch.tensor(UNSEEN))] = IGNORE_LABEL
    unlabelled = [{**x, "sem_seg": y} for x, y in zip(batch, hidden, strict=True)]
    assert sum(model(unlabelled).values()).isfinite()


def test_pseudo_labels(rng: torch.Generator) -> None:
    masks = torch.randn(2, 5, 3, 4, generator=rng)
    labels = torch.randint(-1, 5, (2, 6, 7), generator=rng)
    logits = F.interpolate(masks, (6, 7), mode="bilinear")
    labels[labels < 0] = IGNORE_LABEL
    best = torch.where(logits[:, 1] > logits[:, 3], 1, 3)
    found = labelled_by_scores(masks, labels, UNSEEN)
    is_unseen = (labels == 1) | (labels == 3)
    assert found[is_unseen].equal(best[is_unseen])
    assert found[~is_unseen].equal(labels[~is_unseen])
    guessed = labelled_where_unlabelled(masks, labels, (0, 2, 4), UNSEEN)
    wins = (labels == IGNORE_LABEL) & torch.isin(logits.argmax(1), torch.tensor(UNSEEN))
    assert guessed[wins].equal(best[wins])
    assert guessed[~wins].equal(labels[~wins])


def test_vectors_as_good_as_unit_are_used_as_they_are(make_zegclip) -> None:
    model = make_zegclip()
    unit = F.normalize(torch.randn(5, WIDTH), dim=1).half().float()
    model.class_vectors.copy_(unit)
    assert model.text.equal(unit)
    model.class_vectors.copy_(3 * unit)
    torch.testing.assert_close(model.text, F.normalize(unit, dim=1))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_clip_weights_go_to_the_tower_alone(make_zegclip, tmp_path) -> None:
    model = make_zegclip()
    vision = {"layers": 3, "width": 32, "head_width": 16, "patch_size": 8, "image_size": 48}
    text = {"width": 32, "heads": 2, "layers": 1}
    clip = open_clip.CLIP(WIDTH, vision, text)
    torch.save(clip.state_dict(), tmp_path / "clip.pt")
    before = {n: v.clone() for n, v in model.state_dict().items()}
    Checkpointer(model).load(str(tmp_path / "clip.pt"))
    changed = {n for n, v in model.state_dict().items() if not v.equal(before[n])}
    assert changed and all(name.startswith("backbone.") for name in changed)
    torch.testing.assert_close(model.backbone.proj, clip.visual.proj)
    traced = torch.jit.trace(clip.visual, torch.zeros(1, 3, 48, 48), check_trace=False)
    torch.jit.script(Holder(traced)).save(str(tmp_path / "openai.pt"))
    with pytest.raises(InputError, match=r"openai.pt .*quick_gelu True, but MODEL.CLIP asks for"):
        Checkpointer(model).load(str(tmp_path / "openai.pt"))
    quick = [*NARROW["MODEL.CLIP.OPTIONS"], "quick_gelu", True]
    Checkpointer(make_zegclip({"MODEL.CLIP.OPTIONS": quick})).load(str(tmp_path / "openai.pt"))
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "another.pt"))
    with pytest.raises(InputError, match=r"another.pt: these are no weights of a CLIP"):
        Checkpointer(make_zegclip()).load(str(tmp_path / "another.pt"))


def test_published_names_back_and_forth(make_zegclip) -> None:
    model = make_zegclip()
    names = list(model.state_dict())
    published = [model.published_names.published(name) for name in names]
    assert "decode_head.decoder_1.layers.2.multihead_attn.q.weight" in published
    assert [model.published_names.ours(name) for name in published] == names
    assert system_of_weights(published) is type(model)


def test_checkpoints_of_other_sizes(make_zegclip, tmp_path) -> None:
    path = str(tmp_path / "model.pth")
    torch.save({"model": make_zegclip().state_dict()}, path)
    larger = make_zegclip({"MODEL.CLIP.IMAGE_SIZE": 64})
    with pytest.raises(InputError, match="images of 32: set MODEL.CLIP.IMAGE_SIZE 32"):
        Checkpointer(larger).load(path)
    with pytest.raises(InputError, match="MODEL.ZEGCLIP.PROMPTS and PROMPT_DEPTH"):
        Checkpointer(make_zegclip({"MODEL.ZEGCLIP.PROMPTS": 5})).load(path)
    Checkpointer(make_zegclip()).load(path)


def test_self_training_of_another_split_is_refused(make_zegclip, tmp_path) -> None:
    start, path = make_zegclip(split=narrow_split((1, 4))), str(tmp_path / "model.pth")
    torch.save({"model": start.state_dict(), **start.described()}, path)
    with pytest.raises(InputError, match="'floor' is not unseen, unlike in 'kitchen'"):
        Checkpointer(make_zegclip({SETTING: "transductive"})).load(path)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"MODEL.ZEGCLIP.PROMPT_DEPTH": 3}, "PROMPT_DEPTH is 3, .* 3 layers; give at most 2"),
        ({"MODEL.INFERENCE.WINDOW": [32, 4]}, r"WINDOW is \[32, 4\], smaller than a patch of 8"),
        ({"MODEL.ZEGCLIP.DECODER_HEADS": 5}, "DECODER_HEADS is 5, which does not divide the 24"),
        ({"MODEL.BACKBONE.NAME": "build_resnet_backbone"}, "stands on CLIP's image tower"),
        ({"MODEL.CLIP.OPTIONS": ["embed_dim", 16]}, "vectors of 24 numbers, but .* has 16"),
        ({"MODEL.CLIP.OPTIONS": ["layers"]}, "MODEL.CLIP.OPTIONS is .*names and values in turn"),
    ],
)
def test_settings_that_are_refused(overrides: dict, message: str, make_zegclip) -> None:
    with pytest.raises(InputError, match=message):
        make_zegclip(overrides)


def test_self_training_without_unseen_classes(make_zegclip) -> None:
    with pytest.raises(InputError, match="no class of 'kitchen' is unseen; take 'supervised'"):
        make_zegclip({SETTING: "transductive"}, narrow_split(()))


def test_each_bias_of_one_pass(make_zegclip, make_labelled) -> None:
    from pading.evaluation.dial import at_each_bias

    model = make_zegclip().eval()
    batch = make_labelled([0], [2])
    found = list(at_each_bias(model, batch, [0.0, 0.3]))
    for bias, results in zip([0.0, 0.3], found, strict=True):
        wanted = make_zegclip({"MODEL.INFERENCE.SEEN_BIAS": bias}).eval()
        wanted.load_state_dict(model.state_dict())
        with torch.no_grad():
            for one, other in zip(results, wanted(batch), strict=True):
                assert torch.equal(one["sem_seg"], other["sem_seg"])
