import math
from decimal import Decimal

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_trace.errors import DagFormatError, SettingsError, TableError
from hf_trace.tables.encoding import encode_table, table_notes
from hf_trace.tables.inference import bin_labels, bin_means, infer_schema, quantile_edges
from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import MISSING, Variable


def inferred(cells, **options):
    """The variable of a table of one column."""
    return infer_schema({"nodes": ["x"]}, pd.DataFrame({"x": cells}), **options)["x"]


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["b", "a", "b"], ("a", "b")),
        (["NA", "007", "", None], ("007", "NA", MISSING)),
        ([2, 10, 1], ("1", "2", "10")),
        ([2.0, 10.0, float("nan")], ("2", "10", MISSING)),
        (["1.0", "10.0", "2.0"], ("1.0", "2.0", "10.0")),
        ([0.5, 0.25], ("0.25", "0.5")),
        ([True, False], ("False", "True")),
        ([1, "1", 2], ("1", "2")),
        (pd.array([True, None], dtype="boolean"), ("True", MISSING)),
        (pd.array([3, None], dtype="Int64"), ("3", MISSING)),
        (pd.Categorical(["b", "a"], categories=["b", "a", "c"]), ("b", "a", "c")),
        (["yes", MISSING, "no"], ("no", "yes", MISSING)),
        (pd.to_datetime(["2020-01-02", "2020-01-01"]), ("2020-01-01 00:00:00", "2020-01-02 00:00:00")),
    ],
)
def test_categorical(cells, values):
    assert inferred(cells) == Variable("x", "categorical", values=values)


def test_ordinal():
    cells = pd.Categorical(["low", "high"], categories=["low", "mid", "high"], ordered=True)
    assert inferred(cells) == Variable("x", "ordinal", values=("low", "mid", "high"))
    assert inferred([3, 1], kinds={"x": "ordinal"}).values == ("1", "3")


@pytest.mark.parametrize(
    "convert", [list, lambda x: [str(each) for each in x], lambda x: [Decimal(str(each)) for each in x]]
)
def test_numeric(convert):
    numbers = [*range(40), 100.25]
    found = inferred(convert(numbers), bins=4)
    assert found.values == ("< 10", "[10, 20)", "[20, 31)", "≥ 31")
    assert found.edges == (10.0, 20.0, 31.0)
    assert found.means == pytest.approx((4.5, 14.5, 25.0, (315 + 100.25) / 10))


def test_numeric_with_missing_cells():
    found = inferred([*map(float, range(20)), None], bins=2)
    assert found.values == ("< 10", "≥ 10", MISSING)
    assert found.means[:2] == (4.5, 14.5)
    assert math.isnan(found.means[2])


def test_few_numbers_are_names_unless_the_user_says_otherwise():
    assert inferred(list(range(10))).kind == "categorical"
    assert inferred(list(range(11))).kind == "numeric"
    assert inferred([each / 3 for each in range(9)]).kind == "numeric"
    assert inferred([1, 2, 2], kinds={"x": "numeric"}).edges == (2.0,)
    constant = inferred([5, 5, None], kinds={"x": "numeric"})
    assert (constant.values, constant.means[0], constant.edges) == (("any number", MISSING), 5.0, ())


def test_sequences():
    found = inferred([["b", "a", 1], [], None, np.array(["a"])])
    assert found == Variable("x", "sequence", values=("1", "a", "b", MISSING), max_length=3)
    assert inferred(['["b c", 1]', "[]"]).values == ("1", "b c")
    assert inferred(["b c", "a"], kinds={"x": "sequence"}).values == ("a", "b", "c")


def test_text():
    sentences = [f"this is a long sentence with the number {number}" for number in range(30)]
    assert inferred(sentences) == Variable("x", "text")
    assert inferred(["short", None], kinds={"x": "text"}).kind == "text"
    assert inferred(sentences[:1] * 30).kind == "categorical"


