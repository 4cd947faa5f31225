"""Every part of stage 2 against the recording of the published code."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.modeling.recordings import PADING, Recording

EMBEDDINGS = 1e-4


@pytest.fixture(scope="module")
def recording(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    path = shared / "golden" / "model" / f"{PADING}.npz"
    return Recording(path, tmp_path_factory.mktemp(PADING))


@pytest.fixture(scope="module")
@torch.no_grad()
def parts(recording: Recording) -> dict[str, Tensor]:
    """Our modules' outputs on what the published ones were given, by the names of the recording."""
    model = recording.model
    tokens = model.semantic_projection(model.class_vectors)
    seen, unseen = tokens[model.seen], tokens[model.unseen]
    synthetic = model.generator(seen[recording.tensor("matched_label")])
    synthetic_unseen = model.generator(unseen)
    ours = {
        "fc_projection/0": seen,
        "fc_projection/1": unseen,
        "fc_projection/2": unseen,
        "generator/0": synthetic,
        "generator/1": synthetic_unseen,
        "generator/2": synthetic_unseen,
    }
    groups = ((synthetic, seen), (synthetic_unseen, unseen))
    for i, (embeddings, group_tokens) in enumerate(groups):
        split = model.disentangler(embeddings)
        ours |= {
            f"projection_related/{i}": split.related,
            f"projection_unrelated/{i}": split.unrelated,
            f"decoder/{i}": split.rebuilt,
            f"relation/{i}": model.disentangler.relation_scores(split.related, group_tokens),
        }
    return ours


@pytest.mark.parametrize("module", ["fc_projection", "generator"])
@pytest.mark.parametrize("call", [0, 1, 2])
def test_generation(module: str, call: int, recording: Recording, parts: dict) -> None:
    assert_recorded(recording, parts, f"{module}/{call}")


@pytest.mark.parametrize(
    "module", ["projection_related", "projection_unrelated", "decoder", "relation"]
)
@pytest.mark.parametrize("call", [0, 1])
def test_disentanglement(module: str, call: int, recording: Recording, parts: dict) -> None:
    assert_recorded(recording, parts, f"{module}/{call}")


def assert_recorded(recording: Recording, parts: dict[str, Tensor], name: str) -> None:
    wanted = recording.tensor(f"part/{name}")
    if name == "generator/2":  # the classifier step draws the unseen classes in random order
        first, again = recording.tensor("part/generator/1")[0, 0], wanted[0, 0]
        drawn = torch.cdist(again, first).argmin(1)
        assert drawn.unique().shape == drawn.shape
        parts = {name: parts[name][drawn]}
    torch.testing.assert_close(parts[name].reshape(wanted.shape), wanted, atol=EMBEDDINGS, rtol=0.0)
