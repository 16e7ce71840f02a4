"""What follows what: closed forms of the strength, its errors and delays, and a run in which B follows A."""

import itertools
import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hf_trace.discovery.follows import Following, onset_delays
from hf_trace.discovery.settings import DiscoveryRequest
from hf_trace.discovery.total_effects import Horizon, TotalEffects, total_effects
from hf_trace.errors import EmptyLogError, SettingsError
from hf_trace.graphs.onsets import OnsetCounts, onset_counts
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence
from hf_trace.options import QUESTIONS
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.walks import Slots
from hf_trace.runs.world_model import WorldModel
from hf_trace.worlds.simulator import simulate
from hf_trace.worlds.world import World, WorldSpec

FOLLOWS = {"question": "follows", "level": "population", "num_contexts": 12}


def following(begins, before, occurrences, risk, error=0.0):
    table = np.full((2, 2), 0.0)
    risk = np.full((2, 2), float(risk))
    counts = OnsetCounts(*(np.full((2, 2), each) for each in (begins, before, begins)), np.full(2, occurrences), 1.0)
    return Following(counts, TotalEffects(risk, table, table + error, 4))


def test_strength_and_error_by_hand():
    found = following(begins=18, before=6, occurrences=50, risk=0.25, error=0.1)
    # F/n = .36, D = 19/26; the error of the share is sqrt(.36 * .64 / 50), each half weighs sqrt(other / own) / 2.
    assert found.strengths()[0, 1] == pytest.approx(0.6 * 0.5 * 19 / 26)
    share, risk = np.sqrt(0.36 * 0.64 / 50) * np.sqrt(0.25 / 0.36), 0.1 * np.sqrt(0.36 / 0.25)
    assert found.errors()[0, 1] == pytest.approx(19 / 26 / 2 * np.hypot(share, risk))


@pytest.mark.parametrize(("begins", "risk"), [(0, 0.5), (5, 0.0), (5, np.nan)])
def test_one_estimate_of_nothing_is_nothing(begins, risk):
    found = following(begins=begins, before=5, occurrences=10, risk=risk)
    assert (found.strengths() == 0).all()
    assert np.isfinite(found.errors()).all()


def test_risks_above_one_count_as_one():
    assert following(10, 0, 10, 1.2).strengths()[0, 1] == following(10, 0, 10, 1.0).strengths()[0, 1]


def test_the_error_is_that_of_resampled_counts():
    generator, sizes, occurrences = np.random.default_rng(0), [], 400
    for begins in generator.binomial(occurrences, 0.3, size=2000):
        share = begins / occurrences
        sizes.append(np.sqrt(share * np.clip(generator.normal(0.4, 0.02), 0, 1)))
    told = following(120, 0, occurrences, 0.4, error=0.02)
    assert told.errors()[0, 1] / told.forward[0, 1] == pytest.approx(np.std(sizes), rel=0.06)


def test_without_a_relation_both_estimates_are_the_same_share():
    """Draws of four alike. The oracle: v is among the next two, r = 1 - .75^2; counted: and not among the last two."""
    world = World(WorldSpec(types=4, memory=1, edges=((0, 1, 0.0),), length=200))
    simulated = simulate(world, 300, seed=0).log
    counts = onset_counts(EventLog.from_sequences([EventSequence(each.events) for each in simulated]), horizon=2.0)
    slots = Slots(torch.arange(4, 8), torch.empty(0, dtype=torch.long), torch.empty(0, 2))
    contexts = [np.array([1, 4 + index % 4]) for index in range(400)]
    effects = total_effects(Oracle(WorldModel.of(world)), contexts, slots, Horizon(2), seed=0)
    shares = np.exp(world.log_probs(torch.zeros((1, 1), dtype=torch.long)).numpy().ravel())
    for cause, effect in itertools.permutations(range(4), 2):
        near = 1 - (1 - shares[effect]) ** 2
        begins = near * (1 - near)
        by_hand = np.sqrt(begins * near) * begins / (begins + near)
        assert Following(counts, effects).strengths()[cause, effect] == pytest.approx(by_hand, rel=0.08)


@given(
    events=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 12)), min_size=1, max_size=25),
    horizon=st.integers(1, 6),
)
def test_as_many_delays_as_onsets(events, horizon):
    events = sorted(events, key=lambda each: each[1])
    log = EventLog.from_sequences(
        [EventSequence(tuple(name for name, _ in events), tuple(float(t) for _, t in events))]
    )
    counts = onset_counts(log, horizon=float(horizon))
    names = log.event_types
    found = onset_delays(log, itertools.product(names, names), float(horizon))
    assert {(names[a], names[b]) for a, b in np.argwhere(counts.begins)} == set(found)
    for (cause, effect), levels in found.items():
        delays = sorted(
            min(after)
            for name, time in events
            if name == cause
            and (after := [t - time for other, t in events if other == effect and 0 < t - time <= horizon])
            and not any(other == effect and 0 < time - t <= horizon for other, t in events)
        )
        assert len(delays) == counts.begins[names.index(cause), names.index(effect)]
        assert levels == {name: delays[int(float(name) * (len(delays) - 1) + 1e-9)] for name in ("0.1", "0.5", "0.9")}


