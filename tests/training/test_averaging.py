"""Running averages of weights."""

from types import SimpleNamespace

import pytest
import torch

from hf_trace.errors import OutputError
from hf_trace.training.averaging import AVERAGE_FILE, WeightAverage


def one_weight(value):
    model = torch.nn.Linear(1, 1)
    with torch.no_grad():
        model.weight.fill_(value)
        model.bias.zero_()
    model.bias.requires_grad_(False)
    return model


def stepped(average, *values):
    for value in values:
        average.on_step_end(None, None, None, model=one_weight(value))
    return average


def test_the_average_is_that_of_the_formula():
    average = stepped(WeightAverage(decay=0.5), 4.0, 8.0, 0.0)
    # d_2 = 3/12, d_3 = 4/13; the first is taken whole.
    second = 0.25 * 4 + 0.75 * 8
    assert average.weights["weight"].item() == pytest.approx(second * 4 / 13)


def test_decay_is_bounded():
    average = stepped(WeightAverage(decay=0.1), 0.0, *[1.0] * 1)
    assert average.weights["weight"].item() == pytest.approx(0.9)


def test_weights_are_lent_and_given_back():
    average, model = stepped(WeightAverage(), 4.0), one_weight(7.0)
    with average.lent_to(model):
        assert model.weight.item() == 4
    assert model.weight.item() == 7
    average.settle(model, None)
    assert model.weight.item() == 4


def test_it_goes_on_from_a_checkpoint_and_leaves_out_what_is_not_trained(tmp_path):
    folder = tmp_path / "checkpoint-3"
    folder.mkdir()
    average = stepped(WeightAverage(), 4.0, 8.0, 0.0)
    average.on_save(SimpleNamespace(output_dir=tmp_path), SimpleNamespace(global_step=3), None)
    assert (folder / AVERAGE_FILE).exists()
    later = stepped(WeightAverage(str(folder)), 5.0)
    assert later.weights.keys() == {"weight"}
    assert later.weights["weight"].item() == pytest.approx(stepped(average, 5.0).weights["weight"].item())
    model = one_weight(1.0)
    later.settle(model, str(folder))
    assert model.weight.item() != pytest.approx(later.weights["weight"].item() + 1)
    assert later.steps == 3


def test_a_checkpoint_without_an_average_is_refused(tmp_path):
    with pytest.raises(OutputError, match="holds no averaged weights"):
        WeightAverage(str(tmp_path))
