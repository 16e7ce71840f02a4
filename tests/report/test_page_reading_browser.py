"""A page as it is read: findings, questions, evidence, one incident; by pointer, by keys, on a phone, on paper."""

import base64
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from tests.pages import document, population, sequences, told

from hf_trace.graphs.graph import CausalGraph
from hf_trace.logs.log import EventLog
from hf_trace.report.page import page_document

pytestmark = [
    pytest.mark.slow,
    # The client closes its sockets late.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
ENTER, ESCAPE, TAB = "\ue007", "\ue00c", "\ue004"
FOCUSED = "return document.activeElement.id || document.activeElement.className || document.activeElement.tagName"
DIMMED = "return document.querySelectorAll('#timeline .dim').length"


@pytest.fixture
def phone(browser):
    """A screen of 390 by 844 pixels."""
    size = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    yield
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.fixture
def dark(browser):
    """A reader who likes it dark."""
    wish = {"name": "prefers-color-scheme", "value": "dark"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [wish]})
    yield
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def racks(types, edges):
    """A page of many event types with long names, of which less than half have edges."""
    kinds = ("Fan failed", "Disk controller degraded", "Power supply back to normal operation", "Link timeout")
    names = [f"{kinds[i % 4]} on rack {i}" for i in range(types)]
    rng, joined, pairs = np.random.default_rng(0), int(0.45 * types), set()
    while len(pairs) < edges:
        cause, effect = (joined * rng.random(2) ** 2).astype(int).tolist()
        pairs |= {(cause, effect)} - {(cause, cause)}
    log = EventLog.from_sequences(sequences(names[:joined], 20, 40, rng))
    return page_document(population(names, sorted(pairs), rng), log=log)


# What was found


def test_findings_stand_on_top_and_lead_to_their_edges(shown):
    page = shown(told())
    assert page.text("summary") == "The first sentence.The second sentence."
    assert page.run("return document.querySelector('main h2').textContent") == "In short"
    assert page.text("findings-note").startswith("1 of 2 are weak")
    assert page.run("return document.querySelector('#findings li:nth-child(2)').className") == "weak"
    page.click("#findings li:nth-child(2) button")
    assert "Hardly seen.Caution: Few." in page.text("evidence")
    assert "chosen" in page.run("return document.querySelector('#findings li:nth-child(2)').className")
    page.wait("return document.getElementById('graph').getBoundingClientRect().top < innerHeight - 300")
    page.browser.switch_to.active_element.send_keys(ESCAPE)
    page.wait("return document.getElementById('findings').getBoundingClientRect().top >= 0")
    assert page.text("next") == "Look at case 1."


def test_a_page_without_findings_has_no_empty_place_for_them(shown):
    page = shown(document([f"type {i}" for i in range(6)], 8))
    assert page.run("return getComputedStyle(document.getElementById('findings-section')).display") == "none"
    assert page.run("return getComputedStyle(document.getElementById('questions')).display") == "none"


def test_the_questions_can_be_switched_and_the_places_stay(shown):
    page = shown(told())
    page.click("#edges tr[data-edge='0']")
    before = page.saved("svg")
    page.click("#questions label:nth-of-type(2) input")
    assert page.text("status").startswith("2 of 2 edges shown")
    assert sorted(row[1] for row in page.rows()) == ["login failed", "service slow"]
    assert "The question: follows" in page.text("assumptions")
    assert page.text("findings").startswith("disk full → login failed It follows.")
    assert "service slow" in page.text("evidence")  # the pair is an edge of both, and stays chosen
    circles = r'<circle cx="([^"]+)" cy="([^"]+)"[^>]*><title>(disk full|service slow)<'
    assert sorted(re.findall(circles, page.saved("svg"))) == sorted(re.findall(circles, before))
    page.click("#questions label:nth-of-type(1) input")
    assert page.text("status").startswith("3 of 3 edges shown")


