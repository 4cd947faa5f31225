"""Each preparation script is killed in the middle of its work, and run again."""

import importlib
import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pading.data.ground_truth import load_semantic
from pading.data.preparation import coco_stuff
from pading.data.spec import DatasetSpec
from pading.evaluation.pixel_scores import folder_labels
from pading.vocabulary.splits import load_split

SUBSETS = ("train", "val")
# Ids of a class split of two things and two stuff classes, one of each unseen (5 and 21).
IDS = np.array([3, 5, 20, 21, 9])
IMAGES = 6


@pytest.fixture
def root(tmp_path: Path, seed: int) -> Path:
    """COCO's layout with six images a subset: instances, panoptic PNGs and pixel maps."""
    root, rng = tmp_path / "coco", np.random.default_rng(seed)
    (root / "annotations").mkdir(parents=True)
    for subset in SUBSETS:
        images = [
            {"id": i, "file_name": f"{i}.png", "height": 20, "width": 24} for i in range(IMAGES)
        ]
        # Image 0 is free of unseen classes, image 1 is not; the others as it comes.
        labels = [IDS[[0, 2]], IDS[:2], *rng.choice(IDS, (IMAGES - 2, 2))]
        panoptic, instances = [], []
        for image, classes in zip(images, labels, strict=True):
            values = np.repeat(classes, 12).astype(np.uint8)[None].repeat(20, axis=0)
            colours = np.stack([np.repeat([1, 2], 12)[None].repeat(20, 0), *[0 * values] * 2], -1)
            for folder, pixels in (
                (f"{subset}2017", colours),
                (f"panoptic_{subset}2017", colours),
                (f"stuffthingmaps/{subset}2017", values),
            ):
                (root / folder).mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels.astype(np.uint8)).save(root / folder / image["file_name"])
            segments = [{"id": n + 1, "category_id": int(c)} for n, c in enumerate(classes)]
            name = {"image_id": image["id"], "file_name": image["file_name"]}
            panoptic.append({**name, "segments_info": segments})
            instances += [
                {"id": 2 * image["id"] + s["id"], "image_id": image["id"], **s} for s in segments
            ]
        names = {3: "cup", 9: "fork", 5: "spoon", 20: "table", 21: "floor"}
        categories = [{"id": i, "name": names[i]} for i in names]
        for kind, entries in (("panoptic", panoptic), ("instances", instances)):
            content = {"images": images, "annotations": entries, "categories": categories}
            year = {"panoptic": 2017, "instances": 2014}[kind]
            path = root / "annotations" / f"{kind}_{subset}{year}.json"
            path.write_text(json.dumps(content))
    return root


def contents(root: Path) -> dict[str, bytes]:
    """Every file but hidden ones, which nobody reads."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def kill_at_file(number: int, main: Callable[[list[str]], None], arguments: list[str]) -> None:
    """Run ``main`` in a process that is killed when its n-th file is written but not yet moved."""

    def work() -> None:
        written, move = 0, os.replace

        def move_or_die(source: str, target: str) -> None:
            nonlocal written
            written += 1
            if written == number:
                os.kill(os.getpid(), signal.SIGKILL)
            move(source, target)

        os.replace = move_or_die  # type: ignore[assignment]
        main(arguments)

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("script", "number"),
    [
        ("panoptic", 1),  # the seen-only file
        ("panoptic", 2),  # a map of the training set
        ("panoptic", 7),  # a map of either
        ("instances", 2),
        ("stuff", 4),
        ("stuff", IMAGES + 2),
    ],
)
def test_killed_and_run_again(
    script: str,
    number: int,
    root: Path,
    split_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    main = importlib.import_module(f"pading.data.preparation.coco_{script}").main
    choice = ["--splits"] if script == "instances" else ["--workers", "1", "--split"]
    undisturbed = shutil.copytree(root, tmp_path / "undisturbed")
    main(["--root", str(undisturbed), *choice, str(split_file)])
    table = [line for line in capsys.readouterr().out.splitlines() if "|" in line]
    expected, before = contents(undisturbed), contents(root)
    assert len(expected) > len(before)

    arguments = ["--root", str(root), *choice, str(split_file)]
    kill_at_file(number, main, arguments)
    left = contents(root)
    assert list(root.rglob(".*.partial.*")), "it was not killed while writing"
    assert len(before) <= len(left) < len(expected)
    assert left.items() <= expected.items(), "a file is half written"
    capsys.readouterr()
    main(arguments)
    assert contents(root) == expected
    assert [line for line in capsys.readouterr().out.splitlines() if "|" in line] == table


def test_maps_of_a_killed_run_are_readable_after_the_next(root: Path, split_file: Path) -> None:
    """What a killed run leaves behind is no label map."""
    main = coco_stuff.main
    arguments = ["--root", str(root), "--workers", "1", "--split", str(split_file)]
    kill_at_file(2, main, arguments)
    main(arguments)
    made = DatasetSpec("made", "semantic", str(split_file), "train2017").under(root)
    folder = root / "stuffthingmaps" / "train2017_kitchen_seen"
    assert list(folder.glob(".*.png"))
    made = replace(made, labels=str(folder), contiguous_labels=True)
    assert len(load_semantic(made, load_split(split_file))) == IMAGES
    assert len(folder_labels(folder)) == IMAGES
