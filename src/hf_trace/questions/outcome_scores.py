"""Scores of outcomes: how the probability of an outcome changes when one event is replaced (after OSCAR)."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy.stats import fisher_exact, norm
from scipy.stats import t as student
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score
from torch import Tensor

from hf_trace.discovery.blocks import Block, Causes, Drawing, replacements
from hf_trace.discovery.pair_graphs import direction
from hf_trace.discovery.population.frequencies import wilson_interval
from hf_trace.discovery.statistics import kl_to_mixture, kl_to_mixture_error, probability_gain
from hf_trace.documents import Document
from hf_trace.logs.sequence import EncodedSequence
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.proposals import Alphabet
from hf_trace.oracle.rows import atomic

# Upper end of two-sided 95 % intervals.
LEVEL = 0.975


@dataclass(frozen=True)
class OutcomeScores:
    """Effect of each event of a sequence on the probability of each outcome.

    Attributes:
        position: Index of each tested event.
        probability: Probability of every possible outcome given the observed sequence; sums to 1.
        cmi: Divergence ``kl_to_mixture``, in nats.
        gain: Difference of probabilities; positive where the event made the outcome more likely.
        standard_error: Standard error of ``gain``, from the draws and the spread of several oracles.
        low: Lower end of the 95 % interval of ``gain``.
        high: Its upper end.
        cmi_error: Monte Carlo standard error of ``cmi``.
    """

    position: Int[np.ndarray, " cause"]
    probability: Float[np.ndarray, " rival"]
    cmi: Float[np.ndarray, "cause outcome"]
    gain: Float[np.ndarray, "cause outcome"]
    standard_error: Float[np.ndarray, "cause outcome"]
    low: Float[np.ndarray, "cause outcome"]
    high: Float[np.ndarray, "cause outcome"]
    cmi_error: Float[np.ndarray, "cause outcome"]


def outcome_probabilities(
    oracle: Oracle, sequence: EncodedSequence, outcomes: Int[Tensor, " outcome"]
) -> Float[np.ndarray, " outcome"]:
    """Probability of every outcome after a sequence, where nothing else may follow."""
    ids = torch.from_numpy(sequence.input_ids)[None]
    last = torch.tensor([ids.shape[1]])
    found: Float[np.ndarray, " outcome"] = (
        oracle.next_candidates(oracle.read(ids), torch.tensor([0]), last, outcomes)[0].exp().numpy()
    )
    return found


def unexplained(
    oracle: Oracle, sequence: EncodedSequence, outcomes: Int[Tensor, " outcome"], count: int
) -> OutcomeScores:
    """The probability of every outcome after a sequence, and effects of none of its events.

    Args:
        oracle: The frozen model.
        sequence: Tokens before the outcome.
        outcomes: Tokens of all possible outcomes.
        count: How many outcomes effects would be on.
    """
    nothing, none = np.empty(0, dtype=np.int64), np.empty((0, count))
    return OutcomeScores(nothing, outcome_probabilities(oracle, sequence, outcomes), *[none] * 6)


def score_outcomes(
    oracle: Oracle,
    sequences: Sequence[EncodedSequence],
    alphabet: Alphabet,
    outcomes: Int[Tensor, " outcome"],
    drawing: Drawing,
) -> list[OutcomeScores]:
    """Score the effect of every event of every sequence on the outcome that follows.

    Args:
        oracle: The frozen model.
        sequences: Tokens before the outcome, and the positions of their events.
        alphabet: Event types that are tested and drawn.
        outcomes: Tokens of all possible outcomes.
        drawing: How replacements are drawn.
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
        weights = torch.cat([draws.log_weights[groups, : log_r.shape[1]], draws.observed_log_weight[groups, None]], 1)
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
    """Every tested event with a token before it, each reaching to the end of its sequence."""
    sequence, position = block.replaced[:, 1:].nonzero(as_tuple=True)
    position = position + 1
    return Causes(sequence, position, block.event[sequence, position], lengths[sequence])


def _gain_error(
    log_r: Float[Tensor, "cause sample outcome"], log_weights: Float[Tensor, "cause sample"], num_samples: int
) -> Float[Tensor, "cause outcome"]:
    """Standard error of the mean probability over draws; 0 if all types were enumerated."""
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
    reach = float(norm.ppf(LEVEL)) * error
    return OutcomeScores(position, probability, cmi, gain, error, gain - reach, gain + reach, cmi_error)


