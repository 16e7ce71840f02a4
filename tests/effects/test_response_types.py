"""Bounds: closed forms, and that they hold the truth for every table of a model with latent variables."""

import numpy as np
import pytest
from tests.dag_lm import exact_conditionals, observed_joint, random_joint, true_answer

from hf_trace.effects.answers import AnswerSettings
from hf_trace.effects.bound_answers import bounds_of_answer, bounds_of_contrast
from hf_trace.effects.contrasts import Contrast
from hf_trace.effects.identifying import response_types
from hf_trace.effects.identifying.formulas import CompleteQuestion
from hf_trace.effects.identifying.instruments import instruments, local_effect
from hf_trace.effects.identifying.response_types import BoundedQuestion
from hf_trace.effects.queries import Force, Query
from hf_trace.errors import QueryError
from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import Variable

BINARY = np.array([0.0, 1.0])


def schema(text, **sizes):
    """``"U X; X Y"``: an arrow each; names that begin with U are latent, others have two values unless said."""
    parents = {}
    for arrow in text.split(";"):
        *causes, effect = arrow.split()
        for name in (*causes, effect):
            parents.setdefault(name, [])
        parents[effect] += causes
    variables = (
        Variable(
            name,
            values=() if name.startswith("U") else tuple("abc"[: sizes.get(name, 2)]),
            parents=tuple(causes),
            latent=name.startswith("U"),
        )
        for name, causes in parents.items()
    )
    return DagSchema(tuple(variables))


def asked(graph, joint, do=("X",), given=()):
    sets = (frozenset(each) for each in (graph.topological_order, ["Y"], do, given))
    return BoundedQuestion(CompleteQuestion(graph.graph, *sets), joint, graph.topological_order)


INSTRUMENT = schema("Z X; U X; U Y; X Y")
CASES = {
    "bow": (schema("U X; U Y; X Y", X=3, Y=3), ""),
    "instrument": (INSTRUMENT, ""),
    "instrument of three values": (schema("Z X; U X; U Y; X Y", Z=3), ""),
    "instrument and evidence on it": (INSTRUMENT, "Z"),
    "a cause of all": (schema("Z X; W X; W Y; W Z; U X; U Y; X Y", W=3), ""),
    "a cause of the target only": (schema("Z X; W Y; U X; U Y; X Y"), "W"),
    "evidence below the target": (schema("U X; U Y; X Y; Y C"), "C"),
    "mediator that is confounded": (schema("X M; M Y; U1 X; U1 Y; U2 X; U2 M"), ""),
    "two latent causes in a row": (schema("Z X; U1 Z; U1 X; U2 X; U2 Y; X Y"), ""),
    "M-bias with the collider known": (schema("U1 C; U2 C; U1 X; U2 Y; X Y"), "C"),
}


def ace_bounds(joint):
    """The bounds of Balke and Pearl (1997) on p(Y | do(X = 1)) - p(Y | do(X = 0)), from p(x, y | z)."""
    order = INSTRUMENT.topological_order
    table = joint.transpose([order.index(name) for name in "ZXY"])
    table = table / table.sum(axis=(1, 2), keepdims=True)

    def p(y, x, z):
        return table[z, x, y]

    low = (
        p(1, 1, 1) + p(0, 0, 0) - 1,
        p(1, 1, 0) + p(0, 0, 1) - 1,
        p(1, 1, 0) - p(1, 1, 1) - p(1, 0, 1) - p(0, 1, 0) - p(1, 0, 0),
        p(1, 1, 1) - p(1, 1, 0) - p(1, 0, 0) - p(0, 1, 1) - p(1, 0, 1),
        -p(0, 1, 1) - p(1, 0, 1),
        -p(0, 1, 0) - p(1, 0, 0),
        p(0, 0, 1) - p(0, 1, 1) - p(1, 0, 1) - p(0, 1, 0) - p(0, 0, 0),
        p(0, 0, 0) - p(0, 1, 0) - p(1, 0, 0) - p(0, 1, 1) - p(0, 0, 1),
    )
    high = (
        1 - p(0, 1, 1) - p(1, 0, 0),
        1 - p(0, 1, 0) - p(1, 0, 1),
        -p(0, 1, 0) + p(0, 1, 1) + p(0, 0, 1) + p(1, 1, 0) + p(0, 0, 0),
        -p(0, 1, 1) + p(1, 1, 1) + p(0, 0, 1) + p(0, 1, 0) + p(0, 0, 0),
        p(1, 1, 1) + p(0, 0, 1),
        p(1, 1, 0) + p(0, 0, 0),
        -p(1, 0, 1) + p(1, 1, 1) + p(0, 0, 1) + p(1, 1, 0) + p(1, 0, 0),
        -p(1, 0, 0) + p(1, 1, 0) + p(0, 0, 0) + p(1, 1, 1) + p(1, 0, 1),
    )
    return max(low), min(high)


