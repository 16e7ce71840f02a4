"""Pairs scored by the whole chain (draws, rows, engine, statistic) against exact and brute-force references."""

import math

import numpy as np
import pytest
import torch
from tests.exact_lm import Rule, rule_lm
from tests.models import VOCAB, tiny_model

from hf_trace.discovery.constructions import score_pairs
from hf_trace.discovery.pair_graphs import instance_graph, summary_graph
from hf_trace.discovery.settings import DiscoverySettings
from hf_trace.discovery.thresholds import parse_threshold
from hf_trace.logs.sequence import EncodedSequence, EventSequence
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.proposals import Alphabet

MARGIN = 0.05


def encoded(tokens, gaps: bool = False) -> EncodedSequence:
    tokens = [int(token) for token in tokens]
    if not gaps:
        return EncodedSequence(np.array([1, *tokens]), np.arange(1, len(tokens) + 1))
    body = [part for token in tokens for part in (token, 3)][:-1]
    return EncodedSequence(np.array([1, *body]), 2 * np.arange(len(tokens)) + 1)


def alphabet(tokens) -> Alphabet:
    tokens = torch.tensor(list(tokens))
    return Alphabet(tokens, torch.full((len(tokens),), 1 / len(tokens)))


def kl(p: float, r: float) -> float:
    return p * math.log(p / r) + (1 - p) * math.log((1 - p) / (1 - r))


@torch.inference_mode()
def brute_force(model, sequence: EncodedSequence, types: list[int], max_lag: int) -> dict[tuple[int, int], tuple]:
    """Every type at every cause, one full forward each, written out with plain probabilities."""

    def probability(ids, position):
        log_probs = model(input_ids=torch.tensor(ids)[None]).logits[0].double().log_softmax(-1)
        return log_probs[position - 1, ids[position]].exp().item()

    ids, places = sequence.input_ids.tolist(), sequence.event_positions.tolist()
    found = {}
    for cause in range(len(places)):
        for effect in range(cause + 1, min(cause + max_lag, len(places) - 1) + 1):
            replaced = []
            for token in types:
                row = list(ids)
                row[places[cause]] = token
                replaced.append(probability(row, places[effect]))
            p, r = probability(ids, places[effect]), sum(replaced) / len(replaced)
            found[cause, effect] = kl(p, r), p - r
    return found


@pytest.mark.parametrize("kind", ["llama", "gpt2", "bloom"])
@pytest.mark.parametrize("gaps", [False, True])
def test_scores_equal_brute_force(kind, gaps):
    model = tiny_model(kind)
    types = list(range(4, VOCAB))
    generator = np.random.default_rng(0)
    sequences = [encoded(generator.choice(types, size), gaps) for size in (9, 5)]
    settings = DiscoverySettings(max_lag=4, proposal="exhaustive")
    scored = score_pairs(Oracle(model), sequences, alphabet(types), settings)
    for sequence, pairs in zip(sequences, scored, strict=True):
        expected = brute_force(model, sequence, types, max_lag=4)
        places = list(zip(pairs.cause_position.tolist(), pairs.effect_position.tolist(), strict=True))
        assert places == sorted(expected)
        assert np.abs(pairs.cmi - [expected[place][0] for place in places]).max() < 1e-5
        assert np.abs(pairs.gain - [expected[place][1] for place in places]).max() < 1e-5
        assert (pairs.standard_error == 0).all()


# Structures over 20 event types (tokens 4..23) and a filler (24) that is no event.
A, B, C, D = 4, 5, 6, 7
TYPES = range(4, 24)
FILLER = 24
STRUCTURES = {
    "chain": [Rule(A, B, 1, 0.45), Rule(B, C, 2, 0.45)],
    "fork": [Rule(A, B, 1, 0.45), Rule(A, C, 3, 0.45)],
    "collider": [Rule(A, C, 2, 0.45), Rule(B, C, 1, 0.45)],
    "confounder": [Rule(D, A, 1, 0.45), Rule(D, B, 4, 0.45)],
    "independent": [],
}


