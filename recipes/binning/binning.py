# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""How often do 95 % intervals of an effect on a number hold the truth, when numbers are read in bins?

Tables are drawn from each of three worlds whose effect is known. The model of a table is its counts (what training
comes close to); everything after the model is what ``hf-trace effect --contrast ate`` does. Beside it stand the same
estimates where every bin counts as its middle, or as the mean of its rows and nothing more.

python recipes/binning/binning.py --out runs/binning
"""

import argparse
import logging
import math
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

import networkx as nx
import numpy as np
import pandas as pd
from counted import CountedModel
from harness import Recipe, Report, Size, kept, metrics, panels, table
from matplotlib.figure import Figure
from scipy.stats import t

from hf_trace.effects.contrasts import Contrast, differences, row_columns
from hf_trace.effects.table_model import TableModel
from hf_trace.effects.table_questions import EffectRequest, answer_questions
from hf_trace.effects.targeted import ESTIMATORS, estimated
from hf_trace.effects.training_intervals import interval_of_difference
from hf_trace.tables.encoding import encode_table
from hf_trace.tables.inference import infer_schema
from hf_trace.tables.variables import Variable
from hf_trace.training.table_training import DagTrainingSettings, train_dag

QUESTION = {"target": "days", "do": {"drug": "yes"}}
KINDS = ("ate", "att", "cate")
_COLOURS = {"plug-in": "#0072B2", "AIPW": "#D55E00", "TMLE": "#009E73"}


class Drawn(NamedTuple):
    """Rows of a world, and what the drug does to days: to all, to those who got it, to the severely ill.

    There is no effect on the severely ill where nobody is called so.
    """

    frame: pd.DataFrame
    truths: dict[str, float]


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
    return Drawn(_named("severity", np.where(severe, "severe", "mild"), drug, days), dict.fromkeys(KINDS, -2.0))


def tail(rng: np.random.Generator, rows: int) -> Drawn:
    """Days have a long tail, and the drug divides them."""
    severe = rng.random(rows) < 0.5
    drug = rng.random(rows) < np.where(severe, 0.7, 0.3)
    days = rng.lognormal(2 + 0.6 * severe - 0.4 * drug, 0.7)
    mild, ill = (math.exp(2 + 0.6 * each + 0.7**2 / 2) * (math.exp(-0.4) - 1) for each in (0, 1))
    truths = {"ate": (mild + ill) / 2, "att": 0.3 * mild + 0.7 * ill, "cate": ill}
    return Drawn(_named("severity", np.where(severe, "severe", "mild"), drug, days), truths)


def age(rng: np.random.Generator, rows: int) -> Drawn:
    """The cause of both is a number too: the old get the drug more often and stay longer."""
    years = rng.normal(50, 15, rows)
    drug = rng.random(rows) < 1 / (1 + np.exp(-(years - 50) / 15))
    days = rng.normal(10 + 0.2 * (years - 50) - 2 * drug, 2)
    return Drawn(_named("age", years.round(1), drug, days), {"ate": -2.0, "att": -2.0})


WORLDS: dict[str, Callable[[np.random.Generator, int], Drawn]] = {"bell": bell, "tail": tail, "age": age}


def graph_of(frame: pd.DataFrame) -> nx.DiGraph:
    """The cause acts on drug and days, the drug on days."""
    cause, drug, days = frame.columns
    return nx.DiGraph([(cause, drug), (cause, days), (drug, days)])


def middles(variable: Variable, numbers: np.ndarray) -> np.ndarray:
    """The middle of every bin; the outer ones end at the smallest and the largest number."""
    bounds = np.array([numbers.min(), *variable.edges, numbers.max()])
    return (bounds[1:] + bounds[:-1]) / 2


def estimates(model: CountedModel, drawn: Drawn, *, on_rows: bool) -> list[dict]:
    """Value and interval of every way to estimate, by kind of effect; on request those on the rows, too."""
    found: list[tuple[str, str, Interval]] = []
    for kind in drawn.truths:
        plug_in = answer_questions(model, [asked(kind)], EffectRequest())[0]
        sure = plug_in["interval"]
        found.append((kind, "plug-in", Interval(plug_in["value"], sure["low"], sure["high"])))
        if kind == "ate":
            reach = float(t.ppf(0.975, model.parts - 1)) * sure["standard_error"]
            ends = plug_in["value"] - reach, plug_in["value"] + reach
            found.append((kind, "plug-in, bin means", Interval(plug_in["value"], *ends)))
            halves = plug_in_of_bins(model, middles(model.schema["days"], drawn.frame["days"].to_numpy()))
            found.append((kind, "plug-in, bin middles", halves))
    found += of_rows(model, drawn) if on_rows else []
    return [{"effect": kind, "estimate": name, **each._asdict()} for kind, name, each in found]


def of_rows(model: CountedModel, drawn: Drawn) -> list[tuple[str, str, Interval]]:
    """What ``--estimator aipw`` and ``tmle`` say; the rows of all and of the severely ill are prepared once."""
    found, settings = [], EffectRequest().settings(model.rows)
    scores = np.asarray(model.schema["days"].numbers)
    for group in [("ate", "att"), *([("cate",)] if "cate" in drawn.truths else [])]:
        rows = row_columns(model, _contrast(model, group[0]), scores, drawn.frame, settings)
        for kind in group:
            for estimator in ESTIMATORS[1:]:
                each = estimated(rows, estimator=estimator, of_treated=kind == "att")
                found.append((kind, estimator.upper(), Interval(each.value, each.low, each.high)))
    return found


def asked(kind: str) -> dict:
    """The question of a kind of effect; that in a subgroup is about the severely ill."""
    return {**QUESTION, "contrast": kind, **({"given": {"severity": "severe"}} if kind == "cate" else {})}


def _contrast(model: CountedModel, kind: str = "ate") -> Contrast:
    question = {name: value for name, value in asked(kind).items() if name != "contrast"}
    return Contrast(kind, model.reader.query(question), {"drug": model.reader.code("drug", "no")})


def plug_in_of_bins(model: CountedModel, scores: np.ndarray) -> Interval:
    """What the model says where every bin counts as one number."""
    settings, contrast = EffectRequest().settings(model.rows), _contrast(model)
    whole = differences(model.conditionals, [contrast], [scores], settings)[0]
    found = interval_of_difference(model.members, contrast, scores, whole, settings)
    return Interval(whole.value, math.nan, math.nan) if found is None else Interval(found.value, found.low, found.high)


def of_table(world: str, bins: int, seed: int, options: argparse.Namespace) -> list[dict]:
    """Every estimate of one table."""
    drawn = WORLDS[world](np.random.default_rng([seed, options.rows]), options.rows)
    model = CountedModel.fitted(graph_of(drawn.frame), drawn.frame, bins, options.folds)
    lines = estimates(model, drawn, on_rows=bins == options.bins_of_rows)
    return [{**each, "truth": drawn.truths[each["effect"]]} for each in lines]


def of_world(world: str, bins: int, options: argparse.Namespace) -> list[dict]:
    """Bias, width and coverage of every estimate over the tables of a world; tables done before are read again."""
    found: dict[tuple[str, str, float], list[Interval]] = {}
    for seed in range(options.tables):
        done = options.out / f"table-{world}-{bins}-{seed}.json"
        for each in kept(done, partial(of_table, world, bins, seed, options)):
            ends = Interval(each["value"], each["low"], each["high"])
            found.setdefault((each["effect"], each["estimate"], each["truth"]), []).append(ends)
    return [
        {"world": world, "bins": bins, "effect": kind, "estimate": name, "truth": truth, **summary(intervals, truth)}
        for (kind, name, truth), intervals in found.items()
    ]


def summary(intervals: list[Interval], truth: float) -> dict[str, float]:
    """Of many intervals for one truth."""
    value, low, high = np.array(intervals).T
    holds = (low <= truth) & (truth <= high)
    share = float(holds.mean())
    return {
        "tables": len(intervals),
        "bias": float(value.mean() - truth),
        "rmse": float(np.sqrt(((value - truth) ** 2).mean())),
        "width": float((high - low).mean()),
        "coverage": share,
        "coverage_error": math.sqrt(share * (1 - share) / len(holds)),
    }


def trained(options: argparse.Namespace) -> list[dict]:
    """What models say that were trained on tables of the last world, whose cause is read in bins, too."""
    rows = []
    for bins in options.bins if options.trained else ():
        found: list[Interval] = []
        for seed in range(options.trained):
            frame, _ = age(np.random.default_rng([seed, options.rows]), options.rows)
            run = options.out / f"run-{bins}-{seed}"
            table = encode_table(infer_schema(graph_of(frame), frame, bins=bins), frame)
            train_dag(table, run, DagTrainingSettings(folds=options.folds))
            sure = answer_questions(TableModel.load(run), [asked("ate")], EffectRequest())[0]["interval"]
            found.append(Interval(sure["value"], sure["low"], sure["high"]))
        common = {"world": "age, trained", "bins": bins, "effect": "ate", "estimate": "plug-in", "truth": -2.0}
        rows.append({**common, **summary(found, -2.0)})
    return rows


def measure(options: argparse.Namespace) -> Report:
    """All worlds and numbers of bins."""
    rows = [row for bins in options.bins for world in WORLDS for row in of_world(world, bins, options)]
    rows.sort(key=lambda row: (list(WORLDS).index(row["world"]), row["bins"]))
    rows += trained(options)
    lines = [
        [*(row[key] for key in ("world", "bins", "effect", "estimate", "tables", "truth", "bias", "rmse", "width")),
         f"{row['coverage']:.3f} ± {row['coverage_error']:.3f}"]
        for row in rows
    ]  # fmt: skip
    named = metrics(
        rows,
        lambda row: "{world}, {bins} bins, {effect}, {estimate}".format(**row),
        {"bias": ("bias", 0.03), "width": ("width", 0.03), "coverage": ("coverage", 0.05)},
    )
    header = ("world", "bins", "effect", "estimate", "tables", "truth", "bias", "RMSE", "width", "coverage")
    return Report(rows, table(header, lines), named, drawing(rows))


def drawing(rows: list[dict]) -> Figure:
    """Error of the average effect against bins, beside that of AIPW, which reads the numbers themselves."""
    figure, axes = panels(10, 3.2, 1, len(WORLDS))
    for axis, world in zip(axes, WORLDS, strict=True):
        mine = [row for row in rows if row["world"] == world and row["effect"] == "ate"]
        plug_in = [row for row in mine if row["estimate"] == "plug-in"]
        bins = [row["bins"] for row in plug_in]
        axis.plot(bins, [row["rmse"] for row in plug_in], "o-", color=_COLOURS["plug-in"], label="plug-in, RMSE")
        axis.plot(bins, [abs(row["bias"]) for row in plug_in], "o:", color=_COLOURS["plug-in"], label="plug-in, |bias|")
        for row in mine:
            if row["estimate"] in ("AIPW", "TMLE"):
                colour, style = _COLOURS[row["estimate"]], "-" if row["estimate"] == "AIPW" else "--"
                axis.axhline(row["rmse"], color=colour, linestyle=style, label=f"{row['estimate']}, RMSE")
        axis.set(title=world, xlabel="bins", xscale="log", yscale="log")
        axis.set_xticks(bins, bins)
        axis.minorticks_off()
    axes[0].set_ylabel("days")
    axes[0].legend(fontsize=7)
    return figure


RECIPE = Recipe(
    __file__,
    __doc__,
    "How often do 95 % intervals of an effect on a number hold the truth, when numbers are read in bins?",
    measure,
    {
        "tables": Size(40, 1, "tables of each world"),
        "rows": Size(2000, 300, "rows of each table"),
        "bins": Size([8, 4, 16, 32], [4]),
        "bins_of_rows": Size(8, 4, "with which AIPW and TMLE, which read the numbers themselves, are computed"),
        "folds": Size(5, 2),
        "trained": Size(0, 0, "tables of the last world that models are trained on"),
    },
)

if __name__ == "__main__":
    logging.getLogger("hf_trace").setLevel(logging.ERROR)  # counts have no body apart from their output
    RECIPE.main()
