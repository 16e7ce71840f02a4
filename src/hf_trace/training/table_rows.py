"""Tables as rows of tokens to learn from, put together batch by batch.

A batch has rows of tokens, *places* (a row and a position, after which a token of some variable comes) and *terms*
(a place, the token that came, and how much that counts). Where only parents are read, rows that begin alike are one
row, and a place has as many terms as values were seen there: however long the table, there are no more rows than
distinct values of the parents.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from hf_trace.effects.conditionals import distinct
from hf_trace.tables.encoding import DagTable
from hf_trace.tables.schema import random_ranks, required_edges
from hf_trace.tokenizers.dag_tokenizer import DagTokenizer

Ids = NDArray[np.int64]
_NONE = -1
# Cells for each row up to which counts are smoothed: beyond, what is added to each is next to nothing.
_MOST_SMOOTHED = 16
# Contexts up to which it counts how near they are to one another, and how much one of another name counts then.
_ORDERED, _MOST_KINDRED, _OTHER = ("numeric", "ordinal"), 2_000, 0.1


@dataclass(frozen=True)
class WrittenTable:
    """Values as numbers of distinct ones, each with its tokens.

    Attributes:
        names: Observed variables in the schema's topological order.
        starts: The token that announces each.
        codes: ``[row, variable]``: which of ``contents``.
        contents: Per variable, ``[value, slot]``: tokens, -1 where a value is shorter.
        weights: How many rows of the population each row stands for.
    """

    names: tuple[str, ...]
    starts: Ids
    codes: Int[np.ndarray, "row variable"]
    contents: tuple[Int[np.ndarray, "_ _"], ...]
    weights: Float[np.ndarray, " row"]

    def __len__(self) -> int:
        return len(self.codes)

    def select(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> "WrittenTable":
        """Some of the rows."""
        return WrittenTable(self.names, self.starts, self.codes[rows], self.contents, self.weights[rows])


def write_table(tokenizer: DagTokenizer, table: DagTable) -> WrittenTable:
    """The tokens of all values of a table.

    Raises:
        TableError: If a value is too long.
    """
    names = tokenizer.schema.topological_order
    columns, contents = [], []
    for name in names:
        tokens = tokenizer.variables[name]
        if tokens.is_finite:
            columns.append(np.asarray(table.columns[name], dtype=np.int64))
            contents.append(tokens.values[:, None])
            continue
        numbers: dict[tuple[int, ...], int] = {}
        rows = [numbers.setdefault(tuple(row), len(numbers)) for row in tokenizer.contents(table, name)]
        columns.append(np.array(rows, dtype=np.int64))
        contents.append(_padded(list(numbers)))
    starts = np.array([tokenizer.variables[name].start for name in names], dtype=np.int64)
    codes = np.stack(columns, axis=1)
    return WrittenTable(names, starts, codes, tuple(contents), np.asarray(table.weights, dtype=np.float64))


def _padded(rows: Sequence[Sequence[int]]) -> Ids:
    padded = np.full((len(rows), max(map(len, rows), default=1)), _NONE, dtype=np.int64)
    for row, ids in zip(padded, rows, strict=True):
        row[: len(ids)] = ids
    return padded


def _widened(ids: Ids, width: int) -> Ids:
    return np.pad(ids, ((0, 0), (0, width - ids.shape[1])), constant_values=_NONE)


class Assembled(NamedTuple):
    """Rows of tokens: ``ids`` are -1 after a row's end, ``owner`` is the variable whose value a token belongs to."""

    ids: Int[np.ndarray, "row pos"]
    owner: Int[np.ndarray, "row pos"]


