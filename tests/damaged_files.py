"""Files of every kind that the package reads, damaged with fixed seeds, and what reading them leads to.

``python -m tests.damaged_files --count 20000`` reads so many and prints what came of them.
"""

import argparse
import gzip
import io
import json
import logging
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from shutil import copytree
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
from transformers.utils.logging import disable_progress_bar

from hf_trace.discovery.population.pool import PoolState, PopulationPool
from hf_trace.discovery.population.pool_files import load_pool, save_pool
from hf_trace.discovery.thresholds import parse_threshold
from hf_trace.effects.question_records import read_questions
from hf_trace.effects.table_model import TableModel
from hf_trace.errors import HfTraceError
from hf_trace.graphs.graph import CausalGraph
from hf_trace.graphs.knowledge import BackgroundKnowledge
from hf_trace.logs.columns import ColumnChoice
from hf_trace.logs.sources import read_log
from hf_trace.logs.streams import open_stream
from hf_trace.runs.event_model import EventModel
from hf_trace.tables.bif import read_bif
from hf_trace.tables.dag_files import read_dag
from tests.tables.test_bif import SPRINKLER

CHECKPOINTS = Path(__file__).parents[1] / "checkpoints"
SECONDS = 20
INSERTED = [
    b"", b"\0", b"\r", b"\n", b"\t", b'"', b",", b"<", b"&x;", b"\xff\xfe", b"\xe2\x80\xa8", b"\x1b[31m", b"\\ud800",
    b"null", b"true", b"nan", b"-1", b"1e999", b"1e18", b"-1e18", b"9223372036854775808", b"9" * 5000, b"[]", b"{}",
    b"[" * 100_000, b'{"a":' * 3000,
]  # fmt: skip


@dataclass(frozen=True)
class Specimen:
    """A whole file and what reads it."""

    name: str
    content: bytes
    read: Callable[[Path], Any]


@dataclass
class Outcome:
    """What came of the damaged files."""

    count: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    slowest: tuple[float, str] = (0.0, "")


class Hang(BaseException):
    """Reading took too long."""


def damaged(content: bytes, chance: random.Random) -> bytes:
    """The same with one to five faults."""
    found = content
    for _ in range(chance.choice([1, 1, 1, 2, 5])):
        place = chance.randrange(len(found) + 1)
        found = chance.choice(FAULTS)(found, place, place + chance.randrange(60), chance)
    return found


def _another_encoding(found: bytes, place: int, stop: int, chance: random.Random) -> bytes:
    return found if chance.random() < 0.8 else found.decode("latin-1").encode(chance.choice(["utf-16", "utf-8"]))


# Each takes the file, where a fault begins and ends, and a source of chance.
FAULTS: list[Callable[[bytes, int, int, random.Random], bytes]] = [
    lambda found, place, stop, chance: found[:place],
    lambda found, place, stop, chance: found[place:],
    lambda found, place, stop, chance: found[:place] + found[stop:],
    lambda found, place, stop, chance: found[:stop] + found[place:],
    lambda found, place, stop, chance: found[:place] + chance.choice(INSERTED) + found[stop:],
    lambda found, place, stop, chance: found[:place] + chance.choice(INSERTED) + found[place:],
    lambda found, place, stop, chance: found[:place] + chance.randbytes(chance.randrange(8)) + found[stop:],
    lambda found, place, stop, chance: found[:place] + bytes([chance.randrange(256)]) + found[place + 1 :],
    _another_encoding,
]


