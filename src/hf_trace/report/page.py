"""A causal graph with all that stands behind it as one HTML file that needs no network."""

import base64
import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import resources
from itertools import chain
from math import isfinite
from pathlib import Path
from typing import Any

import networkx as nx

from hf_trace.discovery.pair_graphs import summary_graph
from hf_trace.documents import Document
from hf_trace.errors import OutputError
from hf_trace.graphs.graph import CausalGraph
from hf_trace.graphs.graph_files import FORMAT, VERSION
from hf_trace.graphs.pictures.layout import place_nodes
from hf_trace.logs.log import EventLog
from hf_trace.logs.log_facts import has_dates, log_facts, type_counts
from hf_trace.logs.places.near_names import plain_name
from hf_trace.logs.sequence import EventSequence
from hf_trace.logs.writing import atomic_path
from hf_trace.notebooks import page_html
from hf_trace.report.beside_counting import left_out_pairs, onset_columns
from hf_trace.report.evidence import EvidenceCollector, Example, Incident, Link
from hf_trace.report.page_texts import assumptions, headline, not_tested
from hf_trace.report.pair_places import PairPlaces, looked_up, pairs_of

SUFFIXES = (".html", ".htm")
# In the order in which they are joined to one script.
_SCRIPTS = (
    *("model", "elements", "geometry", "labels", "graph", "evidence", "table", "timeline", "answers", "findings"),
    *("exports", "printing", "main"),
)
_UNSAFE = {char: f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}
_MOST_EDGES = 20_000
_MOST_PLACED = 600
_MOST_WITH_EXAMPLES = 1_000
_SHAPE = (1.6, 1.0)
# Event types without an edge stand in rows below the picture, which shows them when asked.
_PER_ROW, _ROW = 10, 0.09
_TIMES = ["same time", "to 1 ms", "to 10 ms", "to 0.1 s", "to 1 s", "to 10 s", "to 1 min", "to 10 min", "to 1 h",
          "to 6 h", "to 1 day", "to 7 days", "to 30 days", "longer"]  # fmt: skip
# Tables over all pairs of types, which a page does not show.
_TABLES = ("scores", "baselines")


def page_document(
    graph: CausalGraph,
    *,
    log: EventLog | None = None,
    analyzed: EventLog | None = None,
    evidence: EvidenceCollector | None = None,
    others: Sequence[CausalGraph] = (),
    findings: Document | None = None,
    command: str = "",
    title: str = "Causal graph",
) -> Document:
    """Collect what a page shows of a graph.

    Args:
        graph: Any level. An instance graph is shown as a timeline and as the summary of its event types. Its edges may
            say how they differ from those of an earlier graph: ``change`` (``new``, ``gone``, ``stronger``, ``weaker``
            or ``same``), ``before`` and ``after``.
        log: The log it was found in, for the summary and the counts of event types.
        analyzed: The sequences that were looked at, where those are others.
        evidence: Examples, times and incidents; those of an instance graph are taken from it when left out. Where
            single places were not scored, those where the ends of edges stand at their usual distance are looked up.
        others: Graphs that answer other questions about the same log: the page has a switch.
        findings: The same in words, see ``LogFindings.to_dict``.
        command: How to make the page again.
        title: Heading of the page, best with the name of the log.

    Example:
        >>> document = page_document(CausalGraph.from_edges([("disk full", "reboot")]))
        >>> document["names"], document["edges"]["cause"]
        (['disk full', 'reboot'], [0])
    """
    looked_at = analyzed or log
    shown = [_shown(graph, evidence, looked_at), *(_shown(each, None, looked_at) for each in others)]
    incidents = _incidents(shown[0])
    names = chain.from_iterable(each.typed.events for each in shown)
    index = _index(names, incidents, [each.examples for each in shown])
    first, *rest = (_part(each, index) for each in shown)
    for part, each in zip(rest, shown[1:], strict=True):
        part["links"] = _links_in(incidents, each.typed)
    counts = {} if log is None else type_counts(log)
    return {
        "format": "hf_trace.page",
        "graph_format": [FORMAT, VERSION],
        "title": title,
        "headline": headline(shown[0].typed, log),
        "names": list(index),
        "own": {str(number): index[own] for name, number in index.items() if (own := plain_name(name)) != name},
        "types": len({name for each in shown for name in each.typed.events}),
        "counts": [counts.get(name) for name in index] if counts else None,
        "places": _places([each.typed for each in shown], index),
        **first,
        "others": rest,
        "times": _TIMES,
        "incidents": [_incident(each, index) for each in incidents],
        "dates": log is not None and has_dates(log),
        "log": [] if log is None else log_facts(log, analyzed),
        "oracle": graph.metadata.get("oracle", {}),
        "findings": findings,
        "command": command,
    }


