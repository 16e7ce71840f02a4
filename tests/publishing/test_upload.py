"""Publishing and reading back, with a stand-in of the Hub: what is sent, what loads, and one line for every mistake."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import huggingface_hub.constants as hub_constants
import pytest
import yaml
from tests.hub_stand_in import TOKEN, HubStandIn
from transformers import GPT2Config, GPT2LMHeadModel

from hf_trace.graphs.graph import CausalGraph
from hf_trace.worlds.world import WorldSpec

# huggingface_hub uploads large files by a name of its HTTP client that is deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")

RUN_FILES = {
    ".gitattributes",
    "README.md",
    "config.json",
    "generation_config.json",
    "hf_trace_pipeline.py",
    "metrics.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "training.json",
}


@pytest.fixture
def hub(monkeypatch):
    """A stand-in that this process talks to, as ``ann``."""
    with HubStandIn() as stand_in:
        monkeypatch.setattr(hub_constants, "ENDPOINT", stand_in.endpoint)
        template = stand_in.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(hub_constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(hub_constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        # Transformers keeps the client that it made first, with the endpoint of that time.
        monkeypatch.setattr("transformers.utils.hub._hf_api", None, raising=False)
        yield stand_in


@pytest.fixture
def run(tiny_run, tmp_path):
    """A run folder of its own, with a discovered graph and something private beside."""
    folder = tmp_path / "alarms"
    shutil.copytree(tiny_run, folder)
    edge = {"cause": "A", "effect": "B", "cmi": 0.5}
    CausalGraph("population", ("A", "B"), (edge,)).save(folder / "graph.json")
    (folder / "notes.md").write_text("not for everybody")
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    from hf_trace.runs.simulated_worlds import simulate_folder

    spec = WorldSpec(types=5, memory=2, length=8, weight=3.0, sparsity=0.5, seed=1)
    folder = tmp_path_factory.mktemp("worlds") / "w"
    return simulate_folder(spec, folder, sequences=20, truth_sequences=3, truth_samples=5).folder


def outcome(code, hub, home):
    """What a new process with an empty cache prints last, as JSON."""
    environment = {**os.environ, **hub.environment(home)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=home, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_run_is_published_whole(run, hub, hf_trace):
    code, out, err = hf_trace("push", run, "org/alarms", "--license", "mit", "--data", "Alarms of a plant.")
    assert (code, out) == (0, "")
    assert err.splitlines()[-1] == f"Published: {hub.endpoint}/org/alarms"
    files = hub.files("org/alarms")
    assert set(files) == RUN_FILES | {"graph.json", "graph.png"}
    assert files["graph.png"].startswith(b"\x89PNG")
    assert "](graph.png)" in files["README.md"].decode()
    assert files["model.safetensors"] == (run / "model.safetensors").read_bytes()
    assert CausalGraph.from_dict(json.loads(files["graph.json"])).edges[0]["cause"] == "A"
    card = files["README.md"].decode()
    for text in ("license: mit", "Alarms of a plant.", 'model="org/alarms"', "| A | B | 0.500 |", "nats per event"):
        assert text in card
    assert not hub.repositories["model", "org/alarms"].private


def test_a_dry_run_lists_and_sends_nothing(run, hub, hf_trace):
    code, out, err = hf_trace("push", run, "org/alarms", "--dry-run")
    assert (code, hub.requests) == (0, [])
    size = (run / "model.safetensors").stat().st_size
    assert f"model.safetensors {size / 1000:.1f} kB" in " ".join(out.split())
    assert "Stays here: notes.md" in err
    assert err.splitlines()[-1] == "Nothing was sent (--dry-run)."
    code, out, _ = hf_trace("push", run, "org/alarms", "--dry-run", "--json")
    document = json.loads(out)
    assert set(document["files"]) == (RUN_FILES | {"graph.json", "graph.png"}) - {".gitattributes"}
    assert (document["address"], document["left_out"], hub.requests) == (None, ["notes.md"], [])


def test_a_repository_that_exists_is_left_alone_until_told(run, hub, hf_trace, refused):
    assert hf_trace("push", run, "org/alarms", "--private")[0] == 0
    assert hub.repositories["model", "org/alarms"].private
    first = hub.repositories["model", "org/alarms"].head
    assert refused("push", run, "org/alarms") == (
        "The repository 'org/alarms' exists already, and it is yours. Choose another name, or pass `--overwrite` to "
        "replace what is in it."
    )
    repository = hub.repositories["model", "org/alarms"]
    repository.commit({**hub.files("org/alarms"), "model-00001-of-00002.safetensors": b"old", "photo.png": b"mine"})
    (run / "graph.json").unlink()
    assert hf_trace("push", run, "org/alarms", "--update")[0] == 0
    assert set(hub.files("org/alarms")) == RUN_FILES | {"graph.json", "graph.png", "photo.png"}
    assert "graph.json" in repository.commits[first]


@pytest.mark.parametrize(
    ("repo_id", "expected"),
    [
        ("other/alarms", "'ann' is logged in and not a member of 'other'. Expected a name such as ann/alarms."),
        ("org/a--b", "'org/a--b' is not a repository name. Expected ORG/NAME of letters, digits,"),
        ("a/b/c", "'a/b/c' is not a repository name."),
        (
            "theirs/taken",
            "The repository 'theirs/taken' exists and belongs to 'theirs', of which 'ann' is not a member.",
        ),
    ],
)
def test_names_that_cannot_be(repo_id, expected, run, hub, refused):
    hub.create_for_others("theirs/taken")
    assert refused("push", run, repo_id).startswith(expected)
    assert set(hub.repositories) == {("model", "theirs/taken")}


def test_no_token_a_wrong_one_and_no_network(run, hub, refused, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert refused("push", run, "org/alarms").startswith("The Hub does not accept the token")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(hub_constants, "ENDPOINT", "http://127.0.0.1:9")
    assert refused("push", run, "org/alarms").startswith("The Hub cannot be reached")
    monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", True)
    assert refused("push", run, "org/alarms") == "HF_HUB_OFFLINE is set, so nothing can be published. Unset it."
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(hub_constants, "HF_TOKEN_PATH", str(run / "no-token"))
    assert refused("push", run, "org/alarms").startswith("Nobody is logged in to the Hub: there is no token.")
    assert not hub.repositories


def test_folders_that_are_no_run(tmp_path, refused, run):
    assert refused("push", tmp_path, "org/x").startswith(f"'{tmp_path}' is not a run folder: it holds no config.json.")
    (run / "graph.json").write_text("{}")
    assert "is not a graph that `hf-trace discover --out` wrote" in refused("push", run, "org/x")
    (run / "graph.json").unlink()
    (run / "model.safetensors").unlink()
    assert "holds no model.safetensors" in refused("push", run, "org/x")


def test_options_that_do_not_belong_are_refused(world, run, hub, refused):
    reason = "is not for a simulated world, which is published as it is, with its own truth. Leave it out."
    assert refused("push", world, "org/x", "--graph", "g.json") == f"`--graph` {reason}"
    assert refused("push", world, "org/x", "--data", "Ours") == f"`--data-source` {reason}"
    assert refused("push", run, "org/x", "--context-column", "site") == (
        "`--context-column` is for event logs. Add `--dataset` to publish one, or leave it out."
    )
    assert hub.requests == []


def test_the_earlier_spelling_of_license_is_taken(run, timed_log, discover, hub):
    from hf_trace import push_log
    from hf_trace.publishing.model_card import model_card

    assert model_card(run, licence="mit") == model_card(run, license="mit")
    push_log(timed_log, "org/log", licence="mit")
    discover.push_to_hub("org/run", licence="mit")
    for name, kind in (("org/log", "dataset"), ("org/run", "model")):
        assert "license: mit" in hub.files(name, kind)["README.md"].decode()
    with pytest.raises(TypeError, match="multiple values"):
        model_card(run, license="mit", licence="mit")


@pytest.mark.slow  # 8 s
def test_a_new_process_loads_it_by_name(run, hub, hf_trace, discover, records, tmp_path):
    hf_trace("push", run, "org/alarms", "--private")
    first = hub.repositories["model", "org/alarms"].head
    (run / "metrics.json").write_text("{}")
    hf_trace("push", run, "org/alarms", "--update")
    (tmp_path / "home").mkdir()
    code = f"""
