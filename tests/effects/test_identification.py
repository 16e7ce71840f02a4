"""Identification: textbook graphs, and every answer against enumeration over random models with latent variables."""

import itertools
from dataclasses import replace

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_trace.effects.identification import answers_along, identify
from hf_trace.effects.identifying.estimands import as_text, evaluated, variables_of
from hf_trace.effects.identifying.open_paths import open_path
from hf_trace.errors import NotIdentifiedError, QueryError
from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import Variable

NO_FORMULA = (
    "(No formula of observed quantities gives it: the search for one is complete. `--bounds` says how far the answer "
    "may lie.)"
)


def graph(text):
    """``"U1 X; X Y"``: an arrow each; names that begin with U are latent."""
    parents = {}
    for arrow in text.split(";"):
        *causes, effect = arrow.split()
        for name in (*causes, effect):
            parents.setdefault(name, [])
        parents[effect] += causes
    return DagSchema(tuple(variable(name, causes) for name, causes in parents.items()))


def variable(name, parents=()):
    values = () if name.startswith("U") else ("0", "1")
    return Variable(name, values=values, parents=tuple(parents), latent=name.startswith("U"))


# Questions as (target, do, given), and the order and adjustment sets expected.
IDENTIFIED = {
    "confounder": ("Z X; Z Y; X Y", "Y X", "Z X Y", {"X": "Z"}),
    "mediator": ("X M; M Y", "Y X", "X M Y", {"X": ""}),
    "collider": ("X C; Y C; X Y", "Y X", "X Y", {"X": ""}),
    "collider that is known": ("X C; Y C; X Y", "Y X C", "X Y C", {"X": ""}),
    "two confounders, one enough": ("A B; A X; B Y; X Y", "Y X", "A X B Y", {"X": "A"}),
    "M-bias: the collider is not adjusted for": ("U1 C; U2 C; U1 X; U2 Y; X Y", "Y X", "X Y", {"X": ""}),
    "latent confounder behind a variable": ("U X; U Z; Z Y; X Y", "Y X", "Z X Y", {"X": "Z"}),
    "latent confounder before a variable": ("U Z; Z X; U Y; X Y", "Y X", "Z X Y", {"X": "Z"}),
    "latent among effects only": ("X Y; Y W; U Y; U W", "Y X", "X Y", {"X": ""}),
    "latent among irrelevant variables": ("X Y; V W; U V; U W", "Y X", "X Y", {"X": ""}),
    "latent with one effect": ("U X; X Y", "Y X", "X Y", {"X": ""}),
    "latent mediator": ("X U; U Y; Z X; Z Y", "Y X", "Z X Y", {"X": "Z"}),
    "no effect": ("Y X; U Y; U X", "Y X", "Y X", {"X": ""}),
    "no treatment": ("U X; U Y", "Y  X", "X Y", {}),
    "time-varying confounder": ("A L; U L; U Y; A B; L B; B Y; A Y", "Y A,B", "A L B Y", {"A": "", "B": "L"}),
    "evidence before the treatment": ("Z X; Z Y; X Y; U Z; U Y", "Y X Z", "Z X Y", {"X": ""}),
    "observation only, evidence below the target": ("X Y; Y Z; X Z; U X; U Y", "Y  X,Z", "X Y Z", {}),
    "target before the treatment": ("U X; U Y; Y Z; X Z", "Y X Z", "Y X Z", {"X": "Y"}),
    "collider that only a later treatment needs": (
        "U1 A; U1 C; U2 C; U2 Y; C B; A B; B Y; A Y",
        "Y A,B",
        "A C B Y",
        {"A": "", "B": "C"},
    ),
}
REFUSED = {
    "bow": ("U X; U Y; X Y", "Y X", "U"),
    "instrument": ("Z X; X Y; U X; U Y", "Y X", "U"),
    "M-bias: the collider is a cause": ("U1 C; U2 C; U1 X; U2 Y; C X; X Y", "Y X", "U1 U2"),
    "M-bias: the collider is known": ("U1 C; U2 C; U1 X; U2 Y; X Y", "Y X C", "U1 U2"),
    "front-door with a cause of both halves": ("U X; U Y; X M; M Y; U2 X; U2 M", "Y X", "U2"),
    "two confounders of one pair": ("U1 X; U1 Y; U2 X; U2 Y; X Y", "Y X", "U1 U2"),
    "latent cause of the second treatment": ("A L; L B; B Y; U B; U Y", "Y A,B", "U"),
}
# Questions that no walk answers, and the formula expected; those of the literature stand there as they do here.
BY_FORMULA = {
    "front-door (Pearl 1995)": ("U X; U Y; X M; M Y", "Y X", "Σ_{M} p(M | X) Σ_{X'} p(X') p(Y | X', M)"),
    "napkin (Pearl and Mackenzie 2018)": (
        "W Z; Z X; X Y; U1 W; U1 X; U2 W; U2 Y",
        "Y X",
        "Σ_{Z} p(Z) [Σ_{W} p(W) p(X | W, Z) p(Y | W, Z, X)] / [Σ_{W} p(W) p(X | W, Z)]",
    ),
    "front-door with a confounder that is observed": (
        "U X; U Y; X M; M Y; A X; A M; A Y; Q A",
        "Y X",
        "Σ_{A, M} p(A) p(M | A, X) Σ_{X'} p(X' | A) p(Y | A, X', M)",
    ),
    "a treatment that does nothing once the other is set": ("B A; A Y; U B; U Y", "Y A,B", "Σ_{B} p(B) p(Y | B, A)"),
    "evidence that shares a latent cause with the treatment": ("X Z; U X; U Z; X Y; Z Y", "Y X Z", "p(Y | X, Z)"),
    "evidence through a ratio": (
        "U X; U M; X Y; Y M",
        "Y X M",
        "[p(Y | X) Σ_{X'} p(X') p(M | X', Y)] / [Σ_{Y'} p(Y' | X) Σ_{X'} p(X') p(M | X', Y')]",
    ),
}


