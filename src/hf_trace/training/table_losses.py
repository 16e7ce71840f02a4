"""How well a model predicts a table: losses among the values that a variable may take, beside those of counts."""

import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from sklearn.ensemble import HistGradientBoostingClassifier
from torch import Tensor, nn

from hf_trace.documents import Document
from hf_trace.effects.conditionals import distinct
from hf_trace.tokenizers.dag_tokenizer import DagTokenizer
from hf_trace.training.place_logits import logits_at
from hf_trace.training.table_rows import RowSource, WrittenTable

_READ_AT_ONCE = 8192
# Rows that trees read, and are judged on; values that they grow for; names that they tell apart.
_READ, _JUDGED, _MOST_GROWN, _MOST_NAMES = 4_000, 10_000, 200, 255
_TREES: dict[str, Any] = {
    **{"max_iter": 40, "learning_rate": 0.1, "max_leaf_nodes": 8, "min_samples_leaf": 10, "random_state": 0},
    "early_stopping": False,
}


def allowed_tokens(tokenizer: DagTokenizer) -> Bool[Tensor, "variable vocab"]:
    """Which tokens may stand in a value of each variable, in topological order."""
    allowed = torch.zeros((len(tokenizer.variables), len(tokenizer)), dtype=torch.bool)
    for row, name in zip(allowed, tokenizer.schema.topological_order, strict=True):
        row[torch.from_numpy(tokenizer.variables[name].allowed)] = True
    return allowed


def term_losses(
    model: nn.Module, batch: Mapping[str, Tensor], allowed: Bool[Tensor, "variable vocab"]
) -> Float[Tensor, " term"]:
    """Loss of every term of a batch, in nats: the softmax runs over what may stand at its place and nothing else."""
    at_places = logits_at(model, batch).float()
    at_places = at_places.masked_fill(~allowed[batch["place_variable"]], -torch.inf)
    return -at_places.log_softmax(-1)[batch["term_place"], batch["term_target"]]


class TermLosses(NamedTuple):
    """Losses of all terms of a table, which variable each belongs to, and what each counts."""

    losses: Float[np.ndarray, " term"]
    variables: Int[np.ndarray, " term"]
    weights: Float[np.ndarray, " term"]

    def per_variable(self, source: RowSource) -> Float[np.ndarray, " variable"]:
        """Nats per value of every variable, weighted by what the rows stand for."""
        totals = np.bincount(self.variables, self.losses * self.weights, minlength=source.variables)
        return totals / source.total_weight


