"""The page and the tools as Gradio knows them."""

import functools
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

from hf_trace.app.desk import Desk, framed
from hf_trace.app.sent_logs import SUFFIXES, SentColumns, SentLog
from hf_trace.app.studies import Doing, Studies
from hf_trace.app.tools import LogTools
from hf_trace.errors import HfTraceError
from hf_trace.questions.what_if import REMOVED

logger = logging.getLogger(__name__)
# Parts of the page by name.
Components = dict[str, Any]
_KEPT_SECONDS, _SHOWN_SECONDS = 3_600, 60
_INTRODUCTION = """# Which event caused which?
Send an event log: alarms, log keys, process steps, fault codes. `hf-trace` looks at it, asks a small language model of
event sequences *without these events, how much less likely were the later ones?*, and shows what counting says."""
_FOR_AGENTS = """The same is here as five tools of an MCP server, at `{place}` of this page's address: {tools}.
Each answers with its evidence and a baseline. They take the text of a log, never a path or an address. Up to {bytes:,}
bytes, {events:,} events and {types:,} event types are taken; what was sent is forgotten after a while."""
MCP_PLACE = "/gradio_api/mcp/"
# A frame is told by its color scheme whether the page around it is dark, whatever the system is.
CSS = """
iframe.report {width: 100%; height: 58rem; border: 1px solid var(--border-color-primary); border-radius: 6px;
    color-scheme: light}
.dark iframe.report {color-scheme: dark}
@media (max-width: 640px) {
    iframe.report {height: 85svh}
    .html-container:has(iframe.report) {padding: 0}
}
"""


def build(studies: Studies, *, tools: bool = True) -> Any:
    """The page, and the tools for agents behind it.

    Args:
        studies: Reads and studies the logs.
        tools: Whether agents have the tools.
    """
    import gradio as gr

    desk, asked = Desk(studies), LogTools(studies)
    with gr.Blocks(title="hf-trace", analytics_enabled=False, delete_cache=(_KEPT_SECONDS, _KEPT_SECONDS)) as page:
        gr.Markdown(_INTRODUCTION)
        sent: Any = gr.State(None, time_to_live=_KEPT_SECONDS)
        with gr.Row():
            with gr.Column(scale=1, min_width=320):
                inputs, look, find, example = _entrance(desk)
            with gr.Column(scale=3):
                shown, chosen = _tabs(desk, sent)
        if tools:
            functions = (
                asked.summarise_log,
                asked.graph_with_evidence,
                asked.rank_incident,
                asked.what_if,
                asked.compare_with_counting,
            )
            _tell_agents(studies, [each.__name__ for each in functions])
            for each in functions:
                gr.api(_answering(each), api_name=each.__name__, queue=False)
        _connect(desk, sent, inputs, (look, find, example), shown, chosen)
    return page


def _entrance(desk: Desk) -> tuple[list[Any], Any, Any, Any]:
    """Where a log is sent."""
    import gradio as gr

    upload = gr.File(label="A log", file_types=[*SUFFIXES, ".gz"], height=120)
    text = gr.Textbox(label="Or its text", lines=6, max_lines=12, placeholder="device,alarm,time\nNE-1,fan,12.5\n…")
    with gr.Accordion("Columns", open=False):
        case, event, when = (
            gr.Textbox(label=name, placeholder="recognized") for name in ("Case (sequence)", "Event", "Time")
        )
    look = gr.Button("Look at it")
    find = gr.Button("Find what causes what", variant="primary")
    example = gr.Button("Example: telecom alarms", visible=desk.has_example)
    return [upload, text, case, event, when], look, find, example


def _tabs(desk: Desk, sent: Any) -> tuple[Components, Components]:
    """Where answers are shown, and what is chosen there."""
    import gradio as gr

    shown: Components = {}
    chosen: Components = {}
    with gr.Tabs() as shown["tabs"]:
        with gr.Tab("The log", id="log"):
            shown["report"] = gr.Markdown("Nothing was sent yet.")
        with gr.Tab("Graph", id="graph"):
            shown["graph"] = gr.HTML("Nothing was asked yet.")
        with gr.Tab("In words", id="words"):
            shown["words"] = gr.Markdown("Nothing was asked yet.")
        with gr.Tab("Beside counting", id="counting"):
            shown["counted"] = gr.Markdown()
            shown["pairs"] = gr.Dataframe(headers=["cause", "effect", "found by"], interactive=False)
        with gr.Tab("Root causes", id="causes"):
            with gr.Row():
                chosen["outcome"] = gr.Dropdown([], label="Outcome to explain")
                chosen["incident"] = gr.Dropdown([], label="Sequence (empty: the first with it)")
            rank = gr.Button("Rank what led to it")
            text = gr.Markdown()
            rows = gr.Dataframe(headers=[*desk.columns_of_causes()], interactive=False)
            rank.click(
                _handler(desk.ranking),
                [sent, chosen["outcome"], chosen["incident"]],
                [text, rows],
                api_visibility="private",
            )
        with gr.Tab("What if", id="what-if"):
            _what_if(desk, sent, chosen)
    return shown, chosen