def test_what_the_graph_says_is_kept():
    document = {
        "variables": {
            "a": {"kind": "numeric", "edges": [1, 5]},
            "b": {"bins": 2, "parents": ["a"]},
            "c": {"values": ["low", "mid", "high"], "kind": "ordinal"},
            "d": {"max_length": 9},
            "e": {"values": ["p", "q"], "max_length": 4},
            "u": {"latent": True},
        }
    }
    frame = pd.DataFrame({"a": [2, 3, 9], "b": [1, 2, 3], "c": ["high", None, "low"], "d": ["x"] * 3, "e": ["p"] * 3})
    schema = infer_schema(document, frame)
    assert schema["a"] == Variable("a", "numeric", (), ("< 1", "[1, 5)", "≥ 5"), (1.0, 5.0), (1.0, 2.5, 9.0))
    assert (schema["b"].kind, schema["b"].edges, schema["b"].parents) == ("numeric", (2.0,), ("a",))
    assert schema["c"].values == ("low", "mid", "high", MISSING)
    assert (schema["d"].kind, schema["d"].max_length) == ("text", 9)
    assert (schema["e"].kind, schema["e"].values, schema["e"].max_length) == ("sequence", ("p", "q"), 4)
    assert schema.latent == {"u"}
    assert infer_schema(schema, frame) == schema, "a whole schema stays as it is"


def test_kinds_replace_what_the_graph_says():
    document = {"variables": {"x": {"values": [1, 2, 3]}}}
    frame = pd.DataFrame({"x": [1, 2, 3]})
    assert infer_schema(document, frame).by_name["x"].kind == "categorical"
    assert infer_schema(document, frame, kinds={"x": "ordinal"})["x"].values == ("1", "2", "3")
    assert infer_schema(document, frame, kinds={"x": "numeric"}, bins=2)["x"].values == ("< 2", "≥ 2")


def test_latent_variables():
    frame = pd.DataFrame({"x": ["a", "b"]})
    assert infer_schema([("u", "x")], frame, latent=["u"])["x"].parents == ("u",)
    graph = nx.DiGraph([("u", "x")])
    graph.nodes["u"]["latent"] = True
    assert infer_schema(graph, frame).topological_order == ("x",)


FRAME = pd.DataFrame({"smoke": ["no", "yes"], "lung": ["no", "no"]})


@pytest.mark.parametrize(
    ("frame", "options", "message"),
    [
        (
            FRAME.rename(columns={"smoke": "smoker"}),
            {},
            "The table has no column 'smoke', which the graph names; it has 'smoker', 'lung'. Did you mean 'smoker'? "
            "Rename the column, or mark the variable as latent.",
        ),
        (
            FRAME.rename(columns={"smoke": "Smoke"}),
            {},
            "The table has no column 'smoke', which the graph names; it has",
        ),
        (FRAME.head(0), {}, "The table has no rows, expected at least one."),
        (
            pd.DataFrame([["a", "b", "c"]], columns=["smoke", "lung", "smoke"]),
            {},
            "The table has the column 'smoke' twice, expected it once. Rename or drop one.",
        ),
        (
            FRAME.assign(lung=None),
            {},
            "'lung' is empty in all 2 rows, expected values. Fill the column, or mark the variable as latent.",
        ),
        (
            FRAME.assign(lung=["3", "12a"]),
            {"kinds": {"lung": "numeric"}},
            "'lung' has 1 cell of 2 that is not a finite number: '12a' first in row 2. Correct it, pass `kinds` with "
            "{'lung': 'categorical'} if these are names, or leave the cell empty if the value is missing.",
        ),
        (FRAME.assign(lung=[1.0, math.inf]), {"kinds": {"lung": "numeric"}}, "'lung' has 1 cell of 2 that is not a"),
        (
            FRAME,
            {"max_values": 1},
            "'smoke' has 2 different values ('no', 'yes'), expected at most 1. Group rare ones, raise `max_values`, or "
            "give it another kind with `kinds`, such as 'text'.",
        ),
        (FRAME.assign(lung=[["a"], ["b"]]), {"kinds": {"lung": "categorical"}}, "'lung' holds cells of type list, exp"),
        (FRAME.assign(lung=[[], []]), {}, "'lung' holds only empty sequences, expected items in some."),
        (FRAME.assign(lung=[{}, {}]), {}, "'lung' holds cells of type dict, expected one value in each."),
    ],
)
def test_unfit_tables(frame, options, message):
    with pytest.raises(TableError) as error:
        infer_schema([("smoke", "lung")], frame, **options)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("slips", [["12a"], ["NA"] * 30, ["n/a", "?", "-"] * 9])
def test_slips_among_numbers_are_not_read_as_names(slips):
    cells = [str(number) for number in range(60)] + slips
    with pytest.raises(TableError, match=f"of {len(cells)} that (is|are) not a finite number: '{slips[0][0]}"):
        inferred(cells)
    assert inferred(cells, kinds={"x": "categorical"}).kind == "categorical"


