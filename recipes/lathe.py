"""The log of a lathe and its expert graph (causRCA), and made-up recordings of the same form."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hf_trace.logs.log import EventLog
from hf_trace.logs.sources import read_log

WHERE = "folder of the data set causRCA (Apache-2.0, from causalgraph/causRCA)"
# Changes of binary variables, and alarms.
KEPT = "type in ['Binary', 'Alarm'] and time_s > 0"
_COUNT = {"real_op": 8, "run": 5}


@dataclass(frozen=True)
class ExpertGraph:
    """The nodes that occur in a log, and what the expert says of them.

    Attributes:
        nodes: In order.
        node_of_type: Index of the node of every event type of the log.
        truth: True where row causes column.
        linked: Indices of the nodes that have an edge anywhere in the whole graph.
    """

    nodes: tuple[str, ...]
    node_of_type: np.ndarray
    truth: np.ndarray
    linked: np.ndarray

    def fold(self, values: np.ndarray) -> np.ndarray:
        """Largest value of a pair of nodes over the pairs of their event types."""
        largest = np.full((len(self.nodes),) * 2, values.min(), dtype=values.dtype)
        np.maximum.at(largest, (self.node_of_type[:, None], self.node_of_type[None]), values)
        return largest


def normal_operation(data: Path, *, by_node: bool = False) -> EventLog:
    """The recordings of normal operation; an event is ``node=value``, or with ``by_node`` the node."""
    return read_log(data / "real_op", event_column="node" if by_node else ["node", "value"], query=KEPT)


def expert_graph(data: Path, log: EventLog) -> ExpertGraph:
    """What the expert says of the nodes in a log."""
    of_type = [name.rpartition("=")[0] for name in log.event_types]
    nodes = sorted(set(of_type))
    truth = np.zeros((len(nodes), len(nodes)), dtype=bool)
    linked = set()
    with (data / "expert_graph" / "all_edges.csv").open(encoding="utf-8") as file:
        for edge in csv.DictReader(file):
            ends = edge["source_label"], edge["target_label"]
            linked |= set(ends)
            if ends[0] != ends[1] and set(ends) <= set(nodes):
                truth[nodes.index(ends[0]), nodes.index(ends[1])] = True
    places = np.array([nodes.index(name) for name in of_type])
    return ExpertGraph(tuple(nodes), places, truth, np.flatnonzero([name in linked for name in nodes]))


def made_up(folder: Path) -> None:
    """A pump that stops when its filter clogs, a valve that closes when the pressure is low; each raises an alarm."""
    rng = np.random.default_rng(0)
    chains = {"coolant": ("F_Ok", "P_On", "F_A_1"), "hydraulics": ("H_Ok", "V_Up", "H_A_2")}
    edges = [edge for first, then, alarm in chains.values() for edge in ((first, then), (then, alarm))]
    _write(folder / "expert_graph" / "all_edges.csv", "source_label,target_label", [f"{a},{b}" for a, b in edges])
    for number in range(_COUNT["real_op"]):
        _recording(folder / "real_op" / f"normal_{number}.csv", list(chains.values()), rng)
    for group, chain in chains.items():
        experiment = folder / "dig_twin" / f"exp_{group}" / f"exp_{group}"
        for number in range(_COUNT["run"]):
            _recording(experiment / f"run_{number}" / f"fault_{group}_{number}.csv", [chain] * 2, rng)
            (experiment / f"run_{number}" / "causes.json").write_text(json.dumps({"diagnosis_at": 1e3}))
        about = {"exp_id": f"exp_{group}", "alarms": [chain[2]], "manipulatedVars": [chain[0]]}
        (experiment / f"exp_{group}_description.json").write_text(json.dumps(about))


def _recording(path: Path, chains: list[tuple[str, ...]], rng: np.random.Generator) -> None:
    """In every chain one thing after another, again and again, beside a temperature and a heartbeat."""
    lines = ["0.0,T_Oil,20.0,Continuous"]
    for turn in range(4):
        for first, then, alarm in [chains[number] for number in rng.permutation(len(chains))]:
            at = 10.0 * turn + np.sort(rng.uniform(1, 9, 3)).round(3)
            state = str(turn % 2 == 1)
            lines += [f"{at[0]},{first},{state},Binary", f"{at[1]},{then},{state},Binary"]
            lines.append(f"{at[2]},{alarm},{state == 'False'},Alarm")
        lines += [f"{10 * turn + 9.5},M_Lifebit,True,Binary", f"{10 * turn + 9.8},T_Oil,{20 + turn}.0,Continuous"]
    lines.sort(key=lambda line: float(line.split(",")[0]))
    _write(path, "time_s,node,value,type", lines)


def _write(path: Path, head: str, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([head, *lines, ""]), encoding="utf-8")
