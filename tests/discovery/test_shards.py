"""How a log is cut into shards, shared out, and kept on disk."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st


@settings(deadline=None)
@given(st.integers(0, 12), st.one_of(st.none(), st.integers(1, 15)))
def test_the_cost_counts_the_events_and_the_tail_of_each(length, max_lag):
    from hf_trace.discovery.shards import sequence_costs

    reach = length if max_lag is None else max_lag
    tails = sum(min(reach, length - 1 - position) for position in range(length))
    assert sequence_costs(np.array([length]), max_lag).tolist() == [length + tails]


costs = st.lists(st.integers(1, 50), min_size=1, max_size=60)


@settings(deadline=None)
@given(costs, st.integers(1, 7), st.integers(1, 10))
def test_shards_are_whole_batches_and_hold_every_sequence_once(costs, batch, most):
    from hf_trace.discovery.shards import cut_shards

    shards = cut_shards(np.array(costs), batch, most)
    assert [index for shard in shards for index in shard] == list(range(len(costs)))
    assert all(len(shard) and shard.start % batch == 0 for shard in shards)
    assert len(shards) <= most


@settings(deadline=None)
@given(costs, st.integers(1, 6))
def test_no_process_has_more_than_its_share_and_one_shard(costs, processes):
    from hf_trace.runs.processes import shared_out

    shares = shared_out(costs, processes)
    assert sorted(shard for share in shares for shard in share) == list(range(len(costs)))
    loads = [sum(costs[shard] for shard in share) for share in shares]
    assert max(loads) <= sum(costs) / processes + max(costs)


def scores_of(counts, seed, oracles=0):
    from hf_trace.discovery.statistics import PairScores

    rng = np.random.default_rng(seed)
    found = []
    for count in counts:
        position = np.arange(count)
        numbers = [rng.standard_normal(count) for _ in range(3)]
        numbers[2][::2] = np.nan
        members = tuple(scores_of([count], seed + 1 + number)[0] for number in range(oracles))
        found.append(PairScores(position, position + 1, *numbers, by_oracle=members))
    return found


def assert_same(left, right):
    names = ("cause_position", "effect_position", "cmi", "gain", "standard_error")
    for name in names:
        assert getattr(left, name).tobytes() == getattr(right, name).tobytes()
        assert getattr(left, name).dtype == getattr(right, name).dtype
    for one, other in zip(left.by_oracle, right.by_oracle, strict=True):
        assert_same(one, other)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=5), st.integers(0, 12))
def test_scores_come_back_to_the_last_bit(tmp_path_factory, counts, oracles):
    from hf_trace.discovery.shards import read_scores, write_scores

    path = tmp_path_factory.mktemp("shards") / "one.arrow"
    written = scores_of(counts, 0, oracles)
    write_scores(path, written)
    for left, right in zip(written, read_scores(path), strict=True):
        assert_same(left, right)


def test_a_file_cut_short_is_not_whole(tmp_path):
    from hf_trace.discovery.shards import is_whole, write_scores

    path = tmp_path / "one.arrow"
    assert not is_whole(path)
    write_scores(path, scores_of([3], 0))
    assert is_whole(path)
    path.write_bytes(path.read_bytes()[:-10])
    assert not is_whole(path)


@pytest.fixture
def long_run(discover, tiny_log, tmp_path):
    from hf_trace.discovery.shards import LongRun

    request = discover.request(num_samples=4, batch_size=4, level="population")
    return LongRun(discover.event_model, tiny_log, request, tmp_path / "shards")


def test_scores_are_those_of_the_same_batches(long_run, discover, tiny_log):
    long_run.prepare(resume=False)
    assert (long_run.finished, len(long_run.shards)) == (0, 10)
    shares = []
    found = list(long_run.scores(shares.append))
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert long_run.finished == 10
    direct = list(discover.scored(iter(tiny_log), num_samples=4, batch_size=4))
    for items in (found, list(long_run.scores())):  # as they were computed, and as they were read back
        for (sequence, scores), (expected, direct_scores) in zip(items, direct, strict=True):
            assert sequence == expected
            assert_same(scores, direct_scores)


def test_without_a_folder_nothing_is_written(long_run, tmp_path):
    from dataclasses import replace

    alone = replace(long_run, folder=None)
    alone.prepare(resume=False)
    assert len(list(alone.scores())) == len(long_run.log)
    assert (alone.finished, list(tmp_path.iterdir())) == (0, [])


def test_what_is_finished_is_not_computed_again(long_run, monkeypatch):
    from hf_trace.discovery import shards

    long_run.prepare(resume=False)
    list(long_run.scores())
    last = long_run.folder / "shard-00009.arrow"
    last.write_bytes(b"cut")
    long_run.prepare(resume=True)
    assert long_run.finished == 9
    calls, own = [], shards.scored
    monkeypatch.setattr(shards, "scored", lambda *given: calls.append(1) or own(*given))
    list(long_run.scores())
    assert (long_run.finished, len(calls)) == (10, 1)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"max_lag": 3}, "max_lag 16, now it is 3"),
        ({"threshold": "fixed:0.1"}, "threshold 'margin:0.05', now it is 'fixed:0.1'"),
        ({"batch_size": 8}, "batch_size 4, now it is 8"),
        ({"seed": 1}, "seed 0, now it is 1"),
        ({"knowledge": {"forbidden": [["A", "B"]]}}, "another knowledge"),
    ],
)
def test_other_settings_are_refused(long_run, changes, found):
    from dataclasses import replace

    from hf_trace.errors import SettingsError

    long_run.prepare(resume=False)
    with pytest.raises(SettingsError) as caught:
        replace(long_run, request=long_run.request.updated(**changes)).prepare(resume=True)
    assert str(caught.value) == (
        f"The interrupted run had {found}, expected the same to go on with it. Give the settings it had, or leave out "
        "`--resume` to start over."
    )


def test_another_log_or_model_is_refused(long_run, tiny_log):
    from dataclasses import replace

    import torch

    from hf_trace.errors import SettingsError

    long_run.prepare(resume=False)
    with pytest.raises(SettingsError, match="had another log,"):
        replace(long_run, log=tiny_log.select(range(39))).prepare(resume=True)
    weight = next(long_run.model.model.parameters())
    with torch.no_grad():
        weight += 1e-3
    try:
        with pytest.raises(SettingsError, match="had another model,"):
            long_run.prepare(resume=True)
    finally:
        with torch.no_grad():
            weight -= 1e-3
