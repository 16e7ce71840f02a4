import gzip
import json

import numpy as np
import pandas as pd
import pytest

from hf_trace.errors import TableError
from hf_trace.tables.encoding import encode_table, read_table, table_notes
from hf_trace.tables.inference import infer_schema
from hf_trace.tables.network import Network
from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import MISSING, Variable

SMOKE = Variable("smoke", values=("no", "yes"))
AGE = Variable("age", "numeric", values=("< 40", "≥ 40", MISSING), edges=(40.0,), means=(31.0, 62.0, float("nan")))
STEPS = Variable("steps", "sequence", values=("up", "down", MISSING), max_length=3)
NOTE = Variable("note", "text")


def encoded(variable, cells):
    table = encode_table(DagSchema((variable,)), pd.DataFrame({variable.name: cells}))
    column = table.columns[variable.name]
    return column.tolist() if isinstance(column, np.ndarray) else column


@pytest.mark.parametrize(
    ("variable", "cells", "codes"),
    [
        (SMOKE, ["yes", "no", "yes"], [1, 0, 1]),
        (SMOKE, pd.Categorical(["yes", "no"]), [1, 0]),
        (Variable("on", values=("False", "True")), [True, False], [1, 0]),
        (Variable("on", values=("0", "1")), [True, False], [1, 0]),
        (Variable("on", values=("0", "1", MISSING)), [1.0, np.nan, 0.0], [1, 2, 0]),
        (Variable("dose", values=("1.0", "2.0")), [2, 1], [1, 0]),
        (Variable("dose", values=("1", "2")), ["2.0", "1"], [1, 0]),
        (Variable("x", values=("a", MISSING)), ["a", "", None, MISSING], [0, 1, 1, 1]),
        (AGE, [39.5, 40, None, 90], [0, 1, 2, 1]),
        (AGE, ["39.5", "40", "", "≥ 40", MISSING], [0, 1, 2, 1, 2]),
        (STEPS, [["up", "down"], [], None], [(0, 1), (), (2,)]),
        (STEPS, ["up down", "up, down,up", '["down"]', ""], [(0, 1), (0, 1, 0), (1,), (2,)]),
        (STEPS, [np.array(["up"], dtype=object), ("down", None)], [(0,), (1, 2)]),
        (NOTE, ["a b", "", None, 3.0], ["a b", "", MISSING, "3"]),
    ],
)
def test_codes(variable, cells, codes):
    assert encoded(variable, cells) == codes


def test_other_columns_and_latent_variables_are_passed_over():
    schema = DagSchema((SMOKE, Variable("gene", latent=True)))
    table = encode_table(schema, pd.DataFrame({"id": [[1], [2]], "smoke": ["no", "yes"], 0: [1, 2]}))
    assert list(table.columns) == ["smoke"]
    assert table.weights.tolist() == [1.0, 1.0]


def test_weights():
    frame = pd.DataFrame({"smoke": ["no", "yes"], "n": ["2", "0.5"]})
    assert encode_table(DagSchema((SMOKE,)), frame, weight_column="n").weights.tolist() == [2.0, 0.5]


@pytest.mark.parametrize(
    ("variable", "cells", "message"),
    [
        (
            SMOKE,
            ["no", "yess", "yess"],
            "'smoke' has 2 cells of 3 that are not among its values: 'yess' first in row 2, expected one of 'no', "
            "'yes'. Did you mean 'yes'? Correct the table, or add it to the values.",
        ),
        (
            SMOKE,
            ["no", "yes", None],
            "'smoke' has 1 cell of 3 that is empty, first in row 3, but no missing values are known of it. Fill them "
            "in, drop these rows, or add '<missing>' to its values.",
        ),
        (SMOKE, [["no"], ["yes"]], "'smoke' holds cells of type list, expected one value in each."),
        (
            AGE,
            [1, "old", "12a"],
            "'age' has 2 cells of 3 that are not a finite number: 'old' first in row 2. Correct it, or leave the cell "
            "empty if the value is missing.",
        ),
        (AGE, [1.0, np.inf], "'age' has 1 cell of 2 that is not a finite number: inf first in row 2."),
        (
            STEPS,
            [["up"], ["dwn"]],
            "'steps' has 1 cell of 2 that is not among its items: 'dwn' first in row 2, expected one of 'up', 'down', "
            "'<missing>'. Did you mean 'down'?",
        ),
        (
            STEPS,
            ["up", "up up up up"],
            "'steps' has 1 cell of 2 that is too long: 4 items first in row 2, expected at most 3. Shorten them, or "
            "raise `max_length` of the variable.",
        ),
    ],
)
def test_unfit_cells(variable, cells, message):
    with pytest.raises(TableError) as error:
        encoded(variable, cells)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("weight", [0, -1, np.nan, np.inf, "many", None])
