"""A run as a Space of the Hub: a page that anybody can try, and tools for agents, written whole and ready to start."""

from importlib.metadata import version
from pathlib import Path

from huggingface_hub import SpaceCardData

from hf_trace.documents import Document
from hf_trace.errors import PublishError
from hf_trace.publishing.eval_results import HubData
from hf_trace.publishing.model_card import CARD_FILE, NO_LICENSE, as_markdown
from hf_trace.publishing.publication import SPACE, Publication, check_repo_id, run_publication
from hf_trace.questions.state_runs import STATES_FILE
from hf_trace.runs.folders import run_kind

APP_FILE, REQUIREMENTS, RUN_FOLDER = "app.py", "requirements.txt", "run"
# The version of Gradio that the app was tried with; Spaces install the one that their card names.
GRADIO = "6.31.0"
_PYTHON = "3.11"
_APP = '''"""Serves the run beside it, as a page and as tools for agents: hf-trace app run --host 0.0.0.0."""

from pathlib import Path

from hf_trace.app.serving import serve

serve(Path(__file__).parent / "run", host="0.0.0.0", port=7860)
'''
# Spaces for nothing have no GPU, and what comes from PyPI brings libraries of one along.
_CPU = "--extra-index-url https://download.pytorch.org/whl/cpu"
_ABOUT = """Send an event log (alarms, log keys, process steps, fault codes) and see which event caused which: the graph
with what speaks for it, root causes of an incident, what would have been without an event, and what counting says.

* **A page**: a log that the run in `run/` knows is asked about at once; from another one a small model learns first.
* **Tools for agents** (MCP), at `/gradio_api/mcp/` of this Space: `summarise_log`, `graph_with_evidence`,
  `rank_incident`, `what_if`, `compare_with_counting`. Each answers with its evidence and a baseline.
* **What is sent** is bounded (5 MB, 50,000 events), read in memory and a folder that is deleted, and forgotten after a
  while. Nothing of the machine can be read through the page.

A link is what helps to foresee events, and no proof: test it before acting on it."""


def space_publication(
    run: str | Path,
    repo_id: str,
    *,
    graph: str | Path | None = None,
    license: str | None = None,
    data: str | None = None,
    data_repo: str | None = None,
    run_repo: str | None = None,
    wheel: str | Path | None = None,
) -> Publication:
    """The repository of a Space that serves a run: the app, what it needs, a card, and the run itself.

    Args:
        run: A run folder of an event log.
        repo_id: Its id on the Hub.
        graph: As for ``run_publication``.
        license: Of the model and what it learned from, as the Hub spells it.
        data: What it was trained on, in words.
        data_repo: As for ``run_publication``; the card of the Space links it.
        run_repo: Where the run is published as a model; the card of the Space links it.
        wheel: A wheel of this package, for a version that PyPI does not have: it is put beside the app, and installed
            from there.

    Raises:
        PublishError: If the folder is no run of an event log, or the wheel is none of this package.
    """
    _check_run(run)
    links: Document = {}
    if data_repo is not None:
        links["datasets"] = [HubData.named(data_repo).repo_id]
    if run_repo is not None:
        check_repo_id(run_repo)
        links["models"] = [run_repo]
    own = run_publication(run, run_repo or repo_id, graph=graph, license=license, data=data, data_repo=data_repo)
    package, beside = _package(repo_id, wheel)
    files: dict[str, Path | bytes] = {
        APP_FILE: _APP.encode(),
        REQUIREMENTS: "".join(f"{line}\n" for line in (_CPU, "torch", package)).encode(),
        CARD_FILE: _card(repo_id, license, links).encode(),
        **beside,
        **{f"{RUN_FOLDER}/{name}": source for name, source in own.files.items()},
    }
    return Publication(SPACE, repo_id, files, own.left_out)


def _check_run(run: str | Path) -> None:
    if run_kind(run) == "table" or (Path(run) / STATES_FILE).exists():
        raise PublishError(
            f"{str(run)!r} is a run of a table or of states, and a Space serves one of an event log. Publish it as a "
            "model: leave out `--space`."
        )


def _package(repo_id: str, wheel: str | Path | None) -> tuple[str, dict[str, Path | bytes]]:
    """What pip is told to install, and what it needs beside the app."""
    if wheel is None:
        return f"hf-trace[app]=={version('hf-trace')}", {}
    path = Path(wheel)
    if not (path.is_file() and path.name.startswith("hf_trace-") and path.suffix == ".whl"):
        raise PublishError(
            f"{str(wheel)!r} is no wheel of this package, expected a file such as hf_trace-{version('hf-trace')}-py3-"
            "none-any.whl. Make one: `pip wheel --no-deps .`"
        )
    # The Hub builds with the requirements alone at hand, so that a wheel is named by its address.
    return f"hf-trace[app] @ https://huggingface.co/spaces/{repo_id}/resolve/main/{path.name}", {path.name: path}


def _card(repo_id: str, license: str | None, links: Document) -> str:
    title = repo_id.rpartition("/")[2]
    header = SpaceCardData(
        title=title,
        emoji="🔎",
        colorFrom="indigo",
        colorTo="blue",
        sdk="gradio",
        sdk_version=GRADIO,
        python_version=_PYTHON,
        app_file=APP_FILE,
        license=license,
        short_description="Which event caused which, from your log",
        tags=["causal-discovery", "event-sequences", "hf_trace", "mcp-server"],
        **links,
    )
    parts = [f"# {as_markdown(title)}", _ABOUT, f"## License\n\n{as_markdown(license or NO_LICENSE)}"]
    return f"---\n{header.to_yaml()}\n---\n" + "\n\n".join(parts) + "\n"
