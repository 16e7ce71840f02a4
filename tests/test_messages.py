"""Every class of mistake, raised as a user raises it, with its message in full: found, expected, what to do."""

import inspect
import re

import numpy as np
import pandas as pd
import pytest
import torch

from hf_trace import (
    CausalGraph,
    DagSchema,
    DiscoverySettings,
    EventSequence,
    EventTokenizer,
    Variable,
    encode_table,
    errors,
    push_log,
    read_log,
)
from hf_trace.app.bounds import Gate


def schema(*, latent=False):
    hidden = (Variable("U", values=("0", "1"), latent=True),) if latent else ()
    parents = ("U",) if latent else ()
    return DagSchema((
        *hidden,
        Variable("A", values=("0", "1"), parents=parents),
        Variable("Y", values=("0", "1"), parents=("A", *parents)),
    ))  # fmt: skip


def small_model(kind="llama", **config):
    from tests.models import tiny_model

    model = tiny_model(kind)
    for name, value in config.items():
        setattr(model.config, name, value)
    return model


def broken_model():
    model = small_model()
    with torch.no_grad():
        model.lm_head.weight.fill_(torch.nan)
    return model


def check_two_types():
    from hf_trace.runs.folders import check_vocabulary

    check_vocabulary(EventTokenizer.from_event_types(["A", "B"]), small_model())


def oracle_of(model):
    from hf_trace.oracle.engine import Oracle

    return Oracle(model)


def seeing_model():
    from transformers import AutoModelForCausalLM, BertConfig

    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    return AutoModelForCausalLM.from_config(BertConfig(vocab_size=23, **shape)).eval()


def long_context():
    from hf_trace.runs.event_model import EventModel

    tokenizer = EventTokenizer.from_event_types([f"e{number}" for number in range(19)])
    model = EventModel(oracle_of(small_model()), tokenizer)
    return model.history(EventSequence(("e1",) * 9), 8, ahead=70, unknown="error")


def one(record):
    from hf_trace.pipelines.records import one

    return one(record)


def load_model(folder):
    from hf_trace.runs.folders import load_model

    return load_model(folder)


def confounded():
    from hf_trace.effects.identification import identify

    return identify(schema(latent=True), target="Y", do=["A"])


def nobody_treated():
    from hf_trace.effects.doubly_robust import Rows, aipw_ate

    half, none = np.full((4, 2), 0.5), np.zeros(4, dtype=bool)
    return aipw_ate(Rows(none, ~none, half[:, 0], half, half))


def one_of_two_failed():
    from hf_trace.runs.processes import Processes

    raise Processes(index=0, count=2)._left_alone()


def three_at_a_gate_for_two():
    gate = Gate(1)
    with gate.queued(), gate.queued(), gate.queued():
        pass


