"""Prediction on image files: loading beside the model, writing beside it, one report in the end."""

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import nullcontext
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from pading.data.batches import leave_signals_to_parent
from pading.data.images import PLUGINS, read_image
from pading.engine.interruption import Interrupted, Interruption
from pading.errors import InputError
from pading.files import look_alike
from pading.prediction.journal import Journal, identity_of
from pading.prediction.writing import (
    ImageWriter,
    Record,
    Source,
    collecting,
    gather_datumaro,
    remove_common,
    require_label_ids,
)
from pading.vocabulary.splits import ClassSplit

_logger = logging.getLogger(__name__)
# A process more is worth its start if it has so many images to write.
_IMAGES_PER_WRITER = 16


Prepare = Callable[[np.ndarray], dict[str, Any]]
"""From an image to what a model's ``infer`` takes; can be sent to another process."""


class PredictsImages(Protocol):
    """A model, in PyTorch or exported."""

    @property
    def split(self) -> ClassSplit: ...

    @property
    def tasks(self) -> tuple[str, ...]: ...

    @property
    def prepare(self) -> Prepare: ...

    def infer(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """What :func:`~pading.prediction.result.finish` takes."""


def find_images(inputs: Sequence[str | Path]) -> tuple[list[Path], list[Path]]:
    """The images that files and folders name.

    Args:
        inputs: files are taken as they are; of a folder (not of folders in it), what has the
            extension of an image and is not hidden.

    Returns:
        the images in order, and what of the folders was passed over.

    Raises:
        InputError: no such file, or no image at all.
    """
    Image.init()
    readable = {end for end, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    readable |= {*PLUGINS}  # where one is not installed, its image is named
    images: list[Path] = []
    others: list[Path] = []
    for path in map(Path, inputs):
        if not path.exists():
            remedy = look_alike(path) or "give the path of one that there is"
            raise InputError(f"{path}: there is no such file or folder; {remedy}")
        entries = [path]
        if path.is_dir():
            try:
                entries = sorted(path.iterdir())
            except OSError as error:
                raise InputError(f"{path}: cannot list this folder: {error.strerror}") from error
        for entry in entries:
            wanted = entry.suffix.lower() in readable and not entry.name.startswith(".")
            (images if entry is path or (wanted and entry.is_file()) else others).append(entry)
    if not images:
        raise InputError(f"{', '.join(map(str, inputs))}: no image there; name images, or a folder")
    return list(dict.fromkeys(images)), others


def predict_files(
    predictor: PredictsImages,
    images: Sequence[Path],
    output: str | Path,
    workers: int = 0,
    overlays: bool = True,
    min_score: float = 0.3,
    forms: Sequence[str] = (),
    run: Mapping[str, Any] | None = None,
    process: tuple[int, int] = (0, 1),
) -> list[str] | None:
    """Predict on image files and write results in COCO's formats.

    Of each task that is on, ``output`` gets

    - ``panoptic.json`` and ``panoptic/NAME.png``: COCO's panoptic format;
    - ``instance.json``: COCO's results format, boxes and RLE masks (without another task,
      ``images.json`` says which image an id is);
    - ``semantic/NAME.png``: label maps of class ids, and ``semantic.json``: images and classes;
    - ``TASK_overlays/NAME.png``: pictures.

    NAME is the image's without extension (with it, where two would be one). An image's id is its
    name, or the number that the name is if all are numbers, as COCO's are. Every file is written
    whole or not at all. The JSON files of an earlier run are removed first and written last, its
    other files are replaced one by one or stay.

    Args:
        predictor: the model.
        images: an image that cannot be read is left out.
        output: a folder that can be written to.
        workers: processes that load and, of many images, write; 0: this process does.
        overlays: whether to draw pictures.
        min_score: instances that score less are neither drawn nor written in the forms.
        forms: further forms of the results, of :data:`~pading.prediction.writing.FORMS`; each has
            a folder with a file for every image.
        run: what the results depend on beside images and options; a run that was killed with the
            same goes on where it stopped. None: it begins anew.
        process: which of how many processes this is; each predicts its share of the images, and the
            last one to finish writes the JSON files.

    Returns:
        what is wrong with the images that could not be read; None where another process, which is
        at work yet, will say so.

    Raises:
        InputError: the output cannot be written; a class id that label maps have no room for.
        Interrupted: Ctrl-C or SIGTERM; the results of the images before it are complete.
    """
    require_label_ids(predictor.split, predictor.tasks)
    sources = _name(images)
    names = [source.name for source in sources]
    identity = identity_of(
        run=time.time_ns() if run is None else run,
        images=[str(source.path.absolute()) for source in sources],
        options=(overlays, min_score, *forms, predictor.split.record(), predictor.tasks),
    )
    journal = Journal(Path(output), identity, *process)
    finished = journal.begin()
    if finished is not None:
        return finished
    remove_common(Path(output))
    left = [sources[place] for place in journal.mine(names)]
    write = ImageWriter(Path(output), predictor.split, min_score, overlays, tuple(forms))
    stopped = _predict(predictor, left, write, journal, workers)
    put_together = partial(_put_together, Path(output), predictor, sources, forms)
    if stopped:
        if process[1] == 1:  # others may be at work yet
            number = put_together(journal.so_far(names))[0]
            message = "stopped: the results of %d of %d images are in %s; start it again for all"
            _logger.warning(message, number, len(names), output)
        raise Interrupted
    with journal.finishing(names) as records:
        return None if records is None else put_together(records)[1]


def _put_together(
    output: Path,
    predictor: PredictsImages,
    sources: Sequence[Source],
    forms: Sequence[str],
    records: Iterable[tuple[Record | None, str]],
) -> tuple[int, list[str]]:
    """Write what images have in common; how many there are, and what is wrong with the others."""
    names = {source.image_id: source.name for source in sources}
    done, unreadable = [], []
    with collecting(output, predictor.split, predictor.tasks) as collection:
        for record, problem in records:
            if record is None:
                unreadable.append(problem)
            else:
                collection.add(record)
                done.append(names[record.image["id"]])
    if "datumaro" in forms:
        gather_datumaro(output, predictor.split, done)
    return len(done), unreadable


def _predict(
    predictor: PredictsImages,
    sources: Sequence[Source],
    write: ImageWriter,
    journal: Journal,
    workers: int,
) -> bool:
    """Predict on images and note each in the journal; whether it was stopped."""
    loader = DataLoader(
        _ImageFiles([source.path for source in sources], predictor.prepare),
        batch_size=None,
        collate_fn=_unchanged,
        num_workers=min(workers, len(sources)),
        worker_init_fn=leave_signals_to_parent,
    )
    writers = min(workers, len(sources) // _IMAGES_PER_WRITER)
    # Forked, as the loader's are, so that they start at once; they never touch the GPU.
    pool = (
        ProcessPoolExecutor(writers, get_context("fork"), leave_signals_to_parent, (0,))
        if writers
        else None
    )
    interruption = Interruption("this image; the results of those before it stay")
    pending: deque[tuple[str, Future[Record]]] = deque()
    with interruption.handled(), pool or nullcontext():
        bar = tqdm(loader, "predicting", unit=" images")
        interruption.deferred = True
        for source, (image, inputs, problem) in zip(sources, bar, strict=False):
            if interruption.received:
                break
            if problem:
                journal.add(source.name, None, problem)
                continue
            raw = predictor.infer(inputs)
            if pool is None:
                journal.add(source.name, write(source, image, raw))
                continue
            pending.append((source.name, pool.submit(write, source, image, raw)))
            while len(pending) > 2 * writers:
                name, future = pending.popleft()
                journal.add(name, future.result())
        for name, future in pending:
            journal.add(name, future.result())
    return interruption.received


class _ImageFiles(Dataset):
    """Images as they are and as the model takes them, or what is wrong with them."""

    def __init__(self, paths: Sequence[Path], prepare: Prepare) -> None:
        self._paths = paths
        self._prepare = prepare

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, place: int) -> tuple[np.ndarray | None, dict[str, Any], str]:
        try:
            image = read_image(str(self._paths[place]))
        except InputError as error:
            return None, {}, str(error)
        return image, self._prepare(image), ""


def _unchanged(loaded: Any) -> Any:
    """Instead of PyTorch's conversion of arrays to tensors."""
    return loaded


def _name(images: Sequence[Path]) -> list[Source]:
    """Names and ids of results, no two alike.

    Raises:
        InputError: two images of one name.
    """
    stems = Counter(path.stem for path in images)
    names = [path.stem if stems[path.stem] == 1 else path.name for path in images]
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise InputError(f"two images are called {twice}; predict on them into different folders")
    numbers = {int(name) for name in names if name.isascii() and name.isdecimal()}
    ids: Sequence[int | str] = names
    if len(numbers) == len(names):
        ids = [int(name) for name in names]
    return [Source(*source) for source in zip(images, names, ids, strict=True)]
