"""Walk through data sets: what is missing, corrupt, empty or outside the class split.

    pading check-data configs/panoptic/pretrain.yaml
    pading check-data --files my_data.yaml --names my_train my_val

Reads every image and every mask, reports all faults by kind, and draws a sheet of samples with
their ground truth. The exit status is 1 if there are errors; notes are no errors.

    shapes_panoptic_val: panoptic, split shapes (36 seen and 6 unseen classes)
      images without fault: 40; segments: 249, 25 of them of unseen classes
      no errors
      sheet: output/check_dataset/shapes_panoptic_val.png

KEY VALUE pairs behind the options override the configuration.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pading.commands.configuration_argument import with_configuration
from pading.config import load_config
from pading.data.catalogue import DATASETS, datasets_root, register, register_from_file
from pading.data.dataset_checks import check_names
from pading.data.images import read_image
from pading.data.survey import Survey, survey
from pading.engine.environment import check_output_folder
from pading.errors import InputError
from pading.visualize import SheetRow, segments_of_entry, write_sheet

_SHOWN = 5


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; None: that of this process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", help="checks its DATASETS.TRAIN and DATASETS.TEST")
    parser.add_argument("--names", nargs="+", default=[], help="names of data sets")
    parser.add_argument("--files", nargs="+", default=[], help="files of your own data sets")
    parser.add_argument("--output", type=Path, default=Path("output/check_dataset"))
    parser.add_argument("--samples", type=int, default=8, help="on the sheet (%(default)s)")
    parser.add_argument("overrides", nargs=argparse.REMAINDER, metavar="KEY VALUE")
    return parser.parse_args(with_configuration(parser, arguments))


def main(arguments: Sequence[str] | None = None) -> None:
    args = parse(arguments)
    names = find_names(args)
    check_output_folder(args.output, "--output")
    failed = False
    for name in names:
        found = survey(name)
        print(f"\n{report(found)}")
        if args.samples > 0 and found.entries:
            print(f"  sheet: {draw(found, args.samples, args.output)}")
        failed = failed or bool(found.errors)
    sys.exit(1 if failed else 0)


def find_names(args: argparse.Namespace) -> tuple[str, ...]:
    """Register the data sets; the names of those to check."""
    for spec in DATASETS:
        register(spec.under(datasets_root()))
    own = [name for path in args.files for name in register_from_file(path)]
    names = [*args.names]
    if args.config_file:
        cfg = load_config(args.config_file, args.overrides)
        for path in cfg.DATASETS.FILES:
            register_from_file(path)
        names += check_names(cfg, training=bool(cfg.DATASETS.TRAIN))
    names = names or own
    if not names:
        raise InputError("which data sets? give --config-file, --names or --files")
    return tuple(dict.fromkeys(names))


def report(found: Survey) -> str:
    """What a data set holds and all that is wrong with it, the first few of each kind by name."""
    spec, split = found.spec, found.split
    unseen = sum(found.segments[label] for label in split.unseen)
    lines = [
        f"{found.name}: {spec.task}, split {split.name} ({split.num_seen} seen and "
        f"{split.num_unseen} unseen classes){', seen_only' * spec.seen_only}",
        f"  images without fault: {len(found.entries)}; segments: {sum(found.segments.values())}, "
        f"{unseen} of them of unseen classes",
    ]
    for what, groups in (("error", found.errors), ("note", found.notes)):
        for heading, messages in groups.items():
            lines.append(f"  {what}: {heading} ({len(messages)})")
            lines += [f"    {message}" for message in messages[:_SHOWN]]
            lines += [f"    ... and {len(messages) - _SHOWN} more"] * (len(messages) > _SHOWN)
    return "\n".join(lines if found.errors else [*lines, "  no errors"])


def draw(found: Survey, count: int, folder: Path) -> Path:
    """A sheet of samples, evenly spread over the data set."""
    step = max(1, len(found.entries) // count)
    rows = [
        SheetRow(
            read_image(entry["file_name"]),
            {"ground truth": segments_of_entry(entry)},
            Path(entry["file_name"]).name,
        )
        for entry in found.entries[::step][:count]
    ]
    path = folder / f"{found.name}.png"
    write_sheet(rows, found.split, path, title=found.name)
    return path
