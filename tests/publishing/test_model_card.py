"""Cards hold names from data: whatever these are, a page, a template and a terminal show them and do nothing else."""

import ast
import io
import json
import unicodedata

import jinja2
import pandas as pd
import pytest
import yaml
from markdown_it import MarkdownIt

from hf_trace.graphs.graph import CausalGraph
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence
from hf_trace.publishing.data_sets import log_publication
from hf_trace.publishing.model_card import CARD_FILE, model_card
from hf_trace.tokenizers.event_tokenizer import EventTokenizer

# What does something in HTML, a template or a terminal; and in Markdown.
ACTIVE = (
    "<script>alert(1)</script>", "<!-- hidden", "{{ 7 * 7 }}", "{% raw %}", "{# no #}", "\x1b]0;title\x07\x9b2J",
    "&lt;b&gt; &amp;", "\u202eright",
)  # fmt: skip
HOSTILE = (
    *ACTIVE, "a|b\\|c", "`code` ```", "two\nlines\n\n# heading\n---\n", "[link](javascript:alert(1))",
    "![image](https://example.org/x.png)", "*bold* __bold__ ~~gone~~ $x$", ":fire:", "https://example.org",
    "row_id 'x' \"y\"",
)  # fmt: skip


@pytest.fixture
def page():
    """The page of a card and its front matter, as the Hub makes them; nothing in the card acts before."""

    def made(card):
        acting = [char for char in card if char != "\n" and unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp")]
        assert acting == []
        assert jinja2.Template(card).render() == card.removesuffix("\n")
        _, header, text = card.split("---\n", 2)
        return yaml.safe_load(header), MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(text)

    return made


def is_harmless(html):
    tags = (
        "<script",
        "<!--",
        "<img",
        "<iframe",
        "<b>",
        "<strong>bold",
        "<em>bold",
        "<s>",
        'href="javascript',
        "<h1>heading",
    )
    return [tag for tag in tags if tag in html] == []


def as_html(name):
    """A name as a page shows it, control characters spelled."""
    shown = name.replace("\n", r"\n").encode("unicode_escape").decode().replace("\\\\n", r"\n").replace("\\\\", "\\")
    return shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def write(folder, **documents):
    folder.mkdir()
    for name, document in documents.items():
        (folder / f"{name}.json").write_text(json.dumps(document), encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_a_run_of_events(tmp_path, page, name):
    folder = write(
        tmp_path / "run {{x}} <b>\n---\n\x1b[31m",
        config={"model_type": "llama"},
        metrics={"parameters": 7, "validation": {"loss": 1.0, "bigram": 2.0, "events": 3}},
        training={"case_column": name, name: 1, "context_columns": [name], "model": "a/b"},
    )
    EventTokenizer.from_event_types([name, "ok"]).save_pretrained(folder)
    edge = {"cause": name, "effect": "ok", "cmi": 0.5}
    graph = CausalGraph("summary", (name, "ok"), (edge,), {"settings": {"threshold": f"margin:{name}"}})
    data = f"Ours, `made` {name if name in ACTIVE else ''}"
    header, html = page(model_card(folder, graph=graph, data=data, license="mit"))
    assert is_harmless(html)
    assert f"<td>{as_html(name)}</td>" in html
    assert header["license"] == "mit"
    assert "<code>made</code>" in html
    code = html.partition('<code class="language-python">')[2].partition("</code>")[0].replace("&quot;", '"')
    record = ast.literal_eval(code.partition("out = pipe(")[2].partition(", max_lag")[0])
    assert set(record["events"]) == {"ok", name}  # as it is


@pytest.mark.parametrize(
    ("beaten_by", "verdict"),
    [((), ""), (("additive",), "edges miss effects"), (("additive", "bigram"), "edges mean little")],
)
def test_a_card_names_simpler_models_and_those_that_are_better(tmp_path, beaten_by, verdict):
    losses = {"loss": 1.0, "additive": 1.25, "bigram": 1.5, "unigram": 2.0} | dict.fromkeys(beaten_by, 0.75)
    beats = {f"beats_{name}": name not in beaten_by for name in ("additive", "bigram")}
    folder = write(tmp_path / "run", metrics={"validation": {**losses, **beats, "events": 3}}, config={}, training={})
    EventTokenizer.from_event_types(["a"]).save_pretrained(folder)
    card = model_card(folder)
    assert f"| past events and how long ago, added up | {losses['additive']:.4f} |" in card
    (line,) = [line for line in card.splitlines() if "events held out." in line]
    assert verdict in line
    assert ("**" in line) is bool(verdict)


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_a_run_of_a_table(tmp_path, page, name):
    variables = [{"name": name, "values": [name, "b"]}, {"name": "y", "values": ["0", "1"], "parents": [name]}]
    losses = {"loss": 1.0, "marginal": 2.0}
    folder = write(
        tmp_path / "run",
        dag={"variables": variables},
        metrics={"validation": {"rows": 3, **losses, "variables": {name: losses}}},
        config={"model_type": name},
        training={"data": name},
    )
    _, html = page(model_card(folder))
    assert is_harmless(html)
    assert f"<td>{as_html(name)}</td>" in html
    assert f"({as_html(name)}) that predicts the variables" in html
    code = html.partition("out = pipe(")[2].partition(")\n</code>")[0].replace("&quot;", '"')
    assert ast.literal_eval(code) == {"target": "y", "do": {name: name}}


def test_a_log(page):
    for name in HOSTILE:
        context = ((name, "x"),)
        log = EventLog.from_sequences([EventSequence(("a", "b"), id=str(n), context=context) for n in range(10)])
        files = log_publication(log, "org/log", data=name if name in ACTIVE else None).files
        _, html = page(files[CARD_FILE].decode())
        assert is_harmless(html)
        assert f"<code>{as_html(name)}</code>" in html
        code = html.partition("context_columns=")[2].partition(")\n</code>")[0].replace("&quot;", '"')
        assert ast.literal_eval(code) == [name]
        assert name in pd.read_parquet(io.BytesIO(files["events/train.parquet"])).columns


def test_settings_are_told_once_and_in_words(tiny_run):
    assert json.loads((tiny_run / "training.json").read_text())["made_with"]
    card = model_card(tiny_run)
    assert card.count("patience") == 1
    assert "made_with" not in card


def test_a_run_with_a_topology_says_what_its_sequences_hold(tmp_path, tiny_config, tiny_settings):
    from dataclasses import replace

    from tests.ring_world import RING, ring_rows

    from hf_trace.logs.sources import read_log
    from hf_trace.training.log_training import train

    log = read_log(pd.DataFrame(ring_rows(40), columns=["case", "event", "time"]), time_column="time", topology=RING)
    run = train(log, tmp_path / "run", replace(tiny_settings, epochs=1.0)).folder
    card = model_card(run)
    assert "as `<near:X>`, at those that are joined to it: 6 joined pairs of 6 places." in card
    assert "'events': ['alarm', 'flood', 'leak']" in card.replace('"', "'")
