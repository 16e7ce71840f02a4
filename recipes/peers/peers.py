# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""Scores other methods of causal discovery on two real logs with a known graph.

    python recipes/peers/peers.py --out runs/peers --data PATH/TO/causrca --gcastle-python PATH --tigramite-python PATH

The alarms come with the package. Counting methods run here, the others in
environments of their own and only when those are given. Every result is kept in ``--out`` as it comes, and a method
whose result is there is not run again.
"""

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from harness import Metrics, Recipe, Report, Size, metrics
from harness import table as markdown_table
from lathe import WHERE, ExpertGraph, expert_graph, made_up, normal_operation
from scipy.stats import binom

from hf_trace.graphs.counted_graphs import BASELINES, IN_TIME, CountingSettings
from hf_trace.graphs.metrics import precision_recall_f1, score_graph
from hf_trace.logs.log import EventLog
from hf_trace.logs.samples import alarms_log, alarms_truth

LEVEL = 0.05  # of the test of every pair, after Bonferroni's correction
WINDOWED = ("cooccurrence", "lift", "confidence")
EVENT_WINDOWS = (2, 4, 8, 16, 32, 64, 128)
TIME_WINDOWS = {"alarms": (10.0, 60.0, 300.0, 1800.0, 3600.0), "causrca": (0.1, 0.5, 1.0, 5.0, 20.0)}
BINS = {"alarms": (3600.0,), "causrca": (1.35,)}  # beside a third of the mean gap
POOLED_BINS = {"alarms": (300.0,), "causrca": ()}
MAX_LAG = 3
KEPT_SEQUENCES = 20  # PCMCI reads every n-th, on causRCA
UNTIL_IT_STOPS = "until it stops"
KEPT_NODES = 16  # TTPM reads the most frequent ones, on causRCA


@dataclass(frozen=True)
class Case:
    """A log and the graph it is judged by.

    Attributes:
        name: Short name.
        log: The events.
        by_node: The same log with the nodes as event types.
        graph: Nodes, the truth, and which event types belong to a node.
    """

    name: str
    log: EventLog
    by_node: EventLog
    graph: ExpertGraph

    @property
    def truth(self) -> np.ndarray:
        """True where row causes column."""
        return self.graph.truth

    @property
    def mean_gap(self) -> float:
        """Mean seconds between an event and the next one of its sequence."""
        spans = self.log.timestamps[self.log.offsets[1:] - 1] - self.log.timestamps[self.log.offsets[:-1]]
        return float(spans.sum() / (len(self.log.codes) - len(self.log)))


class Found(NamedTuple):
    """What a method says: a score of every pair, its own edges, seconds, and notes."""

    scores: np.ndarray
    edges: np.ndarray
    seconds: float | None
    notes: dict


class Counts(NamedTuple):
    """How often an effect follows a cause within reach, and any event."""

    after_cause: np.ndarray
    after_any: np.ndarray
    occurrences: np.ndarray


def alarms_case() -> Case:
    """Telecom alarms; every type is a node."""
    log = alarms_log()
    edges = set(alarms_truth())
    truth = np.array([[(cause, effect) in edges for effect in log.event_types] for cause in log.event_types])
    alike = np.arange(len(log.event_types))
    return Case("alarms", log, log, ExpertGraph(log.event_types, alike, truth, alike))


def causrca_case(folder: Path) -> Case:
    """A lathe's controller in normal operation; a node has an event type per value."""
    log = normal_operation(folder)
    return Case("causrca", log, normal_operation(folder, by_node=True), expert_graph(folder, log))


# -- counting --------------------------------------------------------------------------------------------------


def following(log: EventLog, *, events: int | None = None, seconds: float | None = None) -> Counts:
    """Count for every event which types follow within ``events`` events or within ``seconds``."""
    n_types = len(log.event_types)
    counts = np.zeros((n_types, n_types))
    for start, stop in zip(log.offsets[:-1], log.offsets[1:], strict=True):
        codes, times = log.codes[start:stop], log.timestamps[start:stop]
        here = np.arange(len(codes))
        for effect in np.unique(codes):
            places = np.flatnonzero(codes == effect)
            at = np.searchsorted(places, here, side="right")
            known = at < len(places)
            following_place = places[np.minimum(at, len(places) - 1)]
            near = following_place - here <= events if seconds is None else times[following_place] - times <= seconds
            counts[:, effect] += np.bincount(codes[known & near], minlength=n_types)
    occurrences = np.bincount(log.codes, minlength=n_types)
    return Counts(counts / np.maximum(occurrences, 1)[:, None], counts.sum(axis=0) / len(log.codes), occurrences)