@dataclass(frozen=True)
class _Shown:
    """A graph as it is shown.

    Attributes:
        graph: As it was given.
        typed: Over event types.
        evidence: What stands behind its edges.
        is_looked_up: Whether that are places that were not scored.
    """

    graph: CausalGraph
    typed: CausalGraph
    evidence: EvidenceCollector
    is_looked_up: bool = False

    @cached_property
    def examples(self) -> dict[str, list[Example]]:
        """Examples of the strongest edges, by the number of the edge."""
        numbers = sorted(_by_strength(self.typed)[:_MOST_WITH_EXAMPLES])
        found = {str(number): self.evidence.examples(*pairs_of(self.typed.edges[number])) for number in numbers}
        return {number: examples for number, examples in found.items() if examples}

    @property
    def time_lags(self) -> dict[str, list[int]]:
        """How often edges took how long, by the number of the edge."""
        found = {str(number): self.evidence.seconds(*pairs_of(edge)) for number, edge in enumerate(self.typed.edges)}
        return {number: bins for number, bins in found.items() if any(bins)}


def _shown(graph: CausalGraph, evidence: EvidenceCollector | None, log: EventLog | None) -> _Shown:
    if graph.level == "instance":
        if evidence is None:
            evidence = EvidenceCollector()
            evidence.add_graph(EventSequence(graph.events), graph)
        return _Shown(graph, _projected(graph).strongest(_MOST_EDGES), evidence)
    typed = graph.strongest(_MOST_EDGES)
    if evidence is not None and evidence.incidents():
        return _Shown(graph, typed, evidence)
    return _Shown(graph, typed, looked_up(typed, log) if log is not None else EvidenceCollector(), is_looked_up=True)


def _part(shown: _Shown, index: Mapping[str, int]) -> Document:
    """All of a page that depends on the question."""
    graph, typed = shown.graph, shown.typed
    metadata = {key: value for key, value in graph.metadata.items() if key not in _TABLES}
    settings = metadata.get("settings", {})
    question = str(metadata.get("question", ""))
    return {
        "level": graph.level,
        "question": question,
        "found": len(graph) if graph.level != "instance" else len(typed),
        "edges": _columns(typed.edges, index) | _counted(typed),
        "left_out": [each | {end: index[each[end]] for end in ("cause", "effect")} for each in left_out_pairs(typed)],
        "time_lags": shown.time_lags,
        "examples": {number: [_example(each, index) for each in found] for number, found in shown.examples.items()},
        "looked_up": shown.is_looked_up,
        "assumptions": assumptions(graph, settings),
        "not_tested": not_tested(graph, settings),
        "metadata": metadata,
    }


def _incidents(shown: _Shown) -> list[Incident]:
    """Sequences in which edges of the graph can be seen; without any, those with the most edges of their own."""
    pairs = {pair for edge in shown.typed.edges for pair in pairs_of(edge)}
    return shown.evidence.incidents(pairs) or shown.evidence.incidents()


def _links_in(incidents: Sequence[Incident], graph: CausalGraph) -> list[list[list[Any]]]:
    """Places of the edges of a further graph in the same incidents."""
    places = PairPlaces(graph)
    return [_links(places.links(EventSequence(each.events, each.timestamps))) for each in incidents]


def _projected(graph: CausalGraph) -> CausalGraph:
    """Put an instance graph on event types, whatever its edges leave out."""
    defaults = [{"cmi": 0.0, "lag": edge["effect_position"] - edge["cause_position"]} for edge in graph.edges]
    signs = [{"gain": -1.0 if edge.get("direction") == "inhibits" else 1.0} for edge in graph.edges]
    filled = tuple({**d, **s, **edge} for d, s, edge in zip(defaults, signs, graph.edges, strict=True))
    return summary_graph(replace(graph, edges=filled), self_loops=True)


def _index(
    names: Iterable[str], incidents: Sequence[Incident], examples: Iterable[Mapping[str, Sequence[Example]]]
) -> dict[str, int]:
    """Number the event types: those of the graphs first, then those that only sequences show."""
    found = (each for given in examples for several in given.values() for each in several)
    only = list(chain.from_iterable(each.events for each in chain[Incident | Example](incidents, found)))
    return {name: number for number, name in enumerate(dict.fromkeys(chain(names, only, map(plain_name, only))))}


def _by_strength(graph: CausalGraph) -> list[int]:
    """The numbers of the edges, the strongest first."""
    return sorted(range(len(graph)), key=lambda number: -abs(graph.edges[number].get("cmi") or 0.0))


def _columns(edges: Sequence[Mapping[str, Any]], index: Mapping[str, int]) -> dict[str, list[Any]]:
    """One list per key of the edge records, which is far shorter than one record per edge."""
    keys = dict.fromkeys(key for edge in edges for key in edge)
    columns = {key: [_rounded(edge.get(key)) for edge in edges] for key in keys if key not in ("cause", "effect")}
    return {end: [index[edge[end]] for edge in edges] for end in ("cause", "effect")} | columns


def _counted(graph: CausalGraph) -> dict[str, list[Any]]:
    """What counting says of the same edges."""
    return {key: list(map(_rounded, column)) for key, column in onset_columns(graph).items()}


