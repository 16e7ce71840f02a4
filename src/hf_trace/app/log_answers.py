"""The answers to five questions about a log: each with its evidence, and with a baseline that needs no model."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from hf_trace.app.sent_logs import SentLog
from hf_trace.app.studies import Study
from hf_trace.checks import near
from hf_trace.discovery.total_effects import parse_horizon
from hf_trace.documents import Document
from hf_trace.errors import QueryError, preview
from hf_trace.graphs.graph import CausalGraph
from hf_trace.logs.diagnosis.findings import percent
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence
from hf_trace.options import AUTO, QUESTIONS, WITHIN
from hf_trace.questions.named_events import listed_events, placed
from hf_trace.questions.ranking import RankSettings, rank
from hf_trace.questions.what_if import REMOVED, WhatIfRequest, answer_what_if
from hf_trace.report.beside_counting import agreement, left_out_pairs, onset_columns
from hf_trace.report.evidence import Example
from hf_trace.report.findings_report import COUNTED, MEANING
from hf_trace.report.followed_pairs import PairCounter
from hf_trace.report.log_report import SECTIONS
from hf_trace.report.pair_places import looked_up, pairs_of
from hf_trace.runs.event_model import EventModel

_FREQUENT, _AROUND = 10, 5
_CAUTION = "A link is what helps to foresee events, and no proof: test it before acting on it."
_TESTED = "Beyond chance in the exact test of all pairs, 5 % in all."
_SAID = ("cause", "effect", "direction", "place", "cmi", "standard_error")
_COUNTED = ("support", "lags", "lag_seconds_quantiles")
_LOSSES = {"loss": "model", "additive": "additive in time", "bigram": "bigram", "unigram": "unigram"}
# A sequence, and what is done in it: a position, and the event that is put there.
Change = tuple[EventSequence, dict[int, str]]


def as_json(value: Any) -> Any:
    """The same for JSON, which has no word for NaN and infinity, with five digits of every number.

    Example:
        >>> as_json({"a": (float("nan"), 1 / 3)})
        {'a': [None, 0.33333]}
    """
    if isinstance(value, Mapping):
        return {key: as_json(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(each) for each in value]
    if not isinstance(value, float):
        return value
    return float(f"{value:.5g}") if math.isfinite(value) else None


def _answered(answer: Document, evidence: Document | list[Document], baseline: Document) -> Document:
    return {name: as_json(part) for name, part in (("answer", answer), ("evidence", evidence), ("baseline", baseline))}


def summary_of(sent: SentLog) -> Document:
    """What a log is like."""
    log, report = sent.log, sent.report
    occurrences = np.bincount(log.codes, minlength=len(log.event_types))
    often = np.argsort(-occurrences, kind="stable")[:_FREQUENT]
    size = report.sections["size"][0].to_dict()
    return _answered(
        answer={
            "log": sent.name,
            "verdict": report.verdict,
            **{name: size[name] for name in ("sequences", "events", "event_types", "rare_types")},
            "found": {title: lines for title, lines in map(report.section, SECTIONS) if lines},
        },
        evidence={
            "most_frequent": {log.event_types[code]: int(occurrences[code]) for code in often},
            "first_sequence": {"id": log.ids[0], "events": list(log[0].events[:_FREQUENT])},
        },
        baseline={
            "pairs_told_by_counting": size["counted_edges"],
            "pairs": size["pairs"],
            "by_chance_an_effect_begins_after": size["chance"],
            "a_cause_is_told_from": size["least_share"],
            "what": _TESTED,
        },
    )


def graph_of(study: Study, most: int, question: str = AUTO) -> Document:
    """The strongest links of a graph."""
    whole = study.graph(question)
    graph, asked = whole.strongest(most), str(whole.metadata["settings"]["question"])
    edges = sorted(graph.edges, key=lambda edge: -abs(edge.get("cmi") or 0.0))
    places, words = looked_up(graph, study.sent.log), _in_words(study, asked)
    return _answered(
        answer={
            "log": study.sent.name,
            "question": QUESTIONS[asked],
            "summary": list(study.findings.summary),
            "links": len(whole),
            "strongest": [{**_link(edge), **words.get(graph.ends(edge), {})} for edge in edges],
            "caution": _CAUTION,
        },
        evidence=[
            {**_link(edge, *_COUNTED), "examples": [_example(each) for each in places.examples(*pairs_of(edge))]}
            for edge in edges
        ],
        baseline={**_oracle(study), **_beside_counting(whole)},
    )


def ranking_of(study: Study, outcome: str, incident: EventSequence, top: int) -> Document:
    """What led to the first occurrence of an event that has a past, see ``incident_of``."""
    log, position = study.sent.log, incident.events.index(outcome, 1)
    found = rank(study.model, incident, outcome, RankSettings(top=top), position=position)
    counted = _onsets(study)
    scores = {each["event"]: counted.get((each["event"], outcome)) for each in found["causes"]}
    first = [name for name, score in sorted(scores.items(), key=lambda item: -(item[1] or 0.0)) if score]
    share = float(np.mean(log.codes == log.event_types.index(outcome)))
    return _answered(
        answer={
            "sequence": incident.id,
            "outcome": outcome,
            "position": position,
            "causes": [
                {key: each[key] for key in ("rank", "event", "position", "stands_out")} for each in found["causes"]
            ],
            "caution": found.get("note") or found.get("warning") or _CAUTION,
        },
        evidence=[
            {key: value for key, value in each.items() if key not in ("rank", "stands_out", "score")}
            for each in found["causes"]
        ],
        baseline={
            "share_of_all_events": share,
            "onset_and_direction": scores,
            "by_counting_alone": first,
            "what": "How often the outcome begins soon after the event and not before it, counted without a model.",
        },
    )


def what_if_of(study: Study, changed: Change, target: str, within: str, futures: int) -> Document:
    """How likely a target is, as observed and otherwise, see ``change_of``; ``""`` is 16 events, where they fit."""
    within, (chosen, do) = within.strip() or _usual_horizon(study.model), changed
    found = answer_what_if(study.model, chosen, WhatIfRequest(do, target, within, futures))
    position = found["position"]
    log, horizon, unit = _counted_within(study.sent.log, within)
    pair = PairCounter(log).count(found["observed"], target, within=horizon)
    rows = listed_events(chosen)[max(0, position - _AROUND) : position + _AROUND + 1]
    return _answered(
        answer={
            **{key: found[key] for key in ("id", "position", "observed", "do", "target", "within")},
            **{key: found[key] for key in ("factual", "intervened", "difference")},
            "in_words": _said(found),
        },
        evidence={
            "around": [{"position": row["position"], "event": row["event"]} for row in rows],
            "futures": found["num_samples"],
            "covered": found["covered"],
        },
        baseline={
            "follows_such_an_event": pair.followed,
            "follows_other_events": pair.otherwise,
            "occurrences": pair.occurrences,
            "within": f"{horizon:g} {unit}",
            "what": f"How often {target!r} comes after {found['observed']!r} in the whole log, counted.",
        },
    )


def comparison_of(study: Study) -> Document:
    """Links of the model and of counting side by side."""
    graph, counted = study.graph(), study.counted
    ours, theirs = _pairs(graph), {} if counted is None else _pairs(counted)
    return _answered(
        answer={
            "question": QUESTIONS[study.question],
            "both": [[*pair] for pair in ours if pair in theirs],
            "model_alone": [[*pair] for pair in ours if pair not in theirs],
            "counting_alone": [[*pair] for pair in theirs if pair not in ours],
            "in_words": agreement(graph) or "Nothing could be counted.",
            "caution": _CAUTION,
        },
        evidence={
            "model": [_link(edge) for edge in ours.values()],
            "counting": [_link(edge, "confidence", "begins", "before") for edge in theirs.values()],
        },
        baseline={**_oracle(study), "counting": MEANING[COUNTED]},
    )


def _link(edge: Mapping[str, Any], *more: str) -> Document:
    return {key: edge[key] for key in (*_SAID, *more) if key in edge}


def _in_words(study: Study, question: str) -> dict[tuple[str, str], Document]:
    """Sentences about edges, those that have some."""
    found = study.findings.questions.get(question, ())
    return {
        (each.cause, each.effect): {"finding": each.text, "caution": each.caution, "few_speak_for_it": each.weak}
        for each in found
    }


def _example(example: Example) -> Document:
    link = example.link
    shown = {"sequence": example.sequence, "positions": [link.cause, link.effect], "events": list(example.events)}
    return shown if example.times is None else {**shown, "times": list(example.times)}


def _oracle(study: Study) -> Document:
    """How well events that were held out are foreseen."""
    quality = study.model.description
    losses = {name: quality[key] for key, name in _LOSSES.items() if quality.get(key) is not None}
    return {
        "nats_per_event": losses,
        "model_is_best": losses["model"] <= min(losses.values()) if "model" in losses else None,
        "learned_from": "this log" if study.is_trained_here else "what the run of this app learned from",
    }


def _beside_counting(graph: CausalGraph) -> Document:
    """How counting alone ranks the same edges, and what it ranks higher."""
    columns = onset_columns(graph)
    ranks = [
        {"cause": edge["cause"], "effect": edge["effect"], "onset_rank": rank}
        for edge, rank in zip(graph.edges, columns.get("onset_rank", ()), strict=False)
    ]
    return {"ranked_by_counting": ranks, "counting_has_instead": left_out_pairs(graph), "in_words": agreement(graph)}


def _onsets(study: Study) -> dict[tuple[str, str], float]:
    """Onset and direction of all pairs."""
    graph = study.graph()
    table = graph.metadata.get("baselines", {}).get("onset", ())
    return {
        (cause, effect): score
        for cause, row in zip(graph.events, table, strict=False)
        for effect, score in zip(graph.events, row, strict=True)
    }


def _pairs(graph: CausalGraph) -> dict[tuple[str, str], Mapping[str, Any]]:
    return {(edge["cause"], edge["effect"]): edge for edge in graph.edges}


def incident_of(log: EventLog, outcome: str, sequence: str) -> EventSequence:
    """The sequence that is meant, or without a name the first, in which something precedes an outcome.

    Raises:
        QueryError: If there is none.
    """
    _check_event(outcome, log)
    for each in _sequences(log, sequence):
        if outcome in each.events[1:]:
            return each
    where = f"in the sequence {sequence!r}" if sequence else "in any sequence"
    raise QueryError(f"Nothing precedes {outcome!r} {where}, expected an event that has a past. Choose another one.")


def change_of(log: EventLog, event: str, instead: str, target: str, sequence: str) -> Change:
    """The sequence that is meant, or without a name the first that has an event, and what is put in place of it.

    Raises:
        QueryError: If there is no such event, or more than one.
    """
    for name in (target, *([] if instead == REMOVED else [instead])):
        _check_event(name, log)
    chosen = _sequence_with(log, sequence, event)
    return chosen, placed(event if instead == REMOVED else f"{event}={instead}", chosen, log.event_types)


def _sequence_with(log: EventLog, sequence: str, event: str) -> EventSequence:
    name = event.rpartition("#")[0] or event
    for each in _sequences(log, sequence):
        if sequence or event.isdigit() or {event, name} & set(each.events):
            return each
    _check_event(event, log)
    raise QueryError(f"No sequence has {event!r}. Choose another event.")


def _sequences(log: EventLog, sequence: str) -> Iterator[EventSequence]:
    if not sequence:
        return iter(log)
    if sequence not in log.ids:
        hint = near(sequence, log.ids) or f" It has {preview(log.ids)}."
        raise QueryError(f"The log has no sequence {sequence!r}, expected an id of one.{hint}")
    return iter([log[log.ids.index(sequence)]])


def _check_event(event: str, log: EventLog) -> None:
    if event not in log.event_types:
        hint = near(event, log.event_types) or f" It has {preview(log.event_types)}."
        raise QueryError(f"No event of the log is called {event!r}.{hint}")


def _usual_horizon(model: EventModel) -> str:
    """Sixteen events, or half of what a model reads if that is less."""
    most = model.most_events
    return WITHIN.default if most is None else str(min(int(WITHIN.default), max(1, most // 2)))


def _counted_within(log: EventLog, within: str) -> tuple[EventLog, float, str]:
    """What is counted, how far ahead, and the unit of that: events count where a number of them is asked for."""
    horizon = parse_horizon(within)
    if horizon.seconds and log.timestamps is not None:
        return log, max(horizon.seconds), "seconds"
    return replace(log, timestamps=None), float(horizon.events), "events"


def _said(found: Document) -> str:
    """An answer to what if, in a sentence."""
    change, target, within = found["difference"], found["target"], found["within"]
    within = f"{within} events" if within.isdigit() else within
    done = f"without {found['observed']!r}" if found["do"] == REMOVED else f"with {found['do']!r} in its place"
    error = change["standard_error"]
    clear = "" if abs(change["value"]) > 2 * error else ", which is within two of its errors: it may be chance"
    return (
        f"{target!r} follows within {within} with a probability of {percent(found['factual']['value'])} as "
        f"observed, and of {percent(found['intervened']['value'])} {done} at position {found['position']}; the "
        f"difference is {change['value']:+.3f} ± {error:.3f}{clear}."
    )
