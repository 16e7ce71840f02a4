# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""How far do answers about a table carry: variables, values, parents, rows; and what do they cost?

Every variable of a world takes over what one of its parents has, renamed, or is drawn afresh; which parent it is, is
drawn for every row. So each marginal is a sum of marginals of parents, and what follows from an intervention is known
exactly however large the graph is. One thing is varied at a time; each setting runs in a process of its own, with a
budget of CPU seconds.

python recipes/effects-scale/effects_scale.py --out runs/effects-scale
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import pandas as pd
from harness import Recipe, Report, Size, kept, metrics, panels, table
from matplotlib.figure import Figure

AFRESH = 0.3
QUERIES = 20
VARIED = {"variables": "variables", "values": "values of each", "parents": "parents of each", "rows": "rows"}


@dataclass(frozen=True)
class Setting:
    """One size of everything.

    Attributes:
        variables: In the graph.
        values: Of each variable.
        parents: Of each variable, where so many stand before it.
        rows: Of the table.
    """

    variables: int = 30
    values: int = 4
    parents: int = 2
    rows: int = 10_000


@dataclass(frozen=True)
class CopyingWorld:
    """Variables that each copy a parent, drawn for every row, under new names, or are drawn afresh.

    Attributes:
        parents: Of each variable, among those before it.
        chances: Of each parent to be copied; what is left to 1 is the chance of a fresh value.
        names: What a value of a parent becomes, ``[parent, value]`` for each variable.
        shares: Of fresh values, ``[variable, value]``.
    """

    parents: tuple[np.ndarray, ...]
    chances: tuple[np.ndarray, ...]
    names: tuple[np.ndarray, ...]
    shares: np.ndarray

    @classmethod
    def drawn(cls, setting: Setting, seed: int) -> "CopyingWorld":
        """A world at random; parents are among the twenty variables before."""
        rng, parents, chances, names = np.random.default_rng(seed), [], [], []
        for number in range(setting.variables):
            near = np.arange(max(0, number - 20), number)
            chosen = np.sort(rng.choice(near, size=min(setting.parents, len(near)), replace=False))
            parents.append(chosen)
            chances.append((1 - AFRESH) * rng.dirichlet(np.full(len(chosen), 5.0)) if len(chosen) else np.empty(0))
            renamed = [rng.permutation(setting.values) for _ in chosen]
            names.append(np.array(renamed, dtype=np.int64).reshape(len(chosen), setting.values))
        shares = rng.dirichlet(np.full(setting.values, 2.0), size=setting.variables)
        return cls(tuple(parents), tuple(chances), tuple(names), shares)

    def rows(self, count: int, seed: int) -> np.ndarray:
        """Values of rows, ``[row, variable]``."""
        rng, found = np.random.default_rng(seed), np.empty((count, len(self.parents)), dtype=np.int32)
        for number, (parents, chances, names) in enumerate(zip(self.parents, self.chances, self.names, strict=True)):
            found[:, number] = rng.choice(self.shares.shape[1], size=count, p=self.shares[number])
            source = np.searchsorted(np.cumsum(chances), rng.random(count), side="right")
            for place, parent in enumerate(parents):
                copied = source == place
                found[copied, number] = names[place][found[copied, parent]]
        return found

    def distribution(self, target: int, done: int, value: int) -> np.ndarray:
        """Exact probabilities of the values of a variable once another has been set."""
        marginals = []
        for number, (parents, chances, names) in enumerate(zip(self.parents, self.chances, self.names, strict=True)):
            marginal = (1 - chances.sum()) * self.shares[number]
            for parent, chance, renamed in zip(parents, chances, names, strict=True):
                moved = np.empty_like(marginal)
                moved[renamed] = marginals[parent]
                marginal = marginal + chance * moved
            marginals.append(np.eye(len(marginal))[value] if number == done else marginal)
            if number == target:
                break
        return marginals[target]

    def questions(self, count: int, seed: int) -> list[tuple[int, int, int]]:
        """Targets with an ancestor at most three steps away and a value to set it to."""
        rng, found = np.random.default_rng(seed), []
        while len(found) < count:
            target = done = int(rng.integers(1, len(self.parents)))
            for _ in range(int(rng.integers(1, 4))):
                done = int(rng.choice(self.parents[done])) if len(self.parents[done]) else done
            if done != target:
                found.append((target, done, int(rng.integers(self.shares.shape[1]))))
        return found


