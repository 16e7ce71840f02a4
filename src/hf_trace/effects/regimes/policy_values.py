"""What a policy is worth: the mean outcome where a treatment is decided from what is known of a row."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from hf_trace.effects.answers import AnswerSettings
from hf_trace.effects.conditionals import Floats
from hf_trace.effects.contrasts import arm_rows, counts_numbers
from hf_trace.effects.doubly_robust import Estimate, Numbers, PropensityOverlap, Rows, aipw_scores, difference
from hf_trace.effects.queries import Follow, Force, Query
from hf_trace.effects.table_model import TableModel
from hf_trace.effects.targeted import met_means
from hf_trace.errors import OverlapError, QueryError
from hf_trace.tables.encoding import DagTable

Arms = Float[np.ndarray, "row arm"]


@dataclass(frozen=True)
class PolicyRows:
    """What is known and predicted of the rows of a table, under every value that policies give.

    Attributes:
        received: Whether the row got the value, ``[row, arm]``.
        outcome: Y.
        propensity: p(a | x), from a model fitted on other rows, ``[row, arm]``.
        mean: E[Y | a, x], from a model fitted on other rows, ``[row, arm]``.
        shares: Of each policy, how likely it gives the row the value, ``[row, arm]``.
        weights: How much each row counts.
        floor: What smaller propensities count as, see ``Rows.floor``.
    """

    received: Bool[np.ndarray, "row arm"]
    outcome: Numbers
    propensity: Arms
    mean: Arms
    shares: tuple[Arms, ...]
    weights: Numbers
    floor: float

    def overlap(self) -> PropensityOverlap:
        """Of the rows that count, where the propensity of a value that a policy gives is divided by.

        Raises:
            OverlapError: If one is 0.
        """
        needed = np.any([share > 0 for share in self.shares], axis=0)
        counts = self.weights > 0
        smallest = np.where(needed, self.propensity, 1.0).min(axis=1)[counts]
        if not smallest.min() > 0:
            raise OverlapError(
                f"{int((smallest <= 0).sum())} of {len(smallest)} rows have a propensity of 0, expected more: there "
                "the treatment never takes a value that the policy gives. Give others there."
            )
        below = float(np.average(smallest < self.floor, weights=self.weights[counts]))
        return PropensityOverlap(float(smallest.min()), below)


def policy_value(rows: PolicyRows, *, targeted: bool = False) -> Estimate:
    r"""The value of a policy, or of two the difference: the first less the second.

    .. math:: V(\pi) = \mathbb{E}_n\Big[\sum_a \pi(a \mid x)\, m_a(x)
        + \frac{\pi(A \mid x)}{e_A(x)} (Y - m_A(x))\Big]

    (AIPW; Dudík, Langford and Li 2011, arXiv:1103.4601.) With ``targeted``, means are first moved by one number a
    policy so that the second part averages 0 (van der Laan and Rubin 2006; see ``met_means``). Where two policies give
    everybody one value each, the first is the estimate of ``aipw_ate``, unless propensities are small.

    Args:
        rows: With one policy or two.
        targeted: By targeted maximum likelihood instead of AIPW.

    Raises:
        OverlapError: If a propensity that is divided by is 0.

    Example:
        >>> one = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
        >>> known = PolicyRows(one > 0, np.array([3.0, 1.0, 5.0, 3.0]), np.full((4, 2), 0.5), np.full((4, 2), 3.0),
        ...                    (one,), np.ones(4), 0.01)
        >>> policy_value(known).value  # to each what it got: the mean outcome
        3.0
    """
    overlap = rows.overlap()
    scores = [_scores(rows, share, targeted=targeted) for share in rows.shares]
    method = "tmle" if targeted else "aipw"
    if len(scores) == 1:
        return replace(difference(scores[0], np.zeros(len(scores[0])), rows.weights, method, overlap), means=None)
    return difference(scores[0], scores[1], rows.weights, method, overlap)


def _scores(rows: PolicyRows, share: Arms, *, targeted: bool) -> Numbers:
    """What every row contributes to the value of a policy."""
    pulls = rows.received * share / np.maximum(rows.propensity, rows.floor) * rows.weights[:, None]
    means = met_means(rows.mean, rows.outcome, pulls, rows.weights > 0) if targeted else rows.mean
    arms = [
        aipw_scores(got, rows.outcome, chance, mean, rows.floor)
        for got, chance, mean in zip(rows.received.T, rows.propensity.T, means.T, strict=True)
    ]
    return np.asarray((share * np.stack(arms, axis=1)).sum(axis=1))


def policy_rows(
    model: TableModel,
    asked: Query,
    policies: Sequence[Force | Follow],
    scores: Floats,
    data: Any,
    settings: AnswerSettings,
) -> PolicyRows:
    """The rows of a table under policies, cross-fitted where the run has folds, see ``arm_rows``.

    Args:
        model: Of the rows.
        asked: The question: its target, its treatment, and what is given.
        policies: Of the treatment; one value is a policy, too.
        scores: What every value of the target counts as; rows where that is NaN are left out.
        data: The training table.
        settings: See ``AnswerSettings``.

    Raises:
        TableError: If the table is not the one the run was trained on, or no row has what is given.
        QueryError: If there is not one treatment, nothing to adjust by, or a policy reads what is not before it.
        OverlapError: If nobody got a value that a policy gives.
    """
    if len(asked.do) != 1:
        raise QueryError(
            f"There are {len(asked.do)} treatments, expected one: doubly robust estimates are of a single one."
        )
    (treatment,) = asked.do
    variable = model.schema[treatment]
    if not variable.is_finite:
        raise QueryError(f"{treatment!r} is a {variable.kind}, expected a treatment with a few values.")
    arms = range(len(variable.values))
    found = arm_rows(model, replace(asked, do={treatment: _reading(policies)}), arms, scores, data, settings)
    shares = [_given_by(each, model, found.table, len(arms)) for each in policies]
    given = np.flatnonzero(np.any([share.any(axis=0) for share in shares], axis=0)).tolist()
    received = np.stack([found.table.columns[treatment] == arm for arm in given], axis=1)
    if nobody := [arm for arm, flags in zip(given, received.T, strict=True) if not flags.any()]:
        raise OverlapError(
            f"No row of the table has {treatment} = {variable.values[nobody[0]]}, which a policy gives. Expected "
            "values that occur."
        )
    # Of a single value, too, corrections read two.
    spare = [arm for arm in arms if arm not in given][: len(given) % 2] or given[: len(given) % 2]
    is_binned = counts_numbers(model.schema[asked.target], scores)
    pairs = [found.pair(*two, is_binned=is_binned) for two in zip(*[iter([*given, *spare])] * 2, strict=True)]
    columns = {name: _side_by_side(pairs, name, len(given)) for name in ("propensity", "mean")}
    return PolicyRows(
        received, found.outcome, **columns, shares=tuple(share[:, given] for share in shares),
        weights=found.table.weights, floor=pairs[0].floor,
    )  # fmt: skip


def _reading(policies: Sequence[Force | Follow]) -> Force | Follow:
    """What stands for all policies in the question what must be adjusted for: that which they read, too."""
    reads = tuple(dict.fromkeys(name for each in policies if isinstance(each, Follow) for name in each.reads))
    return next((replace(each, reads=reads) for each in policies if isinstance(each, Follow)), Force(0))


def _given_by(policy: Force | Follow, model: TableModel, table: DagTable, arms: int) -> Arms:
    """How likely a policy gives each row each value."""
    if isinstance(policy, Force):
        return np.tile(np.eye(arms)[policy.code], (len(table), 1))
    codes = [
        np.asarray(table.columns[name])
        if model.schema[name].is_finite
        else model.conditionals.codes(name, model.tokenizer.contents(table, name))
        for name in policy.reads
    ]
    read = np.stack(codes, axis=1) if codes else np.zeros((len(table), 0), dtype=np.int64)
    return np.asarray(policy.probabilities(read), dtype=float)


def _side_by_side(pairs: Sequence[Rows], name: str, arms: int) -> Arms:
    return np.concatenate([getattr(pair, name) for pair in pairs], axis=1)[:, :arms]