def question(text):
    target, do, given, *_ = [*text.split(" "), "", ""]
    return {"target": target, "do": [n for n in do.split(",") if n], "given": [n for n in given.split(",") if n]}


def history(found, name):
    """All variables earlier in the order than one of them."""
    return found.order[: found.order.index(name)]


@pytest.mark.parametrize("case", IDENTIFIED)
def test_textbook_graphs_that_are_identified(case):
    text, asked, order, adjustment = IDENTIFIED[case]
    found = identify(graph(text), **question(asked))
    assert found.order == tuple(order.split())
    assert found.adjustment == {name: tuple(needed.split()) for name, needed in adjustment.items()}
    assert_equals_truth(graph(text), found, np.random.default_rng(0))


@pytest.mark.parametrize("case", REFUSED)
def test_textbook_graphs_that_are_refused_name_the_latent_variables(case):
    text, asked, latent = REFUSED[case]
    with pytest.raises(NotIdentifiedError) as refused:
        identify(graph(text), **question(asked))
    message = str(refused.value)
    assert all(repr(name) in message for name in latent.split())
    assert message.endswith(NO_FORMULA)
    assert "\n" not in message


def test_the_message_names_the_confounder():
    with pytest.raises(NotIdentifiedError) as refused:
        identify(graph("U X; U Y; X Y"), target="Y", do=["X"])
    assert str(refused.value) == (
        "p(Y | do(X)) cannot be told from observations: the latent 'U' causes both 'X' and 'Y', and nothing observed "
        "blocks it. Measure 'U', or a variable between it and 'Y' that 'X' does not cause. " + NO_FORMULA
    )


def test_the_message_shows_a_longer_path():
    with pytest.raises(NotIdentifiedError) as refused:
        identify(graph("U1 C; U2 C; U1 X; U2 Y; C X; X Y"), target="Y", do=["X"])
    assert "the path 'X' ← 'U1' → 'C' ← 'U2' → 'Y' through the latent 'U1' and 'U2' stays open" in str(refused.value)


