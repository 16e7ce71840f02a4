"""The effect on the treated from what is predicted of every abstract, and predictors without a language model."""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from abstracts import Abstracts, Codes, Floats, Outcomes
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from hf_trace.effects.doubly_robust import Rows, aipw_att, plug_in_ate


@dataclass(frozen=True)
class Predictions:
    """What is said of every abstract by a model that has not seen it.

    Attributes:
        propensity: Probability of the treatment, ``[abstract]``.
        untreated: Probability of acceptance without it.
        accepted_if_treated: With it.
    """

    propensity: Floats
    untreated: Floats
    accepted_if_treated: Floats


def read_out(found: Predictions, outcomes: Outcomes) -> Predictions:
    """What a predictor says of an abstract taken as two numbers, and treatment and outcome regressed on these.

    The two are its log-odds of treatment and of acceptance without treatment. Both were learned from other abstracts;
    logistic regressions with three and four weights say what they are worth. A predictor that is too sure of itself is
    corrected, and what it found in the outcome serves the propensity too.
    """
    said = np.stack([_log_odds(found.propensity), _log_odds(found.untreated)], axis=1)
    treated = outcomes.treated
    columns = [np.column_stack([said, np.full(len(said), arm)]) for arm in (0, 1)]
    propensity = LogisticRegression(C=np.inf).fit(said, treated)
    outcome = LogisticRegression(C=np.inf).fit(np.column_stack([said, treated]), outcomes.accepted)
    return Predictions(propensity.predict_proba(said)[:, 1], *(outcome.predict_proba(each)[:, 1] for each in columns))


def _log_odds(chance: Floats) -> Floats:
    chance = np.clip(chance, 1e-4, 1 - 1e-4)
    return np.log(chance / (1 - chance))


class Predictor(Protocol):
    """A way to predict treatment and outcome from abstracts."""

    name: str
    folds: int

    def predict(self, outcomes: Outcomes, fold: Codes, seed: int) -> Predictions:
        """Cross-fitted: an abstract is predicted by what was learned from the other folds."""
        ...


def folds_of(count: int, folds: int, seed: int) -> Codes:
    """Which of so many parts each abstract is in."""
    return np.random.default_rng([seed, 1]).permutation(count) % folds


def estimates(predictions: Predictions, outcomes: Outcomes) -> dict[str, float]:
    """Plug-in and AIPW."""
    treated, found = outcomes.treated == 1, predictions
    rows = Rows(
        treated=treated,
        control=~treated,
        outcome=outcomes.accepted.astype(np.float64),
        propensity=np.stack([found.propensity, 1 - found.propensity], axis=1),
        mean=np.stack([found.accepted_if_treated, found.untreated], axis=1),
    )
    plug_in = plug_in_ate(replace(rows, weights=treated.astype(np.float64)))
    return {"plug-in": plug_in.value, "AIPW": aipw_att(rows).value}


def unadjusted(outcomes: Outcomes) -> float:
    """Difference of acceptance between treated and untreated."""
    treated = outcomes.treated == 1
    return float(outcomes.accepted[treated].mean() - outcomes.accepted[~treated].mean())


class Buzzy:
    """The oracle adjuster: knows the confounder and counts."""

    name = "confounder known"
    folds = 1

    def __init__(self, abstracts: Abstracts) -> None:
        self.buzzy = abstracts.buzzy

    def predict(self, outcomes: Outcomes, fold: Codes, seed: int) -> Predictions:
        """Shares by confounder and treatment, of all abstracts; four numbers need no cross-fitting."""
        shares = np.array(
            [[outcomes.accepted[(self.buzzy == b) & (outcomes.treated == t)].mean() for t in (0, 1)] for b in (0, 1)]
        )
        treated = np.array([outcomes.treated[self.buzzy == b].mean() for b in (0, 1)])
        return Predictions(treated[self.buzzy], shares[self.buzzy, 0], shares[self.buzzy, 1])


class Linear:
    """Logistic regressions on features of the text; the outcome's also on the treatment."""

    folds = 5

    def __init__(self, name: str, features, strength: float = 1.0, **options) -> None:
        self.name, self.features, self.strength, self.options = name, features, strength, options

    def _regression(self) -> LogisticRegression:
        return LogisticRegression(C=self.strength, max_iter=400, **self.options)

    def predict(self, outcomes: Outcomes, fold: Codes, seed: int) -> Predictions:
        """See ``Predictor``."""
        found = np.empty((3, len(fold)))
        treated = outcomes.treated
        for number in range(self.folds):
            rest, mine = fold != number, fold == number
            propensity = self._regression().fit(self.features[rest], treated[rest])
            outcome = self._regression().fit(self._with(rest, treated[rest]), outcomes.accepted[rest])
            found[0, mine] = propensity.predict_proba(self.features[mine])[:, 1]
            for place, arm in ((1, 0), (2, 1)):
                arms = np.full(mine.sum(), arm)
                found[place, mine] = outcome.predict_proba(self._with(mine, arms))[:, 1]
        return Predictions(*found)

    def _with(self, rows, treated: Codes):
        from scipy.sparse import hstack, issparse

        features, column = self.features[rows], treated[:, None].astype(np.float64)
        return hstack([features, column]).tocsr() if issparse(features) else np.hstack([features, column])


def words(abstracts: Abstracts):
    """TF-IDF of the words of each abstract, sparse ``[abstract, word]``."""
    vectors = TfidfVectorizer(min_df=min(5, len(abstracts) // 20 + 1), stop_words="english", sublinear_tf=True)
    return vectors.fit_transform(abstracts.texts)
