"""By-type effects of many sequences: sums per occurrence of a cause, with errors over sequences."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from hf_trace.discovery.by_type.comparison import ByTypeScores
from hf_trace.discovery.population.sums import two_digits
from hf_trace.logs.sequence import EventSequence

PAIR = ["cause", "effect"]
# What is summed over the places of a pair.
SUMS = ["told", "gain", "kl", "rarer"]
# Units are merged at random into so many groups: errors over them are as good, and memory does not grow.
_MOST_UNITS = 1024
_ROWS_HELD = 2**19


@dataclass(frozen=True, eq=False)
class ByTypeEffects:
    """What the events of each variable tell about each other one.

    Attributes:
        names: Of the variables that occurred.
        by_unit: Sums of each pair in each resampling unit: ``unit``, ``cause``, ``effect``; ``told``, the log ratio of
            what happened (nats), ``gain`` (expected events), ``kl`` and ``rarer`` (nats).
        causes: Of each cause in each unit: ``unit``, ``cause``, ``occurrences`` and ``sequences``.
        delays: By how much an effect became likelier at what happened, by ``cause``, ``effect``, ``lag`` (events since
            the last of the cause) and ``seconds`` (two digits; NaN without times).
    """

    names: tuple[str, ...]
    by_unit: pd.DataFrame
    causes: pd.DataFrame
    delays: pd.DataFrame

    @cached_property
    def occurrences(self) -> NDArray[np.float64]:
        """Number of events of each variable as a cause."""
        return self._of_causes("occurrences")

    @cached_property
    def support(self) -> NDArray[np.float64]:
        """Number of sequences in which each variable is a cause."""
        return self._of_causes("sequences")

    def _of_causes(self, column: str) -> NDArray[np.float64]:
        counts = np.bincount(self.causes["cause"], weights=self.causes[column], minlength=len(self.names))
        return counts.astype(np.float64)

    @cached_property
    def pairs(self) -> pd.DataFrame:
        r"""Each pair that moves: sums per occurrence of the cause, and ``_error`` of each.

        With sums :math:`A_g` and :math:`n_g` occurrences in unit g, the error is that of the ratio of two sums,

        .. math:: \hat R = \frac{\sum A_g}{\sum n_g}, \quad
            \mathrm{var} = \frac{G}{G - 1} \frac{\sum_g (A_g - \hat R n_g)^2}{(\sum_g n_g)^2}

        over the G units that hold the cause; NaN where there is one.
        """
        rows = self.by_unit.merge(self.causes, on=["unit", "cause"])
        counts = rows["occurrences"]
        products = {f"{name}_squared": rows[name] ** 2 for name in SUMS}
        products |= {f"{name}_counted": rows[name] * counts for name in SUMS}
        sums = rows.assign(**products).groupby(PAIR, sort=True)[[*SUMS, *products]].sum().reset_index()
        cause = sums["cause"].to_numpy()
        total = self.occurrences[cause]
        squares = np.bincount(self.causes["cause"], weights=self.causes["occurrences"] ** 2)[cause]
        units = np.bincount(self.causes["cause"])[cause]
        found = sums[PAIR].copy()
        for name in SUMS:
            ratio = sums[name] / total
            scatter = sums[f"{name}_squared"] - 2 * ratio * sums[f"{name}_counted"] + ratio**2 * squares
            with np.errstate(divide="ignore", invalid="ignore"):
                variance = np.maximum(scatter, 0) * units / np.where(units > 1, units - 1, np.nan)
            found[name], found[f"{name}_error"] = ratio, np.sqrt(variance) / total
        return found

    def among(self, kept: Bool[np.ndarray, "cause effect"]) -> "ByTypeEffects":
        """The same of some pairs of variables."""
        by_unit, delays = (
            table[kept[table["cause"].to_numpy(), table["effect"].to_numpy()]] for table in (self.by_unit, self.delays)
        )
        return replace(self, by_unit=by_unit, delays=delays)

    def resampled(self, count: int, seed: int) -> Float[np.ndarray, "resample pair"]:
        """``told`` of every pair of ``pairs`` in bootstrap resamples of the units; NaN where no unit has the cause."""
        units = self.causes["unit"].nunique()
        unit = pd.factorize(self.causes["unit"], sort=True)
        number = dict(zip(unit[1].tolist(), range(units), strict=True))
        weights = np.random.default_rng(seed).multinomial(units, np.full(units, 1 / units), size=count)
        table = np.zeros((units, len(self.names)))
        table[unit[0], self.causes["cause"]] = self.causes["occurrences"]
        keys = self.pairs["cause"] * len(self.names) + self.pairs["effect"]
        row = np.searchsorted(keys, self.by_unit["cause"] * len(self.names) + self.by_unit["effect"])
        told = np.zeros((units, len(keys)))
        told[self.by_unit["unit"].map(number), row] = self.by_unit["told"]
        occurrences = (weights @ table)[:, self.pairs["cause"]]
        nothing = np.full(occurrences.shape, np.nan)
        found: NDArray[np.float64] = np.divide(weights @ told, occurrences, out=nothing, where=occurrences > 0)
        return found


class ByTypeSums:
    """Collects scored sequences.

    Args:
        names: Of the variables.
        of_event: Variable of every event type.
    """

    def __init__(self, names: tuple[str, ...], of_event: dict[str, int]) -> None:
        self.names, self.of_event = names, of_event
        self._seen = np.zeros(len(names), dtype=np.bool_)
        of_unit, of_pair = {"unit": _MOST_UNITS}, dict.fromkeys(PAIR, len(names))
        self._pairs = _Sums(of_unit | of_pair, SUMS)
        self._causes = _Sums(of_unit | {"cause": len(names)}, ["occurrences", "sequences"])
        self._delays = _Sums(of_pair, ["gained"], beside=["lag", "seconds"])

    def add(self, unit: int, sequence: EventSequence, scores: ByTypeScores, weight: float = 1.0) -> None:
        """Add a sequence.

        Args:
            unit: Its resampling unit.
            sequence: The events.
            scores: What its causes tell.
            weight: What it counts: less than 1 where several oracles score it.
        """
        unit %= _MOST_UNITS
        codes = np.array([self.of_event.get(event, -1) for event in sequence.events], dtype=np.int64)
        self._seen[codes[codes >= 0]] = True
        cause, effect = scores.causes[scores.place_cause], codes[scores.effect_event]
        gained = weight * scores.place_gain
        likelier = gained > 0
        self._pairs.add(
            unit=unit,
            cause=scores.causes[scores.pair_cause],
            effect=scores.pair_effect,
            told=0.0,
            **{name: weight * getattr(scores, name) for name in ("gain", "kl", "rarer")},
        )
        told = weight * scores.place_log_ratio
        self._pairs.add(unit=unit, cause=cause, effect=effect, told=told, gain=0.0, kl=0.0, rarer=0.0)
        self._causes.add(unit=unit, cause=scores.causes, occurrences=weight * scores.occurrences, sequences=weight)
        self._delays.add(
            cause=cause[likelier],
            effect=effect[likelier],
            lag=(scores.effect_event - scores.cause_event)[likelier],
            seconds=_elapsed(sequence, scores)[likelier],
            gained=gained[likelier],
        )

    def merge(self, other: "ByTypeSums") -> None:
        """Add everything that was added to another."""
        self._seen |= other._seen
        for mine, theirs in ((self._pairs, other._pairs), (self._causes, other._causes), (self._delays, other._delays)):
            mine.extend(*theirs.added_up())

    def effects(self) -> ByTypeEffects:
        """What has been added, of the variables that occurred."""
        seen = np.flatnonzero(self._seen)
        number = np.cumsum(self._seen) - 1

        def renumbered(table: pd.DataFrame) -> pd.DataFrame:
            ends = [name for name in PAIR if name in table]
            occurred: pd.DataFrame = table[self._seen[table[ends].to_numpy(dtype=np.int64)].all(axis=1)]
            return occurred.assign(**{name: number[occurred[name].to_numpy(dtype=np.int64)] for name in ends})

        tables = (renumbered(sums.table()) for sums in (self._pairs, self._causes, self._delays))
        return ByTypeEffects(tuple(self.names[place] for place in seen), *tables)


class _Sums:
    """Sums of columns by key: rows are added up whenever many have come.

    Args:
        sizes: Of every key that counts from 0, how many values it has: together they are one number.
        sums: Columns that are added up.
        beside: Further keys; not negative, or NaN.
    """

    def __init__(self, sizes: dict[str, int], sums: Sequence[str], beside: Sequence[str] = ()) -> None:
        self.sizes, self.sums, self.beside = sizes, sums, beside
        self._new: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = []
        self._rows = 0

    def add(self, **columns: NDArray[Any] | int | float) -> None:
        """Add rows; a number is the same in all of them."""
        length = max(np.size(column) for column in columns.values() if isinstance(column, np.ndarray))
        keys, values = np.empty((1 + len(self.beside), length), dtype=np.int64), np.empty((len(self.sums), length))
        known = [np.broadcast_to(columns[name], length) for name in self.sizes]
        keys[0] = np.ravel_multi_index(known, tuple(self.sizes.values()))
        # As numbers of the same bits, which have the same order and make NaN equal to NaN.
        keys[1:].view(np.float64)[:] = [columns[name] for name in self.beside] or 0
        for row, name in zip(values, self.sums, strict=True):
            row[:] = columns[name]
        self.extend(keys, values)

    def extend(self, keys: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        """Add rows as they are kept: keys as numbers, and what is summed."""
        self._new.append((keys, values))
        self._rows += keys.shape[1]
        if self._rows >= 2 * max(_ROWS_HELD, self._new[0][0].shape[1]):
            self.added_up()

    def table(self) -> pd.DataFrame:
        """One row for each key, in order."""
        keys, values = self.added_up()
        known = np.unravel_index(keys[0], tuple(self.sizes.values()))
        beside = dict(zip(self.beside, keys[1:].view(np.float64), strict=True))
        return pd.DataFrame(
            dict(zip(self.sizes, known, strict=True)) | beside | dict(zip(self.sums, values, strict=True))
        )

    def added_up(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Keys as numbers, in order and each once, and the sums of each."""
        empty = (np.empty((1 + len(self.beside), 0), dtype=np.int64), np.empty((len(self.sums), 0)))
        keys, values = (np.concatenate(parts, axis=1) for parts in zip(empty, *self._new, strict=True))
        order = np.lexsort(keys[::-1]) if self.beside else np.argsort(keys[0])
        keys = keys[:, order]
        first = np.flatnonzero((np.diff(keys, prepend=-1) != 0).any(axis=0))
        if len(first):
            keys, values = keys[:, first], np.add.reduceat(values[:, order], first, axis=1)
        self._new, self._rows = [(keys, values)], keys.shape[1]
        return keys, values


def _elapsed(sequence: EventSequence, scores: ByTypeScores) -> NDArray[np.float64]:
    """Seconds from the last event of the cause to the place, to two digits."""
    if sequence.timestamps is None:
        return np.full(len(scores.place_cause), np.nan)
    times = np.asarray(sequence.timestamps)
    return two_digits(times[scores.effect_event] - times[scores.cause_event])
