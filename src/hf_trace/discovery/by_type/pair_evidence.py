"""What speaks for each pair of types: counts of the log and by-type effects of an oracle, as features of a classifier.

Logs differ in size, speed and noise, so that the same number says something else in each. Most features are therefore
ranks: of a pair among all pairs, of its reverse, among the causes of its effect, and among the effects of its cause.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy.special import logit
from scipy.stats import rankdata

from hf_trace.discovery.by_type.by_type_graph import strengths
from hf_trace.discovery.by_type.by_type_sums import SUMS, ByTypeEffects
from hf_trace.graphs.counted_graphs import BASELINES, CountingSettings
from hf_trace.logs.log import EventLog
from hf_trace.logs.places.near_names import plain_name

Table = Float[np.ndarray, "cause effect"]
# Of by-type effects, which may be of neighbours' events too.
Shares = Float[np.ndarray, "told moved"]
Tables = Mapping[str, Table]

COUNTED = ("onset", "hawkes", "nats", "bigram", "lift", "cooccurrence")
TOLD = ("strength", "told", "gain", "kl")
# What a number must reach to count, where its logarithm is taken: far less than any edge has.
_LEAST = {"onset": 1e-4, "hawkes": 1e-4, "nats": 1e-2, "lift": 1e-2, "strength": 1e-4}
_MOST_ERRORS = 20.0


def counted_tables(log: EventLog, settings: CountingSettings) -> dict[str, Table]:
    """What counting says of each pair of the log's types: scores of all methods, and how often each type occurred.

    Args:
        log: The events, each place by itself.
        settings: How pairs are counted, with the topology where there is one.

    Raises:
        SettingsError: See ``counted_graph``.
    """
    found: dict[str, Table] = {}
    for name, method in BASELINES.items():
        counted = method(log, settings)
        found |= {name: counted.scores, **counted.columns()}
    size = len(log.event_types)
    occurrences = np.bincount(log.codes, minlength=size).astype(np.float64)
    ends = np.broadcast_arrays(occurrences[:, None], occurrences[None])
    return found | {"causes": ends[0], "effects": ends[1]}


def told_tables(
    effects: ByTypeEffects, forward: Shares | None, names: tuple[str, ...], plain: Callable[[str], str] = plain_name
) -> dict[str, Table]:
    """What by-type effects say of each pair: means over the occurrences of a cause, at the place or at a neighbour.

    Args:
        effects: Sums of all sequences.
        forward: Direction shares, see ``strengths``.
        names: Of the rows and columns.
        plain: Which of them a variable of ``effects`` is, at the place or at a neighbour.

    Returns:
        ``strength``, ``told``, ``gain``, ``kl`` and ``rarer`` per occurrence, their ``_error``, and ``forward``.
    """
    found = strengths(effects, forward, "log_ratio")
    number = {name: place for place, name in enumerate(names)}
    row = np.array([number.get(plain(name), -1) for name in effects.names])
    is_own = np.array([name == plain(name) for name in effects.names])
    cause, effect = found["cause"].to_numpy(), found["effect"].to_numpy()
    kept = is_own[effect] & (row[cause] >= 0) & (row[effect] >= 0)
    found, cause, effect = found[kept], cause[kept], effect[kept]
    at, weight = (row[cause], row[effect]), effects.occurrences[cause]
    total = np.bincount(row[row >= 0], weights=effects.occurrences[row >= 0], minlength=len(names))[:, None]

    def summed(values: NDArray[np.float64]) -> Table:
        table = np.zeros((len(names),) * 2)
        np.add.at(table, at, np.nan_to_num(values))
        return table

    def mean(column: str) -> Table:
        averaged: Table = summed(weight * found[column].to_numpy()) / np.maximum(total, 1)
        return averaged

    def error(column: str) -> Table:
        averaged: Table = np.sqrt(summed((weight * found[column].to_numpy()) ** 2)) / np.maximum(total, 1)
        return averaged

    moved = summed(weight)
    direction = np.divide(summed(weight * found["forward"].to_numpy()), moved, out=moved + 0.5, where=moved > 0)
    return {
        "strength": mean("cmi"),
        "forward": direction,
        **{name: mean(name) for name in SUMS},
        **{f"{name}_error": error(f"{name}_error") for name in SUMS},
    }


def pair_features(tables: Tables) -> tuple[Float[np.ndarray, "pair feature"], Bool[np.ndarray, "cause effect"]]:
    """Features of all ordered pairs of different types, and where in a table they stand.

    Args:
        tables: Those of ``counted_tables`` and ``told_tables``.
    """
    off = ~np.eye(len(tables["onset"]), dtype=bool)
    # In the precision that the classifier reads.
    return np.stack([each[off].astype(np.float32) for each in _described(tables, off)], axis=1), off


def _described(tables: Tables, off: Bool[np.ndarray, "cause effect"]) -> Iterator[Table]:
    """One table for each feature; what stands on its diagonal says nothing."""
    for name in (*COUNTED, *TOLD):
        yield from _ranks(np.nan_to_num(tables[name]), off)
    for name, least in _LEAST.items():
        yield np.log(np.maximum(tables[name], 0) + least)
    begins, before = tables["begins"], tables["before"]
    yield (begins + 1) / (begins + before + 2)
    yield tables["forward"]
    yield np.log1p(begins)
    yield _bounded((begins - before) / np.sqrt(begins + before + 1))
    for name in ("told", "gain", "kl", "rarer"):
        value = np.nan_to_num(tables[name])
        yield np.arcsinh(100 * value)
        yield _bounded(value / (tables[f"{name}_error"] + 1e-4))
    for name in ("bigram", "cooccurrence"):
        yield np.arcsinh(20 * tables[name])
    for name in ("causes", "effects"):
        yield np.log1p(tables[name])
        yield np.log((tables[name] + 1) / (tables["causes"][:, 0].sum() + 1))


def _ranks(table: Table, off: Bool[np.ndarray, "cause effect"]) -> list[Table]:
    """Among all pairs as log odds, of the reverse pair, among the effects of a cause, among the causes of an effect."""
    among = np.zeros_like(table)
    among[off] = (rankdata(table[off]) - 0.5) / off.sum()
    odds = np.zeros_like(table)
    odds[off] = logit(among[off])
    # The diagonal is the lowest of its row and its column, and counts for nothing there.
    apart = np.where(off, table, -np.inf)
    ends = [(rankdata(apart, axis=axis) - 1.5) / max(len(table) - 1, 1) for axis in (1, 0)]
    return [odds, among.T, *ends]


def _bounded(errors: Table) -> Table:
    bounded: Table = np.clip(errors, -_MOST_ERRORS, _MOST_ERRORS)
    return bounded
