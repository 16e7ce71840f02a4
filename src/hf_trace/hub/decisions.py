"""What the discovery pipeline answers beside graphs: what if, root causes, causes of outcomes."""

from typing import TYPE_CHECKING, Any, cast

from hf_trace.errors import PipelineInputError
from hf_trace.hub.records import as_sequence, is_single

if TYPE_CHECKING:
    from hf_trace.hub.pipelines import CausalDiscoveryPipeline


class Decisions:
    """Methods of ``CausalDiscoveryPipeline``; what they need is loaded when they are called."""

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
            parameters: ``outcome``, ``position`` of its occurrence, and the fields of
                ``hf_trace.hub.rank_run.RankSettings``.

        Example:
            >>> discover.rank(record, outcome="outage")["causes"][0]["event"]  # doctest: +SKIP
        """
        from hf_trace.hub.rank_run import rank

        return rank(cast("CausalDiscoveryPipeline", self), one(record), **parameters)


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
