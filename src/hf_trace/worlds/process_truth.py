"""The known graph and the closed-form rates of a world in continuous time."""

from collections import defaultdict

import numpy as np
from jaxtyping import Float

from hf_trace.documents import Document
from hf_trace.graphs.graph import CausalGraph
from hf_trace.worlds.process_spec import Number, ProcessSpec, name_of_values


def mean_rates(spec: ProcessSpec) -> Float[np.ndarray, " type"]:
    r"""Events per second of every type, in the long run.

    .. math:: (I - W^\top)^{-1} \mu

    with the rates :math:`\mu` of the types alone and the expected numbers of direct effects W (Hawkes 1971); each event
    counts with its repeats, floods raise the rates by their share of the time. An upper bound where something is
    inhibited, needed or the value of a variable.

    Example:
        >>> types = [{"name": "a", "rate": 0.02}, {"name": "b", "rate": 0.01, "repeats": 1}]
        >>> spec = ProcessSpec.from_dict({"types": types, "edges": [{"cause": "a", "effect": "b", "weight": 0.5}]})
        >>> mean_rates(spec).round(6).tolist()
        [0.02, 0.04]
    """
    flood = spec.flood
    factor = 1.0 if flood is None else 1 + flood.rate * flood.seconds * (flood.factor - 1)
    alone = np.array([1 / kind.period if kind.period else kind.rate * factor for kind in spec.types])
    onsets: Float[np.ndarray, " type"] = np.linalg.solve(np.eye(len(alone)) - spec.branching().T, alone)
    onsets *= [1 + kind.repeats for kind in spec.types]
    return onsets


def process_truth(spec: ProcessSpec) -> CausalGraph:
    """Pairs of recorded types of which one acts on the other without a recorded type between.

    An edge has ``weight``, the expected number of events that one event of the cause brings about (repeats counted,
    what it ``needs`` given; negative where events are prevented, then about: the seconds times the rate that is
    missing), ``delay`` in seconds, ``direction``, and what ``kind`` it is: ``causes``, ``together`` (also from what an
    edge needs), ``inhibits``, or ``state``: a value of a variable makes room for the others. What hidden types cause
    is no edge.
    """
    kinds = {each.name: each for each in spec.types}
    recorded = [name for name, kind in kinds.items() if not kind.hidden]
    rates = dict(zip(spec.names, mean_rates(spec), strict=True))
    edges: dict[tuple[str, str], Document] = {}
    for values in spec.variables:
        for cause in values:
            for effect in values:
                edges[cause, effect] = _edge(1.0, 0.0, "state")
    for each in spec.inhibitions:
        missing = -(1 - each.factor) * each.seconds * rates[each.effect]
        edges[each.cause, each.effect] = _edge(missing, each.seconds, "inhibits")
    for edge in spec.edges:
        weight = edge.weight * (1 + kinds[edge.effect].repeats)
        kind = "causes" if edge.needs is None else "together"
        for cause in filter(None, (edge.needs, edge.cause)):
            # A pair that also acts alone, or that is needed by two edges, keeps what it does itself.
            if cause == edge.cause or (cause, edge.effect) not in edges:
                edges[cause, edge.effect] = _edge(weight / (1 + kinds[cause].repeats), edge.delay, kind)
    kept = (
        {"cause": cause, "effect": effect, **values}
        for (cause, effect), values in edges.items()
        if cause != effect and cause in recorded and effect in recorded and values["weight"]
    )
    variables = {name_of_values(values): list(values) for values in spec.variables}
    return CausalGraph("summary", tuple(sorted(recorded)), tuple(kept), {"truth": "structural", "variables": variables})


def _edge(weight: Number, delay: Number, kind: str) -> Document:
    direction = "inhibits" if kind == "inhibits" else "excites"
    return {"weight": float(weight), "delay": float(delay), "direction": direction, "kind": kind}


def variable_truth(spec: ProcessSpec) -> CausalGraph | None:
    """The same between variables, where there are any: a type that is no value is a variable of its own.

    An edge has the largest ``weight`` of the edges between values, and their number as ``support``.
    """
    if not spec.variables:
        return None
    truth = process_truth(spec)
    variable = {name: name for name in truth.events}
    variable |= {name: name_of_values(values) for values in spec.variables for name in values}
    weights: dict[tuple[str, str], list[float]] = defaultdict(list)
    for edge in truth.edges:
        ends = variable[edge["cause"]], variable[edge["effect"]]
        if ends[0] != ends[1]:
            weights[ends].append(edge["weight"])
    edges = tuple(
        {"cause": cause, "effect": effect, "weight": max(found), "support": len(found)}
        for (cause, effect), found in weights.items()
    )
    return CausalGraph("summary", tuple(sorted(set(variable.values()))), edges, {"truth": "structural"})