@pytest.mark.parametrize("seed", range(10))
def test_an_instrument_gives_the_bounds_of_balke_and_pearl(seed):
    joint, _ = random_joint(INSTRUMENT, seed, 0.3)
    observed = observed_joint(INSTRUMENT, joint)
    found = asked(INSTRUMENT, observed).interval([({"X": 1}, BINARY), ({"X": 0}, -BINARY)], {})
    assert (found.low, found.high) == pytest.approx(ace_bounds(observed), abs=1e-7)
    assert found.is_sharp
    assert found.contradiction == pytest.approx(0, abs=1e-7)


def test_without_an_instrument_they_are_the_natural_ones():
    # p(X, Y) by hand: p(Y = 1, X = 1) = .3, p(X = 1) = .5; the other half of the rows may answer anything.
    graph = schema("U X; U Y; X Y")
    joint = np.array([[0.4, 0.1], [0.2, 0.3]])
    question = asked(graph, joint)
    found, natural = question.interval([({"X": 1}, BINARY)], {}), question.natural({"X": 1}, {}, BINARY)
    assert (natural.low, natural.high) == pytest.approx((0.3, 0.8))
    assert (found.low, found.high) == pytest.approx((0.3, 0.8))


def test_natural_bounds_with_evidence_by_hand():
    # Of all, .3 are treated and have the evidence, .2 of them with Y = 1, and .5 are not treated: these may all
    # have the evidence, with Y = 1 or without: .2 / .8 and .7 / .8.
    graph = schema("U X; U Y; X Y; Y C; U C")
    joint = np.zeros((2, 2, 2))  # X, Y, C
    joint[1, 1, 1], joint[1, 0, 1], joint[1, 0, 0], joint[0] = 0.2, 0.1, 0.2, 0.125
    natural = asked(graph, joint, given="C").natural({"X": 1}, {"C": 1}, BINARY)
    assert (natural.low, natural.high) == pytest.approx((0.25, 0.875))


@pytest.mark.parametrize("case", CASES)
def test_bounds_hold_the_truth_in_every_table(case):
    graph, given = CASES[case]
    for seed in range(20):  # 200 tables in all
        joint, tables = random_joint(graph, seed, 0.5)
        question = asked(graph, observed_joint(graph, joint), given=given)
        do, known = {"X": seed % 2}, dict.fromkeys(given, 1)
        truth = true_answer(graph, tables, "Y", do, known)
        for value, score in enumerate(np.eye(len(truth))[1:], 1):
            natural, found = question.natural(do, known, score), question.interval([(do, score)], known)
            assert natural.low - 1e-9 <= truth[value] <= natural.high + 1e-9
            assert found.low - 1e-7 <= truth[value] <= found.high + 1e-7
            assert natural.low <= found.low
            assert found.high <= natural.high
            assert found.contradiction < 1e-7


@pytest.mark.parametrize(
    ("case", "most"), [("instrument of three values", 24), ("a cause of the target only", 32), ("a cause of all", 47)]
)
def test_bounds_of_programs_that_are_cut_short_are_wider_and_hold(case, most, monkeypatch):
    graph, given = CASES[case]
    known = dict.fromkeys(given, 1)
    for seed in range(5):
        joint, tables = random_joint(graph, seed, 0.5)
        observed = observed_joint(graph, joint)
        truth = true_answer(graph, tables, "Y", {"X": 1}, known)[1]
        whole = asked(graph, observed, given=given).interval([({"X": 1}, BINARY)], known)
        with monkeypatch.context() as patched:
            patched.setattr(response_types, "_MOST_COLUMNS", most)
            cut = asked(graph, observed, given=given).interval([({"X": 1}, BINARY)], known)
        assert cut.low - 1e-7 <= whole.low <= truth + 1e-7
        assert truth - 1e-7 <= whole.high <= cut.high + 1e-7
        assert not cut.is_sharp


