"""The demo on photographs, on a few small ones in their authors' form."""

import json
import runpy
from pathlib import Path

import demo_msrc
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from pading.vocabulary.class_vectors import ClassVectors
from pading.vocabulary.splits import load_split
from tests.narrow import NARROW
from tests.runs import run

TINY = {key: value for key, value in NARROW.items() if ".RESNETS." not in key} | {
    "MODEL.WEIGHTS": "",
    "MODEL.STORE.AUGMENTATIONS": 1,
    "INPUT.CROP_SIZE": "[64, 64]",
    "SOLVER.IMS_PER_BATCH": 2,
    "SOLVER.MAX_ITER": 2,
    "SOLVER.WARMUP_ITERS": 1,
}
_GRASS, _COW, _SHEEP = 2, 4, 6


def _photograph(folder: Path, name: str, animal: int, rng: torch.Generator) -> None:
    pixels = torch.randint(256, (64, 96, 3), generator=rng, dtype=torch.uint8).numpy()
    segments = np.ones((64, 96), dtype=np.uint8)
    segments[16:48, 20:60] = 2
    for part in ("Images", "newsegmentations_mats"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(folder / "Images" / f"{name}.bmp")
    content = {"newseg": segments, "newlabels": np.array([[_GRASS, animal]], dtype=np.uint8)}
    savemat(folder / "newsegmentations_mats" / f"{name}.mat", content)


@pytest.mark.slow
def test_tables_and_pictures(
    tmp_path: Path, rng: torch.Generator, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    def run_here(script: Path, *arguments: object) -> None:
        run(lambda: runpy.run_path(str(script), run_name="__main__"), *arguments)

    monkeypatch.setattr(demo_msrc, "run", run_here)
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    for name, animal in (("1_3_s", _COW), ("2_1_s", _COW), ("1_1_s", _COW), ("1_2_s", _SHEEP)):
        _photograph(tmp_path / "authors", name, animal, rng)
    # As published vectors have them: some of the classes under other names.
    names = [demo_msrc._COCO_STUFF.get(n, n) for n in load_split("msrc_17_4").names]
    vectors = torch.randn(len(names), 8, generator=rng).numpy()
    ClassVectors(tuple(names), vectors, "drawn").save(tmp_path / "theirs.npz")
    tiny = [str(part) for pair in TINY.items() for part in pair]
    output = tmp_path / "demo"
    more = ("--vectors", tmp_path / "theirs.npz", "--scenes", 1)
    run(demo_msrc.main, "--source", tmp_path / "authors", "--output", output, *more, *tiny)
    results = json.loads((output / "results.json").read_text())
    for name in ("before_stage_2", "PADing_MiniLM", "PADing_theirs"):
        for task, figure in (("panoptic_seg", "pq"), ("sem_seg", "miou"), ("segm", "ap50")):
            assert figure in results[name][task]["unseen"]
    assert "miou" in results["LSeg_theirs"]["unseen"]
    for picture in ("photographs.png", "label_maps.png"):
        assert (output / picture).stat().st_size > 1000
    shown = capsys.readouterr().out
    assert "PQ" in shown and "AP50" in shown
