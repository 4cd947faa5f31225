"""From a configuration to the evaluators of its tasks."""

from pathlib import Path

from detectron2.config import CfgNode

from pading.data.catalogue import metadata_of
from pading.data.tasks import check_tasks, instance_setting, tasks_of
from pading.evaluation.average_precision import InstanceEvaluator
from pading.evaluation.evaluator import ReportingEvaluators, TaskEvaluator
from pading.evaluation.fold_scores import FoldEvaluator
from pading.evaluation.panoptic_quality import PanopticEvaluator
from pading.evaluation.semantic_evaluator import SemanticEvaluator
from pading.vocabulary.fold_splits import OTHERS


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
        InputError: the data set is not registered, has no ground truth for a task that is on, or
            malformed instance annotations.
    """
    folder = Path(output_dir or Path(cfg.OUTPUT_DIR) / "inference" / dataset_name)
    metadata = metadata_of(dataset_name)
    check_tasks(cfg, train=(), test=(dataset_name,))
    wanted = tasks_of(cfg)
    evaluators: list[TaskEvaluator] = []
    if wanted["panoptic"]:
        evaluators.append(PanopticEvaluator(dataset_name, folder))
    if wanted["semantic"]:
        evaluators.append(SemanticEvaluator(metadata.split, folder))
        if OTHERS in metadata.split.names and metadata.split.unseen:
            evaluators.append(FoldEvaluator(metadata.split))
    if wanted["instance"]:
        evaluators.append(InstanceEvaluator(dataset_name, folder, instance_setting(cfg)))
    return ReportingEvaluators(evaluators, dataset_name, metadata.split, folder)
