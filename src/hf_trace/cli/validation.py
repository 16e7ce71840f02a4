"""``--threshold validated --truth FILE``: a threshold chosen on a part of the sequences, used on the rest."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_trace.console import progress, say
from hf_trace.errors import SettingsError

if TYPE_CHECKING:
    from hf_trace.data.graph import CausalGraph
    from hf_trace.data.log import EventLog
    from hf_trace.hub.pipelines import CausalDiscoveryPipeline


def known_causes(threshold: str, truth: Path | None) -> "CausalGraph | None":
    """Load the truth that chooses the threshold, where one is asked for, before any work starts."""
    from hf_trace.causal.thresholds import VALIDATED
    from hf_trace.data.graph import CausalGraph

    if threshold == VALIDATED and truth is None:
        raise SettingsError(
            "threshold is 'validated', expected known causes to choose a value by. Pass them with `--truth TRUTH.json`."
        )
    if threshold != VALIDATED and truth is not None:
        raise SettingsError(
            f"`--truth` is given, but the threshold is {threshold!r}, expected 'validated'. Pass `--threshold "
            "validated`, or compare the graph afterwards with `hf-trace evaluate`."
        )
    return None if truth is None else CausalGraph.load(truth)


def freeze_threshold(
    pipe: "CausalDiscoveryPipeline",
    sequences: "EventLog",
    truth: "CausalGraph | None",
    parameters: dict[str, Any],
) -> "tuple[EventLog, dict[str, Any] | None]":
    """Choose the threshold where there is a truth and put it into ``parameters``.

    Returns:
        The sequences to use it on, and what to report; all sequences and nothing where there is no truth.
    """
    if truth is None:
        return sequences, None
    from hf_trace.hub.validation_split import choose_threshold

    with progress("choosing the threshold", 1) as advance:
        chosen = choose_threshold(pipe, sequences, truth, advance=advance, **parameters)
    say(
        f"Chose the threshold {chosen.threshold} on {chosen.validation:,} sequences (mean F1 {chosen.f1:.3f}); the "
        f"result is of the other {len(chosen.rest):,}."
    )
    parameters["threshold"] = str(chosen.threshold)
    return chosen.rest, chosen.to_dict()


def with_validation(output: dict[str, Any], validation: dict[str, Any] | None) -> dict[str, Any]:
    """The output of a run, with how its threshold was chosen."""
    if validation is None:
        return output
    graph = {**output["graph"], "metadata": {**output["graph"]["metadata"], "validation": validation}}
    return {**output, "graph": graph, "validation": validation}
