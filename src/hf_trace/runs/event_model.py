"""A language model of event sequences with its vocabulary, further oracles and quality."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from hf_trace.documents import Document
from hf_trace.errors import ContextLengthError, EmptyLogError, ModelLoadError, QueryError
from hf_trace.logs.contexts import outcome_event
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EncodedSequence, EventSequence
from hf_trace.logs.windows import cut_windows
from hf_trace.options import TRUST_REMOTE_CODE
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.proposals import Alphabet
from hf_trace.oracle.walks import Slots
from hf_trace.runs.folders import METRICS_FILE, TRAINING_FILE, load_model, own_tokenizer, read_json, run_kind, run_of
from hf_trace.runs.members import load_members
from hf_trace.runs.trained_network import check_network
from hf_trace.tokenizers.event_tokenizer import EventTokenizer

OWN, NEAR = "own", "near"


@dataclass(frozen=True)
class EventHistory:
    """An event of a sequence with as much of its past as the model reads.

    Attributes:
        start: Position in the sequence of the first event included.
        encoded: The events from there up to and including the event.
    """

    start: int
    encoded: EncodedSequence

    @property
    def context(self) -> NDArray[np.int64]:
        """The tokens before the event, including its gap token if the vocabulary has gaps."""
        return self.encoded.input_ids[:-1]

    @property
    def last(self) -> int:
        """The token of the event."""
        return int(self.encoded.input_ids[-1])


@dataclass(frozen=True)
class LogWindows:
    """A log cut into windows that a model can read.

    Attributes:
        log: The windows.
        length: Length of the longest window, in events.
        was_cut: Whether any sequence was longer.
    """

    log: EventLog
    length: int
    was_cut: bool


@dataclass(frozen=True, eq=False)
class EventModel:
    """A frozen oracle of event sequences.

    Attributes:
        oracle: The model that scores.
        tokenizer: Its vocabulary.
        quality: Losses on held-out events, from ``metrics.json``; empty if unknown.
        recipe: Training settings, from ``training.json``; empty if unknown.
        memory: Memory for scoring, see ``Oracle``; the same for members.
        compiled: Whether a GPU gets compiled layers, see ``Oracle``; the same for members.
    """

    oracle: Oracle
    tokenizer: EventTokenizer
    quality: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    memory: str | float | None = None
    compiled: bool = False

    @classmethod
    def of(
        cls, model: PreTrainedModel, tokenizer: Any = None, *, memory: str | float | None = None, compiled: bool = False
    ) -> "EventModel":
        """A loaded model with the files of its run folder.

        Args:
            model: A model loaded with ``from_pretrained``.
            tokenizer: An ``EventTokenizer``, a tokenizer of transformers, or a folder; by default that of the run.
            memory: See the class.
            compiled: See the class.

        Raises:
            ModelLoadError: If there is no tokenizer, or it is the run of a table.
            VocabularyMismatchError: If model and tokenizer do not match.
        """
        run, vocabulary = run_of(model), own_tokenizer(EventTokenizer, model, tokenizer)
        if run and run_kind(run) == "table":
            raise ModelLoadError(
                f"{run!r} was trained on a table, expected a run of an event log. Ask it for effects: `hf-trace "
                'effect` (`pipeline("causal-effect")`).'
            )
        metrics, recipe = (read_json(run, name) if run else {} for name in (METRICS_FILE, TRAINING_FILE))
        oracle = Oracle(model, memory=memory, compiled=compiled)
        return cls(oracle, vocabulary, metrics.get("validation", {}), recipe, memory, compiled)

    @classmethod
    def load(
        cls,
        run: str | PathLike[str],
        *,
        dtype: str = "float32",
        memory: str | float | None = None,
        device_map: str | None = None,
        trust_remote_code: bool = TRUST_REMOTE_CODE.default,
        compiled: bool = False,
    ) -> "EventModel":
        """The model of a run folder or Hub id.

        Args:
            run: The folder or id.
            dtype: See ``load_model``.
            memory: See the class.
            device_map: How to spread a model over several accelerators, see ``load_model``.
            trust_remote_code: See ``load_model``; the same for members.
            compiled: See the class.

        Raises:
            ModelLoadError: If there is no model or tokenizer, or one that ``load_model`` refuses.
            VocabularyMismatchError: If they do not match.
        """
        model = load_model(run, dtype=dtype, device_map=device_map, trust_remote_code=trust_remote_code)
        return cls.of(model, memory=memory, compiled=compiled)

    @property
    def model(self) -> PreTrainedModel:
        """The language model itself."""
        return self.oracle.model

    @cached_property
    def members(self) -> list[Oracle]:
        """Further oracles of the run, trained on bootstrap samples; loaded on first use."""
        return load_members(self.model, memory=self.memory, compiled=self.compiled)

    def oracles_for(self, sequences: Iterable[EventSequence]) -> Iterator[tuple[Oracle, Iterable[EventSequence]]]:
        """Runs of sequences, in their order, each with the oracle that predicts them: one for all."""
        yield self.oracle, sequences

    @cached_property
    def outcome_labels(self) -> tuple[str, ...]:
        """Labels of whole sequences, as events; none if the run was trained without an outcome column."""
        column = self.recipe.get("outcome_column")
        if column is None:
            return ()
        begins = outcome_event(column, "")
        return tuple(name for name in self.tokenizer.event_types if name.startswith(begins))

    @cached_property
    def outcome_events(self) -> Bool[Tensor, " type"]:
        """Which event types are labels of whole sequences."""
        return torch.tensor([name in self.outcome_labels for name in self.tokenizer.event_types], dtype=torch.bool)

    @cached_property
    def alphabet(self) -> Alphabet:
        """Event types that are tested and drawn: all but labels of whole sequences.

        Raises:
            ModelLoadError: If there are none.
        """
        acts = ~self.outcome_events
        if not acts.any():
            raise ModelLoadError(
                "The vocabulary of the model has no event types, expected those of a log. Train again."
            )
        ids, shares = (torch.from_numpy(each) for each in (self.tokenizer.event_ids, self.tokenizer.frequencies))
        return Alphabet(ids[acts], shares[acts], None if self.near_types is None else self.near_types[acts])

    @property
    def near_types(self) -> Bool[Tensor, " type"] | None:
        """Which event types are of neighbours; None for a model of single places."""
        return torch.from_numpy(self.tokenizer.is_near) if self.tokenizer.reads_neighbours else None

    @cached_property
    def slots(self) -> Slots:
        """Tokens of events and gaps of this vocabulary."""
        return Slots(
            events=torch.from_numpy(self.tokenizer.event_ids),
            gaps=torch.from_numpy(self.tokenizer.gap_ids),
            gap_bounds=torch.tensor(self.tokenizer.gap_bounds, dtype=torch.float32).reshape(-1, 2),
            ends=self.outcome_events.nonzero()[:, 0],
            is_near=self.near_types,
        )

    def where(self, event: str) -> Document:
        """What an event is called, and whether it is of the place itself or of a neighbour, where there are some."""
        if not self.tokenizer.reads_neighbours:
            return {"event": event}
        plain = self.tokenizer.plain_name(event)
        return {"event": plain, "place": OWN if plain == event else NEAR}

    @property
    def most_events(self) -> int | None:
        """Number of events the model reads at once; None for no bound."""
        limit = self.oracle.context_length
        return None if limit is None else self.tokenizer.most_events(limit)

    @property
    def description(self) -> Document:
        """Quality and reader of the oracle, as every result reports them."""
        return {**self.quality, "reader": self.oracle.reader.name}

    def unknown(self, asked: str | None) -> str:
        """``"error"`` or ``"map"``, for events outside the vocabulary; by default as the run was trained."""
        return asked or ("map" if self.recipe.get("min_count", 1) > 1 else "error")

    def history(self, sequence: EventSequence, position: int, *, ahead: int, unknown: str) -> EventHistory:
        """An event with as much of its past as the model can read while it continues for some events.

        Args:
            sequence: The events.
            position: The event.
            ahead: Number of events after it that the model must have room for.
            unknown: See ``EventTokenizer.encode``.

        Raises:
            QueryError: If nothing is before the event.
            ContextLengthError: If the model has no room for that many events.
            UnknownEventError: If an event is not in the vocabulary.
        """
        start = 0
        if self.most_events is not None:
            room = self.most_events - 1 - ahead
            if room < 1:
                raise ContextLengthError(
                    f"The model reads {self.most_events} events, too few for {ahead - 1} events ahead of one with a "
                    "past. Shorten the horizon (`--within`, `--horizon`), or train with a longer `--window-length`."
                )
            start = max(0, position - room)
        encoded = self.tokenizer.encode(sequence.part(start, position + 1), unknown=unknown)
        if len(encoded.input_ids) < 2:
            raise QueryError("Nothing is before position 0 for this model to read. Name a later position.")
        return EventHistory(start, encoded)

    def windows(
        self, log: EventLog, *, length: int | None = None, gap: float | None = None, slide: bool = False
    ) -> LogWindows:
        """Cut a log into windows, by default as in training.

        Args:
            log: The sequences.
            length: Length of the longest window, in events.
            gap: Also cut at gaps of this many seconds or more.
            slide: Whether to leave sequences whole, to be read with a sliding context.

        Raises:
            EmptyLogError: If no sequence has two events.
            SettingsError: If the log was read with another topology than the one trained with.
        """
        check_network(log, self.recipe, reads_neighbours=self.tokenizer.reads_neighbours)
        longest = int(log.sequence_lengths.max())
        if slide:
            length = longest
        elif length is None:
            length = self.recipe.get("window_length") or self.most_events or longest
        windows = cut_windows(log, length=length, gap=gap if gap is not None else self.recipe.get("window_gap"))
        usable = np.flatnonzero(windows.sequence_lengths >= 2)
        if not len(usable):
            raise EmptyLogError(
                "No sequence has two or more events, so nothing can cause anything. Name the case column, or leave it "
                "out to read the log as one stream."
            )
        return LogWindows(windows.select(usable), length, len(windows) > len(log))
