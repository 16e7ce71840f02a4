"""The model that is told how long ago each past event was: what it is told, and that every way of reading agrees."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.readers import FullRowReader
from hf_trace.oracle.walks import Walk
from hf_trace.runs.timed_model import AdditiveModel, Clock, TimedConfig, TimedRotary, Told
from hf_trace.tokenizers.event_tokenizer import EventTokenizer
from hf_trace.training.architectures import build_model

GAPS = [0.0, 1.0, 10.0, 100.0]
FIRST, TYPES = 12, 8  # tokens 4 to 11 are events, 12 to 15 gaps


def timed_config(**changes):
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2}
    known = {"vocab_size": FIRST + len(GAPS), "intermediate_size": 32, "max_position_embeddings": 48}
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    return TimedConfig(
        **{**shape, **known, **ids, "first_gap_id": FIRST, "gap_seconds": GAPS, "additive_reach": 6} | changes
    )


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    built = AutoModelForCausalLM.from_config(timed_config()).eval()
    for weight in built.parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=0.3)
    return built.requires_grad_(False)


def some_ids(rows=2, length=20, seed=0):
    return torch.randint(3, FIRST + len(GAPS), (rows, length), generator=torch.Generator().manual_seed(seed))


def test_the_clock_adds_up_gaps():
    told = Clock(timed_config())(torch.tensor([[1, 5, FIRST + 2, 6, FIRST + 1, 7, FIRST, 4]]), None, None)
    assert told.time.tolist() == [[0, 0, 10, 10, 11, 11, 11, 11]]


@pytest.mark.parametrize("present", [[1, 1, 1, 1], [0, 1, 1, 1], [1, 0, 1, 1], [1, 1, 1, 0]])
def test_recent_tokens_and_how_long_ago_each_was(present):
    there = torch.tensor([present], dtype=torch.bool)
    told = Told(torch.tensor([[7, 8, 9, 10]]), torch.tensor([[0.0, 1.0, 3.0, 6.0]]), there)
    ids, ago = told.recent(2, 3)
    times = {7: 0.0, 8: 1.0, 9: 3.0, 10: 6.0}
    for slot, last in enumerate((2, 3)):
        if not present[last]:
            continue
        expected = [told.ids[0, at].item() for at in range(last + 1) if present[at]][-3:]
        found = ids[0, slot]
        assert found[found >= 0].tolist() == expected
        assert ago[0, slot][found >= 0].tolist() == [times[expected[-1]] - times[each] for each in expected]


def test_rotary_periods_span_the_shortest_gap_and_the_longest_sequence():
    per_position, per_second = TimedRotary(timed_config()).rates(torch.device("cpu"))
    assert per_second.max().item() == pytest.approx(1 / 1.0)
    assert per_second.min().item() == pytest.approx(1 / (100.0 * 24))
    assert len(per_second) == len(per_position) == 4


def test_time_keeps_its_precision_where_weights_have_less(model):
    half = AutoModelForCausalLM.from_config(timed_config()).to(torch.bfloat16).requires_grad_(False).eval()
    ids = some_ids()
    assert torch.equal(half.model.clock(ids, None, None).time, model.model.clock(ids, None, None).time)
    half.load_state_dict(model.state_dict())
    close = half(input_ids=ids).logits.float() - model(input_ids=ids).logits
    assert float(close.abs().max()) < 0.05 * float(model(input_ids=ids).logits.abs().max())


def test_the_additive_model_sums_what_the_last_events_add():
    config = timed_config(
        hidden_size=4, additive_bins=2, additive_reach=2, num_attention_heads=1, num_key_value_heads=1
    )
    added = AdditiveModel(config)
    with torch.no_grad():
        added.weight.copy_(torch.arange(len(added.weight) * 4).view(-1, 4))
    told = Told(torch.tensor([[5, 6, 7]]), torch.tensor([[0.0, 0.0, 9.0]]), torch.ones(1, 3, dtype=torch.bool))
    # The only edge is half the shortest gap: token t is entry 2 t when it was just now, 2 t + 1 when it was earlier.
    rows = added.weight.detach()
    assert torch.equal(added(told, 2)[0], torch.stack([rows[10] + rows[12], rows[13] + rows[14]]))


def test_it_starts_without_the_additive_model():
    plain = AutoModelForCausalLM.from_config(timed_config()).model.additive
    assert not plain.weight.any()


def test_saved_and_loaded_it_says_the_same(model, tmp_path):
    model.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert type(loaded) is type(model)
    assert loaded.config.gap_seconds == GAPS
    assert torch.equal(loaded(input_ids=some_ids()).logits, model(input_ids=some_ids()).logits)


def test_its_pasts_are_shared_and_rows_with_gaps_are_read(model):
    oracle = Oracle(model)
    assert oracle.reader.name == "shared past"
    assert oracle.reader.steps.reads_gaps


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 18), st.integers(1, 12))
def test_rows_that_leave_a_sequence_read_as_if_alone(model, seed, shared, tail):
    oracle, ids = Oracle(model), some_ids(seed=seed)
    tails = some_ids(2, tail, seed + 1)[:, None].expand(-1, 2, -1).clone()
    tails[:, 1] = tails[:, 1].roll(1, -1)
    at = (torch.tensor([0, 1]), torch.tensor([shared, max(1, shared - 3)]))
    found = oracle.head.logits(oracle.reader.branch(oracle.reader.read(ids), *at, tails).flatten(0, 1))
    full = FullRowReader(model)
    expected = full.branch(full.read(ids), *at, tails).flatten(0, 1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_step_by_step_and_with_empty_slots_it_reads_the_same(model):
    ids, walk = some_ids(), Walk(Oracle(model), 2)
    walk.read(ids[:, :9])
    present = torch.tensor([[True], [False]])
    for at in range(9, 20):
        walk.read(torch.zeros((2, 1), dtype=torch.long).where(~present, ids[:, at, None]), present)
    walk.read(torch.full((2, 1), 5), torch.tensor([[False], [True]]))
    events = torch.arange(4, FIRST)
    other = torch.cat([ids[1, :9], torch.tensor([5])])
    for row, alone in enumerate((ids[0], other)):
        expected = model(input_ids=alone[None]).logits[0, -1, events].double().log_softmax(-1)
        torch.testing.assert_close(walk.log_probs(events)[row], expected, rtol=0, atol=1e-4)


def test_padding_on_either_side_changes_nothing(model):
    ids = some_ids(1)
    padded = torch.nn.functional.pad(ids, (3, 0))
    mask = (torch.arange(23) >= 3).long()[None]
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    left = model(input_ids=padded, attention_mask=mask, position_ids=positions).logits[:, 3:]
    right = model(input_ids=padded.roll(-3, 1), attention_mask=mask.flip(1)).logits[:, :-3]
    alone = model(input_ids=ids).logits
    torch.testing.assert_close(left, alone, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(right, alone, rtol=1e-4, atol=1e-4)


def test_generated_tokens_are_those_of_whole_rows(model):
    ids = some_ids()
    grown = model.generate(ids, max_new_tokens=6, do_sample=False, eos_token_id=None)
    assert torch.equal(grown[:, 20:], model(input_ids=grown).logits[:, 19:-1].argmax(-1))


def test_embeddings_need_the_tokens_for_their_time(model):
    ids = some_ids()
    embedded = model.get_input_embeddings()(ids)
    assert torch.allclose(model(inputs_embeds=embedded, clock_ids=ids).logits, model(input_ids=ids).logits, atol=1e-5)
    with pytest.raises(ValueError, match="what time it is"):
        model(inputs_embeds=embedded)


def test_gradients_reach_the_additive_model(model):
    """Of an additive model alone, gradient times input is what each event adds to the log-odds."""
    alone = AutoModelForCausalLM.from_config(timed_config()).eval()
    with torch.no_grad():
        for weight in alone.parameters():
            weight.zero_()
        alone.model.embed_tokens.weight.normal_(generator=torch.Generator().manual_seed(0))
        alone.model.additive.weight.normal_(generator=torch.Generator().manual_seed(1))
        alone.lm_head.weight[5] = 1.0
    ids = some_ids(1, 4)
    embedded = alone.get_input_embeddings()(ids).detach().requires_grad_()
    alone(inputs_embeds=embedded, clock_ids=ids).logits[0, -1, 5].backward()
    told = alone.model.clock(ids, None, None)
    token, ago = (each[0, -1, -4:] for each in told.recent(4, 6))
    entry = token * 10 + torch.searchsorted(alone.model.additive.edges(ago.device), ago.contiguous())
    expected = alone.model.additive.weight[entry].sum(-1)
    torch.testing.assert_close((embedded.grad * embedded).sum(-1)[0], expected, rtol=1e-4, atol=1e-4)


def test_presets_are_told_the_time_where_it_is_written():
    timed = EventTokenizer.from_event_types(["a", "b"], gap_edges=[0.0, 5.0])
    built = build_model(timed, context_length=16, preset="nano")
    assert built.config.model_type == TimedConfig.model_type
    assert built.config.gap_seconds == timed.gap_seconds
    assert built.config.first_gap_id == timed.gap_ids[0]
    plain = build_model(EventTokenizer.from_event_types(["a", "b"]), context_length=16, preset="nano")
    assert plain.config.model_type == "llama"
    many = EventTokenizer.from_event_types([str(number) for number in range(2_000)], gap_edges=[0.0, 5.0])
    assert build_model(many, context_length=16, preset="nano").model.additive is None
