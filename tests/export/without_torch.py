"""A script that predicts with exported models where only NumPy and Pillow can be imported.

    python without_torch.py FOLDER

FOLDER holds NAME.onnx, and images as NAME_N.npy; every prediction goes to NAME_N.json, the raw
outputs to NAME_N.npz.
"""

import json
import sys
from pathlib import Path

BANNED = ("torch", "torchvision", "detectron2", "timm", "scipy", "pycocotools", "panopticapi")
BANNED += ("yaml", "fvcore", "onnx", "onnxscript", "cv2", "matplotlib", "safetensors", "tqdm")


class Refuse:
    """Stands before Python's own finders."""

    @staticmethod
    def find_spec(name: str, *_: object) -> None:
        if name.split(".")[0] in BANNED:
            raise ImportError(f"{name} is not there")


def main(folder: Path) -> None:
    sys.meta_path.insert(0, Refuse)  # type: ignore[arg-type]
    import numpy as np

    from pading.runtime import load

    for path in sorted(folder.glob("*.onnx")):
        model = load(path, threads=1)
        for file in sorted(folder.glob(f"{path.stem}_*.npy")):
            image = np.load(file)
            inputs = model.prepare(image)
            found = model.predict(image)
            coco = {"instance": found.instance, "panoptic": None}
            if found.panoptic is not None:
                coco["panoptic"] = found.panoptic.segments
            file.with_suffix(".json").write_text(json.dumps(coco))
            divisor = model.described.pixels["divisor"]
            size = [side // divisor * divisor for side in inputs["image"].shape[-2:]]
            whole = inputs["image"][None, :, : size[0], : size[1]]
            arrays = {**model.network(whole), "looked_at": whole}
            for name, value in (("semantic", found.semantic), ("panoptic", found.panoptic)):
                if value is not None:
                    arrays[f"result_{name}"] = getattr(value, "ids", value)
            np.savez(file.with_suffix(".npz"), **arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
