"""Logs with known graphs that no classifier was fitted to, and how good each score is on them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from known_graph import by_type
from known_logs import KnownLog, known_logs
from labelled_logs import LabelledLog
from log_evidence import RULED, Evidence, history
from scipy.stats import rankdata
from sklearn.metrics import brier_score_loss

from hf_trace.discovery.results import log_result
from hf_trace.discovery.settings import COMBINED, DiscoveryRequest
from hf_trace.edges.joined_places import read_joined_places
from hf_trace.graphs.metrics import score_graph
from hf_trace.logs.places.place_network import PlaceNetwork
from hf_trace.logs.windows import sampled_sequences
from hf_trace.runs.edge_model import EdgeModel
from hf_trace.runs.event_model import EventModel
from hf_trace.training.log_training import TrainingSettings
from hf_trace.worlds.place_worlds import PlaceWorld, simulate_places
from hf_trace.worlds.process_worlds import process_world

NETWORKS = ("within", "between", "both", "directed")
_SIX_HOURS = 21_600.0
_MARGIN, _LIKELIER = 0.05, 0.5
Judged = tuple[LabelledLog, TrainingSettings]


def judged_logs(csl: str, causrca: str, *, small: bool) -> dict[str, Callable[[], Judged]]:
    """What reads each log and says how its oracle is trained, by name; optional ones where their folders are named."""
    known = known_logs(csl, causrca, small=small)
    found: dict[str, Callable[[], Judged]] = {name: (lambda read=read: _judged(read())) for name, read in known.items()}
    if csl:
        found["csl, topology"] = lambda: _with_topology(found["csl"](), Path(csl) / "topology.npy")
    names = NETWORKS[-1:] if small else NETWORKS
    return found | {f"network, {name}": (lambda name=name: _network(name, small)) for name in names}


def _judged(known: KnownLog) -> Judged:
    task = known.task
    names = task.log.event_types if known.by_node is None else sorted(known.by_node.event_types)
    edges = {(names[cause], names[effect]): np.nan for cause, effect in np.argwhere(task.truth)}
    return LabelledLog(known.name, task.log, edges, variable=known.variable), replace(task.training, ensemble=1)


def _with_topology(alone: Judged, path: Path) -> Judged:
    return replace(alone[0], network=PlaceNetwork.of(list(read_joined_places(path)))), TrainingSettings()


def _network(name: str, small: bool) -> Judged:
    """The world "hawkes" at 30 places that are joined at random; its edges act as the name says."""
    size, is_directed = 6 if small else 30, name == "directed"
    rng = np.random.default_rng(181)
    names = [f"p{number:02d}" for number in range(size)]
    pairs = [(a, b) for a in names for b in names if (a != b if is_directed else a < b) and rng.random() < 3 / size]
    network = PlaceNetwork.of(pairs, directed=is_directed)
    spec = replace(process_world("hawkes"), duration=_SIX_HOURS)
    edges = {(edge.cause, edge.effect): edge.weight for edge in spec.edges}
    world = PlaceWorld(spec, network, dict.fromkeys(edges, "both" if is_directed else name))
    training = TrainingSettings(preset="nano", window_length=32, epochs=0.2) if small else TrainingSettings()
    return LabelledLog(name, simulate_places(world, seed=0), edges, network), training


def scored(found: Evidence, model: EdgeModel) -> list[dict]:
    """A row for each score: how well it ranks, and what its own rule names."""
    strength = np.nan_to_num(found.tables["strength"])
    rows = [row(found.truth, name, found.tables[name], found.edges[name]) for name in RULED]
    rows.append(row(found.truth, "by-type", strength, strength > _MARGIN))
    base = float(found.labels().mean())
    for method, question in COMBINED.items():
        probability = np.zeros(found.truth.shape)
        probability[found.off] = said = model.probabilities(found.features, question)
        combined = row(found.truth, method, probability, probability > _LIKELIER)
        brier = float(brier_score_loss(found.labels(), said))
        rows.append(combined | {"brier": brier, "brier_base": base * (1 - base), "mean": float(said.mean())})
    both = np.zeros(found.truth.shape)
    both[found.off] = np.mean([rankdata(each) for each in (found.scores("onset"), said)], axis=0)
    return [*rows, row(found.truth, "mean rank of onset and combined_follows", both, None)]


def row(truth: np.ndarray, method: str, scores: np.ndarray, edges: np.ndarray | None) -> dict:
    """One line; without edges there is no F1."""
    own = score_graph(truth, np.zeros_like(truth) if edges is None else edges, np.nan_to_num(scores))
    away = ~np.eye(len(truth), dtype=bool)
    line = {
        "method": method, "auroc": own.auroc, "auprc": own.auprc, "base_rate": own.base_rate,
        "predict_all_f1": own.predict_all_f1,
    }  # fmt: skip
    return line if edges is None else line | {"f1": own.f1, "edges": int(edges[away].sum())}


def atomic(labelled: LabelledLog, model: EventModel, windows: int) -> dict:
    """One event at a time, in some windows."""
    drawn = sampled_sequences(model.windows(history(labelled)).log, windows, 0)
    asked = DiscoveryRequest().updated(level="population", construction="atomic")
    graph = log_result(model, drawn, asked, whole=labelled.log).graph
    counted = labelled.counted
    scores, edges = (by_type(labelled.log, graph, values) for values in (None, graph.adjacency()))
    folded = [_folded(labelled, values) for values in (scores, np.asarray(edges, dtype=float))]
    return row(labelled.truth, "atomic", folded[0], folded[1] > 0) | {"types": len(counted.event_types)}


def _folded(labelled: LabelledLog, values: np.ndarray) -> np.ndarray:
    """The largest of the values of each pair of variables."""
    place = {name: number for number, name in enumerate(labelled.counted.event_types)}
    at = np.array([place[owner] for owner in labelled.owners])
    largest = np.full((len(place),) * 2, values.min())
    np.maximum.at(largest, (at[:, None], at[None]), values)
    return largest
