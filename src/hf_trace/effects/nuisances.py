"""What a model says of the rows of a table, moved by what it leaves unexplained in others: numbers, rare treatments."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.sparse import csr_matrix, hstack
from scipy.special import logit
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.preprocessing import OneHotEncoder

from hf_trace.effects.conditionals import Codes
from hf_trace.effects.doubly_robust import Flags, Numbers, Rows
from hf_trace.tables.binning import within_bins
from hf_trace.tables.encoding import DagTable

# Parts of the rows that corrections are learned without, where the run has no folds.
_PARTS = 5
_PENALTIES = np.logspace(0, 4, 9)
_TREES: dict[str, Any] = {"max_iter": 100, "learning_rate": 0.05, "max_leaf_nodes": 8, "random_state": 0}
_EDGE, _FIRM, _ROUNDS = 1e-4, 1e3, 200
_BELIEF = 100
# Rows of a kind from which on it is known what goes with them, and from which on trees are grown.
_FEWEST, _FEWEST_FOR_TREES = 5, 40


def corrected(rows: Rows, table: DagTable, names: Sequence[str], fold: Codes | None = None) -> Rows:
    """Rows with propensities and outcome means that were corrected by other rows than those that they are of.

    Each is a mixture: of what the model says; of that, moved by a regression on the values of what is adjusted for and
    on where numbers lie within their bins; of boosted trees; and, of an outcome, of a regression of both arms at once,
    as if the effect were the same everywhere. All read what the model says of both arms, so that few treated rows are
    read in the light of the others. The mixture is the one that predicts rows best that were left out (van der Laan,
    Polley and Hubbard 2007): treatments by their likelihood, since estimates divide by the chance of what is rare,
    outcomes by squared errors, as if ``_BELIEF`` more rows had followed the regression of both arms: what few rows say
    of an arm reaches far beyond them, and effects differ less than people do.

    Args:
        rows: As the model sees them.
        table: The same rows.
        names: What is adjusted for.
        fold: In which part of the rows each is; at random by default.
    """
    part = np.random.default_rng(0).permutation(len(table)) % _PARTS if fold is None else fold
    odds = logit(np.clip(rows.propensity, _EDGE, 1 - _EDGE))
    of_chances, of_means = _Columns.of(table, names, odds), _Columns.of(table, names, np.hstack([odds, rows.mean]))
    arms = (rows.treated, rows.control)
    propensity, mean, doubts = rows.propensity.copy(), rows.mean.copy(), np.empty((len(table), 2, 4))
    alike = _alike(of_means, rows, part)
    for arm, received in enumerate(arms):
        if arm == 1 and (rows.treated | rows.control).all():
            propensity[:, 1] = 1 - propensity[:, 0]
        else:
            found = _candidates(of_chances, received, rows.propensity[:, arm], part, rows.weights, _CLASSIFIERS)
            propensity[:, arm] = _likeliest(np.clip(found, _EDGE, 1 - _EDGE), received, rows.weights)
        counted = rows.weights * received
        moved = _candidates(of_means, rows.outcome, rows.mean[:, arm], part, counted, _REGRESSORS)
        guesses = np.column_stack([moved, alike[:, arm]])
        shares = _nearest(guesses, rows.outcome, counted)
        mean[:, arm] = guesses @ shares
        doubts[:, arm] = np.sqrt(shares) * (guesses - mean[:, [arm]])
    return replace(rows, propensity=propensity, mean=mean, doubts=doubts)


@dataclass(frozen=True)
class _Columns:
    """What corrections are learned from.

    Attributes:
        values: Of finite variables as columns of their own; as numbers the place of those that have an order, numbers
            themselves, where they lie within their bins, and further ones.
        ranks: Values, numbers and further ones as trees read them.
    """

    values: csr_matrix
    ranks: NDArray[np.float64]

    @classmethod
    def of(cls, table: DagTable, names: Sequence[str], further: Float[np.ndarray, "row number"]) -> "_Columns":
        schema = table.schema
        codes = {name: np.asarray(table.columns[name], dtype=float) for name in names if schema[name].is_finite}
        placed = [each for name, each in codes.items() if schema[name].kind in ("numeric", "ordinal")]
        raw = [table.numbers[name] for name in names if name in table.numbers]
        within = [each for name in names if (each := within_bins(table, schema[name])) is not None]
        numbers = np.column_stack([further, *placed, *map(_filled, (*raw, *within))])
        spread = numbers.std(axis=0)
        scaled = csr_matrix((numbers - numbers.mean(axis=0)) / np.where(spread > 0, spread, 1.0))
        values = [OneHotEncoder().fit_transform(np.column_stack(list(codes.values())))] if codes else []
        return cls(hstack([*values, scaled], format="csr"), np.column_stack([further, *codes.values(), *raw]))


def _filled(numbers: Numbers) -> Numbers:
    known = np.isfinite(numbers)
    return np.where(known, numbers, numbers[known].mean() if known.any() else 0.0)


def _logistic(columns: _Columns, happened: Flags, said: Numbers, weights: Numbers, seen: Flags) -> Numbers:
    model = LogisticRegression(max_iter=500).fit(columns.values[seen], happened[seen], sample_weight=weights[seen])
    return np.asarray(model.predict_proba(columns.values)[:, 1])


def _classified(columns: _Columns, happened: Flags, said: Numbers, weights: Numbers, seen: Flags) -> Numbers:
    model = HistGradientBoostingClassifier(**_TREES).fit(columns.ranks[seen], happened[seen], weights[seen])
    return np.asarray(model.predict_proba(columns.ranks)[:, 1])


def _ridge(columns: _Columns, outcome: Numbers, said: Numbers, weights: Numbers, seen: Flags) -> Numbers:
    unexplained = outcome[seen] - said[seen]
    model = RidgeCV(_PENALTIES).fit(columns.values[seen], unexplained, sample_weight=weights[seen])
    return np.asarray(said + model.predict(columns.values))


def _regressed(columns: _Columns, outcome: Numbers, said: Numbers, weights: Numbers, seen: Flags) -> Numbers:
    model = HistGradientBoostingRegressor(**_TREES).fit(columns.ranks[seen], outcome[seen], weights[seen])
    return np.asarray(model.predict(columns.ranks))


def _alike(columns: _Columns, rows: Rows, part: Codes) -> Float[np.ndarray, "row 2"]:
    """Outcome means of a regression that has not seen the row, whose arms differ by one number."""
    found = rows.mean.copy()
    counted = rows.weights * (rows.treated | rows.control)
    for number in np.unique(part):
        mine, seen = part == number, (part != number) & (counted > 0)
        if _rarest(rows.treated[seen]) < _FEWEST:
            continue
        spread = rows.treated[seen].std()
        arm = csr_matrix((rows.treated[:, None] - rows.treated[seen].mean()) / spread)
        model = RidgeCV(_PENALTIES).fit(
            hstack([columns.values, arm], format="csr")[seen], rows.outcome[seen], sample_weight=counted[seen]
        )
        effect = model.coef_[-1] / spread
        control = model.predict(hstack([columns.values, arm], format="csr")[mine]) - effect * rows.treated[mine]
        found[mine] = np.column_stack([control + effect, control])
    return found


_Learner = Callable[[_Columns, Any, Numbers, Numbers, Flags], Numbers]
_CLASSIFIERS: tuple[_Learner, _Learner] = (_logistic, _classified)
_REGRESSORS: tuple[_Learner, _Learner] = (_ridge, _regressed)


def _candidates(
    columns: _Columns,
    outcome: Numbers | Flags,
    said: Numbers,
    part: Codes,
    weights: Numbers,
    learners: tuple[_Learner, _Learner],
) -> Float[np.ndarray, "row candidate"]:
    """What the model says, and what each learner makes of it who has not seen the row."""
    found = np.tile(said[:, None], (1, 3))
    for number in np.unique(part):
        mine, seen = part == number, (part != number) & (weights > 0)
        rarest = _rarest(outcome[seen])
        for place, (learner, fewest) in enumerate(zip(learners, (_FEWEST, _FEWEST_FOR_TREES), strict=True), start=1):
            if rarest >= fewest:
                found[mine, place] = learner(columns, outcome, said, weights, seen)[mine]
    return found


def _rarest(outcome: Numbers | Flags) -> int:
    """Rows there are to learn from: of flags, of the rarer kind."""
    if outcome.dtype != bool:
        return len(outcome)
    return int(min(outcome.sum(), (~outcome).sum()))


def _likeliest(candidates: Float[np.ndarray, "row candidate"], happened: Flags, weights: Numbers) -> Numbers:
    """The weighted mean of candidates under which what happened is most probable, by expectation maximization."""
    chances = np.where(happened[:, None], candidates, 1 - candidates)
    shares = np.full(candidates.shape[1], 1 / candidates.shape[1])
    for _ in range(_ROUNDS):
        owned = chances * shares
        shares = (weights / weights.sum()) @ (owned / owned.sum(axis=1, keepdims=True))
    return np.asarray(candidates @ shares)


def _nearest(
    guesses: Float[np.ndarray, "row guess"], outcome: Numbers, weights: Numbers
) -> Float[np.ndarray, " guess"]:
    """Shares, of which the last is believed beforehand, whose weighted mean of guesses is nearest to the outcome."""
    first = np.asarray(np.eye(guesses.shape[1])[0])
    if not weights.any():
        return first
    root = np.sqrt(weights / weights.sum())[:, None]
    belief = np.sqrt(_BELIEF * (weights**2).sum()) / weights.sum()
    one = _FIRM * np.sqrt((root[:, 0] ** 2) @ outcome**2)  # shares add up to 1: a wrong scale is wrong
    rows = [guesses * root, belief * guesses * root, np.full((1, guesses.shape[1]), one)]
    wanted = [outcome * root[:, 0], belief * guesses[:, -1] * root[:, 0], [one]]
    shares, _ = nnls(np.vstack(rows), np.concatenate(wanted))
    return np.asarray(shares / shares.sum()) if shares.any() else first
