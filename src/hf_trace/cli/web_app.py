"""``hf-trace app``: the package as a web page, and as tools for agents."""

from typing import Annotated

import typer

from hf_trace.cli.console import warn
from hf_trace.cli.inputs import quiet_transformers

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def app(
    run: Annotated[
        str | None, typer.Argument(help="Run of events to ask; without one, or for another log, one is trained.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; other machines reach others than this.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; by default the first free one from 7860.")
    ] = None,
    tools: Annotated[bool, typer.Option("--tools/--no-tools", help="Also be an MCP server for agents.")] = True,
    max_bytes: Annotated[str, typer.Option(help="Largest log that is taken.")] = "5MB",
    max_events: Annotated[int, typer.Option(help="Most events of a log that is taken.")] = 50_000,
) -> None:
    """Serve a page that takes a log and shows its graph, root causes and what if; and the same as tools for agents.

    Nothing of this machine can be read through it, what is sent is bounded and forgotten, and other machines are let in
    only with `--host`.
    """
    from hf_trace.app.bounds import Bounds
    from hf_trace.app.serving import serve
    from hf_trace.checks import byte_count, whole

    quiet_transformers()
    if port is not None:
        whole("port", port, most=65_535)
    bounds = Bounds(bytes=byte_count("max_bytes", max_bytes), events=max_events)
    if host not in _LOOPBACK:
        warn(f"Everybody who reaches {host} may use this app, without a password.")
    serve(run, host=host, port=port, tools=tools, bounds=bounds)
