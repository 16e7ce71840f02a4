"""The page in a real browser: `pip install .[browser]`, Chromium and its driver on the path, then `make slow`."""

import csv
import io
import json
import time

import pytest
from tests.pages import HOSTILE, document

from hf_trace.graphs.graph import CausalGraph

pytestmark = [
    pytest.mark.slow,
    # The client closes its sockets late.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
NAMES = [f"component {i} failed" for i in range(30)]


def test_the_slider_and_the_direction_hide_edges(shown):
    made = document(NAMES, 400)
    page = shown(made)
    assert page.text("status") == "45 of 400 edges shown."
    page.set("slider", 0)
    assert page.text("status") == "400 of 400 edges shown."
    assert page.text("bound") == "all"
    page.set("slider", 400 - 9)
    assert page.text("status").startswith("10 of 400 edges shown")
    assert len(page.lines()) == len(page.rows()) == 10
    page.set("direction", "inhibits")
    assert {row[2] for row in page.rows()} == {"⊣ inhibits"}
    page.set("direction", "")
    page.set("measure", "confidence")
    confidences = sorted(made["edges"]["confidence"])
    assert page.text("bound") == f"{100 * confidences[-45]:.0f} %"


def test_the_search_finds_types_and_their_edges(shown):
    page = shown(document(NAMES, 400))
    page.set("slider", 0)
    page.set("search", "NENT 7 ")
    assert "1 event type found" in page.text("status")
    assert all("component 7 failed" in row[:2] for row in page.rows())
    opacities = page.run(
        "const svg = new DOMParser().parseFromString(arguments[0], 'image/svg+xml');"
        "return Array.from(svg.querySelectorAll('g[data-edge]'), (group) => group.getAttribute('opacity'))",
        page.saved("svg"),
    )
    assert opacities.count(min(opacities, key=float)) == 400 - len(page.rows())
    page.set("search", "no such type")
    assert page.rows() == []
    assert "no event type has “no such type” in its name" in page.text("status")
    assert "No event type has “no such type” in its name" in page.text("evidence")


def test_a_click_on_an_edge_shows_its_evidence(shown):
    made = document(NAMES, 870)
    page = shown(made)
    number, x, y = page.lines()[-1]
    page.click_at(x, y)
    said = page.text("evidence")
    edges, names = made["edges"], made["names"]
    assert names[edges["cause"][number]] in said
    assert names[edges["effect"][number]] in said
    assert "How many events after" in said
    assert "95 % interval 40 % to 60 %" in said
    with_examples = next(n for n in sorted(made["examples"], key=int))
    page.set("slider", 0)
    page.click("#more")
    page.click(f"#edges tr[data-edge='{with_examples}']")
    assert "How long after" in page.text("evidence")
    assert "Examples" in page.text("evidence")
    assert page.run("return document.querySelectorAll('#edges tr.chosen').length") == 1
    page.click_at(3, 400)
    assert "Choose an edge" in page.text("evidence")


def test_a_probability_is_shown_as_one_whatever_its_estimate(shown):
    from hf_trace.report.page import page_document

    edge = {"cause": "a", "effect": "b", "cmi": 0.4, "risk": 1.12, "baseline_risk": 0.25, "support": 64}
    page = shown(page_document(CausalGraph("population", ("a", "b"), (edge,), {"contexts": 64})))
    assert page.rows()[0][3:5] == ["≈ 100 %", "25 %"]
    page.click("#edges tr[data-edge='0']")
    assert "Probability of the effect≈ 100 %after other events25 %" in page.text("evidence")
    assert json.loads(page.saved("json"))["edges"][0]["risk"] == 1.12


def test_what_resampling_and_ties_say_is_shown(shown):
    from hf_trace.report.page import page_document

    sure = {"cause": "a", "effect": "b", "cmi": 0.4, "resampled_share": 0.875, "cmi_low": 0.3, "cmi_high": 0.5}
    tied = {"cause": "b", "effect": "c", "cmi": 0.2, "undirected": True, "direction": "excites"}
    page = shown(page_document(CausalGraph("population", ("a", "b", "c"), (sure, tied))))
    page.click("#edges tr[data-edge='0']")
    assert "0.400 nats (resampled: 0.300 to 0.500)Found againin 88 % of the resamples" in page.text("evidence")
    page.click("#edges tr[data-edge='1']")
    assert "Each makes the other more likely." in page.text("evidence")
    assert "which of them is the cause is not known" in page.text("evidence")
    assert "What resampling says" in page.text("assumptions")


def test_keys_step_zoom_and_leave(shown):
    page = shown(document(NAMES, 60))
    before = page.saved("svg")
    canvas = page.browser.find_element("id", "graph")
    canvas.send_keys("n")
    time.sleep(0.2)
    first = page.rows()[0]
    assert first[0] in page.text("evidence")
    assert first[1] in page.text("evidence")
    canvas.send_keys("++")
    time.sleep(0.2)
    assert page.saved("svg") != before
    canvas.send_keys("0")
    canvas.send_keys("\ue00c")
    time.sleep(0.2)
    assert page.saved("svg") == before


def test_the_table_sorts(shown):
    page = shown(document(NAMES, 60))
    for key, column in (("support", None), ("cause", 0)):
        page.click(f"#edges th button[data-key='{key}']")
        heads = page.run("return Array.from(document.querySelectorAll('#edges th button'), (b) => b.dataset.key)")
        cells = [row[heads.index(key)] for row in page.rows()]
        values = list(map(int, cells)) if column is None else cells
        assert values == sorted(values, reverse=column is None)
        assert page.run("return document.querySelector('#edges th[aria-sort$=ending] button').dataset.key") == key
    page.click("#edges th button[data-key='cause']")
    cells = [row[0] for row in page.rows()]
    assert cells == sorted(cells, reverse=True)


def test_incidents_can_be_changed(shown):
    made = document(NAMES, 870)
    page = shown(made)
    page.set("incident", "3")
    incident = made["incidents"][3]
    assert incident["sequence"] in page.run("return document.getElementById('timeline').getAttribute('aria-label')")
    assert page.run("return document.querySelectorAll('#timeline circle').length") == len(incident["events"])
    page.set("arcs", "0")
    arcs = page.run("return document.querySelectorAll('#timeline .arc').length")
    assert 0 < arcs <= len(incident["links"])
    page.click("#all-arcs")
    assert page.run("return document.querySelectorAll('#timeline .arc').length") == len(incident["links"])
    page.run(
        "document.querySelector('#timeline .touch[data-edge]').dispatchEvent(new MouseEvent('click', {bubbles: true}))"
    )
    assert "Strength (cmi)" in page.text("evidence")


def test_exports_can_be_read_and_hold_what_is_shown(shown, tmp_path):
    made = document(HOSTILE, 60)
    page = shown(made)
    page.set("slider", 0)
    (tmp_path / "graph.json").write_text(page.saved("json"), encoding="utf-8")
    graph = CausalGraph.load(tmp_path / "graph.json")
    assert (len(graph), graph.level, graph.events) == (60, "population", HOSTILE)
    assert graph.edges[0]["lag_counts"] == {"1": 30, "3": 4, "12": 1}
    rows = list(csv.DictReader(io.StringIO(page.saved("csv").removeprefix("\ufeff"), newline="")))
    assert len(rows) == 60
    assert not [cell for row in rows for cell in row.values() if cell[:1] in ("=", "+", "-", "@", "\t")]
    assert {row["cause"].removeprefix("'") for row in rows} <= set(HOSTILE)
    page.set("slider", 59)
    assert len(json.loads(page.saved("json"))["edges"]) == len(page.lines()) == 2


@pytest.mark.parametrize("width", [1280, 390])
def test_hostile_names_break_nothing(shown, width):
    made = document(HOSTILE, 200)
    page = shown(made)
    page.browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    )
    page.set("slider", 0)
    for number in range(0, 200, 20):
        page.click(f"#edges tr[data-edge='{page.run(_ROW, number // 2)}']")
        assert page.run("return document.documentElement.scrollWidth <= innerWidth")
    for node in range(len(HOSTILE)):
        page.set("search", HOSTILE[node][:50])
    assert page.run("return document.title").startswith("Causal graph. ")
    assert page.run("return document.querySelectorAll('body script').length") == 2
    assert page.run("return document.querySelectorAll('img').length") == 0
    page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


_ROW = "return document.querySelectorAll('#edges tbody tr')[arguments[0]].dataset.edge"


def test_a_large_page_opens_at_once(shown):
    page = shown(document([f"component {i} failed" for i in range(300)], 5_000))
    seconds = int(page.run("return document.documentElement.dataset.ready")) / 1000
    assert seconds < 3
    assert page.text("status").startswith("300 of 5,000 edges shown;")
    page.set("slider", 0)
    started = time.monotonic()
    page.run("return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert time.monotonic() - started < 3


@pytest.mark.parametrize("level", ["instance", "population"])
def test_a_page_without_edges_says_so(shown, level):
    from hf_trace.report.page import page_document

    page = shown(page_document(CausalGraph(level, ("a", "b"))))
    assert "No pair of event types was found" in page.text("evidence")
    assert page.text("status") == "0 of 0 edges shown."
    assert "No sequence with an edge" in page.text("timeline-note")
