"""The page in the output of a notebook cell: it runs in a frame that can reach nothing outside it."""

import time

import pytest

from hf_trace.graphs.graph import CausalGraph
from hf_trace.report.page import ReportPage, page_document

pytestmark = pytest.mark.slow  # starts a browser


def test_the_page_runs_in_a_frame(browser, tmp_path):
    graph = CausalGraph.from_edges([("disk full", "</iframe><script>alert(1)</script>")])
    page = ReportPage(page_document(graph, title="Inline"))
    (tmp_path / "cell.html").write_text(f"<meta charset=utf-8><body>{page._repr_html_()}", encoding="utf-8")
    browser.get((tmp_path / "cell.html").as_uri())
    frames = browser.find_elements("tag name", "iframe")
    assert len(frames) == 1
    assert browser.find_elements("tag name", "script") == []
    browser.switch_to.frame(frames[0])
    for _ in range(50):
        if browser.execute_script("return document.documentElement.dataset.ready"):
            break
        time.sleep(0.1)
    assert browser.execute_script("return document.getElementById('title').textContent") == "Inline"
    assert browser.execute_script("return window.origin") == "null"
    assert browser.get_log("browser") == []
