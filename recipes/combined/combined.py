# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""Where the classifier of statistic ``combined`` comes from, and how good it is.

    python recipes/combined/combined.py --out runs/combined --csl PATH/TO/csl_sample --causrca PATH/TO/causrca

It is fitted to random worlds (``random_worlds.py``) alone, and judged in worlds it has not seen and on logs with known
graphs. What is found of each log is kept in OUT/worlds and OUT/known, so that a run that was stopped goes on; the
classifier is written to OUT/edge_model. Without the two folders only packaged and made-up logs are judged.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import edge_training
from edge_training import cross_validated, fitted
from harness import NotMeasured, Recipe, Report, Size, kept, metrics, panels, table
from judged_logs import atomic, judged_logs, scored
from known_graph import made_once
from labelled_logs import LabelledLog
from log_evidence import Evidence, evidence_of, history, kept_evidence
from matplotlib.figure import Figure
from random_worlds import random_signals, random_world

from hf_trace.runs.edge_model import EdgeModel
from hf_trace.runs.event_model import EventModel
from hf_trace.training.log_training import TrainingSettings, train

# With fewer edges a world says little of how well they are ranked.
_FEWEST = 3
UNSEEN = {
    "auprc": ("AUPRC", 0.03), "f1": ("F1", 0.03), "brier": ("Brier score", 0.003), "worse": ("share worse", 0.1),
}  # fmt: skip
SHOWN = {"auroc": ("AUROC", 0.05), "auprc": ("AUPRC", 0.08), "f1": ("F1", 0.1), "brier": ("Brier score", 0.02)}


def measure(options: argparse.Namespace) -> Report:
    """Worlds, the classifier, and logs it was not fitted to."""
    make_worlds(options)
    worlds = [world for _, world in kept_evidence(options.out / "worlds") if world.truth.sum() >= _FEWEST]
    if len(worlds) < 2:
        raise NotMeasured("There are fewer than two worlds to learn from. Pass a larger --worlds.")
    size = (worlds, options.members, options.epochs)
    validated = kept(options.out / f"validated-{len(worlds)}.json", lambda: cross_validated(*size))
    print(edge_training.markdown(validated), flush=True)
    model = fitted(*size)
    model.save_pretrained(options.out / "edge_model")
    rows = judge(model, options)
    unseen = [{**each, "asked": asked, "auprc": each["auprc"]["all"]["combined"]} for asked, each in validated.items()]
    found = {
        **metrics(unseen, lambda row: f"unseen worlds, {row['asked']}", UNSEEN),
        **metrics(rows, lambda row: f"{row['log']}, {row['method']}", SHOWN),
    }
    text = f"{edge_training.markdown(validated)}\n\n{markdown(rows)}"
    reliability = {asked: each["reliability"] for asked, each in validated.items()}
    return Report({"worlds": validated, "logs": rows}, text, found, draw(reliability, rows))


def make_worlds(options: argparse.Namespace) -> None:
    """What speaks for each pair of every world, where that is not there yet."""
    draws: list[tuple[str, Callable[[int], LabelledLog], int]] = [
        ("world", random_world, options.worlds),
        ("signals", random_signals, options.signals),
    ]
    for name, make, count in draws:
        for seed in range(count):
            path = options.out / "worlds" / f"{name}-{seed:04d}.npz"
            if not path.exists():
                world = make(seed)
                asked(world, options).save(path)
                print(f"{path.stem}: {world.kind}, {len(world.log.codes):,} events", flush=True)


def asked(world: LabelledLog, options: argparse.Namespace) -> Evidence:
    """Counts, and by-type effects of an oracle trained for this one world."""
    training = small(TrainingSettings(window_length=64), options)
    with tempfile.TemporaryDirectory() as folder:
        train(history(world), f"{folder}/run", training)
        return evidence_of(world, EventModel.load(f"{folder}/run"), options.windows)


def small(training: TrainingSettings, options: argparse.Namespace) -> TrainingSettings:
    """The same in seconds, with ``--smoke``."""
    return replace(training, preset="nano", window_length=32, epochs=0.1) if options.smoke else training


def judge(model: EdgeModel, options: argparse.Namespace) -> list[dict]:
    """Every log and score."""
    rows = []
    for name, read in judged_logs(options.csl, options.causrca, small=options.smoke).items():
        stem = name.replace(", ", "-")
        path = options.out / "known" / f"{stem}.npz"

        def oracle(read=read, stem=stem):
            labelled, training = read()
            run = made_once(options.out / "oracles" / stem, history(labelled), training)
            return labelled, EventModel.load(run)

        if not path.exists():
            evidence_of(*oracle(), options.windows).save(path)
        found = scored(Evidence.load(path), model)
        if options.atomic:
            one = path.with_name(f"{stem}-atomic-{options.atomic}.json")
            found.append(kept(one, lambda oracle=oracle: atomic(*oracle(), options.atomic)))
        rows += [{"log": name, **each} for each in found]
        print(f"{name}: " + ", ".join(f"{each['method']} {each['auprc']:.3f}" for each in found), flush=True)
    return rows


