"""The other design, tried for comparison: a small transformer over 64 slots that learns to read logs by attention.

The types of a log are dealt to slots at random, its sequences follow each other with a separator, each event carries
the bin of the time before it and of the time to the next. Everything is to be learned: what a bigram is, too.
"""

import time
from collections.abc import Iterator

import numpy as np
import torch
from mixing_training import within
from simulated_logs import simulated_log
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaModel

from hf_trace.graphs.counting import bigram_loss, unigram_loss
from hf_trace.logs.log import EventLog
from hf_trace.logs.windows import cut_windows
from hf_trace.runs.training_samples import split_windows
from hf_trace.tokenizers.event_tokenizer import EventTokenizer
from hf_trace.training.log_training import TrainingSettings, prepared

SLOTS, GAPS, NONE = 64, 18, -100
_RATE = 2e-3


class SlotModel(nn.Module):
    """Logits of the next slot after each of a row.

    Args:
        width: Of the features.
        layers: How many.
        length: Of the longest row.
    """

    def __init__(self, width: int = 64, layers: int = 2, length: int = 320) -> None:
        super().__init__()
        self.length = length
        self.slot, self.gap = nn.Embedding(SLOTS + 1, width), nn.Embedding(GAPS, width)
        self.body = LlamaModel(
            LlamaConfig(
                vocab_size=4, hidden_size=width, intermediate_size=3 * width, num_hidden_layers=layers,
                num_attention_heads=4, max_position_embeddings=length,
            )
        )  # fmt: skip
        self.head = nn.Linear(width, SLOTS)

    def forward(self, slots: Tensor, gaps: Tensor) -> Tensor:
        """Logits after each slot; ``gaps``: bin of the time until the next event."""
        return self.head(self.body(inputs_embeds=self.slot(slots) + self.gap(gaps)).last_hidden_state)


def rows_of(context: EventLog, asked: EventLog, tokenizer: EventTokenizer, deal: np.ndarray) -> tuple[Tensor, ...]:
    """The context and one sequence as a row: slots, gaps until the next, and what follows (of the sequence alone)."""
    slots, gaps, follows = [], [], []
    for log, is_asked in ((context, False), (asked, True)):
        for sequence in range(len(log)):
            span = slice(log.offsets[sequence], log.offsets[sequence + 1])
            codes = deal[log.codes[span]]
            bins = np.full(len(codes), GAPS - 1)
            if tokenizer.writes_gaps:
                bins[1:] = np.searchsorted(tokenizer.gap_edges, np.diff(log.timestamps[span]))
            slots += [SLOTS, *codes[:-1]]
            gaps += bins.tolist()
            follows += codes.tolist() if is_asked else [NONE] * len(codes)
    return tuple(torch.tensor(each) for each in (slots, gaps, follows))


def lesson(seed: int, length: int) -> tuple[Tensor, ...]:
    """A row of a simulated log, all of which is to be predicted."""
    rng = np.random.default_rng([27, seed])
    _, log = simulated_log(seed, events=1_500)
    windows = cut_windows(log, length=int(np.exp(rng.uniform(np.log(16), np.log(128)))))
    some = windows.select(rng.permutation(len(windows))[: length // 8])
    deal = rng.permutation(max(SLOTS, len(log.event_types))) % SLOTS
    found = rows_of(some.select([]), some, EventTokenizer.from_log(windows), deal)
    return tuple(nn.functional.pad(each[:length], (0, max(0, length - len(each))), value=fill)
                 for each, fill in zip(found, (SLOTS, GAPS - 1, NONE), strict=True))  # fmt: skip


def trained_slots(seconds: float, *, logs: int, batch: int = 8, seed: int = 0) -> SlotModel:
    """A model that has read random rows of so many logs for so many seconds of the processor."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    started, shown, step, losses = time.process_time(), time.monotonic(), 0, []
    model = SlotModel()
    pool = [lesson(5_000 + number, model.length) for number in range(logs)]
    optimizer = torch.optim.AdamW(model.parameters(), lr=_RATE, weight_decay=0.01)
    while (share := (time.process_time() - started) / seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = _RATE * min(1, (step + 1) / 100) * (0.05 + 0.95 * (1 - share))
        slots, gaps, follows = (
            torch.stack(each) for each in zip(*(pool[n] for n in rng.integers(len(pool), size=batch)), strict=True)
        )
        # Dealt anew each time.
        deal = torch.cat([torch.from_numpy(rng.permutation(SLOTS)), torch.tensor([SLOTS])])
        slots, follows = deal[slots], torch.where(follows >= 0, deal[follows.clamp(min=0)], NONE)
        loss = nn.functional.cross_entropy(model(slots, gaps).flatten(0, 1), follows.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
        step += 1
        if time.monotonic() - shown > 60:
            shown = time.monotonic()
            print(f"slots, step {step}: {np.mean(losses[-100:]):.3f}", flush=True)
    return model.eval()


@torch.no_grad()
def slot_loss(model: SlotModel, context: EventLog, asked: EventLog, tokenizer: EventTokenizer, deals: int = 4) -> float:
    """Nats per event of sequences, each behind as much of the context as there is room for; mean of several deals."""
    types, rng, found = len(tokenizer.event_types), np.random.default_rng(0), []
    if types > SLOTS:
        raise ValueError(f"The log has {types} types, expected at most {SLOTS}.")
    for number in range(len(asked)):
        one = asked.select([number])
        room = model.length - len(one.codes)
        before = within(context, np.arange(len(context)), room)
        shares = []
        for _ in range(deals):
            deal = rng.permutation(SLOTS)[:types]
            slots, gaps, _ = (each[-model.length :] for each in rows_of(before, one, tokenizer, deal))
            logits = model(slots[None], gaps[None])[0, -len(one.codes) :][:, torch.from_numpy(deal)]
            shares.append(
                logits.softmax(-1)[torch.arange(len(one.codes)), torch.from_numpy(one.codes.astype(np.int64))]
            )
        found.append(-torch.stack(shares).mean(0).log())
    return float(torch.cat(found).mean())


def slot_rows(name: str, log: EventLog, model: SlotModel, settings: TrainingSettings) -> Iterator[dict]:
    """A line for a log, where it has no more types than slots."""
    tokenizer, settings = prepared(log, settings)
    training, validation = split_windows(
        cut_windows(log, length=settings.window_length), settings.validation_share, settings.seed
    )
    rng = np.random.default_rng(0)
    context, asked = (
        within(each, rng.permutation(len(each)), most) for each, most in ((training, 250), (validation, 640))
    )
    if len(tokenizer.event_types) <= SLOTS:
        arguments = (context.codes, context.offsets, asked.codes, asked.offsets, len(tokenizer.event_types))
        yield {
            "log": name, "context": len(context.codes), "slots": slot_loss(model, context, asked, tokenizer),
            "unigram": unigram_loss(*arguments), "bigram": bigram_loss(*arguments),
        }  # fmt: skip
