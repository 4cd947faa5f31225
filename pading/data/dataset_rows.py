"""The rows of the table of data sets, with paths below its root."""

from typing import Any

from pading.data.spec import DatasetSpec

_PREPARE = "make it with pading prepare "

MSRC_SPLITS = ("msrc_17_4", "msrc_fold_1", "msrc_fold_2", "msrc_fold_3", "msrc_fold_4")
"""Every class of MSRC v2 is unseen in one of them."""


def _coco_panoptic(subset: str, annotations: str, **more: Any) -> list[DatasetSpec]:
    """COCO 2017 in the 119/14 split: panoptic, and the semantic maps made from it."""
    split, labels = "coco_panoptic_119_14", f"coco/panoptic_{subset}2017"
    common: dict[str, Any] = {
        "split": split,
        "images": f"coco/{subset}2017",
        "remedy": _PREPARE + "coco_panoptic",
    }
    return [
        DatasetSpec(
            name=f"{split}_{subset}",
            task="panoptic",
            annotations=f"coco/annotations/{annotations}.json",
            labels=labels,
            instances=f"coco/annotations/instances_{subset}2017.json",
            **common,
            **more,
        ),
        DatasetSpec(
            name=f"coco_semantic_119_14_{subset}",
            task="semantic",
            labels=f"{labels}_{split}_semantic",
            contiguous_labels=True,
            **common,
            **more,
        ),
    ]


def _coco_instance(split: str) -> list[DatasetSpec]:
    """COCO 2014 in one of the two instance splits: training, and validation in both settings."""
    common: dict[str, Any] = {
        "task": "instance",
        "split": split,
        "remedy": _PREPARE + "coco_instances",
    }
    return [
        DatasetSpec(
            name=f"{split}_{subset}{f'_{kind}' * (kind != 'seen')}",
            images=f"coco/{subset}2014",
            annotations=f"coco/annotations/instances_{subset}2014_{split}_{kind}.json",
            seen_only=kind == "seen",
            **common,
        )
        for subset, kind in (("train", "seen"), ("val", "gzsi"), ("val", "zsi"))
    ]


def _coco_stuff(subset: str, suffix: str, **more: Any) -> DatasetSpec:
    """COCO-Stuff (2017's images) in the 156/15 split."""
    split = "coco_stuff_156_15"
    return DatasetSpec(
        name=f"{split}_{subset}",
        task="semantic",
        split=split,
        images=f"coco/{subset}2017",
        labels=f"coco/stuffthingmaps/{subset}2017_{split}{suffix}",
        contiguous_labels=True,
        remedy=_PREPARE + "coco_stuff",
        **more,
    )


def _coco_stuff_with_unseen() -> DatasetSpec:
    """Training images of the 156/15 split with the annotations of unseen classes."""
    return DatasetSpec(
        name="coco_stuff_156_15_train_all",
        task="semantic",
        split="coco_stuff_156_15",
        images="coco/train2017",
        labels="coco/stuffthingmaps/train2017",
    )


def _shapes(subset: str, **more: Any) -> list[DatasetSpec]:
    """The synthetic scenes, for every task."""
    panoptic, instances = (
        f"shapes/annotations/{kind}_{subset}.json" for kind in ("panoptic", "instances")
    )
    labels = f"shapes/panoptic_{subset}"
    files: dict[str, dict[str, Any]] = {
        "panoptic": {"annotations": panoptic, "labels": labels, "instances": instances},
        "instance": {"annotations": instances},
        "semantic": {"annotations": panoptic, "labels": labels},
    }
    common: dict[str, Any] = {
        "split": "shapes",
        "images": f"shapes/{subset}",
        "remedy": _PREPARE + "shapes",
    }
    return [
        DatasetSpec(name=f"shapes_{task}_{subset}", task=task, **paths, **common, **more)
        for task, paths in files.items()
    ]


def _msrc(split: str, subset: str) -> list[DatasetSpec]:
    """MSRC v2's photographs, for every task."""
    seen = f"_{split}_seen" if subset == "train" else ""
    panoptic, instances = (f"msrc/{kind}_{subset}{seen}.json" for kind in ("panoptic", "instances"))
    labels = f"msrc/panoptic_{subset}"
    files: dict[str, dict[str, Any]] = {
        "panoptic": {"annotations": panoptic, "labels": labels, "instances": instances},
        "instance": {"annotations": instances},
        "semantic": {"annotations": panoptic, "labels": labels},
    }
    common: dict[str, Any] = {
        "split": split,
        "images": "msrc/images",
        "remedy": _PREPARE + "msrc",
    }
    rows = [
        DatasetSpec(
            name=f"{split}_{task}_{subset}",
            task=task,
            seen_only=subset == "train",
            **paths,
            **common,
        )
        for task, paths in files.items()
    ]
    if subset == "train":  # with the masks that zero-shot methods do not see: for bounds
        common |= {"annotations": "msrc/panoptic_train.json", "labels": labels}
        rows.append(DatasetSpec(f"{split}_panoptic_train_all", "panoptic", **common))
    return rows


def _voc(subset: str, images: str, labels: str, **more: Any) -> DatasetSpec:
    """PASCAL VOC 2012 in the 15/5 split; 0 is background, which belongs to no class."""
    return DatasetSpec(
        name=f"pascal_voc_15_5_{subset}",
        task="semantic",
        split="pascal_voc_15_5",
        images="VOC2012/JPEGImages",
        labels=f"VOC2012/{labels}",
        list=f"VOC2012/ImageSets/Segmentation/{images}.txt",
        label_offset=1,
        ignored_labels=(0,),
        remedy=_PREPARE + "pascal_voc",
        **more,
    )


