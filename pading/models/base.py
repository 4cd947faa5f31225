"""The contract: what engine, evaluation, prediction and export ask of any system.

A system is a class in Detectron2's META_ARCH_REGISTRY. Some answers are asked for before a model is
built, of the class; the others of the model. Nothing else of a system is known outside its folder.
"""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeVar

import torch
from detectron2.config import CfgNode
from detectron2.modeling import BACKBONE_REGISTRY
from detectron2.structures import ImageList
from torch import Tensor

from pading.backbones import plain_convnet, swin  # noqa: F401 (they register themselves)
from pading.backbones.from_timm import pixel_statistics
from pading.checkpoint.matching import LoadsWhole
from pading.data.batches import Batches, build_training_batches
from pading.errors import InputError
from pading.inference.settings import InferenceSettings
from pading.layers.precision import autocast, mixed_precision
from pading.models.exportable import Exportable
from pading.models.other_vectors import other_vectors, vectors_hint
from pading.models.parameter_groups import ParameterGroups, groups_by_kind
from pading.structures import ImageSizes
from pading.vocabulary.splits import ClassSplit

Self = TypeVar("Self", bound="SegmentationModel")


class SegmentationModel(LoadsWhole, Exportable):
    """What every system is: images in, losses or results out, over the classes of a split.

    It is built from a configuration, a split and class vectors: ``Model(cfg, split=split,
    class_vectors=vectors)``, where ``from_config`` turns these into the arguments of ``__init__``.
    Labels that come in and classes that go out are contiguous indices of the split.
    """

    learns_from: ClassVar[Literal["masks", "labels"]] = "masks"
    """Ground truth of a training image: a mask per segment, or a map of labels."""
    gives: ClassVar[tuple[str, ...]] = ("panoptic", "instance", "semantic")
    """Results that it can give."""
    uses_class_vectors: ClassVar[bool] = False
    """Whether it is built with class vectors (MODEL.CLASS_VECTORS)."""
    needs_trained_weights: ClassVar[bool] = False
    """Whether its training starts from trained weights, rather than from a backbone or none."""
    unused_settings: ClassVar[Mapping[str, str]] = {}
    """Keys that its training has no use for, and why; any value but the default is refused."""

    takes_own_labels: ClassVar[bool] = False
    """Whether it learns from data sets with labels of their own (DATASETS.OWN_LABELS)."""

    vectors_source: str = ""
    """What made the class vectors, as :class:`~pading.vocabulary.class_vectors.ClassVectors` says
    it; other labels go through the same."""
    pixel_mean: Tensor
    pixel_std: Tensor
    class_vectors: Tensor | None

    def __init__(
        self,
        *,
        split: ClassSplit,
        inference: InferenceSettings,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
        size_divisibility: int = 1,
        class_vectors: Tensor | None = None,
    ) -> None:
        """
        Args:
            split: the classes; fixes the order of everything.
            inference: how results are made.
            pixel_mean, pixel_std: normalisation per channel, in the order of the input's channels.
            size_divisibility: images are padded to multiples of this many pixels.
            class_vectors: (K, d) in the order of the split, where the system uses any.
        """
        super().__init__()
        self.split = split
        self.inference = inference
        self.size_divisibility = size_divisibility
        mean, std = torch.tensor(pixel_mean).view(-1, 1, 1), torch.tensor(pixel_std).view(-1, 1, 1)
        self.register_buffer("pixel_mean", mean, persistent=False)
        self.register_buffer("pixel_std", std, persistent=False)
        self.register_buffer("class_vectors", class_vectors)

    # Asked of the class, before a model is built.

    @classmethod
    def from_config(
        cls, cfg: CfgNode, split: ClassSplit, class_vectors: Tensor | None = None
    ) -> dict[str, Any]:
        """The arguments of :meth:`SegmentationModel.__init__`; a system adds its own."""
        mean, std = pixel_statistics(cfg)
        return {
            "split": split,
            "inference": InferenceSettings.from_config(cfg),
            "pixel_mean": mean,
            "pixel_std": std,
            "class_vectors": class_vectors,
        }

    @classmethod
    def check(cls, cfg: CfgNode, split: ClassSplit) -> None:
        """Refuse settings and splits that this system cannot work with.

        Raises:
            InputError: names the key.
        """
        name = cfg.MODEL.BACKBONE.NAME
        if name not in BACKBONE_REGISTRY:
            near = difflib.get_close_matches(name, [known for known, _ in BACKBONE_REGISTRY], n=1)
            raise InputError(
                f"MODEL.BACKBONE.NAME: there is no backbone {name!r}; "
                f"take {(near or ['build_resnet_backbone'])[0]!r}"
            )
        for task in InferenceSettings.from_config(cfg).tasks:
            if task not in cls.gives:
                raise InputError(
                    f"MODEL.INFERENCE.{task.upper()}_ON: {cfg.MODEL.META_ARCHITECTURE} gives "
                    f"{' and '.join(cls.gives)} results alone; switch it off"
                )

    @classmethod
    def check_training(cls, cfg: CfgNode, processes: int) -> None:
        """Refuse settings of training that cannot be honoured.

        Here, a batch that cannot be shared by the processes and cut into parts.

        Raises:
            InputError: names the key.
        """
        images, parts = cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.ACCUMULATION_STEPS
        if images % (processes * parts):
            raise InputError(
                f"SOLVER.IMS_PER_BATCH is {images}, but it is shared by {processes} processes in "
                f"{parts} parts (SOLVER.ACCUMULATION_STEPS); give a multiple of {processes * parts}"
            )

    @classmethod
    def learns_unseen(cls, cfg: CfgNode) -> bool:
        """Whether its training may see annotations of unseen classes."""
        return False

    @classmethod
    def identity(cls, cfg: CfgNode) -> dict[str, Any]:
        """What else must not change while a run lasts, beside system, classes and vectors."""
        return {}

    @classmethod
    def kept_configuration(cls, cfg: CfgNode) -> CfgNode:
        """The configuration that checkpoints of a run carry."""
        return cfg

    # Asked of the model.

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return self.pixel_mean.device

    def shape_hint(self, name: str, theirs: tuple[int, ...], ours: tuple[int, ...]) -> str:
        return vectors_hint(name, theirs, ours)

    def training_source(self, cfg: CfgNode, seed: int) -> Batches:
        """Where its training batches come from: by default, the images of DATASETS.TRAIN."""
        return build_training_batches(cfg, seed, self.learns_from)

    def parameter_groups(self, cfg: CfgNode) -> dict[str, ParameterGroups]:
        """What is trained, at which rate and decay; by the name under which its state is saved."""
        return {"model": ParameterGroups(groups_by_kind(self, cfg))}

    def described(self) -> dict[str, Any]:
        """What checkpoints carry beside weights: classes, and what made their vectors."""
        source = {"vectors_source": self.vectors_source} if self.vectors_source else {}
        return {"split": self.split.record(), **source}

    def check_checkpoint(self, checkpoint: Mapping[str, Any]) -> list[str]:
        return other_vectors(checkpoint, self.class_vectors)

    def with_classes(
        self: Self,
        split: ClassSplit,
        class_vectors: Tensor,
        rows: Sequence[int | None],
        seed: int = 0,
    ) -> Self:
        """The same model with other classes; this one stays as it is.

        Args:
            split: the classes that it is to know.
            class_vectors: (K', d) in the order of that split.
            rows: which class of the present split each of them is; None: a new one, which is
                known by its vector alone.
            seed: of whatever is drawn to learn new classes.

        Raises:
            InputError: it knows the classes that it was trained on, and no others.
        """
        raise InputError(
            f"{type(self).__name__} knows the classes that it was trained on, and takes none by "
            "name; give a model that learned from class vectors"
        )

    def encode_pixels(self, image: Tensor) -> Tensor:
        """Embeddings of an image's pixels in the space of the class vectors.

        Args:
            image: (3, H, W) in [0, 255], any size.

        Returns:
            (d, H, W), unit vectors: their products with unit class vectors are cosines.

        Raises:
            InputError: it has no such embeddings.
        """
        raise InputError(
            f"{type(self).__name__} gives pixels no embeddings in the space of the class vectors; "
            "take a model that compares each pixel with them"
        )

    def forward(self, batch: Any) -> Any:
        """
        Args:
            batch: in training, one batch of :meth:`training_source`; else Detectron2's
                dictionaries: ``image`` (3, H, W) in [0, 255], and ``height`` and ``width``, the
                size at which results are wanted.

        Returns:
            in training, losses by name; else for every image the results of the tasks that are on:
            ``panoptic_seg``, ``instances``, ``sem_seg``, in Detectron2's formats. In the place of
            ``sem_seg``, ``pixel_classes`` (:class:`~pading.structures.PixelClasses`) where the maps
            of all classes are larger than MODEL.INFERENCE.MEMORY.
        """
        return self.training_losses(batch) if self.training else self.infer(batch)

    def training_losses(self, batch: Any) -> dict[str, Tensor]:
        """Losses of one training batch, by name."""
        images, sizes = self.preprocess(batch)
        return self.losses(self.network(images), self.targets(batch, sizes))

    def infer(self, batch: list[dict]) -> list[dict]:
        """Results for every image, at the size that its dictionary asks for."""
        return self.conclude(self.look(batch))

    def look(self, batch: list[dict]) -> Any:
        """All of inference that the seen-unseen calibration does not touch."""
        images, sizes = self.preprocess(batch)
        with self.mixed_precision():
            return self.network(images), sizes

    def conclude(self, looked: Any) -> list[dict]:
        """Results of what :meth:`look` gave."""
        with autocast(self.device, None):
            return self.results(*looked)

    def mixed_precision(self) -> Any:
        """The precision of MODEL.INFERENCE.DTYPE; that of the caller where it asks for none."""
        how = self.inference
        return mixed_precision(self, self.device, how.dtype, how.int8_ranges)

    def preprocess(self, batch: Sequence[Mapping[str, Any]]) -> tuple[Tensor, ImageSizes]:
        """Normalise the images and pad them, right and bottom, to one size.

        Returns:
            (B, 3, H, W), and the sizes that belong to it.
        """
        normalised = [
            (x["image"].to(self.device) - self.pixel_mean) / self.pixel_std for x in batch
        ]
        images = ImageList.from_tensors(normalised, self.size_divisibility)
        height, width = images.tensor.shape[-2:]
        own = [(int(h), int(w)) for h, w in images.image_sizes]
        wanted = [
            (image.get("height", h), image.get("width", w))
            for image, (h, w) in zip(batch, own, strict=True)
        ]
        return images.tensor, ImageSizes((height, width), own, wanted)

    def network(self, images: Tensor) -> Any:
        """Tensors in, tensors out: everything from (B, 3, H, W) normalised pixels to raw outputs.

        It depends on no other state than the weights, so it can be exported.
        """
        raise NotImplementedError

    def targets(self, batch: Sequence[Mapping[str, Any]], sizes: ImageSizes) -> Any:
        """Ground truth of a training batch at the padded size."""
        raise NotImplementedError

    def losses(self, outputs: Any, targets: Any) -> dict[str, Tensor]:
        """Losses by name, which training adds up."""
        raise NotImplementedError

    def results(self, outputs: Any, sizes: ImageSizes) -> list[dict]:
        """Results of what :meth:`network` gave, in Detectron2's formats."""
        raise NotImplementedError
