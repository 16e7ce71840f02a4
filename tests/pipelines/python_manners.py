"""Every manner in which the package is used from Python, with the types that mypy and pyright infer.

python tests/pipelines/python_manners.py --out runs/manners    # half a minute on one core
mypy --strict tests/pipelines/python_manners.py
pyright tests/pipelines/python_manners.py
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from transformers.pipelines.pt_utils import KeyDataset
from typing_extensions import assert_type

import hf_trace
from hf_trace.graphs.graph_changes import GraphChanges
from hf_trace.pipelines.typed_results import (
    DiscoveryResult,
    EdgeRecord,
    EffectAnswer,
    EffectResult,
    OutcomesResult,
    RankResult,
    WhatIfResult,
)
from hf_trace.report.findings_report import LogFindings
from hf_trace.report.page import ReportPage


def alarms(cases: int = 60, *, seed: int = 0) -> pd.DataFrame:
    """A log with a row per alarm, in which a reboot follows every full disk."""
    rng = np.random.default_rng(seed)
    rows = []
    for case in range(cases):
        time = 0.0
        for kind in rng.choice(["disk full", "fan", "door"], 8):
            time += float(rng.integers(60, 600))
            rows.append((f"site {case}", str(kind), time))
            if kind == "disk full":
                rows.append((f"site {case}", "reboot", time + 5))
    return pd.DataFrame(rows, columns=["site", "alarm", "seconds"])


def doses(rows: int = 400, *, seed: int = 0) -> pd.DataFrame:
    """A table in which the ill are treated more often, and treatment helps."""
    rng = np.random.default_rng(seed)
    ill = rng.random(rows) < 0.5
    treated = rng.random(rows) < np.where(ill, 0.8, 0.2)
    well = rng.random(rows) < 0.5 + 0.3 * treated - 0.3 * ill
    table = pd.DataFrame({"ill": ill, "treated": treated, "well": well})
    return table.replace({True: "yes", False: "no"})


def one_object(table: pd.DataFrame, folder: Path, *, epochs: float | None) -> hf_trace.EventCausalModel:
    """From a table of events to a graph, its findings and answers about one sequence."""
    model = hf_trace.EventCausalModel(preset="nano", epochs=epochs)
    model.fit(table, case_column="site", event_column="alarm", time_column="seconds")
    assert_type(model, hf_trace.EventCausalModel)
    assert_type(model.findings(), LogFindings)
    assert_type(model.report(), ReportPage)
    model.report().save(folder / "report.html")
    what_if = model.what_if("site 0", do={1: "removed"}, target="reboot", within="1m", num_samples=64)
    assert_type(what_if, WhatIfResult)
    assert_type(what_if["factual"]["value"], float)
    assert_type(model.rank("site 0", outcome="reboot", num_samples=8), RankResult)
    assert_type(model.outcomes("reboot", num_samples=8), OutcomesResult)
    model.save_pretrained(folder / "run")
    return hf_trace.EventCausalModel.from_pretrained(folder / "run", table)


def a_graph(model: hf_trace.EventCausalModel, folder: Path) -> None:
    """What a graph is: its edges, a table, a picture, a workbook, something to compare and to hand on."""
    graph, counted = model.graph(), model.graph("counted")
    assert_type(graph, hf_trace.CausalGraph)
    assert_type(graph.strongest(1), hf_trace.CausalGraph)
    assert_type(graph.to_pandas(), pd.DataFrame)
    print(graph, [(edge["cause"], edge["effect"]) for edge in graph])
    print("counting agrees:", [graph.ends(edge) in counted for edge in graph])
    graph.plot(title="What drives what").savefig(folder / "graph.png")
    graph.save(folder / "graph.json")
    changes = graph.compare(graph)
    assert_type(changes, GraphChanges[hf_trace.CausalGraph])
    print(changes)
    graph.to_tigramite()


def pipelines(run: Path, table: pd.DataFrame) -> None:
    """The task ``causal-discovery``: one sequence, several, a stream, all together; any input."""
    discover = hf_trace.CausalDiscoveryPipeline.from_pretrained(run, max_lag=4)
    log = hf_trace.read_log(table, case_column="site", event_column="alarm", time_column="seconds")
    records = log.to_records()
    one = discover(records[0])
    assert_type(one, DiscoveryResult)
    assert_type(one["edges"], list[EdgeRecord])
    assert_type(one.graph, hf_trace.CausalGraph)
    assert_type(discover(records[:2], batch_size=2, num_workers=1), list[DiscoveryResult])
    assert_type(discover(iter(records[:2])), Iterator[DiscoveryResult])
    assert_type(discover(KeyDataset([{"log": each} for each in records[:2]], "log")), list[DiscoveryResult])  # type: ignore[arg-type]
    population = discover(table, level="population", question="drives")
    assert_type(population, DiscoveryResult)
    print(population, population.to_pandas().shape)
    what_if = hf_trace.CausalEffectPipeline.from_pretrained(run)
    answer = what_if(records[0], do={1: "removed"}, target="reboot", within="1m", num_samples=64)
    assert_type(answer, EffectAnswer)
    print(answer)


def a_table(table: pd.DataFrame, *, epochs: float | None) -> None:
    """From a table and a graph of its columns to effects."""
    graph = hf_trace.CausalGraph.from_edges([("ill", "treated"), ("ill", "well"), ("treated", "well")])
    model = hf_trace.TableCausalModel(epochs=epochs).fit(table, graph)
    assert_type(model, hf_trace.TableCausalModel)
    effect = model.effect("well", do={"treated": "yes"})
    assert_type(effect, EffectResult)
    assert_type(effect["distribution"], dict[str, float])
    assert_type(model.ate("well", {"treated": "yes"})["value"], float)
    shares = table.assign(well=table["well"] == "yes").groupby("treated")["well"].mean()
    print(effect, model.ate("well", {"treated": "yes"}))
    print(f"without the graph: {shares['yes'] - shares['no']:+.3f}; true: +0.300")


def main(out: Path, *, epochs: float | None = None) -> None:
    """All of it, into one folder."""
    out.mkdir(parents=True, exist_ok=True)
    table = alarms()
    a_graph(one_object(table, out, epochs=epochs), out)
    pipelines(out / "run", table)
    a_table(doses(), epochs=epochs)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="Folder for the run, the graph and the report.")
    main(parser.parse_args().out)