def _context(split: str, subset: str, images: str, **more: Any) -> DatasetSpec:
    """Pascal Context's 59 classes; 0 is background."""
    return DatasetSpec(
        name=f"{split}_{subset}",
        task="semantic",
        split=split,
        images="VOC2010/JPEGImages",
        labels="VOC2010/SegmentationClassContext",
        list=f"VOC2010/ImageSets/SegmentationContext/{images}.txt",
        label_offset=1,
        ignored_labels=(0,),
        remedy=_PREPARE + "pascal_context",
        **more,
    )


def _ade20k(subset: str, folder: str) -> DatasetSpec:
    """ADE20K's 150 classes, all seen, in the layout of Detectron2's preparation."""
    return DatasetSpec(
        name=f"ade20k_150_{subset}",
        task="semantic",
        split="ade20k_150",
        images=f"ADEChallengeData2016/images/{folder}",
        labels=f"ADEChallengeData2016/annotations_detectron2/{folder}",
        contiguous_labels=True,
        remedy=_PREPARE + "ade20k",
    )


def _cityscapes(subset: str) -> DatasetSpec:
    """Cityscapes' 19 classes, all seen."""
    return DatasetSpec(
        name=f"cityscapes_19_{subset}",
        task="semantic",
        split="cityscapes_19",
        images=f"cityscapes/leftImg8bit/{subset}",
        labels=f"cityscapes/gtFine_cityscapes_19/{subset}",
        contiguous_labels=True,
        remedy=_PREPARE + "cityscapes",
    )


def _pascal_5i(fold: int) -> list[DatasetSpec]:
    """A fold of PASCAL-5i: pairs of the other folds' classes, and of its own."""
    common: dict[str, Any] = {
        "task": "semantic",
        "split": f"pascal_5i_{fold}",
        "images": "VOC2012/JPEGImages",
        "remedy": _PREPARE + "pascal_voc",
    }
    return [
        DatasetSpec(
            name=f"pascal_5i_{fold}_{subset}",
            labels=f"VOC2012/{labels}",
            pairs=f"VOC2012/ImageSets/PASCAL-5i/{subset}_{fold}.txt",
            seen_only=subset == "train",
            **common,
        )
        for subset, labels in (("train", "SegmentationClassAug"), ("val", "SegmentationClass"))
    ]


def _coco_20i(fold: int) -> list[DatasetSpec]:
    """A fold of COCO-20i, likewise."""
    return [
        DatasetSpec(
            name=f"coco_20i_{fold}_{subset}",
            task="semantic",
            split=f"coco_20i_{fold}",
            images=f"coco/{subset}2014",
            labels=f"coco/coco_20i/{subset}2014",
            pairs=f"coco/coco_20i/{subset}_{fold}.txt",
            seen_only=subset == "train",
            remedy=_PREPARE + "coco_20i",
        )
        for subset in ("train", "val")
    ]


def _fss_1000(subset: str, split: str) -> DatasetSpec:
    """FSS-1000: one object an image, of 520 classes in training and 240 others in a test."""
    return DatasetSpec(
        name=f"fss_1000_{subset}",
        task="semantic",
        split=split,
        images="FSS-1000/fewshot_data",
        image_suffix=".jpg",
        labels="FSS-1000/labels",
        list=f"FSS-1000/lists/{subset}.txt",
        seen_only=subset == "train",
        remedy=_PREPARE + "fss_1000",
    )


def _coco_stuff_all(subset: str) -> DatasetSpec:
    """COCO-Stuff's 171 classes, all seen, from its own pixel maps."""
    return DatasetSpec(
        name=f"coco_stuff_171_{subset}",
        task="semantic",
        split="coco_stuff_171",
        images=f"coco/{subset}2017",
        labels=f"coco/stuffthingmaps/{subset}2017",
    )


DATASETS: tuple[DatasetSpec, ...] = (
    *_coco_panoptic("train", "panoptic_train2017_coco_panoptic_119_14_seen", seen_only=True),
    *_coco_panoptic("val", "panoptic_val2017"),
    *_coco_instance("coco_instance_48_17"),
    *_coco_instance("coco_instance_65_15"),
    _coco_stuff("train", "_seen", seen_only=True),
    _coco_stuff("val", ""),
    _coco_stuff_with_unseen(),
    *_shapes("train", seen_only=True),
    *_shapes("val"),
    *(row for split in MSRC_SPLITS for subset in ("train", "val") for row in _msrc(split, subset)),
    _voc("train", "train", "SegmentationClass", seen_only=True),
    _voc("train_aug", "train_aug", "SegmentationClassAug", seen_only=True),
    _voc("train_aug_all", "train_aug", "SegmentationClassAug"),
    _voc("val", "val", "SegmentationClass"),
    _context("pascal_context_49_10", "train", "train", seen_only=True),
    _context("pascal_context_49_10", "train_all", "train"),
    _context("pascal_context_49_10", "val", "val"),
    _context("pascal_context_59", "train", "train"),
    _context("pascal_context_59", "val", "val"),
    _ade20k("train", "training"),
    _ade20k("val", "validation"),
    _coco_stuff_all("train"),
    _coco_stuff_all("val"),
    _cityscapes("train"),
    _cityscapes("val"),
    *(spec for fold in range(4) for spec in _pascal_5i(fold)),
    *(spec for fold in range(4) for spec in _coco_20i(fold)),
    _fss_1000("train", "fss_1000_test"),
    _fss_1000("test", "fss_1000_test"),
    _fss_1000("val", "fss_1000_val"),
)
