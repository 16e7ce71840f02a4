"""Pages of made-up graphs: a large one and one with hostile names."""

import numpy as np

from hf_trace.discovery.statistics import PairScores
from hf_trace.discovery.thresholds import parse_threshold
from hf_trace.graphs.graph import CausalGraph
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence
from hf_trace.report.evidence import EvidenceCollector
from hf_trace.report.page import page_document

HOSTILE = (
    "</script><script>document.title='taken'</script>",
    "<img src=x onerror=\"document.title='taken'\">",
    "a " * 1_000,
    "x" * 2_000,
    "\"quotes\" 'and' `ticks` & {{script}}",
    "=HYPERLINK(1)",
    "+1",
    "-2",
    "@sum",
    "\u202eright to left\u202c",
    "الخادم متوقف",
    "👩‍👩‍👧‍👦" * 30,
    "line\u2028separator\u2029tab\there\nnew\x00null",
    "__proto__",
    "constructor",
)


def population(names, pairs, rng):
    """A population graph with all keys that discovery writes."""
    strengths, excites = rng.exponential(0.1, len(pairs)), rng.random(len(pairs)) < 0.7
    edges = tuple(
        {
            "cause": names[cause], "effect": names[effect], "cmi": float(cmi), "edge_cmi": float(2 * cmi),
            "direction": "excites" if sign else "inhibits", "confidence": float(rng.random()),
            "frequency": 0.5, "frequency_low": 0.4, "frequency_high": 0.6, "support": int(rng.integers(2, 90)),
            "lags": [1, 3], "lag_counts": {"1": 30, "3": 4, "12": 1}, "lag_seconds": float(rng.random() * 9_000),
            "lag_seconds_quantiles": {"0.1": 2.0, "0.5": 38.0, "0.9": 79_200.0},
        }
        for (cause, effect), cmi, sign in zip(pairs, strengths, excites, strict=True)
    )  # fmt: skip
    settings = {"max_lag": 12, "threshold": "margin:0.05", "effect": "direct", "min_support": 2}
    oracle = {"loss": 1.0, "additive": 1.25, "bigram": 1.5, "unigram": 3.0, "events": 500}
    return CausalGraph("population", tuple(names), edges, {"settings": settings, "oracle": oracle})


def sequences(names, count, length, rng):
    """Random sequences, each with times and an id."""
    for number in range(count):
        events = tuple(names[i] for i in rng.integers(len(names), size=length))
        yield EventSequence(events, tuple(np.cumsum(rng.exponential(50.0, length)).tolist()), f"case {number}")


def scores_of(sequence, max_lag=12):
    """A third of the pairs within reach scores 0.2, the others nothing."""
    pairs = [(c, e) for c in range(len(sequence)) for e in range(c + 1, min(c + max_lag + 1, len(sequence)))]
    cause, effect = np.array(pairs).T
    cmi = np.where((cause + effect) % 3 == 0, 0.2, 0.0)
    return PairScores(cause, effect, cmi, cmi - 0.1, np.zeros(len(cmi)))


def document(names, n_edges, seed=0, **options):
    """Everything a page can hold, over the given names."""
    rng = np.random.default_rng(seed)
    every = [(c, e) for c in range(len(names)) for e in range(len(names)) if c != e]
    pairs = [every[i] for i in rng.permutation(len(every))[:n_edges]]
    given = list(sequences(names, 20, 40, rng))
    evidence = EvidenceCollector(parse_threshold("margin:0.05"))
    for sequence in given:
        evidence.add(sequence, scores_of(sequence))
    graph = population(names, pairs, rng)
    return page_document(graph, log=EventLog.from_sequences(given), evidence=evidence, **options)


def told(names=("disk full", "service slow", "login failed", "reboot", "ping", "idle")):
    """A page with everything beside the graph: two questions, findings, delays, places, changes, answers, a ranking."""
    first, second, third, fourth, fifth, _ = names
    delays = {"lag_seconds_quantiles": {"0.1": 2.0, "0.5": 60.0, "0.9": 3600.0}}
    common = {"direction": "excites", "support": 30, **delays}
    edges = (
        {"cause": first, "effect": second, "cmi": 0.8, "place": "within", "change": "new", "before": 0.0, "after": 0.8}
        | common,
        {
            "cause": second,
            "effect": third,
            "cmi": 0.4,
            "place": "between",
            "change": "weaker",
            "before": 0.6,
            "after": 0.4,
        }
        | common,
        {"cause": third, "effect": fourth, "cmi": 0.2, "place": "both", "change": "same", "before": 0.2, "after": 0.2}
        | common
        | {"support": 2, "direction": "inhibits"},
    )
    table = np.zeros((len(names), len(names)))
    table[0, 1], table[3, 4], table[0, 4] = 0.5, 0.9, 0.7  # the two highest are no edges
    graph = CausalGraph("population", tuple(names), edges)
    drives = graph.with_metadata(
        question="drives: what explains the effect",
        settings={"question": "drives"},
        baselines={"onset": table.tolist()},
    )
    follows = CausalGraph.from_edges([(first, third), (first, second)], events=names, level="population")
    follows = follows.with_metadata(question="follows: does the effect begin", settings={"question": "follows"})
    events = (first, second, third, fourth, fifth) * 4
    log = EventLog.from_sequences(
        [
            EventSequence(events, tuple(1_700_000_000.0 + 30.0 * i for i in range(len(events))), f"case {n}")
            for n in (1, 2)
        ]
    )
    said = {
        "summary": ["The first sentence.", "The second sentence."],
        "questions": {
            "drives": [
                _finding(first, second, "It comes soon.", kind="surprise"),
                _finding(third, fourth, "Hardly seen.", caution="Few.", weak=True),
            ],
            "follows": [_finding(first, third, "It follows.")],
        },
        "assumed": ["Causes come first."],
        "next": ["Look at case 1."],
    }  # fmt: skip
    made = page_document(drives, log=log, others=[follows], findings=said, title="What drives what in disks.csv")
    made["incidents"][0]["what_if"] = {"removed": {"0": [[1, 0.8, 0.12]], "1": [[2, 0.5, 0.6]], "2": []}}
    made["incidents"][0]["ranking"] = [{"cause": first, "score": 2.5, "sentence": "It was full for an hour."}]
    return made


def _finding(cause, effect, text, *, caution="", weak=False, kind=""):
    return {"cause": cause, "effect": effect, "text": text, "caution": caution, "weak": weak, "kind": kind}
