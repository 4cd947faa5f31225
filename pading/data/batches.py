"""Training batches that depend on seed and iteration alone, so that a run resumes at any of them.

A batch of SOLVER.IMS_PER_BATCH images is laid out for all processes together and each takes its
share: two processes see in every iteration what one process would. An image is augmented with
random numbers that seed, iteration and its place in the batch determine, so it makes no difference
which process or worker loads it.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, Protocol

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import DatasetFromList, get_detection_dataset_dicts
from detectron2.utils import comm
from torch.utils.data import DataLoader, Dataset, Sampler

from pading.data.catalogue import configured_split, metadata_of
from pading.data.mappers import LearnsFrom, SegmentationMapper
from pading.errors import InputError
from pading.randomness import Stream, generator, seed_everything
from pading.vocabulary.joint_split import places_in

OWN_CLASSES = "own_classes"
"""The key of an image with labels of its own data set: the place of each in the model's split."""
Place = tuple[int, ...]
"""Where the random numbers of an augmentation come from; the image's number is the last."""


class Entries(Protocol):
    """Detectron2's dictionaries, by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> dict[str, Any]: ...


class Batches(Protocol):
    """Training data that can begin at any iteration."""

    seed: int
    shared: bool
    """Whether every process gets the whole batch, so that all are to draw the same numbers."""

    def starting_at(self, iteration: int) -> Iterator[Any]:
        """What the model takes in this iteration and in those that follow."""

    def image_names(self, iteration: int) -> list[str]:
        """The files of the images in this process's batch of an iteration."""


class SeededSamples(Dataset[dict[str, Any]]):
    """Entries of a data set, mapped with random numbers that seed and place determine."""

    def __init__(self, entries: Entries, mapper: Callable[[dict], dict], seed: int) -> None:
        """
        Args:
            entries: Detectron2's dictionaries.
            mapper: what loads and augments one.
            seed: of the run.
        """
        self.entries, self.mapper, self.seed = entries, mapper, seed

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, place: Place) -> dict[str, Any]:
        seed_everything(self.seed, Stream.AUGMENTATION, *place)
        return self.mapper(self.entries[place[-1]])


class TrainingBatches:
    """Endless batches of this process: lists of what the mapper makes of an entry.

    Every epoch goes through the data set in an order of its own. Where ``wide`` is given, the
    images of a batch are all wider than high or all not, which needs less padding.
    """

    shared = False

    def __init__(
        self,
        entries: Entries,
        mapper: Callable[[dict], dict],
        *,
        seed: int,
        images_per_batch: int,
        num_workers: int = 0,
        wide: Sequence[bool] | None = None,
    ) -> None:
        """
        Args:
            entries: Detectron2's dictionaries, at least one.
            mapper: what loads and augments one.
            seed: of the run; may be set until the first batch is asked for.
            images_per_batch: of all processes together.
            num_workers: processes that load images for this one; 0: it does so itself.
            wide: whether each entry's image is wider than high.

        Raises:
            InputError: the batch cannot be shared evenly.
        """
        self.entries, self.mapper, self.seed = entries, mapper, seed
        self.images_per_batch, self.num_workers = images_per_batch, num_workers
        self.wide = np.zeros(len(entries), bool) if wide is None else np.asarray(wide)
        self.share = share_of_batch(images_per_batch)

    def starting_at(self, iteration: int) -> Iterator[list[dict[str, Any]]]:
        """The batches of this iteration and those that follow."""
        return iter(
            DataLoader(
                SeededSamples(self.entries, self.mapper, self.seed),
                batch_sampler=_Places(self, iteration),
                num_workers=self.num_workers,
                collate_fn=list,
                worker_init_fn=leave_signals_to_parent,
            )
        )

    def image_names(self, iteration: int) -> list[str]:
        """The files of this process's images in an iteration."""
        numbers = next(islice(self.numbers(), iteration, None))[self.share]
        return [self.entries[number]["file_name"] for number in numbers]

    def numbers(self) -> Iterator[list[int]]:
        """Numbers of the images of all processes' batches, from the run's first iteration on."""
        begun: dict[bool, list[int]] = {False: [], True: []}
        epoch = 0
        while True:
            order = generator(self.seed, Stream.ORDER, epoch).permutation(len(self.entries))
            for number, wide in zip(order.tolist(), self.wide[order].tolist(), strict=True):
                batch = begun[wide]
                batch.append(number)
                if len(batch) == self.images_per_batch:
                    yield batch
                    begun[wide] = []
            epoch += 1


