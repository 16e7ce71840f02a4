"""The command line: reads options, calls the library, prints. What is heavy is imported inside the commands."""

import sys
from typing import Annotated

import typer

from hf_trace import __version__
from hf_trace.cli.benchmark import benchmark
from hf_trace.cli.compare import compare, evaluate
from hf_trace.cli.console import hush, run
from hf_trace.cli.count import count
from hf_trace.cli.demo import app as web_app
from hf_trace.cli.demo import demo
from hf_trace.cli.discover import discover
from hf_trace.cli.doctor import doctor
from hf_trace.cli.effect import effect
from hf_trace.cli.explain import explain
from hf_trace.cli.help_screens import HELP_NAMES, Command, Commands
from hf_trace.cli.launching import forget_launch, is_helping, let_main_speak, processes_not_started, start_processes
from hf_trace.cli.outcomes import outcomes
from hf_trace.cli.push import push
from hf_trace.cli.rank import rank
from hf_trace.cli.simulate import simulate
from hf_trace.cli.train import train
from hf_trace.starting import end_loading, end_now, was_interrupted

app = typer.Typer(
    name="hf-trace",
    cls=Commands,
    help="Causal graphs from event logs, by asking a language model what an event changed.",
    rich_markup_mode="markdown",
    context_settings={"help_option_names": HELP_NAMES},
    pretty_exceptions_enable=False,
)
# Every command with command lines to begin with.
_COMMANDS = (
    (explain, "explain alarms.csv --out runs/alarms", "explain alarms.csv --topology links.csv --question follows"),
    (doctor, "doctor alarms.csv", "doctor alarms.csv --topology links.csv --no-timing --json"),
    (
        *(train, "train alarms.csv --case-column device --event-column alarm --out runs/alarms"),
        *("train sachs.csv --dag sachs.bif --out runs/sachs", "train normal.csv --states --out runs/normal"),
    ),
    (
        *(discover, "discover runs/alarms alarms.csv --question auto --html report.html --out graph.json"),
        *("discover runs/alarms alarms.csv --max-lag 8 --plot graph.png", "discover runs/alarms alarms.csv --id NE-7"),
    ),
    (
        *(effect, "effect runs/sachs --target Akt --do Mek=HIGH --given PKA=LOW"),
        "effect runs/sachs --target Akt --do Mek=HIGH --contrast ate",
        "effect runs/alarms alarms.csv --id NE-7 --list-events",
        "effect runs/alarms alarms.csv --id NE-7 --do 'fan#2' --target overheat --within 300s",
    ),
    (outcomes, "outcomes runs/blocks blocks.csv --outcome anomalous --out causes.csv"),
    (rank, "rank runs/line line.csv --outcome 'pressure lost' --id shift-7 --top 5"),
    (count, "count alarms.csv --case-column device --event-column alarm --out counted.json", "count log.csv --top 20"),
    (
        *(compare, "compare march.json april.json --html changes.html"),
        "compare march.json april.json --fail-on-change --out changes.csv",
    ),
    (evaluate, "evaluate graph.json truth.csv"),
    (
        *(benchmark, "benchmark --out runs/benchmark", "benchmark --out runs/mine --method mine.py:scores"),
        "benchmark --out runs/peers --peer tigramite=env/bin/python --data real-logs",
    ),
    (simulate, "simulate small --out runs/small --sequences 500", "simulate hawkes --out runs/hawkes --types 50"),
    (
        *(push, "push runs/alarms ORG/alarms --license mit --dry-run", "push alarms.csv ORG/alarms-log --dataset"),
        "push runs/alarms ORG/try-alarms --space",
    ),
    (web_app, "app", "app runs/alarms --port 8000"),
    (demo, "demo --out runs/demo"),
)


def _told(version: bool) -> bool:
    if version:
        typer.echo(f"hf-trace {__version__}")
        raise typer.Exit
    return version


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_told, is_eager=True)
    ] = False,
) -> None:
    del version


for _command, *_examples in _COMMANDS:
    _lines = [f"`hf-trace {each}`" for each in _examples]
    app.command(cls=Command, epilog="\n\n".join(["Examples:", *_lines]))(_command)


def _interrupted() -> None:
    raise KeyboardInterrupt


# What several processes work on together; of everything else the main one does all.
_SHARED = ("discover", "train", "effect")


def main() -> None:
    """Entry point: one line per mistake, never a traceback for bad input."""
    command = typer.main.get_command(app)
    # Typer brings its own copy of click; its base of all usage errors is reached through a public name.
    usage_error = typer.BadParameter.__mro__[2]
    arguments = sys.argv[1:] or ["--help"]
    end_loading()
    if is_helping():
        hush()
    if arguments[0] not in _SHARED:
        if is_helping():
            sys.exit(0)
        forget_launch()
    elif (count := processes_not_started()) > 1:
        sys.exit(run(lambda: start_processes(count), usage_error))
    try:
        code = run(lambda: command.main(arguments, standalone_mode=False, prog_name="hf-trace"), usage_error)
    except Exception:
        if not was_interrupted():
            raise
        code = run(_interrupted, usage_error)
    if code:
        let_main_speak()
    if was_interrupted():
        end_now(code)
    sys.exit(code)
