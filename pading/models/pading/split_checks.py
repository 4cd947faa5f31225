"""What stage 2 asks of a configuration and a split."""

from detectron2.config import CfgNode

from pading.errors import InputError
from pading.vocabulary.splits import ClassSplit

_PUBLISHED_CUT = 156


def check_unseen(split: ClassSplit) -> None:
    """Refuse a split that leaves stage 2 nothing to learn.

    Raises:
        InputError: no class is unseen.
    """
    if not split.unseen:
        raise InputError(
            f"split {split.name}: no class is unseen, so stage 2 has nothing to learn; mark "
            "classes as unseen in the split, or train stage 1 alone"
        )


def guiding_classes(split: ClassSplit, choice: str) -> tuple[int, ...]:
    """Outputs of the classifier, ascending, that guide the generator (the paper's L_cls).

    Args:
        choice: "seen", or "first_156" for the published code's slip: it cuts the logits at 156
            whatever the data, which is right for COCO-Stuff 156/15 alone.

    Raises:
        InputError: another choice, or one that leaves out a seen class.
    """
    if choice == "seen":
        return split.seen
    if choice != "first_156":
        raise InputError(
            f'MODEL.ZERO_SHOT.GENERATOR_CLASS_LOGITS is {choice!r}; use "seen" or "first_156"'
        )
    if split.seen[-1] >= _PUBLISHED_CUT:
        raise InputError(
            f"MODEL.ZERO_SHOT.GENERATOR_CLASS_LOGITS first_156: the seen class "
            f"{split.names[split.seen[-1]]!r} of split {split.name} is not among them; "
            'use "seen"'
        )
    return tuple(range(min(_PUBLISHED_CUT, split.num_classes + 1)))


def check_stage_two(cfg: CfgNode, split: ClassSplit) -> None:
    """Refuse settings and splits that stage 2 cannot work with.

    Raises:
        InputError: names the key, or the class.
    """
    if cfg.MODEL.SEGMENTER.CLASSES != "all":
        raise InputError(
            'MODEL.SEGMENTER.CLASSES must be "all" for MODEL.META_ARCHITECTURE PADing: '
            "tools/preprocess_pretrained_weight.py grows the class head of a stage-1 checkpoint"
        )
    given = cfg.MODEL.SEGMENTER.FEATURES
    unknown = [name for name in cfg.MODEL.ZERO_SHOT.BACKBONE_FEATURES if name not in given]
    if unknown:
        raise InputError(
            f"MODEL.ZERO_SHOT.BACKBONE_FEATURES has {unknown[0]!r}; take some of "
            f"MODEL.SEGMENTER.FEATURES, {given}"
        )
    guiding_classes(split, cfg.MODEL.ZERO_SHOT.GENERATOR_CLASS_LOGITS)
