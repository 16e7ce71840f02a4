"""Refutation: right and wrong graphs of tables whose effects are known, and every part against a closed form."""

import numpy as np
import pandas as pd
import pytest

from hf_trace.effects.contrasts import Contrast
from hf_trace.effects.identification import identify
from hf_trace.effects.queries import Force, Query
from hf_trace.effects.quick_effects import Compared, quick_effect
from hf_trace.effects.refuting.implied_independences import (
    Independence,
    contradicted,
    implied_independences,
    independence_test,
)
from hf_trace.effects.refuting.refutation import refuted, rows_compared
from hf_trace.effects.refuting.sensitivity import e_value, robustness_value
from hf_trace.errors import NotIdentifiedError, QueryError, TableError
from hf_trace.tables.encoding import DagTable
from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import Variable

BINARY = np.array([0.0, 1.0])
EFFECT = 0.15
VALUES = {"Z": ("a", "b", "c")}


def graph(latent=(), **parents):
    """``graph(X="Z", Y="ZX")``: the parents of each variable."""
    return DagSchema(
        tuple(
            Variable(
                name,
                values=() if name in latent else VALUES.get(name, ("no", "yes")),
                parents=tuple(causes),
                latent=name in latent,
            )
            for name, causes in parents.items()
        )
    )


RIGHT = graph(Z="", W="Z", X="Z", Y="ZX")
WRONG = {
    "the confounder does not act on the outcome": (graph(Z="", W="Z", X="Z", Y="X"), ("Z", "Y")),
    "the confounder does not act on the treatment": (graph(Z="", W="Z", X="", Y="ZX"), ("Z", "X")),
    "a proxy in its place": (graph(Z="", W="Z", X="W", Y="WX"), ("Z", "Y")),
}


def columns(rows=4000, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.integers(0, 3, rows)
    w, x = rng.random(rows) < 0.3 + 0.1 * z, rng.random(rows) < 0.2 + 0.25 * z
    y = rng.random(rows) < 0.1 + 0.2 * z + EFFECT * x
    return {"Z": z, **{name: column.astype(int) for name, column in (("W", w), ("X", x), ("Y", y))}}


def compared(schema, coded, **changed):
    table = DagTable(schema, coded, np.ones(len(coded["Y"])))
    parts = {"table": table, "target": "Y", "treatment": "X", "arms": (1, 0), "scores": BINARY}
    return Compared(**{**parts, "outcome": coded["Y"].astype(float), **changed})


def test_a_right_graph_stands():
    found = refuted(compared(RIGHT, columns()), RIGHT, EFFECT)
    assert [check.name for check in found.checks if not check.holds] == []
    assert found.contradicted == ()
    assert found.independences == 2  # W and X, W and Y, given Z
    assert abs(found.quick.value - EFFECT) < 2 * found.quick.standard_error
    assert {(arrow.cause, arrow.effect) for arrow in found.arrows[:2]} == {("Z", "X"), ("Z", "Y")}
    assert found.arrows[0].moved == pytest.approx(0.14, abs=0.03)
    assert found.sentence.startswith("The effect of +0.15 stands all 5 checks; the table contradicts none of 2")
    assert found.to_dict()["checks"][1]["name"] == "placebo treatment"


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_graph_is_contradicted(case):
    schema, pair = WRONG[case]
    found = refuted(compared(schema, columns()), schema, 0.288)
    first = found.contradicted[0].independence
    assert (first.one, first.other) == pair
    assert f"most of all that of '{pair[0]}' and '{pair[1]}'" in found.sentence


def test_a_group_that_its_causes_choose_contradicts_nothing():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 2, 6000), rng.integers(0, 2, 6000)
    chosen = (rng.random(6000) < 0.1 + 0.4 * (a + b)).astype(int)  # A and B depend on each other where it is 1
    x = rng.integers(0, 2, 6000)
    coded = {"A": a, "B": b, "G": chosen, "X": x, "Y": (rng.random(6000) < 0.2 + 0.2 * a + 0.2 * x).astype(int)}
    schema = graph(A="", B="", G="AB", X="", Y="AX")
    frame = pd.DataFrame({name: np.array(schema[name].values)[code] for name, code in coded.items()})
    contrast = Contrast("cate", Query("Y", {"X": Force(1)}, {"G": 1}), {"X": 0})
    found = refuted(rows_compared(schema, contrast, BINARY, frame), schema, 0.2)
    assert found.contradicted == ()
    assert found.independences == 6


def test_an_answer_that_no_row_supports_fails():
    found = refuted(compared(RIGHT, columns()), RIGHT, 0.288)
    assert [check.name for check in found.checks if not check.holds] == ["another estimator"]