def sample(model, length: int, seed: int) -> list[int]:
    """A sequence from the model itself, with rules' causes sown in so that they fire often."""
    generator = torch.Generator().manual_seed(seed)
    tokens = [1]
    for position in range(length):
        weights = model.log_probs(torch.tensor(tokens)[None])[0, -1].exp()
        drawn = int(torch.multinomial(weights, 1, generator=generator))
        tokens.append([A, D, B][position // 7 % 3] if position % 7 == 0 else drawn)
    return tokens[1:]


@pytest.mark.parametrize("name", STRUCTURES)
def test_known_structures_are_recovered_exactly(name):
    """Edges of the instance graph are the fired rules: nothing missed, nothing added, right lags and signs."""
    rules = STRUCTURES[name]
    model = rule_lm(list(TYPES), FILLER, rules, rate=0.005)
    oracle = Oracle(model)
    settings = DiscoverySettings(max_lag=6, proposal="exhaustive")
    fired = set()
    for seed in range(5):
        tokens = sample(model, 40, seed)
        (pairs,) = score_pairs(oracle, [encoded(tokens)], alphabet(TYPES), settings)
        graph = instance_graph(EventSequence(tuple(map(str, tokens))), pairs, parse_threshold(f"margin:{MARGIN}"))
        found = {(edge["cause_position"], edge["effect_position"]) for edge in graph.edges}
        expected = {
            (position, position + rule.lag)
            for rule in rules
            for position in range(len(tokens) - rule.lag)
            if (tokens[position], tokens[position + rule.lag]) == (rule.cause, rule.effect)
        }
        assert found == expected
        assert all(edge["direction"] == "excites" for edge in graph.edges)
        fired |= {(edge["cause"], edge["effect"], *edge["lags"]) for edge in summary_graph(graph).edges}
    assert fired == {(str(rule.cause), str(rule.effect), rule.lag) for rule in rules}


def test_the_confounder_leaves_a_correlation_that_is_no_edge():
    """Where D fires both, B follows A at lag 3 often; replacing A changes nothing."""
    model = rule_lm(list(TYPES), FILLER, STRUCTURES["confounder"], rate=0.005)
    tokens = [D, A, FILLER, FILLER, B, FILLER]
    (pairs,) = score_pairs(Oracle(model), [encoded(tokens)], alphabet(TYPES), DiscoverySettings(proposal="exhaustive"))
    scores = dict(zip(zip(pairs.cause_position, pairs.effect_position, strict=True), pairs.cmi, strict=True))
    assert scores[1, 4] == pytest.approx(0, abs=1e-9)
    # p = .005 + .45 against a mean over 20 types, one of which is the cause itself.
    assert scores[0, 4] == pytest.approx(kl(0.455, 0.005 + 0.45 / 20), abs=1e-4)


def test_an_inhibitor_is_an_edge_that_inhibits():
    model = rule_lm(list(TYPES), FILLER, [Rule(A, B, 2, -0.395)], rate=0.02)
    model.config.base[B] = 0.4
    tokens = [A, FILLER, B, FILLER, FILLER]
    (pairs,) = score_pairs(
        Oracle(model), [encoded(tokens)], alphabet(TYPES), DiscoverySettings(proposal="exhaustive", max_lag=3)
    )
    graph = instance_graph(EventSequence(tuple("AxByz")), pairs, parse_threshold("margin:0.05"))
    (edge,) = graph.edges
    assert (edge["cause"], edge["effect"], edge["lag"], edge["direction"]) == ("A", "B", 2, "inhibits")


@pytest.mark.slow
def test_draws_estimate_the_enumeration_within_their_error():
    model = tiny_model("llama")
    types = list(range(4, VOCAB))
    sequence = encoded(np.random.default_rng(3).choice(types, 20))
    (exact,) = score_pairs(
        Oracle(model), [sequence], alphabet(types), DiscoverySettings(max_lag=3, proposal="exhaustive")
    )
    z = []
    for seed in range(20):
        settings = DiscoverySettings(max_lag=3, num_samples=128, seed=seed)
        (drawn,) = score_pairs(Oracle(model), [sequence], alphabet(types), settings)
        big = exact.cmi > np.median(exact.cmi)
        z.append(((drawn.cmi - exact.cmi) / drawn.standard_error)[big])
    z = np.concatenate(z)
    assert abs(z.mean()) < 0.5
    assert 0.7 < z.std() < 1.4


@pytest.mark.parametrize("proposal", ["uniform", "unigram", "model", "exhaustive", "exhaustive:model"])
def test_numbers_depend_on_the_sequence_and_the_seed_alone(proposal):
    oracle = Oracle(tiny_model("llama"))
    types = list(range(4, VOCAB))
    generator = np.random.default_rng(1)
    sequences = [encoded(generator.choice(types, size)) for size in (12, 7, 3, 9)]
    settings = DiscoverySettings(max_lag=5, num_samples=6, proposal=proposal)
    together = score_pairs(oracle, sequences, alphabet(types), settings)
    alone = [score_pairs(oracle, [sequence], alphabet(types), settings)[0] for sequence in sequences]
    backwards = score_pairs(oracle, sequences[::-1], alphabet(types), settings)[::-1]
    for one, other, third in zip(together, alone, backwards, strict=True):
        assert np.abs(one.cmi - other.cmi).max() < 1e-5
        assert np.abs(one.cmi - third.cmi).max() < 1e-5
        assert (one.cause_position == other.cause_position).all()


def test_another_seed_gives_other_draws():
    oracle, types = Oracle(tiny_model("llama")), list(range(4, VOCAB))
    sequence = encoded(np.random.default_rng(1).choice(types, 12))
    one, other = (
        score_pairs(oracle, [sequence], alphabet(types), DiscoverySettings(num_samples=4, seed=seed))[0]
        for seed in (0, 1)
    )
    assert np.abs(one.cmi - other.cmi).max() > 1e-4


def test_prefix_and_lag_bound_choose_what_is_tested():
    oracle, types = Oracle(tiny_model("llama")), list(range(4, VOCAB))
    sequence = encoded(np.random.default_rng(1).choice(types, 10))
    settings = DiscoverySettings(max_lag=2, prefix_length=6, num_samples=2)
    (pairs,) = score_pairs(oracle, [sequence], alphabet(types), settings)
    assert list(zip(pairs.cause_position, pairs.effect_position, strict=True)) == [
        (6, 7), (6, 8), (7, 8), (7, 9), (8, 9),
    ]  # fmt: skip
    (pairs,) = score_pairs(oracle, [sequence], alphabet(types), DiscoverySettings(max_lag=None, num_samples=2))
    assert len(pairs) == 10 * 9 / 2


def test_unknown_events_are_read_but_never_tested():
    oracle, types = Oracle(tiny_model("llama")), list(range(4, VOCAB))
    tokens = np.random.default_rng(1).choice(types, 8)
    tokens[3] = 2
    (pairs,) = score_pairs(oracle, [encoded(tokens)], alphabet(types), DiscoverySettings(num_samples=2))
    assert 3 not in pairs.cause_position
    assert 3 not in pairs.effect_position
    assert (2, 4) in set(zip(pairs.cause_position, pairs.effect_position, strict=True))


def test_sequences_without_a_pair_give_no_scores():
    oracle = Oracle(tiny_model("llama"))
    scored = score_pairs(
        oracle, [encoded([5]), encoded([5, 6]), encoded([2, 2, 5])], alphabet(range(4, VOCAB)), DiscoverySettings()
    )
    assert [len(pairs) for pairs in scored] == [0, 1, 0]
