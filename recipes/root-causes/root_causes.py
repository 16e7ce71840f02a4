# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""Root causes of faults of a lathe, ranked by a language model of its event log (causRCA).

    python recipes/root-causes/root_causes.py --data PATH/TO/causrca --out runs/root-causes

For every fault recording the events before each of its alarms are ranked; events of one variable count as that
variable, alarms are never causes, and a recording's alarms take turns. Oracles are trained on normal operation and
the fault recordings of other folds, without a word about causes; one oracle has seen normal operation alone.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
from harness import Metrics, Recipe, Report, Size, panels
from harness import table as markdown_table
from lathe import WHERE, made_up
from matplotlib.figure import Figure
from rankings import CountingRanks, ranking_scores
from recordings import FOLDS, GROUPS, Incident, incidents, normal_ranges, normal_recordings, oracle

from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence
from hf_trace.pipelines.discovery_pipeline import CausalDiscoveryPipeline, load_pipeline
from hf_trace.questions.ranking import earliest_first, surprises_to
from hf_trace.questions.root_causes import reciprocal_ranks

ALARMS = "*_A_[0-9]*"


def cut(incident: Incident) -> EventSequence:
    """The recording up to its diagnosis."""
    times = incident.sequence.timestamps or ()
    return incident.sequence.part(0, sum(time <= incident.diagnosed for time in times))


def outcomes(incident: Incident, sequence: EventSequence) -> list[tuple[str, int]]:
    """What the operator saw, in order: every alarm with its position."""
    raised = [f"{alarm}=True" for alarm in incident.alarms]
    return sorted(
        ((event, sequence.events.index(event)) for event in raised if event in sequence.events),
        key=lambda pair: pair[1],
    )


def node(event: str) -> str:
    """The variable an event is of."""
    return event.rpartition("=")[0]


def in_turns(rankings: Iterable[Sequence[str]]) -> list[str]:
    """The first of every ranking, then the second of every ranking, and so on; each node once."""
    lists = [list(dict.fromkeys(map(node, ranking))) for ranking in rankings]
    longest = max(map(len, lists), default=0)
    return list(dict.fromkeys(each[place] for place in range(longest) for each in lists if place < len(each)))


def scored(
    discover: CausalDiscoveryPipeline, normal: CausalDiscoveryPipeline, incident: Incident, options: argparse.Namespace
) -> list:
    """For every alarm of an incident the events before it, in order, with all that rankings are made of."""
    sequence, found = cut(incident), []
    for outcome, position in outcomes(incident, sequence):
        ranking = discover.rank(
            sequence,
            outcome=outcome,
            position=position,
            reference=normal,
            num_samples=options.samples,
            within=str(options.within),
            exclude=[ALARMS],
            unknown="map",
        )
        causes = sorted(ranking["causes"], key=lambda cause: cause["position"])
        own = surprises_to(discover.event_model, sequence, [cause["position"] for cause in causes])
        keys = ("event", "position", "effect", "standard_error", "pagerank", "surprise")
        rows = [{**{key: cause[key] for key in keys}, "own_surprise": float(each)}
                for cause, each in zip(causes, own, strict=True)]  # fmt: skip
        found.append({"outcome": outcome, "events": rows})
    return found


def rankings(alarms: list, counts: CountingRanks) -> dict[str, list[str]]:
    """Nodes in the order of every method."""
    found: dict[str, list[list[str]]] = {}
    for alarm in alarms:
        rows = alarm["events"]
        events = [row["event"] for row in rows]
        effect, pagerank, own = (np.array([row[key] for row in rows]) for key in ("effect", "pagerank", "own_surprise"))
        unseen = [np.inf if row["surprise"] is None else row["surprise"] for row in rows]
        novelty = earliest_first(np.array(unseen))
        scores = {
            "effect + PageRank (default)": reciprocal_ranks([effect, pagerank]),
            "effect + PageRank + surprise to normal (default with --reference)": reciprocal_ranks(
                [effect, pagerank, novelty]
            ),
            "effect": effect,
            "PageRank": pagerank,
            "surprise": own,
            "surprise to normal": novelty,
            "effect + surprise to normal": reciprocal_ranks([effect, novelty]),
            **{name: score(events, alarm["outcome"]) for name, score in counts.all.items()},
        }
        for name, values in scores.items():
            order = sorted(range(len(events)), key=lambda place: -values[place])
            found.setdefault(name, []).append([events[place] for place in order])
    return {name: in_turns(lists) for name, lists in found.items()}


