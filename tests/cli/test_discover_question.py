"""``hf-trace discover --question``: what is asked stands above the table, in the graph and in its JSON."""

import json

import pytest

from hf_trace.graphs.graph import CausalGraph
from hf_trace.options import QUESTIONS

DISCOVER = ["discover", "run", "plain.txt", "--max-lag", 3]


def test_without_a_question_the_user_hears_which_one_the_log_can_answer(place, hf_trace):
    code, out, err = hf_trace(*DISCOVER, "--json")
    assert code == 0
    assert json.loads(out)["settings"].get("question") is None
    assert json.loads(out)["settings"]["construction"] == "atomic"
    (line,) = [line for line in err.splitlines() if line.startswith("This log is fit to tell what drives")]
    assert line.endswith("`--question drives` asks that.")


def test_auto_asks_what_the_log_can_answer(place, hf_trace):
    code, out, err = hf_trace(*DISCOVER, "--question", "auto", "--out", "graph.json")
    assert code == 0, err
    assert "Asking what drives: an event takes away " in err
    assert out.splitlines()[0] == f"Question: {QUESTIONS['drives']}."
    graph = CausalGraph.load("graph.json")
    assert graph.metadata["question"] == QUESTIONS["drives"]
    assert graph.metadata["settings"]["construction"] == "by-type"


def test_what_follows(place, hf_trace):
    options = ["--question", "follows", "--num-contexts", 8, "--out", "graph.json", "--html", "page.html"]
    code, out, err = hf_trace("discover", "timed", "log.csv", *options)
    assert code == 0, err
    assert "fit to tell" not in err
    assert out.splitlines()[0] == f"Question: {QUESTIONS['follows']}."
    assert "share after which it begins" in out
    graph = CausalGraph.load("graph.json")
    assert graph.metadata["settings"]["threshold"] == "fixed:0.005"
    assert graph.metadata["horizon"].endswith("s")
    assert ("A", "B") in {(edge["cause"], edge["effect"]) for edge in graph.edges}
    assert QUESTIONS["follows"] in (place / "page.html").read_text(encoding="utf-8")


def test_onsets_are_counted_in_whole_sequences(place, hf_trace):
    """Windows of four events would lose pairs at their borders."""
    options = ["--question", "follows", "--num-contexts", 4, "--horizon", "1", "--threshold", "fixed:0", "--json"]
    whole, cut = (
        json.loads(hf_trace("discover", "run", "plain.txt", *options, *more)[1])["edges"]
        for more in ([], ["--window-length", 4])
    )
    shares = [{(e["cause"], e["effect"]): e["share"] for e in edges}["A", "B"] for edges in (whole, cut)]
    assert shares[0] == shares[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--question", "whatever"], "question is 'whatever', expected one of: drives, follows, auto."),
        (
            ["--question", "drives", "--effect", "total"],
            "question is 'drives' and effect 'total': what drives is a direct effect, what follows a total one. Leave "
            "out either.",
        ),
        (
            ["--question", "follows", "--level", "instance"],
            "question is 'follows' and level 'instance', expected level='population' (`--level population`): total "
            "effects pool many contexts.",
        ),
        (
            ["--question", "follows", "--statistic", "gain"],
            "statistic of question 'follows' is 'gain', expected one of: onset_risk.",
        ),
    ],
)
def test_what_cannot_be_asked(place, refused, options, message):
    assert refused(*DISCOVER[:3], *options) == message


@pytest.mark.parametrize("question", ["drives", "follows", "auto"])
def test_one_type_per_sequence_tells_nothing(place, refused, question):
    (place / "plain.txt").write_text("A A A\nB B\n")
    assert refused(*DISCOVER[:3], "--question", question) == (
        "Every sequence of this log holds one event type only, so that none can follow or drive another. Name a case "
        "column that joins events of several types, or another event column."
    )