def test_what_the_graph_forbids_is_measured_and_bounds_stay_finite():
    # Z moves Y where X never varies: no instrument does that. A quarter of one stratum has to move, counted twice.
    joint = np.zeros((2, 2, 2))
    order = INSTRUMENT.topological_order
    joint[0, 0], joint[1, 0] = [0.5, 0.0], [0.25, 0.25]  # Z, X, Y
    joint = joint.transpose([list("ZXY").index(name) for name in order])
    found = asked(INSTRUMENT, joint).interval([({"X": 0}, BINARY)], {})
    assert found.contradiction == pytest.approx(1.0)  # .5 of p(y | z = 1) leave one cell for another
    assert 0 <= found.low <= found.high <= 1


def test_an_instrument_is_known_by_the_graph():
    assert instruments(asked(INSTRUMENT, np.zeros(0)).question) == ("Z",)
    assert instruments(asked(schema("Z X; Z Y; U X; U Y; X Y"), np.zeros(0)).question) == ()  # acts on Y itself
    assert instruments(asked(schema("Z X; U Z; U X; U Y; X Y"), np.zeros(0)).question) == ()  # shares its cause
    assert instruments(asked(schema("W Z; W Y; Z X; U X; U Y; X Y"), np.zeros(0)).question) == ("Z",)  # W is known


def test_the_local_effect_is_that_of_those_who_comply():
    # Types of people: .5 comply, .2 always, .3 never. Y is 1 for .8 of the compliers when treated, for .3 when not;
    # for .9 of the always, for .1 of the never treated.
    treated = np.array([[0.3 * 0.9 + 0.5 * 0.7, 0.3 * 0.1 + 0.5 * 0.3], [0.2 * 0.1, 0.2 * 0.9]])  # z = 0: X, Y
    moved = np.array([[0.3 * 0.9, 0.3 * 0.1], [0.2 * 0.1 + 0.5 * 0.2, 0.2 * 0.9 + 0.5 * 0.8]])
    joint = np.stack([0.4 * treated, 0.6 * moved])
    joint = joint.transpose([list("ZXY").index(name) for name in INSTRUMENT.topological_order])
    question = asked(INSTRUMENT, joint)
    found = local_effect(question.question, "Z", joint, question.names, (1, 0), BINARY)
    assert found.share == pytest.approx(0.5)
    assert found.value == pytest.approx(0.8 - 0.3)
    assert found.values == (1, 0)
    flat = np.full((2, 2, 2), 0.125)
    assert local_effect(question.question, "Z", flat, question.names, (1, 0), BINARY) is None


def test_bounds_of_a_model():
    joint, tables = random_joint(INSTRUMENT, 4)
    observed = observed_joint(INSTRUMENT, joint)
    conditionals = exact_conditionals(INSTRUMENT, observed, parents_only=False)
    document = bounds_of_answer(conditionals, Query("Y", {"X": Force(1)}), AnswerSettings())
    truth = true_answer(INSTRUMENT, tables, "Y", {"X": 1}, {})
    for value, share in zip("ab", truth, strict=True):
        low, high = document["bounds"][value]
        assert low < share < high
    contrast = Contrast("ate", Query("Y", {"X": Force(1)}), {"X": 0})
    difference = bounds_of_contrast(conditionals, contrast, BINARY, AnswerSettings())
    assert difference["bounds"] == pytest.approx(ace_bounds(observed), abs=1e-5)
    assert difference["local_effects"][0]["instrument"] == "Z"
    assert "monotonicity" in difference["local_effects"][0]["assumes"]
    with pytest.raises(QueryError, match="Bounds are of everybody"):
        bounds_of_contrast(
            conditionals, Contrast("att", Query("Y", {"X": Force(1)}), {"X": 0}), BINARY, AnswerSettings()
        )