def test_unfit_weights(weight):
    frame = pd.DataFrame({"smoke": ["no", "yes"], "n": [1, weight]})
    with pytest.raises(TableError, match=r"The weights 'n' have 1 cell of 2 that is not a positive number: .* row 2"):
        encode_table(DagSchema((SMOKE,)), frame, weight_column="n")


def test_unfit_tables():
    schema = DagSchema((SMOKE,))
    with pytest.raises(TableError, match=r"The table has no column 'smoke', .* Did you mean 'Smoke'"):
        encode_table(schema, pd.DataFrame({"Smoke": ["no"]}))
    with pytest.raises(TableError, match="`weight_column` is 'm', which is not a column"):
        encode_table(schema, pd.DataFrame({"smoke": ["no"], "n": [1]}), weight_column="m")


def test_samples_of_a_network_are_encoded_by_its_schema():
    age = Variable("age", "numeric", ("smoke",), values=("< 40", "≥ 40"), edges=(40.0,))
    tables = {"smoke": np.array([0.3, 0.7]), "age": np.array([[0.5, 0.5], [0.1, 0.9]])}
    network = Network(DagSchema((SMOKE, age)), tables)
    frame = network.sample(500, seed=1)
    table = encode_table(network.schema, frame)
    for name, column in table.columns.items():
        assert [network.schema[name].values[code] for code in column] == frame[name].tolist()


def test_many_rows_are_encoded_fast():
    rows = 300_000
    generator = np.random.default_rng(0)
    frame = pd.DataFrame({"smoke": generator.choice(["no", "yes"], rows), "age": generator.normal(40, 20, rows)})
    schema = infer_schema([("smoke", "age")], frame)
    table = encode_table(schema, frame)
    shares = np.bincount(table.columns["age"]) / rows
    np.testing.assert_allclose(shares, 1 / 8, atol=0.01)


def test_notes():
    schema = DagSchema((Variable("x", values=("a", "b", "c")), Variable("y", values=("p", "q")), NOTE))
    frame = pd.DataFrame({"x": ["a", "a", "b"], "y": ["p"] * 3, "note": [""] * 3})
    assert table_notes(encode_table(schema, frame)) == [
        "'x' is 'b' in one row only: effects of it cannot be learned.",
        "'x' is never 'c' in the table.",
        "'y' is 'p' in every row: nothing can be learned of it.",
    ]


ROWS = [{"code": "007", "state": "NA"}, {"code": "1.0", "state": None}]


def test_files(tmp_path):
    text = "code,state\n007,NA\n1.0,\n"
    (tmp_path / "t.csv").write_text("\ufeff" + text, encoding="utf-8")
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "t.tsv").write_text(text.replace(",", "\t"))
    (tmp_path / "semicolon.csv").write_text(text.replace(",", ";"))
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    (tmp_path / "t.json").write_text(json.dumps(ROWS))
    pd.DataFrame(ROWS).to_parquet(tmp_path / "t.parquet")
    for name in ("t.csv", "t.csv.gz", "t.tsv", "semicolon.csv", "t.jsonl", "t.json", "t.parquet"):
        frame = read_table(tmp_path / name)
        assert frame["code"].tolist() == ["007", "1.0"], name
        assert frame["state"].isna().tolist() == [False, True], name
        assert frame.index.tolist() == [0, 1]


def test_kinds_survive_parquet(tmp_path):
    frame = pd.DataFrame(
        {
            "size": pd.Categorical(["s", "l"], categories=["s", "m", "l"], ordered=True),
            "steps": [["up"], ["up", "down"]],
            "count": pd.array([1, None], dtype="Int64"),
            "on": [True, False],
        }
    )
    frame.to_parquet(tmp_path / "t.parquet")
    schema = infer_schema({"nodes": list(frame.columns)}, read_table(tmp_path / "t.parquet"))
    assert [schema[name].kind for name in frame.columns] == ["ordinal", "sequence", "categorical", "categorical"]
    assert schema["count"].values == ("1", MISSING)
    assert schema["on"].values == ("False", "True")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.xlsx", "a", "Cannot read a table from"),
        ("t.csv", "", "'t.csv' has no rows, expected a header and one row per unit."),
        ("t.csv", "a,b\n", "'t.csv' has no rows, expected a header and one row per unit."),
        ("t.csv", "a,b,a\n1,2,3\n", "'t.csv' has the column 'a' twice, expected it once. Rename one."),
        ("t.csv", "a,b\n1,2,3\n", "'t.csv' is not a regular table"),
        ("t.jsonl", "{", "Line 1 of 't.jsonl' is not JSON"),
        ("t.parquet", "a", "'t.parquet' cannot be read"),
    ],
)
def test_unreadable_files(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(TableError) as error:
        read_table(tmp_path / name)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_missing_files(tmp_path):
    (tmp_path / "table.csv").write_text("a\n1\n")
    with pytest.raises(TableError, match=r"There is no file .* Did you mean"):
        read_table(tmp_path / "tables.csv")
    with pytest.raises(TableError, match="is a folder, expected a file"):
        read_table(tmp_path)
