"""What the evaluators of all tasks share: collecting over processes, one report in the end."""

import logging
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from detectron2.evaluation import DatasetEvaluator, DatasetEvaluators
from detectron2.utils import comm

from pading.evaluation.groups import Scores
from pading.evaluation.tables import group_table, without_nan
from pading.files import write_json
from pading.vocabulary.splits import ClassSplit

logger = logging.getLogger(__name__)

RESULTS_FILE = "results.json"


class TaskEvaluator(DatasetEvaluator):
    """One task's evaluator: a compact record per image, scored by the main process.

    After :meth:`evaluate`, ``scores`` holds the full :class:`Scores` (main process; else empty).
    """

    def __init__(self) -> None:
        self._records: dict[Any, Any] = {}
        self.scores: tuple[Scores, ...] = ()

    @abstractmethod
    def record(self, image: Mapping[str, Any], output: Mapping[str, Any]) -> Any:
        """What has to be kept of the model's ``output`` for ``image``, small and picklable."""

    @abstractmethod
    def score(self, records: Mapping[Any, Any]) -> tuple[Scores, ...]:
        """The scores of all records (image id -> record, in ascending order of the id)."""

    def reset(self) -> None:
        self._records = {}
        self.scores = ()

    def process(
        self, inputs: Sequence[Mapping[str, Any]], outputs: Sequence[Mapping[str, Any]]
    ) -> None:
        for image, output in zip(inputs, outputs, strict=True):
            self._records[image["image_id"]] = self.record(image, output)

    def evaluate(self) -> dict[str, dict[str, float]] | None:
        """{"panoptic_seg": {"PQ_seen": ...}}, Detectron2's shape; None but on the main process."""
        gathered = comm.gather(self._records)
        if not comm.is_main_process():
            return None
        records = {image_id: part[image_id] for part in gathered for image_id in part}
        self.scores = self.score({image_id: records[image_id] for image_id in sorted(records)})
        return {scores.task: scores.flat() for scores in self.scores}


class ReportingEvaluators(DatasetEvaluators):
    """Several tasks of one model on one data set; prints their tables and writes ``results.json``.

    The file holds the names of data set and split, ``metrics`` (what :meth:`evaluate` returns) and
    ``per_class`` (task -> class name -> figures). It is absent while a new one is being made.
    """

    def __init__(
        self,
        evaluators: Sequence[TaskEvaluator],
        dataset_name: str,
        split: ClassSplit,
        output_dir: str | Path,
    ) -> None:
        super().__init__(list(evaluators))
        self._task_evaluators = tuple(evaluators)
        self._header = {"dataset": dataset_name, "split": split.name}
        self._path = Path(output_dir) / RESULTS_FILE

    @property
    def scores(self) -> tuple[Scores, ...]:
        """The scores of all tasks (main process, after :meth:`evaluate`)."""
        return tuple(scores for task in self._task_evaluators for scores in task.scores)

    def evaluate(self) -> dict[str, dict[str, float]]:
        if comm.is_main_process():
            self._path.unlink(missing_ok=True)
        results = super().evaluate()
        if comm.is_main_process():
            content = {
                **self._header,
                "metrics": results,
                "per_class": {scores.task: scores.per_class for scores in self.scores},
            }
            write_json(self._path, without_nan(content), indent=1)
            for scores in self.scores:
                logger.info("%s on %s:\n%s", scores.task, self._header, group_table(scores))
            logger.info("Results are in %s", self._path)
        return results