def test_delays_have_a_median_a_range_and_a_plot(shown):
    page = shown(told())
    assert page.rows()[0][-2:] == ["60 seconds", "2 s to 60.0 min"]
    page.click("#edges tr[data-edge='0']")
    plot = page.run(
        "const i = document.querySelector('.delays i').style, b = document.querySelector('.delays b').style;"
        "return [i.left, i.width, b.left]"
    )
    # The axis goes from 1 s to an hour: ln 2 / ln 3600 = .085, ln 60 / ln 3600 = .5.
    assert [round(float(re.search(r"[\d.]+", each)[0]), 1) for each in plot] == [8.5, 91.5, 50.0]
    assert "Half come within 60 seconds, 80 % between 2 seconds and 60.0 minutes." in page.text("evidence")


def test_what_counting_ranks_high_and_the_model_leaves_out_can_be_seen(shown):
    page = shown(told())
    assert page.run("return document.getElementById('left-out-table').offsetHeight") == 0
    page.click("#show-left-out")
    assert page.run("return document.getElementById('left-out-table').offsetHeight") > 0
    rows = page.run("return Array.from(document.querySelectorAll('#counted-pairs tbody tr'), (row) => row.innerText)")
    assert rows == ["reboot\tping\t0.900\t1", "disk full\tping\t0.700\t2"]


def test_places_and_changes_are_filtered_and_drawn_in_their_own_way(shown):
    page = shown(told())
    page.set("place", "between")
    assert [row[:2] for row in page.rows()] == [["service slow", "login failed"], ["login failed", "reboot"]]
    assert 'stroke-dasharray="10 4"' in page.saved("svg")
    page.set("place", "")
    page.set("change", "any")
    assert [row[3:6] for row in page.rows()] == [["new", "0", "0.800"], ["weaker", "0.600", "0.400"]]
    page.set("change", "same")
    assert page.text("status").startswith("1 of 3 edges shown")


def test_edges_with_little_support_look_faint(shown):
    """By hand: 2 sequences of the 20 from which on an edge is drawn in full give .35 + .65 / 10 = .415 of .9.

    An edge that has not changed has .4 of that.
    """
    page = shown(told())
    groups = re.findall(r'<g opacity="([\d.]+)" data-edge="(\d)"', page.saved("svg"))
    assert sorted(groups) == [("0.15", "2"), ("0.9", "0"), ("0.9", "1")]
    assert 'stroke-dasharray="4 3"' in page.saved("svg")
    assert "pale: unchanged, or few sequences" in page.text("legend")
    assert "dashed: weak" in page.text("legend")


# One incident


def test_an_event_can_be_removed(shown):
    page = shown(told())
    assert "Without disk full (0), service slow (1) would have had 12 % instead of 80 %." in page.text("answers")
    widths = page.run("return Array.from(document.querySelectorAll('.answer i'), (bar) => bar.style.width)")
    assert widths == ["80%", "12%"]
    page.set("removed", "1")
    assert "Without service slow (1), login failed (2) would have had 60 % instead of 50 %." in page.text("answers")
    page.run("document.querySelector('#timeline circle[data-position=\"3\"]').dispatchEvent(new MouseEvent('click'))")
    assert page.text("answers") == "The model was not asked about this event."
    page.set("removed", "2")
    assert page.text("answers") == "Without it, no later event becomes clearly more or less likely."
    assert page.text("ranks") == "disk full 2.50It was full for an hour."


def test_clearing_what_was_chosen_brings_the_timeline_back(shown):
    page = shown(told())
    for clear in (lambda: page.set("search", "disk"), lambda: page.click(".close"), lambda: page.click_at(3, 300)):
        page.click("#edges tr[data-edge='0']")
        assert page.run(DIMMED) > 0
        clear()
        assert page.run(DIMMED) == 0


@pytest.mark.parametrize("made", [lambda: racks(120, 260), told, lambda: document([f"t{i}" for i in range(9)], 9)])
def test_the_first_incident_has_arcs_and_its_words_stand_apart(shown, made):
    page = shown(made())
    assert page.run("return document.querySelectorAll('#timeline .arc').length") > 0
    assert page.run(_COVERING, "#timeline text") == []


