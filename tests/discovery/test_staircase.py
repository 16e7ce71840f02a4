import math

import numpy as np
import pytest
import torch
from tests.models import VOCAB, tiny_model

from hf_trace.discovery.blocks import generator_of
from hf_trace.discovery.constructions import score_pairs
from hf_trace.discovery.settings import DiscoverySettings
from hf_trace.discovery.statistics import library, paper
from hf_trace.errors import SettingsError
from hf_trace.logs.sequence import EncodedSequence
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.proposals import Alphabet

TYPES = list(range(4, VOCAB))
SAMPLES = 3


def kl(p: float, r: float) -> float:
    return p * math.log(p / r) + (1 - p) * math.log((1 - p) / (1 - r))


@torch.inference_mode()
def brute_force(model, sequence: EncodedSequence, max_lag: int, statistic: str) -> dict[tuple[int, int], float]:
    """Every row written out: keep events up to i, take the rest from the draws, one forward per row."""
    ids, places = sequence.input_ids, sequence.event_positions
    numbers = generator_of(sequence, 0).random((SAMPLES, len(places)))
    noise = np.array(TYPES)[(numbers * len(TYPES)).astype(int)]

    def probability(kept: int, draw: int, effect: int) -> float:
        row = ids.copy()
        row[places[kept + 1 :]] = noise[draw, kept + 1 :]
        row[places[effect]] = ids[places[effect]]
        log_probs = model(input_ids=torch.from_numpy(row)[None]).logits[0].double().log_softmax(-1)
        return log_probs[places[effect] - 1, row[places[effect]]].exp().item()

    found = {}
    for cause in range(len(places)):
        for effect in range(cause + 1, min(cause + max_lag, len(places) - 1) + 1):
            kept = [probability(cause, draw, effect) for draw in range(SAMPLES)]
            gone = [probability(cause - 1, draw, effect) for draw in range(SAMPLES)]
            found[cause, effect] = (
                np.mean([kl(q, p) for q, p in zip(kept, gone, strict=True)])
                if statistic == "library"
                else kl(np.mean(gone), np.mean(kept))
            )
    return found


@pytest.mark.parametrize("kind", ["llama", "bloom"])
@pytest.mark.parametrize("statistic", ["library", "paper"])
@pytest.mark.parametrize("gaps", [False, True])
def test_scores_equal_brute_force(kind, statistic, gaps):
    model = tiny_model(kind)
    tokens = np.random.default_rng(0).choice(TYPES, 8)
    body = np.insert(tokens, np.arange(1, 8), 3) if gaps else tokens
    places = 1 + np.arange(8) * (2 if gaps else 1)
    sequence = EncodedSequence(np.array([1, *body]), places)
    settings = DiscoverySettings(max_lag=3, num_samples=SAMPLES, construction="staircase", statistic=statistic)
    alphabet = Alphabet(torch.tensor(TYPES), torch.ones(len(TYPES)))
    short = EncodedSequence(np.array([1, 5, 6]), np.array([1, 2]))
    pairs, other = score_pairs(Oracle(model), [sequence, short], alphabet, settings)
    expected = brute_force(model, sequence, 3, statistic)
    assert list(zip(pairs.cause_position, pairs.effect_position, strict=True)) == sorted(expected)
    assert np.abs(pairs.cmi - [expected[key] for key in sorted(expected)]).max() < 1e-5
    assert len(other) == 1


def test_the_statistics_by_hand():
    q, p = torch.tensor([[0.8, 0.6]]).log(), torch.tensor([[0.2, 0.4]]).log()
    assert library(q, p).item() == pytest.approx((kl(0.8, 0.2) + kl(0.6, 0.4)) / 2, abs=1e-6)
    assert paper(q, p).item() == pytest.approx(kl(0.3, 0.7), abs=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "statistic of construction 'staircase' is 'kl_to_mixture', expected one of: library, paper."),
        (
            {"statistic": "paper", "proposal": "model"},
            "proposal of construction 'staircase' is 'model', expected one of: uniform, unigram.",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused(options, message):
    with pytest.raises(SettingsError) as refused:
        DiscoverySettings(construction="staircase", **options)
    assert str(refused.value) == message