def assemble(
    table: WrittenTable,
    variables: Sequence[int],
    codes: Int[np.ndarray, "row variable"],
    begin: Sequence[int],
    ranks: Int[np.ndarray, "row variable"] | None = None,
) -> Assembled:
    """Write variables one after another, without gaps.

    Args:
        table: Where the tokens of values are.
        variables: Which variables, as columns of the table.
        codes: Their values, one column each.
        begin: Tokens at the start of every row.
        ranks: The place of each variable in each row; as listed if left out.
    """
    rows = len(codes)
    ids = [np.tile(np.array(begin, dtype=np.int64), (rows, 1))]
    owner, place = [np.full(len(begin), _NONE)], [np.full((rows, len(begin)), _NONE)]
    for number, variable in enumerate(variables):
        values = table.contents[variable][codes[:, number]]
        ids += [np.full((rows, 1), table.starts[variable]), values]
        owner.append(np.array([_NONE] + [variable] * values.shape[1]))
        rank = np.full(rows, number) if ranks is None else ranks[:, number]
        place.append(np.repeat(rank[:, None], 1 + values.shape[1], axis=1))
    tokens, owners = np.concatenate(ids, axis=1), np.tile(np.concatenate(owner), (rows, 1))
    places = np.concatenate(place, axis=1)
    # Tokens of a variable stay in their order; what is no token goes to the end.
    order = np.argsort(np.where(tokens == _NONE, len(variables), places), axis=1, kind="stable")
    tokens, owners = np.take_along_axis(tokens, order, axis=1), np.take_along_axis(owners, order, axis=1)
    width = int((tokens != _NONE).sum(1).max(initial=0))
    return Assembled(tokens[:, :width], np.where(tokens == _NONE, _NONE, owners)[:, :width])


class RowSource(ABC):
    """Rows that batches are made of.

    Attributes:
        variables: How many variables there are.
        total_weight: How many rows of the population the table stands for.
        mean_length: Tokens of a row, on average.
        row_weights: How much the terms of every row count together.
    """

    mean_length: float
    row_weights: Float[np.ndarray, " row"]

    def __init__(self, tokenizer: DagTokenizer, table: WrittenTable) -> None:
        self.pad, self.variables, self.total_weight = tokenizer.pad_id, len(table.names), float(table.weights.sum())

    @abstractmethod
    def __len__(self) -> int:
        """How many rows there are."""

    @abstractmethod
    def batch(self, rows: Ids, rng: np.random.Generator) -> dict[str, Tensor]:
        """Some of the rows; ``rng`` decides what is drawn anew every time."""


class FullRows(RowSource):
    """Rows with all variables, in one order or in orders drawn anew for every batch.

    Args:
        tokenizer: How values are written.
        table: The values.
        learn: Variables whose values are to be predicted; by default all.
    """

    def __init__(self, tokenizer: DagTokenizer, table: WrittenTable, *, learn: Collection[str] | None = None) -> None:
        super().__init__(tokenizer, table)
        self.table, self.begin = table, tokenizer.begin
        self.learned = np.array([learn is None or name in learn for name in table.names] + [False])
        self.edges = required_edges(tokenizer.schema) if tokenizer.order == "random" else None
        used = [
            (contents != _NONE).sum(1)[codes] for contents, codes in zip(table.contents, table.codes.T, strict=True)
        ]
        self.mean_length = float(np.mean(np.sum(used, axis=0))) + len(used) + len(self.begin)
        self.row_weights = table.weights

    def __len__(self) -> int:
        return len(self.table)

    def batch(self, rows: Ids, rng: np.random.Generator) -> dict[str, Tensor]:
        """See ``RowSource``."""
        ranks = None if self.edges is None else random_ranks(self.edges, len(rows), rng)
        written = assemble(self.table, range(self.variables), self.table.codes[rows], self.begin, ranks)
        row, position = np.nonzero(self.learned[written.owner])
        weights = self.table.weights[rows][row].astype(np.float32)
        terms = _Terms(np.arange(len(row)), written.ids[row, position], weights)
        places = _Places(row, position - 1, written.owner[row, position])
        # Nothing is predicted after the last token.
        return _batch(written.ids[:, :-1], places, terms, self.pad)


class _Places(NamedTuple):
    row: Ids
    position: Ids
    variable: Ids


class _Terms(NamedTuple):
    place: Ids
    target: Ids
    weight: NDArray[np.float32]


def _batch(ids: Ids, places: _Places, terms: _Terms, pad: int) -> dict[str, Tensor]:
    arrays = {
        "input_ids": np.where(ids == _NONE, pad, ids),
        "attention_mask": (ids != _NONE).astype(np.int64),
        **{f"place_{name}": part for name, part in places._asdict().items()},
        **{f"term_{name}": part for name, part in terms._asdict().items()},
    }
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


