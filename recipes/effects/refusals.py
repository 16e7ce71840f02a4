"""What is refused, and in which words: wrong graphs, wrong tables, wrong questions, unanswerable ones."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nets
import pandas as pd
from interventions import schema_of
from ours import trained
from transformers import pipeline

from hf_trace.errors import HfTraceError
from hf_trace.tables.encoding import encode_table
from hf_trace.tables.inference import infer_schema
from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import Variable

EDGES = [("sick", "drug"), ("drug", "well")]
FRAME = pd.DataFrame({"sick": ["no", "yes"] * 5, "drug": ["no", "yes"] * 5, "well": ["yes", "no"] * 5})
LOOKS_AHEAD = {"when": {"days": "2"}, "then": {"yes": 1.0}}
HIDDEN = DagSchema(
    (
        Variable("luck", latent=True),
        Variable("drug", values=("no", "yes"), parents=("luck",)),
        Variable("well", values=("no", "yes"), parents=("drug", "luck")),
    )
)


def refusals(options: argparse.Namespace) -> list[dict]:
    """Every mistake and what is said about it."""
    net = nets.DRUG
    model = trained(pd.DataFrame(nets.sample(net, options.rows, 0)), schema_of(net), options, "drug-policy")
    rows = pd.DataFrame([{"drug": "no", "well": "yes"}, {"drug": "yes", "well": "no"}] * 50)
    hidden = trained(rows, HIDDEN, options, "hidden", history="full", order="random", epochs=1.0)
    wide = FRAME.assign(days=["1", "2", "12a", "4", "5", "6", "7", "8", "9", "10"])
    tables: list[tuple[str, Callable[[], Any]]] = [
        ("a cycle", lambda: infer_schema([*EDGES, ("well", "sick")], FRAME)),
        ("a variable without a column", lambda: infer_schema([*EDGES, ("drug", "wel")], FRAME)),
        ("a column with nothing in it", lambda: infer_schema(EDGES, FRAME.assign(drug=None))),
        ("text among numbers", lambda: infer_schema([*EDGES, ("drug", "days")], wide, kinds={"days": "numeric"})),
        ("a value never seen", lambda: encode_table(infer_schema(EDGES, FRAME), FRAME.replace("yes", "Yes"))),
        ("an empty table", lambda: infer_schema(EDGES, FRAME[:0])),
        (
            "a run made for events",
            lambda: pipeline("causal-effect", model=str(events_run(options.out / "runs" / "events"))),
        ),
    ]
    questions = [
        ("no such variable", {"target": "recoverd"}),
        ("no such value", {"target": "recovered", "do": {"drug": "Yes"}}),
        ("done and given", {"target": "recovered", "do": {"drug": "yes"}, "given": {"drug": "no"}}),
        ("the target is done", {"target": "recovered", "do": {"recovered": "yes"}}),
        (
            "a policy that looks ahead",
            {"target": "days", "do": {"drug": [{"when": {"days": "2"}, "then": {"yes": 1.0}}]}},
        ),
        ("probabilities that do not add up", {"target": "days", "do": {"drug": {"yes": 0.4}}}),
    ]
    lamp = trained(pd.DataFrame(nets.sample(nets.LAMP, options.rows, 0)), schema_of(nets.LAMP), options, "lamp")
    cases = [*tables, *((name, lambda asked=asked: model.effect(asked)) for name, asked in questions)]
    impossible = {"target": "relay", "do": {"main": "off"}, "given": {"lamp": "lit"}}
    cases.append(("evidence that never happens", lambda: lamp.effect(impossible)))
    cases.append(("a latent confounder", lambda: hidden.effect({"target": "well", "do": {"drug": "yes"}})))
    return [{"mistake": name, "message": message_of(case)} for name, case in cases]


def message_of(case: Callable[[], Any]) -> str:
    """What is said; a mistake that passes is one of ours."""
    try:
        answer = case()
        if isinstance(answer, dict) and answer["warnings"]:
            return f"answered with a warning: {' '.join(answer['warnings'])}"
    except HfTraceError as error:
        return str(error)
    return "NOT REFUSED"


def events_run(folder: Path) -> Path:
    """A folder with a tokenizer of events and a model."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from hf_trace.tokenizers.event_tokenizer import EventTokenizer

    tokenizer = EventTokenizer.from_event_types(["a", "b"])
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **shape)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
