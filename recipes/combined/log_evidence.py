"""What speaks for each pair of types of a log, beside the truth: made once, kept in a file, turned into features."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from labelled_logs import LabelledLog

from hf_trace.discovery.by_type.by_type_run import by_type_effects, forward_shares, log_of_variables
from hf_trace.discovery.by_type.by_type_sums import SUMS
from hf_trace.discovery.by_type.pair_evidence import COUNTED, TOLD, counted_tables, pair_features, told_tables
from hf_trace.discovery.settings import DiscoveryRequest
from hf_trace.graphs.counted_graphs import BASELINES, CountingSettings
from hf_trace.logs.log import EventLog
from hf_trace.logs.places.histories import with_neighbours
from hf_trace.logs.places.topology import Topology
from hf_trace.logs.windows import sampled_sequences
from hf_trace.runs.event_model import EventModel

BY_TYPE = DiscoveryRequest().updated(level="population", construction="by-type")
# Counts whose own rule says which pairs are edges.
RULED = ("onset", "hawkes")
NEEDED = dict.fromkeys(
    (*COUNTED, *TOLD, *SUMS, *(f"{name}_error" for name in SUMS), "forward", "begins", "before", "causes", "effects")
)


@dataclass(frozen=True, eq=False)
class Evidence:
    """Tables of all pairs of types, cause by effect.

    Attributes:
        kind: What sort of log it is.
        truth: Whether each pair is an edge.
        follows: Whether the effect is a consequence of the cause, by whatever way.
        tables: Those of ``NEEDED``.
        edges: What the own rules of ``RULED`` say.
    """

    kind: str
    truth: np.ndarray
    follows: np.ndarray
    tables: dict[str, np.ndarray]
    edges: dict[str, np.ndarray]

    @cached_property
    def off(self) -> np.ndarray:
        """All but the diagonal."""
        return ~np.eye(len(self.truth), dtype=bool)

    @cached_property
    def features(self) -> np.ndarray:
        """Of each pair of different types."""
        return pair_features(self.tables)[0]

    def labels(self, question: str = "drives") -> np.ndarray:
        """Whether each of these pairs is an edge, where one question is asked."""
        return {"drives": self.truth, "follows": self.follows}[question][self.off]

    def scores(self, name: str) -> np.ndarray:
        """One number for each of these pairs."""
        return np.nan_to_num(self.tables[name][self.off])

    def save(self, path: Path) -> None:
        """Write all of it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".tmp.npz")
        np.savez_compressed(
            unfinished, kind=self.kind, truth=self.truth, follows=self.follows,
            **{name: self.tables[name] for name in NEEDED}, **{f"{name}_edges": self.edges[name] for name in RULED},
        )  # fmt: skip
        unfinished.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Evidence":
        """What was saved."""
        with np.load(path) as file:
            tables, edges = {name: file[name] for name in NEEDED}, {name: file[f"{name}_edges"] for name in RULED}
            return cls(str(file["kind"]), file["truth"], file["follows"], tables, edges)


def evidence_of(labelled: LabelledLog, model: EventModel, windows: int) -> Evidence:
    """What counting the log and asking its oracle in some windows says, as statistic ``combined`` does it."""
    log, counted = history(labelled), labelled.counted
    drawn = sampled_sequences(model.windows(log).log, windows, 0)
    request = BY_TYPE.updated(variable=labelled.variable)
    effects = by_type_effects(model, list(drawn), request)
    forward = forward_shares(effects, log_of_variables(model, drawn, request))
    joined = None if labelled.network is None else Topology.of_network(counted, labelled.network)
    settings = CountingSettings(request.settings.max_lag, topology=joined)
    tables = counted_tables(counted, settings) | told_tables(effects, forward, counted.event_types)
    edges = {name: BASELINES[name](counted, settings).edges() for name in RULED}
    return Evidence(labelled.kind, labelled.truth, labelled.follows, tables, edges)


def history(labelled: LabelledLog) -> EventLog:
    """What the oracle reads: with a network also what happened at the neighbours."""
    return labelled.log if labelled.network is None else with_neighbours(labelled.log, labelled.network)


def kept_evidence(folder: Path) -> Iterator[tuple[str, Evidence]]:
    """All that a folder holds, by name."""
    for path in sorted(folder.glob("*.npz")):
        yield path.stem, Evidence.load(path)
