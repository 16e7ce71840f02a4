"""By-type effects read by exact oracles: the four gates, and false discovery rates where every weight is known."""

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from exact_oracle import MAX_LAG, PREFIX, scored_exactly, true_effects
from graph_methods import OWN, RATES, graph_of
from known_graph import by_type

from hf_trace.discovery.by_type.by_type_run import by_type_effects, forward_shares
from hf_trace.discovery.by_type.by_type_sums import ByTypeEffects
from hf_trace.discovery.settings import DiscoveryRequest
from hf_trace.discovery.statistics import PairScores
from hf_trace.graphs.counted_graphs import BASELINES, CountingSettings
from hf_trace.graphs.metrics import score_listed_pairs
from hf_trace.logs.log import EventLog
from hf_trace.runs.event_model import EventModel
from hf_trace.runs.world_model import WorldModel, world_tokenizer
from hf_trace.worlds.simulator import DELTA, simulate
from hf_trace.worlds.world import WORLDS, World

GATES = ("steep", "medium", "flat", "small")
# What follows an event is not moved nearer by taking it out: lags count positions.
REQUEST = DiscoveryRequest().updated(
    level="population", construction="by-type", proposal="uniform", max_lag=MAX_LAG, prefix_length=PREFIX
)


def gate(name: str, options: argparse.Namespace) -> Iterator[dict]:
    """Pairs of types that came within six events of each other: which of them act, says the world itself.

    True is a pair whose mean effect over the places where it came exceeds .05 nats (200 draws for each place).
    """
    world = World(WORLDS[name])
    codes, log = _written(world, options.gate_sequences, 0)
    near = Near(codes, world.spec.types)
    truth = near.mean(np.concatenate([effects_in_order(each) for each in true_effects(world, codes)])) > DELTA
    started = time.perf_counter()
    found = scored_exactly(world, codes, 0)
    atomic = near.mean(np.concatenate([scores_in_order(each) for each in found]))
    yield _judged(name, "atomic", truth, atomic, atomic > DELTA, time.perf_counter() - started)
    started = time.perf_counter()
    model = exact_model(world)
    request = REQUEST.updated(num_samples=options.gate_draws)
    effects = by_type_effects(model, list(log), request)
    scores, edges = near.of(_table(log, effects, forward_shares(effects, log)))
    seconds = time.perf_counter() - started
    yield _judged(name, "by-type uniform", truth, scores, edges, seconds)
    scores, edges = near.of(_table(log, effects, None))
    yield _judged(name, "by-type uniform, no direction", truth, scores, edges, seconds)
    _, others = _written(world, options.counted, 1_000)
    for method, count in BASELINES.items():
        started = time.perf_counter()
        counts = count(others, CountingSettings(max_lag=MAX_LAG))
        scores, edges = near.of((counts.scores, counts.edges()))
        yield _judged(name, method, truth, scores, edges, time.perf_counter() - started)


def exact_rates(options: argparse.Namespace) -> Iterator[dict]:
    """Thresholds on a world without a hidden layer, where the pairs that act are those that have a weight."""
    world = World(replace(WORLDS["small"], nonlinearity="none"))
    codes, log = _written(world, options.exact_sequences, 0)
    near = Near(codes, world.spec.types)
    truth = world.acts()[near.pairs] != 0
    effects = by_type_effects(exact_model(world), list(log), REQUEST.updated(num_samples=options.gate_draws))
    forward = forward_shares(effects, log)
    for spec in (OWN, *RATES):
        scores, edges = near.of(_table(log, effects, forward, spec))
        found = _judged("", "", truth, scores, edges, 0.0)
        false = 1 - found["precision"] if found["edges"] else None
        shown = {key: found[key] for key in ("edges", "recall", "f1", "auroc", "auprc", "base_rate")}
        yield {"log": "exact oracle", "threshold": spec, "false": false, **shown}


def exact_model(world: World) -> EventModel:
    """The world as its own oracle."""
    return EventModel.of(WorldModel.of(world).eval(), world_tokenizer(world.spec))


def _written(world: World, sequences: int, seed: int) -> tuple[np.ndarray, EventLog]:
    """Sequences of a world, whose positions are no times."""
    found = simulate(world, sequences, seed=seed)
    return found.codes, replace(found.log, timestamps=None)


class Near:
    """Pairs of different types that came within reach of each other in some sequences."""

    def __init__(self, codes: np.ndarray, types: int) -> None:
        cause, effect = zip(*(_places(each) for each in codes), strict=True)
        keys = np.concatenate(cause) * types + np.concatenate(effect)
        self.listed, self.number = np.unique(keys, return_inverse=True)
        causes, effects = np.divmod(self.listed, types)
        self.differ = causes != effects
        self.pairs = causes[self.differ], effects[self.differ]

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Mean of values at all places, for each pair."""
        sums = np.bincount(self.number, weights=values)
        found: np.ndarray = (sums / np.bincount(self.number))[self.differ]
        return found

    def of(self, tables: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Entries of tables over types."""
        scores, edges = (table[self.pairs] for table in tables)
        return scores, edges


def _places(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Types of all tested pairs of positions, causes after the first few events, by cause and then by lag."""
    cause, effect = _positions(len(codes))
    return codes[cause], codes[effect]


def _positions(length: int) -> tuple[np.ndarray, np.ndarray]:
    cause, lag = (each.ravel() for each in np.mgrid[PREFIX:length, 1 : MAX_LAG + 1])
    inside = cause + lag < length
    return cause[inside], (cause + lag)[inside]


def effects_in_order(effects: np.ndarray) -> np.ndarray:
    """Effects ``[cause, lag]`` in the order of ``_places``."""
    cause, effect = _positions(len(effects))
    found: np.ndarray = effects[cause, effect - cause - 1]
    return found


def scores_in_order(scores: PairScores) -> np.ndarray:
    """Scores of pairs of positions in the order of ``_places``."""
    order = np.lexsort((scores.effect_position, scores.cause_position))
    found: np.ndarray = scores.cmi[order]
    return found


def _table(
    log: EventLog, effects: ByTypeEffects, forward: np.ndarray | None, threshold: str = OWN
) -> tuple[np.ndarray, np.ndarray]:
    """Strengths of all pairs of types and the edges of a graph."""
    graph = graph_of(effects, forward, threshold, min_support=1)
    strengths, edges = (by_type(log, graph, values) for values in (None, graph.adjacency()))
    return strengths, edges > 0


def _judged(log: str, method: str, truth: np.ndarray, scores: np.ndarray, edges: np.ndarray, seconds: float) -> dict:
    found = score_listed_pairs(truth, edges, scores)
    return {"log": log, "method": method, "setting": "", **found, "edges": int(edges.sum()), "seconds": seconds}
