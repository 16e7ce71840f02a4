"""Trained models against exact answers on networks with known tables: accuracy, histories, wrong graphs, speed."""

import argparse
import json
import time
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ours import distributions, total_variation, trained
from peers import run_peer
from transformers import pipeline
from wrong_edges import changed

from hf_trace.errors import DagFormatError
from hf_trace.tables.bif import read_bif
from hf_trace.tables.network import Network


def load(data: Path, name: str) -> tuple[Network, list[dict], np.ndarray]:
    """A network, its queries, and their exact answers, ``[query, value]``."""
    network = read_bif(data / f"{name}.bif")
    exact = json.loads((data / f"exact_do_{name}.json").read_text())
    width = max(len(each["y_values"]) for each in exact)
    truth = np.zeros((len(exact), width))
    queries = []
    for row, each in zip(truth, exact, strict=True):
        values = network.schema[each["y"]].values
        row[: len(values)] = [each["p_do"][each["y_values"].index(value)] for value in values]
        queries.append({"target": each["y"], "do": {each["a"]: each["a_value"]}})
    return network, queries, truth


def naive(network: Network, frame: pd.DataFrame, queries: list[dict], width: int) -> np.ndarray:
    """p(y | a) in the rows, as if nobody were confounded."""
    found = np.zeros((len(queries), width))
    for row, query in zip(found, queries, strict=True):
        ((treatment, value),) = query["do"].items()
        seen = frame.loc[frame[treatment] == value, query["target"]]
        values = network.schema[query["target"]].values
        shares = seen.value_counts(normalize=True).reindex(list(values), fill_value=0.0)
        row[: len(values)] = shares if len(seen) else 1 / len(values)
    return found


def counted(truth: np.ndarray, rows: int, seed: int) -> np.ndarray:
    """Frequencies in so many rows drawn from the exact answers: what no method that counts rows can beat."""
    generator = np.random.default_rng(seed)
    return np.stack([generator.multinomial(rows, row / row.sum()) / rows for row in truth])