def measured(setting: Setting, folder: Path, tokens: int, seed: int) -> dict[str, Any]:
    """Fit a model, ask it, and compare with what is exact."""
    from hf_trace.effects.table_model import TableModel
    from hf_trace.effects.table_questions import EffectRequest, answer_questions
    from hf_trace.tables.encoding import encode_table
    from hf_trace.tables.inference import infer_schema
    from hf_trace.training.table_training import DagTrainingSettings, train_dag

    world = CopyingWorld.drawn(setting, seed)
    rows = world.rows(setting.rows, seed + 1)
    names = [f"v{number}" for number in range(setting.variables)]
    called = np.array([f"x{value}" for value in range(setting.values)], dtype=object)
    frame = pd.DataFrame({name: called[column] for name, column in zip(names, rows.T, strict=True)})
    edges = [(names[parent], names[child]) for child, found in enumerate(world.parents) for parent in found]
    started = time.process_time()
    schema = infer_schema(edges, frame, max_values=max(256, setting.values))
    train_dag(encode_table(schema, frame), folder, DagTrainingSettings(max_tokens=tokens))
    fitted = time.process_time()
    model = TableModel.load(folder)
    asked = [each for each in world.questions(QUERIES, seed + 2) if (rows[:, each[1]] == each[2]).any()]
    records = [{"target": names[target], "do": {names[done]: f"x{value}"}} for target, done, value in asked]
    loaded = time.process_time()
    answers = answer_questions(model, records, EffectRequest(on_refusal="report"))
    ended = time.process_time()
    errors, seen, trivial, refused = [], [], [], 0
    for (target, done, value), answer in zip(asked, answers, strict=True):
        if "error" in answer:
            refused += 1
            continue
        exact = world.distribution(target, done, value)
        found = np.array([answer["distribution"].get(f"x{each}", 0.0) for each in range(setting.values)])
        errors.append(np.abs(found - exact).sum() / 2)
        seen.append(np.abs(shares(rows[rows[:, done] == value, target], setting.values) - exact).sum() / 2)
        trivial.append(np.abs(shares(rows[:, target], setting.values) - exact).sum() / 2)
    return {
        "error": float(np.mean(errors)), "seen": float(np.mean(seen)), "marginal": float(np.mean(trivial)),
        "asked": len(asked), "refused": refused, "fit_seconds": fitted - started,
        "query_seconds": (ended - loaded) / max(1, len(asked)),
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }  # fmt: skip


def shares(values: np.ndarray, size: int) -> np.ndarray:
    """How often each value occurs."""
    return np.bincount(values, minlength=size) / max(1, len(values))


def apart(setting: Setting, options: argparse.Namespace) -> dict[str, Any]:
    """What a process of its own measures, or why it has ended."""
    name = "-".join(str(each) for each in asdict(setting).values())
    command = [sys.executable, "-W", "ignore", __file__, "--out", str(options.out), "--tokens", str(options.tokens)]
    task = json.dumps(asdict(setting))
    done = subprocess.run(
        [*command, "--budget", str(options.budget), "--one", task], capture_output=True, text=True, check=False
    )
    answer = options.out / f"{name}.answer.json"
    if answer.exists():
        return {**asdict(setting), **json.loads(answer.read_text(encoding="utf-8")), "broke": None}
    last = (done.stderr.strip().splitlines() or [""])[-1]
    is_late = done.returncode in (-9, -24, 137, 152)
    return {**asdict(setting), "broke": f"over {options.budget} CPU seconds" if is_late else last[:120]}


