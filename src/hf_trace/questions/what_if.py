"""What if, inside a sequence: the chance that an event follows, as it was and had one event been another."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from hf_trace.discovery.total_effects import Horizon, parse_horizon
from hf_trace.discovery.total_run import event_slots
from hf_trace.errors import ContextLengthError, QueryError, SettingsError, UnknownEventError, preview
from hf_trace.logs.sequence import EventSequence
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.walks import Slots, sample_futures
from hf_trace.tokenizers.event_tokenizer import EventTokenizer
from hf_trace.tokenizers.event_tokens import gap_bins

if TYPE_CHECKING:
    from hf_trace.pipelines.discovery_pipeline import CausalDiscoveryPipeline

_MOST_ROWS = 1024


@dataclass(frozen=True)
class Given:
    """What has happened before a future.

    Attributes:
        context: Tokens read before the last event, the gap before it included.
        last: The last event of each sampled future; they may differ.
        events: Events ahead that count.
        waited: Seconds since the last event in which nothing happened; times count from their end.
        least_gap: Bin of that silence: the next gap is no shorter.
    """

    context: NDArray[np.int64]
    last: NDArray[np.int64]
    events: int
    waited: float = 0.0
    least_gap: int = 0


@dataclass(frozen=True)
class Chances:
    """Chance of the target within the horizon in every sampled future.

    Attributes:
        chance: One number per future, possibly above 1; their mean estimates the probability.
        covered: Whether the future went on to the end of the horizon, or to the target.
    """

    chance: Float[np.ndarray, "given sample"]
    covered: Float[np.ndarray, "given sample"]


def chances(
    oracle: Oracle,
    given: Sequence[Given],
    target: int,
    slots: Slots,
    horizon: Horizon,
    uniforms: Float[np.ndarray, "given sample slot"],
) -> Chances:
    """Continue every history and look for the target.

    Args:
        oracle: The frozen model.
        given: Histories, with as many last events each as there are samples.
        target: Index of an event type of ``slots``.
        slots: What may follow.
        horizon: How far ahead to look, in time; in events ``given`` says it.
        uniforms: Random numbers of every future.
    """
    samples = len(given[0].last)
    at_once = max(1, _MOST_ROWS // samples)
    found = [
        _chances(oracle, given[start : start + at_once], target, slots, horizon, torch.from_numpy(numbers))
        for start in range(0, len(given), at_once)
        if len(numbers := uniforms[start : start + at_once])
    ]
    chance, covered = (np.concatenate(parts).reshape(len(given), samples) for parts in zip(*found, strict=True))
    return Chances(chance, covered)


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
    total = torch.zeros(len(events), dtype=torch.float64)
    open_ = torch.ones_like(total)
    steps = sample_futures(
        oracle,
        context,
        last,
        slots,
        uniforms[..., :length],
        present=ragged,
        least_gap=least_gap,
        finished=lambda: open_ == 0,
    )
    for number, step in enumerate(steps):
        row = step.row
        within = horizon.weight((step.seconds - waited[row]).clamp(min=0)) * (number < events[row])
        total[row] += step.probabilities[:, target] * open_[row] * within
        open_[row] *= (within > 0) & (step.event != target)
    covered = torch.ones_like(open_) if not horizon.seconds else 1 - open_
    return total.numpy(), covered.numpy()


def padded(contexts: Sequence[NDArray[np.int64]]) -> tuple[Int[Tensor, "given pos"], Bool[Tensor, "given pos"]]:
    """Contexts of several lengths as one table, and where it holds a token."""
    width = max(map(len, contexts))
    ids = np.zeros((len(contexts), width), dtype=np.int64)
    present = np.zeros((len(contexts), width), dtype=bool)
    for row, context in enumerate(contexts):
        ids[row, : len(context)] = context
        present[row, : len(context)] = True
    return torch.from_numpy(ids), torch.from_numpy(present)


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
    """The chance of a target as it was and after an intervention.

    Attributes:
        factual: With the sequence as observed up to the position.
        intervened: With the event at the position replaced or removed.
        difference: Intervened minus factual, with the error of the pairs of futures.
        num_samples: Futures of each.
        covered: Share of futures that went on to the end of the horizon; below 1 the chances are lower bounds.
    """

    factual: MeanEstimate
    intervened: MeanEstimate
    difference: MeanEstimate
    num_samples: int
    covered: float


def what_if(
    oracle: Oracle, factual: Given, intervened: Given, target: int, slots: Slots, horizon: Horizon, *, seed: int = 0
) -> WhatIf:
    """Compare two histories by what follows them, with common random numbers.

    Args:
        oracle: The frozen model.
        factual: What happened.
        intervened: What would have; as many last events.
        target: Index of an event type of ``slots``.
        slots: What may follow.
        horizon: How far ahead to look, in time.
        seed: Seed of the futures.
    """
    samples, numbers = len(factual.last), factual.events * slots.tokens_per_event
    uniforms = np.random.default_rng(seed).random((samples, numbers))
    most = max(1, _MOST_ROWS // 2)
    pieces = []
    for start in range(0, samples, most):
        part = slice(start, start + most)
        pair = [_cut(factual, part), _cut(intervened, part)]
        pieces.append(chances(oracle, pair, target, slots, horizon, np.stack([uniforms[part]] * 2)))
    chance = np.concatenate([piece.chance for piece in pieces], axis=1)
    covered = np.concatenate([piece.covered for piece in pieces], axis=1)
    return WhatIf(
        factual=MeanEstimate.of(chance[0]),
        intervened=MeanEstimate.of(chance[1]),
        difference=MeanEstimate.of(chance[1] - chance[0]),
        num_samples=samples,
        covered=float(covered.mean()),
    )


def _cut(given: Given, part: slice) -> Given:
    return Given(given.context, given.last[part], given.events, given.waited, given.least_gap)


REMOVED = "removed"


def answer(
    discover: "CausalDiscoveryPipeline",
    sequence: EventSequence,
    *,
    do: Mapping[Any, Any],
    target: str,
    within: str = "16",
    num_samples: int = 1000,
    unknown: str = "error",
    seed: int = 0,
) -> dict[str, Any]:
    """How likely the target follows a position, as it was and had the event there been another.

    What came before the position stays as observed; what comes after is up to the model, in both cases.

    Args:
        discover: Its model continues the sequence.
        sequence: The events.
        do: A position, from 0, and the event to put there; ``"removed"`` or None to have had none.
        target: The event that is asked about.
        within: How soon it must follow: events (``20``), a time (``300s``), or both (``20,300s``).
        num_samples: Futures sampled of each case.
        unknown: See ``EventTokenizer.encode``.
        seed: Seed of the futures, which both cases share.

    Returns:
        ``factual`` and ``intervened`` probabilities, and ``difference``, each with ``value`` and
        ``standard_error``; ``covered``, the share of futures that reach the end of the horizon.

    Raises:
        QueryError: If there is no such position, or not exactly one.
        UnknownEventError: If an event is not in the vocabulary.
        SettingsError: If the horizon or ``num_samples`` is not understood.
        ContextLengthError: If the model reads too little for the horizon.
    """
    if isinstance(num_samples, bool) or not isinstance(num_samples, int) or num_samples < 1:
        raise SettingsError(f"num_samples is {num_samples!r}, expected a whole number of at least 1.")
    position, event = _intervention(do, sequence)
    events, slots = discover.events, event_slots(discover.events)
    horizon = horizon_of(within, events, discover.most_events)
    types = {name: index for index, name in enumerate(events.event_types)}
    check_known([target, *([event] if event is not None else [])], types)
    room = room_for(discover.most_events, horizon)
    factual = history(events, sequence, position, room, unknown, horizon.events, num_samples)
    if event is not None:
        last = np.full(num_samples, events.event_ids[types[event]])
        intervened = Given(factual.context, last, horizon.events)
    else:
        intervened = history_without(events, sequence, position, room, unknown, horizon.events, num_samples)
    found = what_if(discover.oracle, factual, intervened, types[target], slots, horizon, seed=seed)
    return {
        "id": sequence.id,
        "position": position,
        "observed": sequence.events[position],
        "do": REMOVED if event is None else event,
        "target": target,
        "within": within,
        **asdict(found),
        "oracle": {**discover.quality, "reader": discover.oracle.reader.name},
        "seed": seed,
    }


def _intervention(do: Any, sequence: EventSequence) -> tuple[int, str | None]:
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
            "Position 0 cannot be removed: nothing is before it, and a model starts with some event. Replace it by "
            "an event."
        )
    return position, event


def check_known(names: list[str], types: Mapping[str, int]) -> None:
    """Refuse events that the model has no word for.

    Raises:
        UnknownEventError: If there are any.
    """
    import difflib

    if missing := [name for name in names if name not in types]:
        near = difflib.get_close_matches(missing[0], list(types), n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"It knows {preview(types)}."
        raise UnknownEventError(f"{preview(missing)} is not among the {len(types)} events of the model. {hint}")


def horizon_of(within: str, events: EventTokenizer, most: int | None, *, most_ahead: int | None = None) -> Horizon:
    """Read a horizon; a time alone may take as many events as leave half of what is read for the past.

    Args:
        within: See ``parse_horizon``.
        events: Whether it writes times is checked.
        most: Events that the model reads.
        most_ahead: Most events that a time alone may take.

    Raises:
        SettingsError: If it is not understood, or a time and the model knows none.
    """
    horizon = parse_horizon(within)
    if horizon.seconds and not events.writes_gaps:
        raise SettingsError(
            f"within is {within!r}, a time, but this model was trained without the time between events. Give a number "
            "of events, or train with `--gaps`."
        )
    if most is None or any(part.strip().isdigit() for part in str(within).split(",")):
        return horizon
    return Horizon(max(1, most // 2), horizon.seconds)  # a time alone: as many events as leave half for the past


def room_for(most: int | None, horizon: Horizon) -> int | None:
    """Events before the position that the model can read and still go on to the horizon."""
    if most is None:
        return None
    room = most - horizon.events - 2
    if room < 1:
        raise ContextLengthError(
            f"The model reads {most} events, too few for {horizon.events} events ahead of a position with a past. "
            "Shorten `within`, or train with a longer `--window-length`."
        )
    return room


def history(
    events: EventTokenizer,
    sequence: EventSequence,
    position: int,
    room: int | None,
    unknown: str,
    ahead: int,
    samples: int,
) -> Given:
    """What the model is given up to a position, to go on from it.

    Args:
        events: The vocabulary.
        sequence: The events.
        position: The last event given.
        room: Most events before it.
        unknown: See ``EventTokenizer.encode``.
        ahead: Events ahead that count.
        samples: Futures.

    Raises:
        QueryError: If nothing is before the event.
    """
    start = 0 if room is None else max(0, position - room)
    ids = events.encode(sequence.part(start, position + 1), unknown=unknown).input_ids
    if len(ids) < 2:
        raise QueryError("Nothing is before position 0 for this model to read. Name a later position.")
    return Given(ids[:-1], np.full(samples, ids[-1]), ahead)


def history_without(
    events: EventTokenizer,
    sequence: EventSequence,
    position: int,
    room: int | None,
    unknown: str,
    ahead: int,
    samples: int,
) -> Given:
    """The history without the event: up to the one before it, and then silence until its time."""
    before = history(events, sequence, position - 1, room, unknown, ahead, samples)
    if not events.writes_gaps or sequence.timestamps is None:
        return before
    times = sequence.timestamps[position - 1 : position + 1]
    return Given(before.context, before.last, ahead, times[1] - times[0], int(gap_bins(times, events.gap_edges)[0]))
