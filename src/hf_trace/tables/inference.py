"""What a graph leaves open is read from a table: kinds, values, bins and lengths of its variables."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, cast, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_trace.checks import one_of, refuse_unknown, whole
from hf_trace.errors import DagFormatError, TableError, preview
from hf_trace.tables.cells import (
    NamedCells,
    as_names,
    as_numbers,
    checked_frame,
    holds_lists,
    is_given,
    items_of,
    json_items,
    refuse,
)
from hf_trace.tables.dag_files import read_dag
from hf_trace.tables.dag_source import VariableHint
from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import MISSING, Kind, Variable, plain_text

ANY_NUMBER = "any number"


def quantile_edges(numbers: NDArray[np.float64], bins: int) -> tuple[float, ...]:
    """Inner edges of bins with about as many rows each, none of them empty.

    Edges lie between different numbers, at the roundest number there: a value that is frequent can only fill
    its bin, not be split, so there may be fewer bins.

    Args:
        numbers: Finite data, in the variable's unit.
        bins: Most bins.

    Example:
        >>> quantile_edges(np.array([0.0, 0.0, 0.0, 1.13, 1.94, 3.2]), 3)
        (0.6, 1.5)
    """
    distinct, counts = np.unique(numbers, return_counts=True)
    if len(distinct) < 2:
        return ()
    below = np.cumsum(counts)[:-1]
    targets = len(numbers) * np.arange(1, bins) / bins
    gaps = np.unique(np.abs(below[None, :] - targets[:, None]).argmin(axis=1))
    return tuple(_round_between(float(distinct[gap]), float(distinct[gap + 1])) for gap in gaps)


def _round_between(lower: float, upper: float) -> float:
    """The number with the fewest digits near the middle that is above ``lower`` and at most ``upper``."""
    if upper.is_integer() and upper - lower <= 1:
        return upper
    middle = lower / 2 + upper / 2
    candidates = (float(f"{number:.{digits}g}") for digits in range(1, 17) for number in (middle, upper))
    return next((number for number in candidates if lower < number <= upper), upper)


def bin_labels(edges: tuple[float, ...]) -> tuple[str, ...]:
    """One label per bin.

    Example:
        >>> bin_labels((1.5, 3.0))
        ('< 1.5', '[1.5, 3)', '≥ 3')
    """
    if not edges:
        return (ANY_NUMBER,)
    shown = [_shown(edge) for edge in edges]
    inner = [f"[{lower}, {upper})" for lower, upper in pairwise(shown)]
    return (f"< {shown[0]}", *inner, f"≥ {shown[-1]}")


def _shown(edge: float) -> str:
    return str(int(edge)) if edge.is_integer() and abs(edge) < 1e15 else repr(edge)


def bin_means(numbers: NDArray[np.float64], edges: tuple[float, ...]) -> tuple[float, ...]:
    """Mean of the data in every bin; of an empty bin its middle, or its only edge.

    Example:
        >>> bin_means(np.array([1.0, 2.0, 7.0]), (5.0, 10.0))
        (1.5, 7.0, 10.0)
    """
    codes = np.searchsorted(edges, numbers, side="right")
    counts = np.bincount(codes, minlength=len(edges) + 1)
    sums = np.bincount(codes, weights=numbers, minlength=len(edges) + 1)
    bounds = [edges[0], *edges, edges[-1]] if edges else [math.nan, math.nan]
    middles = [lower / 2 + upper / 2 for lower, upper in pairwise(bounds)]
    return tuple(
        float(total / count) if count else middle for total, count, middle in zip(sums, counts, middles, strict=True)
    )


DEFAULT_BINS = 8
MAX_VALUES = 256
_FEW = 10  # whole numbers of which there are so few are names, such as grades
_LONG = 25  # characters of an average text that is prose rather than a name
_SLIPS = 0.05  # share of cells that are not numbers in a column that is meant to hold numbers
_ABSENT = frozenset({"na", "n/a", "nan", "null", "none", "-", "?"})


def infer_schema(
    source: Any,
    frame: pd.DataFrame,
    *,
    kinds: Mapping[str, str] | None = None,
    bins: int = DEFAULT_BINS,
    max_values: int = MAX_VALUES,
    latent: Iterable[str] = (),
) -> DagSchema:
    """Complete a graph with what a table shows.

    Texts, truth values and up to ten whole numbers become categorical, ordered pandas categories ordinal, other numbers
    numeric, lists sequences, long texts that mostly differ text. A missing value is a value of its own.

    Args:
        source: As in ``read_dag``; what it says of a variable is kept.
        frame: One row per unit, one column per observed variable; further columns are ignored.
        kinds: Kinds of some variables, where they should be others.
        bins: Most bins of a numeric variable.
        max_values: Most values of a categorical variable, most items of a sequence.
        latent: Variables that are never observed, beside those that the graph marks.

    Returns:
        The schema; ``table_notes`` lists what looks wrong in a table.

    Raises:
        DagFormatError: If the graph cannot be read, or contradicts itself.
        TableError: If a column is missing, empty or unfit for its kind.
        SettingsError: If an option is not understood.

    Example:
        >>> frame = pd.DataFrame({"smoke": ["no", "yes", "no"], "grade": [1.5, 2.25, 3.5]})
        >>> schema = infer_schema([("smoke", "grade")], frame, kinds={"grade": "numeric"}, bins=2)
        >>> schema["smoke"].values, schema["grade"].values, schema["grade"].means
        (('no', 'yes'), ('< 2', '≥ 2'), (1.5, 2.875))
    """
    dag = read_dag(source).with_latent(latent)
    whole("bins", bins, least=2)
    whole("max_values", max_values)
    refuse_unknown(kinds or {}, dag.names, what="variable in `kinds`:")
    for name, kind in (kinds or {}).items():
        one_of(f"`kinds` of {name!r}", kind, get_args(Kind))
    observed = [name for name in dag.names if name not in dag.latent]
    table = checked_frame(frame, observed)
    variables = []
    for name in dag.names:
        hint = _with_kind(dag.hint(name), (kinds or {}).get(name))
        if hint.latent:
            kind = hint.kind or "categorical"
            variables.append(Variable(name, kind, dag.parents(name), hint.values, latent=True))
        else:
            column = _Column(table[name], hint, hint.bins or bins, max_values)
            variables.append(column.variable(dag.parents(name)))
    return DagSchema(tuple(variables))


def _with_kind(hint: VariableHint, kind: str | None) -> VariableHint:
    """What is known, after the user made it another kind: values of the old kind mean nothing for the new."""
    if kind is None or kind == hint.kind:
        return hint
    names = ("categorical", "ordinal", "sequence", None)
    keeps = kind in names and hint.kind in names
    return VariableHint(
        cast(Kind, kind),
        hint.values if keeps else (),
        edges=hint.edges if hint.kind is None else (),
        bins=hint.bins,
        max_length=hint.max_length,
        latent=hint.latent,
    )


@dataclass(frozen=True)
class _Column:
    """One column and what is known of it."""

    cells: pd.Series
    hint: VariableHint
    bins: int
    max_values: int

    def variable(self, parents: tuple[str, ...]) -> Variable:
        if not self.given.any():
            raise TableError(
                f"{self.name!r} is empty in all {len(self.cells):,} rows, expected values. Fill the column, or mark "
                "the variable as latent."
            )
        kind = self.hint.kind or self.guess()
        found = _READ[kind](self)
        values, means = found.values, found.means
        if kind != "text" and not self.given.all() and MISSING not in values:
            values, means = (*values, MISSING), (*means, np.nan) if means else ()
        return Variable(self.name, kind, parents, values, found.edges, means, found.max_length)

    @property
    def name(self) -> str:
        return str(self.cells.name)

    @cached_property
    def given(self) -> NDArray[np.bool_]:
        return is_given(self.cells)

    @cached_property
    def numbers(self) -> NDArray[np.float64]:
        return as_numbers(self.cells)

    @cached_property
    def named(self) -> NamedCells:
        return as_names(self.cells)

    @cached_property
    def categories(self) -> tuple[str, ...]:
        """Of a pandas categorical column."""
        is_categorical = isinstance(self.cells.dtype, pd.CategoricalDtype)
        return tuple(map(plain_text, self.cells.cat.categories)) if is_categorical else ()

    def guess(self) -> Kind:
        hint = self.hint
        if self.categories:
            return "ordinal" if self.cells.cat.ordered else "categorical"
        if hint.edges or hint.bins:
            return "numeric"
        if holds_lists(self.cells) or (hint.values and hint.max_length):
            return "sequence"
        if hint.values or self.cells.dtype == bool:
            return "categorical"
        if hint.max_length:
            return "text"
        return self._guess_from_cells()

    def _guess_from_cells(self) -> Kind:
        wrong = self.given & np.isnan(self.numbers)
        if self._meant_as_numbers(wrong):
            self._refuse(wrong)
            return "numeric"
        if not wrong.any():
            return "categorical"
        texts = self._texts()
        if texts and all(json_items(text) is not None for text in texts):
            return "sequence"
        names = self.named.names
        lengths = np.array([len(name) for name in names])[self.named.codes[self.given]]
        mostly_differ = len(names) > min(self.max_values, len(self.cells) // 2)
        return "text" if lengths.mean() >= _LONG and mostly_differ else "categorical"

    def _meant_as_numbers(self, wrong: NDArray[np.bool_]) -> bool:
        numbers = np.unique(self.numbers[np.isfinite(self.numbers)])
        whole = bool((numbers % 1 == 0).all())
        if len(numbers) <= (max(self.bins, _FEW) if whole else self.bins):
            return False
        slips = self.cells[wrong]
        return len(slips) <= _SLIPS * int(self.given.sum()) or all(str(cell).lower() in _ABSENT for cell in slips)

    def _refuse(self, wrong: NDArray[np.bool_]) -> None:
        refuse(self.cells, wrong, f"Correct it, pass `kinds` with {{{self.name!r}: 'categorical'}} if these are names")

    def _texts(self) -> list[str]:
        """All cells, where all are texts."""
        cells = self.cells[self.given].tolist()
        return cells if all(isinstance(cell, str) for cell in cells) else []

    def categorical(self) -> VariableHint:
        names = self.hint.values or self.categories or self._sorted_names()
        return VariableHint(values=self._few(names, "values"))

    def ordinal(self) -> VariableHint:
        names = self.hint.values or (self.categories if self.categories and self.cells.cat.ordered else ())
        if not names:
            names = self._sorted_names()
            if np.isnan(self.numbers[self.given]).any():
                raise DagFormatError(
                    f"{self.name!r} is ordinal, but nothing says the order of {preview(names)}. List its `values` in "
                    "the graph, lowest first."
                )
        return VariableHint(values=self._few(names, "values"))

    def numeric(self) -> VariableHint:
        self._refuse(self.given & ~np.isfinite(self.numbers))
        numbers = self.numbers[self.given]
        labels = tuple(value for value in self.hint.values if value != MISSING)
        edges = self.hint.edges
        if len(labels) > 1 and not edges:
            raise DagFormatError(
                f"{self.name!r} is numeric and lists values, but no bins for them. Give `edges`, the "
                f"{len(labels) - 1} numbers between the bins, or leave `values` out."
            )
        if not edges and not labels:
            edges = quantile_edges(numbers, self.bins)
        values = self.hint.values or bin_labels(edges)
        means = self.hint.means or bin_means(numbers, edges) + (np.nan,) * (MISSING in values)
        return VariableHint(values=values, edges=edges, means=means)

    def text(self) -> VariableHint:
        return VariableHint(max_length=self.hint.max_length)

    def sequence(self) -> VariableHint:
        rows = [items_of(cell) for cell in self.cells[self.given]]
        items = self.hint.values or _in_order({item for row in rows for item in row})
        if not items:
            raise TableError(f"{self.name!r} holds only empty sequences, expected items in some.")
        longest = max(len(row) for row in rows)
        return VariableHint(values=self._few(items, "items"), max_length=self.hint.max_length or longest)

    def _sorted_names(self) -> tuple[str, ...]:
        names = self.named.names
        return _in_order({names[code] for code in np.unique(self.named.codes) if code >= 0})

    def _few(self, names: tuple[str, ...], what: str) -> tuple[str, ...]:
        if len(names) > self.max_values and not self.hint.values:
            raise TableError(
                f"{self.name!r} has {len(names):,} different {what} ({preview(names)}), expected at most "
                f"{self.max_values:,}. Group rare ones, raise `max_values`, or give it another kind with `kinds`, such "
                "as 'text'."
            )
        return names


def _in_order(names: set[str]) -> tuple[str, ...]:
    """Numbers by size, other names by letters; a missing value is last."""
    present = names - {MISSING}
    try:
        ordered = sorted(present, key=lambda name: (float(name), name))
    except ValueError:
        ordered = sorted(present)
    return (*ordered, MISSING) if MISSING in names else tuple(ordered)


_READ: dict[Kind, Callable[[_Column], VariableHint]] = {
    "categorical": _Column.categorical,
    "ordinal": _Column.ordinal,
    "numeric": _Column.numeric,
    "text": _Column.text,
    "sequence": _Column.sequence,
}