def averaged_outcomes(by_oracle: Sequence[OutcomeScores]) -> OutcomeScores:
    """Mean scores of one sequence over several oracles.

    The further oracles of a run were trained on bootstrap samples of the log, so their spread estimates the sampling
    error of a single one and is not divided by their number. The interval is Student's t.
    """
    if len(by_oracle) == 1:
        return by_oracle[0]
    gains, cmis, errors, cmi_errors = (
        np.stack([getattr(each, name) for each in by_oracle]) for name in ("gain", "cmi", "standard_error", "cmi_error")
    )
    count = len(by_oracle)
    error = np.sqrt(gains.var(0, ddof=1) + (errors**2).mean(0) / count)
    gain = gains.mean(0)
    reach = float(student.ppf(LEVEL, count - 1)) * error
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


_RESAMPLES = 1000
# For more sequences the normal approximation replaces resampling.
_MOST_RESAMPLED = 2000


# Of one event type in one sequence: whether it carries the outcome, its mean cmi and its mean gain.
_InSequence = tuple[bool, float, float]


class OutcomePool:
    """Pools scored sequences, by outcome.

    Args:
        outcomes: Names of the outcomes, in the order of the scores.
        bound: Smallest ``cmi`` of an event that carries an outcome, in nats.
    """

    def __init__(self, outcomes: Sequence[str], *, bound: float = 0.05) -> None:
        self.outcomes = list(outcomes)
        self.bound = bound
        self.sequences = [0] * len(self.outcomes)
        self._probability = [0.0] * len(self.outcomes)
        self._found: list[dict[str, list[_InSequence]]] = [defaultdict(list) for _ in self.outcomes]
        # Of sequences whose outcome is known: how many there are, and how many hold each event type, by outcome.
        self._known: Counter[str] = Counter()
        self._holding: dict[str, Counter[str]] = defaultdict(Counter)

    def add(self, events: Sequence[str], scores: OutcomeScores, outcomes: Sequence[int]) -> None:
        """Add one sequence.

        Args:
            events: Its events.
            scores: The scores of its events.
            outcomes: Indices of the outcomes to add it to, usually those it had.
        """
        places: dict[str, list[int]] = defaultdict(list)
        for row, position in enumerate(scores.position.tolist()):
            places[events[position]].append(row)
        for outcome in outcomes:
            self.sequences[outcome] += 1
            self._probability[outcome] += float(scores.probability[outcome])
            for event, rows in places.items():
                cmi, gain = scores.cmi[rows, outcome], scores.gain[rows, outcome]
                carries = bool((cmi > self.bound).any())
                self._found[outcome][event].append((carries, float(cmi.mean()), float(gain.mean())))

    def count(self, events: Sequence[str], outcome: str) -> None:
        """Count the event types of a sequence whose outcome is known, for comparison with plain counting."""
        self._known[outcome] += 1
        for event in set(events):
            self._holding[event][outcome] += 1

    def causes(self, *, min_frequency: float, min_support: int, seed: int) -> list[Document]:
        """Every outcome with its causes, strongest first.

        Args:
            min_frequency: A type is a cause if the lower end of the Wilson interval of its frequency exceeds this.
            min_support: Number of sequences that must have the type.
            seed: Seed of the bootstrap over sequences.

        Returns:
            For each outcome the number of ``sequences``, the mean ``probability`` and the ``causes``, with ``support``
            (sequences with the type), ``frequency`` (share in which it carries the outcome) with interval, mean ``cmi``
            and mean ``gain`` over sequences with bootstrap intervals, and ``direction``. Where outcomes were counted,
            ``share`` and ``share_elsewhere`` are the shares of sequences with this outcome, and with others, that
            hold the type, and ``p_value`` Fisher's exact test of their difference. ``tested`` has the same for all
            types.
        """
        documents = []
        for number, name in enumerate(self.outcomes):
            generator = np.random.default_rng([seed, number])
            tested = [
                _type(event, found, generator) | self._counted(event, name)
                for event, found in sorted(self._found[number].items())
            ]
            tested.sort(key=lambda each: -each["cmi"])
            pooled = self.sequences[number]
            documents.append(
                {
                    "outcome": name,
                    "sequences": pooled,
                    "probability": self._probability[number] / pooled if pooled else None,
                    "causes": [
                        each
                        for each in tested
                        if each["frequency_low"] > min_frequency and each["support"] >= min_support
                    ],
                    "tested": tested,
                }
            )
        return documents

    def _counted(self, event: str, outcome: str) -> Document:
        """What plain counting says: how often sequences with the outcome, and all others, hold the event."""
        own, total = self._known[outcome], self._known.total()
        if not 0 < own < total:
            return {"share": None, "share_elsewhere": None, "p_value": None}
        with_it = self._holding[event][outcome]
        elsewhere = self._holding[event].total() - with_it
        table = [[with_it, own - with_it], [elsewhere, total - own - elsewhere]]
        return {
            "share": with_it / own,
            "share_elsewhere": elsewhere / (total - own),
            "p_value": float(fisher_exact(table).pvalue),
        }


