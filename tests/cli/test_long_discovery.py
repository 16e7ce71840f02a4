"""``hf-trace discover`` in shards: killed and resumed, by several processes, and on parts of a log."""

import hashlib
import json
import signal
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.processes import ended, start

OPTIONS = ("--max-lag", "6", "--num-samples", "32", "--batch-size", "2")
OUT = "graph.json"


@pytest.fixture
def long_log(place):
    """The working folder with 120 sequences of the rule."""
    from tests.conftest import rule_records

    lines = (json.dumps(record) for record in rule_records(120, seed=3))
    (place / "long.jsonl").write_text("\n".join(lines))
    return place


def started(*arguments, **options):
    return start("discover", "run", "long.jsonl", *OPTIONS, *arguments, **options)


def bytes_of(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def kill_in_the_middle(process, folder, kill):
    """Kill once some of the shards are on disk."""
    while len(list(folder.glob("shard-*"))) < 5:
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)
    kill(process)
    process.communicate(timeout=100)
    assert 5 <= len(list(folder.glob("shard-*"))) < 60


@pytest.mark.parametrize(
    "options",
    [
        ("--out", OUT),
        pytest.param(("--out", "graph.parquet", "--level", "instance"), marks=pytest.mark.slow),  # 9 s
    ],
)
def test_killed_and_resumed_is_the_same_to_the_last_byte(long_log, hf_trace, options):
    out = Path(options[1])
    assert hf_trace("discover", "run", "long.jsonl", *OPTIONS, *options)[0] == 0
    expected = bytes_of(out)
    out.unlink()

    process = started(*options)
    kill_in_the_middle(process, Path(f".{out.name}-shards"), lambda process: process.send_signal(signal.SIGKILL))
    assert process.returncode == -signal.SIGKILL
    assert not out.exists()

    code, _, err = hf_trace("discover", "run", "long.jsonl", *OPTIONS, *options, "--resume")
    assert (code, "Resuming: " in err, bytes_of(out)) == (0, True, expected)
    assert not Path(f".{out.name}-shards").exists()


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_several_processes_give_the_same_bytes(long_log, hf_trace, count):
    assert hf_trace("discover", "run", "long.jsonl", *OPTIONS, "--out", "one.json", "--json")[0] == 0
    code, out, err = ended(started("--out", "many.json", "--json", "--processes", count))
    assert (code, err.count("sequences in ")) == (0, 1), err
    assert json.loads(out)["graph"] == json.loads(Path("one.json").read_text())
    assert bytes_of("many.json") == bytes_of("one.json")


@pytest.mark.slow
def test_accelerate_launch_on_cpus(long_log, hf_trace):
    assert hf_trace("discover", "run", "long.jsonl", *OPTIONS, "--out", "one.json")[0] == 0
    launcher = ("-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "-m", "hf_trace")
    code, _, err = ended(started("--out", "many.json", launcher=launcher))
    assert (code, err.count("sequences in ")) == (0, 1), err
    assert bytes_of("many.json") == bytes_of("one.json")


@pytest.mark.slow
def test_a_killed_process_ends_the_run_and_resume_finishes_it(long_log, hf_trace):
    import psutil

    assert hf_trace("discover", "run", "long.jsonl", *OPTIONS, "--out", "one.json")[0] == 0
    process = started("--out", OUT, "--processes", "2")
    messages = []

    def kill(process):
        second = [each for each in psutil.Process(process.pid).children() if each.environ().get("RANK") == "1"]
        second[0].kill()
        messages.append(process.communicate(timeout=60)[1])

    kill_in_the_middle(process, Path(f".{OUT}-shards"), kill)
    lines = messages[0].strip().splitlines()
    assert (process.returncode, lines[-1]) == (
        1,
        "error: Process 2 of 2 was killed (SIGKILL), and the others were ended. What is finished is kept: start the "
        "same command again with `--resume`.",
    )
    assert not Path(OUT).exists()
    assert ended(started("--out", OUT, "--processes", "4", "--resume"))[0] == 0
    assert bytes_of(OUT) == bytes_of("one.json")


@pytest.mark.slow
def test_a_mistake_is_told_once(long_log):
    code, _, err = ended(started("--out", OUT, "--processes", "2", "--id", "nobody"))
    assert (code, err.count("error: ")) == (1, 1), err
    assert "No sequence has the id 'nobody'." in err


def test_parts_of_a_log(long_log, hf_trace):
    def ids(*options):
        assert (
            hf_trace("discover", "run", "long.jsonl", *OPTIONS, "--level", "summary", "--out", "x.jsonl", *options)[0]
            == 0
        )
        return [json.loads(line)["id"] for line in Path("x.jsonl").read_text().splitlines()]

    assert ids("--max-sequences", 3) == ["case0", "case1", "case2"]
    some = ids("--sample", "0.1")
    assert len(some) == 12
    assert some == ids("--sample", "10%") == ids("--sample", "12") != ids("--sample", "12", "--seed", "1")
    assert set(ids("--max-sequences", 20, "--sample", "5")) <= {f"case{number}" for number in range(20)}


def test_edges_of_many_sequences_in_one_table(long_log, hf_trace):
    options = ("discover", "run", "long.jsonl", *OPTIONS, "--level", "instance", "--max-sequences", "20")
    assert hf_trace(*options, "--out", "x.jsonl")[0] == 0
    assert hf_trace(*options, "--out", "x.parquet")[0] == 0
    expected = [
        {"id": record["id"], **edge}
        for record in map(json.loads, Path("x.jsonl").read_text().splitlines())
        for edge in record["graph"]["edges"]
    ]
    found = [{k: v for k, v in row.items() if v is not None} for row in pq.read_table("x.parquet").to_pylist()]
    assert found == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--sample", "some"), "sample is 'some', expected a number of sequences such as 1000"),
        (("--sample", "1.5"), "sample is 1.5, expected a share above 0 and at most 1."),
        (("--sample", "0"), "sample is 0, expected a whole number of at least 1."),
        (("--max-sequences", "0"), "max_sequences is 0, expected a whole number of at least 1."),
        (("--processes", "0"), "processes is 0, expected a whole number of at least 1."),
    ],
)
def test_refused(long_log, refused, options, message):
    assert refused("discover", "run", "long.jsonl", *options).startswith(message)


def test_unfinished_work_is_not_left_by_a_mistake(long_log, refused):
    Path("other.jsonl").write_text('{"events": ["A", "never seen"]}')
    refused("discover", "run", "other.jsonl", "--out", OUT)
    assert not [path for path in long_log.iterdir() if "shards" in path.name or path.name == OUT]
