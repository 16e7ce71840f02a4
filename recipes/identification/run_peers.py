"""Asks y0, Ananke, DoWhy and pgmpy inside an environment of their own.

    ENV/bin/python run_peers.py JOB ANSWER

JOB is JSON. ``"questions"``: ``[{"names", "arrows", "joined", "target", "do", "given"}]``; the answer lists for y0 and
Ananke true or false for each, or the name of an error; Ananke is asked those without evidence only. ``"cases"``:
``{name: {"rows", "names", "latent", "edges", "arrows", "joined", "target", "do"}}``, numbers 0 and 1 in the columns of
the CSV file ``rows``; the answer holds what each package says of the average effect of the treatment.
"""

import json
import logging
import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import dowhy
import networkx as nx
import numpy as np
import pandas as pd
from ananke.estimation import CausalEffect
from ananke.graphs import ADMG
from ananke.identification import OneLineID
from pgmpy.inference import CausalInference
from pgmpy.models import BayesianNetwork
from y0.algorithm.identify import identify_outcomes
from y0.dsl import Variable
from y0.graph import NxMixedGraph


def by_y0(question: dict) -> bool:
    """The algorithms ID and IDC."""
    graph = NxMixedGraph.from_str_edges(
        nodes=question["names"], directed=question["arrows"], undirected=question["joined"]
    )
    do, given = ({Variable(name) for name in question[part]} for part in ("do", "given"))
    target = {Variable(question["target"])}
    return identify_outcomes(graph, treatments=do, outcomes=target, conditions=given or None) is not None


def by_ananke(question: dict) -> bool | None:
    """The one-line form of ID."""
    if question["given"]:
        return None
    graph = ADMG(vertices=question["names"], di_edges=question["arrows"], bi_edges=question["joined"])
    return bool(OneLineID(graph=graph, treatments=question["do"], outcomes=[question["target"]]).id())


def _dowhy(case: dict, rows: pd.DataFrame) -> float | str:
    """The average effect by the first estimand that is found."""
    graph = nx.DiGraph(map(tuple, case["edges"]))
    graph.add_nodes_from(case["names"])
    model = dowhy.CausalModel(rows, treatment=case["do"], outcome=case["target"], graph=graph)
    found = model.identify_effect(proceed_when_unidentifiable=False)
    methods = {"backdoor": "linear_regression", "frontdoor": "two_stage_regression", "iv": "instrumental_variable"}
    for kind, method in methods.items():
        if found.estimands.get(kind) is not None:
            value = model.estimate_effect(found, method_name=f"{kind}.{method}").value
            return float(np.ravel(value)[0])
    return "no estimand"


def _pgmpy(case: dict, rows: pd.DataFrame) -> float | str:
    """The average effect by a linear regression, where an adjustment set is found."""
    model = BayesianNetwork(list(map(tuple, case["edges"])), latents=set(case["latent"]))
    model.add_nodes_from(case["names"])
    inference = CausalInference(model)
    return float(inference.estimate_ate(case["do"][0], case["target"], rows, estimator_type="linear"))


def _y0(case: dict, rows: pd.DataFrame) -> float | str:
    """The formula: it has no estimates."""
    return "a formula" if by_y0({**case, "given": []}) else "no formula"


def _ananke(case: dict, rows: pd.DataFrame) -> float | str:
    """Its estimators, the first that fits the graph; of an outcome of two values they tell the log of an odds ratio."""
    graph = ADMG(vertices=case["names"], di_edges=case["arrows"], bi_edges=case["joined"])
    if not OneLineID(graph=graph, treatments=case["do"], outcomes=[case["target"]]).id():
        return "no formula"
    effect, reason = CausalEffect(graph=graph, treatment=case["do"][0], outcome=case["target"]), ""
    for estimator in ("eff-aipw", "eff-apipw", "n-ipw", "anipw"):
        try:
            return f"log odds ratio {float(effect.compute_effect(rows, estimator)):.2f}"
        except Exception as error:  # noqa: BLE001 (another one may fit)
            reason = str(error)
    return f"no estimate: {reason[:60]}"


CASES = {"dowhy": _dowhy, "pgmpy": _pgmpy, "y0": _y0, "ananke": _ananke}


def answered(case: dict, folder: Path) -> dict:
    """What every package says of a case."""
    rows, found = pd.read_csv(folder / case["rows"]), {}
    for name, method in CASES.items():
        try:
            found[name] = method(case, rows)
        except Exception as error:  # noqa: BLE001 (whatever the peer raises is its answer)
            found[name] = f"{type(error).__name__}: {str(error).splitlines()[0][:60] if str(error) else ''}"
    return found


def main() -> None:
    """Read a job and write its answer, both JSON."""
    logging.disable(logging.WARNING)
    warnings.filterwarnings("ignore")
    job, answer = map(Path, sys.argv[1:])
    asked = json.loads(job.read_text(encoding="utf-8"))
    questions = asked["questions"]
    found: dict = {"versions": {name: version(name) for name in ("y0", "ananke-causal", "dowhy", "pgmpy")}}
    found["cases"] = {name: answered(case, job.parent) for name, case in asked["cases"].items()}
    for name, method in {"y0": by_y0, "ananke": by_ananke}.items():
        started, verdicts = time.process_time(), []
        for question in questions:
            try:
                verdicts.append(method(question))
            except Exception as error:  # noqa: BLE001 (whatever the peer raises is its answer)
                verdicts.append(type(error).__name__)
        found[name] = {"verdicts": verdicts, "seconds": time.process_time() - started}
    answer.write_text(json.dumps(found) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
