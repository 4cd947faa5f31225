"""The configuration as the first argument."""

import argparse
import sys

import pytest

from pading.commands.configuration_argument import with_configuration


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], []),
        (["panoptic/PADing", "SEED", "1"], ["--config-file", "panoptic/PADing", "SEED", "1"]),
        (["a.yaml", "--resume"], ["--config-file", "a.yaml", "--resume"]),
        (["--resume", "--config-file", "a.yaml"], ["--resume", "--config-file", "a.yaml"]),
        (["MODEL.WEIGHTS", "a.pth"], ["MODEL.WEIGHTS", "a.pth"]),
        (["OUTPUT_DIR", "out"], ["OUTPUT_DIR", "out"]),
    ],
)
def test_first_argument(given: list[str], expected: list[str]) -> None:
    assert with_configuration(argparse.ArgumentParser(), given) == expected


def test_arguments_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["pading train", "a.yaml"])
    assert with_configuration(argparse.ArgumentParser(), None) == ["--config-file", "a.yaml"]


@pytest.mark.parametrize("second", [["--config-file", "b.yaml"], ["--config-file=b.yaml"]])
def test_given_twice(second: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        with_configuration(argparse.ArgumentParser(), ["a.yaml", *second])
    assert "given twice: a.yaml and --config-file" in capsys.readouterr().err