def test_the_message_names_what_is_enough_to_measure():
    def remedy(text, asked):
        with pytest.raises(NotIdentifiedError) as refused:
            identify(graph(text), **question(asked))
        return str(refused.value).split(". ")[1]

    assert remedy("U1 C; U2 C; U1 X; U2 Y; X Y", "Y X C") == "Measure 'U1' or 'U2'"
    assert remedy("U1 X; U1 Y; U2 X; U2 Y; X Y", "Y X") == "Measure 'U1' and 'U2'"
    assert remedy("U X; U Y; X M; M Y; U2 X; U2 M", "Y X").startswith("Measure 'U2', or a variable between it and 'M'")


@pytest.mark.parametrize("case", BY_FORMULA)
def test_textbook_graphs_that_a_formula_answers(case):
    text, asked, formula = BY_FORMULA[case]
    found = identify(graph(text), **question(asked))
    assert found.estimand is not None
    assert as_text(found.estimand) == formula
    assert formula in found.explanation
    assert_formula_equals_truth(graph(text), found, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"target": "Y", "do": ["Y"]}, "'Y' is the target and in `do`, expected one place. Leave it out of the other."),
        ({"target": "Y", "do": [], "given": ["Y"]}, "'Y' is the target and in `given`"),
        ({"target": "Y", "do": ["X"], "given": ["X"]}, "'X' is both in `do` and in `given`"),
        ({"target": "Y", "do": ["U"]}, "'U' is latent"),
        ({"target": "U", "do": ["X"]}, "'U' is latent"),
        ({"target": "Y", "do": ["x"]}, "There is no variable 'x'"),
        ({"target": "Y", "do": "X"}, r"`do` is the text 'X', expected a list of names. Pass \['X'\]."),
    ],
)
def test_questions_that_contradict_themselves(asked, message):
    with pytest.raises(QueryError, match=message):
        identify(graph("U X; U Y; X Y"), **asked)


def test_explanations():
    confounded = graph("Z X; Z Y; X Y; U Z; U X; S W")
    found = identify(confounded, target="Y", do={"X": "1"}, given=["S"])
    assert found.explanation == "p(Y | do(X), S) follows from back-door adjustment: 'X' with 'Z'."
    assert found.latent == ("U",)
    assert history(found, "X") == ("S", "Z")
    plain = identify(graph("X Y"), target="Y", do=["X"])
    assert plain.explanation.endswith("no latent one plays a part.")


def test_an_order_with_more_variables_may_open_a_path():
    biased, plain = graph("U1 C; U2 C; U1 X; U2 Y; X Y"), graph("X C; Y C; X Y; V C")
    assert answers_along(biased, ["X", "Y", "C"], target="Y", do=["X"])
    assert not answers_along(biased, ["C", "X", "Y"], target="Y", do=["X"])
    assert answers_along(plain, ["V", "X", "Y", "C"], target="Y", do=["X"])
    assert not answers_along(plain, ["V", "X", "C", "Y"], target="Y", do=["X"])
    assert not answers_along(plain, ["Y"], target="Y", do=["X"])
    assert not answers_along(plain, ["X", "Y", "Y"], target="Y", do=["X"])


def test_a_large_graph_takes_no_time():
    count = 300
    variables = [variable(f"V{i}", [f"V{j}" for j in range(max(0, i - 3), i)]) for i in range(count)]
    found = identify(DagSchema(tuple(variables)), target=f"V{count - 1}", do=["V150", "V200"], given=["V10"])
    assert found.order == tuple(each.name for each in variables)
    assert found.adjustment == {"V150": ("V148", "V149"), "V200": ("V198", "V199")}


# Random models. Every table has one axis of two values per variable, in the order of the schema.


