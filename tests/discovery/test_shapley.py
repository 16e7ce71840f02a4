"""Shapley values by sampling against orders walked by hand, exact enumeration, and the axiom of efficiency."""

import math
import sys
from itertools import permutations, product

import numpy as np
import pytest
import torch
from tests.exact_lm import Rule, rule_lm
from tests.models import VOCAB, tiny_model

from hf_trace.discovery.blocks import generator_of
from hf_trace.discovery.constructions import score_pairs
from hf_trace.discovery.settings import DiscoverySettings
from hf_trace.errors import SettingsError
from hf_trace.logs.sequence import EncodedSequence
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.proposals import Alphabet

pytest.importorskip("captum", reason="needs hf-trace[attributions]")

TYPES = list(range(4, VOCAB))


def alphabet(types) -> Alphabet:
    return Alphabet(torch.tensor(types), torch.ones(len(types)))


def encoded(tokens, gaps: bool = False) -> EncodedSequence:
    body = np.insert(tokens, np.arange(1, len(tokens)), 3) if gaps else tokens
    places = 1 + np.arange(len(tokens)) * (2 if gaps else 1)
    return EncodedSequence(np.array([1, *body]), places)


def settings(**options) -> DiscoverySettings:
    return DiscoverySettings(**{"construction": "shapley", "statistic": "signed"} | options)


def scores_of(pairs, values) -> dict[tuple[int, int], float]:
    places = zip(pairs.cause_position.tolist(), pairs.effect_position.tolist(), strict=True)
    return dict(zip(places, values.tolist(), strict=True))


@torch.inference_mode()
def log_prob(model, ids, position) -> float:
    logits = model(input_ids=torch.tensor(ids)[None]).logits[0].double()
    return logits.log_softmax(-1)[position - 1, ids[position]].item()


def walked(model, sequence, samples: int, max_lag: int, prefix: int, seed: int) -> dict[tuple[int, int], list]:
    """What each event adds in each sample: draws and orders from the same numbers, one forward per step."""
    ids, places = sequence.input_ids.tolist(), sequence.event_positions.tolist()
    known = [ids[place] in TYPES for place in places]
    players = {
        effect: [cause for cause in range(max(prefix, effect - max_lag), effect) if known[cause] and known[effect]]
        for effect in range(len(places))
    }
    effects = [effect for effect in players if players[effect]]
    slots = min(max_lag, effects[-1])
    draws, order = generator_of(sequence, seed).random((2, len(effects), samples, slots))
    found: dict[tuple[int, int], list] = {}
    for game, effect in enumerate(effects):
        for sample in range(samples):
            row = list(ids)
            for cause in players[effect]:
                row[places[cause]] = TYPES[int(draws[game, sample, effect - cause - 1] * len(TYPES))]
            before = log_prob(model, row, places[effect])
            arriving = sorted(players[effect], key=lambda cause: order[game, sample, effect - cause - 1])
            for cause in arriving:
                row[places[cause]] = ids[places[cause]]
                after = log_prob(model, row, places[effect])
                found.setdefault((cause, effect), []).append(after - before)
                before = after
    return found


@pytest.mark.parametrize("kind", ["llama", "bloom"])
@pytest.mark.parametrize("gaps", [False, True])
def test_values_equal_orders_walked_by_hand(kind, gaps):
    model = tiny_model(kind)
    tokens = np.random.default_rng(0).choice(TYPES, 8)
    tokens[3] = 2  # an unknown event stays as observed
    sequence, samples = encoded(tokens, gaps), 3
    other = encoded(np.random.default_rng(1).choice(TYPES, 5), gaps)
    chosen = settings(num_samples=samples, max_lag=3, prefix_length=1, seed=7)
    pairs, _ = score_pairs(Oracle(model), [sequence, other], alphabet(TYPES), chosen)
    expected = walked(model, sequence, samples, 3, 1, 7)
    found, errors = scores_of(pairs, pairs.cmi), scores_of(pairs, pairs.standard_error)
    assert found.keys() == expected.keys()
    for place, steps in expected.items():
        assert found[place] == pytest.approx(np.mean(steps), abs=1e-4)
        assert errors[place] == pytest.approx(np.std(steps, ddof=1) / math.sqrt(samples), abs=1e-4)


def shapley_exactly(model, ids, players, effect, types) -> dict[int, float]:
    """Mean over all orders, of values of coalitions averaged over all replacements of the absent."""

    def value(present) -> float:
        absent = [player for player in players if player not in present]
        total = 0.0
        for drawn in product(types, repeat=len(absent)):
            row = list(ids)
            for place, token in zip(absent, drawn, strict=True):
                row[place] = token
            total += log_prob(model, row, effect)
        return total / len(types) ** len(absent)

    orders = list(permutations(players))
    found = dict.fromkeys(players, 0.0)
    for order in orders:
        for count, player in enumerate(order):
            found[player] += (value(order[: count + 1]) - value(order[:count])) / len(orders)
    assert sum(found.values()) == pytest.approx(value(players) - value(()), abs=1e-9)
    return found


