"""Trains the network of a model that reads any log in its context, on simulated logs alone."""

import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from simulated_logs import simulated_log
from torch import Tensor

from hf_trace.amortised.context_model import ContextConfig, ContextForCausalLM, Inputs, pasts_in
from hf_trace.amortised.zero_shot import reading
from hf_trace.logs.log import EventLog
from hf_trace.logs.windows import cut_windows
from hf_trace.tokenizers.event_tokenizer import EventTokenizer, flat_tokens

_LEAST, _MOST = 60, 6_000
_PLACES, _RATE = 400, 3e-3


class Lesson(NamedTuple):
    """Places of one log to be predicted from other sequences of it, as the network sees them.

    Attributes:
        kind: Of the log.
        inputs: In half precision.
        codes: What came.
    """

    kind: str
    inputs: Inputs
    codes: Tensor


def within(log: EventLog, order: np.ndarray, events: int) -> EventLog:
    """The first sequences of an order that have about so many events, at least two of them."""
    total = np.cumsum(log.sequence_lengths[order])
    return log.select(np.sort(order[: max(2, int(np.searchsorted(total, events, side="right")))]))


def lesson(seed: int, kind: str | None = None) -> Lesson:
    """A log, of which a random part is in the context and some of the rest is to be predicted."""
    rng = np.random.default_rng([26, seed])
    kind, log = simulated_log(seed, kind)
    windows = cut_windows(log, length=int(np.exp(rng.uniform(np.log(16), np.log(128)))))
    order = rng.permutation(len(windows))
    asked = min(max(1, int(np.searchsorted(np.cumsum(windows.sequence_lengths[order]), _PLACES))), len(order) // 3)
    events = int(np.exp(rng.uniform(np.log(_LEAST), np.log(_MOST))))
    context = within(windows, order[asked:], events)
    inputs, codes = held_out(context, windows.select(order[:asked]), EventTokenizer.from_log(windows))
    some = rng.permutation(len(codes))[:_PLACES]
    return Lesson(kind, Inputs(inputs.base, inputs.of_type[some].half(), inputs.of_place[some].half()), codes[some])


def held_out(context: EventLog, asked: EventLog, tokenizer: EventTokenizer) -> tuple[Inputs, Tensor]:
    """What the network sees of the events of a log, and their types, with another in its context."""
    model = reading(context, tokenizer, ContextForCausalLM(ContextConfig()))
    tokens, offsets = flat_tokens(tokenizer, asked)
    lengths = np.diff(offsets)
    ids = np.zeros((len(lengths), int(lengths.max())), dtype=np.int64)
    row = np.repeat(np.arange(len(lengths)), lengths)
    ids[row, np.arange(len(tokens)) - offsets[row]] = tokens
    pasts, codes, _ = pasts_in(ids, model.config)
    if model.context is None:
        raise ValueError("The context holds no event.")
    return model.context.inputs(pasts), torch.from_numpy(codes)


def lessons(seeds: Iterable[int], kind: str | None = None) -> Iterator[Lesson]:
    """Those of many seeds; one whose log is too small for it is passed over."""
    for seed in seeds:
        try:
            yield lesson(seed, kind)
        except (ValueError, IndexError) as error:
            print(f"seed {seed}: {error}", flush=True)


def loss_of(model: ContextForCausalLM, inputs: Inputs, codes: Tensor) -> Tensor:
    """Mean loss, in nats per event."""
    return torch.nn.functional.nll_loss(model.log_probs(Inputs(*(each.float() for each in inputs))), codes)


def standardised(model: ContextForCausalLM, pool: list[Lesson]) -> None:
    """Take mean and scale of every feature from some lessons."""
    some = pool[:: max(1, len(pool) // 100)]
    for name, values in (
        ("type", torch.cat([each.inputs.of_type[::8].flatten(0, 1).float() for each in some])),
        ("place", torch.cat([each.inputs.of_place.float() for each in some])),
    ):
        for mixer in model.mixers:
            getattr(mixer, f"{name}_mean").copy_(values.mean(0) if name == "place" else values.mean(0) * 0)
            getattr(mixer, f"{name}_scale").copy_(values.std(0) + 0.05)


def trained(
    pool: list[Lesson], held: list[Lesson], seconds: float, *, hidden: int = 64, narrow: int = 32, seed: int = 0
) -> ContextForCausalLM:
    """A network that has seen the pool as often as there is time, in batches of several logs.

    Args:
        pool: Lessons to learn.
        held: Others, of the same kinds, that are only printed.
        seconds: How long, in seconds of the processor.
        hidden: See ``ContextConfig``.
        narrow: See ``ContextConfig``.
        seed: Of the weights and the order.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = ContextForCausalLM(ContextConfig(hidden=hidden, narrow=narrow))
    standardised(model, pool)
    optimizer = torch.optim.AdamW(model.mixers.parameters(), lr=_RATE, weight_decay=0.01)
    started, shown, step = time.process_time(), 0.0, 0
    while (share := (time.process_time() - started) / seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = _RATE * min(1, (step + 1) / 50) * (0.02 + 0.98 * (1 - share))
        optimizer.zero_grad()
        for number in rng.integers(len(pool), size=8):
            each = pool[number]
            places = torch.from_numpy(rng.permutation(len(each.codes))[:48])
            part = Inputs(each.inputs.base, each.inputs.of_type[places], each.inputs.of_place[places])
            (loss_of(model, part, each.codes[places]) / 8).backward()
        torch.nn.utils.clip_grad_norm_(model.mixers.parameters(), 1.0)
        optimizer.step()
        step += 1
        if time.monotonic() - shown > 30:
            shown = time.monotonic()
            print(f"step {step}: {held_loss(model, held):.4f} nats held out", flush=True)
    return model.eval()


@torch.no_grad()
def held_loss(model: ContextForCausalLM, held: list[Lesson]) -> float:
    """Mean over logs."""
    return float(np.mean([float(loss_of(model, each.inputs, each.codes)) for each in held]))
