"""Preparations: from the files that a data set's authors publish to what its rows read.

Every module has ``main(arguments)``, which ``pading prepare NAME`` runs. Each checks what it reads,
shows its progress, keeps finished files when it is run again, and leaves no file half written.
"""

PREPARATIONS = {
    "ade20k": "ADE20K, 150 classes",
    "cityscapes": "Cityscapes, 19 classes",
    "coco_20i": "COCO 2014 in four folds of 20 classes",
    "coco_instances": "COCO 2014 instances, 48/17 and 65/15",
    "coco_panoptic": "COCO 2017 panoptic and semantic, 119/14",
    "coco_stuff": "COCO-Stuff, 156/15",
    "fss_1000": "FSS-1000, one object of 1000 classes",
    "msrc": "MSRC v2's photographs, 17/4 and four more folds",
    "pascal_context": "Pascal Context, 59 classes, 49/10",
    "pascal_voc": "PASCAL VOC 2012 with SBD's labels, 15/5, and PASCAL-5i's folds",
    "shapes": "synthetic scenes, drawn from a seed",
}
"""Name of each module -> what it prepares."""
