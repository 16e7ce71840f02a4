"""``hf-trace compare``: what changed, in words, tables, pages and exit codes."""

import csv
import json

import pandas as pd
import pytest

from hf_trace.graphs.graph import CausalGraph


def write_log(name, effect, *, hours=60):
    """In each hour a `leak`, and what it brings a second later; a `walk` at any time."""
    rows = [
        (f"pump{hour % 12}", event, 1000 * hour + after)
        for hour in range(hours)
        for event, after in (("leak", 0), (effect, 1), ("walk", 500 + 7 * hour), ("alarm", 800), ("trip", 900))
    ]
    pd.DataFrame(rows, columns=["case", "event", "time"]).to_csv(name, index=False)


@pytest.fixture
def graphs(tmp_path, monkeypatch, hf_trace):
    """A leak brought an alarm; now it brings a trip."""
    monkeypatch.chdir(tmp_path)
    for name, effect in (("before", "alarm"), ("after", "trip")):
        write_log(f"{name}.csv", effect)
        code, _, err = hf_trace("count", f"{name}.csv", "--horizon", "50s", "--out", f"{name}.json")
        assert code == 0, err
    return tmp_path


def test_what_changed_is_said_and_written(graphs, hf_trace):
    code, out, err = hf_trace("compare", "before.json", "after.json", "--out", "changes.csv", "--html", "changes.html",
                              "--plot", "changes.png")  # fmt: skip
    assert (code, err.splitlines()) == (0, ["Wrote changes.csv", "Wrote changes.png", "Wrote changes.html"])
    assert "What changed from before.json to after.json" in out
    assert "leak → trip is new: " in out
    assert "leak → alarm is gone: " in out
    with open("changes.csv", newline="") as file:
        rows = {(row["cause"], row["effect"]): row for row in csv.DictReader(file)}
    assert rows["leak", "trip"]["change"] == "new"
    assert float(rows["leak", "trip"]["low"]) > 0
    with open("changes.html", encoding="utf-8") as file:
        assert "What changed from before.json to after.json" in file.read()
    with open("changes.png", "rb") as file:
        assert file.read(4) == b"\x89PNG"


def test_exit_code_for_cron(graphs, hf_trace):
    line = ["compare", "before.json", "after.json", "--fail-on-change"]
    assert hf_trace(*line)[0] == 3
    assert hf_trace("compare", "before.json", "before.json", "--fail-on-change")[0] == 0
    assert hf_trace(*line, "--least", "1")[0] == 0
    assert hf_trace("compare", "before.json", "absent.json", "--fail-on-change")[0] == 1


def test_json_holds_all_edges(graphs, hf_trace):
    code, out, _ = hf_trace("compare", "before.json", "after.json", "--json")
    found = json.loads(out)
    assert (code, found["changes"]) == (0, {"new": 1, "gone": 1, "stronger": 0, "weaker": 0})
    assert {edge["change"] for edge in found["edges"][:2]} == {"new", "gone"}


def test_what_makes_an_edge_is_the_least_difference(graphs, hf_trace):
    """0.1 less than 0.3, far beyond chance, is less than what `margin:0.2` takes for an edge."""
    scores = {"events": ["a", "b"], "matrix": [[0, 0.3], [0, 0]], "errors": [[None, 0.001], [None, None]]}
    edge = {"cause": "a", "effect": "b", "cmi": 0.3}
    for name, strength in (("one", 0.3), ("other", 0.4)):
        table = scores | {"matrix": [[0, strength], [0, 0]]}
        settings = {"threshold": "margin:0.2", "construction": "by-type"}
        CausalGraph("population", ("a", "b"), (edge,), {"scores": table, "settings": settings}).save(f"{name}.json")
    assert hf_trace("compare", "one.json", "other.json", "--fail-on-change")[0] == 0
    assert hf_trace("compare", "one.json", "other.json", "--fail-on-change", "--least", "0.05")[0] == 3


def test_mistakes_are_one_line(graphs, refused, hf_trace):
    hf_trace("count", "after.csv", "--method", "hawkes", "--out", "hawkes.json")
    assert refused("compare", "before.json", "hawkes.json").startswith(
        "The question of the two graphs is 'follows' and "
    )
    assert refused("compare", "before.json", "after.json", "--out", "before.json").startswith(
        "`--out` is 'before.json'"
    )
    message = "`--max-edges` is about the figure. Add `--plot FILE`, or leave it out."
    assert refused("compare", "before.json", "after.json", "--max-edges", "5") == message


def test_another_horizon_is_a_warning(graphs, hf_trace):
    hf_trace("count", "after.csv", "--horizon", "60s", "--out", "after.json")
    code, _, err = hf_trace("compare", "before.json", "after.json")
    assert code == 0
    assert "horizon_seconds is 50 before and 60 after, and strengths depend on it." in err
