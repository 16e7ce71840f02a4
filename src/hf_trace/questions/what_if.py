"""What-if questions within a sequence: how likely a target follows, as observed and had one event been different."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from hf_trace.checks import near
from hf_trace.discovery.total_effects import Horizon, parse_horizon
from hf_trace.documents import Document
from hf_trace.errors import QueryError, SettingsError, UnknownEventError, preview
from hf_trace.logs.places.near_names import near_name
from hf_trace.logs.sequence import EventSequence
from hf_trace.options import FUTURES, SEED, UNKNOWN, WITHIN
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.walks import Slots, sample_futures
from hf_trace.runs.event_model import NEAR, EventModel
from hf_trace.tokenizers.event_tokens import gap_bins

_MOST_ROWS = 1024
# Futures end where the target is as good as certain.
_NEGLIGIBLE = 1e-12


@dataclass(frozen=True)
class Given:
    """A history to continue.

    Attributes:
        context: Tokens before the last event, its gap included.
        last: Token of the last event of each sampled future; they may differ.
        events: Horizon, in events.
        waited: Seconds without an event after the last one; the horizon in time begins at their end.
        least_gap: Gap bin of that silence; the next gap is not shorter.
    """

    context: NDArray[np.int64]
    last: NDArray[np.int64]
    events: int
    waited: float = 0.0
    least_gap: int = 0


def chances(
    oracle: Oracle,
    given: Sequence[Given],
    target: int,
    slots: Slots,
    horizon: Horizon,
    uniforms: Float[np.ndarray, "given sample slot"],
) -> tuple[Float[np.ndarray, "given sample"], Float[np.ndarray, "given sample"]]:
    """Continue every history and look for the target.

    Args:
        oracle: The frozen model.
        given: Histories, each with one last event per sample.
        target: Index of an event type of ``slots``.
        slots: Tokens of events and gaps.
        horizon: How far ahead to look in time; ``given`` has the horizon in events.
        uniforms: Random numbers of every future.

    Futures are drawn in which the target is forbidden, and the target escapes each step of one with 1 - q, q its
    probability there. P(target within the horizon) = 1 - E[product of (1 - q)] holds exactly, because the product is
    what the oracle gives a future relative to its forbidden draw.

    Returns:
        For every future an unbiased estimate in [0, 1] of the probability that the target follows within the horizon,
        and one of the probability that the future reaches the end of the horizon or the target.
    """
    samples = len(given[0].last)
    at_once = max(1, _MOST_ROWS // samples)
    found = [
        _chances(oracle, given[start : start + at_once], target, slots, horizon, torch.from_numpy(numbers))
        for start in range(0, len(given), at_once)
        if len(numbers := uniforms[start : start + at_once])
    ]
    chance, covered = (np.concatenate(parts).reshape(len(given), samples) for parts in zip(*found, strict=True))
    return chance, covered


def _chances(
    oracle: Oracle,
    given: Sequence[Given],
    target: int,
    slots: Slots,
    horizon: Horizon,
    uniforms: Float[Tensor, "given sample slot"],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    samples = uniforms.shape[1]
    context, present = padded([each.context for each in given])
    last = torch.from_numpy(np.stack([each.last for each in given]))
    events, waited = (
        torch.tensor([getattr(each, name) for each in given]).repeat_interleave(samples)
        for name in ("events", "waited")
    )
    least_gap = torch.tensor([each.least_gap for each in given])
    ragged = None if bool(present.all()) else present
    length = int(events.max()) * slots.tokens_per_event
    # One column for each horizon in time.
    missed = torch.ones((len(events), max(1, len(horizon.seconds))), dtype=torch.float64)
    reached = torch.zeros_like(missed, dtype=torch.bool)
    steps = sample_futures(
        oracle,
        context,
        last,
        replace(slots, forbidden=target),
        uniforms[..., :length],
        present=ragged,
        least_gap=least_gap,
        finished=lambda: (reached | (missed < _NEGLIGIBLE)).all(1),
    )
    for number, step in enumerate(steps):
        row = step.row
        within = horizon.within((step.seconds - waited[row]).clamp(min=0))
        counted = within & (number < events[row])[:, None]
        missed[row] *= 1 - step.probabilities[:, target, None].clamp(max=1) * counted
        reached[row] |= ~within | step.ended[:, None]
    covered = torch.ones_like(missed) if not horizon.seconds else 1 - missed * ~reached
    return (1 - missed.mean(1)).numpy(), covered.mean(1).numpy()


def padded(contexts: Sequence[NDArray[np.int64]]) -> tuple[Int[Tensor, "given pos"], Bool[Tensor, "given pos"]]:
    """Contexts of different lengths as one table, padded on the right, and where it holds a token."""
    ids = pad_sequence([torch.tensor(each) for each in contexts], batch_first=True)
    return ids, torch.arange(ids.shape[1]) < torch.tensor([len(each) for each in contexts])[:, None]


@dataclass(frozen=True)
class MeanEstimate:
    """A mean over sampled futures with its Monte Carlo standard error; NaN from one future.

    Example:
        >>> estimate = MeanEstimate.of(np.array([0.0, 1.0, 1.0, 0.0]))
        >>> estimate.value, round(estimate.standard_error, 3)
        (0.5, 0.289)
    """

    value: float
    standard_error: float

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> "MeanEstimate":
        """Mean of independent values."""
        count = len(values)
        error = float(values.std(ddof=1) / np.sqrt(count)) if count > 1 else float("nan")
        return cls(float(values.mean()), error)


@dataclass(frozen=True)
class WhatIf:
    """Probability of a target as observed and after an intervention.

    Attributes:
        factual: With the sequence as observed up to the position.
        intervened: With the event at the position replaced or removed.
        difference: Intervened minus factual, with the standard error of paired futures.
        num_samples: Number of futures of each.
        covered: Share of futures that reached the end of the horizon; below 1, the probabilities are lower bounds.
    """

    factual: MeanEstimate
    intervened: MeanEstimate
    difference: MeanEstimate
    num_samples: int
    covered: float


def what_if(
    oracle: Oracle, factual: Given, intervened: Given, target: int, slots: Slots, horizon: Horizon, *, seed: int
) -> WhatIf:
    """Compare what follows two histories, with common random numbers.

    Args:
        oracle: The frozen model.
        factual: The history as observed.
        intervened: The history after the intervention, with as many last events.
        target: Index of an event type of ``slots``.
        slots: Tokens of events and gaps.
        horizon: How far ahead to look in time.
        seed: Seed of the futures.
    """
    samples, numbers = len(factual.last), factual.events * slots.tokens_per_event
    uniforms = np.random.default_rng(seed).random((samples, numbers))
    most = max(1, _MOST_ROWS // 2)
    pieces = []
    for start in range(0, samples, most):
        part = slice(start, start + most)
        pair = [replace(given, last=given.last[part]) for given in (factual, intervened)]
        pieces.append(chances(oracle, pair, target, slots, horizon, np.stack([uniforms[part]] * 2)))
    chance, covered = (np.concatenate(parts, axis=1) for parts in zip(*pieces, strict=True))
    return WhatIf(
        factual=MeanEstimate.of(chance[0]),
        intervened=MeanEstimate.of(chance[1]),
        difference=MeanEstimate.of(chance[1] - chance[0]),
        num_samples=samples,
        covered=float(covered.mean()),
    )


REMOVED = "removed"


@dataclass(frozen=True)
class WhatIfRequest:
    """A what-if question about a sequence.

    Attributes:
        do: A position, from 0, and the event to put there; ``"removed"`` or None to remove the event.
        target: The event whose probability is asked for.
        within: Horizon: events (``20``), a time (``300s``), or both (``20,300s``).
        num_samples: Number of futures sampled of each case.
        unknown: ``"error"`` or ``"map"``, for events outside the vocabulary; None: as the run was trained.
        seed: Seed of the futures; both cases use the same numbers.

    Raises:
        SettingsError: If a value is not understood.
    """

    do: Mapping[Any, Any] = field(default_factory=dict)
    target: str = ""
    within: str = WITHIN.default
    num_samples: int = FUTURES.default
    unknown: str | None = UNKNOWN.default
    seed: int = SEED.default

    def __post_init__(self) -> None:
        for option in (FUTURES, UNKNOWN, SEED):
            option.checked(getattr(self, option.name))


def answer_what_if(model: EventModel, sequence: EventSequence, request: WhatIfRequest) -> Document:
    """How likely the target follows a position, as observed and had the event there been different.

    Events before the position are as observed; events after it are generated by the model, in both cases.

    Args:
        model: The model that continues the sequence.
        sequence: The events.
        request: The question.

    Returns:
        ``factual`` and ``intervened`` probabilities and their ``difference``, each with ``value`` and
        ``standard_error``; ``covered``, the share of futures that reach the end of the horizon.

    Raises:
        QueryError: If there is no such position, or not exactly one.
        UnknownEventError: If an event is not in the vocabulary.
        SettingsError: If the horizon is not understood.
        ContextLengthError: If the model has no room for the horizon.
    """
    position, event = asked_intervention(request.do, sequence)
    horizon = horizon_within(model, request.within)
    types = {name: index for index, name in enumerate(model.tokenizer.event_types)}
    if event is not None and model.where(sequence.events[position]).get("place") == NEAR:
        event = near_name(model.tokenizer.plain_name(event))
    check_known([request.target, *([event] if event is not None else [])], types)
    check_own_effects(model, [request.target])
    unknown, samples = model.unknown(request.unknown), request.num_samples
    factual = given_event(model, sequence, position, horizon, unknown, samples)
    if event is None:
        intervened = given_silence(model, sequence, position, horizon, unknown, samples)
    else:
        put = np.full(samples, model.tokenizer.event_ids[types[event]])
        intervened = Given(factual.context, put, horizon.events)
    found = what_if(model.oracle, factual, intervened, types[request.target], model.slots, horizon, seed=request.seed)
    return {
        "id": sequence.id,
        "position": position,
        **{"observed" if key == "event" else key: each for key, each in model.where(sequence.events[position]).items()},
        "do": REMOVED if event is None else model.tokenizer.plain_name(event),
        "target": request.target,
        "within": request.within,
        **asdict(found),
        "oracle": model.description,
        "seed": request.seed,
    }


def asked_intervention(do: Any, sequence: EventSequence) -> tuple[int, str | None]:
    """The position that is asked about, and the event to put there; None to remove the one that is there.

    Raises:
        QueryError: If it is not one position of the sequence, with an event.
    """
    if not isinstance(do, Mapping) or len(do) != 1:
        raise QueryError(
            f"`do` is {do!r}, expected one position and the event to put there: {{3: 'EVENT'}}, or {{3: 'removed'}} "
            "(`--do 3=EVENT`)."
        )
    position, event = next(iter(do.items()))
    last = len(sequence) - 1
    if isinstance(position, bool) or not isinstance(position, int) or not 0 <= position <= last:
        raise QueryError(
            f"The position is {position!r}, expected a whole number from 0 to {last}: the sequence "
            f"{sequence.id or ''!r} has {len(sequence)} events."
        )
    if event is not None and not isinstance(event, str):
        raise QueryError(f"The event to put at position {position} is {event!r}, expected a name or 'removed'.")
    event = None if event == REMOVED else event
    if event is None and position == 0:
        raise QueryError(
            "Position 0 cannot be removed: nothing is before it, and the model needs some event to start from. Replace "
            "it by another event."
        )
    return position, event


def check_known(names: Iterable[str], known: Collection[str]) -> None:
    """Refuse events outside the vocabulary.

    Raises:
        UnknownEventError: If there are any.
    """
    if missing := [name for name in names if name not in known]:
        hint = near(missing[0], known) or f" It knows {preview(known)}."
        raise UnknownEventError(f"{preview(missing)} is not among the {len(known)} events of the model.{hint}")


def check_own_effects(model: EventModel, names: Iterable[str]) -> None:
    """Refuse to ask what brings about an event of a neighbour.

    Raises:
        QueryError: If one is asked about.
    """
    if wrong := [name for name in names if model.where(name).get("place") == NEAR]:
        raise QueryError(
            f"{preview(wrong)} happened at neighbours, whose events are causes here, and effects in their own "
            f"sequences alone. Ask about {model.tokenizer.plain_name(wrong[0])!r}."
        )


def horizon_within(model: EventModel, within: str, *, most_ahead: int | None = None) -> Horizon:
    """Read a horizon; if it is only a time, it covers half of the events that the model reads at once.

    Args:
        model: Bounds the number of events.
        within: See ``parse_horizon``.
        most_ahead: Largest number of events of a horizon that is only a time.

    Raises:
        SettingsError: If it is not understood, or it is a time and the model knows no times.
    """
    horizon = parse_horizon(within)
    if horizon.seconds and not model.tokenizer.writes_gaps:
        raise SettingsError(
            f"within is {within!r}, a time, but this model was trained without the time between events. Give a number "
            "of events, or train with `--gaps`."
        )
    if model.most_events is None or any(part.strip().isdigit() for part in str(within).split(",")):
        return horizon
    half = max(1, model.most_events // 2)
    return Horizon(half if most_ahead is None else min(half, most_ahead), horizon.seconds)


def given_event(
    model: EventModel, sequence: EventSequence, position: int, horizon: Horizon, unknown: str, samples: int
) -> Given:
    """The history up to and including an event, to be continued in several futures."""
    # One more than the horizon, so that histories with and without the event have the same room.
    found = model.history(sequence, position, ahead=horizon.events + 1, unknown=unknown)
    return Given(found.context, np.full(samples, found.last), horizon.events)


def given_silence(
    model: EventModel, sequence: EventSequence, position: int, horizon: Horizon, unknown: str, samples: int
) -> Given:
    """The same without the event: up to the one before it, then silence until its time."""
    before = given_event(model, sequence, position - 1, horizon, unknown, samples)
    if not model.tokenizer.writes_gaps or sequence.timestamps is None:
        return before
    times = sequence.timestamps[position - 1 : position + 1]
    least_gap = int(gap_bins(times, model.tokenizer.gap_edges)[0])
    return replace(before, waited=times[1] - times[0], least_gap=least_gap)