def markdown(rows: list[dict]) -> str:
    """The tables of logs, readable: one row each, one column for each score."""
    tables = [
        ("AUROC / AUPRC", crossed(rows, lambda row: f"{dotless(row['auroc'])} / {dotless(row['auprc'])}", "base_rate")),
        (
            "F1 at the own threshold (edges)",
            crossed(
                rows, lambda row: f"{dotless(row['f1'])} ({row['edges']})" if "f1" in row else None, "predict_all_f1"
            ),
        ),
    ]
    lines = [
        [row["log"], row["method"], f"{row['brier']:.4f}", f"{row['brier_base']:.4f}", row["mean"], row["base_rate"]]
        for row in rows
        if "brier" in row
    ]
    columns = ("log", "score", "Brier score", "of the base rate", "mean probability", "base rate")
    return "\n\n".join([*(f"{title}\n\n{found}" for title, found in tables), table(columns, lines)])


def crossed(rows: list[dict], shown: Callable[[dict], str | None], chance: str) -> str:
    """A row for each log, a column for each method; at last what chance gives."""
    methods = list(dict.fromkeys(row["method"] for row in rows))
    cells = {(row["log"], row["method"]): shown(row) for row in rows}
    by_chance = {row["log"]: dotless(row[chance]) for row in rows}
    lines = [[log, *(cells.get((log, name)) for name in methods), share] for log, share in by_chance.items()]
    return table(("log", *methods, "base rate" if chance == "base_rate" else "every pair"), lines)


def dotless(value: float) -> str:
    """A share, as `.812`."""
    return f"{value:.3f}".removeprefix("0") if value < 1 else "1.000"


def draw(reliability: dict[str, list[dict]], rows: list[dict]) -> Figure:
    """How probable edges were said to be and how many are true; AUPRC on each log."""
    figure, (left, right) = panels(12, 3.8, 1, 2, gridspec_kw={"width_ratios": (1, 3)})
    left.plot([0, 1], [0, 1], color="grey", ls="--", lw=1)
    for (asked, found), colour in zip(reliability.items(), ("#0072B2", "#009E73"), strict=True):
        left.plot([row["said"] for row in found], [row["true"] for row in found], "o-", color=colour, label=asked)
    left.legend(fontsize=7)
    left.set(xlabel="probability", ylabel="share of true edges", title="worlds not seen", xlim=(0, 1), ylim=(0, 1))
    colours = {
        "combined": "#0072B2", "combined_follows": "#009E73", "by-type": "#56B4E9",
        "onset": "#D55E00", "hawkes": "#E69F00",
    }  # fmt: skip
    logs = list(dict.fromkeys(row["log"] for row in rows))
    for number, (method, colour) in enumerate(colours.items()):
        values = {row["log"]: row["auprc"] for row in rows if row["method"] == method}
        places = [place + 0.16 * (number - 2) for place in range(len(logs))]
        right.bar(places, [values[log] for log in logs], 0.16, label=method, color=colour)
    right.set_xticks(range(len(logs)), logs, rotation=40, ha="right")
    right.set(ylabel="AUPRC", ylim=(0, 1.15), title="logs with known graphs")
    right.legend(fontsize=7, ncols=len(colours), loc="upper center")
    return figure


def add_options(parser: argparse.ArgumentParser) -> None:
    """Data that are not packaged."""
    parser.add_argument("--csl", default="", help="folder of the CSL sample: alarm.csv, true_graph.npy, topology.npy")
    parser.add_argument("--causrca", default="", help="folder of the data set causRCA")


RECIPE = Recipe(
    __file__,
    __doc__,
    "How probable is it that an edge is real?",
    measure,
    {
        "worlds": Size(200, 2, "random worlds of event types, seeds from 0"),
        "signals": Size(80, 1, "random worlds of variables with values, seeds from 0"),
        "windows": Size(200, 2, "windows in which by-type effects are scored"),
        "members": Size(3, 1, "networks that are averaged"),
        "epochs": Size(12, 1, "passes over all pairs"),
        "atomic": Size(0, 1, "windows of logs with known graphs in which atomic effects are scored; 0: none"),
    },
    options=add_options,
    more="--csl PATH --causrca PATH",
)

if __name__ == "__main__":
    RECIPE.main()
