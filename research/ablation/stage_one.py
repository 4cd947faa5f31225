"""The bound of an ablation that no zero-shot method has: a segmenter shown every class's masks."""

import time
from pathlib import Path

from detectron2.config import CfgNode

from pading.engine import record
from pading.engine.trainer import Trainer
from pading.randomness import Stream, seed_everything
from research.ablation.replay import SegmentedImages

ALL_CLASSES_SCENES = "all_classes_scenes"
"""Name of the data set, of seen and unseen classes, that the bound learns from."""


def train_segmenter(cfg: CfgNode, seed: int, folder: Path) -> dict[str, float]:
    """Train stage 1 by the trainer of any stage 1, and score it.

    What an earlier call left in ``folder`` is gone on from.

    Args:
        cfg: of stage 1, with MODEL.SEGMENTER.CLASSES "all"; every result that MODEL.INFERENCE
            switches on is scored on the first set of DATASETS.TEST.
        seed: of weights, order and augmentation.
        folder: of the training.

    Returns:
        figures as :class:`SegmentedImages` names them.
    """
    training = cfg.clone()
    training.defrost()
    training.SEED, training.OUTPUT_DIR, training.DATASETS.TEST = seed, str(folder), ()
    start = time.perf_counter()
    seed_everything(seed, Stream.STEP)
    trainer = Trainer(training, record.begin(training, resume=True))
    trainer.resume_or_load(resume=True)
    if trainer.start_iter < trainer.max_iter:
        trainer.train()
    trained = time.perf_counter()
    images = SegmentedImages(cfg, trainer.model, cfg.DATASETS.TEST[0])
    figures = images.score(cfg, trainer.model, folder / "inference")
    figures["seconds/training"] = trained - start
    figures["seconds/scoring"] = time.perf_counter() - trained
    return figures