def one(options: argparse.Namespace) -> None:
    """The work of a single process."""
    import torch

    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_CPU, (options.budget, options.budget + 5))
    setting = Setting(**json.loads(options.one))
    name = "-".join(str(each) for each in asdict(setting).values())
    found = measured(setting, options.out / f"run-{name}", options.tokens, options.seed)
    (options.out / f"{name}.answer.json").write_text(json.dumps(found), encoding="utf-8")


def settings(options: argparse.Namespace) -> list[Setting]:
    """One thing varied at a time."""
    base = Setting()
    found = [replace(base, **{name: size}) for name in VARIED for size in getattr(options, name)]
    return list(dict.fromkeys(found))


def measure(options: argparse.Namespace) -> Report | None:
    """All settings; what is done already is read again."""
    if options.one:
        one(options)
        return None
    rows = []
    for each in settings(options):
        name = "-".join(str(size) for size in asdict(each).values())
        rows.append(kept(options.out / f"{name}.json", lambda each=each: apart(each, options)))
        print(rows[-1], flush=True)
    keys = ("error", "seen", "marginal", "fit_seconds", "query_seconds", "memory_mb", "broke")
    costs = ("fit, CPU s", "query, CPU s", "MB", "broke")
    header = (*VARIED, "error (TV)", "p(y | a) in the rows", "p(y) in the rows", *costs)
    lines = [[*(row[name] for name in VARIED), *(row.get(key) for key in keys)] for row in rows]
    named = metrics(
        rows,
        lambda row: "{variables} variables, {values} values, {parents} parents, {rows:,} rows".format(**row),
        {"error": ("mean total variation", 0.02)},
    )
    return Report(rows, table(header, lines), named, drawing(rows))


def drawing(rows: list[dict[str, Any]]) -> Figure:
    """Error and seconds against each of what is varied."""
    figure, axes = panels(11, 5, 2, len(VARIED), sharex="col")
    base = asdict(Setting())
    for (above, below), (name, called) in zip(axes.T, VARIED.items(), strict=True):
        mine = [row for row in rows if all(row[key] == base[key] for key in base if key != name) and not row["broke"]]
        below.set_xlabel(called)
        if not mine:
            continue
        mine.sort(key=lambda row: row[name])
        sizes = [row[name] for row in mine]
        for key, label, colour in (("error", "model", "#0072B2"), ("marginal", "p(y) in the rows", "#999999")):
            above.plot(sizes, [row[key] for row in mine], "o-", color=colour, label=label)
        for key, label, colour in (("fit_seconds", "fit", "#D55E00"), ("query_seconds", "query", "#009E73")):
            below.plot(sizes, [row[key] for row in mine], "o-", color=colour, label=label)
        above.set(xscale="log", yscale="log")
        below.set(xscale="log", yscale="log")
        below.minorticks_off()
        below.set_xticks(sizes, [f"{size:,}" for size in sizes], fontsize=8)
    axes[0, 0].set_ylabel("mean total variation")
    axes[1, 0].set_ylabel("CPU seconds")
    axes[0, 0].legend(fontsize=7)
    axes[1, 0].legend(fontsize=7)
    return figure


def further(parser: argparse.ArgumentParser) -> None:
    """An option of processes that this one starts."""
    parser.add_argument("--one", default="", help=argparse.SUPPRESS)


RECIPE = Recipe(
    __file__,
    __doc__,
    "How far do answers about a table carry, and what do they cost?",
    measure,
    {
        "variables": Size([10, 30, 100, 300, 1000], [6]),
        "values": Size([2, 4, 16, 100, 1000], []),
        "parents": Size([1, 2, 4, 8], []),
        "rows": Size([1_000, 10_000, 100_000, 1_000_000], []),
        "tokens": Size(1_000_000, 20_000, "tokens that training goes over at most"),
        "budget": Size(150, 60, "CPU seconds of a setting"),
    },
    options=further,
    seed=0,
)

if __name__ == "__main__":
    RECIPE.main()
