"""Causes of outcomes against an exact rule, enumerated."""

import numpy as np
import pytest
import torch
from outcome_rules import OutcomeRule
from tests.models import tiny_model
from tests.outcome_lm import FIRST, outcome_lm

from hf_trace.discovery.blocks import Drawing
from hf_trace.discovery.population.frequencies import wilson_interval
from hf_trace.errors import SettingsError
from hf_trace.logs.sequence import EncodedSequence
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.proofs import whole_rows
from hf_trace.oracle.proposals import Alphabet
from hf_trace.questions.outcome_scores import OutcomePool, OutcomeScores, averaged_outcomes, score_outcomes

TYPES = 5
RULE = OutcomeRule(-1.5, {0: 3.0, 1: -1.0}, {(2, 3): 2.5})
ALPHABET = Alphabet(torch.arange(FIRST, FIRST + TYPES), torch.ones(TYPES) / TYPES)
OUTCOMES = torch.tensor([FIRST + TYPES, FIRST + TYPES + 1])
SEQUENCES = [[4, 0, 2, 4, 3, 1], [2, 2, 4, 3], [3, 4, 2], [0, 0], [4, 4, 4, 4, 4, 4, 4]]


@pytest.fixture(scope="module")
def oracle():
    return Oracle(outcome_lm(TYPES, RULE))


def encoded(events):
    ids = np.array([1, *(FIRST + event for event in events)])
    return EncodedSequence(ids, np.arange(1, len(ids)))


def bernoulli_kl(p, r):
    return p * np.log(p / r) + (1 - p) * np.log((1 - p) / (1 - r))


def test_every_position_is_enumerated(oracle):
    found = score_outcomes(
        oracle, [encoded(each) for each in SEQUENCES], ALPHABET, OUTCOMES, Drawing("exhaustive", 1, 0)
    )
    for events, scores in zip(SEQUENCES, found, strict=True):
        gain, mean = RULE.gains(np.array(events), TYPES)
        p = RULE.probability(np.array([events]))[0]
        assert scores.position.tolist() == list(range(len(events)))
        np.testing.assert_allclose(scores.probability, [1 - p, p], atol=1e-6)
        np.testing.assert_allclose(scores.gain[:, 1], gain, atol=1e-6)
        np.testing.assert_allclose(scores.gain[:, 0], -gain, atol=1e-6)
        np.testing.assert_allclose(scores.cmi[:, 1], bernoulli_kl(p, mean), atol=1e-6)
        np.testing.assert_array_equal(scores.standard_error, 0)
    # In the first, the pair counts only because 2 comes before 3; in the third it comes after.
    assert found[0].gain[2, 1] > 0.1
    assert found[2].gain[2, 1] < 0


@pytest.mark.parametrize("reader", ["shared past", "full rows"])
def test_rows_are_scored_as_if_alone(reader):
    model = tiny_model("llama")
    oracle = Oracle(model, fit=whole_rows(model) if reader == "full rows" else None)
    assert oracle.reader.name == reader
    some = [[0, 3, 1, 2, 0, 4], [2, 1]]
    found = score_outcomes(oracle, [encoded(each) for each in some], ALPHABET, OUTCOMES, Drawing("exhaustive", 1, 0))
    for events, scores in zip(some, found, strict=True):
        for place in range(len(events)):
            rows = []
            for event in range(TYPES):
                ids = encoded([*events[:place], event, *events[place + 1 :]]).input_ids
                logits = oracle.model(input_ids=torch.from_numpy(ids)[None]).logits[0, -1, OUTCOMES]
                rows.append(logits.double().softmax(-1).detach().numpy())
            gain = rows[events[place]] - np.mean(rows, axis=0)
            np.testing.assert_allclose(scores.gain[place], gain, atol=1e-5)


