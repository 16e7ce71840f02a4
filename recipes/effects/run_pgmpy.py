"""Fits a discrete network with pgmpy and answers do-queries in two ways, inside pgmpy's own environment.

    ENV/bin/python run_pgmpy.py JOB ANSWER

JOB is JSON: ``{"variables": {name: {"values", "parents"}}, "rows": "rows.csv", "queries": [{"target", "do",
"given"}]}``; a path of rows is relative to JOB. Without ``rows`` the variables' own ``"table"`` is taken as it is
(layout: nets.py). Every answer holds p(target | do, given) by value, twice: ``exact`` cuts the edges into what is
done and eliminates variables; ``causal_inference`` is what ``CausalInference.query`` says to the same question.
None where there is no answer; ``errors`` says why.
"""

import argparse
import json
import logging
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from pgmpy.factors.discrete import TabularCPD
from pgmpy.inference import CausalInference, VariableElimination
from pgmpy.models import DiscreteBayesianNetwork
from pgmpy.parameter_estimator import DiscreteMLE

Query = dict
PACKAGES = ("pgmpy", "numpy", "pandas", "networkx")


def main() -> None:
    """Read a job and write its answer, both JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", type=Path)
    parser.add_argument("answer", type=Path)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.filterwarnings("ignore")

    job = json.loads(arguments.job.read_text(encoding="utf-8"))
    rows = None
    if "rows" in job:
        rows = pd.read_csv(arguments.job.parent / job["rows"], dtype=str, keep_default_na=False)
    started = time.process_time()
    model = written(job["variables"]) if rows is None else fitted(job["variables"], rows)
    fit_seconds = time.process_time() - started
    public = CausalInference(model)
    methods: dict[str, Callable[[Query], dict]] = {
        "exact": lambda query: on_mutilated(model, query),
        "causal_inference": lambda query: as_dict(
            public.query([query["target"]], do=query["do"], evidence=query["given"] or None, show_progress=False),
            query["target"],
        ),
    }
    answers = [{**query, "errors": {}} for query in job["queries"]]
    seconds = {name: answer_all(answers, name, method) for name, method in methods.items()}
    result = {
        "fit_seconds": fit_seconds,
        "rows": None if rows is None else len(rows),
        "seconds": seconds,
        "answers": answers,
        "versions": {name: version(name) for name in PACKAGES},
    }
    arguments.answer.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def answer_all(answers: list[dict], name: str, method: Callable[[Query], dict]) -> float:
    """Put what a method says into every answer; processor seconds, those of failures included."""
    started = time.process_time()
    for answer in answers:
        answer[name] = None
        try:
            found = method(answer)
        except Exception as error:  # noqa: BLE001 (whatever the peer raises is its answer)
            answer["errors"][name] = f"{type(error).__name__}: {error}"
            continue
        if np.isfinite(list(found.values())).all():
            answer[name] = found
        else:
            answer["errors"][name] = f"not a number: {found}"
    return time.process_time() - started


def skeleton(variables: dict) -> DiscreteBayesianNetwork:
    """The known graph without probabilities."""
    model = DiscreteBayesianNetwork()
    model.add_nodes_from(variables)
    model.add_edges_from((parent, name) for name, each in variables.items() for parent in each["parents"])
    return model


def fitted(variables: dict, rows: pd.DataFrame) -> DiscreteBayesianNetwork:
    """Maximum likelihood; every listed value is a state, seen or not."""
    states = {name: list(each["values"]) for name, each in variables.items()}
    for name, values in states.items():
        if unknown := sorted(set(rows[name]) - set(values)):
            raise SystemExit(f"{name!r} has values in the rows that are not listed: {unknown[:3]}")
    return skeleton(variables).fit(rows[list(variables)], estimator=DiscreteMLE(state_names=states))


def written(variables: dict) -> DiscreteBayesianNetwork:
    """The network whose tables are in the job."""
    model = skeleton(variables)
    for name, each in variables.items():
        model.add_cpds(
            TabularCPD(
                name,
                len(each["values"]),
                np.transpose(each["table"]),
                evidence=list(each["parents"]),
                evidence_card=[len(variables[parent]["values"]) for parent in each["parents"]],
                state_names={key: list(variables[key]["values"]) for key in (name, *each["parents"])},
            )
        )
    return model


def on_mutilated(model: DiscreteBayesianNetwork, query: Query) -> dict[str, float]:
    """Variable elimination in the network without edges into what is done."""
    done = query["do"]
    cut = DiscreteBayesianNetwork()
    cut.add_nodes_from(model.nodes())
    cut.add_edges_from(edge for edge in model.edges() if edge[1] not in done)
    for table in model.get_cpds():
        cut.add_cpds(certain(table, done[table.variable]) if table.variable in done else table)
    seen = {**query["given"], **{name: value for name, value in done.items() if name != query["target"]}}
    found = VariableElimination(cut).query([query["target"]], evidence=seen, show_progress=False)
    return as_dict(found, query["target"])


def certain(table: TabularCPD, value: str) -> TabularCPD:
    """The table of a variable that is set."""
    states = table.state_names[table.variable]
    chosen = [[float(state == value)] for state in states]
    return TabularCPD(table.variable, len(states), chosen, state_names={table.variable: states})


def as_dict(factor: object, target: str) -> dict[str, float]:
    """Probability by value."""
    return dict(zip(factor.state_names[target], map(float, np.ravel(factor.values)), strict=True))


if __name__ == "__main__":
    main()
