"""``hf-trace simulate``: what it writes and says, and one line for every mistake."""

import json

import numpy as np
import pytest

from hf_trace.graphs.graph import CausalGraph
from hf_trace.logs.sources import read_log
from hf_trace.worlds.process_worlds import PROCESS_WORLDS
from hf_trace.worlds.world import WORLDS
from hf_trace.worlds.world_names import NAMED_WORLDS

WORLD = {"types": 8, "memory": 2, "length": 10, "weight": 3.0, "sparsity": 0.5, "seed": 1}
SIZE = ["--sequences", 20, "--truth-samples", 20]


@pytest.fixture
def world(tmp_path, monkeypatch):
    """The name of a file with a small world, in an empty working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "world.json").write_text(json.dumps(WORLD))
    return "world.json"


def test_it_writes_a_log_its_truth_and_its_oracle(world, hf_trace, tmp_path):
    code, out, err = hf_trace("simulate", world, "--out", "data", *SIZE)
    assert (code, out) == (0, "")
    truth = CausalGraph.load("data/truth.json")
    assert err.splitlines() == [
        "20 sequences, 200 events, 8 event types",
        f"entropy {truth.metadata['entropy']:.3f} nats per event (uniform: {np.log(8):.3f})",
        f"true pairs of types: {len(truth.edges)} (replacement). Wrote data",
    ]
    assert truth.edges
    log = read_log("data/events.parquet", case_column="id", event_column="event", time_column="time")
    assert (len(log), log.sequence_lengths.tolist()) == (20, [10] * 20)
    assert (tmp_path / "data/oracle/config.json").exists()


def test_json_is_alone_on_stdout_and_the_seed_decides(world, hf_trace):
    documents = []
    for seed, folder in ((3, "one"), (3, "two"), (4, "three")):
        code, out, err = hf_trace("simulate", world, "--out", folder, *SIZE, "--seed", seed, "--json")
        assert (code, err) == (0, f"Wrote {folder}\n")
        documents.append(json.loads(out))
    assert set(documents[0]) == {
        "folder", "sequences", "events", "event_types", "entropy", "true_pairs", "truth", "exact_oracle",
    }  # fmt: skip
    first, again, other = ({**document, "folder": ""} for document in documents)
    assert first == again
    assert first["entropy"] != other["entropy"]
    assert (first["truth"], first["exact_oracle"]) == ("replacement", True)


def test_a_world_without_a_closed_form_has_a_structural_truth(world, hf_trace, tmp_path):
    (tmp_path / "hidden.json").write_text(json.dumps({**WORLD, "hidden": [0]}))
    code, out, _ = hf_trace("simulate", "hidden.json", "--out", "data", *SIZE[:2], "--json")
    assert code == 0
    assert (json.loads(out)["truth"], json.loads(out)["exact_oracle"]) == ("structural", False)
    assert not (tmp_path / "data/oracle").exists()


BAD_WORLDS = {
    "no such world": (
        "stepe", [],
        "'stepe' is neither a world (steep, medium, flat, small, small-medium, hawkes, bursts, periodic, signals, "
        "chatter, together, inhibition, hidden) nor a file. Did you mean 'steep'? Write its settings as JSON: {",
    ),
    "a wrong process": ("process.json", [], "rate of 'a' is -1, expected a number of at least 0."),
    "an explosion": (
        "hawkes", ["--weight", "2"],
        "Events cause ever more events (the spectral radius of the weights is 2.58), expected less than 1. Give the ",
    ),
    "not JSON": ("text.json", [], "'text.json' is not JSON"),
    "not an object": ("list.json", [], "'list.json' holds a list, expected an object of settings."),
    "unknown setting": ("typo.json", [], "Unknown world setting 'tpyes', expected one of: "),
    "bad setting": ("one.json", [], "types is 1, expected a whole number of at least 2."),
    "no sequences": ("world.json", ["--sequences", "0"], "sequences is 0, expected a whole number of at least 1."),
    "no samples": ("world.json", ["--truth-samples", "0"], "truth_samples is 0, expected a whole number of"),
    "no number": ("world.json", ["--sequences", "many"], "Invalid value for '--sequences': "),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_WORLDS)
def test_bad_worlds(world, refused, tmp_path, case):
    name, options, message = BAD_WORLDS[case]
    (tmp_path / "process.json").write_text('{"types": [{"name": "a", "rate": -1}, {"name": "b"}]}')
    for file, text in (("text", "not json"), ("list", "[]"), ("typo", '{"tpyes": 3}'), ("one", '{"types": 1}')):
        (tmp_path / f"{file}.json").write_text(text)
    before = sorted(tmp_path.rglob("*"))
    assert refused("simulate", name, "--out", "data", *options).startswith(message)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_of_something_else_is_left_alone(world, refused, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("")
    assert refused("simulate", world, "--out", "thesis") == (
        "'thesis' exists and is not a run folder. Choose a new folder for `--out`, or move it away."
    )
    assert refused("simulate", world).startswith("Missing option '--out'.")


def test_help_shows_an_example(hf_trace):
    code, out, err = hf_trace("simulate", "--help")
    assert (code, err) == (0, "")
    assert "Examples:" in out
    assert "hf-trace simulate small --out runs/small --sequences 500" in out


def test_help_lists_the_worlds(hf_trace):
    out = " ".join(hf_trace("simulate", "--help")[1].split())
    for name, about in NAMED_WORLDS.items():
        assert f"{name}: {about}" in out
    assert list(NAMED_WORLDS) == [*WORLDS, *PROCESS_WORLDS]


def test_a_world_in_continuous_time(hf_trace, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = ["--sequences", 4, "--types", 12, "--edges", 8, "--duration", 2000]
    code, out, err = hf_trace("simulate", "signals", "--out", "data", *options)
    assert (code, out) == (0, "")
    truth = CausalGraph.load("data/truth.json")
    lines = err.splitlines()
    assert (
        lines[1] == f"entropy {truth.metadata['entropy']:.3f} nats per event given its time (uniform: {np.log(12):.3f})"
    )
    assert lines[2] == "true pairs of types: 20 (structural). Wrote data"
    code, out, _ = hf_trace("evaluate", "data/truth.json", "data/truth.json", "--json")
    assert (code, json.loads(out)["f1"]) == (0, 1.0)
    documents = [json.loads(hf_trace("simulate", "bursts", "--out", name, *options, "--json")[1]) for name in "ab"]
    first, again = ({**document, "folder": ""} for document in documents)
    assert first == again
    assert (first["entropy"], first["true_pairs"], first["exact_oracle"]) == (None, 8, False)
    assert (tmp_path / "a/events.parquet").read_bytes() == (tmp_path / "b/events.parquet").read_bytes()
