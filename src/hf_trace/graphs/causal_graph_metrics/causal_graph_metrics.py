"""Scores of a causal graph as an ``evaluate`` metric."""

import math

# One import per line: evaluate looks for them with a pattern that knows no commas.
import datasets
import evaluate
import numpy as np

from hf_trace.errors import GraphFormatError
from hf_trace.graphs.metrics import score_graph, score_listed_pairs

_DESCRIPTION = """\
Compares scores of ordered pairs of event types with a known causal graph: precision, recall and F1 of the
pairs above a threshold, structural Hamming distance, AUROC and AUPRC, beside what a useful method exceeds.
"""

_INPUTS = """\
Args:
    predictions: One score per ordered pair (cause, effect), larger for surer edges; for example nats of
        conditional mutual information, or 1 and 0.
    references: 1 where the pair is a true edge, 0 elsewhere.
    threshold: A pair is predicted as an edge when its score exceeds this. 0.0 by default.
    n_types: Number of event types. When given, the pairs must be all pairs, cause by cause, with the pairs
        of a type with itself (n * n values, which are then left out) or without (n * (n - 1) values), and
        `shd` is returned as well.

Returns:
    precision, recall, f1, auroc, auprc, base_rate, predict_all_f1 and, with n_types, shd. `auroc` and `auprc`
    are NaN when all references are equal.

Example:
    >>> metric = evaluate.load("src/hf_trace/graphs/causal_graph_metrics")  # doctest: +SKIP
    >>> metric.compute(predictions=[0.4, 0.0], references=[1, 0])["f1"]  # doctest: +SKIP
    1.0
"""

_CITATION = ""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _INPUTS)
class CausalGraphMetrics(evaluate.Metric):
    """Agreement of scored pairs of event types with a known causal graph."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features(
                {"predictions": datasets.Value("float64"), "references": datasets.Value("int64")}
            ),
        )

    def _compute(
        self, predictions: list[float], references: list[int], threshold: float = 0.0, n_types: int | None = None
    ) -> dict[str, float | int]:
        scores, truth = np.array(predictions, dtype=np.float64), np.array(references, dtype=np.int64)
        if not np.isin(truth, (0, 1)).all():
            wrong = truth[~np.isin(truth, (0, 1))][0]
            raise GraphFormatError(f"Got the reference {wrong}. Expected 1 for a true edge and 0 for none.")
        if n_types is None:
            return dict(score_listed_pairs(truth == 1, scores > threshold, scores))
        true_edges, values = _as_matrix(truth, n_types), _as_matrix(scores, n_types)
        return dict(vars(score_graph(true_edges == 1, values > threshold, values)))


def _as_matrix(values: np.ndarray, n_types: int) -> np.ndarray:
    if len(values) == n_types * n_types:
        return values.reshape(n_types, n_types)
    if len(values) == n_types * (n_types - 1):
        matrix = np.zeros((n_types, n_types), dtype=values.dtype)
        matrix[~np.eye(n_types, dtype=bool)] = values
        return matrix
    hint = f" Did you mean `n_types={math.isqrt(len(values)) + 1}`?" if _is_pronic(len(values)) else ""
    raise GraphFormatError(
        f"Got {len(values)} pairs with `n_types` {n_types}. Expected {n_types * n_types}, or "
        f"{n_types * (n_types - 1)} without the pairs of a type with itself.{hint}"
    )


def _is_pronic(count: int) -> bool:
    root = math.isqrt(count)
    return count > 0 and root * (root + 1) == count
