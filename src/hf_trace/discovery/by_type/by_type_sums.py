"""By-type effects of many sequences: sums per occurrence of a cause, with errors over sequences."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy.typing import NDArray

from hf_trace.discovery.by_type.comparison import ByTypeScores
from hf_trace.discovery.population.sums import two_digits
from hf_trace.logs.sequence import EventSequence

PAIR = ["cause", "effect"]
# What is summed over the places of a pair.
SUMS = ["told", "gain", "kl", "rarer"]
# Units are merged at random into so many groups: errors over them are as good, and memory does not grow.
_MOST_UNITS = 1024


@dataclass(frozen=True, eq=False)
class ByTypeEffects:
    """What the events of each variable tell about each other one.

    Attributes:
        names: Of the variables.
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
        self._pairs: list[pd.DataFrame] = []
        self._causes: list[pd.DataFrame] = []
        self._delays: list[pd.DataFrame] = []

    def add(self, unit: int, sequence: EventSequence, scores: ByTypeScores, weight: float = 1.0) -> None:
        """Add a sequence.

        Args:
            unit: Its resampling unit.
            sequence: The events.
            scores: What its causes tell.
            weight: What it counts: less than 1 where several oracles score it.
        """
        codes = np.array([self.of_event.get(event, -1) for event in sequence.events], dtype=np.int64)
        unit %= _MOST_UNITS
        moved = pd.DataFrame(
            {
                "cause": scores.causes[scores.pair_cause],
                "effect": scores.pair_effect,
                **{name: weight * getattr(scores, name) for name in ("gain", "kl", "rarer")},
            }
        )
        places = pd.DataFrame(
            {
                "cause": scores.causes[scores.place_cause],
                "effect": codes[scores.effect_event],
                "lag": scores.effect_event - scores.cause_event,
                "seconds": _elapsed(sequence, scores),
                "told": weight * scores.place_log_ratio,
                "gained": weight * np.maximum(scores.place_gain, 0),
            }
        )
        self._pairs += [moved.assign(unit=unit), places[["cause", "effect", "told"]].assign(unit=unit)]
        self._causes.append(
            pd.DataFrame(
                {"unit": unit, "cause": scores.causes, "occurrences": weight * scores.occurrences, "sequences": weight}
            )
        )
        self._delays.append(places[places["gained"] > 0].drop(columns="told"))
        if len(self._causes) >= 256:
            self._merge()

    def effects(self) -> ByTypeEffects:
        """What has been added."""
        self._merge()
        return ByTypeEffects(self.names, self._pairs[0], self._causes[0], self._delays[0])

    def _merge(self) -> None:
        self._pairs = [_added(self._pairs, ["unit", *PAIR], SUMS)]
        self._causes = [_added(self._causes, ["unit", "cause"], ["occurrences", "sequences"])]
        self._delays = [_added(self._delays, [*PAIR, "lag", "seconds"], ["gained"])]


def _elapsed(sequence: EventSequence, scores: ByTypeScores) -> NDArray[np.float64]:
    """Seconds from the last event of the cause to the place, to two digits."""
    if sequence.timestamps is None:
        return np.full(len(scores.place_cause), np.nan)
    times = np.asarray(sequence.timestamps)
    return two_digits(times[scores.effect_event] - times[scores.cause_event])


def _added(frames: Iterable[pd.DataFrame], keys: list[str], sums: list[str]) -> pd.DataFrame:
    """One row for each key, with sums; what a frame lacks is 0."""
    filled = [frame.reindex(columns=[*keys, *sums], fill_value=0.0) for frame in frames]
    if not filled:
        return pd.DataFrame({name: pd.Series(dtype=np.float64) for name in [*keys, *sums]})
    return pd.concat(filled, ignore_index=True).groupby(keys, sort=True, dropna=False)[sums].sum().reset_index()
