"""Flags and arguments that commands share, with their help."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from hf_trace import options
from hf_trace.cli.launching import launch_when_asked
from hf_trace.errors import SettingsError


def flag(option: options.Option[Any]) -> Any:
    """An option as a flag of a command."""
    return typer.Option(f"--{option.name.replace('_', '-')}", help=option.help)


def is_typed(context: typer.Context, name: str) -> bool:
    """Whether the user has typed an option of a command, by its Python name."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def refuse_given(context: typer.Context, names: Iterable[str], reason: str) -> None:
    """Refuse options that do not belong to what is asked, where the user has typed one.

    Args:
        context: Of the command.
        names: Its parameters, as Python spells them.
        reason: What follows the name of the option: what it is for, and what to do.

    Raises:
        SettingsError: With the first of them.
    """
    parameters = {each.name: each for each in context.command.params}
    for name in names:
        if is_typed(context, name):
            raise SettingsError(f"`{parameters[name].opts[0]}` {reason}")


def named_log(first: str, second: str | None, *, is_alone: bool) -> str:
    """The log among the arguments: the second, or with ``--zero`` the only one.

    Raises:
        SettingsError: If both are named with it, or one without it.
    """
    if is_alone and second is not None:
        raise SettingsError(
            f"`--zero` asks no run, and {first!r} and {second!r} are named, expected a log alone. Leave out either."
        )
    if is_alone or second is not None:
        return second or first
    raise SettingsError(f"{first!r} is named alone, expected a run and a log. Name both, or add `--zero`.")


def refuse_whole(context: typer.Context, names: Iterable[str]) -> None:
    """Refuse options for which a log is read whole, where it is read in parts.

    Raises:
        SettingsError: With the first of them.
    """
    if context.params["stream"]:
        reason = "is for logs that are read whole, and `--stream` reads this one in parts. Leave out either."
        refuse_given(context, names, reason)


def parse_sample(text: str | None) -> int | float | None:
    """A number of sequences (``1000``), or a share of them (``0.1``, ``10%``).

    Raises:
        SettingsError: If it is neither.

    Example:
        >>> parse_sample("1000"), parse_sample("0.1"), parse_sample("10%")
        (1000, 0.1, 0.1)
    """
    if text is None:
        return None
    try:
        if text.endswith("%"):
            return float(text[:-1]) / 100
        return float(text) if "." in text else int(text)
    except ValueError:
        raise SettingsError(
            f"sample is {text!r}, expected a number of sequences such as 1000, or a share such as 0.1."
        ) from None


def refuse_draws(context: typer.Context, proposal: str) -> None:
    """Refuse options about draws where every event type is tried once.

    Raises:
        SettingsError: With the first of them.
    """
    if proposal.startswith("exhaustive"):
        reason = f"is about draws, and `--proposal {proposal}` tries every event type once. Leave out either."
        refuse_given(context, ("num_samples", "refine"), reason)


_LOG = "CSV, TSV, Parquet, JSONL, XES(.gz) or plain text: a file, folder or glob."
Log = Annotated[str, typer.Argument(help=_LOG)]
LogUnlessAlone = Annotated[str | None, typer.Argument(metavar="LOG", show_default=False, help=_LOG)]
Case = Annotated[str | None, typer.Option(help="Column that names the sequence (case, device, session).")]
Event = Annotated[str | None, typer.Option(help="Column with the event, or several joined: `node,value`.")]
Time = Annotated[str | None, typer.Option(help="Column with the timestamp.")]
Query = Annotated[str | None, typer.Option(help="Rows to keep, e.g. \"level != 'INFO'\".")]
TimeUnit = Annotated[str | None, typer.Option(help="Unit of numeric times: s (the default), ms, us or ns.")]
TimeFormat = Annotated[str | None, flag(options.TIME_FORMAT)]
Quick = Annotated[
    bool | None,
    typer.Option(
        "--quick/--no-quick", help="Train a new model in fewer, larger steps. [`explain`: where the log is not small]"
    ),
]
Length = Annotated[int | None, typer.Option(help="Maximum window length, in events; longer sequences are cut.")]
Gap = Annotated[float | None, typer.Option(help="Also cut after a silence of this many seconds.")]
Contexts = Annotated[
    list[str] | None,
    typer.Option(
        help="Column with a property of the whole sequence (site, firmware), or @month, @week, @day, @parts:4; can be "
        "repeated."
    ),
]
Outcome = Annotated[
    str | None, typer.Option(help="Column with a label for the whole sequence; it becomes its last event.")
]
Seed = Annotated[int, flag(options.SEED)]
Trust = Annotated[bool, flag(options.TRUST_REMOTE_CODE)]
Compiled = Annotated[
    bool, typer.Option("--compile", help="On a GPU: compile the layers; longer at first, then faster.")
]
Unknown = Annotated[str | None, flag(options.UNKNOWN)]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace what an earlier call of this command wrote to --out.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
MaxLag = Annotated[int, flag(options.MAX_LAG)]
Threshold = Annotated[str, flag(options.THRESHOLD)]
Samples = Annotated[int, flag(options.NUM_SAMPLES)]
Proposal = Annotated[str, flag(options.PROPOSAL)]
MinFrequency = Annotated[str, flag(options.MIN_FREQUENCY)]
Only = Annotated[list[str] | None, typer.Option("--id", help="Only this sequence; can be repeated.")]
Sample = Annotated[str | None, typer.Option(help="Only N sequences (1000) or a share of them (0.1, 10%), at random.")]
Plot = Annotated[Path | None, typer.Option(help="Figure: .png .svg .pdf.")]
FIGURES = (".png", ".svg", ".pdf")
OF_FIGURE = "is about the figure. Add `--plot FILE`, or leave it out."
MaxEdges = Annotated[
    int | None, typer.Option(help="Most arrows in the figure, the strongest; by default as many as can be read.")
]
SelfLoops = Annotated[bool, typer.Option("--self-loops", help="Keep edges from a type to itself.")]
Stream = Annotated[
    bool,
    typer.Option(
        "--stream", help="Read the log in parts, in constant memory: for large files, or a Hub data set by its id."
    ),
]
Topology = Annotated[Path | None, flag(options.TOPOLOGY)]
Directed = Annotated[bool, typer.Option("--topology-directed", help=options.TOPOLOGY_DIRECTED.help)]
Hops = Annotated[int, flag(options.HOPS)]
StateVariables = Annotated[
    list[str] | None,
    typer.Option("--variable", help="Event types that are values of one variable, e.g. `pump *`; can be repeated."),
]
StatePairs = Annotated[
    list[str] | None,
    typer.Option(help="Words for the two values of a variable, e.g. 'failed|repaired'; can be repeated."),
]
EndColumn = Annotated[
    str | None, typer.Option(help="Column with the time when an alarm ended: it is a state until then.")
]
RunFolder = Annotated[str, typer.Argument(metavar="RUN", help="Run folder, or Hub id.")]
Processes = Annotated[
    int,
    typer.Option(
        "--processes",
        help="Number of processes on this machine that share the work.",
        callback=launch_when_asked,
        is_eager=True,
    ),
]
