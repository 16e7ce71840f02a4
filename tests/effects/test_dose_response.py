"""Means under every dose against enumeration, and their figures."""

import numpy as np
import pytest
from tests.dag_lm import exact_conditionals, observed_joint, random_joint, true_answer

from hf_trace.effects.answers import AnswerSettings
from hf_trace.effects.dose_response import Dose, dose_response, swept
from hf_trace.effects.doubly_robust import Rows, jackknife
from hf_trace.effects.effect_figures import draw_overlap, draw_response
from hf_trace.effects.queries import Force, Query
from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import Variable

SCHEMA = DagSchema(
    (
        Variable("ill", values=("no", "yes")),
        Variable("dose", "ordinal", ("ill",), ("none", "half", "full")),
        Variable("days", "numeric", ("ill", "dose"), ("< 5", "≥ 5"), edges=(5.0,), means=(2.0, 9.0)),
    )
)
DAYS = np.array([2.0, 9.0])
QUERY = Query("days", {"dose": Force(0)})


def world(seed):
    joint, tables = random_joint(SCHEMA, seed)
    return exact_conditionals(SCHEMA, observed_joint(SCHEMA, joint), parents_only=True), tables


def test_means_are_those_of_enumeration():
    model, tables = world(0)
    found = dose_response(model, [], QUERY, "dose", DAYS, AnswerSettings())
    assert [each.value for each in found] == ["none", "half", "full"]
    for code, each in enumerate(found):
        assert each.mean == pytest.approx(true_answer(SCHEMA, tables, "days", {"dose": code}, {}) @ DAYS, abs=1e-5)
        assert each.propensity == pytest.approx(tables["ill"] @ tables["dose"][:, code], abs=1e-5)
        assert (each.low, each.high) == (None, None)


def test_intervals_are_those_of_the_jackknife():
    model, _ = world(0)
    worlds = [world(seed) for seed in (1, 2, 3)]
    found = dose_response(model, [each for each, _ in worlds], QUERY, "dose", DAYS, AnswerSettings())
    for code, each in enumerate(found):
        left_out = [true_answer(SCHEMA, tables, "days", {"dose": code}, {}) @ DAYS for _, tables in worlds]
        by_hand = jackknife(np.array(left_out), each.mean)
        assert (each.low, each.high) == pytest.approx((by_hand.low, by_hand.high), abs=1e-4)


def test_only_a_star_that_is_no_value_asks_for_every_dose():
    assert swept({"do": {"dose": "*"}}, SCHEMA.by_name) == "dose"
    assert swept({"do": {"dose": "half"}}, SCHEMA.by_name) is None
    assert swept({"do": {"dose": "*"}}, {"dose": Variable("dose", values=("*", "none"))}) is None
    assert swept({"do": None}, SCHEMA.by_name) is None


@pytest.mark.parametrize("number", [None, 1.5])
def test_a_curve_is_drawn(number):
    doses = [Dose("none", number, 3.0, 0.5, 2.0, 4.0), Dose("half", number, 2.0, 0.5, 1.0, 3.0)]
    axis = draw_response([each.to_dict() for each in doses], treatment="dose", outcome="days").axes[0]
    assert axis.lines[0].get_ydata().tolist() == [3.0, 2.0]
    assert axis.lines[0].get_xdata().tolist() == ([0, 1] if number is None else [1.5, 1.5])


def test_overlap_is_drawn_of_both_groups():
    treated = np.array([True, False, False])
    chance = np.array([0.9, 0.1, 0.1])
    rows = Rows(treated, ~treated, np.zeros(3), np.stack([chance, 1 - chance], axis=1), np.zeros((3, 2)))
    axis = draw_overlap(rows).axes[0]
    heights = [patch.get_data().values for patch in axis.patches]
    assert (heights[0].max(), heights[1].min()) == (1, -2)  # one treated row above, two others in one place below
