"""Questions as documents: what is no question is one mistake, whatever JSON can hold."""

import pytest
from tests.models import tiny_model

from hf_trace.effects.conditionals import Conditionals
from hf_trace.effects.question_records import QuestionReader
from hf_trace.errors import HfTraceError
from hf_trace.oracle.engine import Oracle
from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import Variable
from hf_trace.tokenizers.dag_tokenizer import DagTokenizer

SCHEMA = DagSchema(
    (
        Variable("skill", values=("low", "high")),
        Variable("dose", "numeric", values=("< 1", "≥ 1"), edges=(1.0,), means=(0.5, 2.0)),
        Variable("moves", "sequence", values=("N", "E"), parents=("skill",), max_length=3),
        Variable("won", values=("no", "yes"), parents=("skill", "dose", "moves")),
    )
)
DEEP: list = []
for _ in range(90):
    DEEP = [DEEP]
RECORDS = [3, [], DEEP, "won", {}, {"target": 3}, {"target": ["won"]}, {"target": "won", "Do": {}}]
VALUES = {
    "skill": [
        *(3, None, float("nan"), 10**299, 10**400, "", [], {}, DEEP, [3], [None], {"high": None}, {"high": 2}),
        [{"when": 3, "then": "low"}],
        [{"when": [1], "then": "low"}],
        [{"when": {"won": "high"}, "then": "low"}],
        [{"when": {"dose": []}, "then": "low"}],
    ],
    "dose": [float("nan"), 1e999, 10**400, [], "x"],
    "moves": [3, [["N"]], [{}], DEEP, ["N"] * 50, {"prefix": 3}, {"prefix": ["X"]}, {"beginning": ["N"]}]
    + [{"length": length} for length in (-1, "2", 10**200, True)],
}


@pytest.fixture(scope="module")
def reader():
    tokenizer = DagTokenizer.from_schema(SCHEMA)
    conditionals = Conditionals(Oracle(tiny_model("llama")), SCHEMA, tokenizer.variables, (1,), parents_only=False)
    return QuestionReader(tokenizer, conditionals)


@pytest.mark.parametrize("number", range(len(RECORDS)))
def test_what_is_no_question(reader, number):
    with pytest.raises(HfTraceError, match=r"^[^\n]+$"):
        reader.query(RECORDS[number])


@pytest.mark.parametrize(("name", "number"), [(name, place) for name in VALUES for place in range(len(VALUES[name]))])
def test_what_is_no_value(reader, name, number):
    with pytest.raises(HfTraceError, match=r"^[^\n]+$"):
        reader.query({"target": "won", "do": {name: VALUES[name][number]}})
