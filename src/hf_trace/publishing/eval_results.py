"""Results as the Hub lists them: ``.eval_results/*.yaml`` beside a card, for a data set that is on the Hub.

The format is that of https://huggingface.co/docs/hub/eval-results; what a card holds beside it (``model-index``) stays.
"""

from dataclasses import dataclass

from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id, yaml_dump  # type: ignore[attr-defined]

from hf_trace.documents import Document
from hf_trace.errors import PublishError
from hf_trace.graphs.metrics import GraphComparison

FOLDER = ".eval_results"
NEXT_EVENT = "next-event"


@dataclass(frozen=True)
class HubData:
    """A data set on the Hub that a run learned from.

    Attributes:
        repo_id: Its id.
        task: Which of its tasks the known graph is of, where it is a benchmark of several (``eval.yaml``).
    """

    repo_id: str
    task: str = "default"

    @classmethod
    def named(cls, text: str) -> "HubData":
        """What ``--data-repo ORG/NAME`` or ``ORG/NAME:TASK`` names.

        Raises:
            PublishError: If it is no id of a repository.

        Example:
            >>> HubData.named("org/event-causality:alarms")
            HubData(repo_id='org/event-causality', task='alarms')
        """
        repo_id, _, task = text.partition(":")
        try:
            validate_repo_id(repo_id)
        except HFValidationError:
            repo_id = ""
        if "/" not in repo_id:
            raise PublishError(f"data_repo is {text!r}, expected ORG/NAME of a data set on the Hub, or ORG/NAME:TASK.")
        return cls(repo_id, task or cls.task)


def eval_files(data: HubData, repo_id: str, losses: Document, known: GraphComparison | None) -> dict[str, bytes]:
    """The files of a repository that hold its results.

    Args:
        data: The data set.
        repo_id: Where the model is published, and its card.
        losses: Of ``metrics.json``: ``loss`` of the next event, and of what it is compared with.
        known: The published graph beside a known one, where there is one.

    Example:
        >>> print(eval_files(HubData("org/log"), "org/run", {"loss": 0.5, "bigram": 0.75}, None)[
        ...     ".eval_results/next-event.yaml"].decode(), end="")
        - dataset:
            id: org/log
            task_id: next-event
          value: 0.5
          source:
            url: https://huggingface.co/org/run
            name: Model card
          notes: mean nats per held-out event, less is better; bigram 0.75
    """
    found: dict[str, bytes] = {}
    if isinstance(losses.get("loss"), float):
        others = [f"{name} {losses[name]:.4g}" for name in ("additive", "bigram", "unigram") if name in losses]
        notes = "; ".join(["mean nats per held-out event, less is better", *others])
        found[f"{FOLDER}/{NEXT_EVENT}.yaml"] = _entry(data.repo_id, NEXT_EVENT, losses["loss"], repo_id, notes)
    if known is not None:
        scores = known.scores
        notes = f"average precision of all pairs; chance {scores.base_rate:.4g}; AUROC {scores.auroc:.4g}"
        notes += (
            f"; F1 of its {known.n_predicted_edges} edges {scores.f1:.4g}, of every pair {scores.predict_all_f1:.4g}"
        )
        found[f"{FOLDER}/known-graph.yaml"] = _entry(data.repo_id, data.task, scores.auprc, repo_id, notes)
    return found


def _entry(dataset: str, task: str, value: float, repo_id: str, notes: str) -> bytes:
    source = {"source_url": f"https://huggingface.co/{repo_id}", "source_name": "Model card"}
    entry = EvalResultEntry(dataset_id=dataset, task_id=task, value=round(value, 4), notes=notes, **source)
    return str(yaml_dump(eval_result_entries_to_yaml([entry]), sort_keys=False)).encode()
