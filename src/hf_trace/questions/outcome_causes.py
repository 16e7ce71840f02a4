"""Causes of outcomes of a log: which outcomes there are, what each sequence is scored on, and the result in names."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from hf_trace.discovery.blocks import Drawing
from hf_trace.discovery.pair_graphs import direction
from hf_trace.errors import EmptyLogError, QueryError, SettingsError, preview
from hf_trace.logs.contexts import PREFIX, outcome_value
from hf_trace.logs.sequence import EncodedSequence, EventSequence
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.proposals import PROPOSALS
from hf_trace.questions.outcome_scores import OutcomePool, OutcomeScores, Predictions, averaged_outcomes, score_outcomes
from hf_trace.questions.what_if import check_known
from hf_trace.runs.members import member_seed

if TYPE_CHECKING:
    from hf_trace.pipelines.discovery_pipeline import CausalDiscoveryPipeline

LEVELS = ("population", "instance")
_AT_ONCE = 16
Advance = Callable[[float], None]


@dataclass(frozen=True)
class OutcomeSettings:
    """How causes of outcomes are found.

    Attributes:
        level: ``population``: one result for all sequences; ``instance``: one for each.
        proposal: What events are replaced by; as for discovery.
        num_samples: Draws per event.
        bound: An event carries an outcome when its ``cmi`` is above this, in nats.
        min_frequency: See ``OutcomePool.causes``.
        min_support: See ``OutcomePool.causes``.
        unknown: ``"error"``, or ``"map"`` to read events outside the vocabulary as unknown.
        seed: Seed of the draws and of the bootstrap.

    Raises:
        SettingsError: If a value is not understood.
    """

    level: str = "population"
    proposal: str = "uniform"
    num_samples: int = 32
    bound: float = 0.05
    min_frequency: float = 0.05
    min_support: int = 2
    unknown: str = "error"
    seed: int = 0

    def __post_init__(self) -> None:
        proposals = (*PROPOSALS, "exhaustive", *(f"exhaustive:{name}" for name in PROPOSALS))
        for name, value, known in (
            ("level", self.level, LEVELS),
            ("proposal", self.proposal, proposals),
            ("unknown", self.unknown, ("error", "map")),
        ):
            if value not in known:
                raise SettingsError(f"{name} is {value!r}, expected one of: {', '.join(known)}.")
        for name, number in (("num_samples", self.num_samples), ("min_support", self.min_support)):
            if isinstance(number, bool) or not isinstance(number, int) or number < 1:
                raise SettingsError(f"{name} is {number!r}, expected a whole number of at least 1.")


@dataclass(frozen=True)
class _Asked:
    """Which outcomes are asked about, and what they compete with.

    Attributes:
        names: The outcomes asked about.
        columns: Their places among ``rivals``.
        rivals: Tokens of all that may stand where an outcome stands.
        of_sequence: Whether they are labels of whole sequences.
    """

    names: list[str]
    columns: list[int]
    rivals: NDArray[np.int64]
    of_sequence: bool


@dataclass(frozen=True)
class _Item:
    """Something to score: a history and what came next; ``outcome`` None where that is not known."""

    sequence: EventSequence
    encoded: EncodedSequence
    start: int
    outcome: str | None


def outcomes(
    discover: "CausalDiscoveryPipeline",
    sequences: Iterable[EventSequence],
    *,
    outcome: str | Sequence[str] | None = None,
    advance: Advance = lambda _: None,
    **settings: Any,
) -> Any:
    """Which events bring outcomes about.

    Args:
        discover: Its model, and the further oracles of the run if there are any.
        sequences: The log, with outcome events at the end of its sequences where they are known.
        outcome: A label, or several, of a run trained with an outcome column (all by default); or an event.
        advance: Called with the number of sequences done.
        settings: See ``OutcomeSettings``.

    Returns:
        For ``level="population"`` the ``outcomes`` with their causes (``OutcomePool.causes``) and, where labels are
        known, how well they are predicted (``prediction``). For ``level="instance"`` one result per sequence.

    Raises:
        QueryError: If there is no such outcome.
        EmptyLogError: If no sequence can be scored.
        SettingsError: If a setting is unknown or not understood.
    """
    chosen = _settings(settings)
    asked = _asked(discover, outcome)
    found = _scored(discover, sequences, asked, chosen, advance)
    if chosen.level == "instance":
        documents = [_instance(item, scores, asked, chosen) for item, scores in found]
        if not documents:
            raise _nothing(asked)
        return documents
    pool, predictions = OutcomePool(asked.names, bound=chosen.bound), Predictions()
    for item, scores in found:
        kept = _kept(scores, asked)
        had = [item.outcome] if item.outcome is not None else asked.names
        pool.add(item.sequence.events, kept, [asked.names.index(each) for each in had if each in asked.names])
        if asked.of_sequence and item.outcome is not None:
            predictions.add(item.outcome, dict(zip(_names(discover), scores.probability.tolist(), strict=True)))
    if not any(pool.sequences):
        raise _nothing(asked)
    return {
        "outcomes": pool.causes(min_frequency=chosen.min_frequency, min_support=chosen.min_support, seed=chosen.seed),
        "prediction": predictions.summary(),
        "settings": asdict(chosen),
        "oracle": {**discover.quality, "reader": discover.oracle.reader.name, "oracles": 1 + len(discover.members)},
    }


def _settings(given: dict[str, Any]) -> OutcomeSettings:
    known = OutcomeSettings.__dataclass_fields__
    if wrong := [name for name in given if name not in known]:
        raise SettingsError(f"Unknown parameter {wrong[0]!r}, expected one of: {', '.join(known)}.")
    return OutcomeSettings(**given)


def _nothing(asked: _Asked) -> EmptyLogError:
    return EmptyLogError(
        f"No sequence has {preview(asked.names)} after an event that the model knows, so nothing can be its cause. "
        "Choose another outcome or log."
    )


def _names(discover: "CausalDiscoveryPipeline") -> list[str]:
    return list(discover.outcome_events)


def _asked(discover: "CausalDiscoveryPipeline", outcome: str | Sequence[str] | None) -> _Asked:
    labels, types = list(discover.outcome_events), list(discover.events.event_types)
    tokens = dict(zip(types, discover.events.event_ids.tolist(), strict=True))
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
    of_sequence = [name in labels for name in wanted]
    if any(of_sequence) and not all(of_sequence):
        raise QueryError(
            f"{preview(wanted)} are labels of sequences and events within them, expected one kind. Ask twice."
        )
    rivals = labels if all(of_sequence) else [name for name in types if name not in labels]
    columns = [rivals.index(name) for name in wanted]
    return _Asked(wanted, columns, np.array([tokens[name] for name in rivals]), all(of_sequence))


def _scored(
    discover: "CausalDiscoveryPipeline",
    sequences: Iterable[EventSequence],
    asked: _Asked,
    settings: OutcomeSettings,
    advance: Advance,
) -> Iterator[tuple[_Item, OutcomeScores]]:
    oracles: list[Oracle] = [discover.oracle, *discover.members]
    items = _items(discover, sequences, asked, settings.unknown, advance)
    rivals = torch.from_numpy(asked.rivals)
    while block := list(islice(items, _AT_ONCE)):
        encoded = [item.encoded for item in block]
        by_oracle = [
            score_outcomes(
                oracle,
                encoded,
                discover.alphabet,
                rivals,
                Drawing(settings.proposal, settings.num_samples, member_seed(settings.seed, number)),
            )
            for number, oracle in enumerate(oracles)
        ]
        for item, *scores in zip(block, *by_oracle, strict=True):
            yield item, averaged_outcomes(scores)


def _items(
    discover: "CausalDiscoveryPipeline",
    sequences: Iterable[EventSequence],
    asked: _Asked,
    unknown: str,
    advance: Advance,
) -> Iterator[_Item]:
    for done, sequence in enumerate(sequences):
        ends = sequence.events[-1].startswith(PREFIX) if len(sequence) else False
        observed = sequence.events[-1] if ends else None
        body = sequence.part(0, len(sequence) - 1) if ends else sequence
        if asked.of_sequence:
            if len(body):
                yield _item(discover, body, len(body), observed, unknown)
        else:
            for place, event in enumerate(body.events):
                if event in asked.names and place:
                    yield _item(discover, body, place, event, unknown)
        advance(float(done + 1))


def _item(
    discover: "CausalDiscoveryPipeline", body: EventSequence, stop: int, outcome: str | None, unknown: str
) -> _Item:
    """The history before place ``stop``, with the gap that leads to it; at the end of a sequence there is none."""
    most = discover.most_events
    start = 0 if most is None else max(0, stop + 1 - most)
    times = body.timestamps
    if stop == len(body):
        # Any event stands in for the outcome: its token is cut off again.
        ended = None if times is None else (*times, times[-1])
        body = EventSequence((*body.events, discover.events.event_types[0]), ended, body.id, body.context)
    encoded = discover.events.encode(body.part(start, stop + 1), unknown=unknown)
    history = EncodedSequence(encoded.input_ids[:-1], encoded.event_positions[:-1])
    part = EventSequence(body.events[start:stop], None, body.id, body.context)
    return _Item(part, history, start, outcome)


def _kept(scores: OutcomeScores, asked: _Asked) -> OutcomeScores:
    """The columns of the outcomes asked about."""
    names = ("cmi", "gain", "standard_error", "low", "high", "cmi_error")
    tables = {name: getattr(scores, name)[:, asked.columns] for name in names}
    return OutcomeScores(scores.position, scores.probability[asked.columns], **tables)


def _instance(item: _Item, scores: OutcomeScores, asked: _Asked, settings: OutcomeSettings) -> dict[str, Any]:
    kept = _kept(scores, asked)
    return {
        "id": item.sequence.id,
        "observed": item.outcome,
        "outcomes": [
            {
                "outcome": name,
                "probability": float(kept.probability[number]),
                "causes": _causes(item, kept, number, settings.bound),
            }
            for number, name in enumerate(asked.names)
        ],
    }


def _causes(item: _Item, kept: OutcomeScores, outcome: int, bound: float) -> list[dict[str, Any]]:
    order = np.argsort(-kept.cmi[:, outcome], kind="stable")
    return [
        {
            "event": item.sequence.events[int(kept.position[row])],
            "position": int(kept.position[row]) + item.start,
            "cmi": float(kept.cmi[row, outcome]),
            "cmi_error": float(kept.cmi_error[row, outcome]),
            "gain": float(kept.gain[row, outcome]),
            "gain_low": float(kept.low[row, outcome]),
            "gain_high": float(kept.high[row, outcome]),
            "direction": direction(float(kept.gain[row, outcome])),
            "carries": bool(kept.cmi[row, outcome] > bound),
        }
        for row in order.tolist()
    ]
