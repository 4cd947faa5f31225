"""Folders of the package transformers: tensors and ``config.json``.

Tensors are in ``model.safetensors``, or in several files that ``model.safetensors.index.json``
names.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from pading.checkpoint.transformers_names import to_theirs
from pading.errors import InputError
from pading.files import field, read_json, write_json, writing
from pading.tensor_files import read_tensor_file

_WHOLE, _INDEX = "model.safetensors", "model.safetensors.index.json"


def weights_file(path: str) -> str:
    """The file of a folder that is read for its weights; another path is given back.

    Raises:
        InputError: there is none in the folder.
    """
    if not os.path.isdir(path):
        return path
    for name in (_INDEX, _WHOLE):
        if os.path.isfile(os.path.join(path, name)):
            return os.path.join(path, name)
    raise InputError(
        f"{path}: this folder has no {_WHOLE}; correct MODEL.WEIGHTS: name a file of weights, or a "
        "folder that transformers has saved"
    )


def read_indexed(path: str) -> dict[str, Tensor]:
    """The tensors of all files that an index names.

    Raises:
        InputError: no such file, or what reading a file refuses.
    """
    found: dict[str, Tensor] = {}
    for file in sorted(set(field(read_json(path), "weight_map", dict, path).values())):
        found |= read_tensor_file(os.path.join(os.path.dirname(path), file))
    return found


def write_folder(
    folder: Path, weights: Mapping[str, Tensor], labels: Mapping[int, str], heads: int
) -> None:
    """Write weights as that package's ``from_pretrained`` reads them.

    Args:
        folder: where to.
        weights: of stage 1, under our names.
        labels: classes by row of the class head.
        heads: of the attention.

    Raises:
        InputError: what :func:`to_theirs` refuses, or files that cannot be written.
    """
    theirs = to_theirs(weights)
    write_json(folder / "config.json", _configuration(weights, labels, heads), indent=2)
    tensors = {name: value.detach().cpu().clone().contiguous() for name, value in theirs.items()}
    with writing(folder / _WHOLE) as temporary:
        save_file(tensors, temporary, {"format": "pt"})


def _configuration(
    weights: Mapping[str, Tensor], labels: Mapping[int, str], heads: int
) -> dict[str, Any]:
    """``config.json``: sizes follow from shapes."""

    def count(pattern: str) -> int:
        return 1 + max((int(m[1]) for n in weights if (m := re.match(pattern, n))), default=-1)

    def shape(name: str) -> tuple[int, ...]:
        return tuple(weights[name].shape)

    swin = "backbone.patch_embed.proj.weight" in weights
    stages = [f"stage{i + 1}" for i in range(4)]
    backbone: dict[str, Any] = {"out_features": stages}
    if swin:
        tables = [
            shape(f"backbone.layers.{i}.blocks.0.attn.relative_position_bias_table")
            for i in range(4)
        ]
        backbone |= {
            "model_type": "swin",
            "embed_dim": shape("backbone.patch_embed.proj.weight")[0],
            "patch_size": shape("backbone.patch_embed.proj.weight")[2],
            "depths": [count(rf"backbone\.layers\.{i}\.blocks\.(\d+)\.") for i in range(4)],
            "num_heads": [table[1] for table in tables],
            "window_size": (round(tables[0][0] ** 0.5) + 1) // 2,
            "drop_path_rate": 0.0,
        }
    else:
        backbone |= {
            "model_type": "resnet",
            "embedding_size": shape("backbone.stem.conv1.weight")[0],
            "hidden_sizes": [shape(f"backbone.res{i}.0.conv3.weight")[0] for i in range(2, 6)],
            "depths": [count(rf"backbone\.res{i}\.(\d+)\.") for i in range(2, 6)],
            "layer_type": "bottleneck",
        }
    pixels, queries = "sem_seg_head.pixel_decoder.", "sem_seg_head.predictor."
    encoder = f"{pixels}transformer.encoder.layers."
    hidden = shape(f"{queries}query_feat.weight")
    return {
        "architectures": ["Mask2FormerForUniversalSegmentation"],
        "model_type": "mask2former",
        "backbone_config": backbone,
        "use_pretrained_backbone": False,
        "num_queries": hidden[0],
        "hidden_dim": hidden[1],
        "feature_size": hidden[1],
        "mask_feature_size": shape(f"{pixels}mask_features.weight")[0],
        "encoder_layers": count(re.escape(encoder) + r"(\d+)"),
        "decoder_layers": 1 + count(re.escape(queries) + r"transformer_ffn_layers\.(\d+)"),
        "encoder_feedforward_dim": shape(f"{encoder}0.linear1.bias")[0],
        "dim_feedforward": shape(f"{queries}transformer_ffn_layers.0.linear1.bias")[0],
        "num_attention_heads": heads,
        "id2label": {str(row): name for row, name in labels.items()},
        "label2id": {name: row for row, name in labels.items()},
    }
