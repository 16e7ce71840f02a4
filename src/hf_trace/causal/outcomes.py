r"""Causes of an outcome of a whole sequence: how its chance moves when one event is replaced (after OSCAR).

OSCAR (arXiv 2509.23213) compares predictions from growing prefixes. Here every event is replaced in the finished
sequence instead, as TRACE replaces causes, and everything else stays as observed:

.. math:: cmi_i = KL_B\big(P(o \mid x) \,\|\, \textstyle\sum_n w_n P(o \mid x_{i := u_n})\big), \qquad
    gain_i = P(o \mid x) - \textstyle\sum_n w_n P(o \mid x_{i := u_n})

Every event of the sequence is tested, however long before its end.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.stats import norm
from scipy.stats import t as student
from torch import Tensor

from hf_trace.causal.blocks import Block, Causes
from hf_trace.causal.cmi import kl_to_mixture, kl_to_mixture_error, probability_gain
from hf_trace.causal.replacements import Drawing, replacements
from hf_trace.data.sequence import EncodedSequence
from hf_trace.scoring.interventions import atomic
from hf_trace.scoring.oracle import Oracle
from hf_trace.scoring.proposals import Alphabet

_LEVEL = 0.975


@dataclass(frozen=True)
class OutcomeScores:
    """What each event of one sequence did to the chance of each outcome.

    Attributes:
        position: Index of each tested event.
        probability: Of every outcome, given the sequence as observed; they sum to 1.
        cmi: In nats.
        gain: Positive where the event made the outcome likelier.
        standard_error: Of ``gain``: of the draws, and with several oracles of their disagreement.
        low: Lower end of the 95 % interval of ``gain``.
        high: Its upper end.
        cmi_error: Monte Carlo standard error of ``cmi``.
    """

    position: Int[np.ndarray, " cause"]
    probability: Float[np.ndarray, " outcome"]
    cmi: Float[np.ndarray, "cause outcome"]
    gain: Float[np.ndarray, "cause outcome"]
    standard_error: Float[np.ndarray, "cause outcome"]
    low: Float[np.ndarray, "cause outcome"]
    high: Float[np.ndarray, "cause outcome"]
    cmi_error: Float[np.ndarray, "cause outcome"]


def score_outcomes(
    oracle: Oracle,
    sequences: Sequence[EncodedSequence],
    alphabet: Alphabet,
    outcomes: Int[Tensor, " outcome"],
    drawing: Drawing,
) -> list[OutcomeScores]:
    """Score what every event of every sequence did to the outcome that comes next.

    Args:
        oracle: The frozen model.
        sequences: Tokens up to where the outcome stands, and where their events are.
        alphabet: Event types that are tested and drawn.
        outcomes: Tokens of the outcomes; one of them follows.
        drawing: What events are replaced by.
    """
    every = [range(len(each.event_positions)) for each in sequences]
    block = Block.build(sequences, alphabet, every)
    reading = oracle.read(block.input_ids)
    lengths = torch.tensor([len(each.input_ids) for each in sequences])
    log_p = oracle.next_candidates(reading, torch.arange(len(sequences)), lengths, outcomes)
    causes = _causes(block, lengths)
    draws = replacements(oracle, reading, block, causes, alphabet, drawing)
    branches = atomic(block.input_ids, block.tested, causes.sequence, causes.position, causes.end, draws)
    found = torch.zeros((4, len(causes.sequence), len(outcomes)), dtype=torch.float64)
    for groups, log_r in oracle.branch_candidates(reading, branches, outcomes):
        observed = log_p[causes.sequence[groups]]
        weights = torch.cat(
            [draws.log_weights[groups, : log_r.shape[1]], draws.observed_log_weight[groups, None]], 1
        )
        arguments = (observed, torch.cat([log_r, observed[:, None]], 1), weights)
        found[0, groups] = kl_to_mixture(*arguments)
        found[1, groups] = probability_gain(*arguments)
        found[2, groups] = _gain_error(*arguments[1:], draws.num_samples)
        found[3, groups] = kl_to_mixture_error(*arguments, draws.num_samples)
    tables = found.numpy()
    return [
        _scores(causes.event[mine].numpy(), log_p[row].exp().numpy(), tables[:, mine.numpy()])
        for row in range(len(sequences))
        for mine in [(causes.sequence == row).nonzero()[:, 0]]
    ]


def _causes(block: Block, lengths: Int[Tensor, " sequence"]) -> Causes:
    """Every tested event that has a token before it; their rows go on to the end of the sequence."""
    testable = block.replaced.clone()
    testable[:, 0] = False
    sequence, position = testable.nonzero(as_tuple=True)
    return Causes(sequence, position, block.event[sequence, position], lengths[sequence])


def _gain_error(
    log_r: Float[Tensor, "cause sample outcome"], log_weights: Float[Tensor, "cause sample"], num_samples: int
) -> Float[Tensor, "cause outcome"]:
    """Standard error of the mean probability over draws; 0 where all types were enumerated."""
    if num_samples == 0:
        return torch.zeros(log_r.shape[::2], dtype=torch.float64)
    weights = log_weights[..., None].double().exp()
    r = log_r.exp().masked_fill(weights == 0, 0)
    mean = (r * weights).sum(1, keepdim=True)
    squares = ((r - mean) ** 2 * weights).sum(1)
    return (squares / (num_samples - 1)).sqrt() if num_samples > 1 else squares * torch.nan


def _scores(
    position: Int[np.ndarray, " cause"],
    probability: Float[np.ndarray, " outcome"],
    tables: Float[np.ndarray, "column cause outcome"],
) -> OutcomeScores:
    cmi, gain, error, cmi_error = tables
    reach = float(norm.ppf(_LEVEL)) * error
    return OutcomeScores(position, probability, cmi, gain, error, gain - reach, gain + reach, cmi_error)


def averaged_outcomes(by_oracle: Sequence[OutcomeScores]) -> OutcomeScores:
    """Scores of several oracles of one sequence, put together.

    The further oracles of a run were trained on bootstrap samples of the log, so their spread estimates how far one
    of them errs because the log is finite; it is not divided by their number. The interval is Student's.
    """
    if len(by_oracle) == 1:
        return by_oracle[0]
    gains, cmis, errors, cmi_errors = (
        np.stack([getattr(each, name) for each in by_oracle])
        for name in ("gain", "cmi", "standard_error", "cmi_error")
    )
    count = len(by_oracle)
    error = np.sqrt(gains.var(0, ddof=1) + (errors**2).mean(0) / count)
    gain = gains.mean(0)
    reach = float(student.ppf(_LEVEL, count - 1)) * error
    return OutcomeScores(
        position=by_oracle[0].position,
        probability=np.mean([each.probability for each in by_oracle], axis=0),
        cmi=cmis.mean(0),
        gain=gain,
        standard_error=error,
        low=gain - reach,
        high=gain + reach,
        cmi_error=np.sqrt((cmi_errors**2).mean(0) / count),
    )
