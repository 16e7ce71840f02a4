"""Random tables of graphs whose question no formula answers: do bounds hold the truth?"""

import time
from typing import Any

import numpy as np

from hf_trace.effects.identifying.formulas import CompleteQuestion
from hf_trace.effects.identifying.response_types import BoundedQuestion
from hf_trace.tables.network import Network
from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import Variable

# Arrows, how many values (two unless said), what is given; latent variables begin with U.
BOUNDED: dict[str, tuple[str, dict[str, int], str]] = {
    "a latent confounder": ("U X; U Y; X Y", {}, ""),
    "three values each": ("U X; U Y; X Y", {"X": 3, "Y": 3}, ""),
    "an instrument": ("Z X; U X; U Y; X Y", {}, ""),
    "an instrument, evidence after": ("Z X; U X; U Y; X Y; Y C", {}, "C"),
    "two proxies": ("U X; U Y; X Y; U Z; U W; Z X; W Y", {}, ""),
    "a confounded mediator": ("X M; M Y; U1 X; U1 Y; U2 X; U2 M", {}, ""),
}


def schema_of(text: str, sizes: dict[str, int]) -> DagSchema:
    """A graph from its arrows."""
    parents: dict[str, list[str]] = {}
    for arrow in text.split(";"):
        cause, effect = arrow.split()
        parents.setdefault(cause, [])
        parents.setdefault(effect, []).append(cause)
    return DagSchema(
        tuple(
            Variable(
                name,
                values=tuple(map(str, range(sizes.get(name, 3 if name.startswith("U") else 2)))),
                parents=tuple(causes),
                latent=name.startswith("U"),
            )
            for name, causes in parents.items()
        )
    )


def random_network(schema: DagSchema, rng: np.random.Generator) -> Network:
    """Conditionals drawn evenly from all there are."""
    size = {each.name: len(each.values) for each in schema.variables}
    tables = {
        each.name: rng.dirichlet(np.ones(size[each.name]), size=[size[parent] for parent in each.parents])
        for each in schema.variables
    }
    return Network(schema, tables)


def joint_of(network: Network) -> np.ndarray:
    """Probabilities of what is observed, causes before effects."""
    names = list(network.schema.full_order)
    terms: list[Any] = []
    for name in names:
        terms += [network.tables[name], [names.index(each) for each in (*network.schema[name].parents, name)]]
    return np.einsum(*terms, [names.index(name) for name in network.schema.topological_order])


def bounded(name: str, tables: int, rows: int) -> dict[str, Any]:
    """How often bounds of p(Y = 1 | do(X = 1)) hold the truth, from exact probabilities and from rows."""
    text, sizes, given = BOUNDED[name]
    schema, rng = schema_of(text, sizes), np.random.default_rng(0)
    order = schema.topological_order
    evidence = dict.fromkeys(given.split(), 1)
    sets = (frozenset(each) for each in (order, "Y", "X", evidence))
    question = CompleteQuestion(schema.graph, *sets)
    scores = np.eye(len(schema["Y"].values))[1]
    held, widths, sharp, started = [], [], [], time.process_time()
    for _ in range(tables):
        network = random_network(schema, rng)
        truth = network.distribution("Y", do={"X": "1"}, given=dict.fromkeys(evidence, "1"))["1"]
        exact = joint_of(network)
        drawn = rng.multinomial(rows, exact.ravel()).reshape(exact.shape) / rows
        found = [
            BoundedQuestion(question, each, order).interval([({"X": 1}, scores)], evidence) for each in (exact, drawn)
        ]
        held.append([each.low - 1e-7 <= truth <= each.high + 1e-7 for each in found])
        widths.append(found[0].high - found[0].low)
        sharp.append(found[0].is_sharp)
    shares = np.mean(held, axis=0)
    return {
        "question": name,
        "holds": float(shares[0]),
        "holds_from_rows": float(shares[1]),
        "sharp": "yes" if all(sharp) else "no",
        "width": float(np.mean(widths)),
        "milliseconds": 500 * (time.process_time() - started) / tables,
    }
