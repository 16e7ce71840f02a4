r"""What follows what: does the effect begin after a cause, through whatever is between (total, marginal; populations).

The estimand is, with a horizon H,

.. math:: P(v \in (t, t+H], v \notin [t-H, t) \mid u \text{ at } t) \cdot D_{uv}, \quad D = \frac{F + 1}{F + B + 2}

with the direction share D of onsets (see ``graphs.onsets``), which what merely happens near each other does not raise.
The probability has two estimates that err in different ways: counted, F / n, blind to what else made v likely; and by
the oracle, the risk of v within H of forcing u, which does not ask whether v was there before. The strength takes both:

.. math:: \sqrt{\frac{F}{n} \cdot \mathrm{risk}} \cdot D

Nine such forms were compared with the known graph of one log in sight, so what this one scores there is an upper
estimate. The default threshold was chosen on simulated worlds alone: of .001 to .05 it had, to a thousandth or two,
the best mean F1 against the transitive closure of their graphs.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float

from hf_trace.discovery.pair_graphs import DELAY_LEVELS, direction
from hf_trace.discovery.settings import SUGGESTED, DiscoveryRequest
from hf_trace.discovery.statistics import PairScores
from hf_trace.discovery.thresholds import Threshold, parse_threshold
from hf_trace.discovery.total_effects import TotalEffects, parse_horizon
from hf_trace.discovery.total_run import log_total_effects
from hf_trace.documents import Document
from hf_trace.graphs.graph import CausalGraph
from hf_trace.graphs.near_events import suggested_horizon
from hf_trace.graphs.onsets import OnsetCounts, onset_counts
from hf_trace.graphs.score_tables import score_table
from hf_trace.logs.log import EventLog
from hf_trace.logs.places.histories import own_events
from hf_trace.runs.event_model import EventModel
from hf_trace.runs.processes import Processes

# With more types, a table of all pairs would dwarf the graph.
_MOST_SCORED_TYPES = 1_000
_EVENTS = 16
Table = Float[np.ndarray, "cause effect"]
Advance = Callable[[float], None]
_ALONE = Processes()


@dataclass(frozen=True, eq=False)
class Following:
    """Both estimates of how often each effect begins after each cause, of the same types in the same order.

    Attributes:
        counts: Onsets in the log.
        effects: Risks by the oracle; NaN of types that nothing can follow.

    Example:
        >>> begins, before = np.array([[0, 3], [0, 0]]), np.array([[0, 1], [0, 0]])
        >>> counts = OnsetCounts(begins, before, begins, np.array([4, 3]), 10.0)
        >>> risk = np.array([[0.1, 0.48], [0.1, 0.1]])
        >>> found = Following(counts, TotalEffects(risk, risk, 0 * risk, 8))
        >>> float(found.strengths()[0, 1].round(3))  # sqrt(3/4 * 0.48) * (3 + 1) / (3 + 1 + 2)
        0.4
    """

    counts: OnsetCounts
    effects: TotalEffects

    @property
    def forward(self) -> Table:
        """Direction shares D."""
        begins, before = self.counts.begins, self.counts.before
        share: Table = (begins + 1) / (begins + before + 2)
        return share

    def strengths(self) -> Table:
        """Geometric mean of both estimates, times direction; 0 where one of them is 0 or is missing."""
        found: Table = np.sqrt(self.counts.confidence() * self._risk()) * self.forward
        return found

    def errors(self) -> Table:
        """Standard errors of the strengths by the delta method: of F binomial, of the risk over contexts, of D none.

        In bursts events are not independent, and the share errs more than that.
        """
        share, risk = self.counts.confidence(), self._risk()
        occurrences = np.maximum(self.counts.occurrences, 1)[:, None]
        of_share = np.sqrt(risk * (1 - share) / occurrences)
        slope = np.sqrt(share / np.where(risk > 0, risk, np.inf))
        found: Table = self.forward / 2 * np.hypot(of_share, slope * self.effects.gain_error)
        return found

    def learned_errors(self) -> Table:
        r"""Standard errors between logs, each with an oracle of its own, which has learned from its n events alone.

        A risk then errs at least as a share of n events does, and together with the share that is counted; where it is
        more than ``errors`` of one oracle over contexts,

        .. math:: \frac{D}{2 \sqrt n} \Big(\sqrt{R (1 - F / n)} + \sqrt{(1 - R) F / n}\Big)
        """
        share, risk = self.counts.confidence(), self._risk()
        spread = np.sqrt(risk * (1 - share)) + np.sqrt(share * (1 - risk))
        occurrences = np.maximum(self.counts.occurrences, 1)[:, None]
        found: Table = np.maximum(self.errors(), self.forward / 2 * spread / np.sqrt(occurrences))
        return found

    def _risk(self) -> Table:
        # Estimates of near certainty may come out above 1.
        risk: Table = np.clip(np.nan_to_num(self.effects.risk), 0, 1)
        return risk


def following_graph(
    model: EventModel,
    log: EventLog,
    request: DiscoveryRequest,
    *,
    whole: EventLog | None = None,
    advance: Advance = lambda _: None,
    processes: Processes = _ALONE,
) -> CausalGraph:
    """The population graph of what follows what.

    Args:
        model: The run.
        log: Sequences no longer than the model reads; times are used where the horizon has one.
        request: With the horizon of ``resolved_horizon``.
        whole: The log before it was cut into windows, in which onsets are counted; None: it was not.
        advance: Called with the number of contexts done.
        processes: See ``total_effects``.

    Returns:
        Edges with ``cmi`` (the strength) and ``standard_error``, ``share`` (F / n), ``risk``, ``baseline_risk``,
        ``forward`` (D), ``direction`` (more or less than after other events, by the oracle), ``occurrences`` (n),
        ``support`` (contexts), and with times ``lag_seconds_quantiles`` from the cause to the onset.
        ``metadata["scores"]`` holds the strength of every pair and its error between logs.

    Raises:
        EmptyLogError: If no event has another before it.
        SettingsError: See ``log_total_effects``.
    """
    settings, names = request.settings, model.tokenizer.event_types
    (effects,) = log_total_effects([model], log, request, advance=advance, processes=processes)
    horizon = parse_horizon(settings.horizon)
    seconds = max(horizon.seconds, default=None)
    whole = whole or log
    counted = whole if seconds is not None else replace(whole, timestamps=None)
    reach = float(horizon.events) if seconds is None else seconds
    found = Following(_of_types(onset_counts(counted, horizon=reach), whole.event_types, names), effects)
    strengths = found.strengths()
    kept = _kept(strengths, found.errors(), parse_threshold(settings.threshold))
    if not settings.self_loops:
        np.fill_diagonal(kept, val=False)
    pairs = [(names[cause], names[effect]) for cause, effect in np.argwhere(kept)]
    delays = {} if seconds is None else onset_delays(whole, pairs, seconds)
    edges = tuple(
        edge | ({"lag_seconds_quantiles": delays[pair]} if pair in delays else {})
        for pair, edge in zip(pairs, _edges(found, kept, names), strict=True)
    )
    metadata: dict[str, Any] = {
        "strength": "share after which it begins",
        "contexts": effects.contexts,
        "horizon": settings.horizon,
    }
    if len(names) <= _MOST_SCORED_TYPES:
        metadata["scores"] = score_table(names, strengths, found.learned_errors())
    return CausalGraph("population", tuple(names), edges, metadata)


def resolved_horizon(model: EventModel, log: EventLog, spec: str) -> str:
    """The horizon of a request, where it is ``suggested``: 16 events, and a fifth of the mean time between events.

    Of a log without different times, and for a model that reads none, it is events alone; of a model that reads fewer
    than 32 events half of them, so that there is a past.
    """
    if spec != SUGGESTED:
        return spec
    events = min(_EVENTS, max(1, (model.most_events or 2 * _EVENTS) // 2))
    seconds = suggested_horizon(own_events(log), positions=0) if model.tokenizer.writes_gaps else 0.0
    if not seconds:
        return str(events)
    return f"{events},{np.format_float_positional(seconds, precision=6, fractional=False, trim='-')}s"


def onset_delays(
    log: EventLog, pairs: Iterable[tuple[str, str]], horizon: float
) -> dict[tuple[str, str], dict[str, float]]:
    """Quantiles of the seconds from each cause to the effect that begins after it; none of pairs where none begins.

    Example:
        >>> from hf_trace.logs.sequence import EventSequence
        >>> log = EventLog.from_sequences([EventSequence(("a", "b", "a"), (0.0, 3.0, 5.0))])
        >>> onset_delays(log, [("a", "b"), ("b", "a")], 4.0)  # before b there was an a
        {('a', 'b'): {'0.1': 3.0, '0.5': 3.0, '0.9': 3.0}}
    """
    asked, names = set(pairs), log.event_types
    sequence = np.repeat(np.arange(len(log)), log.sequence_lengths)
    events = pd.DataFrame({"sequence": sequence, "code": log.codes, "time": log.timestamps})
    events = events.sort_values("time", kind="stable")
    time = events["time"].to_numpy()
    quantiles: dict[tuple[str, str], dict[str, float]] = {}

    def seconds(onsets: pd.DataFrame, side: Literal["forward", "backward"]) -> np.ndarray:
        """To the next event of a type or since the last one; NaN where there is none."""
        near = pd.merge_asof(events, onsets, on="time", by="sequence", direction=side, allow_exact_matches=False)
        found: np.ndarray = np.abs(near["onset"].to_numpy() - time)
        return found

    for effect in sorted({effect for _, effect in asked}.intersection(names)):
        onsets = events.loc[events["code"] == names.index(effect), ["sequence", "time"]]
        onsets = onsets.assign(onset=onsets["time"])
        after, before = seconds(onsets, "forward"), seconds(onsets, "backward")
        begins = (after <= horizon) & ~(before <= horizon)
        causes = events["code"].to_numpy()[begins]
        for code in np.unique(causes).tolist():
            if (names[code], effect) in asked:
                levels = np.quantile(after[begins][causes == code], DELAY_LEVELS, method="lower").tolist()
                quantiles[names[code], effect] = dict(zip(map(str, DELAY_LEVELS), levels, strict=True))
    return quantiles


def _of_types(counts: OnsetCounts, known: Sequence[str], names: Sequence[str]) -> OnsetCounts:
    """The counts of other types in another order; of those that the log lacks 0."""
    place = {name: number for number, name in enumerate(known)}
    seen = [number for number, name in enumerate(names) if name in place]
    codes = [place[names[number]] for number in seen]

    def table(of: np.ndarray) -> np.ndarray:
        new = np.zeros((len(names),) * of.ndim, dtype=of.dtype)
        new[np.ix_(*[seen] * of.ndim)] = of[np.ix_(*[codes] * of.ndim)]
        return new

    return OnsetCounts(
        begins=table(counts.begins),
        before=table(counts.before),
        follows=table(counts.follows),
        occurrences=table(counts.occurrences),
        horizon=counts.horizon,
    )


def _kept(strengths: Table, errors: Table, threshold: Threshold) -> np.ndarray:
    """Apply the threshold to all pairs of types, as if they were pairs of one sequence at lag 1."""
    cause = np.arange(strengths.size)
    score = strengths.ravel()
    return threshold.keep(PairScores(cause, cause + 1, score, score, errors.ravel())).reshape(strengths.shape)


def _edges(found: Following, kept: np.ndarray, names: Sequence[str]) -> list[Document]:
    strengths, errors, shares, forward = found.strengths(), found.errors(), found.counts.confidence(), found.forward
    effects = found.effects
    gains = np.nan_to_num(effects.gain)
    return [
        {
            "cause": names[cause],
            "effect": names[effect],
            "cmi": float(strengths[cause, effect]),
            "standard_error": float(errors[cause, effect]),
            "share": float(shares[cause, effect]),
            "risk": float(effects.risk[cause, effect]),
            "baseline_risk": float(effects.baseline[cause, effect]),
            "forward": float(forward[cause, effect]),
            "direction": direction(float(gains[cause, effect])),
            "occurrences": int(found.counts.occurrences[cause]),
            "support": effects.contexts,
        }
        for cause, effect in np.argwhere(kept)
    ]
