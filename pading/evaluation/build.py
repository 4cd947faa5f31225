"""From a configuration to the evaluators of its tasks."""

from pathlib import Path

from detectron2.config import CfgNode

from pading.data.datasets import metadata_of
from pading.errors import InputError
from pading.evaluation.evaluator import ReportingEvaluators, TaskEvaluator
from pading.evaluation.instance import InstanceEvaluator
from pading.evaluation.panoptic import PanopticEvaluator
from pading.evaluation.semantic import SemanticEvaluator


def build_evaluator(
    cfg: CfgNode, dataset_name: str, output_dir: str | Path | None = None
) -> ReportingEvaluators:
    """Evaluators of all that the model gives (``MODEL.INFERENCE.*_ON``), with one ``results.json``.

    Args:
        cfg: the configuration.
        dataset_name: a registered data set; its metadata hold ``split`` and the ground truth.
        output_dir: where predictions and results go; by default
            ``OUTPUT_DIR/inference/<dataset_name>``.

    Raises:
        InputError: the data set is not registered, or has no ground truth for a task that is on.
    """
    folder = Path(output_dir or Path(cfg.OUTPUT_DIR) / "inference" / dataset_name)
    metadata = metadata_of(dataset_name)
    evaluators: list[TaskEvaluator] = []
    if cfg.MODEL.INFERENCE.PANOPTIC_ON:
        evaluators.append(PanopticEvaluator(dataset_name, folder))
    if cfg.MODEL.INFERENCE.SEMANTIC_ON:
        evaluators.append(SemanticEvaluator(metadata.split))
    if cfg.MODEL.INFERENCE.INSTANCE_ON:
        if not metadata.get("instance_json"):
            raise InputError(
                f"MODEL.INFERENCE.INSTANCE_ON: the data set {dataset_name} has no instance "
                "annotations to score against; switch it off, or name a data set that has"
            )
        evaluators.append(InstanceEvaluator(dataset_name, folder))
    return ReportingEvaluators(evaluators, dataset_name, metadata.split, folder)
