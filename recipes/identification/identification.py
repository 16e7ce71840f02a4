# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""Which questions does a table with a known graph answer, how exactly, and what is said of the others?

10,000 random graphs with latent variables: identified or not, against an exhaustive search, and y0 and Ananke where
they are installed. 500 formulas from exact probabilities. Bounds of 200 random tables. Trained models of six worlds
whose truth is known. Ten refusals.

python recipes/identification/identification.py --out runs/identification --peers-python ENV/bin/python
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
from exhaustive import Searched
from from_rows import FROM_ROWS, from_rows
from harness import NotMeasured, Recipe, Report, Size, table
from random_questions import largest_error, questions
from random_tables import BOUNDED, bounded
from scipy.stats import t
from ten_refusals import refusals

from hf_trace.effects.answers import error_of_mean
from hf_trace.effects.formula_answers import ModelJoint, formula_answer, towards_rows
from hf_trace.effects.identifying.formulas import CompleteQuestion, Refusal
from hf_trace.effects.identifying.proxies import proxy_effect, proxy_pairs
from hf_trace.effects.queries import Force, Query
from hf_trace.effects.table_model import TableModel
from hf_trace.effects.table_questions import EffectRequest, answer_questions
from hf_trace.tables.encoding import encode_table
from hf_trace.tables.inference import infer_schema
from hf_trace.training.table_training import DagTrainingSettings, train_dag
from worlds import WORLDS, World

HERE = Path(__file__).parent
PEERS = ("dowhy", "pgmpy", "ananke", "y0")


def as_job(question: CompleteQuestion) -> dict[str, Any]:
    """A question as other packages read it: arrows, and pairs with a latent cause."""
    graph = question.projection
    return {
        "names": sorted(question.observed),
        "arrows": sorted(map(list, graph.arrows.edges)),
        "joined": sorted(map(list, graph.joined.edges)),
        "target": next(iter(question.targets)),
        "do": sorted(question.do),
        "given": sorted(question.given),
    }


def agreement(options: argparse.Namespace) -> dict[str, Any]:
    """Identified or not, against trying everything; errors of the first formulas from exact probabilities."""
    rng, verdicts, errors, jobs = np.random.default_rng(0), [], [], []
    seconds = {"found": 0.0, "searched": 0.0}
    for question in questions(options.graphs, seed=1):
        started = time.process_time()
        found = question.formula()
        seconds["found"] += time.process_time() - started
        started = time.process_time()
        (target,) = question.targets
        searched = Searched(question.graph, set(question.observed))
        expected = searched.has_answer(target, set(question.do), set(question.given))
        seconds["searched"] += time.process_time() - started
        verdicts.append((not isinstance(found, Refusal), expected))
        if not isinstance(found, Refusal) and len(errors) < options.formulas:
            errors.append(largest_error(question, found, rng))
        if len(jobs) < options.peer_graphs:
            jobs.append(as_job(question))
    both = np.array(verdicts)
    return {
        "graphs": len(both),
        "identified": int(both[:, 0].sum()),
        "disagreements": int((both[:, 0] != both[:, 1]).sum()),
        "formulas": len(errors),
        "largest_error": max(errors),
        "seconds": seconds,
        "jobs": jobs,
        "verdicts": both[: len(jobs), 1].tolist(),
    }


def trained(world: World, options: argparse.Namespace, name: str) -> tuple[TableModel, Any]:
    """A model of rows of a world, as ``hf-trace train --dag`` trains it, and the rows."""
    frame = world.rows(options.rows, seed=0)
    schema = infer_schema(world.edges(), frame, latent=list(world.network.schema.latent))
    out = options.out / "runs" / name.replace(" ", "-")
    settings = DagTrainingSettings(history="full", order="random", epochs=1.0 if options.smoke else None)
    if not (out / "metrics.json").exists():
        train_dag(encode_table(schema, frame), out, settings)
    return TableModel.load(out), frame


def answered(name: str, world: World, options: argparse.Namespace) -> dict[str, Any]:
    """What a trained model says of a world: a number, bounds, and what stands beside them."""
    model, frame = trained(world, options, name)
    more = {"bounds": True} if world.elsewhere is None else {"elsewhere": world.population(options.rows)}
    started = time.process_time()
    found = answer_questions(model, [world.question], EffectRequest(data=frame, **more))[0]
    numbers = frame.astype(int)
    seen = numbers.loc[numbers["X"] == 1, "Y"].mean() - numbers.loc[numbers["X"] == 0, "Y"].mean()
    beside = [*found.get("local_effects", []), *found.get("proxy_effects", [])]
    return {
        "world": name,
        "truth": world.truth,
        "seen": float(seen),
        "answer": found.get("value"),
        "standard_error": found.get("standard_error"),
        "bounds": found.get("bounds"),
        "beside": [{key: each.get(key) for key in ("value", "standard_error", "assumes")} for each in beside],
        "seconds": time.process_time() - started,
        "held": held(world, options),
    }


