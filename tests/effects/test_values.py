"""Values of several tokens: drawn and scored as their tokens' probabilities say, forced in whole or in part."""

import itertools

import numpy as np
import pytest
import torch
from tests.models import tiny_model

from hf_trace.effects.answers import AnswerSettings, answers
from hf_trace.effects.conditionals import Conditionals
from hf_trace.effects.queries import Continue, Force, Query
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.walks import Walk
from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import Variable, VariableTokens

LONGEST = 3
SCHEMA = DagSchema(
    (
        Variable("skill", values=("low", "high")),
        Variable("moves", "sequence", values=("N", "E"), parents=("skill",), max_length=LONGEST),
        Variable("won", values=("no", "yes"), parents=("skill", "moves")),
    )
)
TOKENS = {
    "skill": VariableTokens(2, np.array([3, 4])),
    "moves": VariableTokens(5, np.array([6, 7]), end=8, max_length=LONGEST),
    "won": VariableTokens(9, np.array([10, 11])),
}
N, E, END = 6, 7, 8


@pytest.fixture(scope="module", params=[False, True], ids=["full history", "parents only"])
def conditionals(request):
    return Conditionals(Oracle(tiny_model("llama")), SCHEMA, TOKENS, (1,), parents_only=request.param)


def next_probs(model, row, allowed):
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([row])).logits[0, -1].double()
    return dict(zip(allowed, logits[list(allowed)].softmax(-1).tolist(), strict=True))


def all_moves(prefix=(), length=None):
    """Every value that begins so, complete with its end."""
    for size in range(LONGEST + 1) if length is None else [length]:
        for moves in itertools.product((N, E), repeat=size):
            if moves[: len(prefix)] == tuple(prefix):
                yield (*moves, END)


def probability(model, past, moves, prefix=(), length=None):
    """Of a value under the model, where a beginning and perhaps a length are forced."""
    total, row = 1.0, list(past)
    for place, token in enumerate(moves):
        forced = place < len(prefix) or place == (LONGEST if length is None else length)
        if not forced:
            total *= next_probs(model, row, (N, E, END) if length is None else (N, E))[token]
        row.append(token)
    return total


def truth(model, prefix=(), length=None):
    """p(won) where the beginning of the moves is forced, by enumeration."""
    total = np.zeros(2)
    for skill, share in next_probs(model, [1, 2], (3, 4)).items():
        past = [1, 2, skill, 5]
        values = [moves for moves in all_moves(prefix, length) if len(moves) > len(prefix)]
        for moves in values:
            won = next_probs(model, [*past, *moves, 9], (10, 11))
            total += share * probability(model, past, moves, prefix, length) * np.array(list(won.values()))
    return total


@pytest.mark.parametrize(
    "intervention",
    [Continue(), Continue((N,)), Continue((N, E)), Continue((), 2), Continue((E,), 3), Continue((), 0)],
    ids=str,
)
def test_partial_interventions_against_enumeration(conditionals, intervention):
    expected = truth(conditionals.oracle.model, intervention.prefix, intervention.length)
    assert expected.sum() == pytest.approx(1, abs=1e-6)
    answer = answers(conditionals, [Query("won", {"moves": intervention})], AnswerSettings(num_samples=4000))[0]
    assert (np.abs(answer.probabilities - expected) < 4 * answer.standard_error + 1e-6).all()


def test_no_intervention_lets_the_model_draw(conditionals):
    expected = truth(conditionals.oracle.model)
    answer = answers(conditionals, [Query("won")], AnswerSettings(num_samples=4000, seed=3))[0]
    assert (np.abs(answer.probabilities - expected) < 4 * answer.standard_error + 1e-6).all()


def test_a_whole_sequence_is_forced_exactly(conditionals):
    model = conditionals.oracle.model
    for moves in ((N, E, END), (END,), (E, E, N, END)):
        code = conditionals.code("moves", moves)
        answer = answers(conditionals, [Query("won", {"moves": Force(code)})])[0]
        skills = next_probs(model, [1, 2], (3, 4))
        won = [list(next_probs(model, [1, 2, skill, 5, *moves, 9], (10, 11)).values()) for skill in skills]
        expected = np.array(list(skills.values())) @ np.array(won)
        np.testing.assert_allclose(answer.probabilities, expected, atol=1e-5)
        shares = [probability(model, [1, 2, skill, 5], moves) for skill in skills]
        assert answer.overlap["moves"].smallest == pytest.approx(min(shares), rel=1e-3)


def test_sequences_as_evidence_weigh_what_came_before(conditionals):
    model = conditionals.oracle.model
    moves = (E, N, END)
    answer = answers(conditionals, [Query("skill", {}, {"moves": conditionals.code("moves", moves)})])[0]
    skills = next_probs(model, [1, 2], (3, 4))
    joint = np.array([share * probability(model, [1, 2, skill, 5], moves) for skill, share in skills.items()])
    np.testing.assert_allclose(answer.probabilities, joint / joint.sum(), atol=1e-5)
    assert answer.evidence_probability == pytest.approx(joint.sum(), rel=1e-3)


def test_rows_that_stay_as_they_are_are_not_copied(monkeypatch):
    taken = []
    select = Walk.select
    monkeypatch.setattr(Walk, "select", lambda walk, rows: (taken.append(len(rows)), select(walk, rows))[1])
    model = Conditionals(Oracle(tiny_model("llama")), SCHEMA, TOKENS, (1,), parents_only=False)
    query = Query("won", {"skill": Force(0), "moves": Continue((N,))})
    (answer,) = answers(model, [query], AnswerSettings(num_samples=64))
    assert answer.draws == 64
    assert taken == [64, 128]  # when the draws part, and when each gets both values of the target