def _type(event: str, found: list[_InSequence], generator: np.random.Generator) -> Document:
    carries, cmi, gain = (np.array(column, dtype=np.float64) for column in zip(*found, strict=True))
    low, high = wilson_interval(carries.sum(), len(found))
    (cmi_low, gain_low), (cmi_high, gain_high) = _mean_interval(np.stack([cmi, gain], axis=1), generator)
    return {
        "event": event,
        "direction": direction(float(gain.mean())),
        "support": len(found),
        "frequency": float(carries.mean()),
        "frequency_low": float(low),
        "frequency_high": float(high),
        "cmi": float(cmi.mean()),
        "cmi_low": float(cmi_low),
        "cmi_high": float(cmi_high),
        "gain": float(gain.mean()),
        "gain_low": float(gain_low),
        "gain_high": float(gain_high),
    }


def _mean_interval(
    values: NDArray[np.float64], generator: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """95 % bootstrap interval of column means; normal for many rows, NaN for a single one."""
    count = len(values)
    if count < 2:
        return np.full(values.shape[1], np.nan), np.full(values.shape[1], np.nan)
    if count > _MOST_RESAMPLED:
        reach = norm.ppf(LEVEL) * values.std(0, ddof=1) / np.sqrt(count)
        return values.mean(0) - reach, values.mean(0) + reach
    drawn = generator.multinomial(count, np.full(count, 1 / count), size=_RESAMPLES) / count
    low, high = np.percentile(drawn @ values, [2.5, 97.5], axis=0)
    return low, high


def prediction_quality(
    observed: Sequence[str], probabilities: Sequence[Float[np.ndarray, " label"]], labels: Sequence[str]
) -> Document | None:
    """Log loss beside that of the base rates, in nats, and AUROC and AUPRC of every label against all others.

    Args:
        observed: The label of every sequence.
        probabilities: The predicted probability of each of ``labels``, for every sequence.
        labels: All labels.

    Returns:
        None without sequences. AUROC and AUPRC are None if all sequences, or none, have the label.

    Example:
        >>> found = prediction_quality(["a", "b"], [np.array([0.9, 0.1]), np.array([0.2, 0.8])], ["a", "b"])
        >>> round(found["log_loss"], 4), found["labels"]["a"]["auroc"]  # -(ln .9 + ln .8) / 2
        (0.1643, 1.0)
    """
    if not observed:
        return None
    table, had = np.stack(probabilities), np.array([labels.index(name) for name in observed])
    shares = np.bincount(had, minlength=len(labels)) / len(had)
    return {
        "sequences": len(had),
        "log_loss": float(-np.log(np.clip(table[np.arange(len(had)), had], 1e-300, 1)).mean()),
        "base_rate_log_loss": -float(sum(share * np.log(share) for share in shares if share > 0)),
        "accuracy": float((table.argmax(1) == had).mean()),
        "labels": {name: binary_measures(had == number, table[:, number]) for number, name in enumerate(labels)},
    }


def binary_measures(is_label: Any, probability: Any) -> dict[str, float | None]:
    """Base rate, AUROC, AUPRC and log loss of one label against all others.

    Example:
        >>> measures = binary_measures(np.array([True, False]), np.array([0.75, 0.5]))
        >>> measures["auroc"], round(measures["log_loss"], 4)  # -(ln .75 + ln .5) / 2
        (1.0, 0.4904)
    """
    labels, probabilities = np.asarray(is_label), np.asarray(probability, dtype=np.float64)
    both = bool(labels.any()) and not bool(labels.all())
    return {
        "base_rate": float(labels.mean()),
        "auroc": float(roc_auc_score(labels, probabilities)) if both else None,
        "auprc": float(average_precision_score(labels, probabilities)) if both else None,
        "log_loss": float(log_loss(labels, np.clip(probabilities, 1e-12, 1 - 1e-12), labels=[False, True])),
    }
