"""Starting the app: on loopback unless told otherwise, with nothing of the machine behind it."""

import os
from pathlib import Path
from typing import Any

from hf_trace.app.bounds import Bounds
from hf_trace.errors import SettingsError

HOST = "127.0.0.1"


def serve(
    run: str | Path | None = None,
    *,
    host: str = HOST,
    port: int | None = None,
    tools: bool = True,
    bounds: Bounds | None = None,
    wait: bool = True,
) -> Any:
    """Serve the page, and the tools for agents.

    Args:
        run: A run of events to ask, see ``Studies``.
        host: Address to listen on; others than loopback let other machines in.
        port: Port to listen on; by default the first free one from 7860.
        tools: Whether agents have the tools (MCP).
        bounds: How much is taken.
        wait: Whether to return only when the app is ended.

    Returns:
        The Gradio app, with its ``local_url``.

    Raises:
        SettingsError: If Gradio is not installed, the run is of something else, or the port is taken.
        ModelLoadError: If there is no run.
    """
    # Nothing is told to anybody about who uses the app.
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    try:
        import gradio as gr
        from starlette.middleware import Middleware
    except ImportError as error:
        raise SettingsError(
            f"The app needs Gradio, which is not installed ({error.name}). Install it: pip install 'hf-trace[app]'."
        ) from error
    from hf_trace.app.doorman import Doorman
    from hf_trace.app.interface import CSS, build
    from hf_trace.app.studies import Studies

    studies = Studies(run, bounds)
    page = build(studies, tools=tools)
    page.queue(max_size=4 * studies.bounds.waiting, default_concurrency_limit=4)
    try:
        page.launch(
            server_name=host,
            server_port=port,
            prevent_thread_lock=not wait,
            mcp_server=tools,
            allowed_paths=[],
            max_file_size=studies.bounds.bytes,
            state_session_capacity=4 * studies.bounds.requests,
            app_kwargs={"middleware": [Middleware(Doorman, bounds=studies.bounds)]},
            enable_monitoring=False,
            run_history=False,
            ssr_mode=False,
            share=False,
            inbrowser=False,
            footer_links=["api"],
            theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
            css=CSS,
        )
    except OSError as error:
        raise SettingsError(
            f"The app cannot listen on {host}:{port or 7860} ({error}). Choose another `--port`."
        ) from None
    return page
