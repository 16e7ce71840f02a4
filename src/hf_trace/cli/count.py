"""``hf-trace count``: an event log to a causal graph by counting alone, without a model."""

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import hf_trace.cli.flags as flags
from hf_trace import options
from hf_trace.checks import time_span
from hf_trace.cli.console import print_graphs, print_json, say, wrote
from hf_trace.cli.flags import flag, refuse_given
from hf_trace.cli.inputs import LogSource
from hf_trace.cli.outputs import check_output, write_figure
from hf_trace.errors import SettingsError

if TYPE_CHECKING:
    from hf_trace.logs.log import EventLog
    from hf_trace.logs.places.topology import Topology

_HORIZON = options.HORIZON.but(
    help="How soon effects follow, such as 90s, 10m or 1h; by default a fifth of the mean time between events."
)
_MAX_LAG = options.MAX_LAG.but(
    help="Longest distance from cause to effect, in events, where order alone counts or there are no times."
)
_IN_TIME, _IN_ORDER = ("horizon", "topology", "topology_directed", "hops"), ("bigram", "cooccurrence", "lift")


def count(
    context: typer.Context,
    log: flags.Log,
    method: Annotated[
        str,
        typer.Option(
            help="onset: begins after the cause, and not before it; hawkes: rates that add up; bigram, cooccurrence, "
            "lift: order alone."
        ),
    ] = "onset",
    out: Annotated[Path | None, typer.Option(help="Graph file: .json .graphml .dot .csv .parquet.")] = None,
    plot: flags.Plot = None,
    max_edges: flags.MaxEdges = None,
    horizon: Annotated[str | None, flag(_HORIZON)] = None,
    topology: flags.Topology = None,
    topology_directed: flags.Directed = options.TOPOLOGY_DIRECTED.default,
    hops: flags.Hops = options.HOPS.default,
    threshold: Annotated[
        str | None,
        typer.Option(help="Least score of an edge, fixed:VALUE or VALUE; by default the method's own rule, see above."),
    ] = None,
    top: Annotated[int | None, typer.Option(help="Most edges, instead of a threshold.")] = None,
    max_lag: Annotated[int, flag(_MAX_LAG)] = options.MAX_LAG.default or 0,
    self_loops: flags.SelfLoops = False,
    case_column: flags.Case = None,
    event_column: flags.Event = None,
    time_column: flags.Time = None,
    query: flags.Query = None,
    time_unit: flags.TimeUnit = None,
    time_format: flags.TimeFormat = None,
    seed: flags.Seed = options.SEED.default,
    json_output: flags.Json = False,
) -> None:
    """Find which events follow which by counting alone, in seconds and without a model.

    What makes an edge by default looks at no known graph. onset: the effect begins after the cause more often than
    after any event (exact binomial test, false discovery rate 5 %), and more often than it was there only before.
    hawkes: the likelihood pays for the weight (Bayesian information criterion). bigram, cooccurrence: 0.05 more than
    after any event; lift: twice as often.
    """
    check_output(out, (".json", ".parquet", ".graphml", ".dot", ".gv", ".csv"))
    check_output(plot, flags.FIGURES)
    if plot is None:
        refuse_given(context, ("max_edges",), flags.OF_FIGURE)
    if method in _IN_ORDER:
        reason = f"is about times, and the method {method!r} counts by order alone. Leave out either."
        refuse_given(context, _IN_TIME, reason)
    if top is not None:
        refuse_given(context, ["threshold"], "says what makes an edge, and so does `--top`. Leave out either.")
    seconds, least = None if horizon is None else time_span("horizon", horizon), _least_score(threshold)
    source = LogSource(log, case_column, event_column, time_column, query, time_unit, time_format=time_format)
    from hf_trace.graphs.counted_graphs import CountingSettings, counted_graph

    settings = CountingSettings(max_lag, seconds)
    table = source.read()
    if topology is not None:
        settings = CountingSettings(max_lag, seconds, _joined(topology, table, directed=topology_directed, hops=hops))
    else:
        refuse_given(context, ("topology_directed", "hops"), "is about a topology. Add `--topology FILE`.")
    started = time.monotonic()
    graph = counted_graph(table, method, settings, threshold=least, top=top, self_loops=self_loops)
    if table.timestamps is None:
        say("The log has no times; positions in the sequence are counted instead.")
    elif (used := graph.metadata["settings"].get("horizon_seconds")) is not None:
        say(f"Horizon: {used:.4g} seconds.")
    say(f"Counted in {time.monotonic() - started:.1f} s.")
    if out is not None:
        graph.save(out)
    wrote(out)
    if plot is not None:
        write_figure(plot, graph, log, table, max_edges=max_edges)
    if json_output:
        print_json(graph.to_dict())
    else:
        print_graphs([graph])


def _least_score(text: str | None) -> float | None:
    """The value of a threshold as ``discover`` writes it, or the value alone."""
    if text is None:
        return None
    kind, _, value = text.rpartition(":")
    with suppress(ValueError):
        if kind in ("", "fixed"):
            return float(value)
    raise SettingsError(f"threshold is {text!r}, expected fixed:VALUE, or the value alone: the least score of an edge.")


def _joined(path: Path, log: "EventLog", *, directed: bool, hops: int) -> "Topology":
    """The topology of a log, from a file, and what it joins."""
    from hf_trace.logs.places.place_network import PlaceNetwork
    from hf_trace.logs.places.topology import Topology

    found = Topology.of_network(log, PlaceNetwork.of(path, log.ids, directed=directed, hops=hops))
    say(f"{len(found.joined):,} pairs of sequences are joined; {len(found.unjoined()):,} have no neighbour.")
    return found
