"""Sampled continuations against a plain loop that reads every row from its first token."""

import pytest
import torch
from tests.models import tiny_model

from hf_trace.errors import ContextLengthError
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.proofs import whole_rows
from hf_trace.oracle.proposals import invert
from hf_trace.oracle.walks import Slots, sample_futures, time_within
from hf_trace.runs.world_model import WorldModel
from hf_trace.worlds.world import World, WorldSpec

EVENTS, GAPS = torch.arange(4, 11), torch.tensor([12, 13, 15])
GAP_BOUNDS = torch.tensor([[0.0, 2.0], [2.0, 50.0], [50.0, 200.0]])
PLAIN = Slots(EVENTS, torch.empty(0, dtype=torch.long), torch.empty(0, 2))
TIMED = Slots(EVENTS, GAPS, GAP_BOUNDS)


def inputs(slots, steps):
    generator = torch.Generator().manual_seed(3)
    context = torch.cat([torch.ones((2, 1), dtype=torch.long), torch.randint(4, 11, (2, 8), generator=generator)], 1)
    last = torch.tensor([[4, 6, 9], [5, 5, 10]])
    uniforms = torch.rand((2, 3, steps * slots.tokens_per_event), generator=generator, dtype=torch.float64)
    return context, last, uniforms


def within(bins, drawn, uniform, bounds):
    """The quantile of a density that is flat in each bin, in time or in its logarithm."""
    share = (uniform - float(bins[:drawn].sum())) / float(bins[drawn])
    low, high = bounds
    return low * (high / low) ** share if low else share * high


def test_a_density_of_the_next_time_tells_any_horizon():
    """Waiting times of rate 1 in eight bins: drawn within, they are nearer to exponential than the bins' middles."""
    edges = torch.tensor([0.0, 0.01, *torch.logspace(-1.5, 0.6, 6).tolist(), 16.0], dtype=torch.float64)
    bounds = torch.stack([edges[:-1], edges[1:]], 1)
    bins = (1 - (-edges).exp()).diff()[None]
    uniforms = ((torch.arange(20_000) + 0.5) / 20_000).double()
    drawn = invert(bins, uniforms[None])[0]
    times = time_within(bins.expand(20_000, -1), drawn, uniforms, bounds)
    low, high = bounds.unbind(1)
    middles = torch.where(low > 0, (low * high).sqrt(), high / 2)[drawn]
    horizons = torch.logspace(-1.4, 0.5, 40, dtype=torch.float64)
    exponential = 1 - (-horizons).exp()
    told, by_middles = ((each[:, None] <= horizons).double().mean(0) for each in (times, middles))
    # By hand: the mass of the bins below, and of the bin itself the share that its logarithm says.
    at = torch.searchsorted(edges, horizons) - 1
    below = 1 - (-edges[at]).exp()
    expected = (
        below + (1 - (-edges[at + 1]).exp() - below) * (horizons / edges[at]).log() / (edges[at + 1] / edges[at]).log()
    )
    assert float((told - expected).abs().max()) < 2e-4
    assert float((told - exponential).abs().mean()) < 0.25 * float((by_middles - exponential).abs().mean())


@torch.inference_mode()
def plain_futures(model, context, last, slots, uniforms):
    """(probabilities, event, seconds) of every slot, row by row."""
    rows = []
    for c in range(len(context)):
        for s in range(last.shape[1]):
            ids, seconds, steps = [*context[c].tolist(), int(last[c, s])], 0.0, []
            for number, uniform in enumerate(uniforms[c, s]):
                is_gap = slots.tokens_per_event == 2 and number % 2 == 0
                allowed = slots.gaps if is_gap else slots.events
                logits = model(input_ids=torch.tensor([ids])).logits[0, -1, allowed].double()
                drawn = int(invert(logits.softmax(-1)[None], uniform[None, None])[0, 0])
                ids.append(int(allowed[drawn]))
                if is_gap:
                    seconds += within(logits.softmax(-1), drawn, float(uniform), slots.gap_bounds[drawn].tolist())
                else:
                    steps.append((logits.softmax(-1), drawn, seconds))
            rows.append(steps)
    return rows


def check(oracle, slots, steps=5):
    context, last, uniforms = inputs(slots, steps)
    expected = plain_futures(oracle.model, context, last, slots, uniforms)
    found = list(sample_futures(oracle, context, last, slots, uniforms))
    assert len(found) == steps
    for number, step in enumerate(found):
        for row, known in enumerate(expected):
            probabilities, event, seconds = known[number]
            torch.testing.assert_close(step.probabilities[row], probabilities, rtol=0, atol=1e-5)
            assert int(step.event[row]) == event
            assert float(step.seconds[row]) == pytest.approx(seconds, rel=1e-4)
    assert bool((found[-1].seconds > 0).all()) == (slots.tokens_per_event == 2)


@pytest.mark.parametrize("slots", [PLAIN, TIMED], ids=["events", "gaps in turn"])
@pytest.mark.parametrize("kind", ["llama", "gpt2", "mistral", "gemma2"])
def test_kept_keys_and_values_change_nothing(kind, slots):
    oracle = Oracle(tiny_model(kind))
    assert oracle.reader.name == "shared past"
    check(oracle, slots)


def test_rows_read_whole_say_the_same():
    oracle = Oracle(tiny_model("llama"))
    context, last, uniforms = inputs(TIMED, 5)
    kept = list(sample_futures(oracle, context, last, TIMED, uniforms))
    whole = Oracle(oracle.model, fit=whole_rows(oracle.model))
    for one, other in zip(kept, sample_futures(whole, context, last, TIMED, uniforms), strict=True):
        assert torch.equal(one.event, other.event)
        torch.testing.assert_close(one.seconds, other.seconds, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(one.probabilities, other.probabilities, rtol=0, atol=1e-5)


def test_a_model_of_few_tokens_reads_no_more_of_them():
    world = World(WorldSpec(types=9, memory=3, weight=2.0, sparsity=0.3, decay=0.2, length=9))
    oracle = Oracle(WorldModel.of(world))
    assert oracle.reader.name == "last tokens"
    check(oracle, PLAIN)


def test_rows_with_the_same_numbers_and_tokens_have_the_same_future():
    oracle = Oracle(tiny_model("llama"))
    context, _, uniforms = inputs(PLAIN, 4)
    last, numbers = torch.tensor([[5, 5, 7]] * 2), uniforms[:, :1].expand(-1, 3, -1)
    for step in sample_futures(oracle, context, last, PLAIN, numbers):
        events = step.event.view(2, 3)
        assert torch.equal(events[:, 0], events[:, 1])


def test_futures_longer_than_the_model_reads_are_refused():
    oracle = Oracle(tiny_model("gpt2"))
    context, last, _ = inputs(PLAIN, 1)
    assert len(list(sample_futures(oracle, context, last, PLAIN, torch.rand(2, 3, 64 - 9)))) == 55
    with pytest.raises(ContextLengthError) as caught:
        next(iter(sample_futures(oracle, context, last, PLAIN, torch.rand(2, 3, 56))))
    assert str(caught.value) == (
        "A context of 9 tokens and a continuation of 56 are longer than the 64 that the model reads. Cut the "
        "contexts or shorten the horizon."
    )
