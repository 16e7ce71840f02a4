# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""Can counts be shared between contexts so that answers come nearer than maximum likelihood that knows the graph?

What a model of parents' values learns comes close to the table of counts that it is trained on; so ways to smooth that
table are tried by themselves, in milliseconds: every exact do-query of two networks and forty of each random one.

python recipes/effects/smoothing.py --data PATH --out runs/effects
"""

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import ours
import pandas as pd
from harness import Recipe, Report, Size, table
from scipy.optimize import minimize_scalar
from scipy.special import gammaln
from shared_counts import averaged, main_effects, stacked

from effects import made_up
from hf_trace.tables.bif import read_bif
from hf_trace.tables.network import Network
from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import Variable

# Variables, values and most parents of random networks, and their seeds.
RANDOM = ((30, 3, 3, 5), (40, 3, 4, 7), (50, 3, 3, 11))
QUERIES = 40
# Of the Dirichlet distribution that their tables are drawn from.
DENSITY = 0.7
Counts = np.ndarray  # an axis per parent, and one of the values


def likeliest(counts: Counts) -> np.ndarray:
    """Maximum likelihood; where nothing was seen all values alike."""
    total = counts.sum(-1, keepdims=True)
    return np.where(total > 0, counts / np.maximum(total, 1), 1 / counts.shape[-1])


def bdeu(rows: float, counts: Counts) -> np.ndarray:
    """So many rows more, spread over all cells (Heckerman, Geiger and Chickering 1995)."""
    smoothed = counts + rows / counts.size
    return smoothed / smoothed.sum(-1, keepdims=True)


def overall(counts: Counts) -> np.ndarray:
    """How often values are seen whatever the parents; a tenth of it is given to all alike."""
    sums = counts.reshape(-1, counts.shape[-1]).sum(0)
    return 0.9 * sums / sums.sum() + 0.1 / len(sums)


def towards(prior: np.ndarray, rows: float, counts: Counts) -> np.ndarray:
    """So many rows more in each context, with values as a prior has them."""
    return (counts + rows * prior) / (counts.sum(-1, keepdims=True) + rows)


def trained(counts: Counts) -> np.ndarray:
    """What training adds by default: half a row in each context, with values as they are overall."""
    return towards(overall(counts), 0.5, counts)


def most_probable(said: Callable[[Counts], np.ndarray], counts: Counts) -> np.ndarray:
    """As many rows, with values as something says of them, as make the counts most probable (empirical Bayes)."""
    prior, total = said(counts), counts.sum(-1)

    def surprise(log_rows: float) -> float:
        rows = np.exp(log_rows)
        cells = gammaln(rows * prior + counts) - gammaln(rows * prior)
        return -float((gammaln(rows) - gammaln(rows + total)).sum() + cells.sum())

    return towards(prior, float(np.exp(_least(surprise))), counts)


def backed_off(counts: Counts) -> np.ndarray:
    """Drawn towards the mean of what is said without each parent, and so on down to no parents.

    How strongly is chosen at each step by leaving out one row after another.
    """
    known: dict[tuple[int, ...], tuple[np.ndarray, np.ndarray]] = {}

    def given(parents: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        if parents not in known:
            others = tuple(axis for axis in range(counts.ndim - 1) if axis not in parents)
            cells = counts.sum(axis=others, keepdims=True)
            fewer = [given(tuple(each for each in parents if each != left)) for left in parents]
            even = np.full((1,) * (counts.ndim - 1) + counts.shape[-1:], 1 / counts.shape[-1])
            prior, left_out = (sum(parts) / len(fewer) for parts in zip(*fewer, strict=True)) if fewer else (even, even)
            rows = float(np.exp(_least(partial(_missed, cells, left_out))))
            known[parents] = towards(prior, rows, cells), _without_one(cells, left_out, rows)
        return known[parents]

    return given(tuple(range(counts.ndim - 1)))[0]


def _without_one(cells: np.ndarray, prior: np.ndarray, rows: float) -> np.ndarray:
    total = np.maximum(cells.sum(-1, keepdims=True) - 1, 0)
    return np.maximum(cells - 1 + rows * prior, 1e-9) / (total + rows)


def _missed(cells: np.ndarray, prior: np.ndarray, log_rows: float) -> float:
    return -float((cells * np.log(_without_one(cells, prior, np.exp(log_rows)))).sum())


def _least(missed: Callable[[float], float]) -> float:
    bounds = (np.log(0.01), np.log(1e5))
    return float(minimize_scalar(missed, bounds=bounds, method="bounded", options={"xatol": 0.05}).x)


def as_drawn(counts: Counts) -> np.ndarray:
    """What is expected of a table of a random network by whoever knows the law that it was drawn from."""
    return bdeu(DENSITY * counts.size, counts)


to_overall, to_main_effects = partial(most_probable, overall), partial(most_probable, main_effects)
METHODS: dict[str, Callable[[Counts], np.ndarray]] = {
    "maximum likelihood": likeliest,
    "BDeu, 1 row": partial(bdeu, 1.0),
    "BDeu, 10 rows": partial(bdeu, 10.0),
    "as trained": trained,
    "empirical Bayes": to_overall,
    "backed off": backed_off,
    "main effects": to_main_effects,
    "subsets of parents": averaged,
    "stacked": partial(stacked, (partial(bdeu, 1.0), trained, to_overall, backed_off, to_main_effects)),
    "law of random tables": as_drawn,
}


def fitted(network: Network, frame: pd.DataFrame, method: Callable[[Counts], np.ndarray]) -> Network:
    """The network with tables from rows."""
    schema, tables = network.schema, {}
    codes = {name: pd.Categorical(frame[name], list(schema[name].values)).codes for name in schema.by_name}
    for variable in schema.variables:
        names = (*variable.parents, variable.name)
        sizes = [len(schema[name].values) for name in names]
        cells = np.ravel_multi_index([codes[name] for name in names], sizes)
        tables[variable.name] = method(np.bincount(cells, minlength=int(np.prod(sizes))).reshape(sizes).astype(float))
    return Network(schema, tables)


def random_network(variables: int, values: int, parents: int, seed: int) -> Network:
    """Up to so many parents each, and tables from a Dirichlet distribution."""
    rng, found, tables = np.random.default_rng(seed), [], {}
    for number in range(variables):
        count = min(number, int(rng.integers(0, parents + 1))) if number else 0
        before = tuple(f"v{each}" for each in sorted(rng.choice(number, size=count, replace=False))) if number else ()
        found.append(Variable(f"v{number}", values=tuple(f"x{each}" for each in range(values)), parents=before))
        tables[f"v{number}"] = rng.dirichlet(np.full(values, DENSITY), size=(values,) * len(before))
    return Network(DagSchema(tuple(found)), tables)


OURS = "hf_trace"
Asked = tuple[str, str, str]  # target, what is done, its value


def asked_of(network: Network, count: int) -> list[Asked]:
    """Targets that something done comes before."""
    rng, names, found = np.random.default_rng(0), list(network.schema.by_name), []
    while len(found) < count:
        done, target = (names[each] for each in rng.choice(len(names), 2, replace=False))
        if target in network.schema.descendants(done):
            values = network.schema[done].values
            found.append((target, done, values[int(rng.integers(len(values)))]))
    return found


def answers(network: Network, asked: list[Asked]) -> list[np.ndarray]:
    """Exact distributions."""
    return [np.array(list(network.distribution(target, {done: value}).values())) for target, done, value in asked]


def modelled(
    network: Network, frame: pd.DataFrame, asked: list[Asked], options: argparse.Namespace, run: str
) -> list[np.ndarray]:
    """What a model says that was trained on the rows with all defaults but the folds, which answer intervals."""
    model = ours.trained(frame, network.schema, options, run, folds=0)
    found = model.effect([{"target": target, "do": {done: value}} for target, done, value in asked])
    values = [network.schema[target].values for target, _, _ in asked]
    return [
        np.array([answer["distribution"][value] for value in each]) for answer, each in zip(found, values, strict=True)
    ]


def worlds(options: argparse.Namespace) -> dict[str, tuple[Network, list[Asked]]]:
    """Networks, and what is asked of each."""
    found = {}
    for name in ("sachs", "asia"):
        exact = json.loads((Path(options.data) / f"exact_do_{name}.json").read_text(encoding="utf-8"))
        network = read_bif(Path(options.data) / f"{name}.bif")
        found[name] = (network, [(each["y"], each["a"], each["a_value"]) for each in exact])
    for shape in RANDOM[: options.random]:
        network = random_network(*shape)
        found["{} variables, {} values, up to {} parents".format(*shape)] = (network, asked_of(network, QUERIES))
    return found


def measure(options: argparse.Namespace) -> Report:
    """All networks, sizes and ways."""
    lines = []
    for name, (network, asked) in worlds(options).items():
        truth = answers(network, asked)
        for rows in options.rows:
            errors: dict[str, list[list[float]]] = {
                method: [] for method in (*METHODS, *([OURS] * (options.models > 0)))
            }
            for seed in range(options.tables):
                frame = network.sample(rows, seed=seed)
                found = {method: answers(fitted(network, frame, smooth), asked) for method, smooth in METHODS.items()}
                if seed < options.models:
                    found[OURS] = modelled(network, frame, asked, options, f"{name}-{rows}-{seed}".replace(" ", "-"))
                for method, each in found.items():
                    errors[method].append(
                        [float(np.abs(mine - exact).sum() / 2) for mine, exact in zip(each, truth, strict=True)]
                    )
            base = np.array(errors["maximum likelihood"])
            lines += [
                {"network": name, "rows": rows, "method": method, "mean_tv": float(np.mean(each)),
                 "ratio": float(np.mean(each) / base[: len(each)].mean()),
                 "largest_ratio": float(np.max(each) / base[: len(each)].max())}
                for method, each in errors.items()
            ]  # fmt: skip
            print(name, rows, flush=True)
    header = ("network", "rows", "counts", "mean TV", "over maximum likelihood", "largest, over its largest")
    shown = [
        [each[key] for key in ("network", "rows", "method", "mean_tv", "ratio", "largest_ratio")] for each in lines
    ]
    return Report(lines, table(header, shown))


RECIPE = Recipe(
    __file__,
    __doc__,
    "Can counts be shared between contexts so that answers come nearer than maximum likelihood?",
    measure,
    {
        "tables": Size(4, 1, "tables of each network and size"),
        "rows": Size([1_000, 10_000], [60], "of a table"),
        "random": Size(3, 0, "random networks"),
        "models": Size(0, 0, "tables of which a model is trained too"),
    },
    data="folder with sachs.bif, asia.bif (bnlearn) and exact_do_sachs.json, exact_do_asia.json",
    tiny_data=made_up,
)

if __name__ == "__main__":
    RECIPE.main()
