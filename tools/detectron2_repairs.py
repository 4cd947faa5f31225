"""What Detectron2 v0.6 needs to run on today's PyTorch, NumPy, Pillow and setuptools.

One table, :data:`REPAIRS`: a file, what stands there, what must stand there instead, how often, and
why. :func:`apply_repairs` refuses a source tree in which any row does not fit exactly, so that a
changed source can never be repaired by half. Upstream's main branch has all of them, some in
another form: the wheel made here never holds compiled code, so its guards can be simpler.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path


class RepairError(RuntimeError):
    """The source tree is not the one that the repairs were written for."""


@dataclass(frozen=True)
class Repair:
    """``pattern`` (a regular expression) occurs ``count`` times in ``file`` and is replaced."""

    file: str
    pattern: str
    replacement: str
    count: int
    why: str


def _literal(file: str, old: str, new: str, why: str, count: int = 1) -> Repair:
    return Repair(file, re.escape(old), new.replace("\\", r"\\"), count, why)


_UNCOMPILED_WHY = "there is no compiled extension: fail when it is used, not when it is imported"
_NUMPY_WHY = "NumPy 1.24 removed its aliases of Python's built-in types"

_NUMPY_ALIASES = (
    ("data/build.py", 2),
    ("data/datasets/pascal_voc.py", 1),
    ("evaluation/pascal_voc_evaluation.py", 2),
    ("evaluation/sem_seg_evaluation.py", 7),
    ("structures/masks.py", 3),
    ("utils/video_visualizer.py", 1),
    ("utils/visualizer.py", 3),
)
_COMPILED_IMPORTS = (
    "evaluation/fast_eval_api.py",
    "layers/deform_conv.py",
    "layers/roi_align_rotated.py",
    "layers/rotated_boxes.py",
)

REPAIRS: tuple[Repair, ...] = (
    *(
        Repair(file, r"\bnp\.(bool|int|float|str)\b", r"\1", count, _NUMPY_WHY)
        for file, count in _NUMPY_ALIASES
    ),
    _literal(
        "layers/mask_ops.py",
        "np.array(mask, copy=False)",
        "np.asarray(mask)",
        "NumPy 2 takes copy=False for a promise and raises where a copy is needed",
    ),
    _literal(
        "data/transforms/transform.py",
        "Image.LINEAR",
        "Image.BILINEAR",
        "Pillow 10 removed the old name",
    ),
    *(
        _literal(
            file,
            "from detectron2 import _C\n",
            "from detectron2.uncompiled import _C\n",
            _UNCOMPILED_WHY,
        )
        for file in _COMPILED_IMPORTS
    ),
    _literal(
        "layers/nms.py",
        "torch.ops.detectron2.nms_rotated(",
        "_C.nms_rotated(",
        _UNCOMPILED_WHY,
    ),
    _literal(
        "layers/nms.py",
        "from torchvision.ops import nms  # BC-compat\n",
        "from torchvision.ops import nms  # BC-compat\n\nfrom detectron2.uncompiled import _C\n",
        _UNCOMPILED_WHY,
    ),
    _literal(
        "evaluation/coco_evaluation.py",
        "from detectron2.evaluation.fast_eval_api import COCOeval_opt\n",
        "COCOeval_opt = COCOeval  # the faster one is compiled code\n",
        "the COCO evaluator asks for the compiled scorer by default; pycocotools' own is equal",
    ),
    _literal(
        "utils/collect_env.py",
        'f"not built correctly: {e}"',
        '"not part of this build"',
        "the environment report called a build without the extension a broken one",
    ),
    _literal(
        "export/__init__.py",
        "from .api import *\n",
        "",
        "Caffe2 is gone from PyTorch, and counting operations (utils/analysis.py) imports this",
    ),
    _literal(
        "engine/hooks.py",
        "torch.optim.lr_scheduler._LRScheduler",
        "torch.optim.lr_scheduler.LRScheduler",
        "PyTorch 2 derives its schedulers from the public name: under the old test their state "
        "is silently neither saved nor restored",
        count=2,
    ),
    _literal(
        "data/common.py",
        "self._rng.sample(self._fallback_candidates, k=1)",
        "self._rng.sample(list(self._fallback_candidates), k=1)",
        "Python 3.11 no longer samples from a set",
    ),
    _literal(
        "model_zoo/model_zoo.py",
        "import pkg_resources\n",
        "",
        "setuptools 82 removed pkg_resources",
    ),
    Repair(
        "model_zoo/model_zoo.py",
        r'pkg_resources\.resource_filename\(\s*"detectron2\.model_zoo", (os\.path\.join\([^)]*\))'
        r"\s*\)",
        r"os.path.join(os.path.dirname(os.path.abspath(__file__)), \1)",
        1,
        "setuptools 82 removed pkg_resources",
    ),
    _literal(
        "utils/visualizer.py",
        "return modified_color\n",
        "return tuple(np.clip(modified_color, 0.0, 1.0))\n",
        "rounding leaves the range [0, 1] and Matplotlib refuses the colour",
    ),
    _literal(
        "projects/__init__.py",
        "import importlib\n",
        "import importlib.abc\nimport importlib.util\n",
        "a package does not import its submodules",
    ),
)

ADDED_FILES: dict[str, str] = {
    "uncompiled.py": '''"""Stands in for Detectron2's compiled extension, which is not built."""


class _Uncompiled:
    def __getattr__(self, name):
        raise ImportError(
            f"detectron2._C.{name}: this Detectron2 was built without its compiled extension, which"
            " rotated boxes, deformable convolution on a GPU and the fast COCO scorer need. Build"
            " Detectron2 from its own repository to use them."
        )


_C = _Uncompiled()
'''
}

NOTICE = "# Changed from Detectron2 v0.6: see REPAIRS.txt in this package.\n"


def repairs_digest() -> str:
    """Eight hexadecimal digits that change when any repair does (for the wheel's local version)."""
    content = repr((REPAIRS, sorted(ADDED_FILES.items()), NOTICE))
    return hashlib.sha256(content.encode()).hexdigest()[:8]


def apply_repairs(package: Path) -> None:
    """Repair the Python package directory ``package`` (``.../detectron2``) in place.

    Nothing is written unless every row fits. Writes ``REPAIRS.txt`` beside the repaired files.

    Raises:
        RepairError: a file is missing or a pattern does not occur exactly as often as declared.
    """
    texts: dict[str, str] = {}
    for repair in REPAIRS:
        if repair.file not in texts:
            try:
                texts[repair.file] = (package / repair.file).read_text(encoding="utf-8")
            except FileNotFoundError as error:
                raise RepairError(f"{repair.file} is missing from {package}") from error
        texts[repair.file], found = re.subn(repair.pattern, repair.replacement, texts[repair.file])
        if found != repair.count:
            raise RepairError(
                f"{repair.file}: {repair.pattern!r} occurs {found} times, not {repair.count}; "
                "this is not the v0.6 that the repairs were written for"
            )
    for name in ADDED_FILES:
        if (package / name).exists():
            raise RepairError(f"{name} is already there in {package}")

    for name, text in texts.items():
        (package / name).write_text(NOTICE + text, encoding="utf-8")
    for name, text in ADDED_FILES.items():
        (package / name).write_text(text, encoding="utf-8")
    reasons = {(repair.file, repair.why): None for repair in REPAIRS}
    lines = [f"{file}: {why}" for file, why in reasons] + [f"{name}: added" for name in ADDED_FILES]
    (package / "REPAIRS.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
