"""What a page says in words: the size of the log, what a graph assumes, what was not tested."""

from collections.abc import Mapping
from typing import Any

from hf_trace.graphs.graph import CausalGraph
from hf_trace.logs.log import EventLog
from hf_trace.logs.log_facts import has_dates, span_and_days
from hf_trace.report.beside_counting import agreement

_LONGEST_NAME = 60
_REPLACEMENTS = {
    "uniform": "event types drawn at random, each alike",
    "unigram": "event types drawn as often as they occur in the log",
    "model": "event types drawn from what the model itself expects at that place",
    "removal": "nothing, as if it had not been",
    "exhaustive": "every event type, each weighted alike",
    "exhaustive:uniform": "every event type, each weighted alike",
    "exhaustive:unigram": "every event type, weighted by how often it occurs in the log",
    "exhaustive:model": "every event type, weighted by what the model expects at that place",
}
_SAME_TIME = {
    "listed": "the same time keep the order of the source.",
    "both": "the same time are read in both orders, and an edge seen only between such events has no direction.",
}


def headline(graph: CausalGraph, log: EventLog | None) -> str:
    """Of which days a log is, and what was found first: a part of the name under which a page is kept.

    Args:
        graph: Over event types.
        log: The log it was found in.

    Example:
        >>> headline(CausalGraph.from_edges([("disk full", "reboot")]), None)
        'disk full → reboot is the only edge'
    """
    span, days = ("unknown", "") if log is None else span_and_days(log)
    when = days if log is not None and has_dates(log) else span
    return _first_found(graph) if when == "unknown" else f"{when}: {_first_found(graph)}"


def _first_found(graph: CausalGraph) -> str:
    if changes := graph.metadata.get("changes"):
        return str(changes).partition(";")[0]
    if not len(graph):
        return "no edge was found"
    strongest = max(graph.edges, key=lambda edge: abs(edge.get("cmi") or 0.0))
    sign = "⊣" if strongest.get("direction") == "inhibits" else "→"
    which = "only edge" if len(graph) == 1 else f"strongest of {len(graph):,} edges"
    return f"{_short(strongest['cause'])} {sign} {_short(strongest['effect'])} is the {which}"


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def assumptions(graph: CausalGraph, settings: Mapping[str, Any]) -> list[dict[str, str]]:
    """What an edge means and what must hold for it to be believed, as titles with texts.

    Args:
        graph: The graph that is shown.
        settings: Those of its run; what they lack is not mentioned.

    Example:
        >>> graph = CausalGraph("summary", ())
        >>> assumptions(graph, {"effect": "total", "horizon": "16"})[0]["title"]
        'What an edge means: a total effect'
    """
    said = [_meaning(graph, settings), _threshold(graph, settings)]
    counted = agreement(graph)
    if counted:
        said.append(_entry("What counting alone says", counted))
    said += [
        _entry(
            "No hidden common cause",
            "An event that is not in the log but causes two others looks like an edge between these two.",
        ),
        _entry(
            "Causes come first",
            "A cause stands before its effect in the log. Late or unordered times reverse edges; events with "
            + _SAME_TIME.get(str(settings.get("ties")), _SAME_TIME["listed"]),
        ),
        _entry(
            "The same rules throughout",
            "The process is taken to follow the same rules in all sequences and at all times. After a change, "
            "such as an upgrade, edges mix what held before and after; split the log there.",
        ),
        _entry(
            "The model predicts well",
            "Edges are read off a trained model. Where it predicts poorly, they mean little: compare its loss with "
            "the counting models above.",
        ),
    ]
    if any("resampled_share" in edge for edge in graph.edges):
        said.append(
            _entry(
                "What resampling says",
                "The sequences were resampled many times, and each pair has the share of resamples in which it is an "
                "edge. A high share says that the edge is no accident of the sequences at hand. It does not say that "
                "the edge is causal: what misleads the model misleads it in every resample.",
            )
        )
    if settings.get("effect") != "total":
        said.append(
            _entry(
                "No redundant causes",
                "Events that carry the same information, as in bursts, share the credit: each direct effect can be "
                "small although the cause is real.",
            )
        )
    return said


