# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""Do estimates hold where few are treated, treatment is confounded, and what is measured is often 0 and sometimes much?

Tables are drawn whose effects are known (``simulated_tables.py``). A model is trained on each as ``hf-trace train``
does, and asked for the effect on everybody, on the treated and where both values occur. Beside it stand the difference
that is seen, AIPW with boosted trees on the same folds, and what the true propensities and means would give (oracle).

python recipes/treatments/treatments.py --out runs/treatments
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import pandas as pd
from harness import Recipe, Report, Size, metrics, table
from simulated_tables import NAMES, Population, Truth, drawn, graph, population, truth
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from hf_trace.effects.answers import AnswerSettings
from hf_trace.effects.contrasts import Contrast, row_columns
from hf_trace.effects.doubly_robust import Estimate, Rows, aipw_ate, aipw_att, plug_in_ate
from hf_trace.effects.queries import Force, Query
from hf_trace.effects.table_model import TableModel
from hf_trace.effects.targeted import overlap_ate, tmle_ate, tmle_att
from hf_trace.runs.members import Folds
from hf_trace.tables.encoding import encode_table
from hf_trace.tables.inference import infer_schema
from hf_trace.training.table_training import DagTrainingSettings, train_dag

# Share of treated rows, and rows of a table.
SETTINGS = {0.01: 6000, 0.05: 3000, 0.30: 2000}
_TREES = {"max_iter": 100, "learning_rate": 0.05, "max_leaf_nodes": 8, "random_state": 0}
_FLOOR = 1e-3
ESTIMATORS: dict[str, Mapping[str, Callable[[Rows], Estimate]]] = {
    "ate": {"plug-in": plug_in_ate, "AIPW": aipw_ate, "TMLE": tmle_ate},
    "att": {"plug-in": lambda rows: plug_in_ate(rows.only_treated()), "AIPW": aipw_att, "TMLE": tmle_att},
    "overlap": {"AIPW": overlap_ate, "TMLE": lambda rows: overlap_ate(rows, targeted=True)},
}


def modelled(frame: pd.DataFrame, run: Path, options: argparse.Namespace) -> tuple[Rows, np.ndarray]:
    """The rows as a trained model and its corrections see them, and their folds."""
    schema = infer_schema(graph(), frame)
    if not run.exists():
        settings = DagTrainingSettings(folds=options.folds, max_tokens=options.tokens, refit=False)
        train_dag(encode_table(schema, frame), run, settings)
    model = TableModel.load(run)
    contrast = Contrast("ate", Query("earned", {"treated": Force(1)}), {"treated": 0})
    scores = np.asarray(model.schema["earned"].numbers)
    fold = Folds.of_run(run).of_rows(len(frame))
    return row_columns(model, contrast, scores, frame, AnswerSettings()), fold


def boosted(frame: pd.DataFrame, rows: Rows, fold: np.ndarray) -> Rows:
    """The same rows as boosted trees see them who have not seen their fold."""
    causes = frame.drop(columns=["treated", "earned"])
    seen = causes.assign(**{name: causes[name].astype("category").cat.codes for name in NAMES}).to_numpy(float)
    chance, mean = np.empty(len(frame)), np.empty((len(frame), 2))
    for part in np.unique(fold):
        mine, others = fold == part, fold != part
        model = HistGradientBoostingClassifier(**_TREES).fit(seen[others], rows.treated[others])
        chance[mine] = model.predict_proba(seen[mine])[:, 1]
        for arm, received in enumerate((rows.treated, rows.control)):
            learned = others & received
            means = HistGradientBoostingRegressor(**_TREES).fit(seen[learned], rows.outcome[learned])
            mean[mine, arm] = means.predict(seen[mine])
    chance = np.clip(chance, _FLOOR, 1 - _FLOOR)
    return Rows(rows.treated, rows.control, rows.outcome, np.stack([chance, 1 - chance], axis=1), mean)