def random_schema(rng, observed, latent):
    names = [f"U{i}" for i in range(latent)] + [f"V{i}" for i in range(observed)]
    rng.shuffle(names)
    density = rng.uniform(0.3, 0.8)
    parents = {name: [c for c in names[:i] if rng.random() < density] for i, name in enumerate(names)}
    listed = rng.permutation(names)
    return DagSchema(tuple(variable(str(name), parents[name]) for name in listed))


def random_question(rng, schema, treatments, evidence):
    names = [str(name) for name in rng.permutation(schema.topological_order)]
    do, given = names[1 : 1 + treatments], names[1 + treatments : 1 + treatments + evidence]
    return {"target": names[0], "do": do, "given": given}


def random_conditionals(schema, rng):
    """p(variable | parents) of every variable, at axes of all variables."""
    names = [each.name for each in schema.variables]
    for each in schema.variables:
        shape = [2 if name in each.parents else 1 for name in names]
        chance = rng.uniform(0.05, 0.95, shape)
        yield (
            each.name,
            np.stack([1 - chance, chance], axis=names.index(each.name)).squeeze(names.index(each.name) + 1),
        )


def summed(table, schema, kept):
    axes = tuple(i for i, each in enumerate(schema.variables) if each.name not in kept)
    return table.sum(axis=axes, keepdims=True)


def walked(joint, schema, order, do):
    """Product of the observational conditionals along an order, without those of forced variables."""
    product = np.ones([1] * joint.ndim)
    for index, name in enumerate(order):
        if name not in do:
            product = product * summed(joint, schema, order[: index + 1]) / summed(joint, schema, order[:index])
    return product


def assert_equals_truth(schema, found, rng):
    conditionals = dict(random_conditionals(schema, rng))
    asked = {found.target, *found.do, *found.given}
    joint = np.prod(np.broadcast_arrays(*conditionals.values()), axis=0)
    kept = [table for name, table in conditionals.items() if name not in found.do]
    truth = summed(np.prod(np.broadcast_arrays(*kept, joint)[:-1], axis=0), schema, asked)
    estimate = summed(walked(joint, schema, found.order, found.do), schema, asked)
    # A treatment that is in no conditional of the walk has one entry for both of its values.
    assert np.abs(truth - estimate).max() < 1e-9
    adjusted = adjustment_formula(joint, schema, found)
    if adjusted is not None:
        assert np.abs(truth - adjusted).max() < 1e-9


def assert_formula_equals_truth(schema, found, rng):
    """p(target | do, given) by the formula, from the joint of the observed, and from the model that made it."""
    conditionals = dict(random_conditionals(schema, rng))
    names, target = (
        [each.name for each in schema.variables],
        [each.name for each in schema.variables].index(found.target),
    )
    joint = np.prod(np.broadcast_arrays(*conditionals.values()), axis=0)
    kept = [table for name, table in conditionals.items() if name not in found.do]
    asked = {found.target, *found.do, *found.given}
    truth = summed(np.prod(np.broadcast_arrays(*kept, joint)[:-1], axis=0), schema, asked)
    truth = truth / truth.sum(axis=target, keepdims=True)
    observed = summed(joint, schema, schema.topological_order)
    found_values = evaluated(found.estimand, observed, names)
    assert variables_of(found.estimand) <= set(found.order)
    assert np.abs(truth - found_values).max() < 1e-9


def adjustment_formula(joint, schema, found):
    """sum_s p(s) p(y | a, s) of one treatment without evidence, s the smallest set; None for other questions."""
    if len(found.do) != 1 or found.given:
        return None
    ((treatment, known),) = found.adjustment.items()
    if found.target in history(found, treatment):
        return summed(joint, schema, [found.target])
    behind = [treatment, *known]
    outcome = summed(joint, schema, [found.target, *behind]) / summed(joint, schema, behind)
    return summed(summed(joint, schema, known) * outcome, schema, [found.target, treatment])


