"""``pipeline("causal-effect")`` on a run that was trained on an event log: what if, inside a sequence."""

from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedModel

from hf_trace.errors import PipelineInputError, SettingsError, preview
from hf_trace.pipelines.discovery_pipeline import CausalDiscoveryPipeline, one
from hf_trace.questions.what_if import answer
from hf_trace.runs.folders import TRAINING_FILE, read_json, run_of

_QUESTION = ("do", "target", "within")
_OPTIONS = ("num_samples", "unknown", "seed")


class EventEffectPipeline(CausalDiscoveryPipeline):
    """How likely an event follows a position of a sequence, had the event there been another.

    A question is a record with what is asked beside its events: ``{"events": [...], "timestamps": [...], "do": {3:
    "B"}, "target": "C", "within": "300s"}``; ``"removed"`` for no event. Call parameters are ``num_samples``,
    ``unknown`` and ``seed``, and ``within`` for questions that do not say it.
    """

    def __call__(self, inputs: Any, **parameters: Any) -> Any:
        """Answer one question or a list of them; see ``hf_trace.questions.what_if.answer``.

        Raises:
            PipelineInputError: If a record is no question.
            SettingsError: If a parameter is unknown.
        """
        if isinstance(inputs, Mapping):
            return self._one(inputs, parameters)
        return [self._one(record, parameters) for record in inputs]

    def _one(self, record: Any, parameters: dict[str, Any]) -> dict[str, Any]:
        known = ("within", *_OPTIONS)
        if wrong := [name for name in parameters if name not in known]:
            raise SettingsError(f"Unknown parameter {preview(wrong)}, expected one of: {', '.join(known)}.")
        if not isinstance(record, Mapping) or not {"events", "do", "target"} <= set(record):
            found = f"the keys {preview(record)}" if isinstance(record, Mapping) else f"a {type(record).__name__}"
            raise PipelineInputError(
                f'Got {found}, expected {{"events": [...], "do": {{POSITION: EVENT}}, "target": EVENT}}: this run was '
                "trained on an event log."
            )
        asked = {**parameters, **{name: record[name] for name in _QUESTION if name in record}}
        return answer(self, one(record), **asked)


def reads_events(model: PreTrainedModel) -> bool:
    """Whether a model was loaded from a run that was trained on an event log."""
    path = run_of(model)
    return bool(path) and "window_length" in read_json(path, TRAINING_FILE)
