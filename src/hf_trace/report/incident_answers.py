"""What would have followed had an event of an incident not been: worked out before, as a page computes nothing."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from hf_trace.checks import whole
from hf_trace.discovery.total_effects import Horizon, risk_of
from hf_trace.documents import Document
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence
from hf_trace.options import NUM_SAMPLES, SEED
from hf_trace.oracle.walks import sample_futures
from hf_trace.questions.what_if import Given, given_event, given_silence, padded
from hf_trace.runs.event_model import NEAR, EventModel

# So many rows grow fastest: larger caches of keys and values are paged in anew at every step.
_ROWS = 256
_MOST_CHANGES = 5
# Smaller changes of a probability are not worth a sentence, nor those within so many standard errors.
_LEAST, _ERRORS = 0.05, 3.0
Found = Float[np.ndarray, "given sample type"]


@dataclass(frozen=True)
class IncidentSettings:
    """How much is worked out.

    Attributes:
        ahead: How soon an event must follow, in events; of a model that reads few, half of what it reads.
        num_samples: Number of futures sampled with and without each event.
        most_events: Events of an incident that are taken out one at a time: causes of edges first, the strongest first.
        seed: Seed of the futures; with and without an event they use the same numbers.

    Raises:
        SettingsError: If a number is out of range.
    """

    ahead: int = 8
    num_samples: int = NUM_SAMPLES.default
    most_events: int = 40
    seed: int = SEED.default

    def __post_init__(self) -> None:
        for name, least in (("ahead", 1), ("num_samples", 2), ("most_events", 0), ("seed", 0)):
            whole(name, getattr(self, name), least=least)


def with_answers(
    document: Document,
    model: EventModel,
    log: EventLog,
    settings: IncidentSettings | None = None,
    *,
    advance: Callable[[float], None] = lambda _: None,
) -> Document:
    """A page whose incidents say what would have followed without each of their events.

    Events before the one that is taken out are as observed, until its time nothing happens, and the model generates
    what follows; see ``questions.what_if``. Of every later event that is the first of its type the probability that one
    of its type follows within ``ahead`` events is compared, with and without. Changes of less than 0.05, or of less
    than three standard errors of paired futures, are left out, and at most the five largest are kept.

    Args:
        document: What ``page_document`` returned.
        model: The run.
        log: The sequences of the incidents, by their ids.
        settings: How much is worked out.
        advance: Called with the share of incidents done.

    Returns:
        The document, with ``what_if`` of each incident: ``{"removed": {position: [[effect_position, p_with, p_without],
        ...]}}``, positions counted from the first event shown. Positions that are absent were not asked; of those with
        nothing listed nothing changes.
    """
    settings = settings or IncidentSettings()
    row = {name: number for number, name in enumerate(log.ids)}
    answered = []
    for number, incident in enumerate(document["incidents"], start=1):
        if (at := row.get(incident["sequence"])) is not None:
            asked = _Incident(model, log[at], incident["start"], len(incident["events"]), settings)
            removed = asked.answers(_asked(incident)[: settings.most_events])
            incident = incident | {"what_if": {"removed": removed}}
        answered.append(incident)
        advance(number / len(document["incidents"]))
    return document | {"incidents": answered}


def _asked(incident: Mapping[str, Any]) -> list[int]:
    """Positions of an incident before which there is something: causes of edges, strongest first, then the others."""
    links = sorted(incident["links"], key=lambda link: -abs(link[2] or 0.0))
    order = dict.fromkeys([*(link[0] for link in links), *range(len(incident["events"]))])
    return [at for at in order if incident["start"] + at > 0]


@dataclass(frozen=True)
class _Incident:
    """A part of a sequence, and the model that is asked about it."""

    model: EventModel
    sequence: EventSequence
    start: int
    length: int
    settings: IncidentSettings

    def answers(self, asked: Sequence[int]) -> dict[str, list[list[Any]]]:
        """What changes without the event at each position that can be taken out."""
        types = {name: number for number, name in enumerate(self.model.tokenizer.event_types)}
        ends = set(self.model.slots.ends.tolist())
        possible = sorted(at for at in asked if types.get(self._event(at)) not in {None, *ends})
        found: dict[str, list[list[Any]]] = {}
        at_once = max(1, _ROWS // (2 * self.settings.num_samples))
        for begin in range(0, len(possible), at_once):
            some = possible[begin : begin + at_once]
            given = [each for at in some for each in self._with_and_without(self.start + at)]
            hazards, occurred = self._futures(given)
            for number, at in enumerate(some):
                pair = slice(2 * number, 2 * number + 2)
                found[str(at)] = self._changes(at, hazards[pair], occurred[pair], types)
        return found

    @property
    def _horizon(self) -> Horizon:
        limit = self.model.most_events
        ahead = self.settings.ahead if limit is None else min(self.settings.ahead, max(1, limit // 2))
        return Horizon(ahead, ())

    def _event(self, at: int) -> str:
        return self.sequence.events[self.start + at]

    def _with_and_without(self, position: int) -> tuple[Given, Given]:
        settings = self._horizon, self.model.unknown(None), self.settings.num_samples
        asked = self.model, self.sequence, position, *settings
        return given_event(*asked), given_silence(*asked)

    def _futures(self, given: Sequence[Given]) -> tuple[Found, Found]:
        """Of every future and type: its probabilities until it occurs, added up, and whether it occurs.

        Both have the mean P(it occurs within the horizon).
        """
        samples, slots = self.settings.num_samples, self.model.slots
        numbers = self._horizon.events * slots.tokens_per_event
        uniforms = torch.from_numpy(np.random.default_rng(self.settings.seed).random((samples, numbers)))
        context, present = padded([each.context for each in given])
        steps = sample_futures(
            self.model.oracle,
            context,
            torch.from_numpy(np.stack([each.last for each in given])),
            slots,
            uniforms.expand(len(given), -1, -1),
            present=None if bool(present.all()) else present,
            least_gap=torch.tensor([each.least_gap for each in given]),
        )
        hazard = torch.zeros((len(given) * samples, len(slots.events)), dtype=torch.float64)
        occurred, not_yet, rows = torch.zeros_like(hazard), torch.ones_like(hazard), torch.arange(len(hazard))
        for step in steps:
            hazard += step.probabilities * not_yet
            occurred[rows, step.event] += not_yet[rows, step.event] * (step.probabilities[rows, step.event] > 0)
            not_yet[rows, step.event] = 0
        shape = len(given), samples, len(slots.events)
        return hazard.view(shape).numpy(), occurred.view(shape).numpy()

    def _changes(self, at: int, hazard: Found, occurred: Found, types: Mapping[str, int]) -> list[list[Any]]:
        """The later events whose probability changes, the largest change first."""
        samples = self.settings.num_samples
        risk = risk_of(hazard.sum(1), occurred.sum(1), samples)
        # What each future moves the risk by, to first order, as total effects have it.
        moved = (1 - risk[:, None]) * hazard + risk[:, None] * occurred
        error = (moved[1] - moved[0]).std(axis=0, ddof=1) / np.sqrt(samples)
        worth = np.abs(risk[1] - risk[0]) >= np.maximum(_LEAST, _ERRORS * error)
        later = [(place, types[name]) for place, name in self._firsts(at) if worth[types[name]]]
        later.sort(key=lambda each: -abs(risk[1, each[1]] - risk[0, each[1]]))
        return [[place, *(round(float(share), 4) for share in risk[:, code])] for place, code in later[:_MOST_CHANGES]]

    def _firsts(self, at: int) -> Iterator[tuple[int, str]]:
        """The first later event of each type within the horizon that may be an effect."""
        seen = set()
        for place in range(at + 1, min(at + 1 + self._horizon.events, self.length)):
            name = self._event(place)
            is_effect = self.model.where(name).get("place") != NEAR and name in self.model.tokenizer.event_types
            if is_effect and name not in seen:
                seen.add(name)
                yield place, name
