"""Compressed files that unpack to far more than they should are refused before they are read."""

import gzip

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hf_trace.errors import DagFormatError, GraphFormatError, LogFormatError, SettingsError, TableError
from hf_trace.logs.columns import ColumnChoice
from hf_trace.logs.formats import UNPACKED_VARIABLE, allowed_bytes
from hf_trace.logs.sources import read_log
from hf_trace.logs.streams import open_stream

LINES = {
    "log.csv.gz": ("case,event\n", "x,a\n"),
    "log.tsv.gz": ("case\tevent\n", "x\ta\n"),
    "log.jsonl.gz": ("", '{"case": "x", "event": "a"}\n'),
    "log.json.gz": ("[", '{"case": "x", "event": "a"},'),
    "log.xes.gz": ("<log><trace>", '<event><string key="concept:name" value="a"/></event>'),
    "log.txt.gz": ("", "a b\n"),
}


@pytest.fixture(scope="module")
def bombs(tmp_path_factory):
    """Files of some kB that unpack to 5 MB, or to 300 MB."""
    folder = tmp_path_factory.mktemp("bombs")
    for name, (head, line) in LINES.items():
        block = gzip.compress((line * (10**6 // len(line))).encode())  # members of a file may be put end to end
        (folder / name).write_bytes(gzip.compress(head.encode()) + block * 5)
        if name == "log.csv.gz":
            (folder / "large.csv.gz").write_bytes(gzip.compress(head.encode()) + block * 300)
    once = pa.table(
        {name: pa.DictionaryArray.from_arrays(np.zeros(10**6, np.int8), ["a"]) for name in ("case", "event")}
    )
    with pq.ParquetWriter(folder / "log.parquet", once.schema) as writer:
        for _ in range(5):
            writer.write_table(once)
    return folder


def parts(path, **options):
    return list(open_stream(str(path), ColumnChoice(), **options).parts())


@pytest.fixture
def few_allowed(monkeypatch):
    monkeypatch.setenv(UNPACKED_VARIABLE, "4MB")


@pytest.mark.parametrize("name", [*LINES, "log.parquet"])
def test_bombs(bombs, name, few_allowed):
    path = bombs / name
    for read in (read_log, parts) if "csv" in name or "parquet" in name or "jsonl" in name else (read_log,):
        with pytest.raises(LogFormatError) as caught:
            read(path)
        assert str(caught.value) == (
            f"'{name}' has {path.stat().st_size / 1e6:,.1f} MB and unpacks to more than 4 MB, expected a file of "
            "events. If it is one, allow more with the variable HF_TRACE_MAX_UNPACKED=20GB (in Python `max_unpacked=`)."
        )


def test_what_is_usual_is_allowed(bombs):
    assert len(read_log(bombs / "log.csv.gz").codes) == 1_250_000
    with pytest.raises(
        LogFormatError, match=r"^'large\.csv\.gz' has 0\.3 MB and unpacks to more than 256 MB, expected"
    ):
        read_log(bombs / "large.csv.gz")


def test_bombs_of_tables_and_graphs(bombs, few_allowed):
    from hf_trace.tables.dag_source import read_text_file
    from hf_trace.tables.encoding import read_table

    with pytest.raises(TableError, match=r"'log\.csv\.gz' has 0\.0 MB and unpacks to more than 4 MB"):
        read_table(bombs / "log.csv.gz")
    with pytest.raises(DagFormatError, match=r"'log\.json\.gz' has 0\.0 MB and unpacks to more than 4 MB"):
        read_text_file(bombs / "log.json.gz")


def test_bombs_of_pools(tmp_path, few_allowed):
    import zipfile

    from hf_trace.discovery.population.pool_files import load_pool

    with zipfile.ZipFile(tmp_path / "pool.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("pool.json", b" " * 5_000_000)
    with pytest.raises(GraphFormatError, match=r"'pool\.zip' has 0\.0 MB and unpacks to more than 4 MB"):
        load_pool(tmp_path / "pool.zip")


def test_more_or_less_may_be_allowed(tmp_path, monkeypatch):
    path = tmp_path / "log.csv.gz"
    path.write_bytes(gzip.compress(b"case,event\n" + b"x,a\n" * 1000))
    assert len(read_log(path).codes) == 1000
    for read in (read_log, parts):
        with pytest.raises(LogFormatError, match="unpacks to more than"):
            read(path, max_unpacked="3kB")
        assert read(path, max_unpacked=5_000)
    monkeypatch.setenv(UNPACKED_VARIABLE, "3kB")
    for read in (read_log, parts):
        with pytest.raises(LogFormatError, match="unpacks to more than"):
            read(path)
        assert read(path, max_unpacked=5_000)
    monkeypatch.setenv(UNPACKED_VARIABLE, "plenty")
    with pytest.raises(SettingsError, match=r"^HF_TRACE_MAX_UNPACKED is 'plenty', expected a number of bytes such as"):
        read_log(path)
    with pytest.raises(SettingsError, match=r"^max_unpacked is '-1', expected a number of bytes such as"):
        read_log(path, max_unpacked="-1")


def test_what_packs_well_may_be_large():
    assert allowed_bytes(10**6) == 256 * 10**6
    assert allowed_bytes(10**9) == 100 * 10**9
    assert allowed_bytes(10**9, "1 GB") == 10**9
