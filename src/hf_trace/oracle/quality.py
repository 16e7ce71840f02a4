"""How good an oracle is: its loss on held-out events, beside counting models of the same events."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hf_trace.documents import Document
from hf_trace.graphs.counting import bigram_loss, unigram_loss
from hf_trace.logs.log import EventLog
from hf_trace.logs.places.histories import own_events
from hf_trace.logs.sequence import EncodedSequence
from hf_trace.logs.windows import case_of
from hf_trace.oracle.additive_model import TimedEvents, additive_loss
from hf_trace.oracle.engine import Oracle
from hf_trace.tokenizers.event_tokenizer import EventTokenizer

_SEQUENCES_AT_ONCE = 64


@dataclass(frozen=True)
class OracleQuality:
    """Losses on held-out events, in nats per event.

    Attributes:
        loss: Of the language model.
        unigram: Of event frequencies only.
        bigram: Of the preceding event only.
        events: Number of held-out events.
        additive: Of the model that adds up what each past event says, told how long ago it was; None in runs that were
            trained before it was measured, and where there were too few sequences for it.
    """

    loss: float
    unigram: float
    bigram: float
    events: int
    additive: float | None = None

    @property
    def beats_bigram(self) -> bool:
        """Whether the model predicts better than from the preceding event only."""
        return self.loss < self.bigram

    @property
    def beats_additive(self) -> bool:
        """Whether the model predicts better than from how long ago each past event was; True where that is unknown."""
        return self.additive is None or self.loss < self.additive

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "OracleQuality":
        """What ``to_dict`` returned."""
        return cls(**{each.name: document[each.name] for each in fields(cls) if each.name in document})

    def to_dict(self) -> Document:
        """All figures by name, those that are known."""
        verdicts = {"beats_bigram": self.beats_bigram}
        if self.additive is not None:
            verdicts["beats_additive"] = self.beats_additive
        return {name: value for name, value in {**asdict(self), **verdicts}.items() if value is not None}

    def __str__(self) -> str:
        additive = "" if self.additive is None else f"additive in time {self.additive:.3f}, "
        return (
            f"validation loss {self.loss:.3f} nats per event on {self.events:,} events "
            f"({additive}bigram {self.bigram:.3f}, unigram {self.unigram:.3f})"
        )


def quality_warning(quality: Mapping[str, Any]) -> str | None:
    """What to tell a user about an oracle that should not be trusted; None for a good one."""
    if not quality.get("beats_bigram", True):
        return (
            f"The model predicts no better than the preceding event alone (loss {quality['loss']:.3f}, bigram "
            f"{quality['bigram']:.3f} nats per event): its causal graph means little. Train longer or on more data."
        )
    if not quality.get("beats_additive", True):
        return (
            f"A model that only adds up what each past event says, told how long ago it was, predicts better (loss "
            f"{quality['loss']:.3f}, additive {quality['additive']:.3f} nats per event): the causal graph misses "
            "effects. Train longer or on more data, and compare with `hf-trace count`."
        )
    return None


def measure(oracle: Oracle, tokenizer: EventTokenizer, train: EventLog, valid: EventLog) -> OracleQuality:
    """Compare an oracle with counting models on the events of ``valid``.

    Args:
        oracle: The trained model.
        tokenizer: Its vocabulary; types outside it count as one unknown type for all models.
        train: Sequences the counts are taken from.
        valid: Held-out sequences, over the same event types. Of histories with neighbours own events alone count,
            given that they are own ones; the counting models see no neighbours, the additive one does.
    """
    encoded = [tokenizer.encode(sequence, unknown="map") for sequence in valid]
    own_ids = tokenizer.event_ids[~tokenizer.is_near] if tokenizer.reads_neighbours else None
    log_probs = event_log_probs(oracle, encoded, own_ids)
    additive = _additive(tokenizer, train, valid)
    train, valid = own_events(train), own_events(valid)
    codes = [_known_codes(log, tokenizer) for log in (train, valid)]
    arguments = (codes[0], train.offsets, codes[1], valid.offsets, len(tokenizer.event_types) + 1)
    return OracleQuality(
        loss=-float(np.mean(log_probs)),
        unigram=unigram_loss(*arguments),
        bigram=bigram_loss(*arguments),
        events=len(valid.codes),
        additive=additive,
    )


def _additive(tokenizer: EventTokenizer, train: EventLog, valid: EventLog) -> float | None:
    if np.count_nonzero(own_events(train).sequence_lengths) < 2:
        return None
    known, held = (TimedEvents(_known_codes(log, tokenizer), log.offsets, log.timestamps) for log in (train, valid))
    cases = np.unique([case_of(name) for name in train.ids], return_inverse=True)[1]
    # Whether an event of unknown type is an own one is not known where there are neighbours.
    is_own = np.append(~tokenizer.is_near, not tokenizer.reads_neighbours)
    return additive_loss(known._replace(cases=cases), held, len(is_own), is_predicted=is_own)


def _known_codes(log: EventLog, tokenizer: EventTokenizer) -> NDArray[np.int64]:
    index = {name: code for code, name in enumerate(tokenizer.event_types)}
    unknown = len(index)
    return np.array([index.get(name, unknown) for name in log.event_types], dtype=np.int64)[log.codes]


def event_log_probs(
    oracle: Oracle, encoded: list[EncodedSequence], among: NDArray[np.int64] | None = None
) -> NDArray[np.float64]:
    """Log-probability of every event given all before it, in nats, sequence after sequence.

    Args:
        oracle: The model.
        encoded: The sequences.
        among: Tokens of events that alone are scored, each given that it is one of these; None: all of them.
    """
    parts = []
    for start in range(0, len(encoded), _SEQUENCES_AT_ONCE):
        block = encoded[start : start + _SEQUENCES_AT_ONCE]
        ids = torch.nn.utils.rnn.pad_sequence(
            [torch.from_numpy(sequence.input_ids) for sequence in block], batch_first=True
        )
        rows = torch.arange(len(block)).repeat_interleave(
            torch.tensor([len(sequence.event_positions) for sequence in block])
        )
        positions = torch.from_numpy(np.concatenate([sequence.event_positions for sequence in block]))
        reading = oracle.read(ids)
        if among is None:
            parts.append(oracle.log_probs(reading, rows, positions).double().numpy())
            continue
        tokens = torch.from_numpy(among)
        is_scored = torch.isin(ids[rows, positions], tokens)
        rows, positions = rows[is_scored], positions[is_scored]
        log_probs = oracle.next_candidates(reading, rows, positions, tokens)
        observed = (tokens == ids[rows, positions, None]).int().argmax(1)
        parts.append(log_probs.gather(1, observed[:, None])[:, 0].double().numpy())
    return np.concatenate(parts)