# The picture


@pytest.mark.parametrize("types", [18, 120, 300])
@pytest.mark.parametrize("width", [1280, 390])
def test_names_are_never_over_names_and_the_strongest_edges_have_theirs(shown, browser, types, width):
    size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    page = shown(racks(types, {18: 30, 120: 260, 300: 900}[types]))
    page.run(_ADD, page.saved("svg"))
    assert page.run(_COVERING, "#looked-at text") == []
    named = set(page.run("return Array.from(document.querySelectorAll('#looked-at text'), (text) => text.textContent)"))
    for cause, effect in [row[:2] for row in page.rows()[:8]]:
        assert {_has(named, cause), _has(named, effect)} == {True}
    assert page.run("return document.documentElement.scrollWidth <= innerWidth")
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def _has(named, name):
    """Whether a name is among those that may be cut in the middle."""
    return any(name.startswith(each.split("…")[0]) and name.endswith(each.split("…")[-1]) for each in named)


def test_a_long_name_is_whole_where_there_is_room(shown):
    names = ["The controller of the second disk is degraded", "The service was restarted"]
    page = shown(page_document(CausalGraph.from_edges([names])))
    assert re.findall(r"<text[^>]*>([^<]*)", page.saved("svg")) == names


def test_types_without_an_edge_are_left_out_until_asked_for(shown):
    page = shown(told())
    assert page.text("status").endswith("; 2 event types without a shown edge left out.")
    assert len(re.findall("<circle", page.saved("svg"))) == 4
    page.click("#alone")
    assert len(re.findall("<circle", page.saved("svg"))) == 6
    assert "left out" not in page.text("status")


def test_a_heading_names_how_the_cause_acts_between_both(shown):
    page = shown(told())
    page.click("#edges tr[data-edge='0']")
    assert page.run("return document.querySelector('#evidence h2').textContent") == "disk fullexcitesservice slow"
    page.click(".close")
    first = page.run("return document.querySelector('#evidence li').textContent")
    assert first == "disk full → service slow 0.800"


# By keys


def test_lists_are_walked_by_keys_alone(shown):
    page = shown(told())
    page.run("document.querySelector('#evidence li:nth-child(2) button').focus()")
    page.browser.switch_to.active_element.send_keys(ENTER)
    time.sleep(0.2)
    assert page.run(FOCUSED) == "close"
    page.browser.switch_to.active_element.send_keys(ESCAPE)
    time.sleep(0.2)
    assert "Choose an edge" in page.text("evidence")
    assert page.run("return document.activeElement.dataset.edge") == "1"
    page.run("document.querySelector('#edges tr[data-edge=\"0\"] button').focus()")
    page.browser.switch_to.active_element.send_keys(ENTER)
    time.sleep(0.2)
    assert "service slow" in page.text("evidence")
    page.browser.switch_to.active_element.send_keys(ESCAPE)
    time.sleep(0.2)
    assert page.run("return document.activeElement.closest('tr').dataset.edge") == "0"
    assert page.run("return document.querySelectorAll('tr.chosen').length") == 0


def test_every_field_is_reached_by_the_tabulator(shown):
    page = shown(told())
    page.run("document.querySelector('.skip').focus()")
    reached = set()
    for _ in range(90):
        reached.add(page.run("return document.activeElement.id || document.activeElement.textContent"))
        page.browser.switch_to.active_element.send_keys(TAB)
    wanted = "search measure slider direction place change alone export-csv graph zoom-in evidence show-left-out"
    wanted = {*wanted.split(), "incident", "arcs", "all-arcs", "removed"} - {"evidence"}
    assert wanted <= reached


def test_sliders_say_what_they_mean(shown):
    page = shown(told())
    value = "return document.getElementById(arguments[0]).getAttribute('aria-valuetext')"
    assert page.run(value, "slider") == "all: 3 edges"
    page.set("slider", 2)
    assert page.run(value, "slider") == "at least 0.400 nats: 2 edges"
    assert page.run(value, "arcs").endswith("arcs")


