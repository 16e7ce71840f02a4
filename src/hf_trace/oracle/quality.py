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
    """

    loss: float
    unigram: float
    bigram: float
    events: int

    @property
    def beats_bigram(self) -> bool:
        """Whether the model predicts better than from the preceding event only."""
        return self.loss < self.bigram

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "OracleQuality":
        """What ``to_dict`` returned."""
        return cls(**{each.name: document[each.name] for each in fields(cls)})

    def to_dict(self) -> Document:
        """All figures by name."""
        return {**asdict(self), "beats_bigram": self.beats_bigram}

    def __str__(self) -> str:
        return (
            f"validation loss {self.loss:.3f} nats per event on {self.events:,} events "
            f"(bigram {self.bigram:.3f}, unigram {self.unigram:.3f})"
        )


def quality_warning(quality: Mapping[str, Any]) -> str | None:
    """What to tell a user about an oracle that should not be trusted; None for a good one."""
    if not quality or quality.get("beats_bigram", True):
        return None
    return (
        f"The model predicts no better than the preceding event alone (loss {quality['loss']:.3f}, bigram "
        f"{quality['bigram']:.3f} nats per event): its causal graph means little. Train longer or on more data."
    )


def measure(oracle: Oracle, tokenizer: EventTokenizer, train: EventLog, valid: EventLog) -> OracleQuality:
    """Compare an oracle with counting models on the events of ``valid``.

    Args:
        oracle: The trained model.
        tokenizer: Its vocabulary; types outside it count as one unknown type for all models.
        train: Sequences the counts are taken from.
        valid: Held-out sequences, over the same event types. Of histories with neighbours own events alone count,
            given that they are own ones; the counting models see no neighbours.
    """
    encoded = [tokenizer.encode(sequence, unknown="map") for sequence in valid]
    own_ids = tokenizer.event_ids[~tokenizer.is_near] if tokenizer.reads_neighbours else None
    log_probs = event_log_probs(oracle, encoded, own_ids)
    train, valid = own_events(train), own_events(valid)
    codes = [_known_codes(log, tokenizer) for log in (train, valid)]
    arguments = (codes[0], train.offsets, codes[1], valid.offsets, len(tokenizer.event_types) + 1)
    return OracleQuality(
        loss=-float(np.mean(log_probs)),
        unigram=unigram_loss(*arguments),
        bigram=bigram_loss(*arguments),
        events=len(valid.codes),
    )


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
