"""Graphs of one log by every method, against its known graph."""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from harness import kept
from known_graph import by_type, made_once, row
from known_logs import KnownLog

from hf_trace.discovery.by_type.by_type_graph import STATISTIC_PARTS, by_type_graph
from hf_trace.discovery.by_type.by_type_run import by_type_effects, forward_shares, log_of_variables, taking_of
from hf_trace.discovery.by_type.by_type_sums import ByTypeEffects, ByTypeSums
from hf_trace.discovery.by_type.comparison import by_type_scores
from hf_trace.discovery.population.resampling import resampling_units
from hf_trace.discovery.results import log_result
from hf_trace.discovery.settings import DiscoveryRequest, DiscoverySettings
from hf_trace.discovery.thresholds import parse_threshold
from hf_trace.graphs.counted_graphs import BASELINES, CountingSettings
from hf_trace.graphs.graph import CausalGraph
from hf_trace.logs.log import EventLog
from hf_trace.logs.windows import sampled_sequences
from hf_trace.oracle.engine import Oracle
from hf_trace.runs.event_model import EventModel
from hf_trace.runs.training_samples import unseen_windows

# False discovery rate .1 above several effect sizes; the last is the package's own.
RATES = ("fdr:0.1,0", "fdr:0.1,0.02", "fdr:0.1")
POPULATION = DiscoveryRequest().updated(level="population", construction="atomic")
OWN = POPULATION.settings.threshold
RATED = ("edges", "recall", "f1")
BY_TYPE = POPULATION.updated(construction="by-type")


def measured(known: KnownLog, options: argparse.Namespace) -> dict[str, list[dict]]:
    """Every method on a log (``rows``), and what named thresholds keep of by-type effects (``rates``).

    What is done is kept in a file for each part, so that a run that was stopped goes on where it was.
    """
    folder = made_once(options.out / "oracles" / known.name, known.task.log, known.task.training)
    study = _Study(known, EventModel.load(folder), options)
    found: dict[str, list[dict]] = {"rows": [], "rates": []}
    for name, part in study.parts.items():
        each = kept(options.out / "parts" / f"{known.name}-{name}.json", lambda part=part: list(part()))
        for one in each:
            kind = "rates" if "threshold" in one else "rows"
            found[kind].append({"log": known.name, **one})
            if kind == "rows":
                print(f"{known.name}: {said(one)}", flush=True)
    return found


def said(found: dict) -> str:
    """A line of progress."""
    ranks = f"AUROC {found['auroc']:.3f}, AUPRC {found['auprc']:.3f}, F1 {found['f1']:.3f}"
    return f"{found['method']}: {ranks} ({found['edges']} edges), {found['seconds']:.1f} s"


