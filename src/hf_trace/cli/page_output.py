"""``--html``: a graph with its evidence as one page."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_trace.console import say

if TYPE_CHECKING:
    from hf_trace.data.graph import CausalGraph
    from hf_trace.data.log import EventLog
    from hf_trace.report.evidence import EvidenceCollector


def evidence_for(parameters: dict[str, Any]) -> "EvidenceCollector":
    """Collect what stands behind the edges of a run with these parameters."""
    from hf_trace.causal.thresholds import parse_threshold
    from hf_trace.report.evidence import EvidenceCollector

    return EvidenceCollector(parse_threshold(parameters["threshold"]))


def write_report(
    path: Path | None,
    graph: "CausalGraph",
    output: dict[str, Any],
    evidence: "EvidenceCollector",
    log: "EventLog",
    analysed: "EventLog",
) -> None:
    """Write the page of one graph, where one is asked for.

    Args:
        path: Where to; None: nowhere.
        graph: What is shown.
        output: What discovery returned with it.
        evidence: What was collected on the way; that of a single sequence is taken from ``output``.
        log: The log as it was read.
        analysed: The sequences that were looked at.
    """
    if path is None:
        return
    from dataclasses import replace

    from hf_trace.report.page import write_page
    from hf_trace.report.page_document import page_document

    if graph.level != "population":
        instance = replace(graph, level="instance", events=analysed[0].events, edges=tuple(output["edges"]))
        evidence.add_graph(analysed[0], instance)
    title = f"What causes what in {analysed.ids[0]}" if len(analysed) == 1 else "What causes what"
    document = page_document(
        graph,
        log=log,
        analysed=analysed,
        evidence=evidence,
        # A run that was interrupted and went on is the run that was asked for.
        command=shlex.join(["hf-trace", *(word for word in sys.argv[1:] if word != "--resume")]),
        title=title,
    )
    write_page(path, document)
    say(f"Wrote {path} ({path.stat().st_size / 1e6:.1f} MB).")