def damaged_archive(content: bytes, chance: random.Random) -> bytes:
    """A zip archive with one member damaged or missing."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = chance.choice(list(members))
    members[name] = damaged(members[name], chance)
    if chance.random() < 0.1:
        del members[name]
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return written.getvalue()


def logs() -> Iterator[Specimen]:
    """Event logs in every format, read at once and in parts."""
    chance = random.Random(1)
    rows = [
        (f"case {n // 5}", chance.choice(["fan", "heat,on", "é", "007"]), f"2024-01-{1 + n % 28:02}T00:00:{n:02}Z", n)
        for n in range(60)
    ]
    frame = pd.DataFrame(rows, columns=["case", "event", "time", "n"])
    lines = [json.dumps(dict(zip(frame.columns, row, strict=True)), ensure_ascii=False) for row in rows]
    nested = [{"id": f"s{n}", "events": ["a", "b", "c"], "timestamps": [1, 2.5, n + 3], "site": "n"} for n in range(20)]
    events = "".join(
        f'<event><string key="concept:name" value="a{n}"/><date key="time:timestamp" value="2024-01-01T00:00:0{n}Z"/>'
        "</event>"
        for n in range(4)
    )
    traces = "".join(f'<trace><string key="concept:name" value="t{n}"/>{events}</trace>' for n in range(8))
    csv, jsonl, xes = frame.to_csv(index=False).encode(), "\n".join(lines).encode(), f"<log>{traces}</log>".encode()
    files = {
        "log.csv": csv,
        "log.tsv": frame.to_csv(index=False, sep="\t").encode(),
        "log.csv.gz": gzip.compress(csv),
        "log.jsonl": jsonl,
        "records.jsonl": "\n".join(map(json.dumps, nested)).encode(),
        "log.jsonl.gz": gzip.compress(jsonl),
        "log.json": f"[{','.join(lines)}]".encode(),
        "log.parquet": _parquet(frame),
        "log.xes": xes,
        "log.xes.gz": gzip.compress(xes),
        "log.txt": b"a b c\nd e\n" * 20,
    }
    for name, content in files.items():
        yield Specimen(name, content, lambda path: read_log(path).to_records())
        if name.split(".")[1] in ("csv", "tsv", "jsonl", "parquet"):
            yield Specimen(f"stream of {name}", content, _streamed)


def _parquet(frame: pd.DataFrame) -> bytes:
    written = io.BytesIO()
    frame.to_parquet(written, row_group_size=20)
    return written.getvalue()


def _streamed(path: Path) -> Any:
    return [log.to_records() for log in open_stream(str(path), ColumnChoice()).parts()]


def graphs(folder: Path) -> Iterator[Specimen]:
    """Graphs, networks, knowledge, pools and scores."""
    edges = [("a", "b"), ("b", "c"), ("a", "é")]
    details = {"cmi": 0.25, "frequency": 0.5, "lags": [1, 2], "direction": "excites"}
    own = CausalGraph(
        "population",
        ("a", "b", "c", "é"),
        tuple({"cause": cause, "effect": effect, **details} for cause, effect in edges),
        {"source": "x", "scores": [1.5, None]},
    )
    for suffix in (".json", ".csv", ".graphml", ".parquet"):
        own.save(folder / f"own{suffix}")
        yield Specimen(f"own{suffix}", (folder / f"own{suffix}").read_bytes(), CausalGraph.load)
    network = nx.DiGraph(edges[:2])
    network.nodes["a"].update(kind="ordinal", values="x, y")
    variables = {"u": {"latent": True}, "x": {"kind": "numeric", "bins": 4, "parents": ["u"]}, "y": {"parents": ["x"]}}
    texts = {
        "links.json": json.dumps(nx.node_link_data(network, edges="links")),
        "adjacency.json": json.dumps(nx.adjacency_data(network)),
        "cytoscape.json": json.dumps(nx.cytoscape_data(network)),
        "variables.json": json.dumps({"variables": variables}),
        "pairs.json": json.dumps(edges),
        "n.gml": "\n".join(nx.generate_gml(network)),
        "n.graphml": "\n".join(nx.generate_graphml(network)),
        "edges.csv": "cause,effect,lag\na,b,1\nb,c,2\n",
        "edges.tsv": "a\tb\nb\tc\n",
    }
    for name, text in texts.items():
        yield Specimen(name, text.encode(), read_dag)
        if name not in ("variables.json", "edges.tsv"):
            yield Specimen(f"graph of {name}", text.encode(), CausalGraph.load)
    matrix = io.BytesIO()
    np.save(matrix, np.array([[0, 1.5], [0, 0]]))
    yield Specimen("matrix.npy", matrix.getvalue(), CausalGraph.load)
    yield Specimen("net.bif", SPRINKLER.encode(), read_bif)
    knowledge = {"forbidden": [["t", "*"]], "required": [["b", "a"]], "tiers": [["s"], ["a"]], "groups": {"l": ["a"]}}
    yield Specimen("knowledge.json", json.dumps(knowledge).encode(), BackgroundKnowledge.load)
    save_pool(_pool(), {"max_lag": 3}, folder / "pool.zip")
    yield Specimen("pool.zip", (folder / "pool.zip").read_bytes(), _read_pool)


def _pool() -> PoolState:
    columns = ("cmi", "edge_cmi", "edge_gain", "edge_confidence", "edge_seconds")
    whole = {"sequence": [0, 1], "cause": [0, 1], "effect": [1, 0], "tested": [2, 1], "edges": [1, 0]}
    sums = pd.DataFrame({**whole, "timed_edges": [0, 0], **{name: [0.5, 0.1] for name in columns}})
    lags = pd.DataFrame({"cause": [0], "effect": [1], "lag": [1], "size": [1]})
    codes = (np.array([0, 1], np.int32), np.array([1, 0], np.int32))
    return PoolState(("a", "b"), ("s", "t"), codes, ((("k", "v"),), ()), sums, lags, pd.DataFrame(), pd.DataFrame())


def _read_pool(path: Path) -> Any:
    state, _ = load_pool(path)
    state.log()
    return PopulationPool.from_state(parse_threshold("margin:0.05"), state).state()


def questions() -> Iterator[Specimen]:
    """Files of questions, of which each is understood."""
    reader = TableModel.load(CHECKPOINTS / "pump").reader
    asked = [
        {"target": "inflow", "do": {"maintenance": "full"}, "given": {"weather": "rain"}},
        {"target": "inflow", "do": {"maintenance": {"full": 0.5, "none": 0.5}}},
        {"target": "weather", "do": {"maintenance": [{"when": {"weather": "dry"}, "then": "none"}, {"then": "full"}]}},
    ]

    def read(path: Path) -> Any:
        return [reader.query(record) for record in read_questions(path)]

    yield Specimen("questions.jsonl", "\n".join(map(json.dumps, asked)).encode(), read)


def runs(folder: Path) -> Iterator[Specimen]:
    """Every file of a run folder, of a log and of a table; the others are whole."""
    loads: dict[str, Callable[[Path], Any]] = {"alarms": EventModel.load, "pump": TableModel.load}
    for name, load in loads.items():
        copytree(CHECKPOINTS / name, run := folder / name)
        for file in sorted(run.iterdir()):
            if file.suffix in (".json", ".safetensors"):
                yield Specimen(f"{name}/{file.name}", file.read_bytes(), _loader(file, load))


def _loader(file: Path, load: Callable[[Path], Any]) -> Callable[[Path], Any]:
    def read(path: Path) -> Any:
        whole = file.read_bytes()
        file.write_bytes(path.read_bytes())
        try:
            return load(file.parent)
        finally:
            file.write_bytes(whole)

    return read


def specimens(folder: Path) -> list[Specimen]:
    """All of them; whole, each is read."""
    return [*logs(), *graphs(folder), *questions(), *runs(folder)]


def read_damaged(count: int, seed: int = 0) -> Outcome:
    """Damage and read as many files as asked, in turn of every kind; models less often, as loading takes its time."""
    signal.signal(signal.SIGALRM, _too_long)
    outcome = Outcome()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        kinds = specimens(folder)
        weights = [0.1 if "/" in each.name else 1.0 for each in kinds]
        order = random.Random(seed).choices(kinds, weights, k=count)
        for number, specimen in enumerate(order):
            chance = random.Random(f"{seed} {number} {specimen.name}")
            is_archive = specimen.name == "pool.zip" and chance.random() < 0.7
            content = (damaged_archive if is_archive else damaged)(specimen.content, chance)
            path = folder / f"x.{specimen.name.split('/')[-1].split(' ')[-1].split('.', 1)[1]}"
            path.write_bytes(content)
            started = time.monotonic()
            _read(specimen, path, outcome)
            outcome.slowest = max(outcome.slowest, (time.monotonic() - started, specimen.name))
    return outcome


def _too_long(*_: Any) -> None:
    raise Hang


def _read(specimen: Specimen, path: Path, outcome: Outcome) -> None:
    signal.alarm(SECONDS)
    try:
        specimen.read(path)
    except HfTraceError as error:
        outcome.count["clean errors"] += 1
        if "\n" in str(error):
            outcome.faults[f"{specimen.name}: several lines: {str(error)[:200]!r}"] += 1
    except Hang:
        outcome.count["hangs"] += 1
        outcome.faults[f"{specimen.name}: more than {SECONDS} s"] += 1
    except Exception as error:  # noqa: BLE001 - what it is, is the finding
        outcome.count["other exceptions"] += 1
        own = [each for each in traceback.extract_tb(error.__traceback__) if "hf_trace" in each.filename]
        where = f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else "nowhere"
        outcome.faults[f"{specimen.name}: {type(error).__name__} at {where}: {str(error)[:80]!r}"] += 1
    else:
        outcome.count["read"] += 1
    finally:
        signal.alarm(0)


def main() -> None:
    """Read damaged files and print what came of them, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    disable_progress_bar()
    found = read_damaged(asked.count, asked.seed)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    document = {
        "files": asked.count,
        "seed": asked.seed,
        **{name: found.count[name] for name in ("read", "clean errors", "other exceptions", "hangs")},
        "slowest": [round(found.slowest[0], 2), found.slowest[1]],
        "peak_gib": round(peak, 2),
        "faults": dict(found.faults.most_common()),
    }
    json.dump(document, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