import json, hf_trace
from transformers import pipeline
pipe = pipeline("causal-discovery", model="org/alarms")
old = pipeline("causal-discovery", model="org/alarms", revision={first!r})
out = pipe({records[0]!r}, max_lag=3, seed=0)
effect = pipeline("causal-effect", model="org/alarms")
quality = [each.event_model.quality for each in (pipe, old)]
print(json.dumps({{"edges": out["edges"], "quality": quality, "asked": type(effect.asked).__name__}}))
"""
    found = outcome(code, hub, tmp_path / "home")
    assert found["edges"] == discover(records[0], max_lag=3, seed=0)["edges"]
    assert found["quality"] == [{}, discover.event_model.quality]
    assert found["asked"] == "EventModel"


@pytest.mark.slow  # 7 s
def test_the_shim_needs_trust_and_no_import(run, hub, hf_trace, discover, records, tmp_path):
    hf_trace("push", run, "org/alarms")
    (tmp_path / "home").mkdir()
    code = f"""
import json, sys
from transformers import pipeline
assert "hf_trace" not in sys.modules
pipe = pipeline("causal-discovery-remote", model="org/alarms", trust_remote_code=True)
inferred = pipeline(model="org/alarms", trust_remote_code=True)
pipe.save_pretrained("copy")
again = pipeline("causal-discovery", model="copy")
outs = [each({records[0]!r}, max_lag=3, seed=0)["edges"] for each in (pipe, inferred, again)]
print(json.dumps({{"same": outs[0] == outs[1] == outs[2], "edges": outs[0]}}))
"""
    found = outcome(code, hub, tmp_path / "home")
    assert found["same"]
    assert found["edges"] == discover(records[0], max_lag=3, seed=0)["edges"]


def test_the_pipeline_publishes_its_run(discover, tiny_run, hub):
    url = discover.push_to_hub("alarms", private=True, commit_message="first")
    assert url == f"{hub.endpoint}/ann/alarms"
    assert set(hub.files("ann/alarms")) == RUN_FILES
    trained = json.loads((tiny_run / "training.json").read_text())
    assert json.loads(hub.files("ann/alarms")["training.json"]) == {**trained, "model": Path(trained["model"]).name}
    discover.push_to_hub("alarms")
    discover.events.push_to_hub("ann/vocabulary")
    assert "tokenizer.json" in hub.files("ann/vocabulary")
    discover.model.push_to_hub("ann/model")
    assert "model.safetensors" in hub.files("ann/model")


def test_a_saved_pipeline_asks_nobody_for_trust(discover, tiny_run, tmp_path):
    discover.save_pretrained(tmp_path / "copy")
    assert {path.name for path in (tmp_path / "copy").iterdir()} == {path.name for path in tiny_run.iterdir()}
    assert "custom_pipelines" not in json.loads((tmp_path / "copy/config.json").read_text())


def test_folders_of_this_machine_are_not_published(run, tmp_path, hf_trace):
    training = json.loads((run / "training.json").read_text())
    (run / "training.json").write_text(json.dumps({**training, "model": str(tmp_path / "secret" / "base")}))
    from hf_trace.publishing.publication import run_publication

    files = run_publication(run, "org/alarms").files
    texts = [each for each in files.values() if isinstance(each, bytes)]
    assert json.loads(files["training.json"])["model"] == "base"
    assert not any(str(tmp_path).encode() in text for text in texts)


def test_members_are_fetched_when_they_are_asked_for(run, hub, hf_trace, tmp_path, monkeypatch):
    from hf_trace.runs.folders import local_run

    shutil.copytree(run, tmp_path / "member")
    shutil.copytree(tmp_path / "member", run / "members" / "1")
    (run / "outcomes.json").write_text("{}")
    assert hf_trace("push", run, "org/several")[0] == 0
    assert "outcomes.json" not in hub.files("org/several")
    monkeypatch.setattr(hub_constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    without, with_them = local_run("org/several"), local_run("org/several", members=True)
    assert (without / "training.json").exists()
    assert (with_them / "members/1/model.safetensors").exists()
    assert local_run("org/absent") == Path("org/absent")


def test_an_oracle_needs_the_import_and_has_no_shim(world):
    from hf_trace.publishing.publication import run_publication

    files = run_publication(world / "oracle", "org/oracle").files
    assert "hf_trace_pipeline.py" not in files
    assert "trust_remote_code" not in files["README.md"].decode()


@pytest.mark.slow  # 8 s
def test_adapters_are_published_alone(tiny_log, tiny_settings, tmp_path, hub, hf_trace, refused):
    from dataclasses import replace

    from transformers import AutoModelForCausalLM

    from hf_trace.training.log_training import train

    GPT2LMHeadModel(GPT2Config(vocab_size=50, n_positions=64, n_embd=32, n_layer=1, n_head=2)).save_pretrained(
        tmp_path / "base"
    )
    settings = replace(tiny_settings, model=str(tmp_path / "base"), lora=True, epochs=0.1)
    run = train(tiny_log, tmp_path / "run", settings).folder
    assert "folder that others do not have" in refused("push", run, "org/adapters")
    hub.create_for_others("theirs/base")
    base = {path.name: path.read_bytes() for path in (tmp_path / "base").iterdir()}
    hub.repositories["model", "theirs/base"].commit(base)
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "base": "theirs/base"}))
    assert hf_trace("push", run, "org/adapters")[0] == 0
    files = hub.files("org/adapters")
    assert [name for name in files if name.endswith(".safetensors")] == ["adapter/adapter_model.safetensors"]
    assert json.loads(files["adapter/adapter_config.json"])["base_model_name_or_path"] == "theirs/base"
    assert "base_model: theirs/base" in files["README.md"].decode()
    assert "trust_remote_code" not in files["README.md"].decode()
    (tmp_path / "home").mkdir()
    code = """