def test_codes_with_digits_and_letters_are_names():
    assert inferred([f"{number}{'v' * (number % 2)}" for number in range(60)]).kind == "categorical"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bins": 1}, "bins is 1, expected a whole number of at least 2."),
        ({"max_values": 0}, "max_values is 0, expected a whole number of at least 1."),
        (
            {"kinds": {"lungs": "text"}},
            "Unknown variable in `kinds`: 'lungs', expected one of: smoke, lung. Did you mean 'lung'?",
        ),
        (
            {"kinds": {"lung": "number"}},
            "`kinds` of 'lung' is 'number', expected one of: categorical, ordinal, numeric",
        ),
    ],
)
def test_refused_settings(options, message):
    with pytest.raises(SettingsError) as error:
        infer_schema([("smoke", "lung")], FRAME, **options)
    assert str(error.value).startswith(message)


def test_contradictions():
    with pytest.raises(DagFormatError, match="'smoke' is ordinal, but nothing says the order of 'no', 'yes'"):
        infer_schema([("smoke", "lung")], FRAME, kinds={"smoke": "ordinal"})
    with pytest.raises(DagFormatError, match=r"'x' is numeric and lists values, but no bins for them. Give `edges`"):
        infer_schema({"variables": {"x": {"kind": "numeric", "values": ["low", "high"]}}}, pd.DataFrame({"x": [1, 2]}))


def test_edges_of_bins():
    assert quantile_edges(np.array([1.0, 1.0, 1.0, 1.0, 2.0]), 4) == (2.0,)
    assert quantile_edges(np.array([3.0, 3.0]), 4) == ()
    assert quantile_edges(np.array([0.1234, 0.1235]), 2) == (0.1235,)
    assert quantile_edges(np.array([-5.0, 5.0]), 2) == (0.0,)
    assert bin_labels((-0.5, 1e20)) == ("< -0.5", "[-0.5, 1e+20)", "≥ 1e+20")
    assert bin_means(np.array([2.0]), ()) == (2.0,)


finite = st.floats(-1e6, 1e6).filter(lambda number: number == 0 or abs(number) > 1e-300)


@given(st.lists(finite, min_size=1, max_size=60), st.integers(2, 9))
@settings(deadline=None, max_examples=200)
def test_bins_are_full_distinct_and_contain_their_means(numbers, bins):
    data = np.array(numbers)
    edges = quantile_edges(data, bins)
    codes = np.searchsorted(edges, data, side="right")
    assert len(edges) < bins
    assert len(set(codes.tolist())) == len(edges) + 1
    assert len(set(bin_labels(edges))) == len(edges) + 1
    for code, mean in enumerate(bin_means(data, edges)):
        members = data[codes == code]
        assert members.min() - 1e-6 <= mean <= members.max() + 1e-6


def columns(rows):
    cells = [
        st.integers(-50, 50),
        st.floats(-1e9, 1e9),
        st.booleans(),
        st.sampled_from(["a", "b", "ä ö", "NA", "nan", "1", "1.0", MISSING]),
        st.lists(st.sampled_from(["p", "q", "1"]), max_size=3),
        st.text(min_size=1, max_size=4, alphabet=st.characters(exclude_categories=["Cs"])),
    ]

    def some_given(column):
        return any(cell is not None and cell != "" and cell != [] for cell in column)

    each = [st.lists(st.one_of(st.none(), cell), min_size=rows, max_size=rows).filter(some_given) for cell in cells]
    return st.one_of(each)


@st.composite
def tables(draw):
    rows = draw(st.integers(1, 30))
    frame = pd.DataFrame({name: draw(columns(rows)) for name in "abc"})
    return frame if draw(st.booleans()) else frame.astype(object)


@given(tables(), st.integers(2, 5))
@settings(deadline=None, max_examples=80)
def test_any_table_is_understood_and_encoded(frame, bins):
    try:
        schema = infer_schema([("a", "b"), ("a", "c"), ("b", "c")], frame, bins=bins)
    except TableError as error:
        assert "not a finite number" in str(error) or "only empty sequences" in str(error)  # noqa: PT017
        return
    assert DagSchema.from_dict(schema.to_dict()) == schema
    table = encode_table(schema, frame)
    assert len(table) == len(frame)
    for name, column in table.columns.items():
        variable = schema[name]
        codes = column if variable.is_finite else [code for row in column for code in row]
        assert all(0 <= code < len(variable.values) for code in codes)
        if variable.is_finite:
            assert set(codes.tolist()) == set(range(len(variable.values))), "every value was seen"
            missing = frame[name].isna() | frame[name].isin(["", MISSING])
            assert missing.tolist() == [variable.values[code] == MISSING for code in codes]
    assert isinstance(table_notes(table), list)