def significant(counts: Counts, expected: np.ndarray) -> np.ndarray:
    """Pairs whose effect follows the cause more often than expected: exact binomial test, Bonferroni."""
    n_types = len(counts.occurrences)
    hits = np.rint(counts.after_cause * counts.occurrences[:, None])
    chance = binom.sf(hits - 1, counts.occurrences[:, None], expected[None, :])
    return (chance < LEVEL / (n_types * (n_types - 1))) & (hits > 0)


def default_window(case: Case) -> int:
    """Median number of events that follow an event within the mean gap between events, at least 1."""
    after = []
    for start, stop in zip(case.log.offsets[:-1], case.log.offsets[1:], strict=True):
        times = case.log.timestamps[start:stop]
        last = np.searchsorted(times, times + case.mean_gap, side="right") - 1
        after.append(last - np.arange(len(times)))
    return max(1, int(np.median(np.concatenate(after))))


def counting(case: Case, window: int) -> dict[str, Found]:
    """Every baseline of the package with a window of so many events."""
    log, found = case.log, {}
    settings = CountingSettings(max_lag=window)
    for name, method in BASELINES.items():
        started = time.process_time()
        counted = method(log, settings)
        seconds = time.process_time() - started
        if name in IN_TIME:
            found[name] = Found(
                case.graph.fold(counted.scores), case.graph.fold(counted.edges()), seconds, counted.parameters
            )
            continue
        counts = following(log, events=1 if name == "bigram" else window)
        expected = np.bincount(log.codes, minlength=len(log.event_types)) / len(log.codes)
        if name != "bigram":
            expected = counts.after_any
            check = counts.after_cause - expected if name == "cooccurrence" else ratio(counts)
            np.testing.assert_allclose(counted.scores, check, atol=1e-9)
        edges = case.graph.fold(significant(counts, expected))
        found[name] = Found(case.graph.fold(counted.scores), edges, seconds, {"window_events": window})
    # Not in the package: the lift's numerator alone, and what is left of it when the cause is left out too.
    counts = following(log, events=window)
    found["confidence"] = found["lift"]._replace(scores=case.graph.fold(counts.after_cause))
    found["effect frequency"] = frequency(case)
    return found


def frequency(case: Case) -> Found:
    """The share of the effect among all events as the score, whatever the cause; edges where it is above average."""
    share = np.bincount(case.by_node.codes, minlength=len(case.graph.nodes)) / len(case.by_node.codes)
    scores = np.broadcast_to(share, case.truth.shape)
    return Found(scores, scores > 1 / len(share), 0.0, {})


def counting_in_time(case: Case, window: float) -> dict[str, Found]:
    """Co-occurrence, lift and confidence with a window of so many seconds."""
    started = time.process_time()
    counts = following(case.log, seconds=window)
    seconds = time.process_time() - started
    edges = case.graph.fold(significant(counts, counts.after_any))
    scores = {
        "cooccurrence": counts.after_cause - counts.after_any,
        "lift": ratio(counts),
        "confidence": counts.after_cause,
    }
    return {
        name: Found(case.graph.fold(values), edges, seconds, {"window_seconds": window})
        for name, values in scores.items()
    }


def ratio(counts: Counts) -> np.ndarray:
    """Lift; 1 where there is nothing to compare."""
    known = (counts.occurrences[:, None] > 0) & (counts.after_any > 0)
    return np.where(known, counts.after_cause / np.where(counts.after_any > 0, counts.after_any, 1.0), 1.0)


# -- methods in other environments -----------------------------------------------------------------------------


def elsewhere(python: str, script: str, log: EventLog, options: Sequence[str], out: Path, limit: int) -> Found | str:
    """Run a script of this folder on a log; the reason as text when there is no result."""
    out.parent.mkdir(parents=True, exist_ok=True)
    failed = out.with_suffix(".failed")
    if failed.exists():
        return failed.read_text(encoding="utf-8")
    if not out.exists():
        job = out.with_suffix(".job.npz")
        np.savez(job, codes=log.codes, times=log.timestamps, offsets=log.offsets, n_types=len(log.event_types))
        command = [python, str(Path(__file__).with_name(script)), str(job), str(out), *options]
        print("running", *command[1:], file=sys.stderr, flush=True)
        done = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=lambda: allow(limit))
        job.unlink()
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1] if done.returncode else ""
        if done.returncode == -signal.SIGXCPU:
            reason = f"not finished in {limit} s"
        if reason:
            failed.write_text(reason, encoding="utf-8")
            return reason
    answer = np.load(out)
    about = json.loads(str(answer["about"]))
    return Found(answer["scores"], answer["edges"], about.pop("seconds"), about)


