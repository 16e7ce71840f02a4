"""The loss by which the best checkpoint is chosen is that of the held-out events."""

import pytest
import torch

from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.quality import event_log_probs
from hf_trace.tokenizers.event_tokenizer import EventTokenizer
from hf_trace.training.architectures import build_model
from hf_trace.training.log_training import event_loss


@pytest.mark.parametrize("at_once", [1, 3])
def test_gaps_and_ends_do_not_count(at_once):
    sequences = [
        EventSequence(tuple("abca"[:length]), tuple(map(float, range(length))), id=str(length)) for length in (4, 2, 3)
    ]
    tokenizer = EventTokenizer.from_log(EventLog.from_sequences(sequences))
    torch.manual_seed(0)
    model = build_model(tokenizer, context_length=16, preset="nano").train()
    encoded = [tokenizer.encode(sequence, end=True) for sequence in sequences]
    found = event_loss(model, [{"input_ids": each.input_ids} for each in encoded], tokenizer, at_once)
    assert model.training
    assert found == pytest.approx(-event_log_probs(Oracle(model), encoded).mean(), abs=1e-5)
