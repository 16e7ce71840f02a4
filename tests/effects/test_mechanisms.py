"""What would have been: closed forms, linear programs, and structural models in which it is enumerated."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from hf_trace.effects.counterfactuals.couplings import at_most, extremes, same_rank
from hf_trace.effects.counterfactuals.mechanisms import Mechanisms

BINARY = np.array([0.0, 1.0])


class Structural:
    """Every variable is drawn as a function of its causes, independently of the others."""

    def __init__(self, rng, causes, sizes, monotone=False):
        self.causes, self.sizes = causes, sizes
        self.functions, self.shares = {}, {}
        for name, listed in causes.items():
            inputs = list(itertools.product(*(range(sizes[each]) for each in listed)))
            every = itertools.product(range(sizes[name]), repeat=len(inputs))
            functions = [dict(zip(inputs, outputs, strict=True)) for outputs in every]
            shares = rng.dirichlet(np.full(len(functions), 0.3))
            if monotone:
                functions, shares = self.in_rank(rng, inputs, sizes[name])
            self.functions[name], self.shares[name] = functions, shares

    @staticmethod
    def in_rank(rng, inputs, size):
        """Functions of one number, larger where that is larger."""
        steps = {each: np.cumsum(rng.dirichlet(np.ones(size)))[:-1] for each in inputs}
        cuts = np.sort(np.concatenate([[0.0, 1.0], *steps.values()]))
        middles = (cuts[1:] + cuts[:-1]) / 2
        functions = [{each: int(np.searchsorted(steps[each], noise)) for each in inputs} for noise in middles]
        return functions, np.diff(cuts)

    def mechanisms(self):
        tables = {}
        for name, listed in self.causes.items():
            table = np.zeros([self.sizes[each] for each in (*listed, name)])
            for function, share in zip(self.functions[name], self.shares[name], strict=True):
                for where, value in function.items():
                    table[(*where, value)] += share
            tables[name] = table
        return Mechanisms(self.causes, tables)

    def drawn(self, functions, do):
        row = {}
        for name, function in zip(self.causes, functions, strict=True):
            row[name] = do.get(name, function[tuple(row[each] for each in self.causes[name])])
        return row

    def truth(self, seen, do, target, scores):
        """Mean of the target under ``do`` among all draws that give ``seen``; None where none does."""
        total = weight = 0.0
        choices = [range(len(each)) for each in self.functions.values()]
        for chosen in itertools.product(*choices):
            functions = [each[index] for each, index in zip(self.functions.values(), chosen, strict=True)]
            if self.drawn(functions, {}) != seen:
                continue
            share = np.prod([each[index] for each, index in zip(self.shares.values(), chosen, strict=True)])
            weight += share
            total += share * scores[self.drawn(functions, do)[target]]
        return total / weight if weight > 1e-9 else None


GRAPHS = [
    ({"X": (), "Y": ("X",)}, {"X": 2, "Y": 3}),
    ({"X": (), "M": ("X",), "Y": ("M",)}, {"X": 2, "M": 2, "Y": 2}),
    ({"X": (), "M": ("X",), "Y": ("M",)}, {"X": 2, "M": 3, "Y": 2}),
    ({"C": (), "X": ("C",), "Y": ("C", "X")}, {"C": 2, "X": 2, "Y": 2}),
    ({"X": (), "M": ("X",), "Y": ("X", "M")}, {"X": 2, "M": 2, "Y": 2}),
    ({"X": (), "A": ("X",), "B": ("X",), "Y": ("A", "B")}, {"X": 2, "A": 2, "B": 2, "Y": 2}),
]


@pytest.mark.parametrize("number", range(len(GRAPHS)))
@pytest.mark.parametrize("monotone", [False, True])
def test_enumerated_structural_models(number, monotone):
    causes, sizes = GRAPHS[number]
    rng = np.random.default_rng(number)
    met = 0
    while met < 17:
        model = Structural(rng, causes, sizes, monotone)
        mechanisms = model.mechanisms()
        drawn = [functions[rng.integers(len(functions))] for functions in model.functions.values()]
        seen, scores = model.drawn(drawn, {}), rng.normal(size=sizes["Y"])
        do = {"X": 1 - seen["X"]}
        truth = model.truth(seen, do, "Y", scores)
        if truth is None:
            continue
        met += 1
        found = mechanisms.in_row(seen, do, "Y", scores)
        assert found.low - 1e-9 <= truth <= found.high + 1e-9
        if monotone:
            point = mechanisms.in_row(seen, do, "Y", scores, monotone=True)
            assert point.low == pytest.approx(truth, abs=1e-9)
            assert point.high == pytest.approx(truth, abs=1e-9)


def necessity(without, treated):
    """Bounds of Tian and Pearl (2000) on who got well only because of the drug, which is given by lot."""
    return max(0.0, (treated - without) / treated), min(1.0, (1 - without) / treated)


@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99))
@settings(max_examples=60, deadline=None)
def test_the_probability_of_necessity(without, treated):
    tables = {"X": np.array([0.5, 0.5]), "Y": np.array([[1 - without, without], [1 - treated, treated]])}
    model = Mechanisms({"X": (), "Y": ("X",)}, tables)
    row = {"X": 1, "Y": 1}, {"X": 0}, "Y", np.array([1.0, 0.0])
    found = model.in_row(*row)
    assert (found.low, found.high) == pytest.approx(necessity(without, treated), abs=1e-9)
    assert found.is_sharp
    if treated >= without:  # then monotone noise leaves the excess risk
        assert model.in_row(*row, monotone=True).low == pytest.approx((treated - without) / treated, abs=1e-9)


@pytest.mark.parametrize("seed", range(10))
def test_one_mechanism_is_a_linear_program_over_its_functions(seed):
    rng = np.random.default_rng(seed)
    table, scores = rng.dirichlet(np.ones(3), size=3), rng.normal(size=3)
    model = Mechanisms({"X": (), "Y": ("X",)}, {"X": np.ones(3) / 3, "Y": table})
    found = model.in_row({"X": 0, "Y": 2}, {"X": 1}, "Y", scores)
    functions = np.array(list(itertools.product(range(3), repeat=3)))
    margins = np.array([functions[:, x] == y for x in range(3) for y in range(3)], dtype=float)
    gain = (functions[:, 0] == 2) * scores[functions[:, 1]] / table[0, 2]
    ends = [sign * linprog(sign * gain, A_eq=margins, b_eq=table.ravel()).fun for sign in (1, -1)]
    assert [found.low, found.high] == pytest.approx(ends, abs=1e-7)


@pytest.mark.parametrize("seed", range(5))
def test_a_chain_is_sharp(seed):
    """The most extreme couplings of both mechanisms, from the corners of all that are possible."""
    rng = np.random.default_rng(seed)
    tables = {"X": np.ones(2) / 2, "M": rng.dirichlet(np.ones(2), size=2), "Y": rng.dirichlet(np.ones(2), size=2)}
    found = Mechanisms({"X": (), "M": ("X",), "Y": ("M",)}, tables).in_row(
        {"X": 0, "M": 0, "Y": 1}, {"X": 1}, "Y", BINARY
    )
    assert found.is_sharp
    limits = [
        extremes(at_most(seen, table[0], table[1]), BINARY, BINARY)
        for seen, table in ((0, tables["M"]), (1, tables["Y"]))
    ]
    every = [moved * after + (1 - moved) * 1.0 for moved in limits[0] for after in limits[1]]
    assert (found.low, found.high) == pytest.approx((min(every), max(every)), abs=1e-9)


def test_what_is_not_caused_stays_and_what_answers_to_nothing_new_stays():
    model = Structural(np.random.default_rng(0), *GRAPHS[3]).mechanisms()
    seen = {"C": 1, "X": 0, "Y": 1}
    for do, target in (({"X": 1}, "C"), ({"X": 0}, "Y"), ({"Y": 0}, "X")):
        found = model.in_row(seen, do, target, np.array([3.0, 7.0]))
        assert found.low == found.high == [3.0, 7.0][seen[target]]
        assert found.is_sharp


def test_side_by_side_causes_are_bounded_but_not_sharply():
    model = Structural(np.random.default_rng(1), *GRAPHS[5]).mechanisms()
    assert not model.in_row({"X": 0, "A": 0, "B": 1, "Y": 1}, {"X": 1}, "Y", BINARY).is_sharp


@given(st.integers(2, 5), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_ranked_noise_is_one_of_the_couplings(size, seed):
    rng = np.random.default_rng(seed)
    under, instead = rng.dirichlet(np.ones(size), size=2)
    worth, total = rng.normal(size=size), np.zeros(size)
    for seen in range(size):
        shares, limits = same_rank(seen, under, instead), at_most(seen, under, instead)
        assert shares.sum() == pytest.approx(1)
        assert (shares <= limits + 1e-9).all()
        low, high = extremes(limits, worth, worth)
        assert low - 1e-9 <= shares @ worth <= high + 1e-9
        total += under[seen] * shares
    np.testing.assert_allclose(total, instead, atol=1e-9)