def test_intervals_of_draws_cover_the_exact_gain(oracle):
    rng = np.random.default_rng(3)
    sequences = [rng.integers(TYPES, size=8).tolist() for _ in range(60)]
    found = score_outcomes(oracle, [encoded(each) for each in sequences], ALPHABET, OUTCOMES, Drawing("uniform", 64, 0))
    inside, tested = 0, 0
    for events, scores in zip(sequences, found, strict=True):
        gain, _ = RULE.gains(np.array(events), TYPES)
        moved = np.abs(gain) > 1e-9
        inside += int(((scores.low[:, 1] <= gain) & (gain <= scores.high[:, 1]))[moved].sum())
        tested += int(moved.sum())
    assert tested > 100
    assert 0.9 <= inside / tested <= 0.99


def test_a_sequence_has_its_scores_wherever_it_stands(oracle):
    drawing = Drawing("uniform", 4, 7)
    together = score_outcomes(oracle, [encoded(each) for each in SEQUENCES], ALPHABET, OUTCOMES, drawing)
    alone = score_outcomes(oracle, [encoded(SEQUENCES[1])], ALPHABET, OUTCOMES, drawing)
    np.testing.assert_allclose(together[1].gain, alone[0].gain, atol=1e-9)


def scores(gain, cmi=None, error=0.0, probability=(0.5, 0.5)):
    table = np.array(gain, dtype=float)[:, None] * [-1.0, 1.0]
    cmi = np.abs(table) if cmi is None else np.array(cmi, dtype=float)[:, None] * [1.0, 1.0]
    flat = np.full_like(table, error)
    return OutcomeScores(
        np.arange(len(table)), np.array(probability), cmi, table, flat, table - flat, table + flat, flat
    )


def test_several_oracles_disagree():
    found = averaged_outcomes([scores([0.2], error=0.03), scores([0.4], error=0.03), scores([0.6], error=0.03)])
    assert found.gain[0, 1] == pytest.approx(0.4)
    assert found.standard_error[0, 1] == pytest.approx(np.sqrt(0.04 + 0.03**2 / 3))
    assert found.high[0, 1] - found.gain[0, 1] == pytest.approx(4.302653 * found.standard_error[0, 1])
    only = scores([0.2])
    assert averaged_outcomes([only]) is only


def test_population_by_hand():
    pool = OutcomePool(["no", "yes"], bound=0.1)
    pool.add(["a", "b", "a"], scores([0.3, 0.0, 0.1], probability=(0.2, 0.8)), [1])
    pool.add(["a", "c"], scores([0.05, -0.4], probability=(0.6, 0.4)), [1])
    pool.add(["a"], scores([0.2]), [1])
    pool.add(["b"], scores([0.9]), [0])
    no, yes = pool.causes(min_frequency=0.0, min_support=1, seed=0)
    assert (yes["outcome"], yes["sequences"], yes["probability"]) == ("yes", 3, pytest.approx(1.7 / 3))
    tested = {each["event"]: each for each in yes["tested"]}
    assert list(tested) == ["c", "a", "b"]
    a = tested["a"]
    assert (a["support"], a["frequency"], a["direction"]) == (3, pytest.approx(2 / 3), "excites")
    assert a["gain"] == pytest.approx((0.2 + 0.05 + 0.2) / 3)
    low, high = wilson_interval(2, 3)
    assert (a["frequency_low"], a["frequency_high"]) == (float(low), float(high))
    assert a["gain_low"] < a["gain"] < a["gain_high"]
    assert (tested["c"]["direction"], tested["c"]["support"]) == ("inhibits", 1)
    assert np.isnan(tested["c"]["gain_low"])
    assert [each["event"] for each in yes["causes"]] == ["c", "a"]
    assert no["tested"][0]["gain"] == pytest.approx(-0.9)


def test_bootstrap_intervals_cover_the_mean():
    rng = np.random.default_rng(0)
    inside = 0
    for seed in range(60):
        pool = OutcomePool(["no", "yes"])
        for value in rng.normal(0.3, 0.2, size=40):
            pool.add(["a"], scores([value]), [1])
        found = pool.causes(min_frequency=0.05, min_support=2, seed=seed)[1]["tested"][0]
        inside += found["gain_low"] <= 0.3 <= found["gain_high"]
    assert inside >= 53


def test_weights_are_finite():
    with pytest.raises(SettingsError, match="A weight of the outcome rule is nan"):
        OutcomeRule(float("nan"))
    assert RULE.causes == {0, 1, 2, 3}