class ParentRows(RowSource):
    """For every variable the rows of its parents' values, equal ones and those that others begin with merged.

    Args:
        tokenizer: How values are written.
        table: The values.
        smoothing: Rows that are added wherever parents were seen to have certain values, with the values of a finite
            variable as often as they are overall, or near them where parents have an order: what was seen once is not
            taken for certain. Together they are at
            most the root of the rows of the table, or what differs everywhere would seem to depend on nothing; none
            where there are many more cells than rows.
        balance: Where a parent has a value that is rarer than an equal share of its values, how much more that counts:
            so many powers of how much rarer it is. No conditional is another for that.
        learn: Variables whose values are to be predicted; by default all.

    Attributes:
        most_contexts: Rows of the variable whose parents have the most different values.
    """

    def __init__(
        self,
        tokenizer: DagTokenizer,
        table: WrittenTable,
        *,
        smoothing: float = 0.0,
        balance: float = 0.0,
        learn: Collection[str] | None = None,
    ) -> None:
        super().__init__(tokenizer, table)
        number = {name: index for index, name in enumerate(table.names)}
        read = {name: [number[parent] for parent in tokenizer.parents(name)] for name in table.names}
        blocks = [
            _merged(table, number[name], read[name], tokenizer, smoothing, balance)
            for name in table.names
            if learn is None or name in learn
        ]
        self.most_contexts = max(len(block.ids) for block in blocks)
        width = max(block.ids.shape[1] for block in blocks)
        self.ids, longer = _longest(np.concatenate([_widened(block.ids, width) for block in blocks]))
        self.mean_length = float((self.ids != _NONE).sum(1).mean())
        # Rows and places are numbered within their block; here places stand by row, and terms by place.
        rows, places = _offsets(len(each.ids) for each in blocks), _offsets(len(each.places.row) for each in blocks)
        row = longer[np.concatenate([block.places.row + first for block, first in zip(blocks, rows, strict=True)])]
        order = np.argsort(row, kind="stable")
        others = map(np.concatenate, zip(*(block.places[1:] for block in blocks), strict=True))
        self.places = _Places(row[order], *(part[order] for part in others))
        place = np.concatenate([block.terms.place + first for block, first in zip(blocks, places, strict=True)])
        place = np.argsort(order)[place]
        order = np.argsort(place, kind="stable")
        others = map(np.concatenate, zip(*(block.terms[1:] for block in blocks), strict=True))
        self.terms = _Terms(place[order], *(part[order] for part in others))
        self._of_row = np.bincount(self.places.row, minlength=len(self.ids))
        self._of_place = np.bincount(self.terms.place, minlength=len(self.places.row))
        owners = self.places.row[self.terms.place]
        self.row_weights = np.bincount(owners, self.terms.weight, minlength=len(self.ids))

    def __len__(self) -> int:
        return len(self.ids)

    def batch(self, rows: Ids, rng: np.random.Generator) -> dict[str, Tensor]:
        """See ``RowSource``."""
        places = _within(self._of_row, rows)
        _, position, variable = (part[places] for part in self.places)
        chosen = _within(self._of_place, places)
        place = np.repeat(np.arange(len(places)), self._of_place[places])
        terms = _Terms(place, self.terms.target[chosen], self.terms.weight[chosen])
        row = np.repeat(np.arange(len(rows)), self._of_row[rows])
        ids = self.ids[rows]
        width = int((ids != _NONE).sum(1).max())
        return _batch(ids[:, :width], _Places(row, position, variable), terms, self.pad)


def _within(counts: Ids, chosen: Ids) -> Ids:
    """Where the members of some groups stand, of groups of so many that stand one after another."""
    sizes = counts[chosen]
    first, before = (np.cumsum(counts) - counts)[chosen], np.cumsum(sizes) - sizes
    return np.asarray(np.repeat(first - before, sizes) + np.arange(sizes.sum()))


class _Block(NamedTuple):
    ids: Ids
    places: _Places
    terms: _Terms


def _longest(ids: Ids) -> tuple[Ids, Ids]:
    """The rows that no other begins with, and for every row which of them begins with it.

    A causal model that reads a row has read all its beginnings.
    """
    order = np.lexsort(ids.T[::-1])  # a row comes right before those that begin with it
    rows, following = ids[order], np.roll(ids[order], -1, axis=0)
    stays = ~((rows == following) | (rows == _NONE)).all(axis=1)
    stays[-1] = True
    kept = np.sort(order[stays])
    longer = np.empty(len(ids), dtype=np.int64)
    longer[order] = order[stays][np.cumsum(stays) - stays]
    return ids[kept], np.searchsorted(kept, longer)