@torch.no_grad()
def all_losses(model: nn.Module, source: RowSource, allowed: Bool[Tensor, "variable vocab"]) -> TermLosses:
    """Losses of all terms there are; orders that are drawn are the same every time."""
    was_training, device = model.training, allowed.device
    model.eval()
    parts, rng = [], np.random.default_rng(0)
    size = max(1, int(_READ_AT_ONCE / source.mean_length))
    for first in range(0, len(source), size):
        rows = np.arange(first, min(first + size, len(source)))
        batch = source.batch(rows, rng)
        losses = term_losses(model, {name: part.to(device) for name, part in batch.items()}, allowed)
        owners = batch["place_variable"][batch["term_place"]]
        parts.append((losses.double().cpu().numpy(), owners.numpy(), batch["term_weight"].double().numpy()))
    model.train(was_training)
    return TermLosses(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def is_surely_better(one: TermLosses, other: TermLosses) -> bool:
    """Whether the first model is better by more than one and a half standard errors of the difference.

    Example:
        >>> weights, owners = np.ones(100), np.zeros(100, dtype=np.int64)
        >>> noise = TermLosses(np.tile([0.0, 1.0], 50), owners, weights)
        >>> hundredth, half = (TermLosses(np.full(100, loss), owners, weights) for loss in (0.49, 0.2))
        >>> is_surely_better(hundredth, noise), is_surely_better(half, noise)
        (False, True)
    """
    gain, total = other.losses - one.losses, one.weights.sum()
    mean = (one.weights * gain).sum() / total
    error = np.sqrt((one.weights * (gain - mean) ** 2).sum()) / total
    return bool(mean > 1.5 * error)


def marginal_losses(
    tokenizer: DagTokenizer, training: WrittenTable, validation: WrittenTable
) -> Float[np.ndarray, " variable"]:
    """Nats per value where tokens are predicted by how often they stand in the variable, whatever came before.

    A token that was not seen counts as much as all unseen ones together would if they had been seen once.
    """
    losses = []
    for index, name in enumerate(training.names):
        allowed = tokenizer.variables[name].allowed
        seen, wanted = (_token_counts(table, index, len(tokenizer))[allowed] for table in (training, validation))
        shares = (seen + 1 / len(allowed)) / (seen.sum() + 1)
        losses.append(-(wanted * np.log(shares)).sum() / validation.weights.sum())
    return np.array(losses)


def _token_counts(table: WrittenTable, variable: int, vocabulary: int) -> Float[np.ndarray, " vocab"]:
    contents = table.contents[variable]
    counts = np.bincount(table.codes[:, variable], table.weights, minlength=len(contents))
    present = contents != -1
    return np.bincount(contents[present], np.repeat(counts, present.sum(1)), minlength=vocabulary)


def bdeu_losses(
    tokenizer: DagTokenizer, training: WrittenTable, validation: WrittenTable
) -> Float[np.ndarray, " variable"]:
    r"""Nats per value of a network whose tables are counts: what a model that shares nothing between contexts says.

    .. math:: p(x \mid pa) = \frac{n(x, pa) + 1 / (q r)}{n(pa) + 1 / q}

    with r values of the variable and q combinations of its parents' (BDeu of one row; Heckerman, Geiger and Chickering
    1995). Predicted are what parents and graph say, whatever else the model reads.

    Returns:
        Losses; NaN of variables that are not finite, or have such parents.
    """
    losses = []
    for number, name in enumerate(training.names):
        observed = [place for place, each in enumerate(training.names) if each in tokenizer.schema[name].parents]
        if not all(tokenizer.variables[training.names[each]].is_finite for each in (*observed, number)):
            losses.append(np.nan)
            continue
        values, sizes = len(training.contents[number]), [len(training.contents[each]) for each in observed]
        contexts, both = math.prod(sizes), np.concatenate([training.codes, validation.codes])
        cells = distinct(both[:, observed], sizes)[1] * values + both[:, number]
        seen, asked = np.split(cells, [len(training)])
        counts = np.bincount(seen, training.weights, minlength=cells.max() + values).astype(float)
        there = np.add.reduceat(counts, np.arange(0, len(counts), values))[asked // values]
        shares = (counts[asked] + 1 / (contexts * values)) / (there + 1 / contexts)
        losses.append(-np.average(np.log(shares), weights=validation.weights))
    return np.array(losses)


def boosted_losses(
    tokenizer: DagTokenizer, training: WrittenTable, validation: WrittenTable
) -> Float[np.ndarray, " variable"]:
    r"""Nats per value of boosted trees, one model for each variable from its parents (scikit-learn's, histograms).

    They read 4,000 rows at most and are judged on 10,000 at most, drawn at random. What n rows of a variable with r
    values say is mixed with one row of all alike, :math:`(n p + 1 / r) / (n + 1)`, or a value that they never saw would
    cost without end.

    Returns:
        Losses, those of the marginal where there are no parents; NaN of variables that are not finite, or have such
        parents, and of all where values are more than 200 together: trees grow for every value.
    """
    losses = np.full(len(training.names), np.nan)
    read = {name: [training.names.index(each) for each in tokenizer.schema[name].parents if each in training.names]
            for name in training.names}  # fmt: skip
    listed = [
        (number, read[name])
        for number, name in enumerate(training.names)
        if all(tokenizer.variables[training.names[each]].is_finite for each in (*read[name], number))
    ]
    if sum(len(training.contents[number]) for number, parents in listed if parents) > _MOST_GROWN:
        return losses
    marginal = marginal_losses(tokenizer, training, validation)
    rng = np.random.default_rng(0)
    training, validation = (
        table.select(rng.permutation(len(table))[:most]) for table, most in ((training, _READ), (validation, _JUDGED))
    )
    for number, parents in listed:
        losses[number] = _boosted(tokenizer, training, validation, number, parents) if parents else marginal[number]
    return losses


def _boosted(
    tokenizer: DagTokenizer, training: WrittenTable, validation: WrittenTable, number: int, parents: list[int]
) -> float:
    seen, values = training.codes[:, number], len(training.contents[number])
    chances = np.zeros((len(validation), values))
    known = np.unique(seen)
    if len(known) == 1:
        chances[:, known] = 1.0
    else:
        kinds = [tokenizer.schema[training.names[each]].kind for each in parents]
        few = [len(training.contents[each]) <= _MOST_NAMES for each in parents]
        named = [kind == "categorical" and is_few for kind, is_few in zip(kinds, few, strict=True)]
        model = HistGradientBoostingClassifier(**_TREES, categorical_features=named)
        model.fit(training.codes[:, parents], seen, training.weights)
        chances[:, known] = model.predict_proba(validation.codes[:, parents])
    shares = (len(training) * chances + 1 / values) / (len(training) + 1)
    asked = shares[np.arange(len(validation)), validation.codes[:, number]]
    return float(-np.average(np.log(asked), weights=validation.weights))


@dataclass(frozen=True)
class DagQuality:
    """How well a table is predicted that was not learned from.

    Attributes:
        loss: Nats per variable.
        marginal: The same where every value is predicted by how frequent it is.
        variables: For every variable both, in nats, and where they are known those of counts, see ``bdeu_losses``,
            and of boosted trees, see ``boosted_losses``.
        rows: Rows the table stands for.

    Example:
        >>> DagQuality(0.4, 0.6, {"drug": {"loss": 0.4, "marginal": 0.6}}, 100.0).beats_marginal
        True
    """

    loss: float
    marginal: float
    variables: Mapping[str, Mapping[str, float]]
    rows: float

    @property
    def beats_marginal(self) -> bool:
        """Whether anything was learned of how variables depend on each other."""
        return self.loss < self.marginal

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "DagQuality":
        """What ``to_dict`` returned."""
        return cls(**{each.name: document[each.name] for each in fields(cls)})

    def to_dict(self) -> Document:
        """What ``metrics.json`` holds."""
        return {**asdict(self), "beats_marginal": self.beats_marginal}


def quality_of(
    tokenizer: DagTokenizer,
    losses: Float[np.ndarray, " variable"],
    training: WrittenTable,
    validation: WrittenTable,
    learn: Collection[str] | None = None,
    *,
    with_trees: bool = False,
) -> DagQuality:
    """Losses beside those of the marginals, of the variables that are learned.

    Args:
        tokenizer: How values are written.
        losses: Of the model, in nats per value.
        training: Rows that it was trained on.
        validation: Rows that the losses are of.
        learn: Variables that are learned; None: all.
        with_trees: Whether boosted trees are grown beside it, which takes seconds.
    """
    marginal, counted = marginal_losses(tokenizer, training, validation), bdeu_losses(tokenizer, training, validation)
    kept = [number for number, name in enumerate(training.names) if learn is None or name in learn]
    found = {"loss": losses, "marginal": marginal, "bdeu": counted}
    if with_trees:
        found["boosted"] = boosted_losses(tokenizer, training, validation)
    variables = {
        training.names[number]: {key: float(each[number]) for key, each in found.items() if np.isfinite(each[number])}
        for number in kept
    }
    return DagQuality(
        float(losses[kept].mean()), float(marginal[kept].mean()), variables, float(validation.weights.sum())
    )
