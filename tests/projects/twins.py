"""One small data set in every format that is read: the same images, masks and classes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import yaml
from PIL import Image
from pycocotools import mask as coco_mask

NAMES = ("cup", "fork", "table")
SIZE = (48, 64)  # height, width
IMAGES = 8
# Of every image: class and box (left, top, right, bottom); they do not overlap.
BOXES = [
    [(place % 3, (4, 6, 20 + place, 30)), ((place + 1) % 3, (34, 10, 60, 22 + place))]
    for place in range(IMAGES)
]


def polygon(box: tuple[int, ...]) -> list[float]:
    left, top, right, bottom = map(float, box)
    return [left, top, right, top, right, bottom, left, bottom]


def stem(place: int) -> str:
    return f"photo_{place}"


def photographs(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for place in range(IMAGES):
        pixels = np.full((*SIZE, 3), 30 * place, dtype=np.uint8)
        for label, box in BOXES[place]:
            left, top, right, bottom = box
            pixels[top:bottom, left:right, label] = 255
        Image.fromarray(pixels).save(folder / f"{stem(place)}.png")
    return folder


def mask_of(box: tuple[int, ...]) -> np.ndarray:
    return coco_mask.decode(coco_mask.frPyObjects([polygon(box)], *SIZE)[0]).astype(bool)


def coco() -> dict:
    images = [
        {"id": n + 1, "file_name": f"{stem(n)}.png", "height": SIZE[0], "width": SIZE[1]}
        for n in range(IMAGES)
    ]
    annotations = []
    for place, boxes in enumerate(BOXES):
        for label, box in boxes:
            left, top, right, bottom = box
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": place + 1,
                    "category_id": label + 1,
                    "segmentation": [polygon(box)],
                    "bbox": [left, top, right - left, bottom - top],
                    "area": (right - left) * (bottom - top),
                    "iscrowd": 0,
                }
            )
    categories = [{"id": n, "name": name} for n, name in enumerate(NAMES, 1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def write_coco(folder: Path) -> list[str]:
    """Writes the data set; the options that pading new takes it with."""
    photographs(folder / "images")
    (folder / "train.json").write_text(json.dumps(coco()))
    return ["--annotations", str(folder / "train.json"), "--images", str(folder / "images")]


def write_yolo(folder: Path) -> list[str]:
    photographs(folder / "images" / "train")
    labels = folder / "labels" / "train"
    labels.mkdir(parents=True)
    scale = np.array([SIZE[1], SIZE[0]] * 4, dtype=np.float64)
    for place, boxes in enumerate(BOXES):
        lines = [
            " ".join([str(label), *map(repr, (np.array(polygon(box)) / scale).tolist())])
            for label, box in boxes
        ]
        (labels / f"{stem(place)}.txt").write_text("\n".join(lines))
    content = {"path": ".", "train": "images/train", "names": dict(enumerate(NAMES))}
    (folder / "data.yaml").write_text(yaml.safe_dump(content))
    return ["--annotations", str(folder / "data.yaml")]


def write_labelme(folder: Path) -> list[str]:
    photographs(folder / "images")
    (folder / "json").mkdir()
    for place, boxes in enumerate(BOXES):
        shapes = [
            {
                "label": NAMES[label],
                "points": np.reshape(polygon(box), (-1, 2)).tolist(),
                "shape_type": "polygon",
                "group_id": None,
            }
            for label, box in boxes
        ]
        content = {
            "imagePath": f"..\\images\\{stem(place)}.png",
            "imageHeight": SIZE[0],
            "imageWidth": SIZE[1],
            "shapes": shapes,
        }
        (folder / "json" / f"{stem(place)}.json").write_text(json.dumps(content))
    return ["--annotations", str(folder / "json"), "--images", str(folder / "images")]


def write_cvat(folder: Path) -> list[str]:
    photographs(folder / "images")
    root = ElementTree.Element("annotations")
    labels = ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "labels")
    for name in NAMES:
        ElementTree.SubElement(ElementTree.SubElement(labels, "label"), "name").text = name
    for place, boxes in enumerate(BOXES):
        size = {"width": str(SIZE[1]), "height": str(SIZE[0])}
        image = ElementTree.SubElement(root, "image", name=f"{stem(place)}.png", **size)
        for label, box in boxes:
            pairs = np.reshape(polygon(box), (-1, 2)).tolist()
            points = ";".join(f"{x},{y}" for x, y in pairs)
            ElementTree.SubElement(image, "polygon", label=NAMES[label], points=points)
    ElementTree.ElementTree(root).write(folder / "annotations.xml")
    return ["--annotations", str(folder)]


def write_datumaro(folder: Path) -> list[str]:
    photographs(folder / "images" / "default")
    (folder / "annotations").mkdir()
    items = [
        {
            "id": stem(place),
            "image": {"path": f"{stem(place)}.png", "size": list(SIZE)},
            "annotations": [
                {"type": "polygon", "label_id": label, "points": polygon(box), "group": 0}
                for label, box in boxes
            ],
        }
        for place, boxes in enumerate(BOXES)
    ]
    labels = [{"name": name} for name in NAMES]
    content = {"categories": {"label": {"labels": labels}}, "items": items}
    (folder / "annotations" / "default.json").write_text(json.dumps(content))
    return ["--annotations", str(folder)]


def write_voc(folder: Path) -> list[str]:
    photographs(folder / "JPEGImages")
    for name in ("SegmentationClass", "SegmentationObject", "ImageSets/Segmentation"):
        (folder / name).mkdir(parents=True)
    for place, boxes in enumerate(BOXES):
        classes, objects = np.zeros(SIZE, np.uint8), np.zeros(SIZE, np.uint8)
        for number, (label, box) in enumerate(boxes, 1):
            classes[mask_of(box)], objects[mask_of(box)] = label + 1, number
        Image.fromarray(classes).save(folder / "SegmentationClass" / f"{stem(place)}.png")
        Image.fromarray(objects).save(folder / "SegmentationObject" / f"{stem(place)}.png")
    stems = "\n".join(stem(place) for place in range(IMAGES))
    (folder / "ImageSets" / "Segmentation" / "train.txt").write_text(stems)
    lines = ["background:0,0,0::", *(f"{name}:1,2,3::" for name in NAMES)]
    (folder / "labelmap.txt").write_text("\n".join(lines))
    return ["--annotations", str(folder)]


def write_voc_classes(folder: Path) -> list[str]:
    """Without objects: label maps."""
    given = write_voc(folder)
    shutil.rmtree(folder / "SegmentationObject")
    return given


def write_maps(folder: Path) -> list[str]:
    photographs(folder / "images")
    (folder / "maps").mkdir()
    for place, boxes in enumerate(BOXES):
        values = np.zeros(SIZE, np.uint8)
        for label, box in boxes:
            values[mask_of(box)] = label + 1
        Image.fromarray(values).save(folder / "maps" / f"{stem(place)}.png")
    (folder / "names.txt").write_text("\n".join(["unlabelled", *NAMES]))
    return ["--annotations", str(folder / "maps"), "--images", str(folder / "images")]


def write_panoptic(folder: Path) -> list[str]:
    photographs(folder / "images")
    (folder / "train").mkdir()
    annotations = []
    for place, boxes in enumerate(BOXES):
        ids = np.zeros((*SIZE, 3), np.uint8)
        for number, (_, box) in enumerate(boxes, 1):
            ids[mask_of(box), 0] = number
        Image.fromarray(ids).save(folder / "train" / f"{stem(place)}.png")
        segments = [
            {"id": n, "category_id": label + 1, "iscrowd": 0, "area": int(mask_of(box).sum())}
            for n, (label, box) in enumerate(boxes, 1)
        ]
        annotations.append(
            {"image_id": place + 1, "file_name": f"{stem(place)}.png", "segments_info": segments}
        )
    content = coco() | {"annotations": annotations}
    content["categories"] = [
        {**c, "isthing": int(c["name"] != "table")} for c in content["categories"]
    ]
    (folder / "train.json").write_text(json.dumps(content))
    return ["--annotations", str(folder / "train.json"), "--images", str(folder / "images")]


INSTANCES: dict[str, Callable[[Path], list[str]]] = {
    "coco": write_coco,
    "yolo": write_yolo,
    "labelme": write_labelme,
    "cvat": write_cvat,
    "datumaro": write_datumaro,
    "voc": write_voc,
}
MAPS = {"maps": write_maps, "voc_classes": write_voc_classes}
EVERY = {**INSTANCES, **MAPS, "panoptic": write_panoptic}


def vectors(folder: Path) -> list[str]:
    """Options that give the classes vectors of their own."""
    from pading.vocabulary.class_vectors import ClassVectors

    path = folder / "own.npz"
    folder.mkdir(parents=True, exist_ok=True)
    numbers = np.eye(3, 16, dtype=np.float32) + 0.1
    ClassVectors(NAMES, numbers, "a test").save(path)
    return ["--vectors", str(path)]
