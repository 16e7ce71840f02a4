"""Root causes of an incident: the sequence, the outcome and the model to a ranked list with paths."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from hf_trace.checks import one_of, whole
from hf_trace.discovery.constructions import score_pairs
from hf_trace.discovery.settings import DiscoverySettings
from hf_trace.discovery.total_effects import Horizon
from hf_trace.errors import EmptyLogError, QueryError, SettingsError
from hf_trace.logs.sequence import EventSequence
from hf_trace.logs.writing import Document
from hf_trace.options import BOUND, NUM_SAMPLES, SEED, UNKNOWN
from hf_trace.oracle.proposals import PROPOSALS
from hf_trace.questions.root_causes import (
    Candidate,
    EventEffects,
    Redraws,
    effects_on,
    influence_graph,
    likeliest_path,
    pagerank_of_causes,
    reciprocal_ranks,
    surprises,
)
from hf_trace.questions.what_if import REMOVED, check_known, given_event, given_silence, horizon_within
from hf_trace.runs.event_model import EventModel

_WITHIN = 32
# Most events ahead where the horizon is a time alone.
_MOST_AHEAD = 64
RANKINGS = ("combined", "effect", "pagerank", "surprise")


@dataclass(frozen=True)
class RankSettings:
    """How causes of an outcome are found and ordered.

    Attributes:
        within: How far before the outcome causes are looked for, and how far ahead of each its effect counts:
            events (``16``), a time (``60s``), or both; by default 32 events, or half of what the model reads.
        by: ``combined`` (effect, PageRank and, with a reference, surprise, by reciprocal rank fusion), ``effect``,
            ``pagerank``, or ``surprise`` (how unexpected an event was given its past; of those never seen the
            earliest first).
        proposal: What events are replaced by for total effects: ``model`` (what the oracle expected in their place),
            ``uniform``, ``unigram``, or ``removed``.
        num_samples: Futures of each event and of its replacements.
        bound: Least ``cmi`` of an edge of the instance graph that PageRank walks on, in nats.
        exclude: Patterns of events that are never causes, such as ``Alarm*``.
        top: Most causes listed; None for all.
        unknown: ``"error"``, or ``"map"`` to read events outside the vocabulary as unknown.
        seed: Seed of everything drawn.

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
    """Rank the events before an outcome by how surely they are its causes.

    Args:
        model: Says what would have happened.
        sequence: The incident.
        outcome: The event to explain.
        settings: How causes are found and ordered.
        position: Which of its occurrences, from 0; the first by default.
        reference: A model of normal operation. Surprise is then what that model did not expect, events it has never
            seen first, and counts in ``combined``.

    Returns:
        ``causes``, the best first, each with ``event``, ``position``, ``lag``, total ``effect`` with
        ``standard_error`` and the two probabilities behind it, ``pagerank``, ``surprise`` (None: never seen) and the
        ``path`` to the outcome. Where the model does not know the outcome, only ``surprise`` can be told, and
        ``warning`` says so.

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
    within = settings.within or str(min(_WITHIN, max(1, (model.most_events or 2 * _WITHIN) // 2)))
    settings = replace(settings, within=within, unknown=unknown)
    horizon = horizon_within(model, within, most_ahead=_MOST_AHEAD)
    places = _candidates(sequence, place, horizon, settings)
    candidates = [_candidate(model, sequence, each, horizon, settings) for each in places]
    if outcome in types:
        shares = model.tokenizer.frequencies
        redraws = Redraws(settings.proposal, shares, settings.num_samples, settings.seed)
        effects = effects_on(model.oracle, candidates, types[outcome], model.slots, horizon, redraws)
        graph = _graph(model, sequence, place, places, horizon, settings)
    else:
        nothing = np.full(len(places), np.nan)
        surprise, _ = surprises(model.oracle, candidates, model.slots)
        effects, graph = EventEffects(nothing, nothing, nothing, nothing, surprise), nx.DiGraph()
        settings = replace(settings, by="surprise")
    if reference is not None:
        effects = replace(effects, surprise=surprises_to(reference, sequence, places))
    causes = _ranked(sequence, place, places, effects, graph, settings, reference is not None)
    document = {
        "id": sequence.id,
        "outcome": outcome,
        "position": place,
        "causes": causes[: settings.top],
        "settings": {**asdict(settings), "exclude": list(settings.exclude)},
        "oracle": model.told,
    }
    if outcome not in types:
        document["warning"] = (
            f"The model has never seen {outcome!r}: causes are ranked by how unexpected they were, not by what they "
            "changed. Train on a log with incidents to see effects."
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


def _candidates(sequence: EventSequence, outcome: int, horizon: Horizon, settings: RankSettings) -> list[int]:
    """Positions near enough before the outcome that may be causes."""
    first = max(int(settings.proposal == REMOVED), outcome - horizon.events)
    near = range(first, outcome)
    if horizon.seconds and sequence.timestamps is not None:
        longest, times = max(horizon.seconds), sequence.timestamps
        near = range(next(i for i in range(first, outcome + 1) if times[outcome] - times[i] <= longest), outcome)
    places = [i for i in near if not any(fnmatchcase(sequence.events[i], each) for each in settings.exclude)]
    if not places:
        raise EmptyLogError(
            f"No event within {settings.within} before position {outcome} may be a cause. Look further back with "
            "`within`, or exclude less."
        )
    return places


def _candidate(
    model: EventModel, sequence: EventSequence, place: int, horizon: Horizon, settings: RankSettings
) -> Candidate:
    asked = (model, sequence, place, horizon, model.unknown(settings.unknown), settings.num_samples)
    given = given_event(*asked)
    return Candidate(given.context, int(given.last[0]), given_silence(*asked) if settings.proposal == REMOVED else None)


def _graph(
    model: EventModel,
    sequence: EventSequence,
    outcome: int,
    places: Sequence[int],
    horizon: Horizon,
    settings: RankSettings,
) -> "nx.DiGraph[int]":
    """The instance graph up to the outcome, of edges that made their effect likelier."""
    found = model.history(sequence, outcome, ahead=0, unknown=model.unknown(settings.unknown))
    scoring = DiscoverySettings(max_lag=horizon.events, num_samples=settings.num_samples, seed=settings.seed)
    tested = [range(max(1, min(places)) - found.start, outcome - found.start)]
    scores = score_pairs(model.oracle, [found.encoded], model.alphabet, scoring, tested=tested)[0]
    graph = influence_graph(scores, settings.bound)
    return nx.relabel_nodes(graph, {place: place + found.start for place in graph})


def _ranked(
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
    # Of equals the earlier comes first: a cause precedes its consequences.
    order = np.lexsort((np.arange(len(places)), -chosen))
    times = sequence.timestamps
    return [
        {
            "rank": number + 1,
            "event": sequence.events[places[index]],
            "position": places[index],
            "lag": outcome - places[index],
            **({} if times is None else {"lag_seconds": times[outcome] - times[places[index]]}),
            "score": _finite(scores[settings.by][index]),
            "effect": _finite(effects.effect[index]),
            "standard_error": _finite(effects.standard_error[index]),
            "probability": _finite(effects.with_event[index]),
            "probability_without": _finite(effects.without[index]),
            "pagerank": float(pagerank[index]),
            "surprise": _finite(effects.surprise[index]),
            "path": likeliest_path(graph, places[index], outcome),
        }
        for number, index in enumerate(order.tolist())
    ]


def surprises_to(reference: EventModel, sequence: EventSequence, places: Sequence[int]) -> NDArray[np.float64]:
    """How unexpected events were to a model, in nats; infinite where it has never seen one.

    Args:
        reference: The model.
        sequence: The events.
        places: Which of them.
    """
    found = [reference.history(sequence, each, ahead=1, unknown="map") for each in places]
    candidates = [Candidate(each.context, each.last, None) for each in found]
    surprise: NDArray[np.float64] = surprises(reference.oracle, candidates, reference.slots)[0]
    return surprise


def earliest_first(surprise: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same order as a score that is finite: of events never seen the earliest first."""
    never = ~np.isfinite(surprise)
    most = float(surprise[~never].max(initial=0.0))
    places = np.arange(len(surprise), dtype=np.float64)
    found: NDArray[np.float64] = np.where(never, most + len(surprise) - places, surprise)
    return found


def _finite(value: float) -> float | None:
    """A number as JSON can hold it: nothing where it is infinite or not known."""
    return float(value) if np.isfinite(value) else None