def test_b_follows_a(discover, records):
    output = discover(records, **FOLLOWS, horizon="1", threshold="fixed:0.6")
    assert [(edge["cause"], edge["effect"]) for edge in output["edges"]] == [("A", "B")]
    (edge,) = output["edges"]
    # Every A but one at the end of a sequence is followed by B, and before an A there may be one as well.
    assert edge["share"] > 0.5
    assert edge["risk"] == pytest.approx(1, abs=0.1)
    assert edge["cmi"] == pytest.approx(np.sqrt(edge["share"] * min(edge["risk"], 1)) * edge["forward"])
    assert (edge["direction"], edge["support"]) == ("excites", 12)
    metadata = output["graph"]["metadata"]
    assert metadata["question"] == QUESTIONS["follows"]
    assert (metadata["horizon"], output["settings"]["horizon"], output["settings"]["question"]) == ("1", "1", "follows")
    again = discover(records, **output["settings"])
    assert json.loads(json.dumps(again)) == json.loads(json.dumps(output))


def test_the_horizon_is_that_of_the_log_where_the_model_reads_times(discover, discover_timed, timed_records, records):
    # Half of the 24 and 12 events that these models read.
    assert discover(records, **FOLLOWS)["settings"]["horizon"] == "12"
    output = discover_timed(timed_records, **FOLLOWS | {"horizon": "4,50s"}, threshold="fixed:0.01")
    edges = {(edge["cause"], edge["effect"]): edge for edge in output["edges"]}
    assert 0 < edges["A", "B"]["lag_seconds_quantiles"]["0.5"] <= 50
    gaps = np.concatenate([np.diff(each["timestamps"]) for each in timed_records])
    horizon = discover_timed(timed_records, **FOLLOWS)["settings"]["horizon"]
    assert horizon.startswith("6,")
    assert float(horizon[2:-1]) == pytest.approx(0.2 * gaps.mean(), rel=1e-5)


def test_every_population_graph_names_its_question(discover, records):
    for options, question in (
        ({}, "drives"),
        ({"construction": "by-type"}, "drives"),
        ({"question": "drives"}, "drives"),
        ({"effect": "total", "horizon": "2", "num_contexts": 4}, "follows"),
    ):
        output = discover(records, level="population", **options)
        assert output["graph"]["metadata"]["question"] == QUESTIONS[question]


def test_drives_is_by_type(discover, records):
    named, by_type = (
        discover(records, level="population", **{key: value})
        for key, value in (("question", "drives"), ("construction", "by-type"))
    )
    assert named["edges"] == by_type["edges"]
    assert named["settings"] == by_type["settings"] | {"question": "drives"}


def test_a_question_can_be_asked_after_another():
    asked = DiscoveryRequest().updated(level="population", threshold="margin:0.1").updated(question="follows")
    assert (asked.settings.effect, asked.settings.threshold) == ("total", "fixed:0.005")
    other = asked.updated(question="drives").settings
    assert (other.effect, other.construction, other.statistic) == ("direct", "by-type", "log_ratio")
    assert asked.updated(question=None) == DiscoveryRequest().updated(level="population")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"question": "folows"}, "question is 'folows', expected one of: drives, follows. Did you mean 'follows'?"),
        (
            {"question": "drives", "effect": "total"},
            "question is 'drives' and effect 'total': what drives is a direct effect, what follows a total one. Leave "
            "out either.",
        ),
        (
            {"question": "follows", "level": "summary"},
            "question is 'follows' and level 'summary', expected level='population' (`--level population`): total "
            "effects pool many contexts.",
        ),
        (
            {**FOLLOWS, "construction": "by-type"},
            "construction is 'by-type' and question 'follows', for which events are forced and counted. Leave out "
            "either.",
        ),
        (
            {**FOLLOWS, "statistic": "log_ratio"},
            "statistic of question 'follows' is 'log_ratio', expected one of: onset_risk.",
        ),
        (
            {**FOLLOWS, "variable": "pump=*"},
            "variable is 'pump=*' and question 'follows', for which single event types are forced. Leave it out, or "
            "ask question='drives' (`--question drives`).",
        ),
        (
            {**FOLLOWS, "horizon": "1h,2h"},
            "horizon is '1h,2h' and question 'follows', which counts within one time. Expected '16', '1h' or '20,1h'.",
        ),
    ],
)
def test_what_a_question_cannot_be_joined_with(options, message):
    with pytest.raises(SettingsError) as error:
        DiscoveryRequest().updated(**options)
    assert str(error.value) == message


@pytest.mark.parametrize("question", ["drives", "follows"])
def test_one_type_per_sequence_tells_nothing(discover, question):
    records = [{"events": ["A", "A", "A"]}, {"events": ["B", "B"]}]
    with pytest.raises(EmptyLogError, match="Every sequence of this log holds one event type only"):
        discover(records, question=question, level="population")
