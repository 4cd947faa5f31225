"""Preparations: from the files that a data set's authors publish to what its rows read.

Every module has ``main(arguments)``, which ``pading prepare NAME`` runs. Each checks what it reads,
shows its progress, keeps finished files when it is run again, and leaves no file half written.
"""

PREPARATIONS = {
    "coco_instances": "COCO 2014 instances, 48/17 and 65/15",
    "coco_panoptic": "COCO 2017 panoptic and semantic, 119/14",
    "coco_stuff": "COCO-Stuff, 156/15",
    "shapes": "synthetic scenes, drawn from a seed",
}
"""Name of each module -> what it prepares."""
