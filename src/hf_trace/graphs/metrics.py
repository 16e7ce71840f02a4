"""How close a causal graph is to a known truth, beside the counting baselines it carries."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped
from sklearn.metrics import average_precision_score, roc_auc_score

from hf_trace.documents import Document
from hf_trace.errors import GraphFormatError, NonFiniteError, preview
from hf_trace.graphs.event_graph import plain
from hf_trace.graphs.graph import CausalGraph

Matrix = Shaped[np.ndarray, "cause effect"]
Adjacency = Bool[np.ndarray, "cause effect"]
Scores = Float[np.ndarray, "cause effect"]
Listed = Shaped[np.ndarray, " pair"]


class EdgeAgreement(NamedTuple):
    """Share of predicted edges that are true, share of true edges that are predicted, and their F1."""

    precision: float
    recall: float
    f1: float


class RankAgreement(NamedTuple):
    """Areas under the ROC and the precision-recall curve; NaN when all pairs are edges, or none is."""

    auroc: float
    auprc: float


@dataclass(frozen=True)
class GraphScores:
    """Agreement of a predicted adjacency, and of scores of all pairs, with a true adjacency.

    Attributes:
        precision: Share of predicted edges that are true.
        recall: Share of true edges that are predicted.
        f1: Harmonic mean of precision and recall.
        shd: Structural Hamming distance, in edges.
        auroc: Chance that a true edge scores higher than a pair without one; NaN without contrast.
        auprc: Average precision of the pairs ranked by score; NaN without contrast.
        base_rate: Share of pairs that are true edges: the AUPRC of random scores.
        predict_all_f1: F1 of the graph with every edge, which a useful graph must exceed.
    """

    precision: float
    recall: float
    f1: float
    shd: int
    auroc: float
    auprc: float
    base_rate: float
    predict_all_f1: float


def precision_recall_f1(truth: Matrix, predicted: Matrix, *, self_loops: bool = False) -> EdgeAgreement:
    """Agreement of two sets of edges.

    An empty prediction of an empty truth is perfect (1, 1, 1); any other share of nothing is 0.

    Args:
        truth: True where there is an edge.
        predicted: The same, as predicted.
        self_loops: Count the diagonal as well.

    Raises:
        GraphFormatError: If the two are not square matrices of one size.

    Example:
        >>> truth = np.array([[0, 1, 1], [0, 0, 1], [0, 0, 0]])
        >>> predicted = np.array([[0, 1, 0], [0, 0, 0], [1, 0, 0]])
        >>> precision_recall_f1(truth, predicted)  # 1 of 2 predicted, 1 of 3 true
        EdgeAgreement(precision=0.5, recall=0.3333333333333333, f1=0.4)
    """
    true_edges, predicted_edges = _pairs(truth, predicted, self_loops=self_loops)
    return _agreement(true_edges.astype(bool), predicted_edges.astype(bool))


def structural_hamming_distance(truth: Matrix, predicted: Matrix, *, self_loops: bool = False) -> int:
    """Fewest edges to add, remove or reverse that turn one graph into the other.

    Raises:
        GraphFormatError: If the two are not square matrices of one size.

    Example:
        >>> structural_hamming_distance(np.array([[0, 1], [0, 0]]), np.array([[0, 0], [1, 0]]))
        1
    """
    _check_square(truth, predicted)
    differs = truth.astype(bool) != predicted.astype(bool)
    if not self_loops:
        np.fill_diagonal(differs, False)
    # Both directions of a pair differ in a reversal (one edge each) and between no edge and two.
    single = truth.astype(bool) != truth.astype(bool).T
    reversals = int(np.triu(differs & differs.T & single, k=1).sum())
    return int(differs.sum()) - reversals


def score_graph(
    truth: Matrix, predicted: Matrix, scores: Matrix | None = None, *, self_loops: bool = False
) -> GraphScores:
    """All scores of one predicted adjacency.

    Args:
        truth: True where there is an edge.
        predicted: The same, as predicted.
        scores: What AUROC and AUPRC rank by; by default ``predicted`` itself.
        self_loops: Count the diagonal as well.

    Raises:
        GraphFormatError: If the matrices are not square or differ in size.
        NonFiniteError: If a score is NaN or infinite.

    Example:
        >>> truth = np.array([[0, 1], [0, 0]])
        >>> score_graph(truth, truth).predict_all_f1  # precision 1/2, recall 1
        0.6666666666666666
    """
    labels, claims = _pairs(truth, predicted, self_loops=self_loops)
    _, values = _pairs(truth, predicted if scores is None else scores, self_loops=self_loops)
    shd = structural_hamming_distance(truth, predicted, self_loops=self_loops)
    return GraphScores(shd=shd, **score_listed_pairs(labels, claims, values))


def score_listed_pairs(truth: Listed, predicted: Listed, scores: Listed) -> dict[str, float]:
    """All scores that do not need the shape of a graph, from any list of pairs.

    Args:
        truth: True where the pair is an edge.
        predicted: The same, as predicted.
        scores: What AUROC and AUPRC rank by.

    Raises:
        NonFiniteError: If a score is NaN or infinite.

    Example:
        >>> truth = np.array([True, False, False, False])
        >>> score_listed_pairs(truth, truth, truth)["base_rate"]
        0.25
    """
    labels = truth.astype(bool)
    edges, ranks = _agreement(labels, predicted.astype(bool)), _ranking(labels, scores.astype(np.float64))
    base_rate = float(labels.mean()) if labels.size else 0.0
    baseline = {"base_rate": base_rate, "predict_all_f1": 2 * base_rate / (1 + base_rate)}
    return edges._asdict() | ranks._asdict() | baseline


@dataclass(frozen=True)
class GraphComparison:
    """A predicted graph beside a true one, over the event types of both.

    Attributes:
        scores: Agreement of the predicted graph with the truth.
        ranked_by: What AUROC and AUPRC ranked: ``"scores"`` of every tested pair, kept in the graph's
            metadata, or ``"edges"``, where every pair without an edge ties at 0.
        n_types: Event types in either graph.
        n_true_edges: Edges of the truth between different types.
        n_predicted_edges: Edges of the prediction between different types.
        only_predicted: Event types that the truth lacks; it counts as having no edge there.
        only_true: Event types that the prediction lacks; it counts as having found no edge there.
        baselines: Scores of each baseline, as a graph with as many edges as the predicted one.
    """

    scores: GraphScores
    ranked_by: str
    n_types: int
    n_true_edges: int
    n_predicted_edges: int
    only_predicted: tuple[str, ...]
    only_true: tuple[str, ...]
    baselines: dict[str, GraphScores]

    def to_dict(self) -> Document:
        """Return everything as one mapping that JSON can hold; NaN becomes None."""
        own = {key: value for key, value in asdict(self).items() if key not in ("scores", "baselines")}
        lists = {key: list(own[key]) for key in ("only_predicted", "only_true")}
        rows = {name: plain(asdict(scores)) for name, scores in self.baselines.items()}
        scored: Document = plain(asdict(self.scores))
        return scored | own | lists | {"baselines": rows}

    def table_rows(self) -> list[Document]:
        """Return one row for the graph, one per baseline and one for predicting every edge."""
        rows = [{"graph": name} | asdict(scores) for name, scores in self._named_scores().items()]
        # Which pairs a row is judged on is the same everywhere, so these two would repeat one number.
        return [{k: v for k, v in row.items() if k not in ("base_rate", "predict_all_f1")} for row in rows]

    def _named_scores(self) -> dict[str, GraphScores]:
        base_rate = self.scores.base_rate
        pairs = self.n_types * (self.n_types - 1)
        everything = GraphScores(
            precision=base_rate,
            recall=1.0 if self.n_true_edges else 0.0,
            f1=self.scores.predict_all_f1,
            shd=pairs - self.n_true_edges,
            auroc=0.5 if 0 < base_rate < 1 else float("nan"),
            auprc=base_rate if 0 < base_rate < 1 else float("nan"),
            base_rate=base_rate,
            predict_all_f1=self.scores.predict_all_f1,
        )
        return {"predicted": self.scores, **self.baselines, "every edge": everything}


def compare_graphs(
    predicted: CausalGraph, truth: CausalGraph, *, baselines: Mapping[str, Scores] | None = None, key: str = "cmi"
) -> GraphComparison:
    """Compare two graphs by the names of their event types.

    Instance graphs are compared as the event types that their edges join. AUROC and AUPRC rank the pairs by
    ``predicted.metadata["scores"]`` (``{"events": [...], "matrix": [[...]]}``) when that is present, and
    otherwise by the absolute ``key`` of the edges.

    Args:
        predicted: The graph to judge.
        truth: The graph to judge it by.
        baselines: Scores of all pairs by other means, rows and columns in the order of ``predicted.events``
            without repeats.
        key: Edge key to rank by; edges that lack it count as 1.

    Raises:
        GraphFormatError: If ``metadata["scores"]`` or a baseline does not fit the events.

    Example:
        >>> truth = CausalGraph.from_edges([("a", "b"), ("b", "c")])
        >>> comparison = compare_graphs(CausalGraph.from_edges([("a", "b")]), truth)
        >>> comparison.scores.recall, comparison.only_true
        (0.5, ('c',))
    """
    own, known = tuple(dict.fromkeys(predicted.events)), tuple(dict.fromkeys(truth.events))
    types = tuple(dict.fromkeys(own + known))
    true_edges, found = _type_matrix(truth, types, key) > 0, _type_matrix(predicted, types, key)
    scores = _tested_scores(predicted, types)
    wide = {name: _widened(values, own, types, f"baseline {name!r}") for name, values in (baselines or {}).items()}
    return GraphComparison(
        scores=score_graph(true_edges, found > 0, found if scores is None else scores),
        ranked_by="edges" if scores is None else "scores",
        n_types=len(types),
        n_true_edges=_count(true_edges),
        n_predicted_edges=_count(found > 0),
        only_predicted=tuple(name for name in own if name not in set(known)),
        only_true=tuple(name for name in known if name not in set(own)),
        baselines={
            name: score_graph(true_edges, _top_pairs(values, _count(found > 0)), values)
            for name, values in wide.items()
        },
    )


def _count(adjacency: Adjacency) -> int:
    return int(adjacency.sum() - np.diagonal(adjacency).sum())


def _check_square(one: Shaped[np.ndarray, "..."], other: Shaped[np.ndarray, "..."]) -> None:
    if one.ndim != 2 or one.shape[0] != one.shape[1] or one.shape != other.shape:
        raise GraphFormatError(
            f"Got matrices of shape {one.shape} and {other.shape}. Expected two square ones of one size, "
            "[cause, effect]."
        )


def _pairs(one: Matrix, other: Matrix, *, self_loops: bool) -> tuple[Listed, Listed]:
    _check_square(one, other)
    counted = np.ones(one.shape, dtype=bool) if self_loops else ~np.eye(len(one), dtype=bool)
    return one[counted], other[counted]


def _agreement(truth: Bool[np.ndarray, " pair"], predicted: Bool[np.ndarray, " pair"]) -> EdgeAgreement:
    hits, claims, edges = (int(which.sum()) for which in (truth & predicted, predicted, truth))
    if claims == edges == 0:
        return EdgeAgreement(1.0, 1.0, 1.0)
    return EdgeAgreement(hits / claims if claims else 0.0, hits / edges if edges else 0.0, 2 * hits / (claims + edges))


def _ranking(labels: Bool[np.ndarray, " pair"], values: Float[np.ndarray, " pair"]) -> RankAgreement:
    if not np.isfinite(values).all():
        raise NonFiniteError(
            f"{int((~np.isfinite(values)).sum())} of {values.size} scores are NaN or infinite. "
            "Give every pair a finite score; use the lowest for pairs that were not tested."
        )
    if labels.all() or not labels.any():
        return RankAgreement(float("nan"), float("nan"))
    return RankAgreement(float(roc_auc_score(labels, values)), float(average_precision_score(labels, values)))


def _type_matrix(graph: CausalGraph, types: Sequence[str], key: str) -> Scores:
    """Strength of every edge between types: the strongest of its positions, and never 0."""
    index = {name: i for i, name in enumerate(types)}
    matrix = np.zeros((len(types), len(types)))
    for edge in graph.edges:
        cell = index[edge["cause"]], index[edge["effect"]]
        value = edge.get(key)
        strength = abs(float(value)) if isinstance(value, int | float) else 1.0
        matrix[cell] = max(matrix[cell], strength, np.finfo(np.float64).tiny)
    return matrix


def _tested_scores(graph: CausalGraph, types: Sequence[str]) -> Scores | None:
    recorded = graph.metadata.get("scores")
    if not isinstance(recorded, dict) or not {"events", "matrix"} <= set(recorded):
        return None
    values = np.array(recorded["matrix"], dtype=np.float64)
    return _widened(values, recorded["events"], types, "`scores` of the graph")


def _widened(values: Float[np.ndarray, "..."], events: Sequence[str], types: Sequence[str], what: str) -> Scores:
    """Copy scores to the rows and columns of ``types``; pairs that were not tested get the lowest score."""
    index = {name: i for i, name in enumerate(types)}
    unknown = [name for name in events if name not in index]
    if values.shape != (len(events), len(events)) or unknown:
        found = f"with events the graphs lack, {preview(unknown)}" if unknown else f"of shape {values.shape}"
        raise GraphFormatError(f"The {what} is a matrix {found}. Expected a row and a column per event type.")
    finite = values[np.isfinite(values)]
    wide = np.full((len(types), len(types)), min(finite.min(), 0.0) if finite.size else 0.0)
    places = np.array([index[name] for name in events], dtype=np.int64)
    wide[np.ix_(places, places)] = np.where(np.isfinite(values), values, wide[0, 0] if wide.size else 0.0)
    return wide


def _top_pairs(values: Scores, count: int) -> Adjacency:
    outside = values.copy()
    np.fill_diagonal(outside, -np.inf)
    top = np.zeros(values.size, dtype=bool)
    top[np.argsort(-outside, axis=None, kind="stable")[:count]] = True
    return top.reshape(values.shape)


def evaluate_graph(graph: CausalGraph, truth: CausalGraph) -> GraphComparison:
    """Compare a graph with a truth, beside the baselines it carries.

    Raises:
        GraphFormatError: If the two share no event type.
    """
    if not set(graph.events) & set(truth.events):
        raise GraphFormatError(
            f"The graph and the truth share no event type: {preview(graph.events)} against {preview(truth.events)}. "
            "Expected the same names in both."
        )
    baselines = graph.metadata.get("baselines", {})
    return compare_graphs(graph, truth, baselines={name: np.asarray(table) for name, table in baselines.items()})
