"""Background knowledge before scoring: fewer rows and targets, the same numbers for what is allowed."""

import time

import numpy as np
import pytest
import torch
from tests.exact_lm import Rule, rule_lm
from tests.models import VOCAB, tiny_model

from hf_trace.discovery.blocks import AllowedPairs
from hf_trace.discovery.constructions import score_pairs
from hf_trace.discovery.settings import CONSTRUCTIONS, DiscoverySettings
from hf_trace.graphs.knowledge import BackgroundKnowledge
from hf_trace.logs.sequence import EncodedSequence
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.proposals import Alphabet

TYPES = list(range(4, VOCAB))
NAMES = tuple(map(str, TYPES))
KNOWN = BackgroundKnowledge(
    forbidden=(("4", "*"), ("*", "5"), ("6", "7")),
    tiers=(("8", "9"), ("10", "11")),
    groups={"left": ("12", "13", "14"), "middle": ("15", "16"), "right": ("17", "18")},
    neighbours=(("left", "middle"),),
)
ALLOWED = AllowedPairs.of(KNOWN, NAMES, torch.tensor(TYPES), VOCAB)


class CountingOracle(Oracle):
    """Counts the rows it is asked to score and the tokens it scores in them."""

    rows = targets = 0

    def branch_log_probs(self, reading, branches):
        self.rows += int(branches.samples.sum())
        for groups, scored in super().branch_log_probs(reading, branches):
            self.targets += int(scored.isfinite().sum())
            yield groups, scored


def sequences(seed=0, lengths=(20, 7, 13)):
    generator = np.random.default_rng(seed)
    tokens = [generator.choice(TYPES, length) for length in lengths]
    return [EncodedSequence(np.array([1, *each]), np.arange(1, len(each) + 1)) for each in tokens]


def alphabet(types):
    return Alphabet(torch.tensor(list(types)), torch.ones(len(types)))


def rules_lm():
    rules = [Rule(8, 9, 1, 0.2), Rule(12, 15, 2, 0.2), Rule(17, 18, 1, 0.2), Rule(4, 8, 1, 0.2)]
    return rule_lm(TYPES, VOCAB, rules, rate=0.005)


def is_allowed(sequence, scores):
    tokens = sequence.input_ids[sequence.event_positions]
    pairs = zip(tokens[scores.cause_position], tokens[scores.effect_position], strict=True)
    return np.array([KNOWN.allows(str(cause), str(effect)) for cause, effect in pairs], dtype=bool)


def compared(model, settings):
    """Pairs scored with knowledge and those allowed of all, sequence by sequence; and what each way cost."""
    free, bound = CountingOracle(model), CountingOracle(model)
    everything = score_pairs(free, sequences(), alphabet(TYPES), settings)
    some = score_pairs(bound, sequences(), alphabet(TYPES), settings, allowed=ALLOWED)
    pairs = []
    for sequence, before, after in zip(sequences(), everything, some, strict=True):
        keep = is_allowed(sequence, before)
        assert 0 < keep.sum() < len(keep)
        assert is_allowed(sequence, after).all()
        assert (before.cause_position[keep] == after.cause_position).all()
        assert (before.effect_position[keep] == after.effect_position).all()
        pairs.append((before, keep, after))
    return pairs, free, bound


@pytest.mark.parametrize("proposal", ["uniform", "model", "exhaustive"])
def test_allowed_pairs_score_the_same_to_the_last_bit(proposal):
    settings = DiscoverySettings(max_lag=4, num_samples=5, proposal=proposal)
    pairs, _, _ = compared(rules_lm(), settings)
    for before, keep, after in pairs:
        for name in ("cmi", "gain", "standard_error"):
            assert (getattr(before, name)[keep] == getattr(after, name)).all(), name