def only_nodes(log: EventLog, nodes: np.ndarray) -> EventLog:
    """The events of some types; codes and names stay."""
    keep = np.isin(log.codes, nodes)
    before = np.concatenate([[0], np.cumsum(keep)])
    return EventLog(log.event_types, log.codes[keep], before[log.offsets], log.timestamps[keep], log.ids)


def allow(seconds: int) -> None:
    """End this process after so many seconds of processor time; time that others take does not count."""
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 10))


def pcmci_runs(case: Case, python: str, out: Path, limit: int) -> Iterator[tuple[str, Found | str]]:
    """PCMCI, bins of a third of the mean gap first."""
    jobs = [(case.mean_gap / MAX_LAG, False, "default")]
    jobs += [(length, False, "") for length in BINS[case.name]]
    jobs += [(length, True, "") for length in POOLED_BINS[case.name]]
    every = KEPT_SEQUENCES if case.name == "causrca" else 1
    log = case.by_node.select(range(0, len(case.by_node), every))
    for length, together, mark in jobs:
        options = ["--bin", f"{length:.4g}", "--max-lag", str(MAX_LAG), *(["--pooled"] if together else [])]
        name = f"{case.name}-pcmci-{length:.4g}{'-pooled' if together else ''}-{len(log)}.npz"
        found = elsewhere(python, "run_pcmci.py", log, options, out / name, limit)
        if isinstance(found, Found):
            found.notes.update(default=bool(mark), sequences_read=len(log))
        yield f"PCMCI, bins of {length:.4g} s" + (", one series" if together else ""), found


def ttpm_runs(case: Case, python: str, out: Path, limit: int) -> Iterator[tuple[str, Found | str]]:
    """TTPM with defaults, which add at most 20 edges, and until it stops; on alarms also with the log's time scale."""
    jobs = [("defaults", []), (UNTIL_IT_STOPS, ["--iterations", "200"])]
    log, note = case.by_node, {}
    if case.name == "alarms":
        slow = f"{1 / case.mean_gap:.4g}"
        jobs += [("decay 1 / mean gap", ["--delta", slow])]
        jobs += [(f"decay 1 / mean gap, {UNTIL_IT_STOPS}", ["--delta", slow, "--iterations", "200"])]
    else:
        kept = most_frequent(case)
        log, note = only_nodes(log, kept), {"nodes_read": [case.graph.nodes[i] for i in kept]}
    for title, options in jobs:
        name = "-".join([case.name, "ttpm", *(part.lstrip("-") for part in options)]) + ".npz"
        found = elsewhere(python, "run_ttpm.py", log, options, out / name, limit)
        if isinstance(found, Found):
            found.notes.update(default=title in ("defaults", UNTIL_IT_STOPS), **note)
        yield f"TTPM, {title}", found


def most_frequent(case: Case) -> np.ndarray:
    """The nodes with most events, in the order of the graph."""
    return np.sort(np.argsort(-np.bincount(case.by_node.codes), kind="stable")[:KEPT_NODES])


# -- scores ----------------------------------------------------------------------------------------------------


def best_f1(truth: np.ndarray, scores: np.ndarray) -> float:
    """Highest F1 of any threshold: it needs the truth, so it is an upper estimate."""
    pairs = ~np.eye(len(truth), dtype=bool)
    return max(precision_recall_f1(truth, scores >= level).f1 for level in np.unique(scores[pairs]))


def row(truth: np.ndarray, method: str, found: Found, nodes: np.ndarray | None = None) -> dict:
    """One line of a table, on all nodes or some."""
    among = np.ix_(nodes, nodes) if nodes is not None else np.ix_(range(len(truth)), range(len(truth)))
    truth, scores, edges = truth[among], found.scores[among], found.edges[among]
    made = score_graph(truth, edges, scores)
    return {
        "method": method,
        "auroc": round(made.auroc, 4),
        "auprc": round(made.auprc, 4),
        "f1": round(made.f1, 4),
        "edges": int((edges & ~np.eye(len(edges), dtype=bool)).sum()),
        "best_f1": round(best_f1(truth, scores), 4),
        "seconds": None if found.seconds is None else round(found.seconds, 3),
        **found.notes,
    }


def everything(truth: np.ndarray) -> dict:
    """The answer that every pair is an edge; its AUPRC is the base rate."""
    alike = np.ones(truth.shape)
    return row(truth, "every pair", Found(alike, alike > 0, None, {}))


def title(name: str, window: int) -> str:
    """Name of a counting method with its window, where it has one."""
    return f"{name}, {window} events" if name in WINDOWED else name


