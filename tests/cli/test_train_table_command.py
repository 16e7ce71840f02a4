"""``hf-trace train TABLE --dag DAG`` and then ``hf-trace effect``, and what is wrong with a table or a graph."""

import json

import numpy as np
import pandas as pd
import pytest

from hf_trace.cli import main


def call(arguments, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["hf-trace", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    captured = capsys.readouterr()
    return stopped.value.code, captured.out, captured.err


@pytest.fixture
def table(tmp_path):
    generator = np.random.default_rng(0)
    sick = generator.random(400) < 0.4
    drug = generator.random(400) < np.where(sick, 0.8, 0.2)
    days = generator.gamma(2.0, 2.0, 400) + 6 * sick - 2 * drug
    names = np.array(["no", "yes"])
    frame = pd.DataFrame({"sick": names[sick * 1], "drug": names[drug * 1], "days": days.round(1)})
    frame.to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / "dag.csv").write_text("cause,effect\nsick,drug\nsick,days\ndrug,days\n")
    return tmp_path


def test_from_table_to_effect(table, monkeypatch, capsys):
    run = table / "run"
    arguments = [
        "train",
        table / "rows.csv",
        "--dag",
        table / "dag.csv",
        "--out",
        run,
        "--folds",
        2,
        "--bins",
        4,
        "--epochs",
        60,
    ]
    code, out, err = call(arguments, monkeypatch, capsys)
    assert code == 0, err
    assert "400 rows, 3 variables, 3 edges" in err
    assert "days" in out
    assert (run / "members" / "2" / "config.json").exists()
    ask = ["effect", run, "--target", "days", "--do", "drug=yes", "--contrast", "ate", "--json"]
    code, out, _ = call(ask, monkeypatch, capsys)
    plug_in = json.loads(out)
    assert code == 0
    assert plug_in["interval"]["low"] < plug_in["value"] < plug_in["interval"]["high"]
    code, out, _ = call(["effect", run, "--target", "days", "--do", "drug=*"], monkeypatch, capsys)
    assert code == 0
    assert out.split()[:5] == ["every", "dose,", "with", "95", "%"]
    assert [line.split()[0] for line in out.splitlines()[2:4]] == ["no", "yes"]
    code, out, _ = call(["effect", run, "--target", "days", "--do", "drug=yes", "--json"], monkeypatch, capsys)
    answer = json.loads(out)
    assert all(low < answer["distribution"][name] < high for name, (low, high) in answer["interval"].items())
    assert answer["expectation"]["low"] < answer["expectation"]["mean"] < answer["expectation"]["high"]
    asked = ["effect", run, "--target", "days", "--do", "drug=yes", "--json", "--no-intervals"]
    assert "interval" not in json.loads(call(asked, monkeypatch, capsys)[1])
    drawn = ["--plot", table / "overlap.svg"]
    code, out, _ = call([*ask, "--estimator", "aipw", "--data", table / "rows.csv", *drawn], monkeypatch, capsys)
    robust = json.loads(out)
    assert code == 0
    assert (table / "overlap.svg").read_text().startswith("<?xml")
    assert robust["cross_fitted"]
    assert robust["low"] < -0.5  # the drug shortens the stay by 2 days, though those who take it stay longer
    code, _, err = call([*ask, "--estimator", "aipw", "--data", table / "dag.csv"], monkeypatch, capsys)
    assert code == 1
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("dag", "rows", "extra", "message"),
    [
        ("cause,effect\nsick,drug\ndrug,sick\n", None, [], "cycle"),
        ("cause,effect\nsick,dose\n", None, [], "'dose'"),
        (None, "sick,drug,days\n", [], "row"),
        (None, "sick,drug,days\nno,,1\nyes,,2\n", [], "'drug'"),
        (None, None, ["--history", "half"], "history is 'half'"),
        (None, None, ["--folds", "1"], "folds is 1"),
        (None, None, ["--weight-column", "weight"], "'weight'"),
        (
            "cause,effect\nsick,drug\nluck,days\ndrug,days\n",
            None,
            ["--latent", "luck", "--history", "parents"],
            "latent",
        ),
    ],
)
def test_mistakes_are_one_line(table, dag, rows, extra, message, monkeypatch, capsys):
    if dag:
        (table / "dag.csv").write_text(dag)
    if rows:
        (table / "rows.csv").write_text(rows)
    run = table / "run"
    code, out, err = call(
        ["train", table / "rows.csv", "--dag", table / "dag.csv", "--out", run, *extra], monkeypatch, capsys
    )
    assert code == 1
    assert message in " ".join(err.split())
    assert "Traceback" not in err
    assert not run.exists()
    assert not out


def test_a_missing_graph_is_one_line(table, monkeypatch, capsys):
    code, _, err = call(
        ["train", table / "rows.csv", "--dag", table / "none.json", "--out", table / "run"], monkeypatch, capsys
    )
    assert code == 1
    assert "none.json" in " ".join(err.split())
