"""The recipes drift and ties: that their counts add up."""

from argparse import Namespace
from dataclasses import replace

import numpy as np


def test_exact_parts_of_a_world_without_drift_do_not_differ(recipe, tmp_path):
    drift, size = recipe("drift", "drift"), Namespace(tested=80)
    found = drift.exact_pool(replace(drift.WORLD, drift=0.0, seed=1), size, tmp_path).compared([drift.PARTS])[0]
    assert found.groups == ("1", "2", "3", "4")
    assert not found.differs.any()
    assert np.nansum(found.p_value < 0.05) <= 0.1 * (~np.isnan(found.p_value)).sum()


def test_ties_are_judged_by_what_is_true(recipe):
    ties = recipe("ties", "ties")
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
