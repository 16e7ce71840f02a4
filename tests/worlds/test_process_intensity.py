"""Intensities by hand, and by the time that they stretch until every event waits as long as an exponential says."""

import numpy as np
import pytest
from scipy import stats

from hf_trace.errors import SettingsError
from hf_trace.logs.sequence import EventSequence
from hf_trace.worlds.process_intensity import intensity, type_log_probs
from hf_trace.worlds.process_simulator import simulate_process
from hf_trace.worlds.process_spec import Inhibition, ProcessEdge, ProcessSpec, ProcessType
from hf_trace.worlds.process_worlds import PROCESS_WORLDS, process_world

EXACT = [name for name in PROCESS_WORLDS if process_world(name).is_exact]
AB = (ProcessType("a", 0.02), ProcessType("b", 0.01))


def test_which_worlds_are_exact():
    assert EXACT == ["hawkes", "periodic", "signals", "together", "inhibition"]


@pytest.mark.parametrize(
    ("kernel", "density"),
    [
        ("exponential", np.exp(-1.5) / 4),
        # 1 / mean = shape / mean in a gamma density of shape 4: rate 1 a second here.
        ("gamma", 6.0**3 * np.exp(-6.0) / 6),
        ("shifted", np.exp(-4 / 2) / 2),
        ("lognormal", np.exp(-((np.log(6 / 4) + 0.5) ** 2) / 2) / (6 * np.sqrt(2 * np.pi))),
    ],
)
def test_a_cause_adds_its_weight_times_the_density_of_its_delay(kernel, density):
    spec = ProcessSpec(AB, (ProcessEdge("a", "b", 0.5, 4.0, kernel),))
    found = intensity(spec, EventSequence(("a",), timestamps=(1.0,)), [1.0, 7.0])
    np.testing.assert_allclose(found, [[0.02, 0.01], [0.02, 0.01 + 0.5 * density]])


def test_what_is_needed_must_have_come_before_the_cause():
    types = (*AB, ProcessType("c"))
    spec = ProcessSpec(types, (ProcessEdge("a", "c", 0.5, 4.0, needs="b", window=10),))
    history = EventSequence(("a", "b", "a", "a"), timestamps=(0.0, 5.0, 15.0, 15.5))
    assert intensity(spec, history, [15.0, 19.0])[:, 2] == pytest.approx([0.0, 0.5 * np.exp(-1) / 4])


def test_inhibition_multiplies_and_does_not_add_up():
    spec = ProcessSpec(AB, inhibitions=(Inhibition("a", "b", 0.1, 5.0),))
    history = EventSequence(("a", "a"), timestamps=(10.0, 12.0))
    assert intensity(spec, history, [10.0, 11.0, 13.0, 17.0, 17.1])[:, 1] == pytest.approx(
        [0.01, 0.001, 0.001, 0.001, 0.01]
    )


def test_a_value_that_holds_cannot_come():
    spec = ProcessSpec((ProcessType("p=off", 0.2), ProcessType("p=on", 0.1)), variables=(("p=off", "p=on"),))
    history = EventSequence(("p=on", "p=off"), timestamps=(1.0, 4.0))
    assert intensity(spec, history, [0.5, 1.0, 2.0, 5.0]).tolist() == [[0, 0.1], [0, 0.1], [0.2, 0], [0, 0.1]]


def test_a_period_has_the_hazard_of_its_law():
    spec = ProcessSpec((ProcessType("a", period=10, jitter=0.5), ProcessType("b", 0.1)))
    # The first tick is uniform over a period; then a gamma law of shape 4, here of rate .4.
    found = intensity(spec, EventSequence(("a",), timestamps=(8.0,)), [4.0, 8.0, 13.0])[:, 0]
    survival = sum(2.0**k / np.prod(range(1, k + 1)) for k in range(4))
    assert found == pytest.approx([1 / 6, 1 / 2, 0.4 * 2.0**3 / 6 / survival])
    assert intensity(spec, EventSequence(("a",), timestamps=(8.0,)), 1e6)[0, 0] == pytest.approx(0.4)


def test_the_type_of_the_next_event_given_its_time():
    spec = ProcessSpec((ProcessType("p=off", 0.2), ProcessType("p=on", 0.1), ProcessType("x", 0.3)))
    assert np.exp(type_log_probs(spec, EventSequence((), timestamps=()), 3.0)).tolist() == [
        pytest.approx([2 / 6, 1 / 6, 0.5])
    ]


@pytest.mark.parametrize("name", EXACT)
def test_time_stretched_by_the_intensity_is_exponential(name):
    """Time rescaling (Brown et al. 2002), with integrals by Gauss and Legendre; and each type alone has its number."""
    spec, residuals = process_world(name, duration=8_000, types=8, edges=8), []
    counts, expected = np.zeros(len(spec.types)), np.zeros(len(spec.types))
    for sequence in simulate_process(spec, 4, seed=11).log:
        stretched = compensators(spec, sequence)
        residuals.append(np.diff(stretched.sum(1), prepend=0))
        counts += [sequence.events.count(kind) for kind in sorted(spec.names)]
        expected += stretched[-1]
    waits = np.concatenate(residuals)
    assert len(waits) > 150
    assert waits.mean() == pytest.approx(1, abs=4 / np.sqrt(len(waits)))
    assert stats.kstest(waits, "expon").pvalue > 0.01
    # The difference is a martingale, whose variance is what is expected.
    assert np.all(np.abs(counts - expected) < 4 * np.sqrt(expected))


def compensators(spec, sequence):
    """The integral of every type's intensity from 0 up to each event."""
    events = np.array(sequence.timestamps)
    jumps = [events + each.seconds for each in spec.inhibitions] + [events + edge.delay / 2 for edge in spec.edges]
    edges = np.unique(np.concatenate([np.arange(0, events[-1], 5.0), events, *jumps]))
    edges = edges[edges <= events[-1]]
    nodes, weights = np.polynomial.legendre.leggauss(4)
    half = np.diff(edges)[:, None] / 2
    at = edges[:-1, None] + half * (nodes + 1)
    rates = intensity(spec, sequence, at.ravel()).reshape(*at.shape, -1)
    integrals = np.cumsum((rates * (half * weights)[:, :, None]).sum(1), axis=0)
    return integrals[np.searchsorted(edges, events) - 1]


HIDDEN = ProcessSpec((*AB, ProcessType("h", 0.1, hidden=True)))
REFUSED = {
    "not exact": (HIDDEN, EventSequence(("a",), timestamps=(1.0,)), "The world has hidden types, repeats or floods"),
    "no times": (ProcessSpec(AB), EventSequence(("a",)), "The history has no times, expected seconds from its start."),
    "unknown": (
        ProcessSpec(AB),
        EventSequence(("z",), timestamps=(1.0,)),
        "The history has the event 'z', which is no type of the world.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_histories_that_tell_nothing(case):
    spec, history, message = REFUSED[case]
    with pytest.raises(SettingsError) as caught:
        intensity(spec, history, 2.0)
    assert str(caught.value).startswith(message)
