"""Where stage 2's batches come from: images, or a store, which a run makes first where it must."""

import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from detectron2.config import CfgNode
from detectron2.utils import comm

from pading.data.batches import Batches, build_training_batches
from pading.errors import InputError
from pading.layers.precision import amp_dtype
from pading.models.pading.embedding_store import HEADER, EmbeddingStore, Header
from pading.models.pading.embeddings import ImageEmbeddings, StoredEmbeddings
from pading.models.pading.extraction import Extraction
from pading.models.registry import model_class

if TYPE_CHECKING:  # the model asks this module for its batches
    from pading.models.pading.stage_two import PADing

logger = logging.getLogger(__name__)


def training_source(
    cfg: CfgNode, model: "PADing", seed: int, store: EmbeddingStore | None = None
) -> Batches:
    """What stage 2 learns from, as MODEL.ZERO_SHOT.SOURCE says.

    Args:
        cfg: the configuration of stage 2.
        model: labels the embeddings.
        seed: of the run.
        store: one that has been opened and checked; used where the source is a store.
    """
    if asks_for_store(cfg):

        def opened() -> EmbeddingStore:
            return store or open_store(cfg, model)

        return StoredEmbeddings(cfg, opened, seed, model.device)
    images = build_training_batches(cfg, seed, model.learns_from)
    return ImageEmbeddings(images, model, cfg.SOLVER.ACCUMULATION_STEPS, amp_dtype(cfg))


def open_store(cfg: CfgNode, model: "PADing") -> EmbeddingStore:
    """The store that stage 2 is to learn from; without MODEL.STORE.PATH the run's own is made.

    Raises:
        InputError: a store that does not fit the model, its data or its settings, or is unfinished.
    """
    extraction = Extraction(cfg, model)
    folder = Path(cfg.MODEL.STORE.PATH or Path(cfg.OUTPUT_DIR) / "embeddings")
    if not cfg.MODEL.STORE.PATH:
        if comm.is_main_process() and not _is_of(folder, extraction.header):
            shutil.rmtree(folder, ignore_errors=True)
        comm.synchronize()
        extraction.write(folder, comm.get_rank(), comm.get_world_size())
        comm.synchronize()
    store = EmbeddingStore(folder, model.split)
    store.header.require(extraction.header, folder)
    logger.info(
        "Stage 2 learns from %s: %d embeddings of %d images x %d augmentations",
        *(folder, len(store.labels), store.header.images, store.header.settings["AUGMENTATIONS"]),
    )
    return store


def _is_of(folder: Path, header: Header) -> bool:
    """Whether the run's own store can be kept; one of an earlier run with other settings cannot."""
    return not (folder / HEADER).exists() or Header.read(folder) == header


def asks_for_store(cfg: CfgNode) -> bool:
    """Whether MODEL.ZERO_SHOT.SOURCE means a store; :func:`check_source` checks it."""
    source = cfg.MODEL.ZERO_SHOT.SOURCE
    return source == "stored" or (source == "auto" and bool(cfg.MODEL.STORE.PATH))


def with_kept_share(cfg: CfgNode) -> CfgNode:
    """A configuration whose MODEL.STORE.NO_OBJECT_SHARE is that of the store that it names.

    A checkpoint carries it, since it says how many queries a met one stands for.
    """
    if not (asks_for_store(cfg) and cfg.MODEL.STORE.PATH):
        return cfg
    cfg = cfg.clone()
    cfg.defrost()
    settings = Header.read(cfg.MODEL.STORE.PATH).settings
    cfg.MODEL.STORE.NO_OBJECT_SHARE = settings["NO_OBJECT_SHARE"]
    return cfg


def check_storable(cfg: CfgNode, source: str) -> None:
    """Refuse a configuration that nothing can be stored for.

    Args:
        cfg: the configuration.
        source: where it is from, for the message.

    Raises:
        InputError: it is not of stage 2.
    """
    if not hasattr(model_class(cfg.MODEL.META_ARCHITECTURE), "labelled_embeddings"):
        raise InputError(f"{source}: embeddings are stored for stage 2; give its config")


def kept_share(cfg: CfgNode) -> float:
    """Share of the unmatched queries that training meets, in (0, 1]."""
    return cfg.MODEL.STORE.NO_OBJECT_SHARE if asks_for_store(cfg) else 1.0


def check_source(cfg: CfgNode) -> None:
    """Refuse a source that cannot be.

    Raises:
        InputError: MODEL.STORE.PATH, where it is used, holds no store; MODEL.STORE asks for what
            cannot be; MODEL.ZERO_SHOT.CLASS_BALANCED or a batch in parts where it has no meaning.
    """
    if not asks_for_store(cfg):
        if cfg.MODEL.ZERO_SHOT.CLASS_BALANCED:
            raise InputError(
                "MODEL.ZERO_SHOT.CLASS_BALANCED draws stored embeddings evenly over the classes; "
                "stage 2 would learn from whole images here: set it to False, or "
                "MODEL.ZERO_SHOT.SOURCE to stored"
            )
        return
    if cfg.SOLVER.ACCUMULATION_STEPS > 1:
        raise InputError(
            f"SOLVER.ACCUMULATION_STEPS is {cfg.SOLVER.ACCUMULATION_STEPS}, but stored embeddings "
            "need no segmenter whose memory could be saved; remove it"
        )
    if cfg.MODEL.STORE.PATH:
        Header.read(cfg.MODEL.STORE.PATH)
