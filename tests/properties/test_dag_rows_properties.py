"""What holds for the rows of every table."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, LlamaConfig, set_seed

from hf_trace.tables.encoding import DagTable
from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import Variable
from hf_trace.tokenizers.dag_tokenizer import DagTokenizer
from hf_trace.training.table_losses import all_losses, allowed_tokens
from hf_trace.training.table_rows import FullRows, ParentRows, write_table

NAMES = "abcd"


@st.composite
def tables(draw):
    """Parts of a schema, rows and weights."""
    kinds = draw(st.lists(st.sampled_from(["categorical", "sequence"]), min_size=1, max_size=4))
    parents = [draw(st.sets(st.integers(0, index - 1))) if index else set() for index in range(len(kinds))]
    one = {"categorical": st.integers(0, 2), "sequence": st.lists(st.integers(0, 2), max_size=3).map(tuple)}
    rows = draw(st.lists(st.tuples(*(one[kind] for kind in kinds)), min_size=1, max_size=8))
    weights = draw(st.lists(st.integers(1, 5), min_size=len(rows), max_size=len(rows)))
    return kinds, parents, rows, weights


def made(drawn):
    kinds, parents, rows, weights = drawn
    variables = [
        Variable(name, kind, tuple(NAMES[parent] for parent in sorted(above)), ("x", "y", "z"), max_length=3)
        for name, kind, above in zip(NAMES, kinds, parents, strict=False)
    ]
    columns = {
        variable.name: np.array(values) if variable.is_finite else list(values)
        for variable, values in zip(variables, zip(*rows, strict=True), strict=True)
    }
    schema = DagSchema(tuple(variables))
    return schema, DagTable(schema, columns, np.array(weights, dtype=float))


def model_of(tokenizer):
    set_seed(0)
    shape = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    return AutoModelForCausalLM.from_config(LlamaConfig(vocab_size=len(tokenizer), **shape)).eval()


@settings(deadline=None, max_examples=25)
@given(tables())
def test_merging_rows_changes_no_loss(drawn):
    schema, table = made(drawn)
    tokenizer = DagTokenizer.from_schema(schema)
    model, allowed, written = model_of(tokenizer), allowed_tokens(tokenizer), write_table(tokenizer, table)

    def losses(rows):
        source = ParentRows(tokenizer, rows)
        return all_losses(model, source, allowed).per_variable(source)

    merged = losses(written)
    alone = [losses(written.select(np.array([row]))) for row in range(len(table))]
    np.testing.assert_allclose(merged, np.average(alone, axis=0, weights=table.weights), atol=1e-5)


@settings(deadline=None, max_examples=25)
@given(tables(), st.sampled_from(["fixed", "random"]), st.integers(0, 99))
def test_full_rows_are_those_of_the_tokenizer(drawn, order, seed):
    schema, table = made(drawn)
    tokenizer = DagTokenizer.from_schema(schema, history="full", order=order)
    written = write_table(tokenizer, table)
    batch = FullRows(tokenizer, written).batch(np.arange(len(table)), np.random.default_rng(seed))
    contents = {name: tokenizer.contents(table, name) for name in tokenizer.variables}
    for row, ids in enumerate(batch["input_ids"].tolist()):
        places = batch["place_row"] == row
        last, positions = batch["term_target"][places], batch["place_position"][places]
        read = [*ids[: int(positions.max()) + 1], int(last[positions.argmax()])]
        names = list(tokenizer.desequencify(read))
        expected = {
            name: (int(values[row]),) if isinstance(values, np.ndarray) else values[row]
            for name, values in contents.items()
        }
        assert read == tokenizer.sequencify(expected, names)
        assert all(set(schema[name].parents) <= set(names[:place]) for place, name in enumerate(names))
        assert sorted(last.tolist()) == sorted(token for content in expected.values() for token in content)


@settings(deadline=None, max_examples=25)
@given(tables(), st.sampled_from(["parents", "full"]), st.integers(1, 7))
def test_batches_are_parts_of_the_whole(drawn, history, size):
    schema, table = made(drawn)
    tokenizer = DagTokenizer.from_schema(schema, history=history)
    source = (ParentRows if history == "parents" else FullRows)(tokenizer, write_table(tokenizer, table))
    model, allowed = model_of(tokenizer), allowed_tokens(tokenizer)
    whole = all_losses(model, source, allowed)
    rng, total = np.random.default_rng(0), 0.0
    order = rng.permutation(len(source))
    for first in range(0, len(source), size):
        part = source.batch(order[first : first + size], rng)
        assert part["attention_mask"].any(0).all()
        total += float(part["term_weight"].sum())
    assert total == whole.weights.sum()
    assert torch.isfinite(torch.from_numpy(whole.losses)).all()
