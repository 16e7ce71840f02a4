r"""Which events bring others about if their rates add up: a Hawkes process fitted by expectation-maximisation.

Events of type v happen at the rate :math:`\mu_v + \sum_i W_{u_i v} k(t - t_i)` over earlier events i, with an
exponential kernel of mean H/3 that is cut at H and integrates to 1. Hawkes (1971), "Spectra of some self-exciting and
mutually exciting point processes"; the responsibilities are those of Veen and Schoenberg (2008), "Estimation of
space-time branching process models in seismology using an EM-type algorithm".
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse

from hf_trace.errors import SettingsError
from hf_trace.graphs.near_events import event_times, first_place, observed_time, pairs_in_parts, types_of_table
from hf_trace.logs.log import EventLog
from hf_trace.logs.places.topology import Topology

ROUNDS = 20
_MEANS = 3.0  # mean times of the kernel in its horizon
_MOST_ENTRIES = 50_000_000
_MOST_CELLS = 4_000_000
Table = Float[np.ndarray, "cause effect"]


@dataclass(frozen=True, eq=False)
class HawkesFit:
    """What each type brings about.

    Attributes:
        weights: W, the expected number of effects that one event of the cause brings about directly.
        rates: Of each type without a cause, per second (per event without times).
        horizon: H, in seconds; in events for a log without times.
        codes: Type of every event.
        soon: For every event and type the kernel at the events of that type soon before it, added up.
        watched: How long the sequences were watched, in seconds.
    """

    weights: Table
    rates: Float[np.ndarray, " type"]
    horizon: float
    codes: Int[np.ndarray, " event"]
    soon: sparse.csr_array
    watched: float

    @cached_property
    def nats(self) -> Table:
        r"""How much the log-likelihood falls if a pair's weight is 0 and its effects come at a steady rate instead.

        .. math:: \sum_{j : v_j = v} \log \frac{\lambda_j}{\lambda_j - W_{uv} x_{ju} + W_{uv} n_u / T}

        All other weights stay; as many effects are expected as before, so that nothing else of the likelihood changes.
        """
        types, events = len(self.rates), len(self.codes)
        found = np.zeros((types, types))
        if not self.weights.any():
            return found
        steady = self.weights * np.bincount(self.codes, minlength=types)[:, None] / self.watched
        rows = max(1, _MOST_CELLS // types)
        for start in range(0, events, rows):
            codes = self.codes[start : start + rows]
            moved = self.soon[start : start + rows].toarray() * self.weights.T[codes]
            rate = self.rates[codes] + moved.sum(axis=1)
            lost = -np.log1p((steady.T[codes] - moved) / rate[:, None])
            found += (
                sparse.csr_array((np.ones(len(codes)), (codes, np.arange(len(codes)))), (types, len(codes))) @ lost
            ).T
        return found

    def errors(self) -> Table:
        r"""Standard errors of the weights as if each effect were known to be one: :math:`\sqrt{W n + 1} / n`.

        Example:
            >>> nothing = sparse.csr_array((2, 2))
            >>> fit = HawkesFit(np.array([[0.0, 0.8]] * 2), np.ones(2), 1.0, np.array([0] * 10), nothing, 9.0)
            >>> fit.errors()[0, 1].item()  # sqrt(9) / 10
            0.3
        """
        events = np.maximum(np.bincount(self.codes, minlength=len(self.rates)), 1)[:, None]
        errors: Table = np.sqrt(self.weights * events + 1) / events
        return errors

    def edges(self) -> Bool[np.ndarray, "cause effect"]:
        """Pairs whose weight pays for one parameter: nats above half the log of the number of events (Schwarz 1978)."""
        kept: Bool[np.ndarray, "cause effect"] = self.nats > 0.5 * np.log(max(len(self.codes), 1))
        return kept


def fit_hawkes(log: EventLog, *, horizon: float, topology: Topology | None = None, rounds: int = ROUNDS) -> HawkesFit:
    r"""Fit weights and rates; they start at half of what is observed, shared equally by all causes.

    With :math:`x_{ju} = \sum_{i : u_i = u} k(t_j - t_i)` every round is

    .. math:: r_{ju} = \frac{W_{u v_j} x_{ju}}{\mu_{v_j} + \sum_{u'} W_{u' v_j} x_{ju'}}, \quad
        W_{uv} = \frac{1}{n_u} \sum_{j : v_j = v} r_{ju}, \quad
        \mu_v = \frac{1}{T} \sum_{j : v_j = v} \Big(1 - \sum_u r_{ju}\Big)

    Args:
        log: Events with times; without them positions in the sequence are taken as times.
        horizon: How long a cause acts, in seconds (in events without times); not on events of its own time.
        topology: Sequences that are joined: effects are the events of each, causes its own and its neighbours'. What an
            event brings about is shared equally by its sequence and the neighbours.
        rounds: Of expectation and maximisation.

    Returns:
        The fit. T is the last time of each sequence less its first, added up; what an event would still have brought
        about after the end of its sequence is not made up for.

    Raises:
        SettingsError: If there are more than 5,000 event types, or more than 50 million types soon before events.
        TimestampError: If there is a topology and no times.

    Example:
        >>> from hf_trace.logs.sequence import EventSequence
        >>> times = tuple(float(t) for start in range(0, 1000, 10) for t in (start, start + 1))
        >>> log = EventLog.from_sequences([EventSequence(("a", "b") * 100, times)])
        >>> fit_hawkes(log, horizon=3.0).weights.round(2).tolist()  # every a brings a b
        [[0.0, 1.0], [0.0, 0.0]]
    """
    types, codes, times = types_of_table(log), log.codes.astype(np.int64), event_times(log)
    counts, watched = np.bincount(codes, minlength=types), observed_time(log, times)
    soon = _kernel_sums(log, times, horizon, topology)
    rows = np.repeat(np.arange(len(codes)), np.diff(soon.indptr))
    cells = soon.indices.astype(np.int64) * types + codes[rows]
    occurrences = np.repeat(np.maximum(counts, 1), types)

    weights = np.full(types * types, 0.5 / max(types, 1))
    # Where no time passes rates are infinite, and nothing is left to explain.
    rates = 0.5 * counts / watched if watched > 0 else np.full(types, np.inf)
    for _ in range(rounds):
        shares, alone = _responsibilities(soon.data * weights[cells], rates[codes], rows)
        weights = np.bincount(cells, weights=shares, minlength=types * types) / occurrences
        if watched > 0:
            rates = np.bincount(codes, weights=alone, minlength=types) / watched
    return HawkesFit(weights.reshape(types, types), rates, horizon, codes, soon, watched)


def _responsibilities(
    parts: Float[np.ndarray, " entry"], rates: Float[np.ndarray, " event"], rows: Int[np.ndarray, " entry"]
) -> tuple[Float[np.ndarray, " entry"], Float[np.ndarray, " event"]]:
    """Share of every cause in its event, and what each event owes to none."""
    total = rates + np.bincount(rows, weights=parts, minlength=len(rates))
    total = np.where(total > 0, total, 1.0)
    alone = np.where(np.isinf(rates), 1.0, rates / np.where(np.isinf(rates), 1.0, total))
    return parts / total[rows], alone


def _kernel_sums(
    log: EventLog, times: Float[np.ndarray, " event"], horizon: float, topology: Topology | None
) -> sparse.csr_array:
    """For every event and every type the kernel at the events of that type soon before it, added up."""
    types = len(log.event_types)
    seen, reached = log, np.ones(len(log.codes))
    if topology is not None:
        seen, origin = topology.merged(log)
        reached = topology.reached()[origin].astype(np.float64)
    sequence, at = np.repeat(np.arange(len(log)), log.sequence_lengths), event_times(seen)
    low, high = seen.offsets[sequence], seen.offsets[sequence + 1]
    starts = first_place(at, low, high, times, -horizon, above=False)
    stops = first_place(at, low, high, times, 0.0, above=False)
    mean = horizon / _MEANS
    parts, entries = [sparse.csr_array((0, types))], 0
    for part, effect, cause in pairs_in_parts(starts, stops):
        kernel = np.exp((at[cause] - times[effect]) / mean) / (-np.expm1(-_MEANS) * mean * reached[cause])
        found = sparse.coo_array(
            (kernel, (effect - part.start, seen.codes[cause])), shape=(part.stop - part.start, types)
        ).tocsr()
        entries += found.nnz
        if entries > _MOST_ENTRIES:
            raise SettingsError(
                f"A horizon of {horizon:g} seconds has more than {_MOST_ENTRIES:,} types soon before events, which is "
                "too many for the Hawkes process. Choose a shorter horizon, or another method."
            )
        parts.append(found)
    return sparse.csr_array(sparse.vstack(parts, format="csr"))