def _rounded(value: Any) -> Any:
    """Six digits of a number; nothing for one that JSON cannot hold."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.6g}") if isfinite(value) else None


def _places(graphs: Sequence[CausalGraph], index: Mapping[str, int]) -> list[list[float] | None]:
    """Where event types stand, one place for all graphs: from 0 to 1 on both axes, those without an edge below.

    None for those that are in the table only.
    """
    backbone = nx.compose_all([_backbone(each) for each in graphs])
    neighbours = {node: set(nx.all_neighbors(backbone, node)) - {node} for node in backbone}
    kept = sorted((node for node in backbone if neighbours[node]), key=lambda node: -len(neighbours[node]))[
        :_MOST_PLACED
    ]
    drawn: nx.DiGraph[Any] = nx.DiGraph()
    drawn.add_nodes_from(sorted(kept, key=lambda node: index[str(node)]))
    chosen = set(kept)
    drawn.add_edges_from(ends for ends in backbone.edges if chosen.issuperset(ends))
    width, height = _SHAPE
    found = place_nodes(drawn, width * 10, height * 10)
    places = {name: [round(x / width / 10, 4), round(1 - y / height / 10, 4)] for name, (x, y) in found.items()}
    alone = [str(node) for node in backbone if not neighbours[node]][: _MOST_PLACED - len(kept)]
    for number, name in enumerate(alone):
        row, column = divmod(number, _PER_ROW)
        places[name] = [(column + 0.5) / _PER_ROW, round(1 + _ROW * (row + 1), 4)]
    return [places.get(name) for name in index]


def _backbone(graph: CausalGraph) -> Any:
    """The edges that decide the places: the strongest, and of every event type the strongest in and out."""
    backbone: nx.DiGraph[Any] = nx.DiGraph()
    backbone.add_nodes_from(graph.events)
    most = 2 * len(graph.events)
    met: set[tuple[str, str]] = set()
    for rank, edge in enumerate(graph.edges[number] for number in _by_strength(graph)):
        ends = {("out", edge["cause"]), ("in", edge["effect"])}
        if rank < most or not ends <= met:
            backbone.add_edge(edge["cause"], edge["effect"])
        met |= ends
    return backbone


def _example(example: Example, index: Mapping[str, int]) -> Document:
    return {
        "sequence": example.sequence,
        "positions": [example.link.cause, example.link.effect],
        "times": example.times,
        "cmi": _rounded(example.link.cmi),
        "start": example.start,
        "events": [index[name] for name in example.events],
    }


def _incident(incident: Incident, index: Mapping[str, int]) -> Document:
    return {
        "sequence": incident.sequence,
        "start": incident.start,
        "length": incident.length,
        "events": [index[name] for name in incident.events],
        "times": incident.timestamps,
        "found": incident.found,
        "links": _links(incident.links, incident.start),
    }


def _links(links: Iterable[Link], start: int = 0) -> list[list[Any]]:
    return [[link.cause - start, link.effect - start, _rounded(link.cmi), link.direction] for link in links]


def write_page(path: str | os.PathLike[str], document: Document) -> None:
    """Write the page of a document.

    Args:
        path: A name that ends in .html.
        document: What ``page_document`` returned.

    Raises:
        OutputError: If the suffix is another or the place cannot be written.
    """
    if Path(path).suffix.lower() not in SUFFIXES:
        raise OutputError(f"Cannot write a page to '{path}'. Expected a name that ends in {', '.join(SUFFIXES)}.")
    text = page_text(document)
    with atomic_path(path) as unfinished:
        # A name with half a surrogate pair becomes the JSON escape of it.
        unfinished.write_bytes(text.encode("utf-8", errors="backslashreplace"))


@dataclass(frozen=True, repr=False)
class ReportPage:
    """A page, as a notebook shows it inline and as a file.

    Attributes:
        document: What ``page_document`` returned.
    """

    document: Document

    def __repr__(self) -> str:
        return f"ReportPage({self.document['title']!r})"

    def _repr_html_(self) -> str:
        return page_html(self.html)

    @property
    def html(self) -> str:
        """The page as text."""
        return page_text(self.document)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a file; see ``write_page``."""
        write_page(path, self.document)


def page_text(document: Document) -> str:
    """The page of a document as text; equal documents give equal pages.

    Example:
        >>> "<script>alert(1)" in page_text({"names": ["<script>alert(1)"]})
        False
    """
    style = _file("page.css")
    script = '(() => {\n"use strict";\n' + "\n".join(_file(f"{name}.js") for name in _SCRIPTS) + "})();\n"
    parts = {"policy": _policy(style, script), "style": style, "script": script, "document": _embedded(document)}
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _file("page.html"))


def _file(name: str) -> str:
    return (resources.files("hf_trace.report") / "page_files" / name).read_text(encoding="utf-8")


def _embedded(document: Document) -> str:
    """JSON that ends no script element and breaks no line."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return re.sub("[<>&\u2028\u2029]", lambda found: _UNSAFE[found[0]], text)


def _policy(style: str, script: str) -> str:
    """Allow this style and this script, and nothing from elsewhere."""
    return f"default-src 'none'; img-src data: blob:; style-src {_digest(style)}; script-src {_digest(script)}"


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