def not_tested(graph: CausalGraph, settings: Mapping[str, Any]) -> list[str]:
    """Which pairs cannot be edges because they were not tested.

    Example:
        >>> not_tested(CausalGraph("summary", ()), {"max_lag": 8})[0]
        'Causes more than 8 events before their effect. The model still reads them.'
    """
    said = []
    total = settings.get("effect") == "total"
    if total and settings.get("horizon"):
        said.append(f"Effects beyond the horizon of {settings['horizon']}.")
    elif settings.get("max_lag"):
        said.append(f"Causes more than {settings['max_lag']} events before their effect. The model still reads them.")
    if settings.get("prefix_length"):
        said.append(f"The first {settings['prefix_length']} events of each sequence as causes.")
    if not settings.get("self_loops") and graph.level != "instance":
        said.append("Events that cause another event of their own type.")
    if settings.get("knowledge"):
        said.append("Pairs that the given background knowledge rules out.")
    if graph.level == "population" and not total:
        least = settings.get("min_support")
        said.append(
            f"Pairs of types within reach of each other in fewer than {least} sequences."
            if least
            else "Pairs of types that are never within reach of each other."
        )
    said.append("Pairs across the borders of sequences, and of windows where long sequences were cut.")
    return said


def _entry(title: str, text: str) -> dict[str, str]:
    return {"title": title, "text": text}


def _meaning(graph: CausalGraph, settings: Mapping[str, Any]) -> dict[str, str]:
    found = _meaning_of_edges(settings)
    question = graph.metadata.get("question")
    return found if question is None else found | {"text": f"The question: {question}. {found['text']}"}


def _meaning_of_edges(settings: Mapping[str, Any]) -> dict[str, str]:
    if settings.get("question") == "follows":
        return _entry(
            "What an edge means: the effect follows",
            "The strength is the share of events of the cause after which the effect begins: it comes within the "
            "horizon and was not there in the horizon before. It is the geometric mean of two estimates, one counted "
            "in the log and one of the model, which is made to go on from the cause at many places; and it is "
            "multiplied by the share of the near pairs in which the cause comes first. Whatever happens in between "
            "is part of it. A common cause of both can make it, too.",
        )
    if settings.get("effect") == "total":
        return _entry(
            "What an edge means: a total effect",
            "The cause is forced at many places of the log and the model goes on by itself. The edge says how much "
            "more or less likely the effect then occurs within the horizon than after other forced events, whatever "
            "happens in between. Its probabilities are averages over sampled futures; near certainty they can come out "
            "above 100 %, shown as ≈ 100 %.",
        )
    construction = settings.get("construction", "atomic")
    if construction in ("saliency", "attention", "shapley"):
        return _entry(
            f"What an edge means: attribution by {construction}",
            "The score says how much the model used an event for its prediction of a later one. It is a baseline, "
            "not a causal effect.",
        )
    if construction == "staircase":
        return _entry(
            "What an edge means: the staircase construction",
            "Everything after the cause is replaced, with and without the cause. The edge says how much the cause "
            "then adds to the prediction of the effect.",
        )
    drawn = _REPLACEMENTS.get(str(settings.get("proposal")), "other event types")
    if construction == "by-type":
        return _entry(
            "What an edge means: all events of a type at once",
            f"All events of the cause in a sequence are replaced by {drawn}, and what the model then expects of every "
            "later place is compared. The edge says that the effect becomes less likely without them (the cause "
            "excites it) or more likely (it inhibits it), given everything else that happened. Of two types that are "
            "near each other, the one that mostly comes first counts as the cause.",
        )
    return _entry(
        "What an edge means: a direct effect",
        f"One event is replaced by {drawn}, and everything between it and the effect stays as it happened. The edge "
        "says that the effect then becomes less likely (the cause excites it) or more likely (it inhibits it). What "
        "the cause does by way of events in between is not counted.",
    )


def _threshold(graph: CausalGraph, settings: Mapping[str, Any]) -> dict[str, str]:
    kind, _, value = str(settings.get("threshold", "")).partition(":")
    texts = {
        "margin": f"A pair is an edge where its strength (cmi) is above {value} nats.",
        "fixed": f"A pair is an edge where its score is above {value}.",
        "quantile": f"A pair is an edge where its score is above the quantile {value} of its sequence.",
        "per-lag": f"A pair is an edge where its score is above the value for its lag: {value} (the last for longer).",
        "fdr": f"The largest set of pairs is kept of which a share {value.split(',')[0]} is expected to be false.",
    }
    text = texts.get(kind, "The rule that made pairs into edges is not recorded.")
    # By-type and total effects are added up over all sequences before the line is drawn.
    by_sequence = settings.get("construction") != "by-type" and settings.get("effect") != "total"
    if settings.get("min_frequency") == "adaptive" and graph.level == "population" and by_sequence:
        text += (
            " Over all sequences, a pair of types is an edge where it is carried too often for the noise level of its "
            "effect (5 % false edges expected)."
        )
    elif graph.level == "population" and by_sequence and settings.get("min_frequency") is not None:
        text += (
            " Over all sequences, a pair of types is an edge where the lower end of the 95 % interval of its frequency "
            f"is above {settings['min_frequency']}."
        )
    return _entry("Where the line is drawn", text + " Pairs below are not proven absent; they are weaker or rarer.")