def held(world: World, options: argparse.Namespace) -> float | None:
    """How often 95 % intervals hold the truth, over tables whose shares stand for a model; None where there is none."""
    schema, asked = world.network.schema, world.question
    if asked.get("selection") or world.elsewhere is not None:
        return None
    order = schema.topological_order
    sets = (frozenset(each) for each in (order, ["Y"], [world.do]))
    question = CompleteQuestion(schema.graph, *sets)
    found, pairs, kept = question.simplest(), proxy_pairs(question), []
    for seed in range(options.tables):
        table = encode_table(schema, world.rows(options.rows, seed=1_000 + seed))
        joint = np.zeros([2] * len(order))
        np.add.at(joint, tuple(np.asarray(table.columns[name]) for name in order), 1 / len(table))
        if not isinstance(found, Refusal):
            moved = towards_rows(ModelJoint(order, joint), table)
            arms = [formula_answer(Query("Y", {world.do: Force(arm)}), found, moved) for arm in (0, 1)]
            off = arms[1].probabilities[1] - arms[0].probabilities[1] - world.truth
            reach = t.ppf(0.975, len(moved.without) - 1) * error_of_mean(
                arms[1].influence[:, 1] - arms[0].influence[:, 1]
            )
        elif pairs:
            scores = np.array([0.0, 1.0])
            said = proxy_effect(question, pairs[0], joint, order, [(1, scores), (0, -scores)], rows=len(table))
            off, reach = said.value - world.truth, 1.96 * said.standard_error
        else:
            return None
        kept.append(abs(off) <= reach)
    return float(np.mean(kept))


