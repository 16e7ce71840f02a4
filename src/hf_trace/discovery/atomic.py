"""The atomic construction: one event is replaced, everything else, mediators included, stays as observed."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from hf_trace.discovery.blocks import Block, Causes, Drawing, causes_of, replacements
from hf_trace.discovery.settings import DiscoverySettings
from hf_trace.discovery.statistics import STATISTICS, kl_to_mixture_error, probability_gain
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.proposals import Alphabet
from hf_trace.oracle.readers import Reading
from hf_trace.oracle.rows import NO_TARGET, Branches, atomic

# Entries of the [cause, type] tables that proposals make: 32 MB in float64.
_TABLE_ENTRIES = 2**22


def atomic_scores(
    oracle: Oracle, reading: Reading, block: Block, alphabet: Alphabet, settings: DiscoverySettings
) -> Iterator[NDArray[np.float64]]:
    """Rows ``(sequence, cause, effect, cmi, gain, standard_error)`` of all tested pairs, in no order."""
    task = _Task(oracle, reading, block, _observed_log_probs(oracle, reading, block), alphabet, settings)
    at_once = max(64, _TABLE_ENTRIES // len(alphabet.token_ids))
    for some in causes_of(block, settings.max_lag).split(at_once):
        if settings.refine and not settings.proposal.startswith("exhaustive"):
            yield from _refined(task, some)
        else:
            for sampled in _sampled(task, some, settings.num_samples, settings.seed):
                yield _rows(task, some, sampled).kept()


@dataclass(frozen=True)
class _Task:
    """What all causes of a block share."""

    oracle: Oracle
    reading: Reading
    block: Block
    observed: Float[Tensor, "sequence pos"]
    alphabet: Alphabet
    settings: DiscoverySettings


@dataclass(frozen=True)
class _Sampled:
    """Log-probabilities of the events after some causes under each replacement; the last sample replaces nothing."""

    groups: Int[Tensor, " group"]
    log_r: Float[Tensor, "group sample slot"]
    log_weights: Float[Tensor, "group sample"]
    num_samples: int

    def joined(self, more: "_Sampled") -> "_Sampled":
        """These draws together with more draws of the same causes."""
        total = self.num_samples + more.num_samples
        weights = [each.log_weights + math.log(each.num_samples / total) for each in (self, more)]
        return _Sampled(more.groups, torch.cat([self.log_r, more.log_r], 1), torch.cat(weights, 1), total)


@dataclass(frozen=True)
class _Rows:
    """Columns of all slots of some causes, and which of them are tested pairs."""

    columns: Float[Tensor, "group slot column"]
    tested: Bool[Tensor, "group slot"]

    def kept(self) -> NDArray[np.float64]:
        rows: NDArray[np.float64] = self.columns[self.tested].numpy()
        return rows

    def undecided(self, bound: float) -> Bool[Tensor, " group"]:
        """Whether any pair of the cause is within two standard errors of the bound."""
        near = (self.columns[..., 3] - bound).abs() < 2 * self.columns[..., 5]
        return (near & self.tested).any(1)


def _refined(task: _Task, causes: Causes) -> Iterator[NDArray[np.float64]]:
    """Half the draws for every cause, and three times as many more for causes with an undecided pair.

    If a third of the causes are undecided, that is ``num_samples`` draws per cause on average.
    """
    settings = task.settings
    bound, first = settings.bound, max(2, settings.num_samples // 2)
    width = int((causes.end - causes.position).max())
    groups, log_r, log_weights = [], [], []
    for sampled in _sampled(task, causes, first, settings.seed):
        rows = _rows(task, causes, sampled)
        open_ = rows.undecided(bound)
        yield _Rows(rows.columns[~open_], rows.tested[~open_]).kept()
        unused = (0, width - sampled.log_r.shape[2], 0, 1 + first - sampled.log_r.shape[1])
        groups.append(sampled.groups[open_])
        log_r.append(torch.nn.functional.pad(sampled.log_r[open_], unused, value=torch.nan))
        log_weights.append(torch.nn.functional.pad(sampled.log_weights[open_], unused[2:], value=-torch.inf))
    chosen = torch.cat(groups)
    if not len(chosen):
        return
    held = _Sampled(chosen, torch.cat(log_r), torch.cat(log_weights), first)
    again = causes.select(chosen)
    # Seeds of users are not negative, so `~seed` = -1 - seed gives draws that no run has made before.
    for more in _sampled(task, again, 3 * first, ~settings.seed):
        here = more.groups
        earlier = _Sampled(here, held.log_r[here, :, : more.log_r.shape[2]], held.log_weights[here], first)
        yield _rows(task, again, earlier.joined(more)).kept()


def _sampled(task: _Task, causes: Causes, num_samples: int, seed: int) -> Iterator[_Sampled]:
    """Score replacements of all causes, one micro-batch at a time."""
    block = task.block
    drawing = Drawing(task.settings.proposal, num_samples, seed)
    draws = replacements(task.oracle, task.reading, block, causes, task.alphabet, drawing)
    branches = atomic(block.input_ids, block.tested, causes.sequence, causes.position, causes.end, draws)
    for groups, replaced in task.oracle.branch_log_probs(task.reading, _on_allowed(block, causes, branches)):
        samples, width = replaced.shape[1:]
        # A draw that equals the observed event changes nothing: it joins as one more sample.
        log_p = _observed(task, causes, groups, width)
        yield _Sampled(
            groups,
            torch.cat([replaced, log_p[:, None]], dim=1),
            torch.cat([draws.log_weights[groups, :samples], draws.observed_log_weight[groups, None]], 1),
            draws.num_samples,
        )


def _after(block: Block, causes: Causes, groups: Tensor, width: int) -> Int[Tensor, "group slot"]:
    """Position of every slot after the causes, clamped to the table."""
    after = causes.position[groups, None] + 1 + torch.arange(width)
    return after.clamp(max=block.input_ids.shape[1] - 1)


def _observed(task: _Task, causes: Causes, groups: Tensor, width: int) -> Float[Tensor, "group slot"]:
    return task.observed[causes.sequence[groups, None], _after(task.block, causes, groups, width)]


def _rows(task: _Task, causes: Causes, sampled: _Sampled) -> _Rows:
    """All columns of every slot."""
    block, statistic = task.block, task.settings.statistic
    groups, width = sampled.groups, sampled.log_r.shape[2]
    row, position = causes.sequence[groups, None], causes.position[groups, None]
    after = _after(block, causes, groups, width)
    arguments = (_observed(task, causes, groups, width), sampled.log_r, sampled.log_weights)
    score = STATISTICS[statistic](*arguments)
    error = torch.full_like(score, torch.nan)
    if statistic == "kl_to_mixture":
        error = kl_to_mixture_error(*arguments, sampled.num_samples)
    columns = [
        row.expand_as(after),
        causes.event[groups, None].expand_as(after),
        block.event[row, after],
        score,
        probability_gain(*arguments),
        error,
    ]
    within = position + 1 + torch.arange(width) <= causes.end[groups, None]
    table = torch.stack([column.double() for column in columns], dim=-1)
    return _Rows(table, within & block.testable(row, position, after))


def _observed_log_probs(oracle: Oracle, reading: Reading, block: Block) -> Float[Tensor, "sequence pos"]:
    """Log-probability of every tested event given all before it, in nats; NaN elsewhere."""
    sequence, position = block.tested[:, 1:].nonzero(as_tuple=True)
    position = position + 1
    table = torch.full(block.input_ids.shape, torch.nan)
    table[sequence, position] = oracle.log_probs(reading, sequence, position)
    return table


def _on_allowed(block: Block, causes: Causes, branches: Branches) -> Branches:
    """The same rows, scored only at events that the cause may act on."""
    if block.allowed is None:
        return branches

    def tails(groups: Tensor, samples: int, width: int) -> tuple[Tensor, Tensor]:
        tail_ids, targets = branches.tails(groups, samples, width)
        row, cause = causes.sequence[groups, None], causes.position[groups, None]
        after = (cause + 1 + torch.arange(width)).clamp(max=block.input_ids.shape[1] - 1)
        return tail_ids, targets.masked_fill(~block.testable(row, cause, after)[:, None], NO_TARGET)

    return replace(branches, tails=tails)
