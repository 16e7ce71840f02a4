# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""Do estimates hold where few are treated, treatment is confounded, and what is measured is often 0 and sometimes much?

Tables are drawn whose effects are known (``simulated_tables.py``). A model is trained on each and asked, as
``hf-trace effect --estimator`` does, for the effect on everybody, on the treated and where both values occur. Beside it
stand the difference that is seen, the same estimates with boosted trees on the same folds, with the true propensities
and means (oracle), and with ``--peers-python`` those of EconML, DoWhy and XGBoost (``run_peers.py``).

python recipes/treatments/treatments.py --out runs/treatments
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import pandas as pd
from harness import NotMeasured, Recipe, Report, Size, kept, metrics, panels, table
from matplotlib.figure import Figure
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
SETTINGS = {0.01: 4000, 0.05: 3000, 0.30: 2000}
_TREES = {"max_iter": 100, "learning_rate": 0.05, "max_leaf_nodes": 8, "random_state": 0}
_FLOOR = 1e-3
ESTIMATORS: dict[str, Mapping[str, Callable[[Rows], Estimate]]] = {
    "ate": {"plug-in": plug_in_ate, "AIPW": aipw_ate, "TMLE": tmle_ate},
    "att": {"plug-in": lambda rows: plug_in_ate(rows.only_treated()), "AIPW": aipw_att, "TMLE": tmle_att},
    "overlap": {"AIPW": overlap_ate, "TMLE": lambda rows: overlap_ate(rows, targeted=True)},
}
TREES, ORACLE = "boosted trees, ", "oracle, "
_COLOURS = {"": "#0072B2", TREES: "#009E73", ORACLE: "#555555"}


def modelled(frame: pd.DataFrame, run: Path, options: argparse.Namespace) -> tuple[Rows, np.ndarray]:
    """The rows as a trained model and its corrections see them, and their folds."""
    schema = infer_schema(graph(), frame)
    settings = DagTrainingSettings(
        folds=options.folds, max_tokens=options.tokens, batch_tokens=options.batch, refit=False
    )
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
    return replace(rows, propensity=np.stack([chance, 1 - chance], axis=1), mean=mean)


def known(people: Population, rows: Rows) -> Rows:
    """The same rows with the true propensities and means."""
    chance = np.stack([people.chance, 1 - people.chance], axis=1)
    return replace(rows, propensity=chance, mean=people.means[:, ::-1].copy())


def estimates(seed: int, share: float, true: Truth, options: argparse.Namespace) -> list[dict]:
    """Error, and whether the interval holds the truth, of every estimate on one table."""
    started = time.process_time()
    count = options.rows or SETTINGS[share]
    people = population(np.random.default_rng([seed, 1]), count, share, true.shift)
    frame = drawn(people, np.random.default_rng([seed, 2]))
    run = options.out / f"run-{share}-{seed}"
    rows, fold = modelled(frame, run, options)
    shutil.rmtree(run)
    views = {"": rows, TREES: boosted(frame, rows, fold), ORACLE: known(people, rows)}
    seen = rows.outcome[rows.treated].mean() - rows.outcome[rows.control].mean()
    found = []
    for kind, methods in ESTIMATORS.items():
        found.append(line(kind, "unadjusted", getattr(true, kind), seen))
        for name, view in views.items():
            for method, estimator in methods.items():
                each = estimator(view)
                found.append(line(kind, name + method, getattr(true, kind), each.value, each.low, each.high))
    if options.peers_python:
        found += peers(frame, true, options, f"{share}-{seed}")
    seconds = time.process_time() - started
    return [{"share": share, "rows": count, "seed": seed, "cpu_seconds": seconds, **each} for each in found]


def line(
    kind: str, estimate: str, wanted: float, value: float, low: float | None = None, high: float | None = None
) -> dict:
    """How far an estimate is off, and whether its interval holds the truth."""
    holds = None if low is None or high is None else bool(low <= wanted <= high)
    width = None if low is None or high is None else high - low
    return {"kind": kind, "estimate": estimate, "error": value - wanted, "holds": holds, "width": width}


