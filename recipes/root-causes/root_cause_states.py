# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""Root causes of faults of a lathe from the states of its variables (causRCA), beside counting and simulated faults.

    python recipes/root-causes/root_cause_states.py --data PATH/TO/causrca --out runs/root-causes

A model of states is trained on normal operation. At the last alarm of every fault recording the states are ranked by
how odd they are; alarms are never causes. What a ranking has seen is said beside it: normal operation alone, faults of
other scenarios, recordings of the same fault, or the expert's graph. Causes are never told. Simulated faults, put into
other recordings and into worlds, show what the rule was chosen on.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import networkx as nx
import numpy as np
import torch
from harness import Recipe, Report, Size
from harness import table as markdown_table
from lathe import WHERE, made_up
from rankings import CountingRanks, average_precision_at, ranking_scores
from recordings import GROUPS, Incident, incidents, normal_ranges, normal_recordings
from state_faults import Fault, LatheFaults, first_found, world_faults, world_states

from hf_trace.edges.edge_reader import numbered_rows
from hf_trace.logs.log import EventLog
from hf_trace.logs.states.state_log import StateLog
from hf_trace.questions.normal_states import NormalStates, OddState
from hf_trace.questions.state_ranking import SeenIncident, StateCause, ordered_causes, variable_graph
from hf_trace.questions.state_runs import STATES_FILE, load_states
from hf_trace.tables.encoding import DagTable
from hf_trace.training.state_training import StateTrainingSettings, snapshot_table, train_states
from hf_trace.training.table_training import DagTrainingSettings

ALARMS = "*_A_[0-9]*"
Scored = Callable[[OddState], float]


@dataclass(frozen=True)
class Case:
    """An incident at its last alarm.

    Attributes:
        odd: The states, with how odd they are.
        incident: Where they are from.
        raised: Its alarms, as events.
        alarms: Their variables.
        values: What every variable holds.
    """

    odd: list[OddState]
    incident: Incident
    raised: frozenset[str]
    alarms: tuple[str, ...]
    values: dict[str, str]

    @property
    def seen(self) -> SeenIncident:
        """What others may know of it."""
        return SeenIncident(self.raised, self.values)


class Odd:
    """How unlike each other two states are, counted over snapshots of normal operation (J of the comparison)."""

    def __init__(self, table: DagTable) -> None:
        names = list(table.columns)
        self._values = {name: table.schema[name].values for name in names}
        self._columns = {name: np.asarray(table.columns[name]) for name in names}

    def unlike(self, states: dict[str, str], name: str) -> float:
        """J: sum over the other variables of max(0, ln P(s) P(t) / P(s, t))."""
        own = self._holds(states, name)
        if own is None:
            return 0.0
        others = [self._holds(states, other) for other in self._values if other != name]
        return sum(max(0.0, _log_ratio(own, other)) for other in others if other is not None)

    def _holds(self, states: dict[str, str], name: str) -> np.ndarray | None:
        values = self._values.get(name, ())
        return self._columns[name] == values.index(states[name]) if states.get(name) in values else None


def _log_ratio(one: np.ndarray, other: np.ndarray) -> float:
    count = len(one) + 1.0
    shares = ((one.sum() + 0.5) / count, (other.sum() + 0.5) / count, ((one & other).sum() + 0.25) / count)
    return float(np.log(shares[0] * shares[1] / shares[2]))


def by(score: Scored, odd: Sequence[OddState]) -> list[str]:
    """Variables by a score, of equal ones the earliest onset first."""

    def key(state: OddState) -> tuple[float, float, str]:
        return -round(score(state), 2), np.inf if state.onset is None else state.onset, state.variable

    return [state.variable for state in sorted(odd, key=key)]


def _either(unlike: dict[str, float]) -> Scored:
    return lambda state: max(state.rarity, unlike[state.variable] / 5)


def names_of(causes: Sequence[StateCause]) -> list[str]:
    """Their variables."""
    return [cause.state.variable for cause in causes]


def states_run(out: Path, normal: EventLog, *, snapshots: int, seed: int) -> tuple[NormalStates, float | None]:
    """The model of normal operation and the CPU seconds of its training; a folder that exists is used as it is."""
    folder = out / f"states-{seed}"
    if (folder / STATES_FILE).exists():
        return load_states(folder), None
    settings = StateTrainingSettings(snapshots, DagTrainingSettings(epochs=4.0, seed=seed))
    started = time.process_time()
    return train_states(normal, folder, settings).normal, time.process_time() - started


