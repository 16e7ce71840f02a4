"""Bins of the time between events."""

import numpy as np
import pytest

from hf_trace.tokenizers.event_tokens import GAP_BINS, gap_bins, gap_token, log_spaced_edges


def test_edges_are_log_spaced_between_the_extremes():
    # Few gaps span minimum to maximum: 4 bins of positive gaps need the 3 inner points of 1, 10, 100, 1000, 10000.
    assert log_spaced_edges(np.array([10000.0, 1.0, 50.0]), bins=5) == [0.0, 10.0, 100.0, 1000.0]


def test_every_gap_has_a_bin_with_a_token():
    gaps = np.geomspace(1e-3, 1e6, 500)
    edges = log_spaced_edges(gaps)
    assert len(edges) + 1 == GAP_BINS
    times = np.concatenate([[0.0], np.cumsum(np.concatenate([[0.0], gaps, [1e12]]))])
    bins = gap_bins(times.tolist(), edges)
    assert bins[0] == 0
    assert bins[-1] == len(edges)
    assert sorted(set(bins.tolist())) == list(range(GAP_BINS))


def test_outliers_do_not_stretch_the_bins():
    # 1 % of a year-long silences leave the edges within the bulk of one to two seconds.
    gaps = np.concatenate([np.linspace(1, 2, 1000), np.full(5, 3e7)])
    assert max(log_spaced_edges(gaps)) < 2


@pytest.mark.parametrize("gaps", [[], [0.0, 0.0], [5.0, 5.0]])
def test_gaps_that_tell_nothing_have_two_bins(gaps):
    assert log_spaced_edges(np.array(gaps, dtype=float)) == [0.0]


def test_first_bin_holds_simultaneous_events_alone():
    assert gap_bins([1.0, 1.0, 1.0 + 1e-9, 2.0], [0.0, 1.0]).tolist() == [0, 1, 1]


def test_a_gap_on_an_edge_belongs_to_the_bin_below():
    assert gap_bins([0.0, 10.0], [0.0, 10.0, 100.0]).tolist() == [1]


@pytest.mark.parametrize("times", [[], [3.0]])
def test_fewer_than_two_events_have_no_gap(times):
    assert gap_bins(times, [0.0, 1.0]).tolist() == []


def test_token_names():
    assert [gap_token(index) for index in (0, 7)] == ["<gap:0>", "<gap:7>"]
