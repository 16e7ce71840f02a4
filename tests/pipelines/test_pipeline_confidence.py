"""Confidence through the pipeline and the command line: which oracles are asked, and what is said of them."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from hf_trace.discovery.confidence import pooled
from hf_trace.discovery.constructions import score_pairs
from hf_trace.logs.sequence import EventSequence
from hf_trace.pipelines.discovery_pipeline import load_pipeline
from hf_trace.runs.members import member_folders, member_seed
from hf_trace.runs.simulated_worlds import simulate_folder
from hf_trace.training.log_training import train
from hf_trace.worlds.world import WorldSpec

RECORD = {"id": "one", "events": ["C", "A", "B", "D", "C", "A", "B", "D"]}


@pytest.fixture(scope="module")
def bagged(tmp_path_factory, tiny_log, tiny_settings):
    settings = replace(tiny_settings, epochs=8.0, ensemble=3)
    return train(tiny_log, tmp_path_factory.mktemp("bagged") / "run", settings).folder


def test_all_oracles_are_asked_where_confidence_is(bagged):
    discover = load_pipeline(bagged)
    discover(RECORD, threshold="margin:0.05")
    assert "members" not in vars(discover), "further oracles are read only when they are asked for"

    output = discover(RECORD, threshold="fdr:0.2", return_scores=True)
    assert output["oracle"]["oracles"] == 3
    assert "draws alone" not in output["oracle"].get("warning", "")
    settings = discover.settings(threshold="fdr:0.2")
    encoded = [discover.events.encode(EventSequence(tuple(RECORD["events"])))]
    found = [
        score_pairs(oracle, encoded, discover.event_model.alphabet, replace(settings, seed=member_seed(0, number)))[0]
        for number, oracle in enumerate([discover.event_model.oracle, *discover.event_model.members])
    ]
    np.testing.assert_allclose(output["scores"]["cmi"], pooled(found).cmi, atol=1e-6)
    assert all(0 <= edge["confidence"] <= 1 for edge in output["edges"])
    doubt = [1 - edge["confidence"] for edge in output["edges"]]
    assert not doubt or np.mean(doubt) <= 0.2 + 1e-9


def test_levels_carry_confidence(bagged, tiny_log):
    discover = load_pipeline(bagged)
    population = discover(tiny_log, threshold="fdr:0.2", level="population")
    assert population["edges"]
    assert all(0.5 < edge["confidence"] <= 1 for edge in population["edges"])
    plain = discover(tiny_log, level="population")
    assert not any("confidence" in edge for edge in plain["edges"])


def test_one_trained_oracle_is_warned_of(discover):
    warning = discover(RECORD, threshold="fdr:0.1")["oracle"]["warning"]
    assert warning.endswith(
        "Confidence counts the error of the draws alone: this run has one oracle, and how far training misled it is "
        "not known. Expect more false edges than asked for, or train with `--ensemble 5`."
    )
    assert "warning" not in discover(RECORD)["oracle"] or "draws alone" not in discover(RECORD)["oracle"]["warning"]


def test_an_exact_oracle_is_believed(tmp_path):
    world = WorldSpec(types=8, memory=2, length=12)
    simulate_folder(world, tmp_path / "world", sequences=4, truth_samples=5)
    discover = load_pipeline(tmp_path / "world" / "oracle")
    output = discover({"events": list(discover.events.event_types)}, threshold="fdr:0.1")
    assert output["oracle"]["oracles"] == 1
    assert "warning" not in output["oracle"]


def test_command_line(bagged, tmp_path, hf_trace, refused):
    log = tmp_path / "log.jsonl"
    log.write_text(json.dumps(RECORD) + "\n")
    code, out, _ = hf_trace("discover", bagged, log, "--level", "instance", "--threshold", "fdr:0.3", "--json")
    assert code == 0
    assert json.loads(out)["oracle"]["oracles"] == 3
    assert json.loads(out)["settings"]["threshold"] == "fdr:0.3"
    assert refused("discover", bagged, log, "--threshold", "fdr:2") == (
        "threshold is 'fdr:2', expected a false discovery rate from 0 to 1 such as 'fdr:0.1', and after a comma the "
        "smallest effect of interest, in nats ('fdr:0.1,0.05')."
    )
    assert refused("train", log, "--out", tmp_path / "run", "--ensemble", 0) == (
        "ensemble is 0, expected a whole number of at least 1."
    )


def test_a_run_without_its_members_is_a_run(bagged, tmp_path):
    alone = shutil.copytree(bagged, tmp_path / "alone", ignore=shutil.ignore_patterns("members"))
    assert member_folders(alone) == []
    assert load_pipeline(alone)(RECORD)["edges"] == load_pipeline(bagged)(RECORD)["edges"]