@pytest.mark.parametrize("kind", ["llama", "gpt2", "bloom"])
@pytest.mark.parametrize("construction", ["atomic", "staircase"])
def test_neural_scores_change_by_rounding_at_most(kind, construction):
    settings = DiscoverySettings(
        max_lag=4, num_samples=5, construction=construction, statistic=CONSTRUCTIONS[construction].defaults["statistic"]
    )
    pairs, free, bound = compared(tiny_model(kind), settings)
    for before, keep, after in pairs:
        assert np.abs(before.cmi[keep] - after.cmi).max() < 1e-5
    assert bound.rows < free.rows


def test_causes_without_an_allowed_effect_cost_no_row():
    settings = DiscoverySettings(max_lag=4, num_samples=5)
    pairs, free, bound = compared(rules_lm(), settings)
    all_causes = sum(len(np.unique(before.cause_position)) for before, _, _ in pairs)
    causes = sum(len(np.unique(after.cause_position)) for _, _, after in pairs)
    assert causes < all_causes
    # Five draws each, fewer where draws coincide with each other or with what was observed.
    assert bound.rows <= 5 * causes < free.rows + 5 * (all_causes - causes)
    assert bound.rows < free.rows


def test_effects_that_are_not_allowed_are_not_scored():
    settings = DiscoverySettings(max_lag=4, num_samples=5)
    pairs, free, bound = compared(rules_lm(), settings)
    share = sum(len(after) for *_, after in pairs) / sum(len(before) for before, *_ in pairs)
    assert bound.targets / free.targets == pytest.approx(share, abs=0.05)


def test_nothing_allowed_is_nothing_scored():
    nothing = AllowedPairs.of(BackgroundKnowledge(forbidden=(("*", "*"),)), NAMES, torch.tensor(TYPES), VOCAB)
    oracle = CountingOracle(tiny_model("llama"))
    for construction in ("atomic", "staircase"):
        settings = DiscoverySettings(
            construction=construction, statistic=CONSTRUCTIONS[construction].defaults["statistic"]
        )
        scored = score_pairs(oracle, sequences(), alphabet(TYPES), settings, allowed=nothing)
        assert [len(scores) for scores in scored] == [0, 0, 0]
    assert oracle.rows == 0


def test_gap_tokens_are_under_no_rule():
    """Between events stand tokens of no type; the reach of a cause ends at an event it may act on."""
    tokens = np.random.default_rng(1).choice(TYPES, 9)
    ids = np.insert(tokens, np.arange(1, 9), 3)
    sequence = EncodedSequence(np.array([1, *ids]), 1 + 2 * np.arange(9))
    settings = DiscoverySettings(max_lag=3, num_samples=4)
    oracle = Oracle(tiny_model("llama"))
    (before,) = score_pairs(oracle, [sequence], alphabet(TYPES), settings)
    (after,) = score_pairs(oracle, [sequence], alphabet(TYPES), settings, allowed=ALLOWED)
    keep = is_allowed(sequence, before)
    assert (before.effect_position[keep] == after.effect_position).all()
    assert np.abs(before.cmi[keep] - after.cmi).max() < 1e-5


def test_rules_over_29100_types_take_little_time_and_memory():
    size = 29_100
    names = tuple(map(str, range(size)))
    groups = {f"device {number}": names[number::300] for number in range(300)}
    neighbours = tuple((f"device {number}", f"device {number + 1}") for number in range(299))
    forbidden = tuple((names[number], names[-1 - number]) for number in range(10_000))
    started = time.monotonic()
    known = BackgroundKnowledge(forbidden, (), (names[:100], names[100:]), groups, neighbours)
    allowed = AllowedPairs.of(known, names, torch.arange(size) + 4, size + 4)
    tables = (allowed.tier, allowed.group, allowed.neighbours, allowed.forbidden, allowed.never_cause)
    assert sum(table.nbytes for table in tables) < 2e6
    cause, effect = torch.randint(size, (2, 64 * 32 * 16))
    answers = allowed(cause + 4, effect + 4)
    assert time.monotonic() - started < 5
    for one, other, answer in list(zip(cause.tolist(), effect.tolist(), answers.tolist(), strict=True))[:500]:
        assert known.allows(names[one], names[other]) == answer