def peers(frame: pd.DataFrame, true: Truth, options: argparse.Namespace, name: str) -> list[dict]:
    """What other libraries say of the same table."""
    source, answer = options.out / f"rows-{name}.csv", options.out / f"peers-{name}.json"
    frame.to_csv(source, index=False)
    script = Path(__file__).parent / "run_peers.py"
    command = [options.peers_python, "-W", "ignore", str(script), str(source), str(answer)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotMeasured(f"The peers failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    source.unlink()
    return [
        line(kind, name, getattr(true, kind), **each)
        for kind, methods in json.loads(answer.read_text(encoding="utf-8")).items()
        for name, each in methods.items()
    ]


def measure(options: argparse.Namespace) -> Report | None:
    """All tables; what is done already is read again."""
    truths = {share: truth(share) for share in options.shares}
    every: list[dict] = []
    for seed in range(options.first_seed, options.first_seed + options.tables):
        for share in options.shares:
            done = options.out / f"table-{share}-{seed}.json"
            if done.exists() or not options.report:
                every += kept(done, lambda seed=seed, share=share: estimates(seed, share, truths[share], options))
                print(share, seed, flush=True)
    if not every:
        raise NotMeasured(f"Nothing was measured in {str(options.out)!r} yet. Leave out --report.")
    return summarized(every)


def summarized(every: list[dict]) -> Report:
    """Bias, root mean square error and coverage of each estimate."""
    rows = []
    for (share, kind, name), each in pd.DataFrame(every).groupby(["share", "kind", "estimate"], sort=False):
        holds = each["holds"].dropna().astype(float)
        rows.append(
            {"share": share, "kind": kind, "estimate": name, "tables": len(each), "bias": float(each["error"].mean()),
             "rmse": float(np.sqrt((each["error"] ** 2).mean())),
             "width": float(each["width"].median()) if len(holds) else None,
             "coverage": float(holds.mean()) if len(holds) else None}
        )  # fmt: skip
    rows.sort(key=lambda row: (row["share"], ("att", "overlap", "ate").index(row["kind"])))
    header = ("treated", "effect", "estimate", "tables", "bias", "RMSE", "median width", "coverage")
    lines = [
        [
            f"{row['share']:.0%}",
            *(row[key] for key in ("kind", "estimate", "tables", "bias", "rmse", "width", "coverage")),
        ]
        for row in rows
    ]
    named = metrics(
        [row for row in rows if row["estimate"] in ("plug-in", "AIPW", "TMLE")],
        lambda row: "{share} treated, {kind}, {estimate}".format(**row),
        {"bias": ("bias", 0.3), "rmse": ("rmse", 0.3), "coverage": ("coverage", 0.1)},
    )
    cost = {"cpu_seconds": float(sum({(each["share"], each["seed"]): each["cpu_seconds"] for each in every}.values()))}
    return Report(rows, table(header, lines, digits=2), named, drawing(rows), cost)


def drawing(rows: list[dict]) -> Figure:
    """Root mean square error of doubly robust estimates, by the share of the treated."""
    figure, axes = panels(12, 3.4, 1, 3)
    for axis, kind in zip(axes, ("att", "overlap", "ate"), strict=True):
        mine = [row for row in rows if row["kind"] == kind and not row["estimate"].endswith(("unadjusted", "plug-in"))]
        for name in dict.fromkeys(row["estimate"] for row in mine):
            points = [(row["share"], row["rmse"]) for row in mine if row["estimate"] == name]
            ours = next((before for before in (TREES, ORACLE) if name.startswith(before)), "")
            is_peer = not name.endswith(("AIPW", "TMLE")) or name.startswith("XGBoost")
            colour = "#D55E00" if is_peer else _COLOURS[ours]
            axis.plot(*zip(*points, strict=True), "o-" if name.endswith("TMLE") else "s--", color=colour, label=name)
        axis.set(title=f"effect: {kind}", xscale="log", yscale="log", xlabel="share of rows treated")
    axes[0].set_ylabel("root mean square error")
    figure.legend(*axes[2].get_legend_handles_labels(), loc="outside right center", fontsize=7)
    return figure


RECIPE = Recipe(
    __file__,
    __doc__,
    "How far off are estimates where few are treated, and do their intervals hold the truth?",
    measure,
    {
        "tables": Size(17, 1, "tables of each share of treated rows"),
        "shares": Size([0.01, 0.05, 0.30], [0.30], "of treated rows"),
        "rows": Size(0, 300, "rows of each table; 0: 4,000, 3,000 and 2,000"),
        "folds": Size(3, 2, "models that have not seen a part"),
        "tokens": Size(400_000, 20_000, "tokens that training goes over at most"),
        "batch": Size(1024, 1024, "tokens of a step"),
        "first_seed": Size(7000, 0, "of the first table"),
    },
    peers=("peers",),
    can_report=True,
)

if __name__ == "__main__":
    RECIPE.main()
