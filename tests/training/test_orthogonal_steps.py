"""The optimizer of presets: orthogonal steps of matrices, AdamW for all else."""

import copy

import pytest
import torch
from torch import nn

from hf_trace.training.orthogonal_steps import OrthogonalSteps, orthogonalized


class Small(nn.Module):
    """A table, a layer with a matrix of each shape, and a norm."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(5, 4)
        self.layers = nn.ModuleList([nn.Linear(4, 8, bias=False), nn.Linear(8, 4, bias=False)])
        self.norm = nn.LayerNorm(4)

    def forward(self, ids):
        return self.norm(self.layers[1](self.layers[0](self.table(ids)))).square().sum()


def stepped(model, optimizer, times=1):
    for number in range(times):
        optimizer.zero_grad()
        (model(torch.tensor([0, 1, 2, 3])) * (1 + number)).backward()
        optimizer.step()


def test_singular_vectors_stay_and_values_become_one():
    torch.manual_seed(0)
    left, right = torch.linalg.qr(torch.randn(6, 6))[0], torch.linalg.qr(torch.randn(20, 20))[0][:6]
    values = torch.logspace(0, -1.5, 6)
    found = left.mT @ orthogonalized((left @ values.diag() @ right)[None])[0] @ right.mT
    assert torch.allclose(found.diagonal(), torch.ones(6), atol=0.094)
    assert (found - found.diagonal().diag()).abs().max() < 1e-4


def test_a_matrix_of_zeros_stays_one():
    assert not orthogonalized(torch.zeros(1, 3, 4)).any()


def test_a_first_step_of_a_matrix_has_the_size_of_one_of_adamw():
    model = Small()
    before = copy.deepcopy(model.state_dict())
    stepped(model, OrthogonalSteps(model, rate=1e-3, matrix_rate=1e-2, weight_decay=0.0))
    wide = before["layers.0.weight"] - model.layers[0].weight.detach()
    # 8 x 4 with three singular values of about 1, as the norm takes one direction away: a root mean square of
    # sqrt(3 / 32), times .2 sqrt(8) and the rate.
    assert wide.square().mean().sqrt().item() == pytest.approx(1e-2 * 0.2 * 8**0.5 * (3 / 32) ** 0.5, rel=0.1)
    # AdamW's first step is the rate, whatever the gradient.
    moved = (before["table.weight"] - model.table.weight.detach())[:4]
    assert moved.abs().max().item() == pytest.approx(1e-3, rel=1e-3)


def test_a_step_decays_matrices_and_tables_and_no_vectors():
    model = Small()
    before = copy.deepcopy(model.state_dict())
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)
    OrthogonalSteps(model, rate=1e-3, matrix_rate=1e-2, weight_decay=0.1).step()
    assert torch.allclose(model.layers[1].weight, before["layers.1.weight"] * (1 - 1e-3))
    assert torch.allclose(model.table.weight, before["table.weight"] * (1 - 1e-4))
    assert torch.equal(model.norm.weight, before["norm.weight"])


def test_a_table_of_sums_goes_three_times_as_far():
    class Summed(nn.Module):
        def __init__(self):
            super().__init__()
            self.additive = nn.Embedding(3, 2)

    model = Summed()
    before = model.additive.weight.detach().clone()
    model.additive.weight.grad = torch.ones(3, 2)
    OrthogonalSteps(model, rate=1e-3, matrix_rate=1e-2, weight_decay=0.0).step()
    assert torch.allclose(before - model.additive.weight, torch.full((3, 2), 3e-3), rtol=1e-3)


def test_it_goes_on_from_its_state():
    whole, cut = Small(), Small()
    stepped(whole, OrthogonalSteps(whole, 1e-3, 1e-2, 0.1), times=4)
    first = OrthogonalSteps(cut, 1e-3, 1e-2, 0.1)
    stepped(cut, first, times=2)
    resumed = OrthogonalSteps(cut, 1.0, 1.0, 0.0)
    resumed.load_state_dict(copy.deepcopy(first.state_dict()))
    for number in (2, 3):
        resumed.zero_grad()
        (cut(torch.tensor([0, 1, 2, 3])) * (1 + number)).backward()
        resumed.step()
    assert all(torch.equal(one, other) for one, other in zip(whole.parameters(), cut.parameters(), strict=True))


def test_what_is_not_trained_is_left_out():
    model = Small()
    model.layers.requires_grad_(False)
    optimizer = OrthogonalSteps(model, 1e-3, 1e-2, 0.1)
    assert [group["is_matrices"] for group in optimizer.param_groups] == [False, False]
