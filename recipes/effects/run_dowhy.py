"""Fits a causal model with DoWhy-GCM and answers do-queries by sampling, inside DoWhy's own environment.

    ENV/bin/python run_dowhy.py JOB ANSWER [--mechanisms auto]

JOB is JSON as in run_pgmpy.py, with ``"num_samples"`` draws per query (10,000 when left out) and a ``"seed"``.
``frequency`` is how often each value of the target was drawn. DoWhy has no evidence beside an intervention: for
``given`` the draws that disagree with it are thrown away, ``kept`` says how many are left, and ``note`` says so.
"""

import argparse
import json
import logging
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import networkx as nx
import pandas as pd
from dowhy import gcm

NOT_OFFERED = "no evidence beside an intervention: draws that disagree with it were thrown away"
PACKAGES = ("dowhy", "scikit-learn", "numpy", "pandas", "networkx")


def main() -> None:
    """Read a job and write its answer, both JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", type=Path)
    parser.add_argument("answer", type=Path)
    parser.add_argument(
        "--mechanisms",
        choices=["classifier", "auto"],
        default="classifier",
        help="ClassifierFCM with its default, or what the library picks by cross-validation",
    )
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.filterwarnings("ignore")
    gcm.config.disable_progress_bars()
    gcm.config.set_default_n_jobs(1)

    job = json.loads(arguments.job.read_text(encoding="utf-8"))
    gcm.util.general.set_random_seed(job.get("seed", 0))
    rows = pd.read_csv(arguments.job.parent / job["rows"], dtype=str, keep_default_na=False).astype(object)
    started = time.process_time()
    model = fitted(job["variables"], rows, arguments.mechanisms)
    fit_seconds = time.process_time() - started
    draws = job.get("num_samples", 10_000)
    started = time.process_time()
    answers = [answered(model, query, job["variables"][query["target"]]["values"], draws) for query in job["queries"]]
    result = {
        "fit_seconds": fit_seconds,
        "rows": len(rows),
        "mechanisms": {name: " ".join(str(model.causal_mechanism(name)).split()) for name in job["variables"]},
        "num_samples": draws,
        "seconds": {"frequency": time.process_time() - started},
        "answers": answers,
        "versions": {name: version(name) for name in PACKAGES},
    }
    arguments.answer.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def fitted(variables: dict, rows: pd.DataFrame, mechanisms: str) -> gcm.StructuralCausalModel:
    """The known graph: roots as they are in the rows, a classifier for every other variable."""
    graph = nx.DiGraph()
    graph.add_nodes_from(variables)
    graph.add_edges_from((parent, name) for name, each in variables.items() for parent in each["parents"])
    model = gcm.StructuralCausalModel(graph)
    if mechanisms == "auto":
        gcm.auto.assign_causal_mechanisms(model, rows)
    else:
        for name, each in variables.items():
            root = not each["parents"]
            model.set_causal_mechanism(name, gcm.EmpiricalDistribution() if root else gcm.ClassifierFCM())
    gcm.fit(model, rows)
    return model


def answered(model: gcm.StructuralCausalModel, query: dict, values: list[str], draws: int) -> dict:
    """The query with the target's frequencies, or with the reason why there are none."""
    answer = {**query, "frequency": None, "kept": 0, "errors": {}}
    if query["given"]:
        answer["note"] = NOT_OFFERED
    # A value bound as a default: the library calls these functions later.
    actions = {name: lambda _, value=value: value for name, value in query["do"].items()}
    try:
        drawn = gcm.interventional_samples(model, actions, num_samples_to_draw=draws)
    except Exception as error:  # noqa: BLE001 (whatever the peer raises is its answer)
        answer["errors"]["frequency"] = f"{type(error).__name__}: {error}"
        return answer
    for name, value in query["given"].items():
        drawn = drawn[drawn[name] == value]
    answer["kept"] = len(drawn)
    if len(drawn):
        shares = drawn[query["target"]].value_counts(normalize=True)
        answer["frequency"] = {value: float(shares.get(value, 0.0)) for value in values}
    else:
        answer["errors"]["frequency"] = "no draw agrees with `given`"
    return answer


if __name__ == "__main__":
    main()