def peers(options: argparse.Namespace, jobs: list[dict[str, Any]]) -> dict[str, Any]:
    """What other packages say; empty where there is no environment with them."""
    if options.peers_python is None:
        return {}
    folder = options.out / "peers"
    folder.mkdir(parents=True, exist_ok=True)
    cases = {}
    for name, world in WORLDS.items():
        schema = world.network.schema
        world.rows(options.rows, seed=0).to_csv(folder / f"{name}.csv", index=False)
        sets = (frozenset(each) for each in (schema.topological_order, ["Y"], [world.do]))
        latent = sorted(schema.latent)
        cases[name] = {
            **as_job(CompleteQuestion(schema.graph, *sets)),
            "rows": f"{name}.csv", "edges": [list(edge) for edge in schema.graph.edges], "latent": latent,
        }  # fmt: skip
    (folder / "job.json").write_text(json.dumps({"questions": jobs, "cases": cases}), encoding="utf-8")
    command = [options.peers_python, str(HERE / "run_peers.py"), str(folder / "job.json"), str(folder / "answer.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotMeasured(f"The peers failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    return json.loads((folder / "answer.json").read_text(encoding="utf-8"))


def compared(said: dict[str, Any], verdicts: list[bool], jobs: list[dict[str, Any]]) -> Iterator[list[Any]]:
    """How often y0 and Ananke say the same, without and with evidence."""
    for name in ("y0", "ananke") if said else ():
        for has_evidence in (False, True):
            pairs = [
                (found, expected)
                for found, expected, job in zip(said[name]["verdicts"], verdicts, jobs, strict=True)
                if bool(job["given"]) is has_evidence and found is not None
            ]
            same = sum(found is expected for found, expected in pairs)
            failed = sum(isinstance(found, str) for found, _ in pairs)
            if pairs:
                evidence = "with" if has_evidence else "without"
                yield [f"{name}, {evidence} evidence", len(pairs), same, len(pairs) - same - failed, failed]


def measure(options: argparse.Namespace) -> Report:
    """Everything, in one document."""
    torch.set_num_threads(1)
    checked = agreement(options)
    jobs, verdicts = checked.pop("jobs"), checked.pop("verdicts")
    said = peers(options, jobs)
    limits = [bounded(name, options.tables, options.rows) for name in BOUNDED]
    learned = [line for name in FROM_ROWS for line in from_rows(name, options)]
    cases = [answered(name, world, options) for name, world in WORLDS.items()]
    for case in cases:
        case |= said.get("cases", {}).get(case["world"], {})
    refused = refusals()
    document = {
        "agreement": checked, "peers": list(compared(said, verdicts, jobs)), "bounds": limits, "from_rows": learned,
        "worlds": cases, "refusals": refused, "versions": said.get("versions", {}),
    }  # fmt: skip
    return Report(document, "\n\n".join(texts(document)), figures(document))


def texts(found: dict[str, Any]) -> Iterator[str]:
    """The tables of the page."""
    said = found["agreement"]
    rows = [["exhaustive search", said["graphs"], said["graphs"] - said["disagreements"], said["disagreements"], 0]]
    yield table(["beside", "graphs", "the same", "otherwise", "error"], [*rows, *found["peers"]])
    yield (
        f"{said['identified']:,} have a formula; {said['formulas']} formulas from exact probabilities are at most "
        f"{said['largest_error']:.1e} off; {1e3 * said['seconds']['found'] / said['graphs']:.2f} ms a graph."
    )
    columns = ["question", "bounds hold the truth", "bounds from rows do", "sharp", "mean width", "ms"]
    keys = ("question", "holds", "holds_from_rows", "sharp", "width", "milliseconds")
    yield table(columns, [[each[key] for key in keys] for each in found["bounds"]])
    columns = ["graph", "maximum likelihood", "model", "model and rows", "model / ML", "both / ML"]
    yield table(columns, _by_graph(found["from_rows"]), digits=4)
    columns = ["world", "truth", "seen", "answer", "beside it", "intervals hold the truth", "seconds", *PEERS]
    yield table(columns, [_world(each) for each in found["worlds"]])
    yield table(["question", "what is said"], found["refusals"])


def _by_graph(lines: list[dict[str, Any]]) -> list[list[Any]]:
    """Mean total variations of every graph, and of all."""
    names = list(dict.fromkeys(line["graph"] for line in lines))
    rows = []
    for name in (*names, "all"):
        means = np.mean([line["tv"] for line in lines if name in (line["graph"], "all")], axis=0)
        rows.append([name, *means.tolist(), means[1] / means[0], means[2] / means[0]])
    return rows


def _world(case: dict[str, Any]) -> list[Any]:
    def number(value: float, error: float | None) -> str:
        return f"{value:.3f}" + (f" ± {error:.3f}" if error else "")

    if case["answer"] is not None:
        shown = number(case["answer"], case["standard_error"])
    else:
        shown = f"{case['bounds'][0]:.3f} to {case['bounds'][1]:.3f}"
    beside = "; ".join(number(each["value"], each["standard_error"]) for each in case["beside"]) or None
    said = [case.get(name) for name in PEERS]
    return [*(case[name] for name in ("world", "truth", "seen")), shown, beside, case["held"], case["seconds"], *said]


def figures(found: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """Metrics, and how far another run may be off."""
    said, means = found["agreement"], _by_graph(found["from_rows"])[-1]
    return {
        "disagreements with the exhaustive search": (said["disagreements"], 0),
        "largest error of a formula": (said["largest_error"], 1e-9),
        **{f"{each['question']}: bounds hold the truth": (each["holds"], 0) for each in found["bounds"]},
        "model and rows: total variation over that of maximum likelihood": (means[-1], 0.15),
        "model alone: total variation over that of maximum likelihood": (means[-2], 1.0),
        **{
            f"{each['world']}: intervals hold the truth": (each["held"], 0.04)
            for each in found["worlds"]
            if each["held"] is not None
        },
        **{
            f"{each['world']}: error of the answer": (each["answer"] - each["truth"], 0.04)
            for each in found["worlds"]
            if each["answer"] is not None
        },
    }


RECIPE = Recipe(
    __file__,
    __doc__,
    "Which questions does a table with a known graph answer, how exactly, and what is said of the others?",
    measure,
    {
        "graphs": Size(10_000, 60, "random graphs"),
        "peer_graphs": Size(1_000, 5, "graphs that y0 and Ananke are asked about"),
        "formulas": Size(500, 10, "formulas from exact probabilities"),
        "tables": Size(200, 3, "random tables of every question that is bounded"),
        "rows": Size(10_000, 400, "rows of a table"),
        "trainings": Size(2, 1, "models of every graph"),
    },
    peers=("peers",),
)

if __name__ == "__main__":
    RECIPE.main()