def test_three_players_equal_exact_enumeration_and_share_the_whole():
    model, types = tiny_model("llama"), [4, 9, 15]
    sequence = encoded(np.array([4, 9, 15, 9]))
    exact = shapley_exactly(model, sequence.input_ids.tolist(), (1, 2, 3), 4, types)
    chosen = settings(num_samples=1500, max_lag=3)
    (pairs,) = score_pairs(Oracle(model), [sequence], alphabet(types), chosen)
    found, errors = scores_of(pairs, pairs.gain), scores_of(pairs, pairs.standard_error)
    for player, value in exact.items():
        error = errors[player - 1, 3]
        assert 0 < error < 0.25 * max(map(abs, exact.values()))
        assert abs(found[player - 1, 3] - value) < 4 * error
    # Efficiency: no error of its own in the first term, that of a mean of draws in the second.
    shared = sum(found[cause, 3] for cause in range(3))
    allowed = 4 * math.hypot(*(errors[cause, 3] for cause in range(3)))
    assert abs(shared - sum(exact.values())) < allowed


def test_one_player_is_the_mean_log_ratio():
    """With a single event in reach its value is ln p less the mean of ln r over types."""
    model = rule_lm([4, 5, 6], 7, [Rule(4, 5, 1, 0.4)], rate=0.1)
    pairs = score_pairs(Oracle(model), [encoded(np.array([4, 5]))], alphabet([4, 6]), settings(num_samples=4000))[0]
    assert len(pairs) == 0  # event 5 is no event of this alphabet
    (pairs,) = score_pairs(Oracle(model), [encoded(np.array([4, 5]))], alphabet([4, 5, 6]), settings(num_samples=4000))
    expected = 2 / 3 * math.log(0.5 / 0.1)
    assert abs(pairs.cmi[0] - expected) < 4 * pairs.standard_error[0]
    spread = math.log(5) * math.sqrt(2 / 9)
    assert pairs.standard_error[0] == pytest.approx(spread / math.sqrt(4000), rel=0.05)


def test_numbers_depend_on_the_sequence_and_the_seed_alone():
    oracle = Oracle(tiny_model("llama"))
    generator = np.random.default_rng(1)
    sequences = [encoded(generator.choice(TYPES, size)) for size in (10, 7, 3, 9)]
    chosen = settings(max_lag=4, num_samples=3)
    before = torch.get_rng_state()
    together = score_pairs(oracle, sequences, alphabet(TYPES), chosen)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    alone = [score_pairs(oracle, [sequence], alphabet(TYPES), chosen)[0] for sequence in sequences]
    for one, other in zip(together, alone, strict=True):
        assert np.abs(one.cmi - other.cmi).max() < 1e-4
        assert (one.cause_position == other.cause_position).all()
    (elsewhere,) = score_pairs(oracle, sequences[:1], alphabet(TYPES), settings(max_lag=4, num_samples=3, seed=1))
    assert np.abs(elsewhere.cmi - together[0].cmi).max() > 1e-3


def test_absolute_is_the_size_of_signed():
    oracle, sequence = Oracle(tiny_model("llama")), encoded(np.random.default_rng(4).choice(TYPES, 8))
    signed, absolute = (
        score_pairs(oracle, [sequence], alphabet(TYPES), settings(num_samples=3, statistic=statistic))[0]
        for statistic in ("signed", "absolute")
    )
    assert (signed.cmi == signed.gain).all()
    assert (signed.gain < 0).any()
    assert (absolute.cmi == np.abs(signed.cmi)).all()
    assert (absolute.gain == signed.gain).all()


def test_one_sample_has_no_error():
    oracle, sequence = Oracle(tiny_model("llama")), encoded(np.array([5, 6]))
    (pairs,) = score_pairs(oracle, [sequence], alphabet(TYPES), settings(num_samples=1))
    assert np.isfinite(pairs.cmi).all()
    assert np.isnan(pairs.standard_error).all()


def test_events_tested_elsewhere_play_all_the_same():
    """A window that tests only the later of two causes gives it the share it has where both are tested."""
    model = rule_lm([4, 5, 6, 8], 9, [Rule(4, 6, 3, 0.45), Rule(5, 6, 1, 0.45)], rate=0.01)
    sequence = encoded(np.array([4, 8, 5, 6]))
    oracle, chosen = Oracle(model), settings(num_samples=600, max_lag=3)
    (whole,) = score_pairs(oracle, [sequence], alphabet([8]), chosen)
    assert len(whole) == 0
    types = alphabet([4, 5, 6, 8])
    (whole,) = score_pairs(oracle, [sequence], types, chosen)
    (part,) = score_pairs(oracle, [sequence], types, chosen, tested=[range(2, 4)])
    assert (part.cause_position.tolist(), part.effect_position.tolist()) == ([2], [3])
    # Replacements are A or B themselves a quarter of the time each; by enumeration.
    exact = shapley_exactly(model, sequence.input_ids.tolist(), (1, 2, 3), 4, [4, 5, 6, 8])[3]
    assert abs(part.cmi[0] - exact) < 4 * part.standard_error[0]
    assert abs(scores_of(whole, whole.cmi)[2, 3] - exact) < 4 * part.standard_error[0]
    alone = np.log(0.91) - 0.25 * np.log(0.91) - 0.75 * np.log(0.46)  # if the earlier cause always stayed
    assert abs(exact - alone) > 12 * part.standard_error[0]


def test_a_missing_captum_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(SettingsError) as refused:
        score_pairs(Oracle(tiny_model("llama")), [encoded(np.array([5, 6]))], alphabet(TYPES), settings())
    assert str(refused.value) == (
        "construction is 'shapley', which needs captum, and captum is not installed. Install it with "
        "`pip install 'hf-trace[attributions]'`."
    )
