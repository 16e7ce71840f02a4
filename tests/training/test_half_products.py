"""Products in bfloat16, all else in float32."""

import pytest
import torch
from torch import nn

from hf_trace.training.half_products import half_products, multiplies_halves


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(3, 2)])
        self.head = nn.Linear(2, 2, bias=False)

    def forward(self, given):
        return self.head(self.layers[0](given))


@pytest.fixture
def model():
    two = Two()
    with torch.no_grad():
        two.layers[0].weight.copy_(torch.tensor([[1.0, 2.0, 3.0], [0.5, 0.25, 0.125]]))
        two.layers[0].bias.copy_(torch.tensor([1.0, -1.0]))
        two.head.weight.copy_(torch.eye(2) * (1 + 2**-12))
    return two


def test_layers_round_to_eight_bits_and_the_head_does_not(model):
    given = torch.tensor([[1.0, 1.0, 1.0 + 2**-12]])
    with half_products(model):
        found = model(given)
    # 1 + 2^-12 is 1 in bfloat16 before a layer, and itself in the head.
    assert found.dtype == torch.float32
    assert found.tolist() == [[7.0 * (1 + 2**-12), -0.125 * (1 + 2**-12)]]


def test_gradients_are_of_the_weights_own_precision(model):
    with half_products(model):
        model(torch.tensor([[1.0, 2.0, 4.0]])).sum().backward()
    assert model.layers[0].weight.grad.dtype == torch.float32
    assert model.layers[0].weight.grad.tolist() == [[1.0, 2.0, 4.0]] * 2


def test_it_ends(model):
    with pytest.raises(KeyError), half_products(model):
        raise KeyError
    assert "forward" not in vars(model.layers[0])
    given = torch.tensor([[0.0, 0.0, 1.0 + 2**-12]])
    assert model.layers[0](given)[0, 0].item() == pytest.approx(4 + 3 * 2**-12, abs=1e-7)


def test_what_a_processor_can_do_is_told():
    assert multiplies_halves() in (True, False)
