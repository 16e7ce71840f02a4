"""``hf-trace demo``: from the packaged alarms to a figure in one command."""

from pathlib import Path
from typing import Annotated

import typer

from hf_trace.cli.inputs import quieten_host
from hf_trace.cli.options import Json, Seed
from hf_trace.cli.printing import print_comparison, print_graphs
from hf_trace.console import print_json, progress, say


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for the run, the graph and the figure.")] = Path(
        "runs/demo"
    ),
    seed: Seed = 0,
    json_output: Json = False,
) -> None:
    """Real telecom alarms in, causal graph out, compared with the known one."""
    quieten_host()
    from hf_trace.hub.demo import run_demo

    result = run_demo(out, seed=seed, say=say, progress=progress)
    if json_output:
        print_json(result.to_dict())
        return
    print_graphs([result.graph])
    print_comparison(result.comparison)
    say(f"Wrote {out / 'graph.json'} and {out / 'graph.png'}; {result.seconds:.0f} s in all.")
