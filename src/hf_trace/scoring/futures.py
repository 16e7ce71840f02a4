"""Sampled continuations of sequences: what a model thinks happens next, and after that.

Sampled tokens come from uniform numbers that the caller gives, so that rows which differ in one token alone can be
continued with the same luck (common random numbers) and every result can be repeated.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hf_trace.errors import ContextLengthError
from hf_trace.scoring.oracle import Oracle
from hf_trace.scoring.proposals import invert
from hf_trace.scoring.walks import Walk

# Rows that need not go on are dropped when so many are left: dropping copies what the others remember.
_MOST_GOING = 0.8


@dataclass(frozen=True)
class Slots:
    """Which tokens may stand where: events alone, or events with the time between them in turn.

    Attributes:
        events: Tokens of event types.
        gaps: Tokens of gap bins; empty where no time is written.
        gap_seconds: What each gap token stands for.
    """

    events: Int[Tensor, " type"]
    gaps: Int[Tensor, " bin"]
    gap_seconds: Float[Tensor, " bin"]

    @property
    def tokens_per_event(self) -> int:
        """Tokens that one more event costs."""
        return 2 if len(self.gaps) else 1


@dataclass(frozen=True)
class Step:
    """One event slot of all rows.

    Attributes:
        probabilities: Of every event type in this slot, given all before it in its row.
        event: Index of the type that was sampled.
        seconds: Time since the last token of the row that was given; 0 where no time is written.
        row: Which of the rows asked for these are: all, unless some need not go on.
    """

    probabilities: Float[Tensor, "row type"]
    event: Int[Tensor, " row"]
    seconds: Float[Tensor, " row"]
    row: Int[Tensor, " row"]


def sample_futures(
    oracle: Oracle,
    context: Int[Tensor, "context pos"],
    last: Int[Tensor, "context sample"],
    slots: Slots,
    uniforms: Float[Tensor, "context sample slot"],
    *,
    present: Bool[Tensor, "context pos"] | None = None,
    least_gap: Int[Tensor, " context"] | None = None,
    finished: Callable[[], Bool[Tensor, " row"]] | None = None,
) -> Iterator[Step]:
    """Continue every context after each of its last tokens, an event slot at a time.

    Args:
        oracle: The frozen model.
        context: Tokens that are read once for all rows of a context.
        last: Event tokens that end the given part of each row.
        slots: What may follow.
        uniforms: A number in [0, 1) for every token to sample; they decide how many.
        present: Where contexts of several lengths hold a token; the first slots do.
        least_gap: Shortest gap bin that may follow the last token of each context: so long nothing has happened.
        finished: Asked after each step which of all rows need not go on; some of those are left out from then on.

    Yields:
        A ``Step`` for each event; rows of a context are adjacent.

    Raises:
        ContextLengthError: If context and continuation are longer than the model can read.
    """
    longest = context.shape[1] if present is None else int(present.sum(1).max())
    needed = longest + uniforms.shape[2]
    if oracle.context_length is not None and needed > oracle.context_length:
        raise ContextLengthError(
            f"A context of {longest} tokens and a continuation of {uniforms.shape[2]} are longer than the "
            f"{oracle.context_length} that the model reads. Cut the contexts or shorten the horizon."
        )
    tokens = last.flatten().to(oracle.device)
    numbers = uniforms.flatten(0, 1)
    seconds = torch.zeros(len(tokens))
    walk = Walk(oracle, len(context))
    walk.read(context, present)
    walk.select(torch.arange(len(context)).repeat_interleave(last.shape[1]))
    per_event = slots.tokens_per_event
    rows = torch.arange(len(tokens))
    for slot in range(uniforms.shape[2] // per_event):
        if per_event == 2:
            walk.read(tokens[:, None])
            bins = walk.log_probs(slots.gaps).exp()
            if slot == 0 and least_gap is not None:
                shortest = least_gap.repeat_interleave(last.shape[1])[:, None]
                bins = bins.masked_fill(torch.arange(bins.shape[1]) < shortest, 0)
            drawn = invert(bins, numbers[rows, 2 * slot, None])[:, 0]
            seconds = seconds + slots.gap_seconds[drawn]
            tokens = slots.gaps[drawn].to(oracle.device)
        walk.read(tokens[:, None])
        probabilities = walk.log_probs(slots.events).exp()
        event = invert(probabilities, numbers[rows, per_event * slot + per_event - 1, None])[:, 0]
        tokens = slots.events[event].to(oracle.device)
        yield Step(probabilities, event, seconds, rows)
        going = None if finished is None else ~finished()[rows]
        if going is not None and float(going.float().mean()) < _MOST_GOING:
            if not bool(going.any()):
                return
            walk.select(going.nonzero()[:, 0])
            rows, seconds, tokens = rows[going], seconds[going], tokens[going.to(tokens.device)]
