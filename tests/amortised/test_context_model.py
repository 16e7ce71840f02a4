"""A model with a log in its context: what it predicts, what it must not know, and what is kept of it."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from hf_trace.amortised.context_model import ContextConfig, ContextForCausalLM
from hf_trace.amortised.zero_shot import FOLDS, reading, zero_shot_model
from hf_trace.discovery.results import log_result
from hf_trace.discovery.settings import DiscoveryRequest
from hf_trace.errors import EmptyLogError, SettingsError
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.proofs import proven, whole_rows
from hf_trace.oracle.quality import event_log_probs
from hf_trace.tokenizers.event_tokenizer import EventTokenizer


def alternating(sequences: int = 20, *, timed: bool = True) -> EventLog:
    """After each a comes b two seconds later, then after a minute a again; c comes anywhere, and says nothing."""
    rng = np.random.default_rng(0)
    written = []
    for number in range(sequences):
        time, events = 0.0, []
        for _ in range(6):
            events += [(time, "a"), (time + 2, "b")]
            if rng.random() < 0.5:
                events.append((time + rng.uniform(3, 50), "c"))
            time += 60.0
        names, times = [name for _, name in sorted(events)], [at for at, _ in sorted(events)]
        written.append(EventSequence(tuple(names), tuple(times) if timed else None, id=str(number)))
    return EventLog.from_sequences(written)


def oracle_of(model: ContextForCausalLM) -> Oracle:
    return Oracle(model, fit=whole_rows(model))


@pytest.fixture(scope="module")
def reader() -> ContextForCausalLM:
    """A network that is not trained: an even mixture of experts, and a little besides."""
    torch.manual_seed(0)
    model = ContextForCausalLM(ContextConfig(hidden=8, narrow=4)).eval()
    mixer = model.mixers[0]
    for layer in (mixer.gate, mixer.share, mixer.score[-1]):
        torch.nn.init.normal_(layer.weight, std=0.01)
        torch.nn.init.zeros_(layer.bias)
    return model


@pytest.mark.parametrize("timed", [True, False])
def test_it_predicts_what_its_context_tells(reader, timed):
    log = alternating(timed=timed)
    tokenizer = EventTokenizer.from_log(log)
    model = reading(log.select(range(15)), tokenizer, reader)
    told = event_log_probs(oracle_of(model), [tokenizer.encode(sequence) for sequence in log.select(range(15, 20))])
    is_b = np.array([event == "b" for sequence in log.select(range(15, 20)) for event in sequence.events])
    assert np.exp(told[is_b]).mean() > 0.75
    assert told.mean() > np.log(1 / 3)


def test_logits_are_of_events_where_an_event_comes_and_of_gaps_where_a_gap_does(reader):
    log = alternating()
    tokenizer = EventTokenizer.from_log(log)
    model = reading(log, tokenizer, reader)
    ids = torch.tensor(tokenizer.encode(log[0]).input_ids)[None]
    shares = model(ids).logits.softmax(-1)[0]
    after_event = torch.isin(ids[0], torch.tensor(tokenizer.event_ids))
    assert torch.allclose(shares[after_event][:, tokenizer.gap_ids].sum(1), torch.tensor(1.0), atol=1e-5)
    assert torch.allclose(shares[~after_event][:, tokenizer.event_ids].sum(1), torch.tensor(1.0), atol=1e-5)


def test_it_is_saved_with_its_context_and_loaded_by_transformers(reader, tmp_path):
    log = alternating()
    tokenizer = EventTokenizer.from_log(log)
    model = reading(log, tokenizer, reader)
    model.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert proven(again).reason  # finite and causal; it has no states that could be kept
    ids = torch.tensor(tokenizer.encode(log[3]).input_ids)[None]
    assert torch.equal(again(ids).logits, model(ids).logits)


def test_names_of_types_do_not_matter(reader):
    log = alternating()
    other = EventLog.from_sequences(
        EventSequence(tuple({"a": "z", "b": "y", "c": "x"}[event] for event in each.events), each.timestamps, each.id)
        for each in log
    )
    told = [
        event_log_probs(oracle_of(reading(each, tokenizer, reader)), [tokenizer.encode(sequence) for sequence in each])
        for each in (log, other)
        for tokenizer in [EventTokenizer.from_log(each)]
    ]
    assert np.allclose(*told, atol=1e-4)


def test_no_part_of_a_log_is_told_from_itself(reader):
    log = alternating()
    changed = EventLog.from_sequences(
        EventSequence(tuple(reversed(each.events)), each.timestamps, each.id) if number < 4 else each
        for number, each in enumerate(log)
    )
    plain, other = (zero_shot_model(each, reader=reader) for each in (log, changed))
    assert [plain.folds[str(number)] for number in range(20)] == [number // 4 for number in range(20)]
    assert len(plain.unseen) == FOLDS
    tokens = [model.unseen[0].model.tokens for model in (plain, other)]
    assert torch.equal(*tokens)
    assert not torch.equal(*(model.unseen[1].model.tokens for model in (plain, other)))
    asked = [each.id for _, part in plain.oracles_for(log) for each in part]
    assert asked == list(log.ids)


def test_a_graph_without_training(reader):
    log = alternating()
    model = zero_shot_model(log, reader=reader)
    request = DiscoveryRequest().updated(level="population", construction="by-type")
    found = log_result(model, model.windows(log).log, request)
    strengths = {(edge["cause"], edge["effect"]): edge["cmi"] for edge in found.graph.edges}
    assert max(strengths, key=strengths.get) == ("a", "b")
    assert found.oracle["loss"] < found.oracle["unigram"]


def test_one_window_is_too_few():
    with pytest.raises(EmptyLogError, match="expected at least two"):
        zero_shot_model(EventLog.from_sequences([EventSequence(("a", "b"))]))


def test_networks_that_are_joined_say_the_mean(reader):
    torch.manual_seed(1)
    other, log = ContextForCausalLM(ContextConfig(hidden=8, narrow=4)).eval(), alternating()
    tokenizer = EventTokenizer.from_log(log)
    ids = torch.tensor(tokenizer.encode(log[0]).input_ids)[None, :1]
    one, two, both = (
        reading(log, tokenizer, each)(ids).logits.softmax(-1)
        for each in (reader, other, ContextForCausalLM.joined([reader, other]))
    )
    assert torch.allclose(both, (one + two) / 2, atol=1e-6)


def test_many_types_are_refused():
    log = EventLog.from_sequences([EventSequence(tuple(f"e{number}" for number in range(201)))] * 2)
    with pytest.raises(SettingsError, match="201 event types, expected at most 200"):
        zero_shot_model(log)