def cases(normal: NormalStates, faults: Sequence[Incident]) -> tuple[list[Case], StateLog, float]:
    """Every incident at its last alarm before the diagnosis, and the CPU seconds of each."""
    cut = []
    for each in faults:
        times = each.sequence.timestamps or ()
        cut.append(each.sequence.part(0, sum(moment <= each.diagnosed for moment in times)))
    states, found = normal.read(EventLog.from_sequences(cut)), []
    started = time.process_time()
    for number, incident in enumerate(faults):
        wanted = [f"{alarm}=True" for alarm in incident.alarms if f"{alarm}=True" in states.names]
        raised = states.raised(number, wanted)
        moment = max(raised.values())
        odd = normal.odd_states(states.histories[number], moment, (ALARMS,))
        values = {name: held.value for name, held in states.histories[number].at(moment).items()}
        alarms = tuple(states.names[name].variable for name in raised)
        found.append(Case(odd, incident, frozenset(raised), alarms, values))
    return found, states, (time.process_time() - started) / len(faults)


def rankings(normal: NormalStates, found: Sequence[Case], odd: Odd, graph: nx.DiGraph) -> dict[str, list[list[str]]]:
    """Variables in the order of every method, for every incident; the name begins with what was seen."""
    rng = np.random.default_rng(0)
    ranked: dict[str, list[list[str]]] = {}

    def add(name: str, order: Sequence[str]) -> None:
        ranked.setdefault(name, []).append(list(order))

    for case in found:
        unlike = {state.variable: odd.unlike(case.values, state.variable) for state in case.odd}
        changed = [state for state in case.odd if state.since is not None]
        others = [each.seen for each in found if each.incident.experiment != case.incident.experiment]
        same = [each.seen for each in found if each.incident.fold != case.incident.fold]
        asked = {"raised": case.raised, "alarms": case.alarms}
        add("normal | states (the rule)", names_of(ordered_causes(case.odd, normal.horizon, **asked)))
        add("normal | R + C, nothing explained", by(lambda state: state.score, case.odd))
        add("normal | R", by(lambda state: state.rarity, case.odd))
        only_rare = [replace(state, context=0.0) for state in case.odd]
        add("normal | R, explained", names_of(ordered_causes(only_rare, normal.horizon, **asked)))
        add("normal | max(R, J / 5)", by(_either(unlike), case.odd))
        add("normal | context alone", by(lambda state: state.context, case.odd))
        add("nothing | recency", by(lambda state: state.since or 0.0, changed))
        add("nothing | random", rng.permutation([state.variable for state in changed]).tolist())
        for name, seen in (("other faults", others), ("same fault", same)):
            add(f"{name} | states", names_of(ordered_causes(case.odd, normal.horizon, seen=seen, **asked)))
            add(f"{name} | R", names_of(ordered_causes(only_rare, 0.0, seen=seen, **asked)))
        add("graph | states", names_of(ordered_causes(case.odd, normal.horizon, graph=graph, **asked)))
        add("graph | R", names_of(ordered_causes(only_rare, 0.0, graph=graph, **asked)))
        add("graph, other faults | states",
            names_of(ordered_causes(case.odd, normal.horizon, seen=others, graph=graph, **asked)))  # fmt: skip
    return ranked


def counted(faults: Sequence[Incident], normal: Sequence, folds: Sequence[int]) -> dict[str, dict[int, list[str]]]:
    """Rankings by counting events of normal operation and of the faults of other folds; alarms take turns."""
    found: dict[str, dict[int, list[str]]] = {}
    for fold in folds:
        seen = [each.sequence for each in faults if each.fold != fold]
        counts = CountingRanks(EventLog.from_sequences([*normal, *seen]), max_lag=32)
        for number, incident in enumerate(faults):
            if incident.fold != fold:
                continue
            events = incident.sequence.events
            for name in ("lift", "co-occurrence PageRank"):
                lists = []
                for alarm in incident.alarms:
                    outcome = f"{alarm}=True"
                    if outcome not in events:
                        continue
                    before = list(events[max(0, events.index(outcome) - 32) : events.index(outcome)])
                    before = [each for each in before if "_A_" not in each]
                    scores = counts.all[name](before, outcome)
                    order = sorted(range(len(before)), key=lambda place: -scores[place])
                    lists.append(list(dict.fromkeys(before[place].rpartition("=")[0] for place in order)))
                longest = max(map(len, lists), default=0)
                turns = dict.fromkeys(each[place] for place in range(longest) for each in lists if place < len(each))
                found.setdefault(f"same fault | {name}", {})[number] = list(turns)
    return found


