"""A population graph that grows: as if all sequences had been scored at once."""

import pytest

from hf_trace.discovery.population.pool_files import open_pool as opened
from hf_trace.discovery.results import log_result
from hf_trace.errors import SettingsError
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence

# Sequences are read one at a time: then their numbers do not depend on their neighbours in any digit.
OPTIONS = {"level": "population", "max_lag": 4, "bootstrap": 20, "batch_size": 1, "seed": 2}


def open_pool(discover, log, path, **options):
    return opened(discover.event_model, log, path, discover.request(**options))


def population(discover, log, *, pool=None, **options):
    return log_result(discover.event_model, log, discover.request(**options), pool=pool).to_dict()


def grown(discover, path, *logs, **options):
    for log in logs:
        stored = open_pool(discover, log, path, **options)
        output = population(discover, stored.new, pool=stored.pool, **options)
        stored.save()
    return output


@pytest.mark.parametrize("timed", [False, True])
def test_in_parts_and_at_once(discover, discover_timed, tiny_log, timed_log, tmp_path, timed):
    pipe, log = (discover_timed, timed_log) if timed else (discover, tiny_log)
    parts = [log.select(range(5)), log.select(range(5, 12)), log.select(range(3, 14))]
    output = grown(pipe, tmp_path / "pool.zip", *parts, **OPTIONS)
    assert output == population(pipe, log.select(range(14)), **OPTIONS)
    # Nothing is new the second time.
    again = open_pool(pipe, parts[0], tmp_path / "pool.zip", **OPTIONS)
    assert (len(again.new), again.known) == (0, 5)
    assert population(pipe, again.new, pool=again.pool, **OPTIONS) == output


def test_what_does_not_fit_is_refused(discover, tiny_log, tmp_path):
    log = tiny_log.select(range(3))
    grown(discover, tmp_path / "pool.zip", log, **OPTIONS)
    message = "made with max_lag 4, now it is 3, expected the same to add to it"
    with pytest.raises(SettingsError, match=message):
        open_pool(discover, log, tmp_path / "pool.zip", **{**OPTIONS, "max_lag": 3})
    # What is decided when the graph is drawn may differ.
    open_pool(discover, log, tmp_path / "pool.zip", **{**OPTIONS, "min_frequency": "adaptive", "bootstrap": 0})
    other = EventLog.from_sequences([EventSequence(("A", "B", "C"), id="case1")])
    with pytest.raises(SettingsError, match="1 sequence has the name of one in the pool but other events: 'case1'"):
        open_pool(discover, other, tmp_path / "pool.zip", **OPTIONS)


def test_another_model_is_refused(discover, tiny_log, tmp_path, monkeypatch):
    grown(discover, tmp_path / "pool.zip", tiny_log.select(range(3)), **OPTIONS)
    import torch

    with torch.no_grad():
        parameter = next(discover.model.parameters())
        parameter[0, 0] += 1
    try:
        with pytest.raises(SettingsError, match="made with another model"):
            open_pool(discover, tiny_log, tmp_path / "pool.zip", **OPTIONS)
    finally:
        with torch.no_grad():
            parameter[0, 0] -= 1
