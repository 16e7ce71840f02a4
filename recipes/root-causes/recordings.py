"""The recordings of a lathe as event sequences, with the faults that were injected (causRCA).

An event is a change of a binary variable or an alarm (``node=value``), or a continuous variable leaving the range it
keeps in normal operation (``node=low``, ``node=high``) or coming back (``node=normal``). The heartbeat that flips
every second is left out. Nothing here looks at a cause; ``Incident.causes`` is for scoring alone.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence
from hf_trace.training.log_training import TrainingSettings, train

GROUPS = ("coolant", "hydraulics")
FOLDS = 5
_HEARTBEAT = "M_Lifebit"


@dataclass(frozen=True)
class Incident:
    """One fault recording.

    Attributes:
        sequence: The whole recording.
        group: ``coolant`` or ``hydraulics``.
        experiment: Name of the fault scenario.
        fold: Recordings of one fold are never trained on together with being ranked.
        alarms: What the operator saw, as nodes.
        diagnosed: Seconds; what happened later is not used for ranking.
        causes: The manipulated variables.
    """

    sequence: EventSequence
    group: str
    experiment: str
    fold: int
    alarms: tuple[str, ...]
    diagnosed: float
    causes: tuple[str, ...]


def normal_ranges(data: Path) -> dict[str, tuple[float, float]]:
    """Least and largest value of every continuous variable in normal operation."""
    tables = [pd.read_csv(path) for path in sorted((data / "real_op").glob("*.csv"))]
    table = pd.concat(tables)
    table = table[table["type"] == "Continuous"]
    values = pd.to_numeric(table["value"])
    found = values.groupby(table["node"]).agg(["min", "max"])
    return {str(node): (float(row["min"]), float(row["max"])) for node, row in found.iterrows()}


def normal_recordings(
    data: Path, ranges: dict[str, tuple[float, float]], *, snapshot: bool = False
) -> list[EventSequence]:
    """All recordings of normal operation with at least two events."""
    found = [recording(path, ranges, snapshot=snapshot) for path in sorted((data / "real_op").glob("*.csv"))]
    return [sequence for sequence in found if len(sequence) >= 2]


def incidents(data: Path, ranges: dict[str, tuple[float, float]], *, snapshot: bool = False) -> list[Incident]:
    """All fault recordings of both groups."""
    found = []
    for group in GROUPS:
        for described in sorted((data / "dig_twin" / f"exp_{group}").glob("*/*_description.json")):
            description = json.loads(described.read_text(encoding="utf-8"))
            for number, run in enumerate(sorted(described.parent.glob("run_*"))):
                times = json.loads((run / "causes.json").read_text(encoding="utf-8"))
                table = next(run.glob("*.csv"))
                found.append(
                    Incident(
                        sequence=recording(table, ranges, snapshot=snapshot),
                        group=group,
                        experiment=description["exp_id"],
                        fold=number % FOLDS,
                        alarms=tuple(description["alarms"]),
                        diagnosed=float(times["diagnosis_at"]),
                        causes=tuple(description["manipulatedVars"]),
                    )
                )
    return found


def recording(path: Path, ranges: dict[str, tuple[float, float]], *, snapshot: bool = False) -> EventSequence:
    """One file as a sequence; a variable unknown to normal operation should keep the value it begins with.

    With ``snapshot`` it begins with what every variable holds at time 0.
    """
    table = pd.read_csv(path, dtype={"value": str})
    events: list[str] = []
    times: list[float] = []
    begins: dict[str, float] = {}
    state: dict[str, str] = {}
    for row in table[table["node"] != _HEARTBEAT].itertuples(index=False):
        if row.type == "Continuous":
            value = float(row.value)
            first = begins.setdefault(row.node, value)
            low, high = ranges.get(row.node, (first, first))
            name = "low" if value < low else "high" if value > high else "normal"
            changed = state.get(row.node, None if snapshot else "normal") != name
            state[row.node] = name
        else:
            name, changed = row.value, row.type in ("Binary", "Alarm")
        if changed and (snapshot or row.time_s > 0):
            events.append(f"{row.node}={name}")
            times.append(float(row.time_s))
    return EventSequence(tuple(events), tuple(times), path.stem)


def oracle(
    out: Path, normal: list[EventSequence], faults: list[Incident], fold: int | None, *, smoke: bool = False
) -> Path:
    """The run folder of an oracle that has seen normal operation and the faults of all folds but one.

    With ``fold`` None it has seen no fault at all. Causes are never shown. A folder that exists is used as it is.
    """
    folder = out / "oracles" / ("normal" if fold is None else f"without-{fold}")
    if not (folder / "config.json").exists():
        seen = [] if fold is None else [each.sequence for each in faults if each.fold != fold]
        settings = TrainingSettings(preset="nano", epochs=1.0) if smoke else TrainingSettings(seed=0)
        train(EventLog.from_sequences([*normal, *seen]), folder, settings)
    return folder
