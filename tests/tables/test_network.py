import time
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_trace.errors import DagFormatError, QueryError, SettingsError
from hf_trace.tables.network import Network
from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import Variable


def random_network(parents, sizes, seed):
    """``parents[i]`` lists earlier variables; probabilities are random."""
    generator = np.random.default_rng(seed)
    values = [tuple(f"v{code}" for code in range(size)) for size in sizes]
    variables = [
        Variable(f"x{i}", values=values[i], parents=tuple(f"x{p}" for p in parents[i])) for i in range(len(sizes))
    ]
    tables = {
        f"x{i}": generator.dirichlet(np.ones(sizes[i]), size=[sizes[p] for p in parents[i]]) for i in range(len(sizes))
    }
    return Network(DagSchema(tuple(variables)), tables)


def enumerated(network, target, do, given):
    """The truncated factorisation, summed over every state of all variables."""
    names = [each.name for each in network.schema.variables]
    weights = dict.fromkeys(network.schema[target].values, 0.0)
    for state in product(*(each.values for each in network.schema.variables)):
        at = dict(zip(names, state, strict=True))
        if any(at[name] != value for name, value in {**do, **given}.items()):
            continue
        weight = 1.0
        for each in network.schema.variables:
            if each.name not in do:
                row = tuple(network.schema[parent].code(at[parent]) for parent in each.parents)
                weight *= network.tables[each.name][(*row, each.code(at[each.name]))]
        weights[at[target]] += weight
    total = sum(weights.values())
    return {value: weight / total for value, weight in weights.items()}


@st.composite
def queries(draw):
    count = draw(st.integers(1, 5))
    sizes = draw(st.lists(st.integers(1, 3), min_size=count, max_size=count))
    parents = [draw(st.lists(st.integers(0, i - 1), unique=True, max_size=3)) if i else [] for i in range(count)]
    target = draw(st.integers(0, count - 1))
    roles = {i: draw(st.sampled_from(["do", "given", None])) for i in range(count) if i != target}
    values = {f"x{i}": (role, f"v{draw(st.integers(0, sizes[i] - 1))}") for i, role in roles.items()}
    do, given_ = ({name: value for name, (role, value) in values.items() if role == each} for each in ("do", "given"))
    return parents, sizes, draw(st.integers(0, 99)), f"x{target}", do, given_


@given(queries())
@settings(max_examples=60, deadline=None)
def test_distribution_equals_enumeration(query):
    *shape, target, do, given_ = query
    network = random_network(*shape)
    found = network.distribution(target, do, given_)
    assert sum(found.values()) == pytest.approx(1)
    assert found == pytest.approx(enumerated(network, target, do, given_), abs=1e-9)


@pytest.fixture
def confounded():
    """z → x → y ← z, and w, an effect of y."""
    tables = {
        "z": np.array([0.5, 0.5]),
        "x": np.array([[0.9, 0.1], [0.2, 0.8]]),
        "y": np.array([[[0.9, 0.1], [0.7, 0.3]], [[0.4, 0.6], [0.2, 0.8]]]),
        "w": np.array([[1.0, 0.0], [0.5, 0.5]]),
    }
    parents = {"z": (), "x": ("z",), "y": ("z", "x"), "w": ("y",)}
    variables = (Variable(name, values=("0", "1"), parents=parents[name]) for name in tables)
    return Network(DagSchema(tuple(variables)), tables)


def test_seeing_is_not_doing(confounded):
    assert confounded.distribution("y", do={"x": 1})["1"] == pytest.approx(0.5 * 0.3 + 0.5 * 0.8)
    assert confounded.distribution("y", given={"x": 1})["1"] == pytest.approx((0.1 * 0.3 + 0.8 * 0.8) / 0.9)
    assert confounded.distribution("z", do={"x": 1})["1"] == pytest.approx(0.5)


def test_evidence_after_the_treatment(confounded):
    assert confounded.distribution("y", do={"x": 1}, given={"w": 1}) == pytest.approx({"0": 0.0, "1": 1.0})
    # p(z=1, y=1, w=1 | do x=1) and p(z=0, …)
    one, zero = 0.5 * 0.8 * 0.5, 0.5 * 0.3 * 0.5
    assert confounded.distribution("z", do={"x": 1}, given={"w": 1})["1"] == pytest.approx(one / (one + zero))


def test_joint_interventions(confounded):
    assert confounded.distribution("y", do={"x": 1, "z": 0})["1"] == pytest.approx(0.3)
    assert confounded.distribution("w", do={"x": 1, "z": 0, "y": 1})["1"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"target": "q"}, "There is no variable 'q'"),
        ({"target": "y", "do": {"q": "0"}}, "There is no variable 'q'"),
        ({"target": "y", "do": {"x": "2"}}, "'x' has no value '2', expected one of '0', '1'."),
        ({"target": "y", "given": {"x": "2"}}, "'x' has no value '2', expected one of '0', '1'."),
        ({"target": "y", "do": {"y": "1"}}, "'y' is the target and in `do`, expected one place."),
        ({"target": "y", "given": {"y": "1"}}, "'y' is the target and in `given`, expected one place."),
        ({"target": "y", "do": {"x": "1"}, "given": {"x": "1"}}, "'x' is both in `do` and in `given`, expected one"),
        (
            {"target": "x", "do": {"y": "0"}, "given": {"w": "1"}},
            "What is given ('w=1') has probability 0, so nothing follows from it. Give values that occur.",
        ),
    ],
)
def test_refused_queries(confounded, query, message):
    with pytest.raises(QueryError) as error:
        confounded.distribution(**query)
    assert str(error.value).startswith(message)