def simulated(normal: NormalStates, faults: Sequence[Fault], moments: Sequence[Fault], odd: Odd) -> dict[str, float]:
    """Share of faults found first, MAP@3, and how often something stands out with and without a fault."""
    found: dict[str, list[list[str]]] = {}
    loud = []
    for fault in faults:
        states = normal.odd_states(fault.history, fault.time)
        values = {name: held.value for name, held in fault.history.at(fault.time).items()}
        unlike = {state.variable: odd.unlike(values, state.variable) for state in states}
        loud.append(max(state.score for state in states) > normal.bound)
        rare = [replace(state, context=0.0) for state in states]
        for name, order in (
            ("states (the rule)", names_of(ordered_causes(states, normal.horizon))),
            ("R + C, nothing explained", by(lambda state: state.score, states)),
            ("R", by(lambda state: state.rarity, states)),
            ("R, explained", names_of(ordered_causes(rare, normal.horizon))),
            ("max(R, J / 5)", by(_either(unlike), states)),
            ("context alone", by(lambda state: state.context, states)),
        ):
            found.setdefault(name, []).append(order)
    result = {}
    for name, orders in found.items():
        result[f"{name}: first"] = first_found(orders, faults)
        result[f"{name}: MAP@3"] = float(
            np.mean([average_precision_at(order, each.causes, 3) for order, each in zip(orders, faults, strict=True)])
        )
    result["something stands out"] = float(np.mean(loud))
    quiet = [max(state.score for state in normal.odd_states(each.history, each.time)) for each in moments]
    result["something stands out in normal moments"] = float(np.mean([score > normal.bound for score in quiet]))
    return result


def expert_graph(data: Path, states: StateLog) -> nx.DiGraph:
    """What the expert says, between variables."""
    rows = numbered_rows((data / "expert_graph" / "all_edges.csv").read_text(encoding="utf-8"), ",")
    header = rows[0][1]
    ends = header.index("source_label"), header.index("target_label")
    return variable_graph(nx.DiGraph([(row[ends[0]], row[ends[1]]) for _, row in rows[1:]]), states)


def measure(options: argparse.Namespace) -> Report:
    """Train, rank every incident with what each method may know, and check on simulated faults."""
    torch.set_num_threads(1)
    data = Path(options.data)
    ranges = normal_ranges(data)
    recordings, faults = (read(data, ranges, snapshot=True) for read in (normal_recordings, incidents))
    log = EventLog.from_sequences(recordings)
    scores: dict[str, dict[str, list]] = {}
    result: dict = {"seconds": {}}
    for seed in options.seeds:
        normal, training = states_run(options.out, log, snapshots=options.snapshots, seed=seed)
        found, states, seconds = cases(normal, faults)
        result["seconds"][str(seed)] = {"training": training, "incident": seconds}
        table = snapshot_table(normal.read(log).histories, options.snapshots, np.random.default_rng(0))
        ranked = rankings(normal, found, Odd(table), expert_graph(data, states))
        for name, orders in ranked.items():
            pairs = list(zip(orders, faults, strict=True))
            for group in GROUPS:
                mine = [(order, each.causes) for order, each in pairs if each.group == group]
                scores.setdefault(name, {}).setdefault(group, []).append(ranking_scores(mine))
    plain, events = (read(data, ranges) for read in (normal_recordings, incidents))
    for name, by_number in counted(events, plain, sorted({each.fold for each in events})).items():
        for group in GROUPS:
            mine = [
                (order, events[number].causes) for number, order in by_number.items() if events[number].group == group
            ]
            scores.setdefault(name, {})[group] = [ranking_scores(mine)]
    result["scores"] = scores
    result["simulated"] = simulations(options, recordings)
    return Report(result, text(result))