def study(case: Case, options: argparse.Namespace) -> dict:
    """All tables of a log."""
    window = default_window(case)
    pairs = len(case.graph.nodes) * (len(case.graph.nodes) - 1)
    edges = int((case.truth & ~np.eye(len(case.truth), dtype=bool)).sum())
    counted = counting(case, window)
    counted = {title(name, window): found for name, found in counted.items()}
    main = [row(case.truth, name, found) for name, found in counted.items()]
    windows = [
        row(case.truth, f"{name}, {length} events", found)
        for length in EVENT_WINDOWS
        for name, found in counting(case, length).items()
        if name in WINDOWED
    ]
    windows += [
        row(case.truth, f"{name}, {length:.4g} s", found)
        for length in sorted({*TIME_WINDOWS[case.name], case.mean_gap})
        for name, found in counting_in_time(case, length).items()
    ]
    others, failures, restricted = [], {}, []
    runs: list[tuple[str | None, Callable]] = [
        (options.tigramite_python, pcmci_runs),
        (options.gcastle_python, ttpm_runs),
    ]
    for python, method in runs:
        for label, found in method(case, python, options.out / "answers", options.limit) if python else ():
            if isinstance(found, str):
                failures[label] = found
                continue
            line = row(case.truth, label, found)
            (main if found.notes.get("default") else others).append(line)
            if "nodes_read" in found.notes:
                kept = most_frequent(case)
                restricted.append(row(case.truth, label, found, kept))
                restricted += [row(case.truth, name, each, kept) for name, each in counted.items()]
                restricted.append(everything(case.truth[np.ix_(kept, kept)]))
    linked = []
    if len(case.graph.linked) < len(case.graph.nodes):
        linked = [row(case.truth, name, found, case.graph.linked) for name, found in counted.items()]
        linked.append(everything(case.truth[np.ix_(case.graph.linked, case.graph.linked)]))
    return {
        "nodes": len(case.graph.nodes),
        "edges": edges,
        "base_rate": round(edges / pairs, 5),
        "mean_gap_seconds": case.mean_gap,
        "window_events": window,
        "main": [*main, everything(case.truth)],
        "settings": others,
        "windows": windows,
        "restricted": restricted,
        "failures": failures,
        "linked_nodes": linked,
    }


def markdown(name: str, tables: dict) -> str:
    """The tables as text."""
    text = [f"## {name}: {tables['nodes']} nodes, {tables['edges']} edges, base rate {tables['base_rate']:.4f}", ""]
    titles = {
        "main": "Default settings",
        "settings": "Other settings of the peers",
        "windows": "Windows",
        "restricted": "Among the nodes TTPM read",
        "linked_nodes": "Among the nodes with an edge anywhere in the graph",
    }
    for key, title in titles.items():
        if tables[key]:
            text += [f"{title}:", "", table(tables[key]), ""]
    text += [f"- {label}: {reason}" for label, reason in tables["failures"].items()]
    return "\n".join(text).rstrip() + "\n"


def table(rows: list[dict]) -> str:
    """Rows of a Markdown table."""
    columns = ("method", "AUROC", "AUPRC", "F1", "edges", "best F1", "seconds")
    lines = []
    for each in rows:
        auroc, auprc, f1, best = (f"{each[key]:.3f}".lstrip("0") for key in ("auroc", "auprc", "f1", "best_f1"))
        seconds = "" if each["seconds"] is None else f"{each['seconds']:.3g}"
        lines.append([each["method"], auroc, auprc, f1, each["edges"], best, seconds])
    return markdown_table(columns, lines)


def measure(options: argparse.Namespace) -> Report:
    """Run what can be run."""
    cases = {"alarms": alarms_case, "causrca": lambda: causrca_case(Path(options.data))}
    results = {name: study(cases[name](), options) for name in options.log}
    text = "\n".join(markdown(name, tables) for name, tables in results.items())
    found: Metrics = {}
    for name, tables in results.items():
        columns = {"auroc": ("AUROC", 0.01), "auprc": ("AUPRC", 0.01), "f1": ("F1", 0.01)}
        for rows in (tables["main"], tables["settings"]):
            found = {**found, **metrics(rows, lambda row, name=name: f"{name}, {row['method']}", columns)}
    return Report(results, text, found)


RECIPE = Recipe(
    __file__,
    __doc__,
    "How good are other methods on the two real logs?",
    measure,
    {"log": Size(["alarms", "causrca"], ["causrca"]), "limit": Size(900, 10, "processor seconds of a run elsewhere")},
    data=WHERE,
    tiny_data=made_up,
    peers=("gcastle", "tigramite"),
)

if __name__ == "__main__":
    RECIPE.main()
