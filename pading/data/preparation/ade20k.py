"""Make ADE20K's label maps of 150 classes in the layout that Detectron2's data sets have.

    pading prepare ade20k
    pading prepare ade20k /data/ADEChallengeData2016 --workers 8

ADEChallengeData2016.zip (the MIT Scene Parsing benchmark, sceneparsing.csail.mit.edu) unpacked:

    ADEChallengeData2016/
      images/{training,validation}/       20,210 and 2,000 photographs
      annotations/{training,validation}/  PNGs of 0 unlabelled, 1 to 150 the classes

adds annotations_detectron2/{training,validation}/ with 0 to 149, 255 unlabelled. Images and
annotations are for research and education that is not commercial (ADE20K's terms of use).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from pading.data.ground_truth import load_semantic
from pading.data.preparation.map_making import make_maps, print_counts, with_sizes
from pading.data.preparation.options import add_workers, parsed, parser
from pading.data.spec import DatasetSpec
from pading.vocabulary.splits import load_split

_SUBSETS = ("training", "validation")


def main(arguments: Sequence[str] | None = None) -> None:
    """Prepare both subsets and print what they hold.

    Raises:
        InputError: a file that is missing or damaged; a value above 150.
    """
    args = _parse(arguments)
    split = load_split("ade20k_150")
    counts = {}
    for subset in _SUBSETS:
        spec = DatasetSpec(
            subset,
            "semantic",
            split.name,
            f"images/{subset}",
            labels=f"annotations/{subset}",
            contiguous_labels=True,
            label_offset=1,
            ignored_labels=(0,),
        ).under(args.root)
        entries = with_sizes(load_semantic(spec, split), args.workers, f"{subset}: images")
        folder = Path(args.root) / "annotations_detectron2" / subset
        found = make_maps(
            folder,
            entries,
            split.num_classes,
            args.workers,
            f"{subset}: label maps",
            class_ids=[info.id for info in split.classes],
        )
        counts[subset] = {"images": len(found), "classes that occur": len(set().union(*found))}
    print_counts(counts)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    options = parser("ade20k", __doc__, "ADEChallengeData2016")
    add_workers(options)
    return parsed(options, arguments)