class _Study:
    """A log with its oracles."""

    def __init__(self, known: KnownLog, model: EventModel, options: argparse.Namespace) -> None:
        self.known, self.model, self.options, self.log = known, model, options, known.task.log
        self.all = model.windows(self.log).log
        self.windows = sampled_sequences(self.all, options.windows, 0)

    @property
    def parts(self) -> dict[str, Callable[[], Iterator[dict]]]:
        """What is measured, by name."""
        parts = {
            "counted": self.counted, "by-type": self.by_type_rows, "oracles": self.by_all_oracles,
            "replaced": self.replaced, "atomic": self.atomic, "total": self.total,
        }  # fmt: skip
        return parts | ({"follows": self.follows} if "question" in DiscoverySettings.__dataclass_fields__ else {})

    def row(self, method: str, setting: str, graph: CausalGraph, seconds: float) -> dict:
        """How good a graph is."""
        tables = (by_type(self.log, graph, values, self.known.owners) for values in (None, graph.adjacency()))
        return row(self.known.task, method, setting, *tables, seconds)

    def timed(
        self,
        method: str,
        setting: str,
        request: DiscoveryRequest,
        windows: EventLog,
        owners: Sequence[str] | None = None,
    ) -> dict:
        """A graph as the package gives it."""
        started = time.perf_counter()
        graph = log_result(self.model, windows, request, whole=self.log).graph
        tables = (by_type(self.log, graph, values, owners) for values in (None, graph.adjacency()))
        return row(self.known.task, method, setting, *tables, time.perf_counter() - started)

    def counted(self) -> Iterator[dict]:
        """Counting over the whole log: of types, and of variables where they are something else."""
        logs = {"": self.log} | ({} if self.known.by_node is None else {"variables": self.known.by_node})
        for setting, log in logs.items():
            for name, method in BASELINES.items():
                started = time.perf_counter()
                found = method(log, CountingSettings())
                edges, seconds = found.edges(), time.perf_counter() - started
                place = {event: number for number, event in enumerate(log.event_types)}
                owners = self.known.owners if setting else self.log.event_types
                at = np.ix_(*[[place[owner] for owner in owners]] * 2)
                shown = f"{name}, {setting}" if setting else name
                yield row(self.known.task, shown, "whole log", found.scores[at], edges[at], seconds)

    def by_type_rows(self) -> Iterator[dict]:
        """By-type effects with every statistic; then what thresholds keep of them."""
        started = time.perf_counter()
        request = BY_TYPE.updated(variable=self.known.variable)
        effects = by_type_effects(self.model, list(self.windows), request)
        forward = self.forward(effects, request)
        seconds = time.perf_counter() - started
        for statistic in STATISTIC_PARTS:
            graph = graph_of(effects, forward, OWN, statistic)
            yield self.row(f"by-type {statistic}", f"{len(self.windows)} windows", graph, seconds)
        for spec in (OWN, *RATES):
            found = self.row("", spec, graph_of(effects, forward, spec), 0.0)
            yield {"threshold": spec, "false": false_share(found), **{key: found[key] for key in RATED}}

    def replaced(self) -> Iterator[dict]:
        """Others in the places of what is taken out."""
        windows = sampled_sequences(self.all, self.options.replaced, 0)
        request = BY_TYPE.updated(proposal="uniform", num_samples=self.options.draws, variable=self.known.variable)
        method, setting = "by-type uniform", f"{len(windows)} windows, {self.options.draws} draws"
        yield self.timed(method, setting, request, windows, self.known.owners)

    def forward(self, effects: ByTypeEffects, request: DiscoveryRequest) -> np.ndarray | None:
        """Direction shares, counted in the same windows."""
        return forward_shares(effects, log_of_variables(self.model, self.windows, request))

    def by_all_oracles(self) -> Iterator[dict]:
        """All oracles of the run: each on windows it has not seen, and each on all."""
        oracles = [self.model.oracle, *self.model.members]
        everything = np.ones((len(oracles), len(self.windows)), dtype=bool)
        unseen = unseen_windows(self.model.recipe, len(oracles), self.log, self.windows)
        request = BY_TYPE.updated(variable=self.known.variable)
        for method, scored in (("by-type cross-fitted", unseen), ("by-type all oracles", everything)):
            if scored is None or not scored.any():
                continue
            started = time.perf_counter()
            effects = averaged(self.model, oracles, self.windows, scored, request)
            graph = graph_of(effects, self.forward(effects, request), OWN)
            setting = f"{scored.any(0).sum()} windows, {len(oracles)} oracles"
            yield self.row(method, setting, graph, time.perf_counter() - started)

    def atomic(self) -> Iterator[dict]:
        """One event at a time."""
        few = self.options.windows if self.known.name == "alarms" else self.options.atomic
        windows = sampled_sequences(self.all, few, 0)
        yield self.timed("atomic", f"{len(windows)} windows", POPULATION, windows)

    @property
    def places(self) -> int:
        """In how many places events are forced: fewer in worlds."""
        return self.options.world_contexts if self.known.is_world else self.options.contexts

    def total(self) -> Iterator[dict]:
        """A type is forced, and what follows is sampled."""
        request = POPULATION.updated(effect="total", num_contexts=self.places)
        yield self.timed("total", f"{self.places} places", request, self.all)

    def follows(self) -> Iterator[dict]:
        """What comes after, by the named question."""
        asked: dict[str, Any] = {"question": "follows"}
        yield self.timed(
            "follows", f"{self.places} places", POPULATION.updated(num_contexts=self.places, **asked), self.all
        )


def graph_of(
    effects: ByTypeEffects,
    forward: np.ndarray | None,
    threshold: str,
    statistic: str = "log_ratio",
    min_support: int = POPULATION.min_support,
) -> CausalGraph:
    """The graph at a threshold, by the package's defaults."""
    return by_type_graph(
        effects,
        forward,
        parse_threshold(threshold),
        statistic=statistic,
        min_support=min_support,
        knowledge=None,
        resamples=0,
        seed=0,
    )


def averaged(
    model: EventModel, oracles: Sequence[Oracle], windows: EventLog, scored: np.ndarray, request: DiscoveryRequest
) -> ByTypeEffects:
    """By-type effects averaged over the oracles that may score a window, ``scored[oracle, window]``."""
    taking, units = taking_of(model, request), resampling_units(windows.ids)
    names, types = taking.variables.names, model.tokenizer.event_types
    sums = ByTypeSums(names, dict(zip(types, taking.variables.of_type.tolist(), strict=True)))
    for oracle, mine in zip(oracles, scored, strict=True):
        at = np.flatnonzero(mine)
        pairs = by_type_scores(oracle, windows.select(at), taking, batch_size=request.batch_size)
        for number, (sequence, scores) in zip(at, pairs, strict=True):
            sums.add(int(units[number]), sequence, scores, 1 / scored[:, number].sum())
    return sums.effects()


def false_share(found: dict) -> float | None:
    """Share of the edges that are false; of none there is none."""
    return 1 - found["precision"] if found["edges"] else None
