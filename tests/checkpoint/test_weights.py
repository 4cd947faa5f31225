"""Reading weights: every format, and files that must not be trusted."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pading.checkpoint.weights import read_weights
from pading.errors import InputError


class Malice:
    """Its pickle makes a folder when it is loaded by a trusting reader."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


@pytest.fixture
def tensors(rng: torch.Generator) -> dict[str, torch.Tensor]:
    return {
        "a.weight": torch.randn(3, 4, generator=rng),
        "b": torch.arange(5),
        "num_batches_tracked": torch.tensor(7),
    }


def assert_same(found: dict, wanted: dict[str, torch.Tensor]) -> None:
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        assert torch.equal(found[name], value)


@pytest.mark.parametrize("wrapped", [True, False])
def test_torch_file(wrapped: bool, tensors: dict, tmp_path: Path) -> None:
    content = {"model": tensors, "iteration": 7} if wrapped else tensors
    torch.save(content, tmp_path / "w.pth")
    found = read_weights(tmp_path / "w.pth")
    assert_same(found["model"], tensors)
    assert found.get("iteration") == (7 if wrapped else None)


def test_torch_file_with_numpys_arrays_and_scalars(tensors: dict, tmp_path: Path) -> None:
    arrays = {name: value.numpy() for name, value in tensors.items()}
    content = {"model": arrays, "iteration": np.int64(7), "trainer": {"lr": np.float64(0.5)}}
    torch.save(content, tmp_path / "w.pth")
    found = read_weights(tmp_path / "w.pth")
    assert_same(found["model"], tensors)
    assert (found["iteration"], found["trainer"]["lr"]) == (7, 0.5)
    # Nothing stays admitted.
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "w.pth", weights_only=True)


def test_safetensors(tensors: dict, tmp_path: Path) -> None:
    save_file(tensors, tmp_path / "w.safetensors")
    assert_same(read_weights(tmp_path / "w.safetensors")["model"], tensors)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickled_arrays(protocol: int, tensors: dict, tmp_path: Path) -> None:
    arrays = {name: value.numpy() for name, value in tensors.items()}
    content = {"model": arrays, "__author__": "model zoo", "matching_heuristics": True}
    (tmp_path / "w.pkl").write_bytes(pickle.dumps(content, protocol))
    found = read_weights(tmp_path / "w.pkl")
    assert_same(found["model"], tensors)
    assert found["matching_heuristics"] is True


def test_arrays_in_fortran_order(tmp_path: Path) -> None:
    array = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    (tmp_path / "w.pkl").write_bytes(pickle.dumps({"a": array}))
    assert torch.equal(read_weights(tmp_path / "w.pkl")["model"]["a"], torch.from_numpy(array))


@pytest.mark.parametrize("ending", [".pkl", ".pth"])
def test_malicious_pickle_is_refused_and_not_run(ending: str, tmp_path: Path) -> None:
    made = tmp_path / "made"
    path = tmp_path / f"w{ending}"
    content = {"model": {"a": Malice(made)}}
    if ending == ".pkl":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path)
    with pytest.raises(
        InputError,
        match=f"w\\{ending}: not a file of weights that can be trusted: it asks for \\w+.mkdir;",
    ):
        read_weights(path)
    assert not made.exists()
    # The pickle does what it is accused of.
    pickle.loads(pickle.dumps(content["model"]["a"]))  # noqa: S301
    assert made.exists()


@pytest.mark.parametrize("ending", [".pkl", ".pth", ".safetensors"])
def test_truncated_file(ending: str, tensors: dict, tmp_path: Path) -> None:
    path = tmp_path / f"w{ending}"
    if ending == ".pkl":
        path.write_bytes(pickle.dumps({name: t.numpy() for name, t in tensors.items()}))
    elif ending == ".pth":
        torch.save(tensors, path)
    else:
        save_file(tensors, path)
    whole = path.read_bytes()
    for length in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match="not a file of weights that can be trusted"):
            read_weights(path)


@pytest.mark.parametrize("ending", [".pkl", ".pth", ".safetensors"])
def test_text_file(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"w{ending}"
    path.write_text("<html>404: this is not the file that you asked for</html>\n")
    with pytest.raises(InputError, match=f"w\\{ending}: not a file of weights") as caught:
        read_weights(path)
    if ending != ".safetensors":
        assert "it is damaged, cut off or of another format" in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    for name in ("none.pth", "none.pkl", "none.safetensors"):
        with pytest.raises(InputError, match=f"{name}: cannot read these weights: No such file"):
            read_weights(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "expected a dictionary of tensors, found list"),
        ({"model": {}}, "no state dict under 'model'"),
        ({"model": {"a": "text"}}, "a is no tensor but str"),
    ],
)
def test_other_content(content: object, message: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(InputError, match=message):
        read_weights(tmp_path / "w.pth")


def test_arrays_of_objects(tmp_path: Path) -> None:
    content = {"a": np.array([{}, []], dtype=object)}
    (tmp_path / "w.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(InputError, match="a is no tensor but ndarray"):
        read_weights(tmp_path / "w.pkl")
