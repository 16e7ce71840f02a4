"""``simulate_process_folder``: what other tools read of it."""

import json

import numpy as np
import pandas as pd
import pytest

from hf_trace.errors import OutputError, SettingsError
from hf_trace.graphs.graph import CausalGraph
from hf_trace.publishing.data_sets import world_publication
from hf_trace.runs.simulated_worlds import simulate_process_folder
from hf_trace.worlds.process_intensity import type_log_probs
from hf_trace.worlds.process_simulator import simulate_process
from hf_trace.worlds.process_spec import ProcessSpec, ProcessType
from hf_trace.worlds.process_worlds import process_world

SPEC = process_world("signals", types=12, edges=8, duration=3_000)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return simulate_process_folder(SPEC, tmp_path_factory.mktemp("worlds") / "w", sequences=10, seed=4)


def test_what_is_written_is_what_is_simulated(written):
    simulated = simulate_process(SPEC, 10, seed=4)
    frame = pd.read_parquet(written.folder / "events.parquet")
    assert frame["event"].tolist() == [event for sequence in simulated.log for event in sequence.events]
    assert frame["time"].tolist() == simulated.log.timestamps.tolist()
    assert frame.groupby("split")["id"].nunique().to_dict() == {"train": 8, "validation": 1, "test": 1}
    truth = CausalGraph.load(written.folder / "truth.json")
    assert truth.edges == simulated.truth.edges
    assert ProcessSpec.from_dict(truth.metadata["world"]) == SPEC
    assert CausalGraph.load(written.folder / "true_variables.json") == simulated.variables
    assert {path.name for path in written.folder.iterdir()} == {
        "README.md", "events.parquet", "training.json", "true_variables.json", "truth.json",
    }  # fmt: skip


def test_the_entropy_is_the_loss_of_the_world_itself(written):
    losses = []
    for sequence in written.log:
        logs = type_log_probs(SPEC, sequence, sequence.timestamps)
        losses += [-row[sorted(SPEC.names).index(event)] for row, event in zip(logs, sequence.events, strict=True)]
    assert written.entropy == pytest.approx(np.mean(losses))
    assert json.loads((written.folder / "training.json").read_text())["entropy"] == written.entropy
    card = (written.folder / "README.md").read_text()
    assert f"| entropy of the next event given its time | {written.entropy:.3f} nats (uniform: 2.485) |" in card
    assert "from a Hawkes process" in card


def test_a_world_that_is_not_exact_has_no_entropy(tmp_path):
    bursts = simulate_process_folder(process_world("bursts", duration=1_000), tmp_path / "w", sequences=3)
    assert bursts.entropy is None
    assert "entropy" not in (tmp_path / "w/README.md").read_text()


def test_it_is_published_with_both_truths(written):
    publication = world_publication(written.folder, "org/signals")
    assert {"truth.json", "true_variables.json", "training.json", "events/train.parquet"} <= publication.files.keys()
    card = publication.files["README.md"].decode()
    assert "Written by `hf-trace simulate` from a Hawkes process" in card
    assert f"entropy of the next event given its time: {written.entropy:.3f} nats" in card


def test_the_same_seed_writes_the_same_bytes(written, tmp_path):
    simulate_process_folder(SPEC, tmp_path / "same", sequences=10, seed=4)
    for path in written.folder.iterdir():
        assert (tmp_path / "same" / path.name).read_bytes() == path.read_bytes(), path


def test_nothing_is_left_of_what_is_refused(tmp_path):
    with pytest.raises(SettingsError):
        simulate_process_folder(ProcessSpec((ProcessType("a"), ProcessType("b"))), tmp_path / "w")
    assert not list(tmp_path.iterdir())
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(OutputError, match="exists and is not a run folder"):
        simulate_process_folder(SPEC, tmp_path, sequences=10**6)
