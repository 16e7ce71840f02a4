"""Logits at places alone against the whole forward pass of Transformers."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM

from hf_trace.training.place_logits import logits_at

VOCABULARY = 12


def llama(layers=1, **changed):
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 4, "num_key_value_heads": 4}
    ends = {"bos_token_id": None, "eos_token_id": None}
    config = {**shape, **ends, "num_hidden_layers": layers, "vocab_size": VOCABULARY, "initializer_range": 0.5}
    return LlamaForCausalLM(LlamaConfig(**{**config, **changed})).eval()


def batch_of(rows, length, places, seed):
    """Rows padded on the right, with places inside of them."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, length + 1, (rows,), generator=generator)
    row = torch.randint(0, rows, (places,), generator=generator)
    position = (torch.rand(places, generator=generator) * lengths[row]).long()
    ids = torch.randint(1, VOCABULARY, (rows, length), generator=generator)
    mask = (torch.arange(length) < lengths[:, None]).long()
    return {"input_ids": ids * mask, "attention_mask": mask, "place_row": row, "place_position": position}


def by_transformers(model, batch):
    read = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    return read[batch["place_row"], batch["place_position"]]


@pytest.mark.parametrize("layers", [1, 2, 3])
@settings(max_examples=20, deadline=None)
@given(rows=st.integers(1, 5), length=st.integers(1, 9), places=st.integers(1, 5), seed=st.integers(0, 99))
def test_logits_and_gradients_are_those_of_the_whole_pass(layers, rows, length, places, seed):
    model, batch = llama(layers), batch_of(rows, length, places, seed)
    expected, found = by_transformers(model, batch), logits_at(model, batch)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    expected, found = (
        torch.autograd.grad(each.square().sum(), weights, allow_unused=True, materialize_grads=True)
        for each in (expected, found)
    )
    # Sums in another order: in float32 what is off counts against the largest of all gradients.
    largest = max(float(each.abs().max()) for each in expected)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5 * largest, rtol=1e-3)


@pytest.mark.parametrize(
    "changed",
    [
        {"num_key_value_heads": 2},
        {"hidden_act": "gelu"},
        {"attention_bias": True},
        {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 10_000.0}},
    ],
)
def test_another_shape_is_read_by_its_own_pass(changed):
    model, batch = llama(**changed), batch_of(3, 6, 4, 0)
    torch.testing.assert_close(logits_at(model, batch), by_transformers(model, batch))


def test_rows_full_of_places_are_read_as_a_whole():
    model, batch = llama(), batch_of(2, 6, 40, 0)
    torch.testing.assert_close(logits_at(model, batch), by_transformers(model, batch))
