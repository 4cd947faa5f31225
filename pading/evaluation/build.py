"""From a configuration to the evaluators of its tasks."""

from pathlib import Path

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog

from pading.evaluation.evaluator import ReportingEvaluators
from pading.evaluation.panoptic import PanopticEvaluator


def build_evaluator(
    cfg: CfgNode, dataset_name: str, output_dir: str | Path | None = None
) -> ReportingEvaluators:
    """Evaluators of all that the model gives (``MODEL.INFERENCE.*_ON``), with one ``results.json``.

    Args:
        cfg: the configuration.
        dataset_name: a registered data set; its metadata hold ``split`` and the ground truth.
        output_dir: where predictions and results go; by default
            ``OUTPUT_DIR/inference/<dataset_name>``.
    """
    folder = Path(output_dir or Path(cfg.OUTPUT_DIR) / "inference" / dataset_name)
    evaluators = []
    if cfg.MODEL.INFERENCE.PANOPTIC_ON:
        evaluators.append(PanopticEvaluator(dataset_name, folder))
    return ReportingEvaluators(
        evaluators, dataset_name, MetadataCatalog.get(dataset_name).split, folder
    )
