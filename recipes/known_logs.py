"""Logs whose causes are known: packaged, optional and made-up ones, and how their oracles are trained."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from known_graph import Task
from lathe import expert_graph, normal_operation

from hf_trace.discovery.by_type.event_variables import variable_names
from hf_trace.graphs.graph import CausalGraph
from hf_trace.logs.log import EventLog
from hf_trace.logs.samples import alarms_log, alarms_truth
from hf_trace.logs.sources import read_log
from hf_trace.training.log_training import TrainingSettings
from hf_trace.worlds.process_simulator import simulate_process
from hf_trace.worlds.process_worlds import process_world

PROCESSES = ("hawkes", "bursts", "periodic", "signals", "chatter", "together", "inhibition", "hidden")
SEQUENCES = 60


@dataclass(frozen=True)
class KnownLog:
    """A log with its known graph.

    Attributes:
        name: What it is called.
        task: The log, the truth, and how its oracles are trained.
        variable: Patterns that make one variable of several event types.
        by_node: The log with variables for types, for counting; None where that is the same.
    """

    name: str
    task: Task
    variable: tuple[str, ...] = ()
    by_node: EventLog | None = None

    @property
    def owners(self) -> list[str]:
        """The variable of each event type."""
        return variable_names(self.task.log.event_types, self.variable)

    @property
    def is_world(self) -> bool:
        """Whether it is one of the worlds on which the default statistic was chosen."""
        return self.name in PROCESSES


def known_logs(csl: str, causrca: str, *, small: bool) -> dict[str, Callable[[], KnownLog]]:
    """What reads each log, by name; the optional ones where their folders are named."""
    found: dict[str, Callable[[], KnownLog]] = {"alarms": lambda: _alarms(small)}
    if csl:
        found["csl"] = lambda: _csl(Path(csl))
    if causrca:
        found["causrca"] = lambda: _causrca(Path(causrca))
    names = PROCESSES[:1] if small else PROCESSES
    return found | {name: (lambda name=name: _process(name, small)) for name in names}


def _task(log: EventLog, truth: np.ndarray, ensemble: int, small: bool = False) -> Task:
    training = TrainingSettings(window_length=64, ensemble=ensemble)
    if small:
        training = replace(training, preset="nano", window_length=32, epochs=0.2, ensemble=2)
    return Task(log, truth, lambda scores: scores, training, {}, (), 0.0)


def _alarms(small: bool) -> KnownLog:
    log = alarms_log()
    if small:
        log = EventLog.from_sequences(log.select(range(4)))
    edges = [edge for edge in alarms_truth() if set(edge) <= set(log.event_types)]
    return KnownLog("alarms", _task(log, CausalGraph.from_edges(edges, events=log.event_types).adjacency(), 5, small))


def _csl(data: Path) -> KnownLog:
    """Each device is a sequence of its own."""
    columns = {"case_column": "device_id", "event_column": "alarm_id", "time_column": "start_timestamp"}
    log = read_log(data / "alarm.csv", **columns)
    order = [int(name) for name in log.event_types]
    return KnownLog("csl", _task(log, np.load(data / "true_graph.npy")[np.ix_(order, order)] > 0, 5))


def _causrca(data: Path) -> KnownLog:
    """Nodes of the lathe are variables; their changes, `node=value`, are events."""
    log = normal_operation(data)
    graph = expert_graph(data, log)
    task = replace(_task(log, graph.truth, 3), fold=graph.fold, training=TrainingSettings(ensemble=3))
    return KnownLog("causrca", task, ("*=*",), normal_operation(data, by_node=True))


def _process(name: str, small: bool) -> KnownLog:
    """A world in continuous time; that a value makes room for others of its variable is no cause."""
    written = simulate_process(process_world(name), 4 if small else SEQUENCES, seed=0)
    types = written.log.event_types
    caused = [(edge["cause"], edge["effect"]) for edge in written.truth.edges if edge["kind"] != "state"]
    return KnownLog(name, _task(written.log, CausalGraph.from_edges(caused, events=types).adjacency(), 3, small))
