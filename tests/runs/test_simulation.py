"""``simulate_folder``: what other tools read of it."""

import json

import numpy as np
import pandas as pd
import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from hf_trace.errors import OutputError, SettingsError
from hf_trace.graphs.graph import CausalGraph
from hf_trace.runs.simulated_worlds import simulate_folder
from hf_trace.worlds.simulator import DELTA, replacement_scores
from hf_trace.worlds.world import World, WorldSpec

SPEC = WorldSpec(types=6, memory=2, length=10, weight=3.0, sparsity=0.5, seed=1)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return simulate_folder(
        SPEC, tmp_path_factory.mktemp("worlds") / "w", sequences=20, truth_sequences=6, truth_samples=20, seed=4
    )


def test_datasets_reads_the_folder(written, tmp_path):
    from datasets import load_dataset

    rows = load_dataset(str(written.folder), cache_dir=str(tmp_path))["train"]
    assert rows.column_names == ["id", "event", "time", "split"]
    assert rows.num_rows == 200
    assert rows[11] == {"id": "1", "event": written.log[1].events[1], "time": 1.0, "split": "train"}


def test_pandas_reads_the_events_and_their_splits(written):
    frame = pd.read_parquet(written.folder / "events.parquet")
    by_split = frame.drop_duplicates("id").groupby("split")["id"].apply(list).to_dict()
    names = [str(number) for number in range(20)]
    assert by_split == {"train": names[:16], "validation": names[16:18], "test": names[18:]}
    assert frame[frame["id"] == "7"]["event"].tolist() == list(written.log[7].events)


def test_the_oracle_loads_by_name(written):
    model = AutoModelForCausalLM.from_pretrained(written.folder / "oracle")
    tokenizer = AutoTokenizer.from_pretrained(written.folder / "oracle")
    ids = tokenizer(list(written.log[0].events[:2]), is_split_into_words=True, return_tensors="pt")
    world = World(SPEC)
    codes = [written.log.event_types.index(name) for name in written.log[0].events[:2]]
    expected = world.log_probs(ids["input_ids"].new_tensor([codes[::-1]]))[0]
    found = model(input_ids=ids["input_ids"]).logits[0, -1].log_softmax(-1)[4:]
    np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-6)


def test_true_pairs_are_those_of_the_world(written):
    pairs = pd.read_parquet(written.folder / "true_pairs.parquet")
    assert pairs["id"].unique().tolist() == [str(number) for number in range(6)]
    mine = pairs[pairs["id"] == "2"]
    assert len(mine) == 9 + 8
    codes = np.array([written.log.event_types.index(name) for name in written.log[2].events])
    assert mine["cause"].tolist() == [written.log[2].events[cause] for cause in mine["cause_position"]]
    exact = replacement_scores(World(SPEC), codes, num_samples=20, seed=4 + 7_919 * 3)
    known = exact[mine["cause_position"], mine["effect_position"] - mine["cause_position"] - 1]
    assert mine["cmi"].tolist() == known.tolist()


def test_the_graph_joins_the_types_of_true_pairs(written):
    truth = CausalGraph.load(written.folder / "truth.json")
    pairs = pd.read_parquet(written.folder / "true_pairs.parquet")
    kept = pairs[(pairs["cmi"] > DELTA) & (pairs["cause"] != pairs["effect"])]
    expected = {tuple(pair) for pair in kept[["cause", "effect"]].to_numpy().tolist()}
    assert {(edge["cause"], edge["effect"]) for edge in truth.edges} == expected
    assert sum(edge["support"] for edge in truth.edges) == len(kept)
    assert truth.metadata["truth"] == "replacement"
    assert WorldSpec.from_dict(truth.metadata["world"]) == SPEC
    assert truth.metadata["entropy"] == written.entropy == json.loads(
        (written.folder / "training.json").read_text()
    )["entropy"]  # fmt: skip


def test_the_same_seed_writes_the_same_bytes(written, tmp_path):
    for seed, name in ((4, "same"), (5, "other")):
        simulate_folder(SPEC, tmp_path / name, sequences=20, truth_sequences=6, truth_samples=20, seed=seed)
    for path in sorted(written.folder.rglob("*")):
        if path.is_file():
            assert (tmp_path / "same" / path.relative_to(written.folder)).read_bytes() == path.read_bytes(), path
    other = (tmp_path / "other/events.parquet").read_bytes()
    assert other != (written.folder / "events.parquet").read_bytes()


@pytest.mark.parametrize("change", [{"hidden": (0,)}, {"ties": 2}, {"drift": 0.5}])
def test_structural_truth_has_every_pair_of_recorded_types_with_a_weight(tmp_path, change):
    spec = WorldSpec.from_dict({**SPEC.to_dict(), **change})
    truth = simulate_folder(spec, tmp_path / "w", sequences=5, truth_samples=5).truth
    world = World(spec)
    acts = world.acts() != 0
    if spec.drift:
        acts |= world.drifted(0.5).acts() != 0
    expected = {
        (f"e{cause}", f"e{effect}")
        for cause, effect in np.argwhere(acts)
        if cause != effect and not {cause, effect} & set(spec.hidden)
    }
    assert {(edge["cause"], edge["effect"]) for edge in truth.edges} == expected
    assert sorted(path.name for path in (tmp_path / "w").iterdir()) == [
        "README.md", "events.parquet", "training.json", "truth.json",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["sequences", "truth_sequences", "truth_samples"])
def test_counts_start_at_1(tmp_path, name):
    with pytest.raises(SettingsError) as caught:
        simulate_folder(SPEC, tmp_path / "w", **{name: 0})
    assert str(caught.value) == f"{name} is 0, expected a whole number of at least 1."
    assert not list(tmp_path.iterdir())


def test_a_large_world_without_a_closed_form_is_refused(tmp_path):
    with pytest.raises(SettingsError) as caught:
        simulate_folder(WorldSpec(types=2001, ties=2), tmp_path / "w")
    assert str(caught.value) == "The world has 2001 types and no exact truth, expected at most 2000."


def test_another_folder_is_refused_before_anything_is_simulated(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(OutputError, match="exists and is not a run folder"):
        simulate_folder(SPEC, tmp_path, sequences=10**9)
