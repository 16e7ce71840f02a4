"""A log whose event names are code, from the file to a real browser: none of it runs, all of it is shown."""

import csv
import random

import pytest

from hf_trace.logs.sources import read_log
from hf_trace.training.log_training import train

pytestmark = [
    pytest.mark.slow,
    # The client closes its sockets late.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

# Causes and their effects in turn.
NAMES = (
    "<script>window.ran = 'script'</script>",
    "</script><script>window.ran = 'end'</script>",
    '"><img src="data:," onerror="window.ran = 1">',
    "<iframe srcdoc=\"<script>parent.ran = 'frame'</script>\"></iframe>",
    "javascript:window.ran='link'",
    "`${window.ran = 'template'}`{{script}}",
    "=cmd|' /C calc'!A0",
    "'; window.ran = 'quote'; //",
    'first line\nsecond "line"\tand a tab',
    "long <b>" + "x" * 1_990 + "!!",
)
CASE = "<details open ontoggle=\"window.ran = 'case'\"> {}"
_HIDDEN = str.maketrans({"\n": " ", "\t": " "})


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_settings):
    """A hostile log as CSV, and a run trained on it: every cause is followed by its effect."""
    place, rng = tmp_path_factory.mktemp("hostile"), random.Random(0)
    with (place / "log.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["case", "event", "time"])
        for case in range(40):
            for step in range(6):
                pair = 2 * rng.randrange(len(NAMES) // 2)
                rows.writerows([CASE.format(case), NAMES[pair + end], 10 * step + 3 * end] for end in (0, 1))
    train(read_log(place / "log.csv"), place / "run", tiny_settings)
    return place


@pytest.fixture
def page(folder, monkeypatch, hf_trace, opened):
    """The page that the command line makes of it, in the browser."""
    monkeypatch.chdir(folder)
    scoring = ["--proposal", "exhaustive", "--max-lag", 3, "--bootstrap", 20]
    code, _, err = hf_trace("discover", "run", "log.csv", *scoring, "--html", "report.html")
    assert code == 0, err
    return opened(folder / "report.html")


def test_the_names_would_run_as_markup(browser):
    browser.get("about:blank")
    for name in (NAMES[2], NAMES[3], CASE):
        browser.execute_script("window.ran = null; document.body.innerHTML = arguments[0]", name)
        assert browser.execute_async_script(
            "const done = arguments[0], until = Date.now() + 5000;"
            "(function look() { window.ran || Date.now() > until ? done(window.ran) : setTimeout(look, 20) })()"
        )


def test_none_of_a_hostile_log_runs_and_all_of_it_is_shown(page):
    page.set("slider", 0)
    shown = set()
    for edge in page.run("return Array.from(document.querySelectorAll('#edges tbody tr'), (r) => r.dataset.edge)"):
        page.click(f"#edges tr[data-edge='{edge}']")
        shown |= {tuple(pair) for pair in page.run(_HEADING)}
        assert page.run(_FOREIGN) == []
    assert shown == {(name.translate(_HIDDEN), name) for name in NAMES}
    assert "Found again" in page.text("evidence")
    for name in NAMES:
        page.set("search", name.partition("\n")[0])
        assert "1 event type found" in page.text("status")
    page.set("incident", "1")
    assert page.text("timeline").count(CASE[:8]) == 0
    assert page.run("return document.getElementById('incident').selectedOptions[0].textContent").startswith(
        "<details open"
    )
    titles = page.run("return Array.from(document.querySelectorAll('#timeline circle title'), (t) => t.textContent)")
    assert {title.rpartition(", position")[0] for title in titles} <= {
        name.translate(_HIDDEN)[:2_000] for name in NAMES
    }
    assert page.run(_FOREIGN) == []
    assert page.run("return document.title").startswith("What causes what")
    assert page.run("return window.ran === undefined")


def test_the_saved_picture_of_a_hostile_log_holds_text_alone(page):
    page.set("slider", 0)
    tags = page.run(
        "const svg = new DOMParser().parseFromString(arguments[0], 'image/svg+xml');"
        "return Array.from(new Set(Array.from(svg.querySelectorAll('*'), (e) => e.tagName))).sort()",
        page.saved("svg"),
    )
    assert tags == ["circle", "g", "path", "polygon", "rect", "svg", "text", "title"]


_HEADING = "return Array.from(document.querySelectorAll('#evidence h2 bdi'), (name) => [name.textContent, name.title])"
# Whatever could run or load, and is not of the page itself.
_FOREIGN = """
    const own = document.querySelectorAll('body > script').length;
    const isMade = (each) => ['IFRAME', 'IMG', 'OBJECT', 'EMBED', 'BASE', 'DETAILS'].includes(each.tagName)
        || (each.tagName === 'B' && !each.closest('.interval'))
        || (each.tagName === 'SCRIPT' && (own !== 2 || each.parentElement !== document.body))
        || (each.tagName.toLowerCase() === 'svg' && each.id !== 'timeline');
    const isLive = ({ name, value }) => name.startsWith('on')
        || (['href', 'src', 'srcdoc', 'action', 'formaction'].includes(name) && !/^(#|data:,)/.test(value));
    return Array.from(document.querySelectorAll('*'))
        .filter((each) => isMade(each) || Array.from(each.attributes).some(isLive))
        .map((each) => each.outerHTML.slice(0, 200));
"""
