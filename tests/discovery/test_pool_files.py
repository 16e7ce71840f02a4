"""A population graph that grows: as if all sequences had been scored at once."""

import io
import json
import zipfile

import numpy as np
import pandas as pd
import pytest

from hf_trace.discovery.population.pool import PoolState
from hf_trace.discovery.population.pool_files import load_pool, save_pool
from hf_trace.discovery.population.pool_files import open_pool as opened
from hf_trace.discovery.population.sums import COUNTS, MEASURES
from hf_trace.discovery.results import log_result
from hf_trace.errors import GraphFormatError, SettingsError
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
    whole = population(pipe, log.select(range(14)), **OPTIONS)
    if timed:  # a pool keeps no times to count with
        assert [whole["graph"]["metadata"]["baselines"].pop(name) != [] for name in ("onset", "hawkes")] == [True, True]
    assert output == whole
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


@pytest.fixture
def pool_path(tmp_path):
    numbers = {key: np.array([1, 1]) for key in COUNTS} | {key: np.array([0.5, 0.25]) for key in MEASURES}
    sums = pd.DataFrame({"sequence": [0, 1], "cause": [0, 1], "effect": [1, 0], **numbers})
    lags = pd.DataFrame({"cause": [0], "effect": [1], "lag": [1], "size": [1]})
    events = (np.array([0, 1], np.int32), np.array([1, 0], np.int32))
    state = PoolState(
        ("a", "b"), ("one", "two"), events, ((("k", "v"),), ()), sums, lags, pd.DataFrame(), pd.DataFrame()
    )
    save_pool(state, {"max_lag": 3}, tmp_path / "pool.zip")
    return tmp_path / "pool.zip"


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewrite(path, **changed):
    content = members(path) | {name.replace("_", "."): value for name, value in changed.items()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, value in content.items():
            archive.writestr(name, value)


def table(path, name, **columns):
    frame = pd.read_parquet(io.BytesIO(members(path)[f"{name}.parquet"])).assign(**columns)
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    rewrite(path, **{f"{name}_parquet": buffer.getvalue()})


def document(path, **changed):
    rewrite(path, pool_json=json.dumps(json.loads(members(path)["pool.json"]) | changed))


def other_archive(path):
    with path.open("wb") as file:
        np.savez(file, x=np.zeros(3))


def test_a_pool_that_is_whole(pool_path):
    state, made_by = load_pool(pool_path)
    assert (state.ids, state.contexts, made_by) == (("one", "two"), ((("k", "v"),), ()), {"max_lag": 3})


@pytest.mark.parametrize(
    "change",
    [
        lambda path: table(path, "sums", cause=[0, 7]),
        lambda path: table(path, "sums", sequence=[0, -1]),
        lambda path: table(path, "sums", cmi=["x", "y"]),
        lambda path: table(path, "lags", effect=[1.5]),
        lambda path: table(path, "sequences", events=[[0, 1], [2]]),
        lambda path: table(path, "sequences", id=["one", "one"]),
        lambda path: table(path, "sequences", context=["[]", "[" * 100_000]),
        lambda path: table(path, "sequences", context=["[]", "[[1, 2]]"]),
        lambda path: table(path, "sequences", context=["[]", "3"]),
        lambda path: document(path, event_types=["a", "a"]),
        lambda path: document(path, event_types=["a", 3]),
        lambda path: document(path, made_by=3),
        lambda path: rewrite(path, pool_json="[" * 100_000),
        lambda path: rewrite(path, pool_json='{"format": "hf_trace.population_pool", "version": ' + "9" * 5000 + "}"),
        lambda path: rewrite(path, pool_json="[]"),
        lambda path: rewrite(path, lags_parquet=b"PAR1"),
        other_archive,
        lambda path: path.write_bytes(path.read_bytes()[:300]),
    ],
)
def test_files_that_are_no_pool(pool_path, change):
    change(pool_path)
    with pytest.raises(GraphFormatError, match=r"cannot be read as a population pool \(.*\), expected a file") as error:
        load_pool(pool_path)
    assert "\n" not in str(error.value)


def test_damaged_pools_are_read_or_refused(pool_path):
    content, found = pool_path.read_bytes(), []
    for place in range(0, len(content), len(content) // 25):
        for damaged in (content[:place], content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :]):
            pool_path.write_bytes(damaged)
            try:
                load_pool(pool_path)
            except GraphFormatError as error:
                found.append(str(error))
    assert len(found) > 40
    assert not any("\n" in message for message in found)
