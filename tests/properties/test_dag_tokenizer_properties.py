"""What holds for every table's vocabulary."""

from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from hf_trace.tables.schema import DagSchema, random_order, random_ranks, required_edges
from hf_trace.tables.variables import Variable
from hf_trace.tokenizers.dag_tokenizer import DagTokenizer, end_token, start_token, value_tokens
from hf_trace.tokenizers.stored_tokenizer import SPECIAL_TOKENS

MARKS = st.text(st.sampled_from("\\=:<>ab"), min_size=1, max_size=5)
ANY = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=5)
NAME = st.one_of(
    MARKS, ANY, st.sampled_from(["[PAD]", "[BOS]", "start", "<start:a>", "<end:a", "value:a", "<missing>"])
)
VALUES = st.lists(st.one_of(NAME, st.just("")), min_size=1, max_size=4, unique=True)
KIND = st.sampled_from(["categorical", "ordinal", "sequence"])
PLAIN = st.lists(st.tuples(NAME, KIND, VALUES), min_size=1, max_size=6, unique_by=lambda parts: parts[0])


# Parts, not variables: the type checker of the tests uses `random`, which strategies must not.
def variables(parts, edges=()):
    names = [name for name, _, _ in parts]
    parents = {name: tuple(names[i] for i, j in edges if names[j] == name) for name in names}
    return tuple(Variable(name, kind, parents[name], tuple(values), max_length=5) for name, kind, values in parts)


@st.composite
def graphs(draw):
    parts = draw(PLAIN)
    pairs = [(i, j) for j in range(len(parts)) for i in range(j)]
    edges = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    return parts, edges


@settings(deadline=None)
@given(PLAIN, st.booleans())
def test_no_two_tokens_have_one_name(parts, bracketed):
    words = []
    for variable in variables(parts):
        words += [start_token(variable.name), end_token(variable.name), *value_tokens(variable, bracketed=bracketed)]
    assert len(set(words)) == len(words)
    assert not set(words) & set(SPECIAL_TOKENS)


@settings(deadline=None, max_examples=50)
@given(graphs(), st.data())
def test_rows_are_read_as_they_were_written(graph, data):
    schema = DagSchema(variables(*graph))
    tokenizer = DagTokenizer.from_schema(schema)
    raw = {}
    for variable in schema.variables:
        one = st.sampled_from(variable.values)
        raw[variable.name] = data.draw(st.lists(one, max_size=5) if variable.kind == "sequence" else one)
    contents = {name: tokenizer.content(name, value) for name, value in raw.items()}
    order = random_order(schema, np.random.default_rng(data.draw(st.integers(0, 9))))
    ids = tokenizer.sequencify(contents, order)
    read = tokenizer.desequencify(ids)
    assert tuple(read) == order
    assert read == contents
    expected = {name: value if isinstance(value, str) else " ".join(value) for name, value in raw.items()}
    assert {name: tokenizer.text(name, content) for name, content in read.items()} == expected


@settings(deadline=None, max_examples=30)
@given(graphs())
def test_the_disk_changes_nothing(graph):
    tokenizer = DagTokenizer.from_schema(DagSchema(variables(*graph)), history="full", order="random")
    with TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        again = DagTokenizer(AutoTokenizer.from_pretrained(folder))
    assert again.vocabulary == tokenizer.vocabulary
    assert again.schema.to_dict() == tokenizer.schema.to_dict()
    assert (again.history, again.order) == ("full", "random")


@settings(deadline=None)
@given(graphs(), st.integers(1, 5), st.integers(0, 99))
def test_random_orders_put_causes_first(graph, rows, seed):
    edges = required_edges(DagSchema(variables(*graph)))
    ranks = random_ranks(edges, rows, np.random.default_rng(seed))
    assert (np.sort(ranks, axis=1) == np.arange(len(edges))).all()
    for earlier, later in np.argwhere(edges):
        assert (ranks[:, earlier] < ranks[:, later]).all()
