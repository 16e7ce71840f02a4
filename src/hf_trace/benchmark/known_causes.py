"""Logs whose causes are known: real ones that may be shipped, and simulated ones. Nothing here scores anything."""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np

from hf_trace.errors import LogFormatError
from hf_trace.logs.log import EventLog
from hf_trace.logs.samples import alarms_log, alarms_truth
from hf_trace.logs.sequence import EventSequence
from hf_trace.logs.sources import read_log
from hf_trace.options import SEED
from hf_trace.worlds.process_simulator import ProcessSimulation, simulate_process
from hf_trace.worlds.process_worlds import PROCESS_WORLDS, process_world
from hf_trace.worlds.world_names import NAMED_WORLDS

Pairs = Sequence[tuple[str, str]]
_SEQUENCES, _FEW = 60, 6
# Networks of their own: with those of small seeds defaults of the package were chosen.
_WORLD_SEED = 2026
# Changes of binary variables, and alarms.
_KEPT = "type in ['Binary', 'Alarm'] and time_s > 0"


@dataclass(frozen=True)
class KnownCauses:
    """A log whose causes are known.

    Attributes:
        name: Short name.
        about: What it is and where it is from, in a line.
        license: Of its data, as the Hub spells it.
        is_simulated: Whether a world wrote it.
        log: Reads the events; a method is given these and nothing else.
        causes: Reads the known causes, as pairs of cause and effect.
    """

    name: str
    about: str
    license: str
    is_simulated: bool
    log: Callable[[], EventLog]
    causes: Callable[[], Pairs]

    def truth(self, event_types: Sequence[str]) -> np.ndarray:
        """Where there is an edge between types of the log, ``[cause, effect]``; known types that never occur are out.

        Example:
            >>> known = KnownCauses("x", "", "mit", False, alarms_log, lambda: [("a", "b"), ("a", "gone")])
            >>> known.truth(("a", "b")).tolist()
            [[False, True], [False, False]]
        """
        place = {name: number for number, name in enumerate(event_types)}
        found = np.zeros((len(place),) * 2, dtype=bool)
        for cause, effect in self.causes():
            if cause != effect and {cause, effect} <= place.keys():
                found[place[cause], place[effect]] = True
        return found


def known_causes(
    data: Path | None = None, *, small: bool = False, seed: int = SEED.default
) -> Mapping[str, KnownCauses]:
    """The logs of the benchmark, by name.

    Args:
        data: Folder with what is not packaged, each where its folder is there: ``csl_sample`` (``alarm.csv``,
            ``true_graph.npy``) and ``causrca`` (``real_op``, ``expert_graph``).
        small: Two logs of a few sequences, to see in seconds that everything runs.
        seed: Of the simulated logs.

    Raises:
        LogFormatError: If there is a folder and neither of the two in it.

    Example:
        >>> list(known_causes())[:3]
        ['alarms', 'hawkes', 'bursts']
        >>> known = known_causes()["alarms"]
        >>> int(known.truth(known.log().event_types).sum())
        69
    """
    logs = [_alarms(small), *([] if data is None else _optional(data))]
    for name in ("hawkes",) if small else PROCESS_WORLDS:
        written = partial(_written, name, _FEW if small else _SEQUENCES, seed)
        about = f"Simulated: {NAMED_WORLDS[name]}."
        logs.append(KnownCauses(name, about, "apache-2.0", True, partial(_log, written), partial(_types, written)))
    return {each.name: each for each in logs}


def _alarms(small: bool) -> KnownCauses:
    def shortened() -> EventLog:
        log = alarms_log()
        return EventLog.from_sequences(_beginning(log[number]) for number in range(_FEW))

    about = "Telecom alarms of a wireless network, 55 devices (gcastle-hub/dataset, PCIC 2021, MIT)."
    return KnownCauses("alarms", about, "mit", False, shortened if small else alarms_log, alarms_truth)


def _beginning(sequence: EventSequence, most: int = 200) -> EventSequence:
    times = sequence.timestamps and sequence.timestamps[:most]
    return EventSequence(sequence.events[:most], times, sequence.id)


def _optional(data: Path) -> list[KnownCauses]:
    readers = {"csl_sample": _csl_sample, "causrca": _causrca}
    found = [read(data / name) for name, read in readers.items() if (data / name).is_dir()]
    if not found:
        raise LogFormatError(f"{str(data)!r} holds neither of the folders {', '.join(readers)}, expected one at least.")
    return found


def _csl_sample(folder: Path) -> KnownCauses:
    """Types are numbers, and rows and columns of the known graph."""

    def pairs() -> Pairs:
        return [(str(cause), str(effect)) for cause, effect in np.argwhere(np.load(folder / "true_graph.npy") > 0)]

    log = partial(
        read_log, folder / "alarm.csv", case_column="device_id", event_column="alarm_id", time_column="start_timestamp"
    )
    about = "Alarms of 45 connected devices, each read by itself (CSL competition, NeurIPS 2023, sample; Apache-2.0)."
    return KnownCauses("csl_sample", about, "apache-2.0", False, log, pairs)


def _causrca(folder: Path) -> KnownCauses:
    """The nodes of the expert's graph are the types, whatever value they change to."""

    def pairs() -> Pairs:
        with (folder / "expert_graph" / "all_edges.csv").open(encoding="utf-8") as file:
            return [(edge["source_label"], edge["target_label"]) for edge in csv.DictReader(file)]

    log = partial(read_log, folder / "real_op", event_column="node", query=_KEPT)
    about = "Signals and alarms of a lathe in normal operation, against an expert's graph (causRCA, Apache-2.0)."
    return KnownCauses("causrca", about, "apache-2.0", False, log, pairs)


@cache
def _written(name: str, sequences: int, seed: int) -> ProcessSimulation:
    return simulate_process(process_world(name, world_seed=_WORLD_SEED + seed), sequences, seed=seed)


def _log(written: Callable[[], ProcessSimulation]) -> EventLog:
    return written().log


def _types(written: Callable[[], ProcessSimulation]) -> Pairs:
    """That a value makes room for others of its variable is no cause."""
    return [(edge["cause"], edge["effect"]) for edge in written().truth.edges if edge["kind"] != "state"]
