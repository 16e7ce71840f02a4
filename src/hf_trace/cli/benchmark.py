"""``hf-trace benchmark``: every method on every log whose causes are known, by one protocol, in one table."""

from pathlib import Path
from typing import Annotated

import typer

from hf_trace.checks import time_span
from hf_trace.cli.console import print_json, print_table, progress, say, wrote
from hf_trace.cli.flags import Json, Seed
from hf_trace.cli.inputs import quiet_transformers
from hf_trace.errors import SettingsError
from hf_trace.logs.writing import check_target
from hf_trace.options import SEED


def benchmark(
    out: Annotated[Path, typer.Option(help="Folder for scores, runs, data set, table, figure and JSON.")],
    data_folder: Annotated[
        Path | None, typer.Option("--data", help="Folder with further logs: csl_sample, causrca.")
    ] = None,
    logs: Annotated[list[str] | None, typer.Option("--log", help="Only this log; can be repeated.")] = None,
    only_methods: Annotated[
        list[str] | None, typer.Option("--only", help="Of the package only this method; can be repeated.")
    ] = None,
    own_methods: Annotated[
        list[str] | None,
        typer.Option("--method", help="Your function from a log to scores of all pairs; can be repeated."),
    ] = None,
    peers: Annotated[
        list[str] | None,
        typer.Option("--peer", help="Another package (tigramite, gcastle, pm4py), and a Python that has it."),
    ] = None,
    runs: Annotated[
        Path | None, typer.Option(help="Folder with runs named like their logs, which are not trained again.")
    ] = None,
    preset: Annotated[str, typer.Option(help="Size of the models that are trained: pico, nano, tiny, small.")] = "nano",
    limit: Annotated[str, typer.Option(help="How long a function or package may take for a log.")] = "10m",
    small: Annotated[bool, typer.Option("--small", help="Two short logs in seconds, to see that it runs.")] = False,
    seed: Seed = SEED.default,
    json_output: Json = False,
) -> None:
    """Score every log whose causes are known by every method, and write one table.

    Methods see the events of a log and nothing else; known causes are opened when all scores are written. The same
    command goes on where it was stopped.
    """
    seconds = time_span("limit", limit)
    check_target(out)
    for folder in filter(None, (data_folder, runs)):
        if not folder.is_dir():
            raise SettingsError(f"There is no folder {str(folder)!r}. Expected one with a folder for each log.")
    quiet_transformers()
    from hf_trace.benchmark.foreign_methods import methods_by_name, named_function, named_peer
    from hf_trace.benchmark.known_causes import known_causes
    from hf_trace.benchmark.methods import OWN_METHODS
    from hf_trace.benchmark.protocol import RESULTS_FILE, TABLE_FILE, BenchmarkRequest, run_benchmark
    from hf_trace.benchmark.scoreboard import SKILL
    from hf_trace.runs.folders import read_json

    others = [*map(named_function, own_methods or ()), *map(named_peer, peers or ())]
    request = BenchmarkRequest(
        known_causes(data_folder, small=small, seed=seed),
        others=methods_by_name(others, OWN_METHODS),
        runs=runs,
        limit=seconds,
        seed=seed,
        small=small,
        preset=preset,
    ).chosen(logs or (), only_methods or ())
    board = run_benchmark(request, out, doing=progress, say=say)
    wrote(out / TABLE_FILE, out / RESULTS_FILE)
    if json_output:
        print_json(read_json(out, RESULTS_FILE))
        return
    rows = [["–" if value is None else value for value in each.values()] for each in board.summary()]
    print_table(SKILL, ["method", "real logs", "simulated logs", "seconds"], rows)
