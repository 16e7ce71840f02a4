"""Causes of outcomes of a log: its sequences, labels and events to a result by name."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import compress, islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hf_trace.checks import one_of
from hf_trace.discovery.blocks import Drawing
from hf_trace.discovery.pair_graphs import direction
from hf_trace.discovery.settings import ALL_PROPOSALS
from hf_trace.documents import Document
from hf_trace.errors import EmptyLogError, QueryError, SettingsError, preview
from hf_trace.logs.contexts import PREFIX, outcome_value
from hf_trace.logs.sequence import EncodedSequence, EventSequence
from hf_trace.options import BOUND, EFFECT, MIN_FREQUENCY, MIN_SUPPORT, NUM_SAMPLES, PROPOSAL, SEED, UNKNOWN
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.proposals import PROPOSALS
from hf_trace.questions.outcome_scores import (
    OutcomePool,
    OutcomeScores,
    averaged_outcomes,
    outcome_probabilities,
    prediction_quality,
    score_outcomes,
    unexplained,
)
from hf_trace.questions.outcome_totals import Forced, score_total_outcomes
from hf_trace.questions.root_causes import Redraws
from hf_trace.questions.what_if import REMOVED, check_known, check_own_effects, horizon_within
from hf_trace.runs.event_model import EventModel
from hf_trace.runs.members import member_seed

LEVELS = ("population", "instance")
_AT_ONCE = 16
# Events ahead, of models without a longest input, are half of these.
_UNBOUNDED = 128
Advance = Callable[[float], None]


@dataclass(frozen=True)
class OutcomeSettings:
    """How causes of outcomes are found.

    Attributes:
        level: ``population``: one result for all sequences; ``instance``: one per sequence.
        effect: ``direct``: what one event changes while all others stay as observed, so that of several that tell the
            same none changes much; ``total``: what the first event of each type changes together with all that it
            brings about, by forward simulation.
        within: How far ahead of an event its outcome may come, for total effects: events (``16``), a time, or both;
            by default half of what the model reads.
        proposal: Distribution of the replacements, as for discovery; for total effects also ``removed``.
        num_samples: Draws per event; of total effects, futures.
        bound: Smallest ``cmi`` of an event that carries an outcome, in nats.
        min_frequency: See ``OutcomePool.causes``.
        min_support: See ``OutcomePool.causes``.
        unknown: ``"error"`` or ``"map"``, for events outside the vocabulary; None: as the run was trained.
        seed: Seed of the draws and of the bootstrap.

    Raises:
        SettingsError: If a value is not understood.
    """

    level: str = LEVELS[0]
    effect: str = EFFECT.default
    within: str | None = None
    proposal: str = PROPOSAL.default
    num_samples: int = NUM_SAMPLES.default
    bound: float = BOUND.default
    min_frequency: float = float(MIN_FREQUENCY.default)
    min_support: int = MIN_SUPPORT.default
    unknown: str | None = UNKNOWN.default
    seed: int = SEED.default

    def __post_init__(self) -> None:
        one_of("level", self.level, LEVELS)
        EFFECT.checked(self.effect)
        one_of("proposal", self.proposal, (*PROPOSALS, REMOVED) if self.effect == "total" else ALL_PROPOSALS)
        if self.within is not None and self.effect != "total":
            raise SettingsError(
                f"within is {self.within!r} and effect {self.effect!r}: only total effects look ahead. Leave out one."
            )
        for option in (NUM_SAMPLES, MIN_SUPPORT, UNKNOWN, SEED):
            option.checked(getattr(self, option.name))


@dataclass(frozen=True)
class _Asked:
    """The outcomes of interest among their alternatives.

    Attributes:
        names: The outcomes of interest.
        columns: Their indices in ``rivals``.
        rivals: Tokens of all possible outcomes.
        of_sequence: Whether outcomes are labels of whole sequences, not events within them.
    """

    names: list[str]
    columns: list[int]
    rivals: NDArray[np.int64]
    of_sequence: bool


@dataclass(frozen=True)
class _Item:
    """A history to score and the outcome that followed; ``outcome`` is None if unknown.

    Attributes:
        whole: All events before the outcome.
        sequence: Those of them that the model reads.
        encoded: Their tokens.
        start: Position of the first of them.
        outcome: The outcome.
    """

    whole: EventSequence
    sequence: EventSequence
    encoded: EncodedSequence
    start: int
    outcome: str | None


def outcomes(
    model: EventModel,
    sequences: Iterable[EventSequence],
    settings: OutcomeSettings,
    *,
    outcome: str | Sequence[str] | None = None,
    advance: Advance = lambda _: None,
) -> Any:
    """Find the events that cause outcomes.

    Args:
        model: The scoring model, used with its further oracles.
        sequences: The log; sequences with a known label end with it as an outcome event.
        settings: How causes are found.
        outcome: A label or several, for a run trained with an outcome column (default: all labels); or an event.
        advance: Called with the number of sequences done.

    Returns:
        For ``level="population"`` the ``outcomes`` with their causes (``OutcomePool.causes``) and, if labels are known,
        the quality of their ``prediction``. For ``level="instance"`` one result per sequence.

    Raises:
        QueryError: If an outcome is unknown.
        EmptyLogError: If no sequence can be scored.
    """
    settings = replace(settings, unknown=model.unknown(settings.unknown))
    asked = _asked(model, outcome)
    found = _scored(model, sequences, asked, settings, advance)
    if settings.level == "instance":
        documents = [_instance(model, item, scores, asked, settings) for item, scores in found]
        if not documents:
            raise _nothing(asked)
        return documents
    pool, observed, predicted = OutcomePool(asked.names, bound=settings.bound), [], []
    for item, scores in found:
        had = [item.outcome] if item.outcome is not None else asked.names
        kept = replace(scores, probability=scores.probability[asked.columns])
        pool.add(item.sequence.events, kept, [asked.names.index(each) for each in had if each in asked.names])
        if asked.of_sequence and item.outcome is not None:
            pool.count(item.whole.events, item.outcome)
            observed.append(item.outcome)
            predicted.append(scores.probability)
    if not any(pool.sequences):
        raise _nothing(asked)
    return {
        "outcomes": [
            {
                **found,
                **{
                    key: [{**each, **model.where(each["event"])} for each in found[key]] for key in ("causes", "tested")
                },
            }
            for found in pool.causes(
                min_frequency=settings.min_frequency, min_support=settings.min_support, seed=settings.seed
            )
        ],
        "prediction": prediction_quality(observed, predicted, model.outcome_labels),
        "settings": asdict(settings),
        "oracle": {**model.description, "oracles": 1 + len(model.members)},
    }


def _nothing(asked: _Asked) -> EmptyLogError:
    return EmptyLogError(
        f"No sequence has {preview(asked.names)} after an event that the model knows, so nothing can be its cause. "
        "Choose another outcome or log."
    )


def _asked(model: EventModel, outcome: str | Sequence[str] | None) -> _Asked:
    labels, types = list(model.outcome_labels), list(model.tokenizer.event_types)
    tokens = dict(zip(types, model.tokenizer.event_ids.tolist(), strict=True))
    if outcome is None:
        if not labels:
            raise QueryError(
                "The run was trained without an outcome column, so an outcome must be named. Pass an event "
                "(`--outcome EVENT`), or train with `--outcome-column COLUMN`."
            )
        wanted = labels
    else:
        by_value = {outcome_value(label): label for label in labels}
        given = [outcome] if isinstance(outcome, str) else list(outcome)
        wanted = [by_value.get(name, name) for name in given]
        check_known(wanted, tokens)
        check_own_effects(model, wanted)
    of_sequence = [name in labels for name in wanted]
    if any(of_sequence) and not all(of_sequence):
        raise QueryError(
            f"{preview(wanted)} are labels of sequences and events within them, expected one kind. Ask twice."
        )
    rivals = (
        labels
        if all(of_sequence)
        else [
            name for name, near in zip(types, model.tokenizer.is_near, strict=True) if name not in labels and not near
        ]
    )
    columns = [rivals.index(name) for name in wanted]
    return _Asked(wanted, columns, np.array([tokens[name] for name in rivals]), all(of_sequence))


def _scored(
    model: EventModel, sequences: Iterable[EventSequence], asked: _Asked, settings: OutcomeSettings, advance: Advance
) -> Iterator[tuple[_Item, OutcomeScores]]:
    """Every history with the scores of the outcomes of interest, averaged over oracles.

    Of all sequences together only those with such an outcome are explained; of the others it is predicted.
    """
    items = _items(model, sequences, asked, settings.unknown or "", advance)
    score = _total_scores if settings.effect == "total" else _direct_scores
    rivals = torch.from_numpy(asked.rivals)
    while block := list(islice(items, _AT_ONCE)):
        wanted = [settings.level == "instance" or item.outcome in (None, *asked.names) for item in block]
        explained = list(compress(block, wanted))
        by_oracle = []
        for number, oracle in enumerate([model.oracle, *model.members]):
            seed = member_seed(settings.seed, number)
            scores = iter(score(model, oracle, explained, asked, settings, seed) if explained else ())
            by_oracle.append(
                [
                    next(scores) if is_wanted else unexplained(oracle, item.encoded, rivals, len(asked.names))
                    for item, is_wanted in zip(block, wanted, strict=True)
                ]
            )
        for item, *found in zip(block, *by_oracle, strict=True):
            yield item, averaged_outcomes(found)


def _direct_scores(
    model: EventModel, oracle: Oracle, block: list[_Item], asked: _Asked, settings: OutcomeSettings, seed: int
) -> list[OutcomeScores]:
    encoded, rivals = [item.encoded for item in block], torch.from_numpy(asked.rivals)
    drawing = Drawing(settings.proposal, settings.num_samples, seed)
    return [_kept(scores, asked) for scores in score_outcomes(oracle, encoded, model.alphabet, rivals, drawing)]


def _total_scores(
    model: EventModel, oracle: Oracle, block: list[_Item], asked: _Asked, settings: OutcomeSettings, seed: int
) -> list[OutcomeScores]:
    types = {name: index for index, name in enumerate(model.tokenizer.event_types)}
    forced = Forced(
        targets=[types[name] for name in asked.names],
        horizon=horizon_within(model, settings.within or str(max(1, (model.most_events or _UNBOUNDED) // 2))),
        redraws=Redraws(settings.proposal, model.tokenizer.frequencies, settings.num_samples, seed),
        unknown=settings.unknown or "",
    )
    rivals = torch.from_numpy(asked.rivals)
    return [
        score_total_outcomes(
            model,
            oracle,
            item.whole,
            forced,
            start=item.start,
            probability=outcome_probabilities(oracle, item.encoded, rivals),
        )
        for item in block
    ]


def _items(
    model: EventModel, sequences: Iterable[EventSequence], asked: _Asked, unknown: str, advance: Advance
) -> Iterator[_Item]:
    for done, sequence in enumerate(sequences):
        ends = sequence.events[-1].startswith(PREFIX) if len(sequence) else False
        observed = sequence.events[-1] if ends else None
        body = sequence.part(0, len(sequence) - 1) if ends else sequence
        if asked.of_sequence:
            if len(body):
                yield _item(model, body, len(body), observed, unknown)
        else:
            for place, event in enumerate(body.events):
                if event in asked.names and place:
                    yield _item(model, body, place, event, unknown)
        advance(float(done + 1))


def _item(model: EventModel, body: EventSequence, stop: int, outcome: str | None, unknown: str) -> _Item:
    """The history before place ``stop``, including the gap before it; the end of a sequence has no gap."""
    times, whole = body.timestamps, body
    if stop == len(body):
        # Any event can stand for the outcome here: its token is cut off below.
        ended = None if times is None else (*times, times[-1])
        whole = EventSequence((*body.events, model.tokenizer.event_types[0]), ended, body.id, body.context)
    found = model.history(whole, stop, ahead=0, unknown=unknown)
    before = EncodedSequence(found.context, found.encoded.event_positions[:-1])
    part = EventSequence(body.events[found.start : stop], None, body.id, body.context)
    return _Item(body.part(0, stop), part, before, found.start, outcome)


def _kept(scores: OutcomeScores, asked: _Asked) -> OutcomeScores:
    """The columns of the outcomes of interest; the probabilities of all stay."""
    names = ("cmi", "gain", "standard_error", "low", "high", "cmi_error")
    return replace(scores, **{name: getattr(scores, name)[:, asked.columns] for name in names})


def _instance(
    model: EventModel, item: _Item, scores: OutcomeScores, asked: _Asked, settings: OutcomeSettings
) -> Document:
    return {
        "id": item.sequence.id,
        "observed": item.outcome,
        "outcomes": [
            {
                "outcome": name,
                "probability": float(scores.probability[asked.columns[number]]),
                "causes": _causes(model, item, scores, number, settings.bound),
            }
            for number, name in enumerate(asked.names)
        ],
    }


def _causes(model: EventModel, item: _Item, scores: OutcomeScores, outcome: int, bound: float) -> list[Document]:
    order = np.argsort(-scores.cmi[:, outcome], kind="stable")
    return [
        {
            **model.where(item.sequence.events[int(scores.position[row])]),
            "position": int(scores.position[row]) + item.start,
            "cmi": float(scores.cmi[row, outcome]),
            "cmi_error": float(scores.cmi_error[row, outcome]),
            "gain": float(scores.gain[row, outcome]),
            "gain_low": float(scores.low[row, outcome]),
            "gain_high": float(scores.high[row, outcome]),
            "direction": direction(float(scores.gain[row, outcome])),
            "carries": bool(scores.cmi[row, outcome] > bound),
        }
        for row in order.tolist()
    ]
