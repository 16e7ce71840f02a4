"""Graphs with wrong edges, what they answer from rows, and which of them the rows contradict."""

from collections.abc import Iterator
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from domains import Domain, Question
from wrong_edges import changed

from hf_trace.effects.contrasts import Contrast
from hf_trace.effects.queries import Force, Query
from hf_trace.effects.refuting.implied_independences import contradicted, implied_independences, independence_test
from hf_trace.effects.refuting.refutation import refuted, rows_compared
from hf_trace.errors import DagFormatError, HfTraceError
from hf_trace.tables.encoding import DagTable, encode_table
from hf_trace.tables.network import Network
from hf_trace.tables.schema import DagSchema

Edge = tuple[str, str]


class Wrong(NamedTuple):
    """A graph that is not the true one."""

    change: str
    edges: tuple[Edge, ...]
    schema: DagSchema


def single(schema: DagSchema, most: int, rng: np.random.Generator) -> Iterator[Wrong]:
    """One wrong edge each, at most so many of a kind."""
    edges = list(schema.graph.edges)
    absent = [pair for pair in permutations(schema.by_name, 2) if pair not in edges and pair[::-1] not in edges]
    for change, candidates in (("dropped", edges), ("turned", edges), ("added", absent)):
        left = most
        for index in rng.permutation(len(candidates)):
            if not left:
                break
            try:
                yield Wrong(change, (candidates[index],), changed(schema, change, candidates[index]))
                left -= 1
            except DagFormatError:  # a cycle
                continue


def several(schema: DagSchema, count: int, most: int, rng: np.random.Generator) -> Iterator[Wrong]:
    """So many wrong edges at once."""
    for _ in range(most):
        wrong, done = schema, []
        for _ in range(20 * count):
            options = list(single(wrong, 1, rng))
            chosen = options[int(rng.integers(len(options)))] if options else None
            if chosen is not None and not any(set(chosen.edges[0]) == set(edge) for edge in done):
                wrong, done = chosen.schema, [*done, *chosen.edges]
            if len(done) == count:
                yield Wrong(f"{count} at once", tuple(done), wrong)
                break


def without(schema: DagSchema, name: str) -> DagSchema:
    """The graph of somebody who does not know of a variable."""
    kept = tuple(each for each in schema.variables if each.name != name)
    parents = {each.name: [cause for cause in each.parents if cause != name] for each in kept}
    return DagSchema(tuple(schema.with_parents(parents)[each.name] for each in kept))


def ignored(schema: DagSchema, most: int) -> Iterator[Wrong]:
    """A common cause that is in no table and of which nobody has thought."""
    causes = [name for name in schema.topological_order if schema.graph.out_degree(name) > 1]
    for name in causes[:most]:
        edges = tuple((name, effect) for effect in schema.graph.successors(name))
        yield Wrong("latent ignored", edges, without(schema, name))


def counted(schema: DagSchema, table: DagTable) -> Network:
    """Maximum likelihood; even shares where parents were never seen so."""
    tables = {}
    for each in schema.variables:
        read = (*each.parents, each.name)
        counts = np.zeros([len(schema[name].values) for name in read])
        np.add.at(counts, tuple(np.asarray(table.columns[name]) for name in read), table.weights)
        total = counts.sum(-1, keepdims=True)
        tables[each.name] = np.divide(counts, total, out=np.full(counts.shape, 1 / counts.shape[-1]), where=total > 0)
    return Network(schema, tables)


def variation(found: Network, truth: Network, questions: list[Question]) -> float | None:
    """Mean total variation over some questions; None where there is none."""
    pairs = [[_distribution(network, question) for network in (found, truth)] for question in questions]
    return float(np.mean([0.5 * np.abs(said - true).sum() for said, true in pairs])) if pairs else None


def _distribution(network: Network, question: Question) -> np.ndarray:
    return np.array(list(network.distribution(question.target, do=question.do, given=question.given).values()))


def contradictions(schema: DagSchema, table: DagTable) -> list[frozenset[str]]:
    """Pairs whose independence the rows contradict, as ``--refute`` lists them."""
    tests = [independence_test(table, each) for each in implied_independences(schema)]
    return [frozenset([each.independence.one, each.independence.other]) for each in contradicted(tests)]


def failed_checks(schema: DagSchema, frame: pd.DataFrame, question: Question) -> list[str] | None:
    """Which checks of ``--refute`` speak against the effect of a treatment's value on the target's last."""
    (treatment,) = question.do
    if not {question.target, treatment, *question.given} <= set(schema.by_name):
        return None
    codes = {name: schema[name].code(each) for name, each in {**question.do, **question.given}.items()}
    control = 1 if codes[treatment] == 0 else 0
    given = {name: codes[name] for name in question.given}
    query = Query(question.target, {treatment: Force(codes[treatment])}, given)
    scores = np.eye(len(schema[question.target].values))[-1]
    contrast = Contrast("cate" if given else "ate", query, {treatment: control})
    try:
        rows = rows_compared(schema, contrast, scores, frame)
        names = [each.name for each in refuted(rows, schema, 0.0).checks if not each.holds]
    except HfTraceError:
        return None
    return [name for name in names if name != "another estimator"]  # no answer is put to it here


def measured(domain: Domain, wrong: Wrong | None, frame: pd.DataFrame, *, checks: bool) -> dict[str, Any]:
    """What a graph costs, beside the true one on the same rows and questions, and whether rows speak against it."""
    truth = domain.network
    schema = truth.schema if wrong is None else wrong.schema
    table = encode_table(schema, frame[list(schema.by_name)])
    known = set(schema.by_name)
    asked = [each for each in domain.questions if {each.target, *each.do, *each.given} <= known]
    off, added = variation(counted(schema, table), truth, asked), None
    if wrong is not None and off is not None:
        right = variation(counted(truth.schema, encode_table(truth.schema, frame)), truth, asked)
        added = off - (right or 0.0)
    pairs = contradictions(schema, table)
    edges = [] if wrong is None else [frozenset(edge) for edge in wrong.edges]
    return {
        "domain": domain.name,
        "change": "none" if wrong is None else wrong.change,
        "edges": [] if wrong is None else [" → ".join(edge) for edge in wrong.edges],
        "tv": off,
        "added": added,
        "contradicted": len(pairs),
        "names_it": any(pair in edges for pair in pairs) if edges else None,
        "failed": failed_checks(schema, frame, asked[0]) if checks and asked else None,
    }