import json, hf_trace
from transformers import pipeline
pipe = pipeline("causal-discovery", model="org/adapters")
print(json.dumps([type(pipe.model).__name__, len(pipe.events.event_types)]))
"""
    assert outcome(code, hub, tmp_path / "home") == ["GPT2LMHeadModel", 4]
    del AutoModelForCausalLM


@pytest.mark.slow  # 12 s
def test_adapters_stay_with_the_commit_they_were_trained_on(tmp_path, hub):
    GPT2LMHeadModel(GPT2Config(vocab_size=50, n_positions=64, n_embd=32, n_layer=1, n_head=2)).save_pretrained(
        tmp_path / "base"
    )
    hub.create_for_others("theirs/base")
    base = hub.repositories["model", "theirs/base"]
    base.commit({path.name: path.read_bytes() for path in (tmp_path / "base").iterdir()})
    (tmp_path / "home").mkdir()
    code = """
import json
import pandas as pd
from hf_trace import TrainingSettings, read_log, train
log = pd.DataFrame({"case": [number // 6 for number in range(72)], "event": list("abcabc") * 12})
train(read_log(log), "run", TrainingSettings(model="theirs/base", lora=True, epochs=1.0))
print(json.dumps(json.load(open("run/config.json"))["base_revision"]))
"""
    assert outcome(code, hub, tmp_path / "home") == base.head
    base.commit({"config.json": b"{}"})  # what comes later does not matter
    code = """
import json, hf_trace
from transformers import pipeline
print(json.dumps(type(pipeline("causal-discovery", model="run").model).__name__))
"""
    assert outcome(code, hub, tmp_path / "home") == "GPT2LMHeadModel"


def test_a_world_is_a_data_set_with_its_truth(world, hub, hf_trace, tmp_path):
    code, _, err = hf_trace("push", world, "org/world")
    assert code == 0
    assert err.splitlines()[-1] == f"Published: {hub.endpoint}/datasets/org/world"
    files = hub.files("org/world", "dataset")
    splits = {f"events/{name}.parquet" for name in ("train", "validation", "test")}
    assert set(files) == {
        *splits, ".gitattributes", "README.md", "training.json", "true_pairs.parquet", "truth.json",
    }  # fmt: skip
    (tmp_path / "home").mkdir()
    code = """
import json, hf_trace
from datasets import load_dataset
data = load_dataset("org/world")
pairs = load_dataset("org/world", "true_pairs")["train"]
log = hf_trace.read_log(data["validation"], case_column="id", event_column="event", time_column="time")
sizes = {name: len(part) for name, part in data.items()}
print(json.dumps([sizes, pairs.column_names, len(log), log[0].events]))
"""
    sizes, columns, sequences, events = outcome(code, hub, tmp_path / "home")
    assert sizes == {"train": 16 * 8, "validation": 2 * 8, "test": 2 * 8}
    assert (columns[0], sequences, len(events)) == ("id", 2, 8)


def test_a_log_is_a_data_set(place, hub, hf_trace):
    CausalGraph.from_edges([("A", "B")]).save(place / "known.json")
    arguments = ["--dataset", "--graph", "known.json", "--license", "cc-by-4.0", "--data", "Made by a rule."]
    code, _, err = hf_trace("push", "log.csv", "org/log", *arguments)
    assert code == 0, err
    files = hub.files("org/log", "dataset")
    assert CausalGraph.from_dict(json.loads(files["truth.json"])).edges[0]["effect"] == "B"
    for text in ("license: cc-by-4.0", "Made by a rule.", "| train | 32 |", "* known edges: 1"):
        assert text in files["README.md"].decode()


def test_a_log_is_published_from_python(timed_log, hub):
    from hf_trace import push_log

    assert push_log(timed_log, "org/log", private=True) == f"{hub.endpoint}/datasets/org/log"
    assert hub.repositories["dataset", "org/log"].private


def test_results_are_listed_for_a_data_set_of_the_hub(run, hub, hf_trace, place):
    CausalGraph.from_edges([("A", "B"), ("C", "B")], events=("A", "B", "C", "D")).save(place / "known.json")
    arguments = ["--data-repo", "org/log:plant", "--truth", "known.json"]
    assert hf_trace("push", run, "org/alarms", *arguments)[0] == 0
    files = hub.files("org/alarms")
    losses = json.loads((run / "metrics.json").read_text())["validation"]
    [entry] = yaml.safe_load(files[".eval_results/next-event.yaml"])
    assert entry["dataset"] == {"id": "org/log", "task_id": "next-event"}
    assert entry["value"] == round(losses["loss"], 4)
    assert f"bigram {losses['bigram']:.4g}" in entry["notes"]
    [entry] = yaml.safe_load(files[".eval_results/known-graph.yaml"])
    # A -> B is the one edge, so it comes first; C -> B ties with the ten others: 1/2 (1 + 2/12).
    assert (entry["dataset"]["task_id"], entry["value"]) == ("plant", round((1 + 2 / 12) / 2, 4))
    assert entry["source"]["url"] == "https://huggingface.co/org/alarms"
    card = files["README.md"].decode()
    header = yaml.safe_load(card.split("---\n")[1])
    assert header["datasets"] == ["org/log"]
    assert {each["dataset"]["type"] for each in header["model-index"][0]["results"]} == {"org/log"}
    assert (header["library_name"], header["pipeline_tag"]) == ("transformers", "other")
    assert "2 known edges among 4 event types; AUPRC of chance 0.167." in card
    assert "| every edge | 0.500 | 0.167 | 0.286 |" in card
    # What is no longer said is taken away.
    assert hf_trace("push", run, "org/alarms", "--overwrite")[0] == 0
    assert not [name for name in hub.files("org/alarms") if name.startswith(".eval_results")]


def test_results_that_cannot_be(run, refused, place):
    (run / "graph.json").unlink()
    CausalGraph.from_edges([("A", "B")]).save(place / "known.json")
    assert refused("push", run, "org/x", "--dry-run", "--truth", "known.json") == (
        "A known graph is given, and no discovered one to set beside it. Name that one: `--graph graph.json`."
    )
    assert refused("push", run, "org/x", "--dry-run", "--data-repo", "log") == (
        "data_repo is 'log', expected ORG/NAME of a data set on the Hub, or ORG/NAME:TASK."
    )


def test_run_data_and_space_are_in_one_collection(run, place, hub, hf_trace):
    together = ["--collection", "Alarms of a plant"]
    pushes = (
        ["log.csv", "org/log", "--dataset"],
        [run, "org/alarms", "--data-repo", "org/log"],
        [run, "org/try", "--space", "--data-repo", "org/log", "--run-repo", "org/alarms"],
    )
    for words in pushes:
        code, _, err = hf_trace("push", *words, *together)
        assert code == 0, err
        assert f"In the collection {hub.endpoint}/collections/org/alarms-of-a-plant-1" in err
    [found] = hub.collections.values()
    assert found["items"] == [("dataset", "org/log"), ("model", "org/alarms"), ("space", "org/try")]
    assert hf_trace("push", run, "org/alarms", "--overwrite", *together)[0] == 0  # it is there already
    assert len(found["items"]) == 3
    card = yaml.safe_load(hub.files("org/try", "space")["README.md"].decode().split("---\n")[1])
    assert (card["models"], card["datasets"]) == (["org/alarms"], ["org/log"])
    assert 'model="org/alarms"' in hub.files("org/try", "space")["run/README.md"].decode()


def test_a_collection_that_cannot_be_changed(run, hub, refused, monkeypatch):
    monkeypatch.setattr("tests.hub_stand_in._Handler.add_to_collection", lambda self, _: self.reply({}, 403))
    from tests import hub_stand_in

    routes = [(*route[:2], hub_stand_in._Handler.add_to_collection) if "items" in route[1] else route
              for route in hub_stand_in._ROUTES]  # fmt: skip
    monkeypatch.setattr(hub_stand_in, "_ROUTES", routes)
    assert refused("push", run, "org/alarms", "--collection", "Ours") == (
        "org/alarms is published, and not in the collection 'Ours': The token may not write 'org/alarms'. Use one with "
        "the right to write there (`hf auth login`), or choose another name."
    )
    assert "README.md" in hub.files("org/alarms")
