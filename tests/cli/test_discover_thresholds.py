"""``hf-trace discover --threshold``: every kind, and one line for every mistake."""

import json

import pytest

from hf_trace.graphs.graph import CausalGraph

DISCOVER = ["discover", "run", "plain.txt", "--json", "--proposal", "exhaustive"]


@pytest.fixture
def truth(place):
    """A file with the one rule of the log."""
    (place / "truth.csv").write_text("cause,effect\nA,B\n")
    return "truth.csv"


@pytest.mark.parametrize("spec", ["margin:0.3", "fixed:0.3", "quantile:0.95", "per-lag:0.3,0.6"])
def test_kinds(place, hf_trace, spec):
    code, out, _ = hf_trace(*DISCOVER, "--threshold", spec, "--level", "summary", "--sample", 4)
    assert code == 0
    for output in json.loads(out):
        assert output["settings"]["threshold"] == spec
        assert ("A", "B") in {(edge["cause"], edge["effect"]) for edge in output["summary"]}
        if spec.startswith("quantile"):
            # 12 events have 66 pairs; a twentieth of them is 3.
            assert len(output["edges"]) <= 3


def test_known_causes_choose_a_value_on_a_fifth(place, hf_trace, truth):
    arguments = [*DISCOVER, "--threshold", "validated", "--truth", truth]
    code, out, err = hf_trace(*arguments, "--out", "graph.json")
    assert code == 0
    output = json.loads(out)
    chosen = output["validation"]
    assert chosen["threshold"] == output["settings"]["threshold"]
    assert chosen["threshold"].startswith("fixed:")
    assert (chosen["sequences"], chosen["share"], chosen["seed"]) == (8, 0.2, 0)
    assert f"Chose the threshold {chosen['threshold']} on 8 sequences (mean F1 {chosen['f1']:.3f})" in err
    assert output["sequences"] == 32
    assert CausalGraph.load("graph.json").metadata["validation"] == chosen
    # The one rule is found and little else, so F1 is high.
    assert chosen["f1"] > 0.9
    assert ("A", "B") in {(edge["cause"], edge["effect"]) for edge in output["edges"]}
    assert json.loads(hf_trace(*arguments)[1]) == output
    assert json.loads(hf_trace(*arguments, "--seed", 1)[1])["validation"]["seed"] == 1


def test_single_sequences_are_those_that_did_not_choose(place, hf_trace, truth):
    arguments = ["--threshold", "validated", "--truth", truth, "--level", "instance", "--sample", 10]
    outputs = json.loads(hf_trace(*DISCOVER, *arguments)[1])
    assert len(outputs) == 8
    assert all(output["validation"] == outputs[0]["validation"] for output in outputs)
    assert outputs[0]["validation"]["sequences"] == 2


MISTAKES = {
    "no truth": (
        ["--threshold", "validated"],
        "threshold is 'validated', expected known causes to choose a value by. Pass them with `--truth TRUTH.json`.",
    ),
    "truth for nothing": (
        ["--truth", "truth.csv"],
        "`--truth` is given, but the threshold is 'margin:0.05', expected 'validated'. Pass `--threshold validated`, "
        "or compare the graph afterwards with `hf-trace evaluate`.",
    ),
    "no such truth": (["--threshold", "validated", "--truth", "absent.json"], ""),
    "truth of other names": (
        ["--threshold", "validated", "--truth", "other.csv"],
        "The truth and the log share no event type: 'x', 'y' against 'A', 'B', 'C' and 1 more. Expected the same "
        "names in both.",
    ),
    "one sequence": (
        ["--threshold", "validated", "--truth", "truth.csv", "--sample", "1"],
        "threshold is 'validated', but there is only 1 sequence, expected some to choose on and some to use it on. "
        "Choose on the whole log, then pass the value it reports: `--threshold fixed:VALUE`.",
    ),
    "bad quantile": (
        ["--threshold", "quantile:95"],
        "threshold is 'quantile:95', expected a number above 0 and below 1 such as 'quantile:0.95', which keeps the "
        "highest 5 % of a sequence.",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes(place, refused, truth, case):
    options, message = MISTAKES[case]
    (place / "other.csv").write_text("cause,effect\nx,y\n")
    assert refused("discover", "run", "plain.txt", *options).startswith(message)
