"""``hf-trace evaluate``: a graph beside a known one."""

from pathlib import Path
from typing import Annotated

import typer

from hf_trace.cli.console import print_comparison, print_json
from hf_trace.cli.flags import Json, Seed
from hf_trace.options import SEED


def evaluate(
    graph: Annotated[Path, typer.Argument(help="Graph written by `discover`.")],
    truth: Annotated[Path, typer.Argument(help="Known graph: JSON, GraphML, GML, edge-list CSV or .npy adjacency.")],
    seed: Seed = SEED.default,
    json_output: Json = False,
) -> None:
    """Compare a graph with a known one, beside the base rate and trivial baselines."""
    from hf_trace.graphs.graph import CausalGraph
    from hf_trace.graphs.metrics import evaluate_graph

    comparison = evaluate_graph(CausalGraph.load(graph), CausalGraph.load(truth))
    if json_output:
        print_json(comparison.to_dict())
    else:
        print_comparison(comparison)
