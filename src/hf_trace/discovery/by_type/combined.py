"""One graph from all evidence: by-type effects of an oracle and counts of the log, as the probability of each edge."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float

from hf_trace.discovery.by_type.by_type_graph import by_type_graph
from hf_trace.discovery.by_type.by_type_sums import ByTypeEffects
from hf_trace.discovery.by_type.pair_evidence import Shares, counted_tables, pair_features, told_tables
from hf_trace.discovery.settings import COMBINED, DiscoveryRequest
from hf_trace.discovery.statistics import PairScores
from hf_trace.discovery.thresholds import Bound, Fdr, Threshold, parse_threshold
from hf_trace.documents import Document
from hf_trace.errors import SettingsError
from hf_trace.graphs.counted_graphs import MOST_SCORED_TYPES, CountingSettings
from hf_trace.graphs.graph import CausalGraph
from hf_trace.graphs.knowledge import with_required
from hf_trace.graphs.places_of_edges import fold_places
from hf_trace.logs.log import EventLog
from hf_trace.logs.places.near_names import plain_name
from hf_trace.logs.places.topology import topology_of
from hf_trace.runs.edge_model import shipped_edge_model

_ALL = Bound("fixed", -np.inf)
_BESIDE = ("onset", "hawkes")
Table = Float[np.ndarray, "cause effect"]
Kept = Bool[np.ndarray, "cause effect"]


def combined_graph(
    effects: ByTypeEffects,
    forward: Shares | None,
    counted: EventLog,
    request: DiscoveryRequest,
    *,
    plain: Callable[[str], str] = plain_name,
) -> CausalGraph:
    """The graph whose edges are probably real: of what drives what, or with ``combined_follows`` of what follows what.

    The probability is that of a small classifier which has seen simulated logs alone (``runs.edge_model``; how it was
    trained and how far it can be trusted says the recipe ``combined``).

    Args:
        effects: By-type effects, of variables and, with a topology, of neighbours' events.
        forward: Direction shares, see ``strengths``.
        counted: The log, by variable, each place by itself; its types are those of the graph.
        request: Statistic, threshold (``fixed:P``: probabilities above P; ``fdr:Q``: as many of the likeliest pairs as
            are expected to have a share Q of false ones), support, knowledge.
        plain: The name in ``counted`` of a variable of ``effects``: without a topology no name is a neighbour's.

    Returns:
        Edges as ``by_type_graph`` has them, but for ``cmi``, which is the ``probability``; ``by_type`` is the strength
        of by-type effects (nats per cause), ``onset`` and ``hawkes`` are what counting says. ``metadata["scores"]``
        holds the probability of every pair.

    Raises:
        SettingsError: If there are more than 1,000 types, or the log cannot be counted.
    """
    names, settings = counted.event_types, request.settings
    if len(names) > MOST_SCORED_TYPES:
        raise SettingsError(
            f"The log has {len(names):,} types, and statistic 'combined' ranks all pairs of at most "
            f"{MOST_SCORED_TYPES:,}. Leave out rare ones (`--query`), or take another statistic."
        )
    reach = settings.max_lag or int(counted.sequence_lengths.max())
    tables = counted_tables(counted, CountingSettings(reach, topology=topology_of(counted)))
    tables |= told_tables(effects, forward, names, plain)
    features, off = pair_features(tables)
    scores = np.zeros(off.shape)
    scores[off] = shipped_edge_model().probabilities(features, COMBINED[settings.statistic])
    kept = _kept(scores, off, parse_threshold(settings.threshold))
    kept &= (_sequences_with(counted) >= request.min_support)[:, None]
    if settings.knowledge is not None:
        for cause, effect in np.argwhere(kept).tolist():
            kept[cause, effect] = settings.knowledge.allows(names[cause], names[effect])
    told = _told(effects, forward, names, kept, request, plain)
    edges = tuple(
        {**told.get((names[cause], names[effect]), {"cause": names[cause], "effect": names[effect],
         "direction": "excites"}), "cmi": scores[cause, effect], "probability": scores[cause, effect],
         "by_type": tables["strength"][cause, effect], **{name: tables[name][cause, effect] for name in _BESIDE}}
        for cause, effect in np.argwhere(kept).tolist()
    )  # fmt: skip
    matrix = {"events": list(names), "matrix": scores.tolist()}
    graph = CausalGraph("population", names, edges, {"strength": "probability", "scores": matrix})
    if settings.knowledge is None:
        return graph
    place = {name: number for number, name in enumerate(names)}
    required = settings.knowledge.required_among(names)
    return with_required(graph, settings.knowledge, {(a, b): float(scores[place[a], place[b]]) for a, b in required})


def _kept(scores: Table, off: Kept, threshold: Threshold) -> Kept:
    """Pairs that a threshold on probabilities makes edges."""
    probability, kept = scores[off], np.zeros_like(off)
    if isinstance(threshold, Fdr):
        order = np.argsort(-probability, kind="stable")
        false = np.cumsum(1 - probability[order]) / np.arange(1, len(order) + 1)
        chosen = np.zeros(len(order), dtype=bool)
        chosen[order[false <= threshold.level]] = True
    else:
        index = np.arange(len(probability))
        chosen = threshold.keep(PairScores(index, index + 1, probability, probability, np.full(len(index), np.nan)))
    kept[off] = chosen
    return kept


def _sequences_with(log: EventLog) -> Float[np.ndarray, " type"]:
    """In how many sequences each type is."""
    sequence = np.repeat(np.arange(len(log)), log.sequence_lengths)
    pairs = np.unique(np.stack([sequence, log.codes]), axis=1)
    return np.bincount(pairs[1], minlength=len(log.event_types)).astype(np.float64)


def _told(
    effects: ByTypeEffects,
    forward: Shares | None,
    names: tuple[str, ...],
    kept: Kept,
    request: DiscoveryRequest,
    plain: Callable[[str], str],
) -> dict[tuple[str, str], Document]:
    """What by-type effects say of the pairs that are kept."""
    number = {name: place for place, name in enumerate(names)}
    place = np.array([number.get(plain(name), -1) for name in effects.names], dtype=np.int64)
    graph = by_type_graph(
        effects.among(kept[np.ix_(place, place)] & (place[:, None] >= 0) & (place >= 0)),
        forward,
        _ALL,
        statistic="log_ratio",
        min_support=0,
        knowledge=None,
        resamples=request.bootstrap,
        seed=request.settings.seed,
    )
    if any(name != plain(name) for name in effects.names):
        graph = fold_places(graph, occurrences=dict(zip(effects.names, effects.occurrences.tolist(), strict=True)))
    return {(edge["cause"], edge["effect"]): edge for edge in graph.edges}
