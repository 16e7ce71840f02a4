"""What a log in the context says of the next event: many ways to count, each an expert of its own.

Sequence experts look up what followed the same history: the last events in order or in any, the time since the last
event, all types so far, the place in the sequence. Each falls back on a shorter history by interpolation
(Witten and Bell 1991, method C; as in PPM and context mixing, Cleary and Witten 1984, Mahoney 2005)::

    p_e(v) = (n(h, v) + T(h) p_back(v)) / (n(h) + T(h))      n: how often v followed h; T(h): types that followed h

Pair experts ask how much likelier v is after an event of one type, by the time since the last one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hf_trace.amortised.pasts import RECENT, Pasts
from hf_trace.tokenizers.event_tokens import log_spaced_edges

TIME_BINS, COUNTED, INTERVALS = 12, 4, 12
# Of all that is said, those that are distributions: the sequence experts, and what past events explain.
DISTRIBUTIONS = 2
_LAGS, _ROUNDS = 12, 8
# Events that a ratio of a pair is drawn to 1 with.
_PRIOR = 3.0
_LAST_INDEX, _MOST_REPEATS = 24, 6
Keys = NDArray[np.uint64]
Table = Float[np.ndarray, "place type"]


def _mixed(*parts: NDArray[Any]) -> Keys:
    """One number for several, by multiplication with large odd ones."""
    found = np.zeros(len(parts[0]), dtype=np.uint64)
    for part in parts:
        found = (found ^ part.astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        found ^= found >> np.uint64(29)
    return found


def _order(length: int) -> Callable[[Pasts], Keys]:
    return lambda past: _mixed(*past.recent[:, :length].T)


def _lag(lag: int) -> Callable[[Pasts], Keys]:
    return lambda past: _mixed(past.recent[:, lag - 1])


def _bag(length: int) -> Callable[[Pasts], Keys]:
    return lambda past: _mixed(*np.sort(past.recent[:, :length], axis=1).T)


def _timed(length: int) -> Callable[[Pasts], Keys]:
    return lambda past: _mixed(past.gap, *past.recent[:, :length].T)


def _index(past: Pasts) -> NDArray[np.int64]:
    return np.minimum(past.before, _LAST_INDEX)


def _other(past: Pasts) -> NDArray[np.int64]:
    """The last type but that of the last event; -1 for none."""
    place = np.minimum(past.repeats, RECENT - 1)
    found: NDArray[np.int64] = past.recent[np.arange(len(place)), place]
    return found


class SequenceExpert(NamedTuple):
    """What followed the same history.

    Attributes:
        name: What it is called.
        key: A number for the history before each place.
        back: The expert it falls back on; -1: frequencies.
    """

    name: str
    key: Callable[[Pasts], Keys]
    back: int


EXPERTS = (
    SequenceExpert("last 1", _order(1), -1),
    SequenceExpert("last 2", _order(2), 0),
    SequenceExpert("last 3", _order(3), 1),
    SequenceExpert("last 4", _order(4), 2),
    SequenceExpert("last 6", _order(6), 3),
    SequenceExpert("last 9", _order(9), 4),
    SequenceExpert("gap", _timed(0), -1),
    SequenceExpert("gap, last 1", _timed(1), 0),
    SequenceExpert("gap, last 2", _timed(2), 7),
    SequenceExpert("lag 2", _lag(2), -1),
    SequenceExpert("lag 3", _lag(3), -1),
    SequenceExpert("lag 4", _lag(4), -1),
    SequenceExpert("any order 2", _bag(2), 0),
    SequenceExpert("any order 3", _bag(3), 12),
    SequenceExpert("seen", lambda past: _mixed(past.seen), 0),
    SequenceExpert("seen, last 1", lambda past: _mixed(past.seen, past.recent[:, 0]), 14),
    SequenceExpert("tally", lambda past: _mixed(past.tally), 14),
    SequenceExpert("tally, last 1", lambda past: _mixed(past.tally, past.recent[:, 0]), 16),
    SequenceExpert("index", lambda past: _mixed(_index(past)), -1),
    SequenceExpert("index, last 1", lambda past: _mixed(_index(past), past.recent[:, 0]), 0),
    SequenceExpert(
        "repeats", lambda past: _mixed(np.minimum(past.repeats, _MOST_REPEATS), past.recent[:, 0]), 0
    ),
    SequenceExpert("last two types", lambda past: _mixed(_other(past), past.recent[:, 0]), 0),
)  # fmt: skip
PAIRS = (
    *("explained by time", "explained by lag"),
    *("for", "against", "most", "least", "mean", "last type", "second type", "third type"),
    *("absent", "itself", "times before", "interval"),
)


@dataclass(frozen=True)
class Said:
    """What all experts say of every type at every place.

    Attributes:
        base: Log-probability of each type by frequency alone.
        ratios: Log ratios to it, of sequence experts and then of ``PAIRS``.
        known: How many events followed the history of each sequence expert.
        kinds: How many types did.
    """

    base: Float[np.ndarray, " type"]
    ratios: Float[np.ndarray, "expert place type"]
    known: Float[np.ndarray, "history place"]
    kinds: Float[np.ndarray, "history place"]


class _Histories:
    """How often each type followed each history."""

    def __init__(self, keys: Keys, codes: Int[np.ndarray, " event"], n_types: int) -> None:
        self.keys, row = np.unique(keys, return_inverse=True)
        ones = np.ones(len(codes), dtype=np.float32)
        # The last row stands for histories that are not known.
        self.counts = csr_array((ones, (row, codes)), shape=(len(self.keys) + 1, n_types))
        self.counts.sum_duplicates()

    def after(self, keys: Keys) -> Table:
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        found = np.where(self.keys[place] == keys, place, len(self.keys))
        return self.counts[found].toarray()


class _Explained:
    """Which past event explains each event: shares of responsibility, by expectation maximisation.

    A Hawkes process seen at its events alone: what past events of each row add to the chance of each type, and what is
    there without them (Lewis and Mohler 2011, with the number of events for time)::

        p(v) = (mu_v + sum_j K[row_j, v]) / sum        K[row, v] = responsibilities / times the row was there
    """

    def __init__(
        self,
        rows: Int[np.ndarray, "event past"],
        codes: Int[np.ndarray, " event"],
        size: int,
        share: NDArray[np.float64],
    ) -> None:
        n_types, cells = len(share), rows * len(share) + codes[:, None]
        there = np.bincount(rows.ravel(), minlength=size)[:, None] + _PRIOR
        counts = np.bincount(cells.ravel(), minlength=size * n_types).reshape(size, n_types)
        self.added = (counts / there) / max(1, rows.shape[1] / 4)
        self.own = share / 2
        self.added[-1] = 0
        for _ in range(_ROUNDS):
            told = self.added.ravel()[cells]
            told /= (self.own[codes] + told.sum(1))[:, None]
            sums = np.bincount(cells.ravel(), weights=told.ravel(), minlength=size * n_types)
            self.added = sums.reshape(size, n_types) / there
            self.added[-1] = 0
            left = np.maximum(1 - told.sum(1), 0)
            self.own = (np.bincount(codes, weights=left, minlength=n_types) + share) / (len(codes) + 1)
        self.added = self.added.astype(np.float32)

    def after(self, rows: Int[np.ndarray, "place past"]) -> Table:
        """Probabilities of every type."""
        found = self.own + self.added[rows].sum(1)
        return found / found.sum(1, keepdims=True)


class ContextCounts:
    """All counts of a log.

    Args:
        pasts: What came before each event.
        codes: Type of each event, below the number of types.
        n_types: Number of event types.
    """

    def __init__(self, pasts: Pasts, codes: Int[np.ndarray, " event"], n_types: int) -> None:
        self.n_types = n_types
        self.events = len(codes)
        self.frequency = np.bincount(codes, minlength=n_types).astype(np.float64)
        self.share = (self.frequency + 1) / (self.events + n_types)
        self.histories = [_Histories(expert.key(pasts), codes, n_types) for expert in EXPERTS]
        since = pasts.since[pasts.recent >= 0]
        self.edges = np.asarray(log_spaced_edges(since, TIME_BINS))
        self._count_pairs(pasts, codes)
        self._count_types(pasts, codes)
        self.explained = [
            _Explained(rows, codes, size, self.share)
            for rows, size in ((self._rows(pasts), len(self.pairs)), (self._lags(pasts), (n_types + 1) * _LAGS + 1))
        ]

    def _lags(self, pasts: Pasts) -> Int[np.ndarray, "place lag"]:
        """Row of each of the last events by its type and lag; the last row for none."""
        recent = pasts.recent[:, :_LAGS].astype(np.int64)
        return np.where(recent >= 0, recent * _LAGS + np.arange(_LAGS), (self.n_types + 1) * _LAGS)

    def _rows(self, pasts: Pasts) -> Int[np.ndarray, "place recent"]:
        """Row of the table of pairs of each latest event; the last row for the others."""
        bins = len(self.edges) + 1
        rows = pasts.recent.astype(np.int64) * bins + np.searchsorted(self.edges, pasts.since)
        return np.where(pasts.latest, rows, (self.n_types + 1) * bins)

    def _count_pairs(self, pasts: Pasts, codes: Int[np.ndarray, " event"]) -> None:
        bins, rows = len(self.edges) + 1, self._rows(pasts)
        shape = (self.n_types + 1) * bins + 1, self.n_types
        flat = (rows * self.n_types + codes[:, None])[pasts.latest]
        counts = np.bincount(flat, minlength=shape[0] * shape[1]).reshape(shape)
        self.pairs = self._ratios(counts, counts.sum(1, keepdims=True))
        self.pairs[-1] = 0
        came = counts[:-1].reshape(self.n_types + 1, bins, self.n_types).sum(1)
        never = self.frequency - came
        self.never = self._ratios(never, never.sum(1, keepdims=True))
        self.never_at_all = self.never[:-1].sum(0)

    def _count_types(self, pasts: Pasts, codes: Int[np.ndarray, " event"]) -> None:
        """By how many of its type came before, and by the time since the last, in quantiles of each type's own."""
        here, n_types = np.arange(len(codes)), self.n_types
        own = pasts.ago[here, codes]
        self.interval_edges = np.full((n_types, INTERVALS), np.inf)
        for code in np.flatnonzero(self.frequency):
            intervals = own[(codes == code) & np.isfinite(own)]
            if len(intervals):
                self.interval_edges[code] = np.quantile(intervals, np.linspace(0.02, 0.98, INTERVALS))
        self.of_count, self.of_interval = (
            self._of_cells(cells, codes, count)
            for cells, count in ((self._counted(pasts), COUNTED), (self._intervals(pasts), INTERVALS + 2))
        )

    def _of_cells(
        self, cells: Int[np.ndarray, "place type"], codes: Int[np.ndarray, " event"], count: int
    ) -> Float[np.ndarray, "type cell"]:
        columns = np.arange(self.n_types)
        there = np.bincount((cells + columns * count).ravel(), minlength=count * self.n_types)
        came = np.bincount(cells[np.arange(len(codes)), codes] + codes * count, minlength=count * self.n_types)
        there, came = (each.reshape(self.n_types, count) for each in (there, came))
        share = self.share[:, None]
        found: NDArray[np.float64] = np.log((came + _PRIOR * share) / ((there + _PRIOR) * share))
        return found

    def _counted(self, pasts: Pasts) -> Int[np.ndarray, "place type"]:
        return np.minimum(pasts.counts, COUNTED - 1)

    def _intervals(self, pasts: Pasts) -> Int[np.ndarray, "place type"]:
        """Quantile of the time since the last event of each type; the last cell where there was none."""
        cells = np.zeros(pasts.ago.shape, dtype=np.int64)
        for edge in self.interval_edges.T:
            cells += pasts.ago > edge
        return np.where(np.isfinite(pasts.ago), cells, INTERVALS + 1)

    def _ratios(self, counts: NDArray[Any], totals: NDArray[Any]) -> Float[np.ndarray, "row type"]:
        found: NDArray[np.float32] = np.log((counts + _PRIOR * self.share) / ((totals + _PRIOR) * self.share)).astype(
            np.float32
        )
        return found

    def said(self, pasts: Pasts) -> Said:
        """What all experts say at some places."""
        base = np.log(self.share)
        said: list[Table] = []
        known, kinds = [], []
        for expert, histories in zip(EXPERTS, self.histories, strict=True):
            counts = histories.after(expert.key(pasts))
            back = self.share if expert.back < 0 else said[expert.back]
            total, kind = counts.sum(1), (counts > 0).sum(1)
            mass = np.maximum(total + kind, 1)[:, None]
            said.append(np.where(total[:, None] > 0, (counts + kind[:, None] * back) / mass, back))
            known.append(total)
            kinds.append(kind)
        ratios = np.log(np.stack(said)) - base
        return Said(base, np.concatenate([ratios, self._pairs_said(pasts)]).astype(np.float32),
                    np.stack(known), np.stack(kinds).astype(np.float32))  # fmt: skip

    def _pairs_said(self, pasts: Pasts) -> Float[np.ndarray, "expert place type"]:
        """What pairs of types say: what is explained, and ratios of each present type, summed up in several ways."""
        rows, here = self._rows(pasts), np.arange(self.n_types)
        present = pasts.latest.sum(1)[:, None]
        # The latest events of their types side by side, then nothing.
        order = np.argsort(~pasts.latest, axis=1, kind="stable")[:, : max(3, int(present.max(initial=0)))]
        is_there, rows, types = (np.take_along_axis(each, order, 1) for each in (pasts.latest, rows, pasts.recent))
        told = self.pairs[rows]
        likelier = (np.exp(told) * is_there[..., None]).sum(1)
        never = np.concatenate([self.never, np.zeros_like(self.never[:1])])[np.where(is_there, types, -1)]
        itself = ((types[..., None] == here) * told).sum(1) + np.isinf(pasts.ago) * self.never[here, here]
        explained = self.explained[0].after(rows), self.explained[1].after(self._lags(pasts))
        return np.stack([
            *(np.log(each / self.share) for each in explained),
            np.maximum(told, 0).sum(1), np.minimum(told, 0).sum(1), told.max(1), told.min(1),
            np.log((likelier + 1) / (present + 1)), *(told[:, number] for number in range(3)),
            self.never_at_all - never.sum(1), itself,
            self.of_count[here, self._counted(pasts)], self.of_interval[here, self._intervals(pasts)],
        ])  # fmt: skip
