"""How far plug-in answers may be off because of training: from models that have each not seen one part of the rows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.stats import t

from hf_trace.effects.answers import Answer, AnswerSettings, answers_or_refusals
from hf_trace.effects.conditionals import Conditionals, Floats
from hf_trace.effects.contrasts import Contrast, Difference, differences
from hf_trace.effects.doubly_robust import LEVEL, Estimate, jackknife
from hf_trace.effects.queries import Query


@dataclass(frozen=True)
class TrainingInterval:
    """Where the probabilities of an answer lie with 95 % confidence.

    Attributes:
        low: Of every value of the target, ``[value]``.
        high: Of every value.
        left_out: The answer of each model that has not seen a part of the rows, ``[fold, value]``.
        whole: The answer of the model that has seen all.
    """

    low: Floats
    high: Floats
    left_out: Float[np.ndarray, "fold value"]
    whole: Floats

    def of_mean(self, numbers: Floats) -> tuple[float, float]:
        """The interval of the mean, where each value counts as a number; those that count as NaN are left out."""
        known = ~np.isnan(numbers)
        means = [share[known] @ numbers[known] / share[known].sum() for share in (*self.left_out, self.whole)]
        found = jackknife(np.array(means[:-1]), float(means[-1]))
        return found.low, found.high


def training_interval(left_out: Float[np.ndarray, "fold value"], whole: Floats) -> TrainingInterval:
    """The interval of probabilities by a jackknife over folds, see ``jackknife``; it stays between 0 and 1.

    Args:
        left_out: From all rows but those of a fold, per fold.
        whole: From all rows.

    Example:
        >>> found = training_interval(np.array([[0.4, 0.6], [0.5, 0.5], [0.6, 0.4]]), np.array([0.5, 0.5]))
        >>> found.low.round(3).tolist(), found.high.round(3).tolist()
        ([0.003, 0.003], [0.997, 0.997])
    """
    folds = len(left_out)
    reach = t.ppf((1 + LEVEL) / 2, folds - 1) * np.sqrt((folds - 1) * left_out.var(axis=0))
    return TrainingInterval(np.maximum(whole - reach, 0.0), np.minimum(whole + reach, 1.0), left_out, whole)


def intervals_of_answers(
    members: Sequence[Conditionals], found: Sequence[Answer], settings: AnswerSettings
) -> list[TrainingInterval | None]:
    """The interval of each answer; None where there are fewer than two members, or one of them cannot answer.

    Draws are the same for all members, so that what differs is what they have learned.

    Args:
        members: Models that have each not seen a part of the rows.
        found: Answers of the model that has seen all.
        settings: See ``AnswerSettings``.
    """
    if len(members) < 2:
        return [None] * len(found)
    queries: list[Query] = [answer.query for answer in found]
    # Whether an answer may be given at all was decided by the model that has seen all rows.
    free = replace(settings, training_rows=None)
    by_member = [answers_or_refusals(member, queries, free) for member in members]
    intervals: list[TrainingInterval | None] = []
    for answer, *others in zip(found, *by_member, strict=True):
        left_out = [each.probabilities for each in others if isinstance(each, Answer)]
        is_whole = len(left_out) == len(members)
        intervals.append(training_interval(np.array(left_out), answer.probabilities) if is_whole else None)
    return intervals


def interval_of_difference(
    members: Sequence[Conditionals], contrast: Contrast, scores: Floats, whole: Difference, settings: AnswerSettings
) -> Estimate | None:
    """The plug-in estimate with an interval, what bins cost included; None where there are fewer than two members."""
    if len(members) < 2:
        return None
    left_out = [differences(member, [contrast], [scores], settings)[0].value for member in members]
    found = jackknife(np.array(left_out), whole.value, rows=settings.training_rows or 0, method="plug-in")
    return found.with_binning(whole.binning_error)


def interval_of_rows(answer: Answer) -> TrainingInterval:
    """The interval of a formula that was moved towards rows: a jackknife over groups of these, see ``towards_rows``.

    Args:
        answer: One with ``rows``.
    """
    left_out = answer.probabilities - answer.influence / (len(answer.influence) - 1)
    return training_interval(left_out, answer.probabilities)


def difference_of_rows(whole: Difference, scores: Floats) -> Estimate:
    """The same of a difference of two such answers.

    Args:
        whole: The difference.
        scores: What every value of the target counts as.
    """
    treated, control = (answer.deviations(scores) for answer in whole.answers)
    left_out = whole.value - (treated - control) / (len(treated) - 1)
    return jackknife(left_out, whole.value, rows=whole.answers[0].rows, method="plug-in")
