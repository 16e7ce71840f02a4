"""The recipes drift and ties on a small scale: that they run, and that their counts add up."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.fixture
def recipe(monkeypatch):
    def load(name):
        monkeypatch.syspath_prepend(str(RECIPES / name))
        monkeypatch.delitem(sys.modules, name, raising=False)
        return __import__(name)

    return load


@pytest.mark.slow  # 10 s: trains a model
def test_drift_in_small(recipe, tmp_path):
    drift = recipe("drift")
    drift.main(["--out", str(tmp_path), "--smoke", "--case", "half of the weights drift"])
    (row,) = json.loads((tmp_path / "drift.json").read_text())
    # Nearly all pairs of 16 types are in reach of each other somewhere.
    assert 200 < sum(row[kind]["pairs"] for kind in ("clear", "slight", "none")) <= 16 * 15 * drift.SMALL.seeds
    assert row["clear"]["pairs"] > 0
    assert "half of the weights drift" in (tmp_path / "drift.md").read_text()


def test_exact_parts_of_a_world_without_drift_do_not_differ(recipe, tmp_path):
    drift = recipe("drift")
    from dataclasses import replace

    size = drift.Size(training=0, tested=80, epochs=1.0, seeds=1)
    found = drift.exact_pool(replace(drift.WORLD, drift=0.0, seed=1), size, tmp_path).compared([drift.PARTS])[0]
    assert found.groups == ("1", "2", "3", "4")
    assert not found.differs.any()
    assert np.nansum(found.p_value < 0.05) <= 0.1 * (~np.isnan(found.p_value)).sum()


def test_ties_are_judged_by_what_is_true(recipe):
    ties = recipe("ties")
    from hf_trace.graphs.graph import CausalGraph

    names = tuple(f"e{number:02d}" for number in range(16))
    order = {"order_difference": 0.4, "order_error": 0.1}
    edges = (
        {"cause": "e00", "effect": "e01"},
        {"cause": "e02", "effect": "e01", **order},
        {"cause": "e04", "effect": "e03", "undirected": True, **order},
        {"cause": "e14", "effect": "e15"},
        {"cause": "e12", "effect": "e13", "undirected": True, **order},
    )
    found = ties.judged(CausalGraph("population", names, edges), names)
    assert (found["directed"], found["true"], found["reversed"], found["other"]) == (3, 1, 1, 1)
    assert (found["undirected"], found["undirected_true"], found["found_either_way"]) == (2, 2, 4)
    # Of three differences one points along a true edge: e12 -> e13.
    assert (found["two_orders_decided"], found["two_orders_right"]) == (3, 1)


@pytest.mark.slow  # 10 s: trains two models
def test_ties_in_small(recipe, tmp_path):
    recipe("ties").main(["--out", str(tmp_path), "--smoke"])
    rows = json.loads((tmp_path / "ties.json").read_text())
    assert [(row["ties"], row["orders"]) for row in rows] == [(2, "listed"), (2, "both"), (3, "listed"), (3, "both")]