@pytest.mark.skipif("AXE" not in os.environ, reason="needs AXE, the path of axe.min.js of npm's axe-core")
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_hinders_anybody(shown, browser, width, scheme):
    size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
    wish = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [wish]})
    page = shown(told())
    browser.execute_script(Path(os.environ["AXE"]).read_text())
    for step in ("", "#edges tr[data-edge='2']", "#timeline-controls + .note", "#show-left-out"):
        if step:
            page.click(step)
        found = browser.execute_async_script("axe.run(document).then((all) => arguments[0](all.violations))")
        assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


# On paper


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="needs pdftotext: apt-get install poppler-utils")
@pytest.mark.parametrize("backgrounds", [False, True])
def test_all_of_it_is_on_paper(shown, browser, tmp_path, dark, backgrounds):
    page = shown(racks(60, 130))
    page.set("search", "rack 1 ")
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": backgrounds})["data"]
    (tmp_path / "page.pdf").write_bytes(base64.b64decode(printed))
    text = subprocess.run(
        ["pdftotext", "-layout", "page.pdf", "-"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    for section in ("Edges", "One incident", "What must hold", "What was not tested", "How to repeat this", "Evidence"):
        assert section in text
    assert "All 130 edges" in text
    assert len(re.findall("→ excites|⊣ inhibits", text)) >= 130
    assert "Show more rows" not in text
    assert len(re.findall(r"cause +effect +acts", text)) > 2  # on each page of the table
    title = page.run("return document.title")
    assert re.fullmatch(r"Causal graph\. .+: .+ is the strongest of 130 edges", title)
    assert len(page.rows()) < 130  # as it was before
    assert page.run("return document.getElementById('printed-graph').children.length") == 0


def test_nothing_collides_or_is_cut_on_paper(shown, browser):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 700, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    )
    page = shown(racks(60, 130))
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    page.run("dispatchEvent(new Event('beforeprint'))")
    time.sleep(0.2)
    assert page.run(_COLLIDING) == []
    cut = "return Array.from(document.querySelectorAll('.scroll, table, .evidence, #printed-graph svg, #timeline'))"
    cut += ".filter((each) => each.getBoundingClientRect().right > innerWidth + 1)"
    assert page.run(cut + ".map((each) => each.id || each.className)") == []
    assert page.run("return Array.from(document.querySelectorAll('.scroll'), (each) => each.offsetHeight)")[0] > 1_000
    exact = "return Array.from(document.querySelectorAll('.bar i, .histogram i, .interval i'))"
    assert page.run(exact + ".every((bar) => getComputedStyle(bar).printColorAdjust === 'exact')")
    page.run("dispatchEvent(new Event('afterprint'))")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


_ADD = """
    const made = new DOMParser().parseFromString(arguments[0], 'image/svg+xml').documentElement;
    made.id = 'looked-at';
    document.body.append(made);
"""
# Pairs of texts that share more than a hair of the screen.
_COVERING = """
    const texts = document.querySelectorAll(arguments[0]);
    const all = Array.from(texts, (each) => [each.textContent, each.getBoundingClientRect()]);
    const shared = (a, b, low, high) => Math.min(a[high], b[high]) - Math.max(a[low], b[low]);
    const isOver = (a, b) => shared(a, b, "left", "right") > 1.5 && shared(a, b, "top", "bottom") > 3;
    const pairs = all.flatMap((one, index) => all.slice(index + 1).map((other) => [...one, ...other]));
    return pairs.filter(([, a, , b]) => isOver(a, b)).map(([one, , other]) => [one, other]);
"""
# Sections one after another, and what is in them.
_COLLIDING = """
    const sections = document.querySelectorAll('main > section, .explorer > section');
    const boxes = Array.from(sections, (each) => each.getBoundingClientRect()).filter((box) => box.height > 0);
    boxes.sort((a, b) => a.top - b.top);
    return boxes.slice(1).filter((box, index) => box.top < boxes[index].bottom - 1);
"""