def _what_if(desk: Desk, sent: Any, chosen: Components) -> None:
    import gradio as gr

    with gr.Row():
        chosen["sequence"] = gr.Dropdown([], label="Sequence")
        chosen["event"] = gr.Dropdown([], label="Event that is changed", allow_custom_value=True)
        chosen["instead"] = gr.Dropdown([REMOVED], value=REMOVED, label="Instead")
    with gr.Row():
        chosen["target"] = gr.Dropdown([], label="How likely is then")
        within = gr.Textbox(label="Within (events, or a time as 300s)", placeholder="16 events, where they fit")
    ask = gr.Button("What if?")
    answer = gr.Markdown()
    fields = [chosen[name] for name in ("event", "instead", "target", "sequence")]

    def asked(
        log: SentLog, event: str, instead: str, target: str, sequence: str, soon: str | None, doing: Doing
    ) -> str:
        question = {"event": event, "instead": instead, "target": target, "sequence": sequence, "within": soon or ""}
        return desk.what_if(log, question, doing)

    ask.click(_handler(asked), [sent, *fields, within], answer, api_visibility="private")
    chosen["sequence"].change(
        lambda log, name: gr.Dropdown([] if log is None else desk.events(log, name or ""), value=None),
        [sent, chosen["sequence"]],
        chosen["event"],
        api_visibility="private",
    )


def _connect(
    desk: Desk, sent: Any, inputs: list[Any], buttons: tuple[Any, Any, Any], shown: Components, chosen: Components
) -> None:
    """What the three buttons of the entrance do."""
    import gradio as gr

    names = ("outcome", "incident", "sequence", "instead", "target")

    def received(log: SentLog) -> tuple[Any, ...]:
        found = desk.choices(log)
        of_events, of_ids = gr.Dropdown(found.events, value=None), gr.Dropdown(found.sequences, value=None)
        instead = gr.Dropdown([REMOVED, *found.events], value=REMOVED)
        first = gr.Dropdown(found.sequences, value=found.sequences[0])
        return log, desk.report(log), of_events, of_ids, first, instead, of_events

    def looked(upload: str | None, text: str | None, *columns: str | None) -> tuple[Any, ...]:
        data = None if upload is None else Path(upload).read_bytes()
        name = "" if upload is None else Path(upload).name
        return received(desk.receive(data, name, text or "", SentColumns.of(*(each or "" for each in columns))))

    def studied(log: SentLog, doing: Doing) -> tuple[Any, ...]:
        study = desk.study(log, doing)
        text, pairs = desk.beside_counting(study)
        return framed(study.page), study.findings.to_markdown(), text, pairs, gr.Tabs(selected="graph")

    look, find, example = buttons
    entered = [sent, shown["report"], *(chosen[name] for name in names)]
    answered = [shown[name] for name in ("graph", "words", "counted", "pairs", "tabs")]
    look.click(_handler(looked, shows=False), inputs, entered, api_visibility="private")
    exemplary = _handler(lambda: (*received(desk.example()), None, ""), shows=False)
    for event in (
        find.click(_handler(looked, shows=False), inputs, entered, api_visibility="private"),
        example.click(exemplary, None, [*entered, *inputs[:2]], api_visibility="private"),
    ):
        event.success(_handler(studied), sent, answered, api_visibility="private")


def _handler(function: Callable[..., Any], *, shows: bool = True) -> Callable[..., Any]:
    """A function of the page, whose refusals are shown and whose failures say nothing of the machine."""
    import gradio as gr

    def called(progress: Any = gr.Progress(), *given: Any) -> Any:  # noqa: B008 - Gradio finds it there
        if shows and given[0] is None:
            raise _refusal()("No log was read yet. Send one, and press “Look at it”.", print_exception=False)
        more = [_doing(progress)] if shows else []
        return _answered(lambda: function(*given, *more), escape)

    return called


def _answering(tool: Callable[..., Any]) -> Callable[..., Any]:
    """A tool whose refusals are told and whose answers are JSON, with the parameters and the words of the function."""

    @functools.wraps(tool)
    def called(*given: Any, **named: Any) -> str:
        return json.dumps(_answered(lambda: tool(*given, **named), str), ensure_ascii=False)

    called.__annotations__ = {**tool.__annotations__, "return": str}
    return called


def _answered(question: Callable[[], Any], written: Callable[[str], str]) -> Any:
    try:
        return question()
    except HfTraceError as error:
        raise _refusal()(written(str(error)), print_exception=False, duration=_SHOWN_SECONDS) from None
    except Exception as error:
        logger.exception("a question was not answered")
        raise _refusal()("This could not be answered; the log of the app says why.", print_exception=False) from error


@functools.cache
def _refusal() -> Any:
    """What Gradio shows to people; agents are told its text, which Gradio would put in quotation marks."""
    import gradio as gr

    class Refusal(gr.Error):  # type: ignore[misc]
        def __str__(self) -> str:
            return str(self.message)

    return Refusal


def _doing(progress: Any) -> Doing:
    """Shows on the page what is being done."""

    @contextmanager
    def doing(what: str, total: int | float) -> Iterator[Callable[[float], None]]:
        def advance(done: float) -> None:
            progress(min(done / (total or 1), 1.0), desc=what)

        advance(0)
        yield advance

    return doing


def _tell_agents(studies: Studies, names: list[str]) -> None:
    import gradio as gr

    bounds = studies.bounds
    with gr.Accordion("For agents", open=False):
        gr.Markdown(
            _FOR_AGENTS.format(
                place=MCP_PLACE,
                tools=", ".join(f"`{name}`" for name in names),
                bytes=bounds.bytes,
                events=bounds.events,
                types=bounds.event_types,
            )
        )
