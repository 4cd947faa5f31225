"""What a report says of the images: the worst, the best, unseen classes, confusion, reliability."""

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from PIL import Image
from tqdm import tqdm

from pading.config import config_from_yaml
from pading.data.catalogue import metadata_of, register_datasets
from pading.data.images import read_image
from pading.data.masks import semantic_labels
from pading.errors import InputError
from pading.evaluation.semantic_evaluator import CONFIDENCE_BINS
from pading.files import read_json
from pading.reports.segment_comparison import SegmentComparison, compare_segments
from pading.reports.stored_predictions import Read, stored_predictions
from pading.reports.stored_results import StoredResults, StoredRun
from pading.visualize import SegmentMap, draw_segments, segments_of_entry, segments_of_labels
from pading.vocabulary.splits import ClassSplit

_SIDE = 420  # pixels of the longer side of a picture
_TAKEN_FOR = 4


@dataclass(frozen=True)
class Picture:
    """An image, its ground truth and its prediction, as data URLs of JPEGs."""

    name: str
    quality: float
    found: tuple[tuple[str, float], ...]
    urls: tuple[str, str, str]


@dataclass(frozen=True)
class Confusion:
    """What became of the pixels of a class.

    Args:
        name: the class.
        unseen: whether it is unseen.
        pixels: of its ground truth.
        right: their share that was given to it.
        nothing: their share that was given to no class.
        taken_for: (class, whether that is unseen, share), most pixels first.
    """

    name: str
    unseen: bool
    pixels: int
    right: float
    nothing: float
    taken_for: tuple[tuple[str, bool, float], ...]


@dataclass(frozen=True)
class Bin:
    """An interval of confidence: how many, how sure in the mean, what share of them is right."""

    count: float
    sure: float
    right: float


@dataclass(frozen=True)
class Findings:
    """All of one result ("panoptic", "semantic" or "instance") on one data set."""

    result: str
    galleries: dict[str, list[Picture]]
    confusion: list[Confusion]
    bins: list[Bin]
    unit: str
    """What is counted in the bins."""

    @property
    def calibration_error(self) -> float:
        """Mean distance of confidence and share of right ones, weighted by their number."""
        total = sum(b.count for b in self.bins)
        return (
            sum(b.count * abs(b.sure - b.right) for b in self.bins) / total if total else math.nan
        )


def find(run: StoredRun, results: StoredResults, pictures: int) -> list[Findings]:
    """Look at all images of an evaluation again.

    Args:
        run: names the user's own data sets, in its configuration.
        results: its predictions are compared.
        pictures: of each kind (worst, best, with unseen classes), at most.

    Raises:
        InputError: the data set or its files are not here, or no longer what was scored.
    """
    register_datasets(_configuration(run))
    split: ClassSplit = metadata_of(results.dataset).split
    known = {name for scores in results.scores.values() for name in scores.per_class}
    if not known <= set(split.names):
        raise InputError(
            f"the data set {results.dataset!r} has the split {split.name!r} here, the results are "
            f"of the split {results.split!r}"
        )
    predictions = stored_predictions(results.folder, split)
    entries = DatasetCatalog.get(results.dataset) if predictions else []
    return [
        _findings(result, read, entries, split, results, pictures)
        for result, read in predictions.items()
    ]


def _configuration(run: StoredRun) -> CfgNode:
    return config_from_yaml(yaml.safe_dump(run.configuration), str(run.path))


def _truth(entry: dict[str, Any], result: str, split: ClassSplit) -> SegmentMap:
    """The ground truth that a result is compared with; panoptic data has that of all results."""
    if result == "semantic":
        return segments_of_labels(semantic_labels(entry))
    truth = segments_of_entry(entry)
    if result == "instance":
        things = [s for s in truth.segments if split.classes[s["category_id"]].isthing]
        return SegmentMap(truth.ids, things)
    return truth


def _findings(
    result: str,
    read: Read,
    entries: Sequence[dict[str, Any]],
    split: ClassSplit,
    results: StoredResults,
    pictures: int,
) -> Findings:
    compared: list[SegmentComparison] = []
    for entry in tqdm(entries, f"report of {result} results", unit=" images", leave=False):
        try:
            compared.append(compare_segments(_truth(entry, result, split), read(entry), split))
        except (KeyError, OSError) as error:
            raise InputError(
                f"{results.folder}: no {result} prediction of {entry['file_name']} ({error}); "
                "evaluate again"
            ) from error
    scored = [n for n, c in enumerate(compared) if not math.isnan(c.quality)]
    ranked = sorted(scored, key=lambda n: compared[n].quality)
    unseen = sorted(
        (n for n in scored if compared[n].unseen_found),
        key=lambda n: -sum(iou for _, iou in compared[n].unseen_found),
    )
    chosen = {
        "unseen classes found": unseen[:pictures],
        "best": ranked[::-1][:pictures],
        "worst": ranked[:pictures],
    }
    galleries = {
        title: [_picture(entries[n], compared[n], read, result, split) for n in places]
        for title, places in chosen.items()
        if places
    }
    bins, unit = _bins([hit for c in compared for hit in c.hits]), "segments"
    if result == "semantic":
        kept = read_json(results.folder / "semantic_predictions.json")["confidence"]
        bins, unit = _bins_of_sums(np.array(kept)), "pixels"
    pixels = np.sum([c.confusion for c in compared], axis=0)
    return Findings(result, galleries, _confusion(pixels, split), bins, unit)


def _confusion(pixels: np.ndarray, split: ClassSplit) -> list[Confusion]:
    """Rows of the classes that occur, unseen ones first, those with the most mistakes first."""
    rows = []
    for label, info in enumerate(split.classes):
        total = int(pixels[label].sum())
        if not total:
            continue
        share = pixels[label] / total
        others = [i for i in np.argsort(-share[:-1], kind="stable").tolist() if i != label]
        rows.append(
            Confusion(
                info.name,
                info.unseen,
                total,
                float(share[label]),
                float(share[-1]),
                tuple(
                    (split.names[i], split.classes[i].unseen, float(share[i]))
                    for i in others[:_TAKEN_FOR]
                    if share[i] >= 0.005
                ),
            )
        )
    return sorted(rows, key=lambda row: (not row.unseen, row.right))


def _bins(hits: Sequence[tuple[float, bool]]) -> list[Bin]:
    sums = np.zeros((3, CONFIDENCE_BINS))
    for score, hit in hits:
        place = min(CONFIDENCE_BINS - 1, max(0, int(score * CONFIDENCE_BINS)))
        sums[:, place] += (1, score, hit)
    return _bins_of_sums(sums)


def _bins_of_sums(sums: np.ndarray) -> list[Bin]:
    return [Bin(n, sure / n, right / n) for n, sure, right in sums.T.tolist() if n]


def _picture(
    entry: dict[str, Any], compared: SegmentComparison, read: Read, result: str, split: ClassSplit
) -> Picture:
    image = read_image(entry["file_name"])
    scale = _SIDE / max(image.shape[:2])
    drawn = [
        draw_segments(image, segments, split, scale)
        for segments in (_truth(entry, result, split), read(entry))
    ]
    size = drawn[0].shape[1], drawn[0].shape[0]
    plain = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
    urls = tuple(map(_data_url, (plain, *drawn)))
    name = str(entry["image_id"])
    return Picture(name, compared.quality, compared.unseen_found, urls)  # type: ignore[arg-type]


def _data_url(pixels: np.ndarray) -> str:
    jpeg = io.BytesIO()
    Image.fromarray(pixels).save(jpeg, "JPEG", quality=82)
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg.getvalue()).decode()}"
