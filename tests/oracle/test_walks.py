"""Rows that are read step by step against the same rows read whole."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.models import tiny_model
from transformers.cache_utils import DynamicLayer

from hf_trace.errors import ContextLengthError
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.proofs import whole_rows
from hf_trace.oracle.walks import GrowingLayer, Walk

CANDIDATES = torch.tensor([4, 6, 9, 11])


def expected(model, row):
    """Log-probabilities of the candidates after a row, nothing else allowed."""
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([row])).logits[0, -1]
    return logits[CANDIDATES].double().log_softmax(-1)


def check(walk, model, rows):
    found = walk.log_probs(CANDIDATES)
    for mine, row in zip(found, rows, strict=True):
        torch.testing.assert_close(mine, expected(model, row), rtol=0, atol=1e-4)


STEPS = [
    (torch.tensor([[1, 5], [1, 7]]), None, None),
    (torch.tensor([[8, 2, 3], [9, 9, 9]]), torch.tensor([[True, True, True], [True, False, False]]), None),
    (torch.tensor([[4], [5]]), None, [1, 0, 1]),
    (torch.tensor([[6, 7], [7, 8], [9, 9]]), torch.tensor([[True, True], [True, False], [False, False]]), None),
]


@pytest.mark.parametrize(
    "kind", ["llama", "gpt2", "qwen2", "mistral", "gpt_neox", "opt", "bloom", "roberta", "bert", "mamba"]
)
def test_steps_of_unequal_length_are_read_as_whole_rows(kind):
    oracle = Oracle(tiny_model(kind))
    walk, rows = Walk(oracle, 2), [[], []]
    for tokens, present, chosen in STEPS:
        walk.read(tokens, present)
        kept = torch.ones_like(tokens, dtype=torch.bool) if present is None else present
        rows = [row + each[here].tolist() for row, each, here in zip(rows, tokens, kept, strict=True)]
        check(walk, oracle.model, rows)
        if chosen is not None:
            walk.select(torch.tensor(chosen))
            rows = [rows[index] for index in chosen]
            check(walk, oracle.model, rows)


def test_rows_longer_than_the_model_reads_are_refused():
    oracle = Oracle(tiny_model("llama"))
    walk = Walk(oracle, 1)
    with pytest.raises(ContextLengthError, match="reads at most"):
        walk.read(torch.ones((1, oracle.context_length + 1), dtype=torch.long))


def test_nothing_read_has_no_next_token():
    with pytest.raises(ValueError, match="Nothing was read"):
        Walk(Oracle(tiny_model("llama")), 1).log_probs(CANDIDATES)


def test_a_model_without_a_cache_reads_whole_rows():
    model = tiny_model("llama")
    oracle = Oracle(model, fit=whole_rows(model))
    walk = Walk(oracle, 2)
    walk.read(*STEPS[0][:2])
    walk.read(*STEPS[1][:2])
    check(walk, oracle.model, [[1, 5, 8, 2, 3], [1, 7, 9]])


CHANGES = st.one_of(
    st.tuples(st.just("add"), st.integers(1, 40)),
    st.tuples(st.just("crop"), st.integers(1, 3)),
    st.tuples(st.just("select"), st.lists(st.integers(0, 1), min_size=2, max_size=5)),
)


@given(st.lists(CHANGES, max_size=8))
@settings(max_examples=40, deadline=None)
def test_what_grows_in_place_is_what_was_put_there(changes):
    mine, plain = GrowingLayer(), DynamicLayer()
    rows, generator = 2, torch.Generator().manual_seed(0)
    for change, value in [("add", 5), *changes]:
        if change == "add":
            keys, values = (torch.rand(rows, 2, value, size, generator=generator) for size in (3, 4))
            found, expected = mine.update(keys, values), plain.update(keys, values)
        elif change == "crop":
            if plain.get_seq_length() <= value:
                continue
            for layer in (mine, plain):
                layer.crop(-value)
            found, expected = (mine.keys, mine.values), (plain.keys, plain.values)
        else:
            for layer in (mine, plain):
                layer.batch_select_indices(torch.tensor(value))
            rows, found, expected = len(value), (mine.keys, mine.values), (plain.keys, plain.values)
        assert torch.equal(found[0], expected[0])
        assert torch.equal(found[1], expected[1])
