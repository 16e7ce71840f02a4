import numpy as np
import pytest

from hf_trace.discovery.statistics import PairScores
from hf_trace.discovery.threshold_choice import LabelledPairs, check_names, labelled, mean_f1, validated
from hf_trace.discovery.thresholds import KINDS, Bound, parse_threshold
from hf_trace.errors import SettingsError
from hf_trace.graphs.graph import CausalGraph
from hf_trace.logs.sequence import EventSequence


def scores(*pairs):
    cause, effect, cmi = (np.array(column) for column in zip(*pairs, strict=True))
    zeros = np.zeros(len(pairs))
    return PairScores(cause, effect, cmi, zeros, zeros)


PAIRS = scores((0, 1, 0.3), (0, 2, 0.1), (0, 3, 0.04), (1, 2, 0.06), (1, 3, 0.05), (2, 3, 0.02))


@pytest.mark.parametrize(
    ("spec", "kept"),
    [
        ("margin:0.05", [1, 1, 0, 1, 0, 0]),
        ("fixed:3e-2", [1, 1, 1, 1, 1, 0]),
        ("fixed:-1", [1, 1, 1, 1, 1, 1]),
        ("quantile:0.5", [1, 1, 0, 1, 0, 0]),
        ("quantile:0.9", [0, 0, 0, 0, 0, 0]),  # a tenth of six pairs is less than one
        ("per-lag:0.05,0.09,0.03", [1, 1, 1, 1, 0, 0]),
        ("per-lag:0.05,0.03", [1, 1, 1, 1, 1, 0]),  # the second holds for lag 3
    ],
)
def test_which_pairs_are_kept(spec, kept):
    assert parse_threshold(spec).keep(PAIRS).tolist() == [bool(each) for each in kept]


def test_a_sequence_without_pairs():
    none = PairScores(*(np.empty(0, dtype=np.int64),) * 2, *(np.empty(0),) * 3)
    for spec in ("margin:0.05", "fixed:0", "quantile:0.5", "per-lag:1,2"):
        assert parse_threshold(spec).keep(none).tolist() == []


BAD = {
    "margin:-1": "a kind and a value >= 0 such as 'margin:0.05' (nats) or 'fixed:3e-5'; kinds: ",
    "margin:0.1,0.2": "a kind and a value >= 0 such as 'margin:0.05' (nats) or 'fixed:3e-5'; kinds: ",
    "typo:1": "a kind and a value >= 0 such as 'margin:0.05' (nats) or 'fixed:3e-5'; kinds: ",
    "fixed:inf": "a value of the statistic such as 'fixed:3e-5'.",
    "quantile:1": "a number above 0 and below 1 such as 'quantile:0.95', which keeps the highest 5 % of a sequence.",
    "quantile:0": "a number above 0 and below 1",
    "quantile:nan": "a number above 0 and below 1",
    "per-lag:": "one value >= 0 for each lag such as 'per-lag:0.1,0.05' (nats); the last holds for longer lags.",
    "per-lag:0.1,": "one value >= 0 for each lag",
    "per-lag:0.1,-1": "one value >= 0 for each lag",
}


@pytest.mark.parametrize("spec", BAD)
def test_what_is_expected_is_said(spec):
    with pytest.raises(SettingsError) as refused:
        parse_threshold(spec)
    assert str(refused.value).startswith(f"threshold is {spec!r}, expected {BAD[spec]}")
    if "kinds: " in BAD[spec]:
        assert str(refused.value).endswith(f"kinds: {', '.join(KINDS)}, validated.")


def test_validated_needs_known_causes():
    with pytest.raises(SettingsError) as refused:
        parse_threshold("validated")
    assert str(refused.value) == (
        "threshold is 'validated', expected known causes to choose a value by. Pass them with `--truth`, or in Python "
        "choose the value with `hf_trace.discovery.threshold_choice.validated` and pass what it returns."
    )


TRUTH = CausalGraph.from_edges([("a", "b")], events=("a", "b", "c"))


def test_labels_of_types_are_those_of_all_their_positions():
    sequence = EventSequence(("a", "b", "x", "b"))
    pairs = labelled(sequence, PAIRS, TRUTH)
    assert pairs.is_true.tolist() == [True, False, True, False, False, False]
    assert pairs.lag.tolist() == [1, 2, 3, 1, 2, 1]
    assert pairs.score is PAIRS.cmi
    assert len(set(pairs.cause[[0, 3, 5]])) == 3


def test_the_value_with_the_highest_f1_is_chosen():
    """True pairs score above 0.5, false ones below; the best bound lies between and is frozen."""
    rng = np.random.default_rng(0)
    sequences = []
    for _ in range(20):
        is_true = rng.random(40) < 0.3
        cmi = np.where(is_true, 0.5, 0.0) + rng.random(40) / 2
        cause = np.arange(40)
        sequences.append(LabelledPairs(cause, cause + 40, np.ones(40, dtype=np.int64), cmi, is_true))
    threshold = validated(sequences)
    assert isinstance(threshold, Bound)
    assert threshold.kind == "fixed"
    assert parse_threshold(str(threshold)) == threshold
    assert mean_f1(sequences, threshold.value) > 0.95
    assert mean_f1(sequences, threshold.value) >= max(mean_f1(sequences, value) for value in (0.1, 0.3, 0.6, 0.8))


def test_a_truth_that_is_never_tested_chooses_nothing():
    sequence = EventSequence(("c", "c", "x", "c"))
    with pytest.raises(SettingsError) as refused:
        validated([labelled(sequence, PAIRS, TRUTH)])
    assert str(refused.value) == (
        "None of the pairs tested in 1 sequences is a known cause and its effect, expected at least one. Give a truth "
        "with the names of the log, or more sequences."
    )


def test_a_truth_of_other_names_is_refused():
    check_names(TRUTH, ("x", "b"))
    with pytest.raises(SettingsError) as refused:
        check_names(TRUTH, ("x", "y"))
    assert str(refused.value) == (
        "The truth and the log share no event type: 'a', 'b', 'c' against 'x', 'y'. Expected the same names in both."
    )