def test_numbers_are_refuted_as_well():
    coded = columns()
    rng = np.random.default_rng(1)
    outcome = 3.0 + coded["Z"] + 2.0 * coded["X"] + rng.normal(size=len(coded["X"]))
    coded["Y"] = (outcome > np.median(outcome)).astype(int)
    found = refuted(compared(RIGHT, coded, outcome=outcome, scores=np.array([2.1, 6.3])), RIGHT, 2.0)
    assert found.quick.value == pytest.approx(2.0, abs=0.1)
    assert [check.name for check in found.checks if not check.holds] == []
    assert 0 < found.sensitivity["robustness_value_of_interval"] < found.sensitivity["robustness_value"] < 1
    assert "partial R²" in found.sentence


def test_a_front_door_is_estimated_by_counts():
    rng = np.random.default_rng(2)
    u = rng.random(20_000) < 0.5
    x = (rng.random(20_000) < np.where(u, 0.8, 0.2)).astype(int)
    m = (rng.random(20_000) < np.where(x, 0.8, 0.3)).astype(int)
    y = (rng.random(20_000) < 0.1 + 0.4 * u + 0.4 * m).astype(int)  # the effect is .5 x .4
    schema = graph(("U",), U="", X="U", M="X", Y="UM")
    rows = compared(schema, {"X": x, "M": m, "Y": y})
    estimate = quick_effect(rows, identify(schema, target="Y", do=["X"]))
    assert estimate.value == pytest.approx(0.2, abs=3 * estimate.standard_error)
    assert 0.001 < estimate.standard_error < 0.02
    found = refuted(rows, schema, 0.2)
    assert [check.name for check in found.checks] == [
        *("another estimator", "placebo treatment", "random common cause", "subsets")
    ]
    assert all(check.holds for check in found.checks)


def test_without_a_formula_there_is_nothing_to_refute():
    schema = graph(("U",), U="", X="U", Y="XU")
    with pytest.raises(NotIdentifiedError):
        refuted(compared(schema, columns()), schema, 0.1)


def test_implied_independences_of_textbook_graphs():
    def spelled(schema):
        return [str(each) for each in implied_independences(schema)]

    assert spelled(graph(A="", B="", C="AB")) == ["'A' and 'B'"]
    assert spelled(graph(A="", B="A", C="B")) == ["'A' and 'C' given 'B'"]
    assert spelled(graph(("U",), U="", A="U", B="U")) == []
    assert spelled(graph(("U",), U="", A="", B="AU", C="BU")) == []  # the instrument's inequality is none
    assert spelled(graph(A="", B="A", C="A", D="BC")) == ["'A' and 'D' given 'B', 'C'", "'B' and 'C' given 'A'"]


def test_independence_is_found_as_often_as_it_should():
    rng = np.random.default_rng(0)
    p_values = []
    for _ in range(200):
        z = rng.integers(0, 3, 400)
        coded = {"Z": z, "W": (rng.random(400) < 0.2 + 0.3 * z).astype(int), "X": rng.integers(0, 2, 400)}
        table = DagTable(graph(Z="", W="Z", X="Z"), coded, np.ones(400))
        p_values.append(independence_test(table, Independence("W", "X", ("Z",))).p_value)
    assert 0.0 <= np.mean(np.array(p_values) < 0.05) < 0.1
    assert 0.4 < np.mean(p_values) < 0.6
    assert contradicted([]) == []


def test_sensitivity_by_hand():
    assert e_value(2.0) == pytest.approx(2 + 2**0.5)
    assert e_value(0.5) == pytest.approx(2 + 2**0.5)
    # |t| = 10 on 100 rows: f = 1, and (sqrt(1 + 4) - 1) / 2.
    assert robustness_value(1.0, 0.1, 100) == pytest.approx((5**0.5 - 1) / 2)
    with pytest.raises(QueryError, match="The ratio of risks is 0, expected a number above 0"):
        e_value(0.0)
    with pytest.raises(QueryError, match="The error is 0 of 9 rows"):
        robustness_value(1.0, 0.0, 9)


def test_rows_of_a_contrast():
    coded = columns(rows=300)
    frame = pd.DataFrame({name: np.array(RIGHT[name].values)[code] for name, code in coded.items()})
    contrast = Contrast("cate", Query("Y", {"X": Force(1)}, {"Z": 2}), {"X": 0})
    rows = rows_compared(RIGHT, contrast, BINARY, frame)
    assert len(rows.outcome) == (coded["Z"] == 2).sum()
    assert len(rows.everyone) == 300
    assert rows.arms == (1, 0)
    with pytest.raises(TableError, match="No row of the table has what is given"):
        rows_compared(RIGHT, contrast, BINARY, frame[frame["Z"] == "a"])
    both = Contrast("ate", Query("Y", {"X": Force(1), "W": Force(1)}), {"X": 0, "W": 0})
    with pytest.raises(QueryError, match="There are 2 treatments, and an effect of one is refuted"):
        rows_compared(RIGHT, both, BINARY, frame)