def _merged(
    table: WrittenTable,
    variable: int,
    parents: Sequence[int],
    tokenizer: DagTokenizer,
    smoothing: float,
    balance: float,
) -> _Block:
    tokens = tokenizer.variables[table.names[variable]]
    read = list(parents) if tokens.is_finite else [*parents, variable]
    contexts, index = distinct(table.codes[:, read], [len(table.contents[each]) for each in read])
    if not tokens.is_finite:
        return _long_values(table, variable, read, contexts, np.bincount(index, table.weights), tokenizer.begin)
    sizes = (len(contexts), len(tokens.values))
    flat = index * sizes[1] + table.codes[:, variable]
    cells = np.bincount(flat, table.weights, minlength=sizes[0] * sizes[1]).reshape(sizes)
    if smoothing and len(contexts) * sizes[1] <= _MOST_SMOOTHED * len(table):
        added = min(smoothing, math.sqrt(len(table)) / len(contexts))
        cells = cells + added * table.weights.mean() * _shares(_pooled(tokenizer, table, read, contexts, cells))
    if balance and read:
        counted = _rarities(table, read, contexts) ** balance
        cells = cells * (counted * cells.sum() / (counted @ cells).sum())[:, None]
    written = assemble(table, read, contexts, tokenizer.begin)
    lengths = (written.ids != _NONE).sum(1)
    ids = _widened(written.ids, written.ids.shape[1] + 1)
    rows = np.arange(len(ids))
    ids[rows, lengths] = tokens.start
    row, value = np.nonzero(cells)
    weight = cells[row, value].astype(np.float32)
    return _Block(ids, _Places(rows, lengths, np.full(len(ids), variable)), _Terms(row, tokens.values[value], weight))


def _shares(counts: Float[np.ndarray, "context value"]) -> Float[np.ndarray, "context value"]:
    """How often values are seen; a tenth of it is given to all alike."""
    return np.asarray(0.9 * counts / counts.sum(axis=1, keepdims=True) + 0.1 / counts.shape[1])


def _pooled(
    tokenizer: DagTokenizer,
    table: WrittenTable,
    read: Sequence[int],
    contexts: Ids,
    cells: Float[np.ndarray, "context value"],
) -> Float[np.ndarray, "asked value"]:
    """What contexts say of one another: all as much, but where parents have an order, near ones.

    Else what happens at the ends of a scale would be drawn to what happens in its middle, and the effect of another
    parent towards what that confounds.
    """
    variables = [tokenizer.schema[table.names[each]] for each in read]
    if not any(each.kind in _ORDERED for each in variables) or len(contexts) > _MOST_KINDRED:
        return np.asarray(cells.sum(0, keepdims=True))
    weights = np.ones((len(contexts), len(contexts)))
    for variable, codes in zip(variables, contexts.T, strict=True):
        apart = np.abs(codes[:, None] - codes).astype(float)
        if variable.kind in _ORDERED:
            is_missing = (codes == len(variable.values) - 1) & variable.has_missing
            apart[is_missing[:, None] != is_missing] = np.inf
            weights *= np.exp(-(apart**2) / 2)
        else:
            weights *= np.where(apart > 0, _OTHER, 1.0)
    return np.asarray(weights @ cells)


def _rarities(table: WrittenTable, variables: Sequence[int], codes: Ids) -> NDArray[np.float64]:
    """How much rarer than an equal share the rarest value of each row is; 1 where none is rarer."""
    found = np.ones(len(codes))
    for column, variable in zip(codes.T, variables, strict=True):
        shares = np.bincount(table.codes[:, variable], table.weights) / table.weights.sum()
        found = np.maximum(found, 1 / (np.count_nonzero(shares) * shares[column]))
    return found


def _long_values(
    table: WrittenTable, variable: int, read: Sequence[int], distinct: Ids, weights: NDArray[Any], begin: Sequence[int]
) -> _Block:
    written = assemble(table, read, distinct, begin)
    row, position = np.nonzero(written.owner == variable)
    places = _Places(row, position - 1, np.full(len(row), variable))
    terms = _Terms(np.arange(len(row)), written.ids[row, position], weights[row].astype(np.float32))
    return _Block(written.ids[:, :-1], places, terms)


def _offsets(sizes: Iterable[int]) -> list[int]:
    return [0, *accumulate(sizes)][:-1]
