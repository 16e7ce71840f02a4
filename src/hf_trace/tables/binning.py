"""What is lost where numbers are read in bins, as far as the numbers themselves tell.

The mean of a bin is that of all rows in it. Rows whose causes push them up lie higher within their bin than others do,
so that a mean computed from bins moves too little. And rows of one bin of a cause still differ in it: what else that
goes with is not adjusted for.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags, hstack

from hf_trace.documents import Document
from hf_trace.tables.encoding import DagTable
from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import Variable

Numbers = Float[np.ndarray, " row"]
Codes = Int[np.ndarray, " row"]
# What ``metrics.json`` calls it.
BINNING = "binning"
# Rows of no effect that are added for every effect: what was seen once or twice counts for little.
_PENALTY = 1.0
# Combinations of values have effects of their own where they are as few as this, and rows enough for each.
_MOST_CELLS, _ROWS_PER_CELL = 512, 10
# So many rows tell enough.
_MOST_ROWS = 50_000


@dataclass(frozen=True)
class AdditiveFit:
    """Least squares of a number on values of variables and on further numbers.

    Attributes:
        constant: What is added always.
        effects: By variable the effect of each of its values.
        cells: What a combination of values adds to that, one axis per variable; empty where they are too many.
        slopes: Of the further numbers.

    Example:
        >>> low = np.array([0, 0, 1, 1] * 250)
        >>> fit = AdditiveFit.of({"low": (low, 2)}, np.where(low == 1, 3.0, 1.0))
        >>> fit.predicted({"low": np.array([0, 1])}).round(1).tolist()
        [1.0, 3.0]
    """

    constant: float
    effects: Mapping[str, NDArray[np.float64]]
    cells: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    slopes: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))

    @classmethod
    def of(
        cls,
        codes: Mapping[str, tuple[Codes, int]],
        outcome: Numbers,
        weights: Numbers | None = None,
        numbers: Float[np.ndarray, "row number"] | None = None,
    ) -> "AdditiveFit":
        """Fit it; each effect is drawn to 0 as one row of no effect would draw it.

        Args:
            codes: Of every variable, and how many values it has.
            outcome: What is explained.
            weights: How much each row counts; equally by default.
            numbers: Further numbers, of which each counts in proportion.
        """
        counts = np.ones(len(outcome)) if weights is None else weights
        constant = float(np.average(outcome, weights=counts))
        design = _Design.of(codes, np.zeros((len(outcome), 0)) if numbers is None else numbers, counts)
        found = design.solved((outcome - constant)[:, None])[:, 0]
        sizes = [size for _, size in codes.values()]
        *effects, cells, rest = np.split(found, np.cumsum([*sizes, math.prod(design.cells)]))
        named = dict(zip(codes, effects, strict=True))
        return cls(constant + float(rest[0]), named, cells.reshape(design.cells), rest[1:] / design.scale)

    def predicted(self, codes: Mapping[str, Codes], numbers: Float[np.ndarray, "row number"] | None = None) -> Numbers:
        """The number that goes with values, ``[row]``, or one for all; a variable that is not named has no effect."""
        total: Numbers = np.atleast_1d(
            np.asarray(self.constant if numbers is None else self.constant + numbers @ self.slopes)
        )
        for name, effects in self.effects.items():
            if name in codes:
                total = total + effects[codes[name]]
        if self.cells.size and all(name in codes for name in self.effects):
            total = total + self.cells[tuple(codes[name] for name in self.effects)]
        return total

    def to_dict(self) -> Document:
        """As plain numbers; slopes are left out."""
        effects = {name: each.tolist() for name, each in self.effects.items()}
        return {"constant": self.constant, "effects": effects, "cells": self.cells.tolist()}

    @classmethod
    def from_dict(cls, schema: DagSchema, names: Sequence[str], document: Any) -> "AdditiveFit":
        """What ``to_dict`` gave of these variables.

        Raises:
            ValueError: If it is something else; or another error of reading what is no mapping.
        """
        sizes = {name: len(schema[name].values) for name in names}
        effects = {name: _array(document["effects"][name], size) for name, size in sizes.items()}
        cells = _array(document["cells"], *sizes.values()) if document["cells"] else np.empty(0)
        return cls(float(_array(document["constant"])), effects, cells)


def _indicators(codes: Codes, size: int) -> csr_matrix:
    return csr_matrix((np.ones(len(codes)), (np.arange(len(codes)), codes)), shape=(len(codes), size))


@dataclass(frozen=True)
class _Design:
    """What outcomes are explained with: values, combinations of them, 1, and numbers.

    Attributes:
        columns: ``[row, column]``.
        counts: How much each row counts, 1 on average.
        cells: How many values the variables have; (0,) where combinations have no columns.
        scale: Of the numbers, which are divided by it.
    """

    columns: csr_matrix
    counts: Numbers
    cells: tuple[int, ...]
    scale: NDArray[np.float64]

    @classmethod
    def of(
        cls, codes: Mapping[str, tuple[Codes, int]], numbers: Float[np.ndarray, "row number"], weights: Numbers
    ) -> "_Design":
        rows, sizes = len(weights), tuple(size for _, size in codes.values())
        counts = weights * (weights > 0).sum() / weights.sum()
        scale = np.sqrt((numbers**2 * counts[:, None]).sum(0) / counts.sum())
        scale = np.where(scale > 0, scale, 1.0)
        parts = [_indicators(*each) for each in codes.values()]
        has_cells = len(sizes) > 1 and math.prod(sizes) <= min(_MOST_CELLS, rows / _ROWS_PER_CELL)
        if has_cells:
            parts.append(
                _indicators(np.ravel_multi_index([each for each, _ in codes.values()], sizes), math.prod(sizes))
            )
        columns = hstack([*parts, csr_matrix(np.column_stack([np.ones(rows), numbers / scale]))], format="csr")
        return cls(columns, counts, sizes if has_cells else (0,), scale)

    def solved(self, outcomes: Float[np.ndarray, "row part"]) -> Float[np.ndarray, "column part"]:
        """Coefficients of the columns; all but that of 1 are drawn to 0."""
        weighted = diags(self.counts) @ self.columns
        penalty = np.full(self.columns.shape[1], _PENALTY)
        penalty[-1 - len(self.scale)] = 0.0
        gram = (self.columns.T @ weighted).toarray() + np.diag(penalty)
        return np.asarray(np.linalg.lstsq(gram, weighted.T @ outcomes, rcond=None)[0])


def _slopes(
    codes: Mapping[str, tuple[Codes, int]],
    outcomes: Float[np.ndarray, "row part"],
    numbers: Float[np.ndarray, "row number"],
    weights: Numbers,
) -> Float[np.ndarray, "number part"]:
    """What a unit of each number does to each outcome, values of variables being equal."""
    design = _Design.of(codes, numbers, weights)
    centred = outcomes - np.average(outcomes, axis=0, weights=weights)
    return np.asarray(design.solved(centred)[-len(design.scale) :] / design.scale[:, None])


@dataclass(frozen=True)
class HiddenCause:
    """A number that acts on a variable, and differs within its bins.

    Attributes:
        slopes: What a unit of it does to the parts of the variable, ``[part]``.
        by_parents: How far it lies from the mean of its bin, by the values of all parents of the variable.
        without: The same by all parents but one, which it may confound.
    """

    slopes: NDArray[np.float64]
    by_parents: AdditiveFit
    without: Mapping[str, AdditiveFit]

    def owed(self, codes: Mapping[str, Codes], parent: str, natural: Codes | None) -> Float[np.ndarray, "row part"]:
        """How much of what goes with the value of a parent would not follow if that were forced.

        Args:
            codes: Values of the parents.
            parent: The one that is forced.
            natural: Its values by nature, if the question is about rows with these.
        """
        seen = self.by_parents.predicted(codes)
        left = self.without[parent].predicted(codes)
        if natural is not None:
            left = self.by_parents.predicted({**codes, parent: natural})
        return np.asarray((seen - left)[:, None] * self.slopes)

    def to_dict(self) -> Document:
        """As plain numbers."""
        without = {parent: fit.to_dict() for parent, fit in self.without.items()}
        return {"slopes": self.slopes.tolist(), "by_parents": self.by_parents.to_dict(), "without": without}

    @classmethod
    def from_dict(cls, schema: DagSchema, variable: Variable, cause: str, document: Any) -> "HiddenCause":
        """What ``to_dict`` gave of a cause of this variable.

        Raises:
            ValueError: If it is something else; or another error of reading what is no mapping.
        """
        parents = _finite_parents(schema, variable)
        if cause not in parents:
            raise ValueError(f"{cause!r} is no parent of {variable.name!r}")
        without = {
            name: AdditiveFit.from_dict(schema, [each for each in parents if each != name], document["without"][name])
            for name in _confounded(schema, variable, cause)
        }
        slopes = _array(document["slopes"], 1 if variable.kind == "numeric" else len(variable.values))
        return cls(slopes, AdditiveFit.from_dict(schema, parents, document["by_parents"]), without)


@dataclass(frozen=True)
class Binning:
    """How far what bins say is from what the numbers in them say.

    A numeric variable has one part, its mean; the parts of another are the probabilities of its values.

    Attributes:
        within: By numeric variable: how far a number lies from the mean of its bin, by the values of its parents.
        hidden: By variable its numeric parents, with what they do within their bins.
    """

    within: Mapping[str, AdditiveFit]
    hidden: Mapping[str, Mapping[str, HiddenCause]] = field(default_factory=dict)

    @classmethod
    def of(cls, table: DagTable) -> "Binning":
        """Learn it from the rows of a table; variables whose numbers are not known are left out."""
        if len(table) > _MOST_ROWS:
            table = table.select(np.random.default_rng(0).permutation(len(table))[:_MOST_ROWS])
        within, hidden = {}, {}
        for variable in table.schema.variables:
            if variable.latent or not variable.is_finite:
                continue
            deviations = within_bins(table, variable)
            if deviations is not None and (kept := np.isfinite(deviations)).any():
                codes = _codes(table.select(kept), _finite_parents(table.schema, variable))
                within[variable.name] = AdditiveFit.of(codes, deviations[kept], table.weights[kept])
            if found := _hidden_causes(table, variable):
                hidden[variable.name] = found
        return cls(within, hidden)

    def with_unexplained(self, table: DagTable, means: Mapping[str, Numbers]) -> "Binning":
        """The same where numbers are compared with what a model says of their rows, and not with the means of bins.

        What training has left unexplained by the parents is then part of the error.

        Args:
            table: The rows.
            means: By numeric variable what the model says on average, ``[row]``.
        """
        some = np.random.default_rng(0).permutation(len(table))[:_MOST_ROWS]
        table, within = table.select(some), dict(self.within)
        for name, mean in means.items():
            missed = table.numbers[name] - mean[some]
            if (kept := np.isfinite(missed)).any():
                codes = _codes(table.select(kept), _finite_parents(table.schema, table.schema[name]))
                within[name] = AdditiveFit.of(codes, missed[kept], table.weights[kept])
        return replace(self, within=within)

    def error(
        self, name: str, codes: Mapping[str, Codes], forced: Mapping[str, Codes | None]
    ) -> Float[np.ndarray, "row part"] | None:
        """How far the parts of a variable are off, ``[row, part]``, where its parents have values; None if not known.

        Args:
            name: Of the variable.
            codes: Values of its parents.
            forced: Those of them that are forced, with the values they have by nature where the question is about
                rows with these.
        """
        off = -self.within[name].predicted(codes)[:, None] if name in self.within else None
        for cause, hidden in self.hidden.get(name, {}).items():
            for parent in [] if cause in forced else [each for each in forced if each in hidden.without]:
                owed = hidden.owed(codes, parent, forced[parent])
                off = owed if off is None else off + owed
        return off

    def knows(self, name: str, cause: str, forced: Collection[str]) -> bool:
        """Whether it is known what a cause of a variable does within its bins where these variables are forced."""
        hidden = self.hidden.get(name, {}).get(cause)
        return hidden is not None and set(forced) <= set(hidden.without)

    def to_dict(self) -> Document:
        """As plain numbers."""
        return {
            "within": {name: fit.to_dict() for name, fit in self.within.items()},
            "hidden": {
                name: {cause: each.to_dict() for cause, each in causes.items()} for name, causes in self.hidden.items()
            },
        }

    @classmethod
    def from_dict(cls, schema: DagSchema, document: Any) -> "Binning":
        """What ``to_dict`` gave; where it does not fit the graph nothing is known.

        Example:
            >>> Binning.from_dict(DagSchema((Variable("x", values=("a", "b")),)), {"within": "damaged"})
            Binning(within={}, hidden={})
        """
        known = {each.name: each for each in schema.variables if not each.latent and each.is_finite}
        numeric = {name: each for name, each in known.items() if each.kind == "numeric"}
        try:
            return cls(
                {
                    name: AdditiveFit.from_dict(schema, _finite_parents(schema, numeric[name]), fit)
                    for name, fit in document["within"].items()
                },
                {
                    name: {
                        cause: HiddenCause.from_dict(schema, known[name], cause, each) for cause, each in causes.items()
                    }
                    for name, causes in document["hidden"].items()
                },
            )
        except (TypeError, ValueError, LookupError, AttributeError, OverflowError):
            return cls({})


def within_bins(table: DagTable, variable: Variable) -> Numbers | None:
    """How far each number of a table lies from the mean of its bin, NaN where there is none; None where not known."""
    if variable.kind != "numeric" or not variable.means or variable.name not in table.numbers:
        return None
    codes = np.asarray(table.columns[variable.name])
    return np.asarray(table.numbers[variable.name] - np.asarray(variable.means)[codes])


def _finite_parents(schema: DagSchema, variable: Variable) -> list[str]:
    return [name for name in variable.parents if not schema[name].latent and schema[name].is_finite]


def _codes(table: DagTable, names: Sequence[str]) -> dict[str, tuple[Codes, int]]:
    return {name: (np.asarray(table.columns[name]), len(table.schema[name].values)) for name in names}


def _outcomes(table: DagTable, variable: Variable) -> Float[np.ndarray, "row part"] | None:
    if variable.kind == "numeric":
        return np.asarray(table.numbers[variable.name])[:, None] if variable.name in table.numbers else None
    return np.asarray(np.eye(len(variable.values))[np.asarray(table.columns[variable.name])])


def _confounded(schema: DagSchema, variable: Variable, cause: str) -> list[str]:
    """Other parents of a variable that a cause may confound: what a parent does to the cause is its own doing."""
    parents = _finite_parents(schema, variable)
    return [name for name in parents if name != cause and cause not in schema.descendants(name)]


def _hidden_causes(table: DagTable, variable: Variable) -> dict[str, HiddenCause]:
    schema, outcomes = table.schema, _outcomes(table, variable)
    parents = _finite_parents(schema, variable)
    deviations = {name: each for name in parents if (each := within_bins(table, schema[name])) is not None}
    if not deviations or len(parents) < 2 or outcomes is None:
        return {}
    kept = np.isfinite(outcomes).all(axis=1)
    codes, weights = _codes(table.select(kept), parents), table.weights[kept]
    numbers = np.column_stack([np.nan_to_num(each[kept]) for each in deviations.values()])
    slopes = _slopes(codes, outcomes[kept], numbers, weights)
    return {
        name: HiddenCause(
            slope,
            AdditiveFit.of(codes, number, weights),
            {
                parent: AdditiveFit.of({key: each for key, each in codes.items() if key != parent}, number, weights)
                for parent in _confounded(schema, variable, name)
            },
        )
        for name, slope, number in zip(deviations, slopes, numbers.T, strict=True)
    }


def _array(given: Any, *shape: int) -> NDArray[np.float64]:
    found = np.array(given, dtype=np.float64)
    if found.shape != shape or not np.isfinite(found).all():
        raise ValueError("not as many finite numbers as expected")
    return found
