"""Make a project of photographs and annotations, which pading train and pading predict take.

    pading new home --images photographs --annotations train.json --unseen cup "sports ball"
    pading train home
    pading predict home --input new_photographs --output predictions

Annotations are recognised: COCO's instances or panoptic JSON, YOLO segmentation (data.yaml), a
folder of Pascal VOC, of LabelMe's JSON, a CVAT or Datumaro export, or a folder of label maps with
--names. No image is copied, and no original is touched. The folder gets readable files, to be
edited: project.yaml, classes.json, data.yaml, vectors.npz, a configuration for each stage, and
samples.png, the sheet of samples. It prints what there is of each class, as

    home: instance, 80 images to train on and 20 to score
    class        train: images segments pixels   val: images segments
    cup *                    -        -      -           9       14

and what to mind: classes that are rare, unseen ones that no image can score (a star says unseen),
names that nearly coincide.

Training starts from --weights, or from ImageNet's where they can be had. A system that starts from
CLIP needs its file (OpenAI's ViT-B-16.pt), whose text tower makes the class vectors too.

Faults in the data are listed all at once, with file and entry, and nothing is made (status 1).
With --fix those that have one right answer are mended in the project: polygons of fewer than three
points left out, boxes made from masks, ids made whole numbers, images listed twice made one.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pading.data.images import read_image
from pading.projects.classes import RARE, alike
from pading.projects.creation import Created, FaultyDataError, Request, create
from pading.projects.layout import SHEET, systems
from pading.projects.project_files import TASKS
from pading.visualize import SheetRow, segments_of_entry, write_sheet

_SAMPLES = 8


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; None: that of this process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("folder", type=Path, help="of the project; it is made")
    add("--annotations", type=Path, required=True, help="file or folder to train on")
    add("--images", type=Path, help="folder of the images, where the format does not say")
    add("--labels", type=Path, help="COCO panoptic: the PNGs, if not named as the JSON file")
    add("--names", type=Path, help="label maps: file of the values' names; VOC: a labelmap.txt")
    add("--val", type=Path, help="annotations to score; by default a share of the images")
    add("--val-images", type=Path, help="their images (default: --images)")
    add("--val-labels", type=Path, help="their panoptic PNGs")
    add("--val-share", type=float, default=0.1, help="of the images to score (%(default)s)")
    add("--unseen", nargs="+", default=[], metavar="CLASS", help="no mask of these is trained on")
    add("--system", choices=tuple(systems()), default="pading", help="(%(default)s)")
    add("--task", choices=TASKS, default="", help="by default that of the annotations")
    add(
        "--vectors",
        default="",
        metavar="FILE_OR_ENCODER",
        help="what the names mean, as in pading vectors",
    )
    add("--weights", type=Path, metavar="FILE", help="what training starts from, of your own")
    add("--seed", type=int, default=0, help="of the share to score")
    add("--fix", action="store_true", help="mend what has one right answer")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    args = vars(parse(arguments))
    try:
        created = create(Request(**{**args, "unseen": tuple(args["unseen"])}))
    except FaultyDataError as error:
        print(faults(error), file=sys.stderr)
        sys.exit(1)
    sheet = draw(created)
    print(report(created))
    name = args["folder"]
    print(
        f"\n{sheet}: samples of the images to score; look at them\n\nnext\n    pading train {name}"
    )


def faults(error: FaultyDataError) -> str:
    """All faults, those that --fix would mend apart."""
    lines = [f"error: {fault}" for fault in error.faults]
    lines += [f"error: {repair} (with --fix)" for repair in error.repairs]
    count = (
        f"{len(error.faults) + len(error.repairs)} faults, {len(error.repairs)} that --fix mends"
    )
    return "\n".join([*lines, f"{count}; nothing was made"])


def report(created: Created) -> str:
    """What the project holds, class by class, and what to mind."""
    project, split, images = created.project, created.split, created.images
    seen = f"{split.num_seen} classes seen, {split.num_unseen} unseen"
    seen += " (*)" * (split.num_unseen > 0)
    lines = [f"fixed: {repair}" for repair in created.repairs]
    lines += [
        f"{project.name}: {' and '.join(dict.fromkeys(created.formats))}, {project.task}, "
        f"{images['train']} images to train on and {images['val']} to score; {seen}",
        f"vectors: {created.vectors.source}",
    ]
    if created.left_out:
        lines.append(
            f"{created.left_out} images to train on show an unseen class or nothing: left out"
        )
    width = max(len(name) for name in split.names) + 2
    heading = "train: images  segments      pixels    val: images  segments"
    lines += ["", f"{'class':{width}}  {heading}"]
    nothing = (0, 0, 0)
    for label, info in enumerate(split.classes):
        own = created.shown["train"].get(label, nothing)
        other = created.shown["val"].get(label, nothing)
        star = " *" * info.unseen
        cells = ("-", "-", "-") if info.unseen else own
        lines.append(
            f"{info.name + star:{width}}  {cells[0]:>13}  {cells[1]:>8}  {cells[2]:>10}    "
            f"{other[0]:>11}  {other[1]:>8}"
        )
    return "\n".join([*lines, "", *warnings(created)]).rstrip()


def warnings(created: Created) -> list[str]:
    """What to mind, a line for each kind."""
    split, shown = created.split, created.shown
    train = {label: counts[1] for label, counts in shown["train"].items()}
    kinds = {
        "seen, but nowhere in training": [n for n in split.seen if not train.get(n)],
        f"rare (fewer than {RARE} segments in training)": [
            n
            for n in split.seen
            if 0 < train.get(n, 0) < RARE and created.project.task != "semantic"
        ],
        "unseen, but in no image to score": [n for n in split.unseen if n not in shown["val"]],
    }
    lines = [
        f"warning: {what}: {', '.join(split.names[n] for n in labels)}"
        for what, labels in kinds.items()
        if labels
    ]
    return lines + [
        f"warning: {one!r} and {other!r} nearly coincide (cosine {cosine:.2f})"
        for one, other, cosine in alike(created.vectors)
    ]


def draw(created: Created) -> Path:
    """The sheet of samples, those first that show most unseen classes."""
    split = created.split
    rows = []
    for entry in created.entries[:: max(1, len(created.entries) // _SAMPLES)][:_SAMPLES]:
        picture = read_image(entry["file_name"])
        panels = {"ground truth": segments_of_entry(entry)}
        rows.append(SheetRow(picture, panels, Path(entry["file_name"]).name))
    path = created.project.folder / SHEET
    write_sheet(rows, split, path, title=created.project.name)
    return path