@pytest.mark.parametrize("seed", range(6))
def test_every_answer_equals_enumeration(seed):
    rng = np.random.default_rng(seed)
    answered = 0
    for _ in range(100):
        schema = random_schema(rng, int(rng.integers(3, 7)), int(rng.integers(1, 3)))
        asked = random_question(rng, schema, int(rng.integers(1, 3)), int(rng.integers(0, 2)))
        try:
            found = identify(schema, **asked)
        except NotIdentifiedError:
            assert any_history_serves(schema, **asked) is False
            continue
        answered += 1
        if found.estimand is not None:
            assert any_history_serves(schema, **asked) is False
            assert_formula_equals_truth(schema, found, rng)
            continue
        assert_well_ordered(schema, found)
        assert_equals_truth(schema, found, rng)
        whole = schema.topological_order
        if answers_along(schema, whole, **asked):
            assert_equals_truth(schema, replace(found, order=whole), rng)
    assert answered > 50


@pytest.mark.parametrize("seed", range(3))
def test_without_latent_variables_every_question_is_answered(seed):
    rng = np.random.default_rng(seed)
    for _ in range(40):
        schema = random_schema(rng, int(rng.integers(3, 8)), 0)
        found = identify(schema, **random_question(rng, schema, int(rng.integers(0, 3)), int(rng.integers(0, 2))))
        assert_well_ordered(schema, found)
        assert_equals_truth(schema, found, rng)


def assert_well_ordered(schema, found):
    asked = [found.target, *found.do, *found.given]
    assert set(found.order) == schema.ancestors(asked) - schema.latent
    assert [name for name in found.order if name in found.do] == list(found.do)
    for name in found.order:
        assert schema.ancestors([name]) - schema.latent - {name} <= set(history(found, name))
        if name in found.do:
            assert set(found.adjustment[name]) <= set(history(found, name))


def any_history_serves(schema, *, target, do, given):
    """The sequential back-door criterion by trying all histories, with the d-separation of networkx."""
    asked = {target, *given}
    return any(
        serves(schema, asked, list(order), 0, frozenset())
        for order in itertools.permutations(do)
        if not any(order[i] in schema.descendants(order[j]) for j in range(len(order)) for i in range(j))
    )


def serves(schema, asked, treatments, index, known):
    if index == len(treatments):
        return True
    here, later = treatments[index], treatments[index + 1 :]
    effects = set().union(*({name} | schema.descendants(name) for name in [here, *later]))
    pool = sorted(set(schema.topological_order) - effects - known)
    cut = schema.to_networkx()
    cut.remove_edges_from([*schema.graph.out_edges(here), *schema.graph.in_edges(later)])
    for size in range(len(pool) + 1):
        for added in itertools.combinations(pool, size):
            history = known | set(added)
            separated = not asked - history or is_d_separated(cut, {here}, asked - history, history)
            if separated and serves(schema, asked, treatments, index + 1, history | {here}):
                return True
    return False


def is_d_separated(dag, one, other, known):
    test = nx.is_d_separator if hasattr(nx, "is_d_separator") else nx.d_separated
    return test(dag, set(one), set(other), set(known))


@given(st.integers(0, 2**32 - 1), st.integers(2, 8), st.data())
@settings(max_examples=150, deadline=None)
def test_an_open_path_is_found_exactly_where_networkx_finds_no_separation(seed, count, data):
    rng = np.random.default_rng(seed)
    dag = nx.DiGraph()
    dag.add_nodes_from(range(count))
    dag.add_edges_from((i, j) for i in range(count) for j in range(i + 1, count) if rng.random() < 0.4)
    dag = nx.relabel_nodes(dag, str)
    source, target, *rest = [str(name) for name in rng.permutation(count)]
    known = set(rest[: data.draw(st.integers(0, len(rest)))])
    path = open_path(dag, [source], [target], known)
    assert bool(path) is not is_d_separated(dag, {source}, {target}, known)
    if path:
        assert (path[0], path[-1]) == (source, target)
        assert all(dag.has_edge(a, b) or dag.has_edge(b, a) for a, b in itertools.pairwise(path))
