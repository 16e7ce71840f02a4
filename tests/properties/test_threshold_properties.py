import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hf_trace.discovery.statistics import PairScores
from hf_trace.discovery.thresholds import Bound, PerLag, Quantile, parse_threshold

SCORES = st.floats(0, 20, allow_nan=False)
BOUNDS = st.floats(0, 1e6, allow_nan=False)
LEVELS = st.floats(0, 1, exclude_min=True, exclude_max=True)
# Cause, lag and score of a pair; columns, not scores: the type checker of the tests uses `random`.
PAIRS = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9), SCORES), max_size=60)
DISTINCT = st.lists(
    st.tuples(st.integers(0, 40), st.integers(1, 9), SCORES), max_size=60, unique_by=lambda pair: pair[2]
)


def scored(pairs):
    cause, lag, cmi = (np.array([pair[column] for pair in pairs]) for column in range(3))
    cause, lag = cause.astype(np.int64), lag.astype(np.int64)
    zeros = np.zeros(len(pairs))
    return PairScores(cause, cause + lag, cmi.astype(np.float64), zeros, zeros)


def kept(threshold, pairs):
    keep = threshold.keep(scored(pairs))
    assert keep.dtype == np.bool_
    assert keep.shape == (len(pairs),)
    return keep


@given(PAIRS, BOUNDS, BOUNDS)
def test_a_higher_bound_keeps_no_other_pairs(pairs, one, other):
    low, high = sorted((one, other))
    for kind in ("margin", "fixed"):
        assert (kept(Bound(kind, low), pairs) >= kept(Bound(kind, high), pairs)).all()
    assert (kept(PerLag((one, low)), pairs) >= kept(PerLag((one, high)), pairs)).all()


@given(PAIRS, LEVELS, LEVELS)
def test_a_higher_quantile_keeps_no_other_pairs(pairs, one, other):
    low, high = sorted((one, other))
    assert (kept(Quantile(low), pairs) >= kept(Quantile(high), pairs)).all()


@given(DISTINCT, st.integers(1, 99))
def test_a_quantile_keeps_its_share_of_distinct_scores(pairs, percent):
    keep = kept(Quantile(percent / 100), pairs)
    assert keep.sum() == len(pairs) * (100 - percent) // 100
    cmi = scored(pairs).cmi
    assert cmi[keep].min(initial=np.inf) > cmi[~keep].max(initial=-np.inf)


@given(PAIRS, LEVELS)
def test_a_quantile_never_keeps_more_than_its_share(pairs, level):
    keep = kept(Quantile(level), pairs)
    assert keep.sum() <= (1 - level) * len(pairs) + 1e-6
    # Equal scores are kept together or not at all.
    cmi = scored(pairs).cmi
    assert not np.isin(cmi[keep], cmi[~keep]).any()


@given(PAIRS, BOUNDS, st.integers(1, 12))
def test_equal_bounds_at_all_lags_are_one_margin(pairs, bound, lags):
    margin = kept(Bound("margin", bound), pairs)
    assert (kept(PerLag((bound,) * lags), pairs) == margin).all()
    assert (kept(Bound("fixed", bound), pairs) == margin).all()


@given(PAIRS, st.lists(BOUNDS, min_size=1, max_size=6))
def test_each_lag_has_its_own_bound(pairs, bounds):
    keep = kept(PerLag(tuple(bounds)), pairs)
    for (_, lag, cmi), is_kept in zip(pairs, keep, strict=True):
        assert is_kept == (cmi > bounds[min(lag, len(bounds)) - 1])


@given(
    st.tuples(st.just(Bound), st.just(("margin",)), BOUNDS)
    | st.tuples(st.just(Bound), st.just(("fixed",)), st.floats(allow_nan=False, allow_infinity=False))
    | st.tuples(st.just(Quantile), st.just(()), LEVELS)
    | st.tuples(st.just(PerLag), st.just(()), st.lists(BOUNDS, min_size=1, max_size=5).map(tuple))
)
def test_what_is_printed_reads_back_as_the_same(parts):
    kind, named, value = parts
    threshold = kind(*named, value)
    assert parse_threshold(str(threshold)) == threshold