CASES = {
    "LogFormatError": (
        lambda: read_log("log.xlsx"),
        "'log.xlsx' is a .xlsx file, expected one of .csv, .jsonl, .ndjson, .parquet, .tsv, .xes or plain text. "
        "Convert it, to CSV for example.",
    ),
    "ColumnError": (
        lambda: read_log("log.csv", case_column="device"),
        "`case_column='device'` is not one of the 3 columns 'case', 'activity', 'time'. Name one of them.",
    ),
    "TimestampError": (
        lambda: read_log([{"events": ["A", "B"], "timestamps": [0.0]}]),
        "Record 1 has 2 events and 1 timestamps, expected one per event. Correct the record, or leave `timestamps` out "
        "of all records.",
    ),
    "EmptyLogError": (
        lambda: read_log("empty.csv"),
        "'empty.csv' is empty (0 bytes), expected an event log. Check how it was exported.",
    ),
    "EventNameError": (
        lambda: EventTokenizer.from_event_types(["A", "A"]),
        "The event type 'A' is listed twice. Expected distinct names.",
    ),
    "UnknownEventError": (
        lambda: EventTokenizer.from_event_types(["A", "B"]).encode(EventSequence(("A", "x"))),
        "1 event is not in the model's vocabulary of 2 types: 'x' (first at position 1). Train on a log that has them, "
        'or pass unknown="map" (`--unknown map`) to read them as unknown.',
    ),
    "VocabularyMismatchError": (
        check_two_types,
        "The tokenizer has 6 tokens but the model predicts 23. They were not saved together: load both from one run "
        "folder.",
    ),
    "ContextLengthError": (
        long_context,
        "The model reads 63 events, too few for 69 events ahead of one with a past. Shorten the horizon (`--within`, "
        "`--horizon`), or train with a longer `--window-length`.",
    ),
    "PipelineInputError": (
        lambda: one(["A", "B"]),
        'Got a list, expected one record: {"events": [...]}, optionally with "timestamps" and "id".',
    ),
    "ModelLoadError": (
        lambda: load_model("."),
        "The folder '.' holds no config.json. Expected a run folder written by `hf-trace train`, or any "
        "folder of a causal language model.",
    ),
    "FutureLeakError": (
        lambda: oracle_of(seeing_model()),
        "Changing the last token moves earlier predictions by …, expected 0: this model sees the future. Load"
        " BERT-like checkpoints with is_decoder=True, or use a causal language model.",
    ),
    "NonFiniteError": (
        lambda: oracle_of(broken_model()),
        "The model returns NaN or infinite logits, expected finite ones. Load it with dtype='float32', or "
        "train it again with a lower learning rate.",
    ),
    "SettingsError": (lambda: DiscoverySettings(max_lag=0), "max_lag is 0, expected a whole number of at least 1."),
    "GraphFormatError": (
        lambda: CausalGraph.from_dict({"format": "gexf"}),
        "Got a document of format 'gexf'. Expected 'hf_trace.causal_graph'.",
    ),
    "DagFormatError": (
        lambda: DagSchema((Variable("A", values=("0", "1"), parents=("A",)),)),
        "The variable 'A' is its own parent. Expected a graph without cycles.",
    ),
    "TableError": (
        lambda: encode_table(schema(), pd.DataFrame({"A": ["0"]})),
        "The table has no column 'Y', which the graph names; it has 'A'. Rename the column, or mark the variable as "
        "latent.",
    ),
    "QueryError": (lambda: schema().observed("Z"), "There is no variable 'Z', expected one of the 2 of the graph."),
    "NotIdentifiedError": (
        confounded,
        "p(Y | do(A)) cannot be told from observations: the latent 'U' causes both 'A' and 'Y', and nothing "
        "observed blocks it. Measure 'U', or a variable between it and 'Y' that 'A' does not cause. (No "
        "formula of observed quantities gives it: the search for one is complete. `--bounds` says how far the answer "
        "may lie.)",
    ),
    "OverlapError": (
        nobody_treated,
        "None of 4 rows is treated, expected some of both. Compare values of the treatment that occur in the data.",
    ),
    "OutputError": (
        lambda: CausalGraph.from_edges([("a", "b")]).save("absent/graph.json"),
        "Cannot write 'absent/graph.json': there is no folder 'absent'. Create it, or choose another place.",
    ),
    "PublishError": (
        lambda: push_log(read_log("log.csv"), "org/name"),
        "Nobody is logged in to the Hub: there is no token. Run `hf auth login`, or set HF_TOKEN to a token that may "
        "write.",
    ),
    "BusyError": (
        three_at_a_gate_for_two,
        "2 questions are asked at the moment, as many as are taken. Ask again in a minute.",
    ),
    "ProcessError": (
        one_of_two_failed,
        "Another of the 2 processes has ended before its work was done. What is finished is kept: start the same "
        "command again with `--resume`.",
    ),
}


@pytest.fixture
def files(tmp_path, monkeypatch):
    (tmp_path / "log.xlsx").write_bytes(b"x")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "log.csv").write_text("case,activity,time\n1,A,5\n1,B,6\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("hf_trace.publishing.publication.get_token", lambda: None)


@pytest.mark.parametrize("name", CASES)
def test_the_message_in_full(name, files):
    wrong, message = CASES[name]
    with pytest.raises(errors.HfTraceError) as caught:
        wrong()
    assert type(caught.value).__name__ == name
    # How far a random model sees ahead differs between machines.
    assert re.sub(r"by \d\S*,", "by …,", str(caught.value)) == message
    assert "\n" not in message


def test_every_mistake_has_a_case():
    classes = inspect.getmembers(errors, lambda each: inspect.isclass(each) and issubclass(each, errors.HfTraceError))
    assert {name for name, _ in classes} - {"HfTraceError"} == set(CASES)
