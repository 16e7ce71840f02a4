"""Ranked root causes of an event of a sequence, with their paths to it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase

import networkx as nx
import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy.stats import norm

from hf_trace.checks import one_of, whole
from hf_trace.discovery.constructions import score_pairs
from hf_trace.discovery.scoring import allowed_pairs
from hf_trace.discovery.settings import DiscoverySettings
from hf_trace.discovery.total_effects import Horizon
from hf_trace.documents import Document
from hf_trace.errors import EmptyLogError, QueryError, SettingsError
from hf_trace.logs.sequence import EventSequence
from hf_trace.options import BOUND, NUM_SAMPLES, SEED, UNKNOWN
from hf_trace.oracle.proposals import PROPOSALS
from hf_trace.questions.root_causes import (
    EventEffects,
    Redraws,
    effects_on,
    influence_graph,
    likeliest_path,
    pagerank_of_causes,
    reciprocal_ranks,
    surprises,
)
from hf_trace.questions.what_if import (
    REMOVED,
    Given,
    check_known,
    check_own_effects,
    given_event,
    given_silence,
    horizon_within,
)
from hf_trace.runs.event_model import EventModel

_WITHIN = 32
# Largest number of events of a horizon that is only a time.
_MOST_AHEAD = 64
# Share of rankings without any effect in which one stands out nevertheless.
_FALSE_ALARMS = 0.05
RANKINGS = ("combined", "effect", "pagerank", "surprise")


@dataclass(frozen=True)
class RankSettings:
    """How causes of an outcome are found and ranked.

    Attributes:
        within: How far before the outcome its causes may be, and the horizon of their effects: events (``16``), a time
            (``60s``), or both; by default 32 events, or half of what the model reads if that is less.
        by: ``combined`` (effect, PageRank and, with a reference, surprise, by reciprocal rank fusion), ``effect``,
            ``pagerank``, or ``surprise`` (how unexpected an event was given its past; events never seen rank first,
            the earliest first).
        proposal: Replacements for total effects: ``model`` (drawn from the predictions of the oracle), ``uniform``,
            ``unigram``, or ``removed``.
        num_samples: Number of futures of each event and of its replacements.
        bound: Smallest ``cmi`` of edges of the instance graph for PageRank, in nats.
        exclude: Patterns of events that are never causes, such as ``Alarm*``.
        top: Number of causes listed; None for all.
        unknown: ``"error"`` or ``"map"``, for events outside the vocabulary; None: as the run was trained.
        seed: Seed of replacements and futures.

    Raises:
        SettingsError: If a value is not understood.
    """

    within: str | None = None
    by: str = RANKINGS[0]
    proposal: str = "model"
    num_samples: int = NUM_SAMPLES.default
    bound: float = BOUND.default
    exclude: Sequence[str] = ()
    top: int | None = None
    unknown: str | None = UNKNOWN.default
    seed: int = SEED.default

    def __post_init__(self) -> None:
        one_of("by", self.by, RANKINGS)
        one_of("proposal", self.proposal, (*PROPOSALS, REMOVED))
        for option in (NUM_SAMPLES, UNKNOWN, SEED):
            option.checked(getattr(self, option.name))
        if self.top is not None:
            whole("top", self.top)
        if isinstance(self.exclude, str):
            raise SettingsError(f"exclude is {self.exclude!r}, expected a list of patterns: [{self.exclude!r}].")
        object.__setattr__(self, "exclude", tuple(self.exclude))


def rank(
    model: EventModel,
    sequence: EventSequence,
    outcome: str,
    settings: RankSettings,
    *,
    position: int | None = None,
    reference: EventModel | None = None,
) -> Document:
    """Rank the events before an outcome by how likely they are its causes.

    Args:
        model: The model that scores.
        sequence: The incident.
        outcome: The event to explain.
        settings: How causes are found and ranked.
        position: The position of the outcome, from 0; by default its first occurrence.
        reference: A model of normal operation. Surprise is then measured by that model, and is part of ``combined``.

    Returns:
        ``causes``, best first, each with ``event``, ``position``, ``lag``, total ``effect`` with ``standard_error`` and
        its two probabilities, whether it ``stands_out`` of its error, ``pagerank``, ``surprise`` (None for events never
        seen) and the ``path`` to the outcome. If none stands out, a ``note`` says so. If the model does not know the
        outcome, causes are ranked by ``surprise``, with a ``warning``.

    Raises:
        QueryError: If the sequence does not hold the outcome, or nothing is before it.
        SettingsError: If ``within`` is not understood.
        UnknownEventError: If an event is not in the vocabulary and ``unknown`` is not ``"map"``.
    """
    place = _occurrence(sequence, outcome, position)
    types = {name: index for index, name in enumerate(model.tokenizer.event_types)}
    unknown = model.unknown(settings.unknown)
    if unknown == "error":
        check_known([outcome], types)
    check_own_effects(model, [outcome])
    within = settings.within or str(min(_WITHIN, max(1, (model.most_events or 2 * _WITHIN) // 2)))
    settings = replace(settings, within=within, unknown=unknown)
    horizon = horizon_within(model, within, most_ahead=_MOST_AHEAD)
    places = _candidates(model, sequence, place, horizon, settings)
    asked = (horizon, unknown, settings.num_samples)
    candidates = [given_event(model, sequence, each, *asked) for each in places]
    if outcome in types:
        shares = model.tokenizer.frequencies
        redraws = Redraws(settings.proposal, shares, settings.num_samples, settings.seed)
        is_removal = settings.proposal == REMOVED
        removed = [given_silence(model, sequence, each, *asked) for each in places if is_removal]
        effects = effects_on(model.oracle, candidates, types[outcome], model.slots, horizon, redraws, removed=removed)
        graph = _graph(model, sequence, place, places, horizon, settings)
    else:
        nothing = np.full(len(places), np.nan)
        surprise, _ = surprises(model.oracle, candidates, model.slots)
        effects, graph = EventEffects(nothing, nothing, nothing, nothing, surprise), nx.DiGraph()
        settings = replace(settings, by="surprise")
    if reference is not None:
        effects = replace(effects, surprise=surprises_to(reference, sequence, places))
    causes = _ranked(model, sequence, place, places, effects, graph, settings, reference is not None)
    document = {
        "id": sequence.id,
        "outcome": outcome,
        "position": place,
        "causes": causes[: settings.top],
        "settings": {**asdict(settings), "exclude": list(settings.exclude)},
        "oracle": model.description,
    }
    if outcome in types and not any(cause["stands_out"] for cause in causes):
        document["note"] = (
            f"Nothing stands out: no effect on {outcome!r} is above 0 by more than its error. Do not act on this "
            "order. More futures (`num_samples`) narrow the errors; a longer `within` looks further back."
        )
    if outcome not in types:
        document["warning"] = (
            f"The model has never seen {outcome!r}: causes are ranked by how unexpected they were, not by their "
            "effects. Train on a log with incidents for effects."
        )
    return document


def _occurrence(sequence: EventSequence, outcome: str, position: int | None) -> int:
    found = [index for index, event in enumerate(sequence.events) if event == outcome]
    if not found:
        raise QueryError(
            f"The sequence {sequence.id or ''!r} has no event {outcome!r}, expected one to explain. Choose another "
            "sequence or outcome."
        )
    if position is None:
        position = found[0]
    if position not in found:
        raise QueryError(f"Position {position} is not {outcome!r}, expected one of: {', '.join(map(str, found[:8]))}.")
    if position == 0:
        raise QueryError(f"{outcome!r} is the first event of the sequence, so nothing before it can be a cause.")
    return position


def _candidates(
    model: EventModel, sequence: EventSequence, outcome: int, horizon: Horizon, settings: RankSettings
) -> list[int]:
    """Positions within the horizon before the outcome that are not excluded."""
    first = max(int(settings.proposal == REMOVED), outcome - horizon.events)
    near = range(first, outcome)
    if horizon.seconds and sequence.timestamps is not None:
        longest, times = max(horizon.seconds), sequence.timestamps
        near = range(next(i for i in range(first, outcome + 1) if times[outcome] - times[i] <= longest), outcome)
    names = list(map(model.tokenizer.plain_name, sequence.events))
    places = [i for i in near if not any(fnmatchcase(names[i], each) for each in settings.exclude)]
    if not places:
        raise EmptyLogError(
            f"No event within {settings.within} before position {outcome} may be a cause. Look further back with "
            "`within`, or exclude less."
        )
    return places


def _graph(
    model: EventModel,
    sequence: EventSequence,
    outcome: int,
    places: Sequence[int],
    horizon: Horizon,
    settings: RankSettings,
) -> "nx.DiGraph[int]":
    """The instance graph up to the outcome, with only the edges that excite."""
    found = model.history(sequence, outcome, ahead=0, unknown=model.unknown(settings.unknown))
    scoring = DiscoverySettings(max_lag=horizon.events, num_samples=settings.num_samples, seed=settings.seed)
    tested = [range(max(1, min(places)) - found.start, outcome - found.start)]
    allowed = allowed_pairs(model)
    scores = score_pairs(model.oracle, [found.encoded], model.alphabet, scoring, tested=tested, allowed=allowed)[0]
    graph = influence_graph(scores, settings.bound)
    return nx.relabel_nodes(graph, {place: place + found.start for place in graph})


def _ranked(
    model: EventModel,
    sequence: EventSequence,
    outcome: int,
    places: Sequence[int],
    effects: EventEffects,
    graph: "nx.DiGraph[int]",
    settings: RankSettings,
    has_reference: bool,
) -> list[Document]:
    shares = pagerank_of_causes(graph, outcome)
    pagerank = np.array([shares.get(place, 0.0) for place in places])
    scores = {"effect": effects.effect, "pagerank": pagerank, "surprise": earliest_first(effects.surprise)}
    parts = ["effect", "pagerank", "surprise"] if has_reference else ["effect", "pagerank"]
    scores["combined"] = reciprocal_ranks([scores[name] for name in parts])
    chosen = np.nan_to_num(scores[settings.by], nan=-np.inf)
    # Of equal scores the earlier event ranks first, as causes precede their effects.
    order = np.lexsort((np.arange(len(places)), -chosen))
    times, clear = sequence.timestamps, stands_out(effects.effect, effects.standard_error)
    return [
        {
            "rank": number + 1,
            **model.where(sequence.events[places[index]]),
            "position": places[index],
            "lag": outcome - places[index],
            **({} if times is None else {"lag_seconds": times[outcome] - times[places[index]]}),
            "score": _finite(scores[settings.by][index]),
            "effect": _finite(effects.effect[index]),
            "standard_error": _finite(effects.standard_error[index]),
            "stands_out": bool(clear[index]),
            "probability": _finite(effects.with_event[index]),
            "probability_without": _finite(effects.without[index]),
            "pagerank": float(pagerank[index]),
            "surprise": _finite(effects.surprise[index]),
            "path": likeliest_path(graph, places[index], outcome),
        }
        for number, index in enumerate(order.tolist())
    ]


def surprises_to(reference: EventModel, sequence: EventSequence, places: Sequence[int]) -> NDArray[np.float64]:
    """Surprise of events to a model, in nats; infinite for events it has never seen.

    Args:
        reference: The model.
        sequence: The events.
        places: Their positions.
    """
    found = [reference.history(sequence, each, ahead=1, unknown="map") for each in places]
    candidates = [Given(each.context, np.array([each.last]), 0) for each in found]
    surprise: NDArray[np.float64] = surprises(reference.oracle, candidates, reference.slots)[0]
    return surprise


def stands_out(
    effect: Float[np.ndarray, " candidate"], standard_error: Float[np.ndarray, " candidate"]
) -> Bool[np.ndarray, " candidate"]:
    """Which effects are above 0 by more than their Monte Carlo error explains, at 5 % over all candidates (Bonferroni).

    Example:
        >>> stands_out(np.array([0.3, 0.1, np.nan]), np.array([0.1, 0.1, 0.1])).tolist()
        [True, False, False]
    """
    reach = float(norm.ppf(1 - _FALSE_ALARMS / max(len(effect), 1)))
    clear: Bool[np.ndarray, " candidate"] = effect > np.maximum(reach * standard_error, 0)
    return clear


def earliest_first(surprise: NDArray[np.float64]) -> NDArray[np.float64]:
    """Surprise as a finite score; events never seen come first, the earliest of them before the others."""
    never = ~np.isfinite(surprise)
    most = float(surprise[~never].max(initial=0.0))
    places = np.arange(len(surprise), dtype=np.float64)
    found: NDArray[np.float64] = np.where(never, most + len(surprise) - places, surprise)
    return found


def _finite(value: float) -> float | None:
    """A number for JSON: None if it is infinite or NaN."""
    return float(value) if np.isfinite(value) else None
