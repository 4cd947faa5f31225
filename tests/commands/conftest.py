"""Fixtures of the commands that work on a trained segmenter."""

import pytest

from pading.data.shapes.generation import ShapesSettings, generate
from pading.vocabulary.splits import load_split
from tests.runs import UNSCORED, convert, train


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory):
    """A checkpoint that stage 2 of Shapes starts from, with a few scenes to learn from."""
    root = tmp_path_factory.mktemp("datasets")
    settings = ShapesSettings(seed=0, train=4, val=2, size=64)
    generate(root / "shapes", load_split("shapes"), settings, workers=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DETECTRON2_DATASETS", str(root))
        train("pretrain", root / "one", "SOLVER.MAX_ITER", 1, *UNSCORED)
        convert(root / "one" / "model_final.pth", root / "converted.pth")
        yield root / "converted.pth"
