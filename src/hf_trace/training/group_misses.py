"""Where a model misses what groups of rows did: the mean outcome of those with each value of a parent."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from hf_trace.documents import Document
from hf_trace.tables.schema import DagSchema
from hf_trace.tokenizers.dag_tokenizer import DagTokenizer
from hf_trace.training.place_logits import logits_at
from hf_trace.training.table_losses import allowed_tokens
from hf_trace.training.table_rows import ParentRows

# What ``metrics.json`` calls them.
MISSES = "misses"
# Standard errors from which on a difference is a miss, and how many are told.
_FAR, _MOST = 3.0, 20
_READ_AT_ONCE = 8192


@dataclass(frozen=True)
class GroupMiss:
    """A group whose mean outcome a model misses by more than three standard errors.

    Attributes:
        variable: The outcome.
        value: Whose probability is missed; empty for the mean of a number.
        parent: The parent that makes the group.
        group: Its value there.
        rows: In the group.
        observed: Mean outcome of these rows.
        predicted: What the model says of the same rows.
        standard_error: Of the observed mean, where the model is right.
    """

    variable: str
    value: str
    parent: str
    group: str
    rows: float
    observed: float
    predicted: float
    standard_error: float

    @property
    def errors(self) -> float:
        """How many standard errors the model is off."""
        return abs(self.observed - self.predicted) / self.standard_error

    def to_dict(self) -> Document:
        """What ``metrics.json`` holds."""
        return asdict(self)


@torch.no_grad()
def group_misses(model: nn.Module, tokenizer: DagTokenizer, source: ParentRows) -> list[GroupMiss]:
    """The groups that a model misses most, the worst first.

    Numbers count as the means of their bins.

    Args:
        model: In evaluation mode.
        tokenizer: How values are written.
        source: The rows, neither smoothed nor balanced.
    """
    schema, device = tokenizer.schema, next(model.parameters()).device
    allowed = allowed_tokens(tokenizer).to(device)
    sums = [_Sums.of(schema, name, parent) for name, parent in _pairs(tokenizer)]
    size = max(1, int(_READ_AT_ONCE / source.mean_length))
    for first in range(0, len(source), size):
        rows = np.arange(first, min(first + size, len(source)))
        batch = {key: part.to(device) for key, part in source.batch(rows, np.random.default_rng(0)).items()}
        logits = logits_at(model, batch).float().masked_fill(~allowed[batch["place_variable"]], -torch.inf)
        terms = _terms_by_variable(schema, batch)
        for each in sums:
            if each.name in terms:
                each.add(tokenizer, batch, logits, terms[each.name])
    found = [miss for each in sums for miss in each.misses()]
    return sorted(found, key=lambda miss: -miss.errors)[:_MOST]


def _terms_by_variable(schema: DagSchema, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Which terms of a batch are of each variable that it has."""
    owners = batch["place_variable"][batch["term_place"]]
    order = torch.argsort(owners, stable=True)
    there, counts = owners.unique(return_counts=True)
    names = (schema.topological_order[number] for number in there.tolist())
    return dict(zip(names, order.split(counts.tolist()), strict=True))


def _pairs(tokenizer: DagTokenizer) -> Iterator[tuple[str, str]]:
    """Finite variables with each of their finite parents."""
    finite = {name for name, tokens in tokenizer.variables.items() if tokens.is_finite}
    return ((name, parent) for name in finite for parent in tokenizer.parents(name) if parent in finite)


@dataclass(frozen=True)
class _Sums:
    """What is added up over rows, for every value of a parent and every outcome.

    Attributes:
        schema: The graph.
        name: Of the variable.
        parent: Whose values make groups.
        scores: What each value counts as, ``[value, outcome]``.
        rows: ``[group]``.
        sums: Of outcomes, of predictions and of squared differences, ``[3, group, outcome]``.
    """

    schema: DagSchema
    name: str
    parent: str
    scores: Float[np.ndarray, "value outcome"]
    rows: Float[np.ndarray, " group"]
    sums: Float[np.ndarray, "3 group outcome"]

    @classmethod
    def of(cls, schema: DagSchema, name: str, parent: str) -> "_Sums":
        variable, groups = schema[name], len(schema[parent].values)
        numbers = variable.numbers if variable.kind == "numeric" else None
        scores = np.eye(len(variable.values)) if numbers is None else np.nan_to_num(np.asarray(numbers))[:, None]
        return cls(schema, name, parent, scores, np.zeros(groups), np.zeros((3, groups, scores.shape[1])))

    def add(self, tokenizer: DagTokenizer, batch: dict[str, Tensor], logits: Tensor, terms: Tensor) -> None:
        """Count the terms of a batch that are of the variable."""
        values = torch.from_numpy(tokenizer.variables[self.name].values).to(logits.device)
        places = batch["term_place"][terms]
        predicted = logits[places][:, values].softmax(-1).double().cpu().numpy() @ self.scores
        seen = self.scores[_codes(tokenizer, self.name, batch["term_target"][terms])]
        weight = batch["term_weight"][terms].double().cpu().numpy()
        ids = batch["input_ids"][batch["place_row"][places]]
        after = (ids == tokenizer.variables[self.parent].start).int().argmax(dim=1) + 1
        groups = _codes(tokenizer, self.parent, ids[torch.arange(len(ids)), after])
        np.add.at(self.rows, groups, weight)
        for place, part in enumerate((seen, predicted, (seen - predicted) ** 2)):
            np.add.at(self.sums[place], groups, weight[:, None] * part)

    def misses(self) -> Iterator[GroupMiss]:
        """Groups that are missed."""
        variable, parent = self.schema[self.name], self.schema[self.parent]
        for group, rows in enumerate(self.rows):
            for outcome in range(self.scores.shape[1]) if rows > 1 else ():
                observed, predicted, squares = self.sums[:, group, outcome] / rows
                error = float(np.sqrt(squares / rows))
                if error > 0 and abs(observed - predicted) > _FAR * error:
                    value = "" if self.scores.shape[1] == 1 else variable.values[outcome]
                    told = float(rows), float(observed), float(predicted), error
                    yield GroupMiss(variable.name, value, parent.name, parent.values[group], *told)


def _codes(tokenizer: DagTokenizer, name: str, tokens: Tensor) -> NDArray[np.int64]:
    values = tokenizer.variables[name].values
    order = np.argsort(values)
    return np.asarray(order[np.searchsorted(values, tokens.cpu().numpy(), sorter=order)])
