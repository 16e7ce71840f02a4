"""What a model misses: groups of rows, told with their numbers, and means of rows, which bins are said to cost."""

import numpy as np
import pytest
import torch

from hf_trace.tables.binning import Binning
from hf_trace.tables.encoding import DagTable
from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import Variable
from hf_trace.tokenizers.dag_tokenizer import DagTokenizer
from hf_trace.training.group_misses import group_misses
from hf_trace.training.row_means import row_means
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


def reads_the_drug(tokenizer):
    """Says that the stay is long with a chance of .25 without the drug and of .75 with it."""
    says = Says(tokenizer, 0.25)
    given = int(tokenizer.variables["drug"].values[1])
    other = Says(tokenizer, 0.75).logits

    def forward(input_ids, attention_mask, use_cache):
        logits = torch.where((input_ids == given).any(1)[:, None, None], other, says.logits)
        return type("Output", (), {"logits": logits.expand(*input_ids.shape, -1)})

    says.forward = forward
    return says


def test_means_of_rows_by_hand():
    tokenizer = DagTokenizer.from_schema(SCHEMA)
    rows = write_table(tokenizer, table([1, 0, 0, 1], [0, 1, 0, 1]))
    # Means 2 and 8: 2 + 6 * .25 without the drug.
    assert row_means(reads_the_drug(tokenizer), tokenizer, rows, "days") == pytest.approx([6.5, 3.5, 3.5, 6.5])


def test_what_training_left_unexplained_counts_as_an_error_of_bins():
    drug, days = np.array([0] * 500 + [1] * 500), np.array([1.0, 9.0] * 250 + [4.0, 8.0] * 250)
    codes = {"drug": drug, "days": (days >= 5).astype(int)}
    rows = DagTable(SCHEMA, codes, np.ones(1000), numbers={"days": days})
    found = Binning.of(rows).with_unexplained(rows, {"days": np.where(drug, 3.0, 5.0)})
    # Days are 5 without the drug and 6 with it, the model says 5 and 3: an effect 3 too low, and only bins: 0.
    off = found.error("days", {"drug": np.array([0, 1])}, {})[:, 0]
    assert off == pytest.approx([0, -3], abs=0.02)
    assert Binning.of(rows).error("days", {"drug": np.array([0, 1])}, {})[:, 0] == pytest.approx([0, -1], abs=0.02)