def test_latent_variables_are_summed_over_and_not_asked_for(confounded):
    schema = confounded.schema.replace_variables({"z": Variable("z", values=("0", "1"), latent=True)})
    network = Network(schema, confounded.tables)
    assert network.distribution("y", do={"x": 1}) == confounded.distribution("y", do={"x": 1})
    assert network.sample(3).columns.tolist() == ["x", "y", "w"]
    with pytest.raises(QueryError, match="'z' is latent"):
        network.distribution("y", given={"z": "0"})


def test_large_networks_of_small_width():
    """A chain of 40 with a skip, three values each: 3^40 states."""
    parents = [[], [0], *([i - 1, i - 2] for i in range(2, 40))]
    network = random_network(parents, [3] * 40, seed=0)
    start = time.perf_counter()
    found = network.distribution("x39", do={"x5": "v1", "x20": "v0"}, given={"x0": "v2", "x30": "v1", "x38": "v2"})
    assert time.perf_counter() - start < 5
    assert sum(found.values()) == pytest.approx(1)
    # x39 depends on x38 and x37 only; what lies before x20 is cut off but for x19.
    cut = network.distribution("x39", do={"x5": "v1", "x20": "v0"}, given={"x30": "v1", "x38": "v2"})
    assert cut != pytest.approx(network.distribution("x39"), abs=1e-3)


def test_much_evidence_does_not_underflow():
    """One hidden cause of 500 signs, each a little more likely under the second value."""
    count = 500
    names = [f"s{i}" for i in range(count)]
    variables = [Variable("h", values=("0", "1")), *(Variable(n, values=("0", "1"), parents=("h",)) for n in names)]
    sign = np.array([[0.999, 0.001], [0.9989, 0.0011]])
    network = Network(DagSchema(tuple(variables)), {"h": np.array([0.5, 0.5]), **dict.fromkeys(names, sign)})
    found = network.distribution("h", given=dict.fromkeys(names, "1"))
    assert found["1"] == pytest.approx(1 / (1 + 1.1**-count))


def test_networks_that_are_too_wide_are_refused():
    """Thirty causes of one sign are all dependent once it is seen."""
    roots = [Variable(f"r{i}", values=("0", "1")) for i in range(30)]
    signs = [
        Variable(f"s{i}", values=("0", "1"), parents=(f"r{i}", f"r{j}")) for i in range(30) for j in [(i + 1) % 30]
    ]
    pairs = [Variable(f"t{i}_{j}", values=("0", "1"), parents=(f"r{i}", f"r{j}")) for i in range(30) for j in range(i)]
    variables = (*roots, *signs, *pairs)
    tables = {each.name: np.full([2] * (len(each.parents) + 1), 0.5) for each in variables}
    network = Network(DagSchema(variables), tables)
    with pytest.raises(QueryError, match="An exact answer needs a table of"):
        network.distribution("r0", given={each.name: "1" for each in pairs})


def test_samples(confounded):
    frame = confounded.sample(20_000, seed=3)
    assert frame.equals(confounded.sample(20_000, seed=3))
    assert not frame.equals(confounded.sample(20_000, seed=4))
    for name in "zxyw":
        assert (frame[name] == "1").mean() == pytest.approx(confounded.distribution(name)["1"], abs=0.015)
    seen = frame[(frame.x == "1") & (frame.w == "1")]
    expected = confounded.distribution("z", given={"x": 1, "w": 1})["1"]
    assert (seen.z == "1").mean() == pytest.approx(expected, abs=0.03)
    assert len(confounded.sample(0)) == 0
    with pytest.raises(SettingsError, match="rows is -1, expected a whole number of at least 0"):
        confounded.sample(-1)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({}, "'x' has no probabilities, expected a table for every variable."),
        ({"x": np.array([1.0])}, "The probabilities of 'x' have the shape (1,), expected (2,): the values of 'x'."),
        (
            {"x": np.array([0.5, 0.5]), "X": np.ones(1)},
            "Unknown variable with probabilities: 'X', expected one of: x. Did",
        ),
        ({"x": np.array([0.5, 0.6])}, "The probabilities of 'x' are [0.5, 0.6], expected none below 0 and a sum of 1."),
    ],
)
def test_refused_tables(tables, message):
    with pytest.raises(DagFormatError) as error:
        Network(DagSchema((Variable("x", values=("0", "1")),)), tables)
    assert str(error.value).startswith(message)


def test_only_finite_variables_have_tables():
    with pytest.raises(DagFormatError, match="'x' is of kind 'text', expected a variable with listed values"):
        Network(DagSchema((Variable("x", "text"),)), {"x": np.array([1.0])})
