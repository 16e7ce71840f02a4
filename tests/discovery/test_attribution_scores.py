"""Baselines that read gradients and attention: which pairs they score, and how."""

import numpy as np
import pytest
import torch
from tests.models import VOCAB, tiny_model

from hf_trace.discovery.constructions import score_pairs
from hf_trace.discovery.settings import BY_TYPE, CONSTRUCTIONS, DiscoverySettings
from hf_trace.errors import SettingsError
from hf_trace.logs.sequence import EncodedSequence
from hf_trace.oracle.attributions import attention_rollout, input_times_gradient
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.proposals import Alphabet

TYPES = list(range(4, VOCAB))
ALPHABET = Alphabet(torch.tensor(TYPES), torch.ones(len(TYPES)))

# By-type effects are of types, and have tests of their own.
OF_POSITIONS = [name for name in CONSTRUCTIONS if name != BY_TYPE]


def encoded(tokens, gaps: bool = False) -> EncodedSequence:
    body = np.insert(tokens, np.arange(1, len(tokens)), 3) if gaps else tokens
    places = 1 + np.arange(len(tokens)) * (2 if gaps else 1)
    return EncodedSequence(np.array([1, *body]), places)


def settings(construction: str, **options) -> DiscoverySettings:
    options = {"statistic": CONSTRUCTIONS[construction].defaults["statistic"], "num_samples": 2} | options
    return DiscoverySettings(construction=construction, **options)


def needs(construction: str) -> None:
    if construction == "shapley":
        pytest.importorskip("captum", reason="needs hf-trace[attributions]")


def test_every_construction_has_a_default_statistic_of_its_own():
    found = {name: construction.defaults["statistic"] for name, construction in CONSTRUCTIONS.items()}
    assert found == {
        "atomic": "kl_to_mixture",
        "staircase": "library",
        "saliency": "absolute",
        "attention": "rollout",
        "shapley": "absolute",
        "by-type": "log_ratio",
    }


@pytest.mark.parametrize("construction", OF_POSITIONS)
@pytest.mark.parametrize("gaps", [False, True])
def test_every_construction_tests_the_same_pairs(construction, gaps):
    needs(construction)
    oracle = Oracle(tiny_model("llama"))
    generator = np.random.default_rng(0)
    tokens = [generator.choice(TYPES, size) for size in (12, 5, 1, 9)]
    tokens[0][4] = 2  # an unknown event: read, never tested
    sequences = [encoded(each, gaps) for each in tokens]
    # Without a start token the first event has no past.
    bare = EncodedSequence(np.array([5, 6, 7, 8]), np.arange(4))
    scored = score_pairs(oracle, [*sequences, bare], ALPHABET, settings(construction, max_lag=3, prefix_length=1))

    for each, pairs in zip([*tokens, [5, 6, 7, 8]], scored, strict=True):
        expected = [
            (cause, effect)
            for cause in range(1, len(each))
            for effect in range(cause + 1, min(cause + 3, len(each) - 1) + 1)
            if each[cause] != 2 and each[effect] != 2
        ]
        assert list(zip(pairs.cause_position, pairs.effect_position, strict=True)) == expected
        assert np.isfinite(pairs.cmi).all()
        assert np.isfinite(pairs.gain).all()


@pytest.mark.parametrize("construction", ["saliency", "attention"])
@pytest.mark.parametrize("kind", ["llama", "gpt2", "gpt_neox", "bert"])
def test_numbers_depend_on_the_sequence_alone(construction, kind):
    oracle = Oracle(tiny_model(kind))
    generator = np.random.default_rng(1)
    sequences = [encoded(generator.choice(TYPES, size)) for size in (12, 7, 3, 9)]
    chosen = settings(construction, max_lag=5)
    together = score_pairs(oracle, sequences, ALPHABET, chosen)
    alone = [score_pairs(oracle, [sequence], ALPHABET, chosen)[0] for sequence in sequences]
    for one, other in zip(together, alone, strict=True):
        assert np.abs(one.cmi - other.cmi).max() < 1e-5
        assert np.abs(one.gain - other.gain).max() < 1e-5
        assert (one.cause_position == other.cause_position).all()


