"""What EconML, DoWhy and XGBoost say of one table; runs in an environment that has them, and imports nothing from here.

python run_peers.py table.csv answers.json: the table has ``treated`` (yes, no), ``earned`` and confounders.
"""

import json
import sys

import numpy as np
import pandas as pd
from econml.dml import LinearDML
from econml.dr import LinearDRLearner
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from xgboost import XGBClassifier, XGBRegressor

FOLDS, FLOOR = 5, 1e-3
TREES = {"max_iter": 100, "learning_rate": 0.05, "max_leaf_nodes": 8, "random_state": 0}
# As XGBoost comes, but for trees that few treated rows can grow.
BOOSTED = {"n_estimators": 100, "learning_rate": 0.05, "max_depth": 3, "random_state": 0, "n_jobs": 1}
Answer = dict[str, list[float] | float]


def main(source: str, target: str) -> None:
    """Read the table, write answers by kind of effect and method: a value, and an interval where there is one."""
    frame = pd.read_csv(source, keep_default_na=False)
    treated, outcome = (frame.pop("treated") == "yes").to_numpy().astype(int), frame.pop("earned").to_numpy(float)
    causes = pd.get_dummies(frame, drop_first=True).astype(float)
    found: dict[str, dict[str, Answer]] = {"ate": {}, "att": {}, "overlap": {}}
    econml(found, causes.to_numpy(), treated, outcome)
    dowhy(found, causes, treated, outcome)
    xgboost(found, causes.to_numpy(), treated, outcome)
    with open(target, "w", encoding="utf-8") as file:
        json.dump(found, file)


def econml(found: dict, causes: np.ndarray, treated: np.ndarray, outcome: np.ndarray) -> None:
    """Its doubly robust learner, and double machine learning, both with boosted trees for what is fitted first."""
    trees = {
        "model_regression": HistGradientBoostingRegressor(**TREES),
        "model_propensity": HistGradientBoostingClassifier(**TREES),
    }
    learner = LinearDRLearner(**trees, min_propensity=FLOOR, cv=FOLDS, random_state=0)
    learner.fit(outcome, treated, X=causes)
    for kind, rows in (("ate", causes), ("att", causes[treated == 1])):
        answer = learner.ate_inference(rows, T0=0, T1=1)
        low, high = answer.conf_int_mean()
        found[kind]["EconML, LinearDRLearner"] = as_numbers(answer.mean_point, low, high)
    double = LinearDML(
        model_y=HistGradientBoostingRegressor(**TREES), model_t=HistGradientBoostingClassifier(**TREES),
        discrete_treatment=True, cv=FOLDS, random_state=0,
    )  # fmt: skip
    double.fit(outcome, treated, X=None, W=causes)
    answer = double.ate_inference(T0=0, T1=1)
    low, high = answer.conf_int_mean()
    # One slope for all is a mean of effects that weighs rows by the variance of their treatment.
    found["overlap"]["EconML, LinearDML"] = as_numbers(answer.mean_point, low, high)


def dowhy(found: dict, causes: pd.DataFrame, treated: np.ndarray, outcome: np.ndarray) -> None:
    """Linear regression, and weighting by propensities of a logistic regression."""
    from dowhy import CausalModel

    frame = causes.assign(treated=treated == 1, earned=outcome)
    model = CausalModel(frame, treatment="treated", outcome="earned", common_causes=list(causes.columns))
    estimand = model.identify_effect(proceed_when_unidentifiable=True)
    line = model.estimate_effect(estimand, method_name="backdoor.linear_regression", confidence_intervals=True)
    low, high = np.ravel(line.get_confidence_intervals())[:2]
    for kind in ("ate", "att"):
        found[kind]["DoWhy, linear regression"] = as_numbers(line.value, low, high)
        weighted = model.estimate_effect(
            estimand, method_name="backdoor.propensity_score_weighting", target_units=kind,
            method_params={"propensity_score_model": LogisticRegression(max_iter=2000)},
        )  # fmt: skip
        found[kind]["DoWhy, propensity weighting"] = {"value": float(weighted.value)}


def xgboost(found: dict, causes: np.ndarray, treated: np.ndarray, outcome: np.ndarray) -> None:
    """AIPW of its trees on folds."""
    chance, mean = np.empty(len(treated)), np.empty((len(treated), 2))
    for seen, rest in StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(causes, treated):
        chance[rest] = XGBClassifier(**BOOSTED).fit(causes[seen], treated[seen]).predict_proba(causes[rest])[:, 1]
        for arm in (0, 1):
            mine = seen[treated[seen] == arm]
            mean[rest, arm] = XGBRegressor(**BOOSTED).fit(causes[mine], outcome[mine]).predict(causes[rest])
    chance = np.clip(chance, FLOOR, 1 - FLOOR)
    residual = outcome - mean[np.arange(len(treated)), treated]
    effect = mean[:, 1] - mean[:, 0]
    scores = effect + residual * np.where(treated == 1, 1 / chance, -1 / (1 - chance))
    found["ate"]["XGBoost, AIPW"] = as_interval(scores.mean(), scores - scores.mean())
    share = treated.mean()
    scores = np.where(treated == 1, 1.0, -chance / (1 - chance)) * (outcome - mean[:, 0]) / share
    found["att"]["XGBoost, AIPW"] = as_interval(scores.mean(), scores - treated * scores.mean() / share)


def as_interval(value: float, influence: np.ndarray) -> Answer:
    """A value with the interval of the normal distribution."""
    error = influence.std(ddof=1) / np.sqrt(len(influence))
    return as_numbers(value, value - 1.96 * error, value + 1.96 * error)


def as_numbers(value: float, low: float, high: float) -> Answer:
    """An answer as it is written."""
    return {"value": float(value), "low": float(np.squeeze(low)), "high": float(np.squeeze(high))}


if __name__ == "__main__":
    main(*sys.argv[1:])
