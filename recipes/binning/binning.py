# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""How often do 95 % intervals of an effect on a number hold the truth, when numbers are read in bins?

200 tables are drawn from each of three worlds whose effect is known. The model of a table is its counts (what training
comes close to); everything after the model is what ``hf-trace effect --contrast ate`` does. Beside it stand the same
estimates where every bin counts as its middle, or as the mean of its rows and nothing more.

python recipes/binning/binning.py --out runs/binning
"""

import argparse
import logging
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

import networkx as nx
import numpy as np
import pandas as pd
from counted import CountedModel
from harness import Recipe, Report, Size, metrics, table
from scipy.stats import t

from hf_trace.effects.answers import AnswerSettings
from hf_trace.effects.contrasts import Contrast, differences, row_columns
from hf_trace.effects.doubly_robust import aipw_ate
from hf_trace.effects.table_model import TableModel
from hf_trace.effects.table_questions import EffectRequest, answer_questions
from hf_trace.effects.training_intervals import interval_of_difference
from hf_trace.tables.variables import Variable
from hf_trace.training.table_training import DagTrainingSettings, train_dag

QUESTION = {"target": "days", "do": {"drug": "yes"}, "contrast": "ate"}


class Drawn(NamedTuple):
    """Rows of a world, and the true effect of the drug on days."""

    frame: pd.DataFrame
    truth: float


class Interval(NamedTuple):
    """An estimate with its 95 % interval."""

    value: float
    low: float
    high: float


def _named(cause: str, values: np.ndarray, drug: np.ndarray, days: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({cause: values, "drug": np.where(drug, "yes", "no"), "days": days.round(3)})


def bell(rng: np.random.Generator, rows: int) -> Drawn:
    """The world of the tutorial: days are normal, the severely ill get the drug more often."""
    severe = rng.random(rows) < 0.5
    drug = rng.random(rows) < np.where(severe, 0.7, 0.3)
    days = rng.normal(10 + 5 * severe - 2 * drug, 2)
    return Drawn(_named("severity", np.where(severe, "severe", "mild"), drug, days), -2.0)


def tail(rng: np.random.Generator, rows: int) -> Drawn:
    """Days have a long tail, and the drug divides them."""
    severe = rng.random(rows) < 0.5
    drug = rng.random(rows) < np.where(severe, 0.7, 0.3)
    days = rng.lognormal(2 + 0.6 * severe - 0.4 * drug, 0.7)
    means = [math.exp(2 + 0.6 * each + 0.7**2 / 2) for each in (0, 1)]
    truth = float(np.mean(means) * (math.exp(-0.4) - 1))
    return Drawn(_named("severity", np.where(severe, "severe", "mild"), drug, days), truth)


def age(rng: np.random.Generator, rows: int) -> Drawn:
    """The cause of both is a number too: the old get the drug more often and stay longer."""
    years = rng.normal(50, 15, rows)
    drug = rng.random(rows) < 1 / (1 + np.exp(-(years - 50) / 15))
    days = rng.normal(10 + 0.2 * (years - 50) - 2 * drug, 2)
    return Drawn(_named("age", years.round(1), drug, days), -2.0)


WORLDS: dict[str, Callable[[np.random.Generator, int], Drawn]] = {"bell": bell, "tail": tail, "age": age}


def graph_of(frame: pd.DataFrame) -> nx.DiGraph:
    """The cause acts on drug and days, the drug on days."""
    cause, drug, days = frame.columns
    return nx.DiGraph([(cause, drug), (cause, days), (drug, days)])


def middles(variable: Variable, numbers: np.ndarray) -> np.ndarray:
    """The middle of every bin; the outer ones end at the smallest and the largest number."""
    bounds = np.array([numbers.min(), *variable.edges, numbers.max()])
    return (bounds[1:] + bounds[:-1]) / 2


def estimates(model: CountedModel, frame: pd.DataFrame) -> dict[str, Interval]:
    """Value and interval of every way to estimate."""
    plug_in = answer_questions(model, [QUESTION], EffectRequest())[0]
    aipw = answer_questions(model, [QUESTION], EffectRequest(estimator="aipw", data=frame))[0]
    days, inside = model.schema["days"], plug_in["interval"]
    means, halves = np.asarray(days.means), middles(days, frame["days"].to_numpy())
    reach = float(t.ppf(0.975, model.parts - 1)) * inside["standard_error"]
    return {
        "plug-in": Interval(plug_in["value"], inside["low"], inside["high"]),
        "AIPW": Interval(aipw["value"], aipw["low"], aipw["high"]),
        "plug-in, bin means": Interval(plug_in["value"], plug_in["value"] - reach, plug_in["value"] + reach),
        "AIPW, bin means": doubly_robust_of_bins(model, frame, means),
        "plug-in, bin middles": plug_in_of_bins(model, halves),
        "AIPW, bin middles": doubly_robust_of_bins(model, frame, halves),
    }


def _contrast(model: CountedModel) -> Contrast:
    return Contrast("ate", model.reader.query(QUESTION), {"drug": model.reader.code("drug", "no")})


def plug_in_of_bins(model: CountedModel, scores: np.ndarray) -> Interval:
    """What the model says where every bin counts as one number."""
    settings, contrast = EffectRequest().settings(model.rows), _contrast(model)
    whole = differences(model.conditionals, [contrast], [scores], settings)[0]
    found = interval_of_difference(model.members, contrast, scores, whole, settings)
    return Interval(whole.value, math.nan, math.nan) if found is None else Interval(found.value, found.low, found.high)


def doubly_robust_of_bins(model: CountedModel, frame: pd.DataFrame, scores: np.ndarray) -> Interval:
    """AIPW where every bin counts as one number, in the rows too."""
    rows = row_columns(model, _contrast(model), np.asarray(model.schema["days"].means), frame, AnswerSettings())
    code = np.asarray(model.table.columns[frame.columns[0]])
    fold, outcome = model.folds.of_rows(len(frame)), scores[np.asarray(model.table.columns["days"])]
    mean = np.empty((len(frame), 2))
    for arm, received in enumerate((rows.treated, rows.control)):
        for part in range(model.parts):
            seen = received & (fold != part)
            counts, sums = (
                np.bincount(code[seen], minlength=code.max() + 1),
                np.bincount(code[seen], outcome[seen], minlength=code.max() + 1),
            )
            mean[fold == part, arm] = (sums / np.maximum(counts, 1))[code[fold == part]]
    found = aipw_ate(replace(rows, outcome=outcome, mean=mean))
    return Interval(found.value, found.low, found.high)


def of_world(world: str, bins: int, options: argparse.Namespace) -> list[dict]:
    """Bias, width and coverage of every estimate over the tables of a world."""
    found: dict[str, list[Interval]] = {}
    for seed in range(options.tables):
        drawn = WORLDS[world](np.random.default_rng([seed, options.rows]), options.rows)
        model = CountedModel.fitted(graph_of(drawn.frame), drawn.frame, bins, options.folds)
        for name, each in estimates(model, drawn.frame).items():
            found.setdefault(name, []).append(each)
    return [
        {"world": world, "bins": bins, "estimate": name, "truth": drawn.truth, **summary(intervals, drawn.truth)}
        for name, intervals in found.items()
    ]


def summary(intervals: list[Interval], truth: float) -> dict[str, float]:
    """Of many intervals for one truth."""
    value, low, high = np.array(intervals).T
    holds = (low <= truth) & (truth <= high)
    share = float(holds.mean())
    return {
        "bias": float(value.mean() - truth),
        "width": float((high - low).mean()),
        "coverage": share,
        "coverage_error": math.sqrt(share * (1 - share) / len(holds)),
    }


def trained(options: argparse.Namespace) -> list[dict]:
    """The same estimates from models that were trained, of some tables of the first world."""
    found: dict[str, list[Interval]] = {}
    truth = math.nan
    for seed in range(options.trained):
        frame, truth = bell(np.random.default_rng([seed, options.rows]), options.rows)
        counted = CountedModel.fitted(graph_of(frame), frame, options.bins[0], options.folds)
        run = options.out / f"run-{seed}"
        train_dag(counted.table, run, DagTrainingSettings(folds=options.folds))
        model = TableModel.load(run)
        for name, each in {
            "plug-in": answer_questions(model, [QUESTION], EffectRequest())[0]["interval"],
            "AIPW": answer_questions(model, [QUESTION], EffectRequest(estimator="aipw", data=frame))[0],
        }.items():
            found.setdefault(name, []).append(Interval(each["value"], each["low"], each["high"]))
    return [
        {"world": "bell, trained", "bins": options.bins[0], "estimate": name, "truth": truth, **summary(each, truth)}
        for name, each in found.items()
    ]


def measure(options: argparse.Namespace) -> Report:
    """All worlds and numbers of bins."""
    rows = [row for world in WORLDS for bins in options.bins for row in of_world(world, bins, options)]
    rows += trained(options)
    lines = [
        [row["world"], row["bins"], row["estimate"], row["truth"], row["bias"], row["width"],
         f"{row['coverage']:.3f} ± {row['coverage_error']:.3f}"]
        for row in rows
    ]  # fmt: skip
    named = metrics(
        rows,
        lambda row: "{world}, {bins} bins, {estimate}".format(**row),
        {"bias": ("bias", 0.03), "width": ("width", 0.03), "coverage": ("coverage", 0.05)},
    )
    return Report(rows, table(("world", "bins", "estimate", "truth", "bias", "width", "coverage"), lines), named)


RECIPE = Recipe(
    __file__,
    __doc__,
    "How often do 95 % intervals of an effect on a number hold the truth, when numbers are read in bins?",
    measure,
    {
        "tables": Size(200, 1, "tables of each world"),
        "rows": Size(2000, 300, "rows of each table"),
        "bins": Size([4, 8], [4]),
        "folds": Size(5, 2),
        "trained": Size(20, 0, "tables of the first world that models are trained on"),
    },
)

if __name__ == "__main__":
    logging.getLogger("hf_trace").setLevel(logging.ERROR)  # counts have no body apart from their output
    RECIPE.main()
