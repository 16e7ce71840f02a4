"""Groups that a model misses: those of counts are none, and a mean that is off is told with its numbers."""

import numpy as np
import pytest
import torch

from hf_trace.tables.encoding import DagTable
from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import Variable
from hf_trace.tokenizers.dag_tokenizer import DagTokenizer
from hf_trace.training.group_misses import group_misses
from hf_trace.training.table_rows import ParentRows, write_table

SCHEMA = DagSchema(
    (
        Variable("drug", values=("no", "yes")),
        Variable("days", "numeric", ("drug",), values=("< 5", "≥ 5"), edges=(5.0,), means=(2.0, 8.0)),
    )
)


class Says(torch.nn.Module):
    """Gives the second value of the last announced variable the same chance whatever it reads."""

    def __init__(self, tokenizer, chance):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))
        self.logits = torch.zeros(len(tokenizer))
        for tokens in tokenizer.variables.values():
            self.logits[int(tokens.values[1])] = float(np.log(chance / (1 - chance)))

    def forward(self, input_ids, attention_mask, use_cache):
        return type("Output", (), {"logits": self.logits.expand(*input_ids.shape, -1)})


def table(drug, days):
    codes = {"drug": np.array(drug), "days": np.array(days)}
    return DagTable(SCHEMA, codes, np.ones(len(drug)))


def test_a_missed_group_is_told_by_hand():
    tokenizer = DagTokenizer.from_schema(SCHEMA)
    # Of 80 without the drug half stay long, of 20 with it none; the model says a half of all.
    rows = table([0] * 80 + [1] * 20, [0] * 40 + [1] * 40 + [0] * 20)
    (miss,) = group_misses(Says(tokenizer, 0.5), tokenizer, ParentRows(tokenizer, write_table(tokenizer, rows)))
    assert (miss.variable, miss.value, miss.parent, miss.group, miss.rows) == ("days", "", "drug", "yes", 20)
    # Means 2 and 8: the model says 5 with a spread of 3 in 20 rows, which are 3 below it.
    assert (miss.observed, miss.predicted) == pytest.approx((2.0, 5.0))
    assert miss.standard_error == pytest.approx(3 / np.sqrt(20))
    assert miss.errors == pytest.approx(np.sqrt(20))


def test_a_model_that_is_right_misses_nothing():
    tokenizer = DagTokenizer.from_schema(SCHEMA)
    rows = table([0] * 80 + [1] * 20, [0] * 40 + [1] * 40 + [0] * 10 + [1] * 10)
    assert group_misses(Says(tokenizer, 0.5), tokenizer, ParentRows(tokenizer, write_table(tokenizer, rows))) == []