@pytest.mark.parametrize("statistic", ["absolute", "signed"])
def test_saliency_is_the_contribution_of_the_cause_to_the_effect(statistic):
    oracle, sequence = (Oracle(tiny_model("llama")), encoded(np.random.default_rng(2).choice(TYPES, 8), gaps=True))
    (pairs,) = score_pairs(oracle, [sequence], ALPHABET, settings("saliency", statistic=statistic))
    places = sequence.event_positions
    reading = oracle.read(torch.from_numpy(sequence.input_ids)[None])
    for cause, effect, score, gain in zip(
        pairs.cause_position, pairs.effect_position, pairs.cmi, pairs.gain, strict=True
    ):
        token = torch.tensor([places[effect]])
        ((_, contributions),) = input_times_gradient(oracle, reading, torch.tensor([0]), token)
        expected = float(contributions[0, places[cause]])
        assert gain == pytest.approx(expected, abs=1e-5)
        assert score == pytest.approx(abs(expected) if statistic == "absolute" else expected, abs=1e-5)
    assert (pairs.gain < 0).any()
    assert (pairs.standard_error == 0).all()


def test_attention_is_the_rollout_at_the_position_that_predicts_the_effect():
    oracle, sequence = (Oracle(tiny_model("gpt2")), encoded(np.random.default_rng(2).choice(TYPES, 8), gaps=True))
    (pairs,) = score_pairs(oracle, [sequence], ALPHABET, settings("attention"))
    ((_, rollout),) = attention_rollout(oracle, torch.from_numpy(sequence.input_ids)[None])
    places = sequence.event_positions
    expected = rollout[0, places[pairs.effect_position] - 1, places[pairs.cause_position]].numpy()
    assert np.abs(pairs.cmi - expected).max() < 1e-6
    assert (pairs.gain == pairs.cmi).all()
    assert (pairs.standard_error == 0).all()


@pytest.mark.parametrize("construction", ["saliency", "attention"])
def test_what_the_model_cannot_see_scores_zero(construction):
    """Two layers with a window of 5 reach 8 tokens back from the one that predicts: lags up to 9."""
    oracle = Oracle(tiny_model("mistral"))
    sequence = encoded(np.random.default_rng(3).choice(TYPES, 20))
    (pairs,) = score_pairs(oracle, [sequence], ALPHABET, settings(construction, max_lag=None))
    assert (pairs.cmi[pairs.lag > 9] == 0).all()
    assert (pairs.cmi[pairs.lag <= 9] > 0).all()


@pytest.mark.parametrize("construction", ["saliency", "attention", "shapley"])
def test_the_pipeline_takes_every_baseline(discover, records, construction):
    """In these runs B follows A and nothing else brings B: it is what each baseline ranks first."""
    needs(construction)
    options = {
        "construction": construction,
        "statistic": CONSTRUCTIONS[construction].defaults["statistic"],
        "num_samples": 4,
    }
    outputs = discover(records, max_lag=4, return_scores=True, **options)
    rule, rest = [], []
    for record, output in zip(records, outputs, strict=True):
        assert output["settings"]["construction"] == construction
        scores = output["scores"]
        for cause, effect, score in zip(
            scores["cause_position"], scores["effect_position"], scores["cmi"], strict=True
        ):
            names = (record["events"][cause], record["events"][effect])
            (rule if names == ("A", "B") and effect == cause + 1 else rest).append(score)
    assert np.mean(rule) > 2 * np.mean(rest)


def test_a_construction_brings_its_own_defaults(discover, records):
    used = discover(records[0], construction="saliency")["settings"]
    assert (used["statistic"], used["proposal"]) == ("absolute", "uniform")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"construction": "attention", "statistic": "absolute"},
            "statistic of construction 'attention' is 'absolute', expected one of: rollout.",
        ),
        (
            {"construction": "shapley", "statistic": "signed", "proposal": "model"},
            "proposal of construction 'shapley' is 'model', expected one of: uniform.",
        ),
        (
            {"construction": "saliency", "statistic": "absolute", "proposal": "exhaustive"},
            "proposal of construction 'saliency' is 'exhaustive', expected one of: uniform.",
        ),
        (
            {"construction": "gradient"},
            "construction is 'gradient', expected one of: atomic, staircase, saliency, attention, shapley, by-type.",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused(options, message):
    with pytest.raises(SettingsError) as refused:
        DiscoverySettings(**options)
    assert str(refused.value) == message
