"""Machines that lack what is asked for: GPUs, room, permission, a free port."""

import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from pading.errors import InputError
from pading.files import write_json
from tests import runs
from tests.bad_inputs.rows import Row, check_refusal, nothing, table, train
from tests.bad_inputs.world import World

_OUTPUT = "name a folder that can be written"
ROWS = [
    Row(
        "no GPU",
        nothing,
        "MODEL.DEVICE is 'cuda'",
        "use MODEL.DEVICE cpu",
        train("MODEL.DEVICE", "cuda"),
    ),
    Row(
        "no such device",
        nothing,
        "MODEL.DEVICE is 'gpu'",
        "use 'cuda', 'cuda:1', ... or 'cpu'",
        train("MODEL.DEVICE", "gpu"),
    ),
    Row(
        "no device",
        nothing,
        "MODEL.DEVICE is ''",
        "use 'cuda', 'cuda:1', ... or 'cpu'",
        train("MODEL.DEVICE", ""),
    ),
    Row(
        "too many GPUs",
        nothing,
        "--num-gpus 64",
        "leave --num-gpus out",
        train("--num-gpus=64", "MODEL.DEVICE", "cuda"),
    ),
    Row("less than no GPU", nothing, "--num-gpus -1", "give 0 or more", train("--num-gpus=-1")),
    Row(
        "output is a file", lambda w: w.output.write_text(""), "output: cannot write there", _OUTPUT
    ),
    Row(
        "output below a file",
        lambda w: w.path("f").write_text(""),
        "f/x: cannot write there",
        _OUTPUT,
        train("OUTPUT_DIR", "{root}/f/x"),
    ),
    Row(
        "output cannot be made",
        nothing,
        "/proc/x: cannot write there",
        _OUTPUT,
        train("OUTPUT_DIR", "/proc/x"),
    ),
]


@table(ROWS)
def test_refused(
    row: Row,
    world: World,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    check_refusal(row, world, capsys)


TWO_GPUS = [
    Row(
        "no such GPU",
        nothing,
        "MODEL.DEVICE is 'cuda:2'",
        "'cuda:0' to 'cuda:1'",
        train("MODEL.DEVICE", "cuda:2"),
    ),
    Row(
        "one GPU for two processes",
        nothing,
        "MODEL.DEVICE is 'cuda:1'",
        "use MODEL.DEVICE cuda",
        train("--num-gpus=2", "MODEL.DEVICE", "cuda:1"),
    ),
]


@table(TWO_GPUS)
def test_with_two_gpus(
    row: Row, world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    check_refusal(row, world, capsys)


def test_more_processes_of_torchrun_than_gpus(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    given = {"RANK": 1, "LOCAL_RANK": 1, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
    for name, value in {**given, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": 1}.items():
        monkeypatch.setenv(name, str(value))
    run = train("MODEL.DEVICE", "cuda")
    check_refusal(
        Row("", nothing, "process 1 of 2 on this machine has no GPU", "--nproc-per-node", run),
        *(world, capsys),
    )


def test_port_taken(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        run = train("--num-gpus=2", f"--dist-url={url}")
        row = Row("", nothing, f"--dist-url {url}: its port is taken", "give another one", run)
        check_refusal(row, world, capsys)


@contextmanager
def _largest_file(size: int) -> Iterator[None]:
    """As on a disk that is full: what writes more than ``size`` bytes fails halfway."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_disk_full_while_writing_json(world: World) -> None:
    write_json(world.path("out.json"), "old")
    with (
        _largest_file(2**12),
        pytest.raises(InputError, match=r"out\.json: cannot write.*make room"),
    ):
        write_json(world.path("out.json"), "new" * 2**16)
    assert world.path("out.json").read_text() == '"old"'
    assert not list(world.root.glob(".out*"))


def test_disk_full_while_converting(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    from pading.commands import convert as preprocess_pretrained_weight

    head = "sem_seg_head.predictor.class_embed."
    weights = {
        head + "weight": torch.zeros(4, 32),
        head + "bias": torch.zeros(4),
        "a": torch.zeros(2**16),
    }

    def convert(world: World) -> None:
        with _largest_file(2**15):
            runs.run(
                preprocess_pretrained_weight.main,
                *("--task_name", "panoptic", "--split", world.path("split.json")),
                *("--input_file", world.path("in.pth"), "--output_file", world.path("out.pth")),
            )

    def spoil(world: World) -> None:
        torch.save(weights, world.path("in.pth"))

    check_refusal(Row("", spoil, "out.pth: cannot write", "make room", convert), world, capsys)
