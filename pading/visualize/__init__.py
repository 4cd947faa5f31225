"""Pictures of results and ground truth: one drawn on its image, or a sheet of scenes."""

from pading.visualize.drawing import class_colour, draw_segments, enlargement
from pading.visualize.labels import UNSEEN_COLOUR
from pading.visualize.segments import (
    SegmentMap,
    segments_of_detections,
    segments_of_entry,
    segments_of_labels,
)
from pading.visualize.sheets import SheetRow, write_sheet

__all__ = [
    "UNSEEN_COLOUR",
    "SegmentMap",
    "SheetRow",
    "class_colour",
    "draw_segments",
    "enlargement",
    "segments_of_detections",
    "segments_of_entry",
    "segments_of_labels",
    "write_sheet",
]
