"""Which question a log can answer, by a rule that knows no cause: how much neighbouring events say twice.

Where the event before the last tells as much of the next one as the last does, what an effect owes to the one and what
to the other cannot be told apart: a graph of what drives it guesses, one of what follows does not need to know. Where
the last tells much more, direct effects can be told.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_trace.errors import EmptyLogError
from hf_trace.logs.log import EventLog

# Chosen on 68 simulated logs, see `which_question`.
MOST_REDUNDANT = 0.65
_ROUNDS = 100
Codes = NDArray[np.int64]


@dataclass(frozen=True)
class LogQuestion:
    """The question that a log can answer, and what says so.

    Attributes:
        question: ``drives`` or ``follows``.
        redundancy: Of the information about the next event that the last one has, the share that the one before the
            last has as well; infinite where the last tells nothing, NaN where no three types follow one another.
        repeats: Share of events whose predecessor is of the same type; they are left out of the redundancy.
        together: Share of events at the time of their predecessor; NaN without times.

    Example:
        >>> print(LogQuestion("drives", 0.4, 0.125, float("nan")).reason)
        the event before the last tells 40 % of what the last tells of the next (limit 65 %); repeats 12 %
    """

    question: str
    redundancy: float
    repeats: float
    together: float

    @property
    def reason(self) -> str:
        """What was measured, in words."""
        if math.isnan(self.redundancy):
            return "no three different types follow one another"
        told = "the last event tells nothing of the next"
        if math.isfinite(self.redundancy):
            share = f"{self.redundancy:.0%} of what the last tells of the next (limit {MOST_REDUNDANT:.0%})"
            told = f"the event before the last tells {share}"
        parts = [told, f"repeats {self.repeats:.0%}"]
        if self.together > 0:
            parts.append(f"at the same time {self.together:.0%}")
        return "; ".join(parts).replace("%", " %")


def which_question(log: EventLog) -> LogQuestion:
    r"""Which of the two questions a log is fit to answer.

    Repeats are taken for one event. Over all three successive events x, y, z of different types, the redundancy is

    .. math:: I(x; z) / I(y; z)

    where I is the mutual information less that of a table without diagonal and without interaction (quasi-independence,
    Goodman 1968), corrected for the number of cells (Miller and Madow). Above .65 the log is for ``follows``.

    The rule was chosen on 68 simulated logs of both kinds (networks with delays, bursts, chatter, signals, hidden
    causes, and floods of alarms that run through chains), without any real one: a log is for ``follows`` where the
    average precision of onsets against the transitive closure, as a share of the way from chance to 1, exceeds that of
    a Hawkes process against the graph. Burstiness, dispersion of gaps and the size of clusters told that no better
    than chance.

    Args:
        log: A few thousand events; a second is enough for a million.

    Raises:
        EmptyLogError: If every sequence holds one event type.

    Example:
        >>> from hf_trace.logs.sequence import EventSequence
        >>> generator = np.random.default_rng(0)
        >>> steps = generator.choice([1, 2, 3, 4], p=[0.7, 0.1, 0.1, 0.1], size=(50, 40))  # mostly to the next of five
        >>> records = [EventSequence(tuple("abcde"[number % 5] for number in walk)) for walk in steps.cumsum(axis=1)]
        >>> which_question(EventLog.from_sequences(records)).question
        'drives'
    """
    check_more_than_one_type(log)
    codes = log.codes.astype(np.int64)
    sequence = np.repeat(np.arange(len(log)), log.sequence_lengths)
    follows = sequence[1:] == sequence[:-1]
    repeats = follows & (codes[1:] == codes[:-1])
    together = math.nan
    if log.timestamps is not None:
        together = float(np.mean(np.diff(log.timestamps)[follows] == 0))
    kept = np.append(True, ~repeats)
    codes, sequence = codes[kept], sequence[kept]
    first, second, third = codes[:-2], codes[1:-1], codes[2:]
    counted = (sequence[2:] == sequence[:-2]) & (first != third)
    redundancy = math.nan
    if counted.any():
        (near, noise), (far, _) = (_information(each[counted], third[counted]) for each in (second, first))
        redundancy = max(far, 0.0) / near if near > noise else math.inf
    question = "follows" if redundancy > MOST_REDUNDANT else "drives"
    return LogQuestion(question, redundancy, float(repeats.sum() / follows.sum()), together)


def check_more_than_one_type(log: EventLog) -> None:
    """Refuse a log in which nothing can be told.

    Raises:
        EmptyLogError: If every sequence holds one event type.
    """
    if not any(np.any(part != part[:1]) for part in np.split(log.codes, log.offsets[1:-1])):
        raise EmptyLogError(
            "Every sequence of this log holds one event type only, so that none can follow or drive another. Name a "
            "case column that joins events of several types, or another event column."
        )


def _information(one: Codes, other: Codes) -> tuple[float, float]:
    """Mutual information in nats of two columns, beyond that they never agree; and three standard errors of none."""
    pairs = pd.DataFrame({"one": one, "other": other}).value_counts()
    row, column = (pairs.index.get_level_values(name).to_numpy() for name in ("one", "other"))
    share = pairs.to_numpy() / len(one)
    size = int(max(one.max(), other.max())) + 1
    of_rows, of_columns = (np.bincount(codes, minlength=size) / len(one) for codes in (one, other))
    left, right = of_rows, of_columns
    for _ in range(_ROUNDS):  # left_i right_j off the diagonal has the sums of the table
        left = of_rows / np.maximum(right.sum() - right, np.finfo(float).tiny)
        right = of_columns / np.maximum(left.sum() - left, np.finfo(float).tiny)
    told = float(np.sum(share * np.log(share / (left[row] * right[column]))))
    cells = max(int(len(pairs) - np.count_nonzero(of_rows) - np.count_nonzero(of_columns) + 1), 1)
    return told - cells / (2 * len(one)), 3 * math.sqrt(2 * cells) / (2 * len(one))
