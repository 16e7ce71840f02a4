"""The command line: reads options, calls the library, prints. What is heavy is imported inside the commands."""

import sys
from typing import Any

import typer
from typer.core import TyperCommand

from hf_trace.cli.console import hush, run
from hf_trace.cli.count import count
from hf_trace.cli.demo import demo
from hf_trace.cli.discover import discover
from hf_trace.cli.doctor import doctor
from hf_trace.cli.effect import effect
from hf_trace.cli.evaluate import evaluate
from hf_trace.cli.launching import forget_launch, is_helping, let_main_speak, processes_not_started, start_processes
from hf_trace.cli.outcomes import outcomes
from hf_trace.cli.outputs import check_places
from hf_trace.cli.push import push
from hf_trace.cli.rank import rank
from hf_trace.cli.simulate import simulate
from hf_trace.cli.train import train
from hf_trace.starting import end_loading, end_now, was_interrupted

app = typer.Typer(
    name="hf-trace",
    help="Causal graphs from event logs, by asking a language model what an event changed.",
    add_completion=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
_COMMANDS = (
    (doctor, "hf-trace doctor alarms.csv"),
    (train, "hf-trace train alarms.csv --case-column device --event-column alarm --out runs/alarms"),
    (discover, "hf-trace discover runs/alarms alarms.csv --max-lag 8 --plot graph.png --out graph.json"),
    (effect, "hf-trace effect runs/sachs --target Akt --do Mek=HIGH --given PKA=LOW"),
    (outcomes, "hf-trace outcomes runs/blocks blocks.csv --outcome anomalous --out causes.csv"),
    (rank, "hf-trace rank runs/line line.csv --outcome 'pressure lost' --id shift-7 --top 5"),
    (count, "hf-trace count alarms.csv --case-column device --event-column alarm --out counted.json"),
    (evaluate, "hf-trace evaluate graph.json truth.csv"),
    (simulate, "hf-trace simulate small --out runs/small --sequences 500"),
    (push, "hf-trace push runs/alarms ORG/alarms --license mit --dry-run"),
    (demo, "hf-trace demo --out runs/demo"),
)


class _Command(TyperCommand):
    """A command whose context is of the class that commands ask for, which Typer only promises.

    Nothing that it reads is written over, whichever command it is.
    """

    context_class = typer.Context

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        check_places(ctx)
        return super().invoke(ctx)


for _command, _example in _COMMANDS:
    app.command(cls=_Command, epilog=f"Example: `{_example}`")(_command)


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