def simulations(options: argparse.Namespace, recordings: Sequence) -> dict[str, dict[str, float]]:
    """Faults in recordings that no model has seen, and in worlds."""
    order = np.random.default_rng(0).permutation(len(recordings))
    held = set(order[: round(0.3 * len(order))].tolist())
    log, test = (
        EventLog.from_sequences([each for number, each in enumerate(recordings) if (number in held) == is_held])
        for is_held in (False, True)
    )
    normal, _ = states_run(options.out / "simulated", log, snapshots=options.snapshots, seed=0)
    found = {}
    table = snapshot_table(normal.read(log).histories, options.snapshots, np.random.default_rng(0))
    if not options.smoke:
        drawn = LatheFaults(normal.read(test), normal.seconds, seed=1)
        sets = [drawn.draw() for _ in range(options.faults)], [drawn.normal() for _ in range(options.faults)]
        found["lathe"] = simulated(normal, *sets, Odd(table))
    for world in options.worlds:
        states, faults = world_states(world, world), world_faults(world, max(2, options.faults // 5))
        normal, _ = states_run(options.out / f"world-{world}", states.log, snapshots=options.snapshots, seed=0)
        fresh, rng = world_states(world, 1_000 + world), np.random.default_rng(world)
        chosen = [fresh.histories[int(i)] for i in rng.integers(len(fresh.histories), size=max(2, options.faults // 2))]
        moments = [Fault(each, float(rng.uniform(each.start, each.end)), ()) for each in chosen]
        table = snapshot_table(states.histories, options.snapshots, np.random.default_rng(0))
        found[f"world {world}"] = simulated(normal, faults, moments, Odd(table))
    return found


PUBLISHED = {
    "graph | PageRank on the expert graph (published)": (1.0, 0.984),
    "graph | true graph (published)": (1.0, 0.744),
    "same fault | PC graph (published)": (0.867, 0.480),
    "nothing | recency (published)": (0.353, 0.184),
}


def text(result: dict) -> str:
    """All scores as Markdown."""
    rows: list[list[str]] = []
    for name, groups in result["scores"].items():
        seen, _, method = name.partition(" | ")
        cells = []
        for group in GROUPS:
            runs = groups[group]
            mean = np.mean([each["MAP@3"]["value"] for each in runs])
            low, high = (np.mean([each["MAP@3"][end] for each in runs]) for end in ("low", "high"))
            cells.append(f"{mean:.3f} ({low:.2f} to {high:.2f})")
            cells.append(" / ".join(f"{np.mean([each[key]['value'] for each in runs]):.2f}"
                                    for key in ("AC@1", "AC@3", "AC@5", "Avg@5")))  # fmt: skip
        rows.append([seen, method, *cells])
    for name, (coolant, hydraulics) in PUBLISHED.items():
        seen, _, method = name.partition(" | ")
        rows.append([seen, method, f"{coolant:.3f}", "-", f"{hydraulics:.3f}", "-"])
    columns = ["has seen", "method"]
    for group in GROUPS:
        columns += [f"{group} MAP@3", "AC@1 / 3 / 5, Avg@5"]
    places = list(result["simulated"])
    measures = list(dict.fromkeys(key for each in result["simulated"].values() for key in each))
    simulated_rows = [
        [key, *(f"{result['simulated'][place].get(key, np.nan):.2f}" for place in places)] for key in measures
    ]
    return "\n\n".join(
        [
            markdown_table(columns, sorted(rows, key=lambda row: row[0])),
            markdown_table(["simulated faults", *places], simulated_rows),
            "Seconds: " + json.dumps(result["seconds"]),
        ]
    )


RECIPE = Recipe(
    __file__,
    __doc__,
    "What state led to a fault of the lathe?",
    measure,
    {
        "snapshots": Size(5_000, 100, "rows that a model is trained on"),
        "seeds": Size([0, 1, 2], [0], "models of states"),
        "faults": Size(400, 10, "simulated faults in recordings; a fifth of it in each world"),
        "worlds": Size([1, 2, 3, 4, 5], [1], "worlds of signals"),
    },
    data=WHERE,
    tiny_data=made_up,
)

if __name__ == "__main__":
    RECIPE.main()
