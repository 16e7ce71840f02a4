"""The card of a published run: what it is, how to use it, what was measured, on what, and what must hold.

Every figure comes from the files of the run; what these do not say, the card does not say either.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar, cast

from huggingface_hub import EvalResult, ModelCardData

from hf_trace.documents import Document
from hf_trace.errors import visible
from hf_trace.graphs.graph import CausalGraph
from hf_trace.graphs.metrics import GraphComparison
from hf_trace.logs.places.near_names import near_name
from hf_trace.report.page_texts import assumptions
from hf_trace.runs.adapters import AdapterConfig
from hf_trace.runs.folders import DAG_FILE, METRICS_FILE, TRAINING_FILE, read_json, run_kind
from hf_trace.runs.trained_network import trained_network
from hf_trace.tokenizers.event_tokenizer import EventTokenizer
from hf_trace.tokenizers.stored_tokenizer import TOKENIZER_FILE

CARD_FILE, GRAPH_FILE, PICTURE_FILE = "README.md", "graph.json", "graph.png"
NO_LICENSE = "Not stated by the author: ask before you use it."
_SHOWN_EDGES = 10
_TABLE_MUST_HOLD = (
    ("The graph is right", "Answers follow from the arrows that were given; an absent arrow is a strong claim."),
    (
        "No hidden common cause but those the graph names as latent",
        "Where these matter, questions are refused; where another one does, answers are wrong.",
    ),
    ("The data show it", "What hardly occurs in the rows cannot be answered; every answer says how much backs it."),
    ("The model predicts well", "Compare its loss with that of the marginal frequencies, above, for each variable."),
)
# What Markdown, HTML or a template would read as more than a character. Within words an underscore is none.
_MARKUP = re.compile(r"[\\`*<>&|{}\[\]~$@!#^=]|(?<![^\W_])_|_(?![^\W_])|:(?=//|[\w+-]+:)|(?<=www)\.")
_TEMPLATE = re.compile(r"<|\{(?=[{%#])|(?<=\{)\{|\}(?=\})|(?<=[}%#])\}")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_IN_CODE = re.compile("[`<>&{}]")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_PREDICTS = {"log": "the next event of a sequence", "table": "the variables of a table"}
Function = TypeVar("Function", bound=Callable[..., Any])


def also_licence(function: Function) -> Function:
    """Take ``licence=``, the earlier spelling, for ``license=``.

    Example:
        >>> also_licence(lambda *, license: license)(licence="mit")
        'mit'
    """

    @wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        renamed = {"license": kwargs.pop("licence")} if "licence" in kwargs else {}
        return function(*args, **renamed, **kwargs)

    return cast(Function, called)


@dataclass(frozen=True)
class RunFiles:
    """What a run folder says of itself.

    Attributes:
        kind: ``"log"``, ``"table"``, or ``"model"`` where nothing says what it was trained on.
        config: ``config.json``.
        training: ``training.json``; empty where the folder is not from training.
        metrics: ``metrics.json``.
        dag: ``dag.json``: the graph of a table.
        tokenizer: ``tokenizer_config.json``.
        events: Names of events of a place itself, in a run of a log.
        graph: A discovered graph, where there is one.
        known: It beside a known graph, where there is one.
        data_repo: The data set on the Hub that it learned from, where it is there.
    """

    kind: str
    config: Document
    training: Document
    metrics: Document
    dag: Document
    tokenizer: Document
    events: tuple[str, ...]
    graph: CausalGraph | None = None
    known: GraphComparison | None = None
    data_repo: str | None = None

    @classmethod
    def of(cls, folder: str | PathLike[str], graph: CausalGraph | None = None) -> "RunFiles":
        """Read a folder."""
        kind, names = run_kind(folder), ("config.json", TRAINING_FILE, METRICS_FILE, DAG_FILE, "tokenizer_config.json")
        has_events = kind != "table" and (Path(folder) / TOKENIZER_FILE).exists()
        events = EventTokenizer.from_pretrained(folder).own_types if has_events else ()
        config, training, metrics, dag, tokenizer = (read_json(folder, name) for name in names)
        return cls(kind, config, training, metrics, dag, tokenizer, events, graph)

    @property
    def task(self) -> str:
        """The task of its pipeline."""
        return "causal-effect" if self.kind == "table" else "causal-discovery"

    @property
    def is_adapter(self) -> bool:
        """Whether it holds adapters only."""
        return self.config.get("model_type") == AdapterConfig.model_type

    @property
    def loads_without_us(self) -> bool:
        """Whether Transformers loads the model without this package."""
        return not str(self.config.get("model_type", "")).startswith("hf_trace")

    @property
    def base(self) -> str | None:
        """The pretrained model on the Hub that it comes from, where it comes from one."""
        named = str(self.config.get("base") or self.training.get("model") or "")
        return named if _HUB_ID.fullmatch(named) and not is_folder(named) else None


def as_markdown(text: Any) -> str:
    r"""Text from data, such as a name, that a page shows as it is: no markup, no template, one line.

    Example:
        >>> as_markdown("<b>disk|full</b> {{x}} row_id")
        '&#60;b&#62;disk&#124;full&#60;/b&#62; &#123;&#123;x&#125;&#125; row_id'
        >>> print(as_markdown("a\x1b\nb"))
        a&#92;x1b&#92;nb
    """
    return _MARKUP.sub(_entity, visible(str(text)))


def as_prose(text: str) -> str:
    """What a person wrote for a page: their Markdown stays, but for HTML, templates and what acts on a terminal.

    Example:
        >>> as_prose("By `us`, [here](https://example.org). <script> {{x}}")
        'By `us`, [here](https://example.org). &#60;script> &#123;&#123;x&#125;&#125;'
    """
    return _TEMPLATE.sub(_entity, visible(text, keep="\n\t"))


def as_code(value: Any) -> str:
    r"""What JSON can hold as it stands in a block of Python: whatever text is in it ends neither string nor block.

    Example:
        >>> print(as_code({"target": "`{{x}}` <b>", "n": 1}))
        {"target": "\u0060\u007b\u007bx\u007d\u007d\u0060 \u003cb\u003e", "n": 1}
    """
    text = visible(json.dumps(value, ensure_ascii=False))
    return _STRING.sub(lambda found: _IN_CODE.sub(lambda each: f"\\u{ord(each[0]):04x}", found[0]), text)


def as_span(name: str) -> str:
    """A name within a text, set as code.

    Example:
        >>> as_span("site"), as_span("a`b")
        ('`site`', '<code>a&#96;b</code>')
    """
    shown = as_markdown(name)
    return f"`{name}`" if shown == name else f"<code>{shown}</code>"


def _label(text: str) -> str:
    """A name for the header, of which nothing is needed but to tell it from others."""
    return re.sub(r"[^\w .+-]+", "-", text)


def _entity(found: "re.Match[str]") -> str:
    return f"&#{ord(found[0])};"


def is_folder(name: str) -> bool:
    """Whether a model is named by a folder of this machine, which is nobody else's concern.

    Example:
        >>> is_folder("/data/base"), is_folder("openai-community/gpt2")
        (True, False)
    """
    return Path(name).is_absolute() or name.startswith(".") or Path(name).exists()


def public_recipe(training: Document) -> Document:
    """How a run was trained, with the name of a folder in place of its path.

    Example:
        >>> public_recipe({"model": "/data/base", "seed": 0})
        {'model': 'base', 'seed': 0}
    """
    model = training.get("model")
    return {**training, "model": Path(model).name} if model and is_folder(model) else dict(training)


@also_licence
def model_card(
    folder: str | PathLike[str],
    *,
    repo_id: str | None = None,
    data: str | None = None,
    license: str | None = None,
    graph: CausalGraph | None = None,
    remote: str | None = None,
) -> str:
    """The text of the card of a run.

    Args:
        folder: The run folder.
        repo_id: Where it is published; by default code names the folder.
        data: What it was trained on, in words.
        license: Of the model and what it learned from, as the Hub spells it.
        graph: A graph that was discovered with it.
        remote: Task of the shim beside it, for those who do not import the package.
    """
    return card_text(RunFiles.of(folder, graph), repo_id or str(folder), data=data, license=license, remote=remote)


def card_text(
    run: RunFiles,
    name: str,
    *,
    data: str | None,
    license: str | None,
    remote: str | None = None,
    picture: str | None = None,
) -> str:
    """The text of the card of a run whose files have been read; see ``model_card``.

    Args:
        run: What the run says of itself.
        name: What code calls it: the folder, or its id on the Hub.
        data: See ``model_card``.
        license: See ``model_card``.
        remote: See ``model_card``.
        picture: File beside the card that shows the graph.
    """
    title = name.rstrip("/").rpartition("/")[2]
    header = ModelCardData(
        library_name="transformers",
        pipeline_tag="other",
        license=license and _label(license),
        tags=[run.task, "event-sequences" if run.kind == "log" else "causal-inference", "hf_trace"],
        model_name=_label(title),
        base_model=run.base,
        datasets=run.data_repo and [run.data_repo],
        eval_results=_results(run) or None,
    )
    on_hub = run.data_repo and f"[{run.data_repo}](https://huggingface.co/datasets/{run.data_repo}) on the Hub."
    about = " ".join(filter(None, [data and as_prose(data), on_hub])) or "Not described by the author."
    parts = [
        f"# {as_markdown(title)}\n\n{_intro(run)}",
        f"## How to use\n\n{_use(run, name, remote)}",
        _section("Measured on held-out data", _measured(run)),
        _section("Discovered graph", _graph(run, picture)),
        _section("Beside the known graph", _known(run)),
        f"## Data\n\n{about} {_sizes(run)}".rstrip(),
        _section("How it was trained", _training(run)),
        f"## What must hold\n\n{_must_hold(run)}",
        f"## License\n\n{as_markdown(license or NO_LICENSE)}",
    ]
    return f"---\n{header.to_yaml()}\n---\n" + "\n\n".join(part for part in parts if part) + "\n"


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n{text}" if text else ""


def _intro(run: RunFiles) -> str:
    predicted, size = _PREDICTS.get(run.kind, "the next token"), run.metrics.get("parameters")
    about = f"A language model ({as_markdown(run.config.get('model_type', 'unknown'))}) that predicts {predicted}"
    about += f", {size:,} parameters." if size else "."
    if run.is_adapter:
        about = f"Adapters of {as_span(str(run.config.get('base')))} that make it predict {predicted}."
    paper = "[arXiv 2409.18581](https://arxiv.org/abs/2409.18581)"
    answers = "answers what would happen if some of them were set: `hf_trace`, after"
    if run.kind != "table":
        paper = "([arXiv 2602.01135](https://arxiv.org/abs/2602.01135))"
        answers = "tells which event changed which: `hf_trace`, after TRACE"
    return f"{about} Frozen, it {answers} {paper}."


def _use(run: RunFiles, name: str, remote: str | None) -> str:
    call = _question(run) if run.kind == "table" else _record(run)
    text = (
        "Needs the Python package `hf-trace`.\n\n```python\nimport hf_trace\nfrom transformers import pipeline\n\n"
        f'pipe = pipeline("{run.task}", model={as_code(name)})\n{call}\n```'
    )
    if remote:
        call = f'pipeline("{remote}", model={as_code(name)}, trust_remote_code=True)'
        text += (
            f"\n\nWithout the import: `{call}`. It runs the one line of `hf_trace_pipeline.py`, and needs "
            "the package installed."
        )
    return text


def _record(run: RunFiles) -> str:
    record: Document = {"events": list((run.events * 3)[:3])}
    if run.tokenizer.get("gap_edges"):
        record["timestamps"] = [0.0, 30.0, 95.0]
    if known := run.tokenizer.get("contexts"):
        record["context"] = {column: values[0] for column, values in known.items()}
    return f"out = pipe({as_code(record)}, max_lag=8)"


def _question(run: RunFiles) -> str:
    variables = {each["name"]: each for each in run.dag["variables"] if each.get("values")}
    simple = [name for name, each in variables.items() if each.get("kind", "categorical") != "text"]
    effects = [name for name in simple if set(variables[name].get("parents", ())) & set(simple)]
    target = (effects or simple)[-1]
    causes = [name for name in variables[target].get("parents", ()) if name in simple] or simple[:1]
    single = [name for name in causes if variables[name].get("kind", "categorical") != "sequence"] or causes
    value = variables[single[-1]]["values"][0]
    question = {"target": target, "do": {single[-1]: value}}
    return f"out = pipe({as_code(question)})"


def _measured(run: RunFiles) -> str:
    found = run.metrics.get("validation") or {}
    if run.kind == "table" and "variables" in found:
        rows = [(as_markdown(name), each["loss"], each["marginal"]) for name, each in found["variables"].items()]
        rows.append(("**all, on average**", found["loss"], found["marginal"]))
        lines = "\n".join(f"| {name} | {loss:.4f} | {shares:.4f} |" for name, loss, shares in rows)
        head = "| variable | loss (nats) | marginal frequencies |\n|---|---|---|"
        return f"{head}\n{lines}\n\n{found['rows']:,.0f} rows held out."
    if "loss" not in found:
        return ""
    models = {"loss": "this model", "additive": "past events and how long ago, added up"}
    models |= {"bigram": "bigram counts", "unigram": "event frequencies"}
    lines = "\n".join(f"| {label} | {found[key]:.4f} |" for key, label in models.items() if key in found)
    verdict = "" if found.get("beats_additive", True) else " **Adding up past events is better: edges miss effects.**"
    if not found.get("beats_bigram", True):
        verdict = " **It does not beat counting pairs: edges mean little.**"
    return f"| model | nats per event |\n|---|---|\n{lines}\n\n{found['events']:,} events held out.{verdict}"


def _results(run: RunFiles) -> list[EvalResult]:
    found = run.metrics.get("validation") or {}
    names = {"loss": "loss of the model, nats", "additive": "loss of adding up past events by time since, nats"}
    names |= {"bigram": "loss of bigram counts, nats"}
    names |= dict.fromkeys(("unigram", "marginal"), "loss of marginal frequencies, nats")
    return [
        EvalResult(
            task_type=run.task,
            dataset_type=run.data_repo or "held-out",
            dataset_name="held-out part of the training data",
            metric_type=key,
            metric_name=label,
            metric_value=round(found[key], 4),
        )
        for key, label in names.items()
        if isinstance(found.get(key), float)
    ]


def _graph(run: RunFiles, picture: str | None) -> str:
    if (graph := run.graph) is None:
        return ""
    strengths = [(float(edge.get("cmi") or 0.0), edge) for edge in graph.edges]
    strongest = sorted(strengths, key=lambda each: -each[0])[:_SHOWN_EDGES]
    lines = "\n".join(
        f"| {as_markdown(edge['cause'])} | {as_markdown(edge['effect'])} | {cmi:.3f} |" for cmi, edge in strongest
    )
    more = f"; the {_SHOWN_EDGES} strongest" if len(graph) > _SHOWN_EDGES else ""
    head = f"`{GRAPH_FILE}`: {graph.level} graph, {len(graph.events)} event types, {len(graph)} edges{more}."
    shown = f"![The graph: an arrow from each cause to its effect]({picture})\n\n" if picture else ""
    return f"{shown}{head}\n\n| cause | effect | cmi (nats) |\n|---|---|---|\n{lines}"


def _known(run: RunFiles) -> str:
    if (known := run.known) is None:
        return ""
    rows = [(each["graph"], each["auroc"], each["auprc"], each["f1"]) for each in known.table_rows()]
    lines = "\n".join(
        f"| {as_markdown(name)} | {auroc:.3f} | {auprc:.3f} | {f1:.3f} |" for name, auroc, auprc, f1 in rows
    )
    return (
        f"{known.n_true_edges} known edges among {known.n_types} event types; AUPRC of chance "
        f"{known.scores.base_rate:.3f}. Baselines have as many edges as the graph.\n\n"
        f"| graph | AUROC | AUPRC | F1 |\n|---|---|---|---|\n{lines}"
    )


def _sizes(run: RunFiles) -> str:
    windows, rows = run.metrics.get("sequences"), run.metrics.get("rows")
    if windows:
        types = run.metrics.get("event_types", len(run.events))
        counts = f"{windows['training']:,} windows for training, {windows['validation']:,} held out"
        return f"{counts}, {types:,} event types.{_places(run)}"
    return f"{rows:,} rows, {len(run.dag['variables'])} variables." if rows and run.dag else ""


def _places(run: RunFiles) -> str:
    if (network := trained_network(run.training)) is None:
        return ""
    return (
        f" A sequence holds what happened at a place and, as `{near_name('X')}`, at those that are joined to it: "
        f"{network}. Causes are own or near, effects own; the losses are of own events."
    )


def _training(run: RunFiles) -> str:
    # The settings stand there once more, for resuming: "made_with".
    recipe = {name: value for name, value in public_recipe(run.training).items() if not isinstance(value, dict)}
    told = {name: value for name, value in recipe.items() if value not in (None, [], False)}
    told |= {name: run.metrics[name] for name in ("epochs", "steps", "seconds") if name in run.metrics}
    told.pop("kind", None)
    if not told:
        return ""
    lines = "\n".join(f"| {as_markdown(name)} | {as_markdown(_plain(value))} |" for name, value in told.items())
    has_members = run.training.get("ensemble", 1) > 1 or run.training.get("folds", 0) > 0
    members = " The folder `members` holds further models, which say how sure it is." if has_members else ""
    return f"`hf-trace train`; all settings are in `{TRAINING_FILE}`.{members}\n\n| | |\n|---|---|\n{lines}"


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _must_hold(run: RunFiles) -> str:
    if run.kind == "table":
        return "\n".join(f"* **{title}.** {text}" for title, text in _TABLE_MUST_HOLD)
    graph = run.graph or CausalGraph("summary", ())
    said = assumptions(graph, graph.metadata.get("settings", {}))
    if run.graph is None:
        del said[1]  # where the line between edges is drawn
    return "\n".join(f"* **{as_markdown(each['title'])}.** {as_markdown(each['text'])}" for each in said)