def summary(found: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Mean and largest total variation."""
    distance = total_variation(found, truth)
    return {"mean_tv": float(distance.mean()), "largest_tv": float(distance.max())}


def networks(options: argparse.Namespace) -> list[dict]:
    """Every exact query of two networks, from rows alone, beside the peers on the same rows."""
    lines, rows = [], options.rows
    for name in ("asia", "sachs"):
        network, queries, truth = load(Path(options.data), name)
        for seed in range(options.seeds):
            frame, run = network.sample(rows, seed=seed), f"{name}-{seed}"
            model = trained(frame, network.schema, options, run, seed=seed)
            found, seconds, _ = distributions(model, queries)
            seen = naive(network, frame, queries, truth.shape[1])
            mine = [
                {
                    "method": "hf_trace", **summary(found, truth),
                    "fit_seconds": model.seconds, "query_seconds": seconds,
                },
                {"method": "p(y | a) in the rows", **summary(seen, truth)},
                {
                    "method": f"{rows:,} rows drawn from the exact answers",
                    **summary(counted(truth, rows, seed), truth),
                },
            ]  # fmt: skip
            for peer, python in (("pgmpy", options.pgmpy_python), ("dowhy", options.dowhy_python)):
                if python and (peer == "pgmpy" or seed == 0):
                    mine.append(run_peer(peer, python, network, frame, queries, truth, options.out, run))
            lines += [{"network": name, "seed": seed, **line} for line in mine]
    return lines


def histories(options: argparse.Namespace) -> list[dict]:
    """Full history against parents alone, fixed against random order, at three sizes of table."""
    network, queries, truth = load(Path(options.data), "sachs")
    lines = []
    for rows in options.sizes:
        frame = network.sample(rows, seed=0)
        for history, order in (("parents", "fixed"), ("full", "fixed"), ("full", "random")):
            run = f"sachs-{rows}-{history}-{order}"
            model = trained(frame, network.schema, options, run, history=history, order=order)
            found, seconds, answers = distributions(model, queries)
            error = np.mean([max(answer["standard_error"].values()) for answer in answers])
            lines.append(
                {
                    "rows": rows,
                    "history": history,
                    "order": order,
                    **summary(found, truth),
                    "monte_carlo_error": float(error),
                    "fit_seconds": model.seconds,
                    "query_seconds": seconds,
                }
            )
            print(lines[-1], flush=True)
    return lines


def misspecified(options: argparse.Namespace) -> list[dict]:
    """The graph changed by one edge: dropped, turned, added; every edge in turn, or as many added ones at random."""
    network, queries, truth = load(Path(options.data), "sachs")
    frame, schema = network.sample(options.rows, seed=0), network.schema
    edges = list(schema.graph.edges)
    generator = np.random.default_rng(0)
    absent = [pair for pair in permutations(schema.by_name, 2) if pair not in edges and pair[::-1] not in edges]
    added = [absent[index] for index in generator.permutation(len(absent))]
    lines, counts = [], {"none": 0, "dropped": 0, "turned": 0, "added": 0}
    wanted = [(change, edge) for change in ("dropped", "turned") for edge in edges[: options.changes]]
    for change, edge in [("none", None), *wanted, *(("added", edge) for edge in added)]:
        if change == "added" and counts["added"] == min(10, options.changes):
            break
        try:
            wrong = changed(schema, change, edge) if edge else schema
        except DagFormatError:  # it would close a cycle
            continue
        counts[change] += 1
        model = trained(frame, wrong, options, "sachs-wrong")
        found, _, _ = distributions(model, queries)
        lines.append({"change": change, "edge": " → ".join(edge) if edge else "", **summary(found, truth)})
        print(lines[-1], flush=True)
    return lines


def speed(options: argparse.Namespace) -> dict:
    """A thousand different questions in one call; and by draws, at the error those have."""
    network, _, _ = load(Path(options.data), "sachs")
    generator = np.random.default_rng(0)
    names = list(network.schema.by_name)
    queries: dict[str, dict] = {}
    while len(queries) < options.questions:
        target, *others = generator.choice(names, 4, replace=False).tolist()
        values = [str(generator.choice(network.schema[name].values)) for name in others]
        done = int(generator.integers(1, 3))
        chosen = dict(zip(others, values, strict=True))
        query = {"target": target, "do": {name: chosen[name] for name in others[:done]}, "given": {}}
        if generator.random() < 1 / 3:
            query["given"] = {others[2]: values[2]}
        if possible(network, query):
            queries[json.dumps(query, sort_keys=True)] = query
    asked = list(queries.values())
    frame = network.sample(options.rows, seed=0)
    model = trained(frame, network.schema, options, "sachs-0")
    truth = [list(network.distribution(each["target"], each["do"], each["given"]).values()) for each in asked]
    model.effect(asked[:3])  # what is loaded on first use is not counted
    results: dict[str, Any] = {"queries": len(asked)}
    for label, parameters in (("enumerated", {}), ("2,000 draws", {"most_states": 1})):
        fresh = pipeline("causal-effect", model=str(options.out / "runs" / "sachs-0"))
        started = time.process_time()
        answers = fresh(asked, on_refusal="report", **parameters)
        seconds = time.process_time() - started
        kept = [pair for pair in zip(answers, truth, strict=True) if "error" not in pair[0]]
        found = [np.array(list(answer["distribution"].values())) for answer, _ in kept]
        distance = [np.abs(mine - exact).sum() / 2 for mine, (_, exact) in zip(found, kept, strict=True)]
        results[label] = {
            "seconds": seconds,
            "refused": len(asked) - len(kept),
            "standard_error": float(np.mean([max(answer["standard_error"].values()) for answer, _ in kept])),
            "mean_tv": float(np.mean(distance)),
        }
    return results


def possible(network: Network, query: dict) -> bool:
    """Whether the evidence has a chance of more than one in a thousand where something is done."""
    if not query["given"]:
        return True
    ((name, value),) = query["given"].items()
    return network.distribution(name, query["do"])[value] > 1e-3
