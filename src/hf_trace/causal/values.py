"""Values that are several tokens long, such as texts and sequences of actions: drawn and scored token by token."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int
from numpy.typing import NDArray
from torch import Tensor

from hf_trace.data.dags.tokens import Content, VariableTokens
from hf_trace.scoring.walks import Walk

Uniforms = Callable[[int], NDArray[np.float64]]


@dataclass(frozen=True)
class Drawing:
    """How a value is drawn.

    Attributes:
        uniforms: Numbers in [0, 1), one per row, for the token at a place.
        prefix: Tokens that the value must begin with.
        length: Tokens it must have before the ending one; None leaves its length to the model.
    """

    uniforms: Uniforms
    prefix: Content = ()
    length: int | None = None


def draw_tokens(walk: Walk, tokens: VariableTokens, drawing: Drawing) -> list[Content]:
    """Draw a value for every row of a walk that has just read the variable's start; the walk reads it on the way."""
    end = tokens.end
    if end is None:
        raise ValueError("The variable is finite: its value is a single token.")
    allowed = torch.from_numpy(tokens.allowed)
    drawn = torch.full((len(walk), 0), end)
    running = torch.ones(len(walk), dtype=torch.bool)
    for place in range(tokens.max_length + 1):
        if place < len(drawing.prefix):
            step = torch.full((len(walk),), drawing.prefix[place])
        elif place == (tokens.max_length if drawing.length is None else drawing.length):
            step = torch.full((len(walk),), end)
        else:
            may_end = drawing.length is None
            log_probs = walk.log_probs(allowed if may_end else allowed[:-1]).numpy()
            step = allowed[torch.from_numpy(inverted(log_probs, drawing.uniforms(place)))]
        walk.read(step[:, None], running[:, None])
        drawn = torch.cat([drawn, torch.where(running, step, end)[:, None]], dim=1)
        running = running & (step != end)
        if not running.any():
            break
    lengths = (drawn == end).int().argmax(dim=1)
    return [tuple(row[: length + 1].tolist()) for row, length in zip(drawn, lengths, strict=True)]


def score_tokens(
    walk: Walk,
    tokens: VariableTokens,
    ids: Int[Tensor, "row slot"],
    present: Bool[Tensor, "row slot"],
    *,
    scored: bool = True,
) -> NDArray[np.float64]:
    """Read values and give their log-probabilities in nats, ``[row]``; zeros where nobody asks for them.

    Raises:
        ValueError: If a token is not one the variable may have.
    """
    before = walk.last
    features = walk.read(ids, present)
    if not scored or before is None:
        return np.zeros(len(walk))
    allowed = torch.from_numpy(tokens.allowed)
    order = allowed.argsort()
    place = torch.searchsorted(allowed[order], ids).clamp(max=len(allowed) - 1)
    chosen = order[place]
    if not (allowed[chosen] == ids)[present].all():
        raise ValueError("A value holds a token that its variable may not have.")
    total = torch.zeros(len(walk), dtype=torch.float64)
    for slot in range(min(ids.shape[1], tokens.max_length)):  # after so many the end is certain
        here = before if slot == 0 else features[:, slot - 1]
        log_probs = walk.scores(here, allowed).log_softmax(-1)
        found = log_probs.gather(1, chosen[:, slot, None])[:, 0]
        total += torch.where(present[:, slot], found, 0.0)
    return total.numpy()


def inverted(log_probs: NDArray[np.float64], uniforms: NDArray[np.float64]) -> NDArray[np.int64]:
    """Index of the value each uniform number falls on, ``[row]``.

    Example:
        >>> inverted(np.log([[0.25, 0.75], [0.25, 0.75]]), np.array([0.2, 0.3])).tolist()
        [0, 1]
    """
    cumulative = np.exp(log_probs).cumsum(axis=1)
    found = (cumulative <= (uniforms * cumulative[:, -1])[:, None]).sum(axis=1)
    return np.asarray(np.minimum(found, log_probs.shape[1] - 1), dtype=np.int64)
