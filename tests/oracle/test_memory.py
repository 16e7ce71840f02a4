import pytest
import torch
from transformers import LlamaConfig

from hf_trace.errors import SettingsError
from hf_trace.oracle.memory import budget_bytes, free_bytes, token_bytes

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("text", "expected"), [("2GB", 2**31), ("500 mb", 500 * 2**20), ("1.5G", 3 * 2**29), ("64B", 64)]
)
def test_sizes(text, expected):
    assert budget_bytes(text, CPU) == expected


@pytest.mark.parametrize("share", [0.5, "0.5"])
def test_a_share_is_of_what_is_free(share):
    half, free = budget_bytes(share, CPU), free_bytes(CPU)
    assert 0.3 * free < half < 0.7 * free


@pytest.mark.parametrize("bad", ["much", "2TBs", "1.2.3GB", "64", "0", 0.0, 1.5, -1.0])
def test_what_is_neither_is_refused(bad):
    with pytest.raises(SettingsError, match=r"memory is .*, expected a s"):
        budget_bytes(bad, CPU)


def test_a_longer_past_costs_more():
    config = LlamaConfig(hidden_size=8, num_attention_heads=2, intermediate_size=16)
    assert token_bytes(config, 100) > token_bytes(config, 10) > 0
