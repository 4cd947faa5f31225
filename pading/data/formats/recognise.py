"""Which format annotations are in, and their reader."""

from pathlib import Path

from pading.data.formats.coco_repairs import read_coco
from pading.data.formats.collected import Collected
from pading.data.formats.cvat import read_cvat
from pading.data.formats.datumaro_export import read_datumaro
from pading.data.formats.label_folder import read_label_maps
from pading.data.formats.labelme import read_labelme
from pading.data.formats.voc_folders import read_voc
from pading.data.formats.yolo_segmentation import read_yolo
from pading.errors import InputError
from pading.files import read_json

_KNOWN = (
    "COCO's instances or panoptic JSON, YOLO's data.yaml, a folder of Pascal VOC, of LabelMe's "
    "JSON, of a CVAT or Datumaro export, or of label maps"
)


def read_annotations(
    path: Path, images: Path | None = None, names: Path | None = None, labels: Path | None = None
) -> dict[str, Collected]:
    """Annotations in whichever format they are.

    Args:
        path: a file or a folder.
        images: where the images are, if the format does not say.
        names: of label maps' values.
        labels: of panoptic annotations, the folder of PNGs.

    Returns:
        "train" and, where the format says which images are to be scored, "val".

    Raises:
        InputError: no format that is known, or nothing of it can be read. Faults of entries are in
            the result.
    """
    if not path.exists():
        raise InputError(f"{path}: there is no such file or folder", "missing")
    if path.is_dir():
        return _read_folder(path, images, names)
    suffix = path.suffix.lower()
    if suffix in (".yaml", ".yml"):
        return read_yolo(path, images)
    if suffix == ".xml":
        return read_cvat(path, images)
    if suffix != ".json":
        raise InputError(f"{path}: no annotations that are known; give {_KNOWN}")
    content = read_json(path)
    keys = content.keys() if isinstance(content, dict) else ()
    if "items" in keys:
        return read_datumaro([path], images)
    if "shapes" in keys:
        return read_labelme([path], path.parent, images)
    if {"images", "annotations"} <= set(keys):
        return read_coco(content, path, images, labels)
    raise InputError(
        f"{path}: neither COCO's, LabelMe's nor Datumaro's JSON (its keys are "
        f"{', '.join(map(str, list(keys)[:8])) or 'none'}); give {_KNOWN}"
    )


def _read_folder(path: Path, images: Path | None, names: Path | None) -> dict[str, Collected]:
    yolo = next((path / n for n in ("data.yaml", "dataset.yaml") if (path / n).is_file()), None)
    if yolo:
        return read_yolo(yolo, images)
    if (path / "ImageSets").is_dir():
        return read_voc(path, names)
    if (path / "annotations.xml").is_file():
        return read_cvat(path / "annotations.xml", images)
    exported = sorted((path / "annotations").glob("*.json"))
    if exported and "items" in (read_json(exported[0]) or ()):
        return read_datumaro(exported, images)
    if exported:
        raise InputError(
            f"{path}: holds several files of annotations; name the one to train on as "
            f"--annotations (such as {exported[0]}), and one as --val"
        )
    files = sorted(path.glob("*.json"))
    if files and not any(path.glob("*.png")):
        return read_labelme(files, path, images)
    if any(p.suffix.lower() == ".png" for p in path.iterdir()):
        return read_label_maps(path, images, names)
    raise InputError(f"{path}: no annotations in this folder; give {_KNOWN}", "empty")
