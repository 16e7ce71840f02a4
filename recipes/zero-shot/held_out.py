"""Held-out nats per event with little of a log in the context, beside models that are fitted to the same events."""

from collections.abc import Iterator

import numpy as np
from mixing_training import held_out, within
from torch.nn.functional import nll_loss

from hf_trace.amortised.context_model import ContextForCausalLM
from hf_trace.graphs.counting import bigram_loss, unigram_loss
from hf_trace.logs.log import EventLog
from hf_trace.logs.windows import case_of, cut_windows
from hf_trace.oracle.additive_model import TimedEvents, additive_loss
from hf_trace.runs.training_samples import split_windows
from hf_trace.tokenizers.event_tokenizer import EventTokenizer
from hf_trace.training.log_training import TrainingSettings, prepared


def rows(
    name: str, log: EventLog, model: ContextForCausalLM, sizes: list[int], settings: TrainingSettings
) -> Iterator[dict]:
    """A line for each size of the context; 0 is all that training would see.

    The events that are predicted are those that ``train`` holds out with the same settings.
    """
    tokenizer, settings = prepared(log, settings)
    windows = cut_windows(log, length=settings.window_length, gap=settings.window_gap)
    training, validation = split_windows(windows, settings.validation_share, settings.seed)
    order = np.random.default_rng(settings.seed).permutation(len(training))
    for size in sizes:
        context = within(training, order, size) if size else training
        yield {
            "log": name,
            "context": len(context.codes),
            "size": size,
            **losses(model, context, validation, tokenizer),
        }


def losses(model: ContextForCausalLM, context: EventLog, asked: EventLog, tokenizer: EventTokenizer) -> dict:
    """Nats per event of each model, and its seconds."""
    found, parts = [], range(0, len(asked), 64)
    for start in parts:
        inputs, codes = held_out(context, asked.select(range(start, min(start + 64, len(asked)))), tokenizer)
        found.append(nll_loss(model.log_probs(inputs).detach(), codes, reduction="none").numpy())
    types = len(context.event_types)
    arguments = (context.codes, context.offsets, asked.codes, asked.offsets, types)
    cases = np.unique([case_of(each) for each in context.ids], return_inverse=True)[1]
    known = TimedEvents(context.codes, context.offsets, context.timestamps, cases)
    held = TimedEvents(asked.codes, asked.offsets, asked.timestamps)
    return {
        "events": len(asked.codes), "types": types, "zero": float(np.concatenate(found).mean()),
        "unigram": unigram_loss(*arguments), "bigram": bigram_loss(*arguments),
        "additive": additive_loss(known, held, types),
    }  # fmt: skip
