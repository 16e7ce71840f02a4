"""The causal-discovery pipeline: inputs, parameters, sameness of results, saving, and refusals."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator

import datasets
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, BertConfig, BertLMHeadModel, pipeline

from hf_trace.discovery.results import log_result
from hf_trace.errors import (
    ContextLengthError,
    EmptyLogError,
    FutureLeakError,
    ModelLoadError,
    NonFiniteError,
    PipelineInputError,
    SettingsError,
    TimestampError,
    UnknownEventError,
    VocabularyMismatchError,
)
from hf_trace.graphs.graph import CausalGraph
from hf_trace.logs.log import EventLog
from hf_trace.pipelines.discovery_pipeline import CausalDiscoveryPipeline, load_pipeline
from hf_trace.runs.folders import load_model, save_run
from hf_trace.tokenizers.event_tokenizer import EventTokenizer

RECORD = {"id": "one", "events": ["C", "A", "B", "D", "C", "A", "B", "D"]}


def refused(error, call, *arguments, **options):
    with pytest.raises(error) as caught:
        call(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def plain(outputs):
    """Outputs with arrays as lists, to compare them exactly."""
    return json.loads(json.dumps(outputs, default=lambda array: array.tolist()))


def close(found, expected):
    """Whether outputs are the same up to the rounding of sums in float32."""
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(close(found[key], expected[key]) for key in expected)
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(close, found, expected))
    if isinstance(expected, float):
        return abs(found - expected) < 1e-6 or (found != found and expected != expected)
    return found == expected


@pytest.fixture
def run(tiny_run, tmp_path):
    """A copy of a run folder that a test may break."""
    return shutil.copytree(tiny_run, tmp_path / "run")


def test_the_rule_is_found(discover):
    output = discover(RECORD, proposal="exhaustive")
    assert output["id"] == "one"
    strongest = sorted(output["edges"], key=lambda edge: -edge["cmi"])[:2]
    assert {(edge["cause_position"], edge["effect_position"]) for edge in strongest} == {(1, 2), (5, 6)}
    for edge in strongest:
        assert (edge["cause"], edge["effect"], edge["lag"], edge["direction"]) == ("A", "B", 1, "excites")
        # Replaced by a random type, the event before a B is an A one time in four, so that B's chance falls from
        # about 1 to about 1/4: ln 4 = 1.39 nats.
        assert edge["cmi"] == pytest.approx(np.log(4), abs=0.5)
    assert ("A", "B") in {(edge["cause"], edge["effect"]) for edge in output["summary"]}


def test_output(discover):
    output = discover(RECORD, max_lag=3, seed=7)
    assert set(output) == {"id", "edges", "summary", "graph", "oracle", "settings"}
    assert all(1 <= edge["lag"] <= 3 for edge in output["edges"])
    assert (output["settings"]["max_lag"], output["settings"]["seed"]) == (3, 7)
    # The settings repeat the call.
    assert plain(discover(RECORD, **output["settings"])) == plain(output)
    graph = CausalGraph.from_dict(output["graph"])
    assert graph.level == "instance"
    assert graph.events == tuple(RECORD["events"])
    assert list(graph.edges) == output["edges"]
    assert graph.metadata["settings"] == output["settings"]
    assert output["oracle"]["events"] == 48
    json.dumps(output)


def test_graph_keeps_times(discover_timed):
    record = {**RECORD, "timestamps": [0.0, 10.0, 15.0, 100.0, 110.0, 120.0, 121.0, 130.0]}
    edges = discover_timed(record, threshold="fixed:0")["edges"]
    times = record["timestamps"]
    assert edges
    for edge in edges:
        assert edge["lag_seconds"] == times[edge["effect_position"]] - times[edge["cause_position"]]
    assert {edge["cause"] for edge in edges} <= set("ABCD")


def test_levels(discover, records):
    for level in ("instance", "summary"):
        output = discover(RECORD, level=level)
        assert CausalGraph.from_dict(output["graph"]).level == level
        assert len(output["graph"]["edges"]) == len(output["edges" if level == "instance" else "summary"])
    output = discover(records, level="population", proposal="exhaustive")
    graph = CausalGraph.from_dict(output["graph"])
    assert graph.level == "population"
    assert output["sequences"] == len(records)
    strongest = max(output["edges"], key=lambda edge: edge["cmi"])
    assert (strongest["cause"], strongest["effect"]) == ("A", "B")
    # A and B, in that order, are in each of the six sequences.
    assert (strongest["support"], strongest["frequency"]) == (6, 1.0)
    assert plain(discover(records, **output["settings"])) == plain(output)


def test_scores_on_request(discover):
    assert "scores" not in discover(RECORD)
    scores = discover(RECORD, max_lag=2, return_scores=True)["scores"]
    pairs = [(cause, effect) for cause in range(8) for effect in range(cause + 1, min(cause + 3, 8))]
    assert list(zip(scores["cause_position"].tolist(), scores["effect_position"].tolist(), strict=True)) == pairs
    assert set(scores) == {"cause_position", "effect_position", "cmi", "gain", "standard_error"}
    assert (scores["cmi"] >= 0).all()


@pytest.mark.parametrize(
    "form", [list, tuple, EventLog.from_dataset, datasets.Dataset.from_list], ids=["list", "tuple", "log", "dataset"]
)
def test_inputs_with_a_length_give_lists(discover, records, form):
    inputs = form(iter(records)) if form == EventLog.from_dataset else form(records)
    outputs = discover(inputs)
    assert isinstance(outputs, list)
    assert close(plain(outputs), [plain(discover(record)) for record in records])


@pytest.mark.parametrize("form", [iter, lambda records: datasets.IterableDataset.from_generator(lambda: iter(records))])
def test_streams_give_streams(discover, records, form):
    outputs = discover(form(records), batch_size=1)
    assert isinstance(outputs, Iterator)
    assert close(plain(list(outputs)), plain(discover(records)))


def test_streams_are_read_a_batch_at_a_time(discover, records):
    read = []
    outputs = discover((read.append(record["id"]) or record for record in records), batch_size=2)
    assert read == []
    next(outputs)
    assert len(read) == 2


def test_events_in_any_container(discover):
    expected = plain(discover(RECORD))
    for events in (tuple(RECORD["events"]), np.array(RECORD["events"]), iter(RECORD["events"])):
        assert plain(discover({**RECORD, "events": events})) == expected


@pytest.mark.parametrize("proposal", ["uniform", "unigram", "model", "exhaustive"])
def test_batches_and_order_change_no_result(discover, proposal):
    lengths = (8, 3, 1, 6, 8, 2)
    records = [{"id": str(n), "events": RECORD["events"][n % 3 :][:length]} for n, length in enumerate(lengths)]
    options = {"proposal": proposal, "return_scores": True, "num_samples": 8}
    alone = [plain(discover(record, **options)) for record in records]
    for batch_size in (1, 4, 32):
        assert close(plain(discover(records, batch_size=batch_size, **options)), alone)
        assert close(plain(discover(records[::-1], batch_size=batch_size, **options)), alone[::-1])


def test_order_changes_no_population(discover, records):
    forward, backward = (plain(discover(some, level="population"))["edges"] for some in (records, records[::-1]))
    by_name = {(edge["cause"], edge["effect"]): edge for edge in backward}
    assert close([by_name.pop((edge["cause"], edge["effect"])) for edge in forward], forward)
    assert not by_name


def test_seeds(discover):
    options = {"num_samples": 2, "return_scores": True}
    first, again, other = (plain(discover(RECORD, seed=seed, **options)) for seed in (1, 1, 2))
    assert first == again
    assert first["scores"] != other["scores"]


def test_parameters_at_construction_and_at_call(tiny_run):
    made = pipeline("causal-discovery", model=str(tiny_run), max_lag=2, level="summary", batch_size=3)
    assert made.settings().max_lag == 2
    assert made.settings(max_lag=5).max_lag == 5
    assert made(RECORD)["settings"]["level"] == "summary"
    assert made(RECORD, level="instance")["settings"] == {**made(RECORD)["settings"], "level": "instance"}
    # A call changes nothing for the next one.
    assert made.settings().max_lag == 2
    read = []
    next(made(read.append(n) or RECORD for n in range(9)))
    assert len(read) == 3


@pytest.mark.slow  # 10 s
def test_either_import_order(tiny_run):
    codes = [
        f"import {first}, {second}; from transformers import pipeline; "
        f"print(type(pipeline('causal-discovery', model={str(tiny_run)!r})).__name__)"
        for first, second in (("hf_trace", "transformers"), ("transformers", "hf_trace"))
    ]
    running = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for code in codes]
    assert [process.communicate()[0] for process in running] == ["CausalDiscoveryPipeline\n"] * 2


def test_saved_and_loaded_again_without_trust(discover, tmp_path):
    discover.save_pretrained(tmp_path / "copy")
    assert not list((tmp_path / "copy").glob("*.py"))
    assert "custom_pipelines" not in json.loads((tmp_path / "copy" / "config.json").read_text())
    again = pipeline("causal-discovery", model=str(tmp_path / "copy"))
    assert plain(again(RECORD)["edges"]) == plain(discover(RECORD)["edges"])


def test_model_objects(tiny_run, discover):
    expected = plain(discover(RECORD))
    model = AutoModelForCausalLM.from_pretrained(tiny_run)
    tokenizers = [load.from_pretrained(tiny_run) for load in (AutoTokenizer, EventTokenizer)]
    for tokenizer in (None, str(tiny_run), *tokenizers):
        made = pipeline("causal-discovery", model=model, tokenizer=tokenizer)
        assert plain(made(RECORD)) == expected
    assert plain(load_pipeline(tiny_run)(RECORD)) == expected


def test_model_object_from_no_folder(tiny_run):
    config = load_model(tiny_run).config
    config._name_or_path = ""
    model = AutoModelForCausalLM.from_config(config)
    assert refused(ModelLoadError, CausalDiscoveryPipeline, model) == (
        "The model has no tokenizer, and no folder to read one from. Pass `tokenizer=`."
    )
    made = CausalDiscoveryPipeline(model, EventTokenizer.from_pretrained(tiny_run))
    assert "loss" not in made(RECORD)["oracle"]


def test_warning_about_a_poor_oracle(run):
    metrics = json.loads((run / "metrics.json").read_text())
    for beats in (True, False):
        metrics["validation"]["beats_bigram"] = beats
        (run / "metrics.json").write_text(json.dumps(metrics))
        output = load_pipeline(run)(RECORD)
        assert ("warning" in output["oracle"]) is not beats
        assert output["graph"]["metadata"]["oracle"] == output["oracle"]


def test_one_event_has_no_causes(discover):
    output = discover({"events": ["A"]}, return_scores=True)
    assert output["edges"] == []
    assert len(output["scores"]["cmi"]) == 0


def test_unknown_events_are_read_but_never_tested(discover):
    scores = discover({"events": ["A", "x", "B"]}, unknown="map", return_scores=True)["scores"]
    assert list(zip(scores["cause_position"].tolist(), scores["effect_position"].tolist(), strict=True)) == [(0, 2)]


def test_the_longest_sequences_are_read(discover, discover_timed):
    events = ["A", "B"] * 20
    assert discover({"events": events[:13]})["edges"]
    assert refused(ContextLengthError, discover, {"id": "x", "events": events[:26]}) == (
        "The sequence 'x' has 26 events, the model reads at most 25. Cut it with `hf_trace.cut_windows(log, "
        "length=25)` (`--window-length 25`), pass slide=True (`--slide`), or train with a longer window."
    )
    timed = {"id": "x", "events": events[:14], "timestamps": list(range(14))}
    assert refused(ContextLengthError, discover_timed, timed) == (
        "The sequence 'x' has 14 events, the model reads at most 13. Cut it with `hf_trace.cut_windows(log, "
        "length=13)` (`--window-length 13`), pass slide=True (`--slide`), or train with a longer window."
    )
    discover_timed({"events": events[:13], "timestamps": list(range(13))})


def test_longer_sequences_slide(discover):
    """Every event is tested, and what both ways read whole comes out alike."""
    events = ["A", "B"] * 30
    options = {"max_lag": 4, "return_scores": True, "proposal": "exhaustive"}
    scores = discover({"events": events}, slide=True, **options)["scores"]
    assert sorted(set(scores["cause_position"])) == list(range(59))
    short = discover({"events": events[:25]}, **options)["scores"]
    early = scores["cause_position"] < 25 - 4
    assert scores["cmi"][early] == pytest.approx(short["cmi"][short["cause_position"] < 25 - 4], abs=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": "global"}, "level is 'global', expected one of: instance, summary, population."),
        ({"unknown": "skip"}, "unknown is 'skip', expected one of: error, map."),
        (
            {"threshold": "big"},
            "threshold is 'big', expected a kind and a value >= 0 such as 'margin:0.05' (nats) or 'fixed:3e-5'; kinds: "
            "margin, fixed, quantile, per-lag, fdr, validated.",
        ),
        ({"batch_size": 0}, "batch_size is 0, expected a whole number of at least 1."),
        ({"batch_size": "8"}, "batch_size is '8', expected a whole number of at least 1."),
        ({"min_frequency": 5}, "min_frequency is 5, expected a number from 0 to 1, or 'adaptive'."),
        ({"bootstrap": -1}, "bootstrap is -1, expected a whole number of at least 0."),
        (
            {"bootstrap": 10},
            "bootstrap is 10 with level 'instance' and direct effects, expected a population graph of direct effects, "
            "whose sequences can be resampled. Leave `--bootstrap` out.",
        ),
        ({"min_frequency": "half"}, "min_frequency is 'half', expected a number from 0 to 1, or 'adaptive'."),
        ({"min_support": 0}, "min_support is 0, expected a whole number of at least 1."),
        ({"max_lag": 0}, "max_lag is 0, expected a whole number of at least 1."),
        (
            {"maxlag": 3},
            "Unknown parameter 'maxlag', expected one of: max_lag, threshold, num_samples, proposal, construction, "
            "statistic, effect, horizon, num_contexts, refine, prefix_length, seed, self_loops, knowledge, ties, "
            "variable, question, level, batch_size, return_scores and 6 more. Did you mean 'max_lag'?",
        ),
    ],
)
def test_bad_parameters(discover, options, message):
    assert refused(SettingsError, discover, RECORD, **options) == message


@pytest.mark.parametrize("at_call", [{}, {"max_lag": 3}])
def test_parameters_of_construction_count_in_every_question(tiny_run, tiny_log, records, at_call):
    built = {"max_lag": 2, "threshold": "margin:0.2", "min_frequency": 0.9, "batch_size": 3}
    discover = pipeline("causal-discovery", model=str(tiny_run), **built)
    expected = {"threshold": "margin:0.2", "min_frequency": 0.9, "max_lag": at_call.get("max_lag", 2)}
    request = discover.request(level="population", **at_call)
    assert request.batch_size == 3
    of_log = log_result(discover.event_model, tiny_log, request)
    for settings in (
        discover(records, level="population", **at_call)["settings"],
        of_log.settings,
        of_log.graph.metadata["settings"],
    ):
        assert {name: settings[name] for name in expected} == expected
    assert discover(records[0], **at_call)["settings"]["threshold"] == "margin:0.2"
    assert discover.settings(**at_call).max_lag == expected["max_lag"]
    lags = [edge["lag"] for edge in discover(records, threshold="fixed:0", **at_call)[0]["edges"]]
    assert max(lags) <= expected["max_lag"]


def test_bad_parameters_at_construction(tiny_run):
    message = refused(SettingsError, pipeline, "causal-discovery", model=str(tiny_run), maxlag=3)
    assert message.startswith("Unknown parameter 'maxlag', expected one of: max_lag, ")


def test_bad_records(discover):
    assert refused(PipelineInputError, discover, ["A", "B"]).startswith("Got a list of 2 strings")
    assert refused(EmptyLogError, discover, []).startswith("Got an empty list")
    assert refused(UnknownEventError, discover, {"events": ["A", "x"]}) == (
        "1 event is not in the model's vocabulary of 4 types: 'x' (first at position 1). Train on a log that has "
        'them, or pass unknown="map" (`--unknown map`) to read them as unknown.'
    )


def test_times_are_needed_where_gaps_are_written(discover_timed):
    assert refused(TimestampError, discover_timed, RECORD) == (
        "The model was trained with the time between events, but the sequence has no timestamps. Pass `timestamps` "
        "(seconds, one per event), or train with `--no-gaps`."
    )


def test_a_vocabulary_of_another_model(run):
    EventTokenizer.from_event_types("ABCDEF").save_pretrained(run)
    assert refused(VocabularyMismatchError, load_pipeline, run) == (
        "The tokenizer has 10 tokens but the model predicts 8. They were not saved together: load both from one run "
        "folder."
    )
    assert refused(VocabularyMismatchError, pipeline, "causal-discovery", model=str(run)).startswith("The tokenizer")


def test_a_folder_without_a_tokenizer(run):
    (run / "tokenizer.json").unlink()
    assert refused(ModelLoadError, load_pipeline, run) == (
        f"The folder '{run}' holds no tokenizer.json. Expected a run folder written by `hf-trace train`, or a folder "
        "with a tokenizer."
    )


def test_a_model_that_sees_the_future(tmp_path):
    tokenizer = EventTokenizer.from_event_types("ABCD")
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    torch.manual_seed(0)
    model = BertLMHeadModel(BertConfig(vocab_size=8, is_decoder=True, initializer_range=0.2, **shape))
    model.config.is_decoder = False
    save_run(tmp_path, model, tokenizer)
    message = refused(FutureLeakError, load_pipeline, tmp_path)
    assert message.startswith("Changing the last token moves earlier predictions by ")
    assert message.endswith(
        ", expected 0: this model sees the future. Load BERT-like checkpoints with is_decoder=True, or use a causal "
        "language model."
    )


def test_a_model_of_nan(run):
    weights = load_file(run / "model.safetensors")
    weights["lm_head.weight"][0] = torch.nan
    save_file(weights, run / "model.safetensors", {"format": "pt"})
    assert refused(NonFiniteError, load_pipeline, run) == (
        f"32 of the 256 numbers of the weight 'lm_head.weight' of '{run}' are NaN or infinite, expected finite ones. "
        "Train it again with a lower learning rate, or take an earlier checkpoint."
    )
