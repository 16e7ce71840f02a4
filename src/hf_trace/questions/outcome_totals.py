"""Total effects on outcomes: what an event changes together with all that it brings about."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import norm

from hf_trace.discovery.total_effects import Horizon, divergence_of
from hf_trace.logs.sequence import EventSequence
from hf_trace.oracle.engine import Oracle
from hf_trace.questions.outcome_scores import LEVEL, OutcomeScores
from hf_trace.questions.root_causes import Redraws, effects_on
from hf_trace.questions.what_if import REMOVED, given_event, given_silence
from hf_trace.runs.event_model import EventModel


@dataclass(frozen=True)
class Forced:
    """How total effects of the events of a sequence are simulated.

    Attributes:
        targets: Outcomes, as indices of event types of the model.
        horizon: How far ahead of an event an outcome may come.
        redraws: How events are replaced.
        unknown: ``"error"`` or ``"map"``, for events outside the vocabulary.
    """

    targets: Sequence[int]
    horizon: Horizon
    redraws: Redraws
    unknown: str


def score_total_outcomes(
    model: EventModel,
    oracle: Oracle,
    events: EventSequence,
    forced: Forced,
    *,
    start: int,
    probability: Float[np.ndarray, " outcome"],
) -> OutcomeScores:
    """Total effect of the first event of every type on each outcome, by forward simulation.

    The events up to and including it are as observed; everything after it is generated, with the event and with what
    replaces it.

    Args:
        model: Its vocabulary encodes the events.
        oracle: The frozen model that continues them.
        events: All events before the outcome.
        forced: How effects are simulated.
        start: The first position looked at; positions of the scores count from there.
        probability: Predicted probability of each outcome.
    """
    places = np.array(_first_of_each(events, max(start, 1)), dtype=np.int64)
    asked = (forced.horizon, forced.unknown, forced.redraws.num_samples)
    candidates = [given_event(model, events, place, *asked) for place in places.tolist()]
    is_removal = forced.redraws.proposal == REMOVED
    removed = [given_silence(model, events, place, *asked) for place in places.tolist() if is_removal]
    shape = (len(places), len(forced.targets))
    chance, other, error = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for column, target in enumerate(forced.targets if len(places) else ()):
        found = effects_on(oracle, candidates, target, model.slots, forced.horizon, forced.redraws, removed=removed)
        chance[:, column], other[:, column] = found.with_event, found.without
        error[:, column] = found.standard_error
    gain, reach = chance - other, float(norm.ppf(LEVEL)) * error
    return OutcomeScores(
        position=places - start,
        probability=probability,
        cmi=divergence_of(chance, other),
        gain=gain,
        standard_error=error,
        low=gain - reach,
        high=gain + reach,
        cmi_error=np.abs(gain) / np.maximum(other * (1 - other), 1e-12) * error,
    )


def _first_of_each(events: EventSequence, start: int) -> list[int]:
    """The first position of every type from ``start`` on, in order."""
    first: dict[str, int] = {}
    for place, name in enumerate(events.events[start:], start):
        first.setdefault(name, place)
    return list(first.values())
