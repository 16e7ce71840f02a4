"""How strong an effect must be to be told: against enumeration, and on logs of known size."""

from math import comb, isnan

import numpy as np
import pytest

from hf_trace.graphs.log_power import LEVEL, POWER, LogPower, least_share
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence


def tail(needed, number, share):
    """P(at least so many), term by term."""
    return sum(comb(number, hits) * share**hits * (1 - share) ** (number - hits) for hits in range(needed, number + 1))


@pytest.mark.parametrize("number", [1, 5, 10, 40])
@pytest.mark.parametrize("chance", [0.001, 0.1, 0.5])
@pytest.mark.parametrize("tests", [1, 100])
def test_the_least_share_is_that_of_an_enumeration(number, chance, tests):
    needed = next((hits for hits in range(number + 1) if tail(hits, number, chance) <= LEVEL / tests), number + 1)
    told = [share / 100 for share in range(1, 101) if tail(needed, number, share / 100) >= POWER - 1e-9]
    found = least_share(number, chance, tests)
    assert isnan(found) if not told else found == told[0]


def log_of(cases, events):
    return EventLog.from_sequences([EventSequence(events, tuple(map(float, range(len(events)))))] * cases)


def test_pairs_with_enough_support():
    found = LogPower.of(log_of(10, ("a", "b", "a")))  # 20 a, 10 b
    assert (found.sequences, found.events, found.event_types, found.pairs) == (10, 30, 2, 2)
    assert (found.supported_pairs, found.occurrences, found.rare_types) == (2, 20, 0)
    assert LogPower.of(log_of(9, ("a", "b", "a"))).supported_pairs == 0  # 9 b
    few = LogPower.of(log_of(4, ("a", "b")))
    assert (few.rare_types, few.verdict, few.supported_pairs) == (2, "too little", 0)
    assert isnan(few.least_share)


def test_the_verdict_follows_the_size():
    rng = np.random.default_rng(0)

    def verdict(cases):
        sequences = [EventSequence(tuple(rng.choice(list("abcdefgh"), 25))) for _ in range(cases)]
        log = EventLog.from_sequences(
            [EventSequence(each.events, tuple(np.cumsum(rng.exponential(60, 25)))) for each in sequences]
        )
        return LogPower.of(log).verdict

    assert [verdict(cases) for cases in (1, 4, 100)] == ["too little", "little", "enough"]


def test_a_log_of_order_alone_is_counted_in_positions():
    found = LogPower.of(EventLog.from_sequences([EventSequence(("a", "b", "c") * 20)] * 3))
    assert (found.in_time, found.horizon) == (False, 16.0)
    assert any("16 events" in line for line in found.lines())