def score_fold(options: argparse.Namespace, fold: int) -> list:
    """Everything that rankings of one fold are made of; what a file has already is used as it is."""
    data, out = Path(options.data), options.out
    path = out / f"scores-{fold}.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    ranges = normal_ranges(data)
    normal, faults = normal_recordings(data, ranges), incidents(data, ranges)
    mine = [each for each in faults if each.fold == fold]
    if len(found) == len(mine):
        return found
    blind, discover = (load_pipeline(oracle(out, normal, faults, seen, smoke=options.smoke)) for seen in (None, fold))
    for incident in mine[len(found) :]:
        started = time.process_time()
        alarms = scored(discover, blind, incident, options)
        found.append({"id": incident.sequence.id, "alarms": alarms, "seconds": time.process_time() - started})
        path.write_text(json.dumps(found), encoding="utf-8")
        print(f"fold {fold}: {incident.experiment}, {found[-1]['seconds']:.0f} s", flush=True)
    return found


def measure(options: argparse.Namespace) -> Report | None:
    """Rank every incident by every method and score the rankings; with ``--fold`` only prepare those of one fold."""
    torch.set_num_threads(1)
    if options.fold is not None:
        score_fold(options, options.fold)
        return None
    data = Path(options.data)
    ranges = normal_ranges(data)
    normal, faults = normal_recordings(data, ranges), incidents(data, ranges)
    known = {incident.sequence.id: incident for incident in faults}
    ranked: dict[str, list[tuple[Incident, list[str]]]] = {}
    seconds = []
    for fold in options.folds:
        seen = [each.sequence for each in faults if each.fold != fold]
        counts = CountingRanks(EventLog.from_sequences([*normal, *seen]), max_lag=options.within)
        for found in score_fold(options, fold):
            seconds.append(found["seconds"])
            for name, order in rankings(found["alarms"], counts).items():
                ranked.setdefault(name, []).append((known[found["id"]], order))
    scores = {
        name: {
            group: ranking_scores((order, each.causes) for each, order in pairs if each.group == group)
            for group in GROUPS
        }
        for name, pairs in ranked.items()
    }
    sizes = {group: sum(each.group == group for each in faults) for group in GROUPS}
    result = {"incidents": sizes, "scores": scores, "seconds_per_incident": float(np.mean(seconds))}
    named: Metrics = {
        f"{method}, {group}: {measure}": (each["value"], 0.1)
        for method, groups in scores.items()
        for group, measures in groups.items()
        for measure, each in measures.items()
    }
    return Report(result, table(scores), named, draw(scores))


PUBLISHED = {"true graph (published)": (1.0, 0.744), "PC graph (published)": (0.867, 0.480),
             "recency (published)": (0.353, 0.184)}  # fmt: skip


def table(scores: dict) -> str:
    """All scores as Markdown."""
    rows = [
        [method, group, *(f"{each['value']:.2f} ({each['low']:.2f} to {each['high']:.2f})" for each in found.values())]
        for method, groups in scores.items()
        for group, found in groups.items()
    ]
    for method, values in PUBLISHED.items():
        rows += [
            [method, group, "-", "-", "-", f"{value:.2f}", "-"] for group, value in zip(GROUPS, values, strict=True)
        ]
    return markdown_table(("method", "faults", "AC@1", "AC@3", "AC@5", "MAP@3", "Avg@5"), rows)


def draw(scores: dict) -> Figure:
    """MAP@3 of every method, with intervals."""
    methods = list(scores)
    figure, axes = panels(8, 0.42 * len(methods) + 1.4)
    for shift, (group, colour) in enumerate(zip(GROUPS, ("#2c6fbb", "#d1702d"), strict=True)):
        values = [scores[method][group]["MAP@3"] for method in methods]
        places = [number + 0.36 * (shift - 0.5) for number in range(len(methods))]
        error = [[each["value"] - each["low"] for each in values], [each["high"] - each["value"] for each in values]]
        axes.barh(places, [each["value"] for each in values], 0.34, xerr=error, label=group, color=colour,
                  error_kw={"linewidth": 0.8})  # fmt: skip
        axes.axvline(PUBLISHED["PC graph (published)"][shift], color=colour, linestyle=":", linewidth=1)
        axes.axvline(PUBLISHED["true graph (published)"][shift], color=colour, linewidth=1)
    short = [method.replace(" (default", "\n(default") for method in methods]
    axes.set(yticks=range(len(methods)), yticklabels=short, xlim=(0, 1.03), xlabel="MAP@3")
    axes.invert_yaxis()
    title = "lines: published, with the true graph (solid), a PC graph (dotted)"
    figure.legend(loc="outside upper center", ncols=2, title=title)
    return figure


RECIPE = Recipe(
    __file__,
    __doc__,
    "What led to a fault of the lathe?",
    measure,
    {
        "samples": Size(8, 1, "futures of each event"),
        "within": Size(32, 4, "events ahead"),
        "folds": Size(list(range(FOLDS)), [0], "parts of the faults that are ranked"),
    },
    lambda parser: parser.add_argument("--fold", type=int, help="prepare this fold only, beside other processes"),
    data=WHERE,
    tiny_data=made_up,
)

if __name__ == "__main__":
    RECIPE.main()
