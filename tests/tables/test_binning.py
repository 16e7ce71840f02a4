"""What is lost where numbers are read in bins: learned from rows, written, and read again with care."""

import numpy as np
import pandas as pd
import pytest

from hf_trace.tables.binning import AdditiveFit, Binning, within_bins
from hf_trace.tables.encoding import DagTable, encode_table
from hf_trace.tables.inference import infer_schema
from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import Variable

ROWS = 4000


def table(bins=4):
    """Days of the severely ill and of the young and old, with and without a drug."""
    generator = np.random.default_rng(0)
    age = generator.normal(50, 15, ROWS)
    drug = generator.random(ROWS) < 1 / (1 + np.exp(-(age - 50) / 15))
    days = generator.normal(10 + 0.2 * (age - 50) - 2 * drug, 2)
    frame = pd.DataFrame({"age": age, "drug": np.where(drug, "yes", "no"), "days": days})
    frame["long"] = np.where(frame["days"] > 10, "yes", "no")
    edges = [("age", "drug"), ("age", "days"), ("drug", "days"), ("age", "long"), ("drug", "long")]
    graph = {"edges": [list(edge) for edge in edges]}
    return encode_table(infer_schema(graph, frame, bins=bins), frame)


def test_a_fit_is_that_of_least_squares():
    generator = np.random.default_rng(1)
    codes = {"a": (generator.integers(0, 3, ROWS), 3), "b": (generator.integers(0, 2, ROWS), 2)}
    number = generator.normal(size=(ROWS, 1))
    truth = np.array([1.0, 2.0, 4.0])[codes["a"][0]] + 5.0 * codes["b"][0] + 0.7 * number[:, 0]
    fit = AdditiveFit.of(codes, truth, numbers=number)
    assert fit.slopes == pytest.approx([0.7], abs=1e-3)
    found = fit.predicted({"a": np.array([0, 2]), "b": np.array([0, 1])}, np.array([[0.0], [1.0]]))
    assert found == pytest.approx([1.0, 9.7], abs=0.05)


def test_weights_count_as_rows_do():
    codes, outcome, weights = np.array([0, 0, 1]), np.array([1.0, 2.0, 4.0]), np.array([2.0, 1.0, 3.0])
    weighted = AdditiveFit.of({"a": (codes, 2)}, outcome, weights)
    assert weighted.constant == pytest.approx(AdditiveFit.of({"a": (codes, 2)}, outcome, weights * 7).constant)
    assert weighted.predicted({"a": np.array([0])})[0] < 2 < weighted.predicted({"a": np.array([1])})[0]


@pytest.mark.parametrize("bins", [4, 8, 32])
def test_the_error_of_bin_means_is_what_the_numbers_say(bins):
    rows = table(bins)
    days, drug = rows.schema["days"], np.asarray(rows.columns["drug"])
    found = Binning.of(rows).error("days", {name: np.asarray(rows.columns[name]) for name in ("age", "drug")}, {})
    off = np.asarray(days.means)[np.asarray(rows.columns["days"])] - rows.numbers["days"]
    assert found[:, 0].mean() == pytest.approx(0, abs=0.01)
    for value in (0, 1):
        assert found[drug == value, 0].mean() == pytest.approx(off[drug == value].mean(), abs=0.01)


def test_a_number_that_differs_within_its_bins_confounds():
    """E[days | do(drug)] over the bins of age, less what it is over age itself, which is -2."""
    rows = table()
    age, drug = (np.asarray(rows.columns[name]) for name in ("age", "drug"))
    by_bins = np.mean(
        [
            (
                rows.numbers["days"][(age == code) & (drug == 1)].mean()
                - rows.numbers["days"][(age == code) & (drug == 0)].mean()
            )
            for code in age
        ]
    )
    binning = Binning.of(rows)
    sides = [
        binning.error("days", {"age": age, "drug": np.full(ROWS, value)}, {"drug": None}).mean()
        - binning.error("days", {"age": age, "drug": np.full(ROWS, value)}, {}).mean()
        for value in (1, 0)
    ]
    assert sides[0] - sides[1] == pytest.approx(by_bins + 2, abs=0.15)
    assert abs(sides[0] - sides[1]) > 0.3
    assert binning.knows("days", "age", {"drug"})
    assert not binning.knows("drug", "age", {"days"})
    both = binning.error("long", {"age": age, "drug": drug}, {"drug": None})
    assert both.shape == (ROWS, 2)
    assert both.sum(axis=1) == pytest.approx(np.zeros(ROWS), abs=1e-9)


def test_what_is_written_is_read_again():
    rows = table()
    binning = Binning.of(rows)
    again = Binning.from_dict(rows.schema, binning.to_dict())
    assert again.to_dict() == binning.to_dict()
    assert set(again.within) == {"age", "days"}
    codes = {"age": np.array([0, 3]), "drug": np.array([1, 0])}
    assert (again.error("days", codes, {"drug": None}) == binning.error("days", codes, {"drug": None})).all()


@pytest.mark.parametrize(
    "damage",
    [
        None, "text", [], {"within": []}, {"within": {"days": None}}, {"within": {"days": {"constant": "x"}}},
        {"within": {"days": {"constant": 1e999, "effects": {}}}},
        {"within": {"days": {"constant": 0.0, "effects": {"age": [1], "drug": [0, 0]}}}},
        {"within": {"days": {"constant": 0.0, "effects": {"age": [[1], [2, 3]], "drug": {}}}}},
        {"hidden": {"days": {"age": {"slopes": [0.2], "by_parents": 3}}}},
        {"hidden": {"days": {"age": {"slopes": [10**400], "by_parents": 3}}}},
    ],
)  # fmt: skip
def test_what_is_damaged_is_not_known(damage):
    assert Binning.from_dict(table().schema, damage) == Binning({}, {})


def test_numbers_that_are_not_there_teach_nothing():
    schema = DagSchema((Variable("x", "numeric", values=("< 5", "≥ 5"), edges=(5.0,), means=(2.0, 8.0)),))
    frame = pd.DataFrame({"x": ["< 5", "≥ 5", "≥ 5"]})
    assert np.isnan(encode_table(schema, frame).numbers["x"]).all()
    assert Binning.of(encode_table(schema, frame)) == Binning({})
    assert Binning.of(DagTable(schema, {"x": np.array([0, 1])}, np.ones(2))) == Binning({})
    some = encode_table(schema, pd.DataFrame({"x": ["1", "≥ 5", "9"]}))
    assert within_bins(some, schema["x"])[[0, 2]].tolist() == [-1.0, 1.0]
    assert some.select(np.array([2])).numbers["x"].tolist() == [9.0]
