r"""How odd a state is: how rarely it is held in normal operation, and how unexpected it was when it began.

A fault replaces what decides the value of one variable; what follows from it fits its causes. The likelihood ratio of
"n was forced" is therefore :math:`-\ln p(s_n \mid s_{others})` *at the onset* of the state: at the alarm its
own effects explain it away. Both parts are tail probabilities under normal operation, and add up:

.. math:: S = R + C, \quad R = -\ln P(\text{n holds s}), \quad C = -\ln P(\text{n is at least as unexpected}).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hf_trace.documents import Document
from hf_trace.logs.log import EventLog
from hf_trace.logs.places.place_network import PlaceNetwork
from hf_trace.logs.states.state_histories import StateHistory, seconds_held
from hf_trace.logs.states.state_log import StateLog
from hf_trace.questions.state_oracle import SnapshotOracle
from hf_trace.runs.trained_network import check_network, trained_network

# Normal moments that oddness is compared with, and the share of them at which something may stand out.
MOMENTS, FALSE_ALARMS = 200, 0.05
# Seconds (events, without times) added to what was seen of a state, so that nothing is impossible.
_UNSEEN = 1.0
_MATTERS = 0.5  # nats less of surprise, without a variable
_ALIKE = 1e-4  # nats, below which surprises in float32 are equal


@dataclass(frozen=True)
class OddState:
    """A state at a moment, and how odd it is.

    Attributes:
        variable: Which variable.
        value: What it holds.
        since: When it took that value, in seconds; None where it held it from the beginning.
        onset: The oddest time at which it took that value, the first of equally odd ones.
        rarity: R, in nats.
        context: C, in nats.
        surprise: -ln p of the state given the others at the onset, in nats; infinite for what the model never saw.
        expected: What was most probable instead, and how probable.
    """

    variable: str
    value: str
    since: float | None
    onset: float | None
    rarity: float
    context: float = 0.0
    surprise: float = 0.0
    expected: tuple[str, float] | None = None

    @property
    def score(self) -> float:
        """S, in nats."""
        return self.rarity + self.context


@dataclass(frozen=True, eq=False)
class NormalStates:
    """What normal operation is like.

    Attributes:
        seconds: How long each variable held each value.
        total: How long it was watched, in seconds (events, without times).
        horizon: How soon what follows a state follows it, in seconds.
        oracle: A model of snapshots.
        surprises: Of every variable the surprise of its state at normal moments, rising.
        bound: What no score exceeds in 19 of 20 normal moments; above it a state stands out.
        patterns: See ``state_names``.
        pairs: See ``state_names``.
        unit: What time is counted in: ``s``, or ``events`` where the log has none.
        network: Which places are joined, where what neighbours hold is told too.
    """

    seconds: Mapping[str, Mapping[str, float]]
    total: float
    horizon: float
    oracle: SnapshotOracle
    surprises: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    bound: float = np.inf
    patterns: tuple[str, ...] = ()
    pairs: tuple[str, ...] = ()
    unit: str = "s"
    network: PlaceNetwork | None = None

    @cached_property
    def _moments(self) -> int:
        return max(map(len, self.surprises.values()), default=0)

    def share(self, variable: str, value: str) -> float:
        """Share of normal time that a variable spends in a state."""
        held = self.seconds.get(variable, {})
        return held.get(value, 0.0) / (sum(held.values()) or self.total)

    def rarity(self, variable: str, value: str) -> float:
        """R: -ln of the share of normal time, a second more on either side; for what is rarer than that, never seen."""
        held = self.seconds.get(variable, {})
        total = sum(held.values()) or self.total
        return float(-np.log((held.get(value, 0.0) + _UNSEEN) / (total + 2 * _UNSEEN)))

    def context(self, variable: str, surprise: float) -> float:
        """C: -ln of the share of normal moments at which a variable was at least as unexpected."""
        known = self.surprises.get(variable, np.empty(0))
        count = len(known) or self._moments
        above = len(known) - int(np.searchsorted(known, surprise - _ALIKE))
        return float(-np.log((above + 1) / (count + 1)))

    def read(self, log: EventLog) -> StateLog:
        """A log as states, its variables named as those of normal operation.

        Raises:
            SettingsError: If it was read with another topology.
        """
        check_network(
            log,
            {} if self.network is None else {"topology": self.network.to_dict()},
            reads_neighbours=self.network is not None,
        )
        return StateLog.of(log, self.patterns, self.pairs, {name: tuple(each) for name, each in self.seconds.items()})

    def odd_states(self, history: StateHistory, time: float, exclude: Sequence[str] = ()) -> list[OddState]:
        """Every state at a time, with how odd it is; what hardly ever varied, and is as usual, is left out.

        Args:
            history: A sequence.
            time: In seconds.
            exclude: Patterns of variables that are no causes.
        """
        found: list[OddState] = []
        asked: list[tuple[str, Mapping[str, str]]] = []
        onsets: list[list[float | None]] = []
        for name, held in history.at(time).items():
            own = self.seconds.get(name, {})
            is_usual = not self.oracle.values(name) and own.get(held.value, 0.0) > 0.5 * sum(own.values())
            if is_usual or any(fnmatchcase(name, each) for each in exclude):
                continue
            times = history.onsets(name, time)
            if not own and held.value == history.changes[name].values[0]:  # unknown, and as it was
                continue
            onsets.append(list(dict.fromkeys([times[0], times[-1]])) if times else [None])
            found.append(OddState(name, held.value, held.since, onsets[-1][0], self.rarity(name, held.value)))
            if held.value in self.oracle.values(name):
                asked += [(name, _snapshot(history, time, onset)) for onset in onsets[-1]]
        answers = iter(self.oracle.log_probs(asked))
        return [self._judged(state, times, answers.__next__) for state, times in zip(found, onsets, strict=True)]

    def _judged(
        self, state: OddState, onsets: Sequence[float | None], answer: Callable[[], NDArray[np.float64]]
    ) -> OddState:
        values = self.oracle.values(state.variable)
        if state.value not in values:
            surprise = np.inf
            return replace(state, surprise=surprise, context=self.context(state.variable, surprise))
        place, judged = values.index(state.value), []
        for onset in onsets:
            log_probs = answer()
            best = int(log_probs.argmax())
            surprise = float(-log_probs[place])
            expected = (values[best], float(np.exp(log_probs[best])))
            context = self.context(state.variable, surprise)
            judged.append(replace(state, onset=onset, surprise=surprise, context=context, expected=expected))
        return max(judged, key=lambda each: round(each.context if self.surprises else each.surprise, 1))

    def beside(self, history: StateHistory, time: float, state: OddState) -> tuple[str, str] | None:
        """The variable, and what it held, without which a state would be least unexpected; None if none matters.

        Args:
            history: The sequence.
            time: When the state was looked at.
            state: One of ``odd_states``.
        """
        values = self.oracle.values(state.variable)
        told = _snapshot(history, time, state.onset)
        others = [name for name in told if name != state.variable and told[name] in self.oracle.values(name)]
        if state.value not in values or not others:
            return None
        less = [{name: value for name, value in told.items() if name != other} for other in others]
        answers = self.oracle.log_probs([(state.variable, each) for each in less])
        gains = [float(answer[values.index(state.value)]) + state.surprise for answer in answers]
        best = int(np.argmax(gains))
        return (others[best], told[others[best]]) if gains[best] > _MATTERS else None

    def calibrated(
        self, histories: Sequence[StateHistory], seed: int, advance: Callable[[int], None] = lambda _: None
    ) -> "NormalStates":
        """The same with surprises and scores of normal moments.

        Args:
            histories: The sequences.
            seed: Seed of the moments.
            advance: Called with the number of moments done.
        """
        generator = np.random.default_rng([seed, 1])
        lengths = np.array([each.end - each.start for each in histories]) + 1e-9
        owners = generator.choice(len(histories), MOMENTS, p=lengths / lengths.sum())
        moments = []
        for number, history in enumerate(histories[int(owner)] for owner in owners):
            moments.append(self.odd_states(history, float(generator.uniform(history.start, history.end))))
            advance(number + 1)
        scale = replace(self, surprises=_surprises(moments))
        loudest = scale._loudest(histories, owners, moments)
        return replace(scale, bound=float(np.quantile(loudest, 1 - FALSE_ALARMS, method="higher")))

    def _loudest(
        self, histories: Sequence[StateHistory], owners: NDArray[np.int64], moments: Sequence[Sequence[OddState]]
    ) -> list[float]:
        """The largest score of each moment, on the scale of the other sequences: its own knows it too well."""
        found = []
        for owner in np.unique(owners).tolist():
            rest = [states for states, other in zip(moments, owners, strict=True) if other != owner]
            less = _without(self.seconds, seconds_held([histories[owner]]))
            scale = replace(self, seconds=less, surprises=_surprises(rest)) if rest else self
            own = [states for states, other in zip(moments, owners, strict=True) if other == owner]
            found += [max((scale._score(each) for each in states), default=0.0) for states in own]
        return found

    def _score(self, state: OddState) -> float:
        return self.rarity(state.variable, state.value) + self.context(state.variable, state.surprise)

    def to_dict(self) -> Document:
        """All but the oracle, for JSON."""
        return {
            "seconds": {name: dict(each) for name, each in self.seconds.items()},
            "total": self.total,
            "horizon": self.horizon,
            "surprises": {name: [_finite(value) for value in each] for name, each in self.surprises.items()},
            "bound": _finite(self.bound),
            "patterns": list(self.patterns),
            "pairs": list(self.pairs),
            "unit": self.unit,
            "topology": None if self.network is None else self.network.to_dict(),
        }

    @classmethod
    def from_dict(cls, document: Document, oracle: SnapshotOracle) -> "NormalStates":
        """What ``to_dict`` gave, with the oracle."""
        seconds, total, horizon = (document[name] for name in ("seconds", "total", "horizon"))
        bound = np.inf if document["bound"] is None else float(document["bound"])
        surprises = {
            name: np.array([np.inf if value is None else value for value in each])
            for name, each in document["surprises"].items()
        }
        patterns, pairs = (tuple(document[name]) for name in ("patterns", "pairs"))
        return cls(
            seconds,
            total,
            horizon,
            oracle,
            surprises,
            bound,
            patterns,
            pairs,
            document["unit"],
            trained_network(document),
        )


def _snapshot(history: StateHistory, time: float, onset: float | None) -> dict[str, str]:
    """What the others held when a state began; of one that was there from the beginning, what they hold now."""
    held = history.at(time) if onset is None else history.at(onset, before=True)
    return {name: each.value for name, each in held.items()}


def _surprises(moments: Sequence[Sequence[OddState]]) -> dict[str, NDArray[np.float64]]:
    """Of every variable its surprises at some moments, rising."""
    found: dict[str, list[float]] = {}
    for state in (each for states in moments for each in states):
        found.setdefault(state.variable, []).append(state.surprise)
    return {name: np.sort(each) for name, each in found.items()}


def _without(
    seconds: Mapping[str, Mapping[str, float]], part: Mapping[str, Mapping[str, float]]
) -> dict[str, dict[str, float]]:
    return {
        name: {value: max(0.0, held - part.get(name, {}).get(value, 0.0)) for value, held in each.items()}
        for name, each in seconds.items()
    }


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
