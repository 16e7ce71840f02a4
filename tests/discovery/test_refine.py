"""Draws spent where they decide."""

import numpy as np
import pytest
import torch
from tests.discovery.test_constructions import alphabet, encoded
from tests.models import VOCAB, tiny_model

from hf_trace.discovery.constructions import score_pairs
from hf_trace.discovery.settings import DiscoverySettings
from hf_trace.errors import SettingsError
from hf_trace.oracle.engine import Oracle

TYPES = range(4, VOCAB)
OPTIONS = {"max_lag": 4, "num_samples": 16, "threshold": "fixed:0.002"}


@pytest.fixture(scope="module")
def oracle():
    return Oracle(tiny_model("llama"))


@pytest.fixture(scope="module")
def sequences():
    generator = np.random.default_rng(0)
    return [encoded(generator.integers(4, VOCAB, size)) for size in (14, 9, 20)]


def run(oracle, sequences, **options):
    return score_pairs(oracle, sequences, alphabet(TYPES), DiscoverySettings(**{**OPTIONS, **options}))


def test_decided_causes_keep_the_scores_of_half_the_draws(oracle, sequences):
    refined = run(oracle, sequences, refine=True)
    half = run(oracle, sequences, num_samples=8)
    changed = 0
    for one, other in zip(refined, half, strict=True):
        assert one.cause_position.tolist() == other.cause_position.tolist()
        near = np.abs(other.cmi - 0.002) < 2 * other.standard_error
        undecided = np.isin(other.cause_position, other.cause_position[near])
        np.testing.assert_allclose(one.cmi[~undecided], other.cmi[~undecided], atol=1e-7)
        changed += int((one.cmi[undecided] != other.cmi[undecided]).sum())
    assert changed


@pytest.mark.slow
def test_undecided_pairs_get_closer_to_the_exact_scores(oracle, sequences):
    exact = run(oracle, sequences, proposal="exhaustive")
    squares = {False: [], True: []}
    for seed in range(20):
        half = run(oracle, sequences, num_samples=8, seed=seed)
        for refine, found in squares.items():
            refined = run(oracle, sequences, refine=refine, seed=seed)
            for one, before, truth in zip(refined, half, exact, strict=True):
                undecided = np.abs(before.cmi - 0.002) < 2 * before.standard_error
                found.append(((one.cmi - truth.cmi) ** 2)[undecided])
    # 32 draws instead of 16 halve the variance.
    plain, refined = (np.concatenate(squares[refine]).mean() for refine in (False, True))
    assert refined < 0.75 * plain


def test_standard_errors_cover_the_exact_scores(oracle, sequences):
    exact = run(oracle, sequences, proposal="exhaustive")
    inside = [
        np.abs(one.cmi - truth.cmi) <= 3 * one.standard_error + 1e-6
        for seed in range(5)
        for one, truth in zip(run(oracle, sequences, refine=True, num_samples=64, seed=seed), exact, strict=True)
    ]
    assert np.concatenate(inside).mean() > 0.9


def test_a_sequence_gets_the_same_scores_in_any_block(oracle, sequences):
    together = run(oracle, sequences, refine=True)
    for sequence, scores in zip(sequences, together, strict=True):
        alone = run(oracle, [sequence], refine=True)[0]
        np.testing.assert_allclose(alone.cmi, scores.cmi, atol=1e-6)


def test_no_more_rows_than_promised(oracle, sequences, monkeypatch):
    rows = []
    score = oracle.branch_log_probs

    def counting(reading, branches):
        rows.append(int(branches.samples.sum()))
        return score(reading, branches)

    monkeypatch.setattr(oracle, "branch_log_probs", counting)
    run(oracle, sequences, refine=True, threshold="fixed:1000")
    decided = sum(rows)
    rows.clear()
    run(oracle, sequences, num_samples=8)
    assert decided == sum(rows)


def test_refining_needs_one_bound():
    with pytest.raises(SettingsError, match="refine needs one bound"):
        DiscoverySettings(refine=True, threshold="quantile:0.9")


def test_enumerated_types_need_no_refining(oracle, sequences):
    plain = run(oracle, sequences, proposal="exhaustive")
    refined = run(oracle, sequences, proposal="exhaustive", refine=True)
    for one, other in zip(plain, refined, strict=True):
        assert torch.equal(torch.from_numpy(one.cmi), torch.from_numpy(other.cmi))
