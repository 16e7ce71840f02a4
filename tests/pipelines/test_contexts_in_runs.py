"""A rule that holds at one site only: learned with context tokens, found by comparing groups."""

import dataclasses

import numpy as np
import pytest

from hf_trace.discovery.results import log_result
from hf_trace.errors import ColumnError, SettingsError
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence
from hf_trace.pipelines.discovery_pipeline import load_pipeline
from hf_trace.runs.folders import TRAINING_FILE, read_json
from hf_trace.training.log_training import train


def sites(count, seed):
    """In the north B follows every A, elsewhere it comes by itself; D follows every C."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        site, events = ("north", "south")[number % 2], []
        while len(events) < 12:
            event = str(rng.choice(["A", "C", "E", "E"]))
            after = {"A": "B" if site == "north" else rng.choice(["B", "E", "E"]), "C": "D"}
            events += [event, str(after[event])] if event in after else [event]
        yield EventSequence(tuple(events[:12]), id=f"s{number}", context=(("site", site),))


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_config):
    from transformers import LlamaConfig

    from hf_trace.training.log_training import TrainingSettings

    folder = tmp_path_factory.mktemp("sites")
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    LlamaConfig(vocab_size=8, max_position_embeddings=32, **shape).save_pretrained(folder / "config")
    settings = TrainingSettings(model=str(folder / "config"), epochs=20.0, batch_tokens=256, learning_rate=1e-2)
    return train(EventLog.from_sequences(sites(120, 0)), folder / "run", settings).folder


def test_the_edge_of_one_site_is_told_from_the_edge_of_both(run):
    assert read_json(run, TRAINING_FILE)["context_columns"] == ["site"]
    discover = load_pipeline(run)
    log = EventLog.from_sequences(sites(60, 1))
    request = discover.request(level="population", compare=["site"], proposal="exhaustive", max_lag=2)
    output = log_result(discover.event_model, log, request).to_dict()
    groups = {(edge["cause"], edge["effect"]): edge["groups"]["site"] for edge in output["edges"]}
    assert groups["A", "B"]["differs"]
    assert groups["A", "B"]["cmi"]["north"] > 3 * groups["A", "B"]["cmi"]["south"]
    assert not groups["C", "D"]["differs"]
    assert groups["C", "D"]["holds_in"] == ["north", "south"]


def test_context_tokens_are_needed_and_are_no_causes(run):
    discover = load_pipeline(run)
    sequence = next(sites(1, 2))
    with pytest.raises(ColumnError, match="trained with the context 'site'"):
        discover({"events": list(sequence.events)})
    record = {"events": list(sequence.events), "context": {"site": "north"}, "id": "s0"}
    output = discover(record, return_scores=True)
    assert output["scores"]["cause_position"].min() == 0
    assert discover(sequence)["edges"] == output["edges"]
    other = discover(dataclasses.replace(sequence, context=(("site", "south"),)), return_scores=True)
    assert not np.allclose(other["scores"]["cmi"], output["scores"]["cmi"])


def test_groups_are_of_populations(run):
    with pytest.raises(SettingsError, match=r"compare is \['site'\] with level 'summary'"):
        load_pipeline(run)([], level="summary", compare=["site"])