def known(people: Population, rows: Rows) -> Rows:
    """The same rows with the true propensities and means."""
    chance = np.stack([people.chance, 1 - people.chance], axis=1)
    return Rows(rows.treated, rows.control, rows.outcome, chance, people.means[:, ::-1].copy())


def estimates(seed: int, share: float, true: Truth, options: argparse.Namespace) -> list[dict]:
    """Error, and whether the interval holds the truth, of every estimate on one table."""
    count = options.rows or SETTINGS[share]
    people = population(np.random.default_rng([seed, 1]), count, share, true.shift)
    frame = drawn(people, np.random.default_rng([seed, 2]))
    rows, fold = modelled(frame, options.out / f"run-{share}-{seed}", options)
    views = {"": rows, "boosted trees, ": boosted(frame, rows, fold), "oracle, ": known(people, rows)}
    seen = rows.outcome[rows.treated].mean() - rows.outcome[rows.control].mean()
    found = []
    for kind, methods in ESTIMATORS.items():
        wanted = getattr(true, kind)
        found.append({"kind": kind, "estimate": "unadjusted", "error": seen - wanted, "holds": None})
        for name, view in views.items():
            for method, estimator in methods.items():
                each = estimator(view)
                holds = bool(each.low <= wanted <= each.high)
                found.append(
                    {"kind": kind, "estimate": name + method, "error": each.value - wanted, "holds": holds,
                     "width": each.high - each.low}
                )  # fmt: skip
    return [{"share": share, "rows": count, "seed": seed, **each} for each in found]


def measure(options: argparse.Namespace) -> Report | None:
    """All tables; what is done already is read again."""
    truths = {share: truth(share) for share in options.shares}
    every: list[dict] = []
    for seed in range(options.tables):
        for share in options.shares:
            done = options.out / f"table-{share}-{seed}.json"
            if not done.exists() and not options.report:
                done.write_text(json.dumps(estimates(seed, share, truths[share], options)), encoding="utf-8")
            if done.exists():
                every += json.loads(done.read_text(encoding="utf-8"))
    return summarized(every)


def summarized(every: list[dict]) -> Report:
    """Bias, root mean square error and coverage of each estimate."""
    frame = pd.DataFrame(every)
    rows = []
    for (share, kind, name), each in frame.groupby(["share", "kind", "estimate"], sort=False):
        holds = each["holds"].dropna().astype(float)
        rows.append(
            {"share": share, "kind": kind, "estimate": name, "tables": len(each), "bias": float(each["error"].mean()),
             "rmse": float(np.sqrt((each["error"] ** 2).mean())),
             "coverage": float(holds.mean()) if len(holds) else None}
        )  # fmt: skip
    header = ("treated", "effect", "estimate", "tables", "bias", "RMSE", "coverage")
    lines = [
        [f"{row['share']:.0%}", row["kind"], row["estimate"], row["tables"], row["bias"], row["rmse"],
         "" if row["coverage"] is None else f"{row['coverage']:.2f}"]
        for row in rows
    ]  # fmt: skip
    named = metrics(
        [row for row in rows if row["coverage"] is not None],
        lambda row: "{share} treated, {kind}, {estimate}".format(**row),
        {"bias": ("bias", 0.3), "rmse": ("rmse", 0.3), "coverage": ("coverage", 0.1)},
    )
    return Report(rows, table(header, lines), named)


RECIPE = Recipe(
    __file__,
    __doc__,
    "How far off are estimates where few are treated, and do their intervals hold the truth?",
    measure,
    {
        "tables": Size(6, 1, "tables of each share of treated rows"),
        "shares": Size([0.01, 0.05, 0.30], [0.30], "of treated rows"),
        "rows": Size(0, 300, "rows of each table; 0: 6,000, 3,000 and 2,000"),
        "folds": Size(2, 2, "models that have not seen a part"),
        "tokens": Size(100_000, 20_000, "tokens that training goes over at most"),
    },
    can_report=True,
)

if __name__ == "__main__":
    RECIPE.main()
