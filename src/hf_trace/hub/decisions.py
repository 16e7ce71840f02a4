"""What the discovery pipeline answers beside graphs: what if, root causes, causes of outcomes."""

from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from hf_trace.data.outcomes import outcome_event
from hf_trace.errors import PipelineInputError
from hf_trace.hub.records import as_sequence, is_single, sequences
from hf_trace.hub.run_source import run_of
from hf_trace.hub.runs import TRAINING_FILE, read_json

if TYPE_CHECKING:
    from hf_trace.hub.pipelines import CausalDiscoveryPipeline


class Decisions:
    """Methods of ``CausalDiscoveryPipeline``; what they need is loaded when they are called."""

    @cached_property
    def outcome_events(self) -> tuple[str, ...]:
        """Labels of whole sequences that the run was trained with, as events; none without an outcome column."""
        pipe = cast("CausalDiscoveryPipeline", self)
        path = run_of(pipe.model)
        column = read_json(path, TRAINING_FILE).get("outcome_column") if path else None
        if column is None:
            return ()
        begins = outcome_event(column, "")
        return tuple(name for name in pipe.events.event_types if name.startswith(begins))

    def what_if(self, record: Any, **parameters: Any) -> dict[str, Any]:
        """How likely a target follows a position of a sequence, as it was and had the event there been another.

        Args:
            record: ``{"events": [...], "timestamps": [...], "id": ...}`` or an ``EventSequence``.
            parameters: See ``hf_trace.hub.what_if_run.answer``: ``do``, ``target``, ``within``, ``num_samples``,
                ``unknown``, ``seed``.

        Example:
            >>> discover.what_if(record, do={3: "removed"}, target="outage", within="300s")  # doctest: +SKIP
        """
        from hf_trace.hub.what_if_run import answer

        return answer(cast("CausalDiscoveryPipeline", self), one(record), **parameters)

    def rank(self, record: Any, **parameters: Any) -> dict[str, Any]:
        """Root causes of an event of a sequence, the likeliest first.

        Args:
            record: The incident, as for a call.
            parameters: ``outcome``, ``position`` of its occurrence, ``reference`` (a pipeline of normal operation),
                and the fields of ``hf_trace.hub.rank_run.RankSettings``.

        Example:
            >>> discover.rank(record, outcome="outage")["causes"][0]["event"]  # doctest: +SKIP
        """
        from hf_trace.hub.rank_run import rank

        return rank(cast("CausalDiscoveryPipeline", self), one(record), **parameters)

    def outcomes(self, records: Any, **parameters: Any) -> Any:
        """Which events bring outcomes about, over all records or in each.

        Args:
            records: What a call takes; a label stands as an outcome event at the end of a record, as ``read_log``
                with ``outcome_column`` writes it.
            parameters: ``outcome`` and the fields of ``hf_trace.hub.outcomes_run.OutcomeSettings``.

        Returns:
            One result for all records, or with ``level="instance"`` one for each, a list for a list.

        Example:
            >>> found = discover.outcomes(read_log("blocks.csv", outcome_column="label"))  # doctest: +SKIP
            >>> found["outcomes"][0]["causes"]  # doctest: +SKIP
        """
        from hf_trace.hub.outcomes_run import outcomes

        found = outcomes(cast("CausalDiscoveryPipeline", self), sequences(records), **parameters)
        return found[0] if isinstance(found, list) and is_single(records) and len(found) == 1 else found


def one(record: Any) -> Any:
    """The sequence of one record.

    Raises:
        PipelineInputError: If there are several, or none.
    """
    if not is_single(record):
        raise PipelineInputError(
            f'Got a {type(record).__name__}, expected one record: {{"events": [...]}}, optionally with "timestamps" '
            'and "id".'
        )
    return as_sequence(record)