class _Places(Sampler[list[Place]]):
    """Places of this process's images, batch by batch, for a data loader."""

    def __init__(self, batches: TrainingBatches, start: int) -> None:
        self.batches, self.start = batches, start

    def __iter__(self) -> Iterator[list[Place]]:
        # Going through the batches of a long run that are over takes a second or two.
        left = islice(self.batches.numbers(), self.start, None)
        for iteration, numbers in enumerate(left, self.start):
            places: list[Place] = [(iteration, i, number) for i, number in enumerate(numbers)]
            yield places[self.batches.share]


def leave_signals_to_parent(worker: int) -> None:
    """Have a loader's worker outlive the signals that stop a run.

    Ctrl-C, torchrun and Slurm send them to all processes of a run, workers included, and one that
    loses a worker stops at once with an error, rather than after its step with a checkpoint.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # not on macOS
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        # Not getppid, which is a fork server's where one has started this process.
        parent = multiprocessing.parent_process()
        assert parent is not None
        threading.Thread(target=_end_when_told_by, args=(parent.pid,), daemon=True).start()


def _end_when_told_by(parent: int | None) -> None:
    """End this process when that one sends SIGTERM, which is how PyTorch ends a stuck worker."""
    while signal.sigwaitinfo([signal.SIGTERM]).si_pid != parent:
        pass
    os._exit(0)


def share_of_batch(images_per_batch: int) -> slice:
    """Which images of the batch of all processes are this process's.

    Raises:
        InputError: the batch cannot be shared evenly.
    """
    processes = comm.get_world_size()
    if images_per_batch < 1 or images_per_batch % processes:
        raise InputError(
            f"SOLVER.IMS_PER_BATCH is {images_per_batch}, but it is shared by {processes} "
            f"processes; give a multiple of {processes}"
        )
    size = images_per_batch // processes
    return slice(comm.get_rank() * size, (comm.get_rank() + 1) * size)


def training_entries(cfg: CfgNode) -> list[dict[str, Any]]:
    """The dictionaries of the training sets.

    With DATASETS.OWN_LABELS they have :data:`OWN_CLASSES`, and labels of their own data set.

    Raises:
        InputError: a sampler that is not ours.
    """
    if cfg.DATALOADER.SAMPLER_TRAIN != "TrainingSampler":
        raise InputError(
            f"DATALOADER.SAMPLER_TRAIN is {cfg.DATALOADER.SAMPLER_TRAIN!r}; every epoch goes "
            'through all images once: use "TrainingSampler"'
        )
    filter_empty = cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS
    if not cfg.DATASETS.OWN_LABELS:
        return get_detection_dataset_dicts(cfg.DATASETS.TRAIN, filter_empty=filter_empty)
    joint = configured_split(cfg)
    return [
        {**entry, OWN_CLASSES: places}
        for name in cfg.DATASETS.TRAIN
        for places in [places_in(joint, metadata_of(name).split)]
        for entry in get_detection_dataset_dicts(name, filter_empty=filter_empty)
    ]


def build_training_batches(
    cfg: CfgNode, seed: int, learns_from: LearnsFrom = "masks"
) -> TrainingBatches:
    """What DATASETS.TRAIN, DATALOADER and SOLVER.IMS_PER_BATCH ask for.

    Args:
        cfg: the configuration.
        seed: of the run.
        learns_from: ground truth of an image, "masks" or "labels".

    Raises:
        InputError: see :func:`training_entries` and :func:`share_of_batch`.
    """
    entries = training_entries(cfg)
    # Label maps alone do not say how large their images are; those are grouped with the high ones.
    wide = [e.get("width", 0) > e.get("height", 0) for e in entries]
    return TrainingBatches(
        DatasetFromList(entries, copy=False),
        SegmentationMapper(cfg, is_train=True, learns_from=learns_from),
        seed=seed,
        images_per_batch=cfg.SOLVER.IMS_PER_BATCH,
        num_workers=cfg.DATALOADER.NUM_WORKERS,
        wide=wide if cfg.DATALOADER.ASPECT_RATIO_GROUPING else None,
    )


def in_parts(data: Any, count: int) -> Sequence[Any]:
    """A list in so many parts of equal length; anything else stays whole."""
    if count == 1 or not isinstance(data, list):
        return [data]
    size = len(data) // count
    return [data[i : i + size] for i in range(0, len(data), size)]
