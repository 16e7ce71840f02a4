"""A causal language model of event sequences that was never trained on their log: it reads the log as its context.

``AutoModelForCausalLM.from_pretrained`` loads it once ``hf_trace`` is imported. It counts the events of its context in
many ways (``context_counts``), and a small network, trained on simulated logs alone, says how far each count is to be
believed: by how often its history was seen, how large the log is, and how well each way of counting predicts one half
of the context from the other. Event types have no embeddings, so that any number of them, of any names, can be read.

    logits(v) = log sum_e share_e(q) p_e(v) + gate(q) . phi(v) + f(phi(v), q)

phi(v): what all experts say of v; q: what is known of the place and of the log.
"""

# Loaded while Transformers itself is being loaded: nothing here may import the rest of the run folders.
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy.special import log_softmax
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from hf_trace.amortised.context_counts import DISTRIBUTIONS, EXPERTS, PAIRS, ContextCounts
from hf_trace.amortised.pasts import RECENT, Pasts, Places, Sequences, pasts_of

# e^-100 is nothing beside the smallest float32 probability; an infinity would be refused as a broken model.
_NEVER = -100.0
_MOST = 8.0
# Entries of a table [expert, place, type] that are held at a time; places of each half of a context that are judged.
_ENTRIES, _JUDGED = 2**24, 600
OF_TYPE = len(EXPERTS) + len(PAIRS) + 5
OF_PLACE = 3 * len(EXPERTS) + len(PAIRS) + 8


class ContextConfig(PreTrainedConfig):
    """Configuration of a ``ContextForCausalLM``.

    Args:
        hidden: Width of what is known of a place.
        narrow: Width of what is made of each type.
        members: Networks whose probabilities are averaged.
        event_ids: Tokens of the event types.
        gap_ids: Tokens of the times between events, in rising order; none if none are written.
        gap_seconds: What each stands for.
        unknown_id: Token of events that are not known.
        vocab_size: Number of tokens.
        context_tokens: Number of tokens of the context.
        context_sequences: Number of its sequences.
        kwargs: As for a ``PreTrainedConfig``.
    """

    model_type = "hf_trace_context"

    def __init__(  # noqa: PLR0913 - all that a file says
        self,
        hidden: int = 64,
        narrow: int = 32,
        members: int = 1,
        event_ids: Sequence[int] = (),
        gap_ids: Sequence[int] = (),
        gap_seconds: Sequence[float] = (),
        unknown_id: int = 3,
        vocab_size: int = 4,
        context_tokens: int = 0,
        context_sequences: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.hidden, self.narrow, self.members = hidden, narrow, members
        self.unknown_id, self.vocab_size = unknown_id, vocab_size
        self.event_ids, self.gap_ids, self.gap_seconds = list(event_ids), list(gap_ids), list(gap_seconds)
        self.context_tokens, self.context_sequences = context_tokens, context_sequences


class Inputs(NamedTuple):
    """What the network reads.

    Attributes:
        base: Log-probability of each type by frequency.
        of_type: What is known of each type at each place.
        of_place: What is known of each place.
    """

    base: Float[Tensor, " type"]
    of_type: Float[Tensor, "place type feature"]
    of_place: Float[Tensor, "place feature"]


class Mixer(nn.Module):
    """Says how far each expert is to be believed, the same for all types of all logs."""

    type_mean: Tensor
    type_scale: Tensor
    place_mean: Tensor
    place_scale: Tensor

    def __init__(self, hidden: int, narrow: int) -> None:
        super().__init__()
        for name, width in (("type", OF_TYPE), ("place", OF_PLACE)):
            self.register_buffer(f"{name}_mean", torch.zeros(width))
            self.register_buffer(f"{name}_scale", torch.ones(width))
        self.of_place = nn.Sequential(nn.Linear(OF_PLACE, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU())
        self.gate, self.share = nn.Linear(hidden, OF_TYPE), nn.Linear(hidden, len(EXPERTS) + DISTRIBUTIONS)
        self.widen, self.shift = nn.Linear(OF_TYPE, narrow), nn.Linear(hidden, narrow)
        self.score = nn.Sequential(nn.GELU(), nn.Linear(narrow, narrow), nn.GELU(), nn.Linear(narrow, 1))

    def forward(self, inputs: Inputs) -> Float[Tensor, "place type"]:
        """Logits of every type."""
        phi = ((inputs.of_type - self.type_mean) / self.type_scale).clamp(-_MOST, _MOST)
        place = self.of_place(((inputs.of_place - self.place_mean) / self.place_scale).clamp(-_MOST, _MOST))
        linear = torch.bmm(phi, self.gate(place)[..., None])[..., 0]
        share = self.share(place).log_softmax(-1)
        mixture = (inputs.of_type[..., : share.shape[1]] + share[:, None]).logsumexp(-1)
        return inputs.base + mixture + linear + self.score(self.widen(phi) + self.shift(place)[:, None])[..., 0]


class Context:
    """A log that was counted, and how well each expert predicts one half of it from the other.

    Args:
        pasts: What came before each event.
        codes: Type of each event.
        owners: Sequence of each event.
        n_types: Number of event types.
    """

    def __init__(self, pasts: Pasts, codes: Int[np.ndarray, " event"], owners: NDArray[np.int64], n_types: int) -> None:
        self.counts = ContextCounts(pasts, codes, n_types)
        self.most_gap = max(1, int(pasts.gap.max(initial=1)))
        self.gains = _gains(pasts, codes, owners, n_types)

    def inputs(self, pasts: Pasts) -> Inputs:
        """What is known at some places."""
        said, counts, places = self.counts.said(pasts), self.counts, len(pasts.before)
        shape = places, counts.n_types
        more = [
            np.log(counts.share * counts.n_types),
            np.log1p(counts.frequency),
            self._local(pasts),
            np.log1p(pasts.counts),
            pasts.recent[:, :1] == np.arange(counts.n_types),
        ]
        of_type = np.concatenate([said.ratios, [np.broadcast_to(each, shape) for each in more]])
        absent = np.mean(counts.frequency == 0)
        of_log = [np.log(counts.n_types), np.log(counts.events), absent, -(counts.share * said.base).sum()]
        of_place = np.stack([
            np.log1p(pasts.before), np.log1p(pasts.repeats), pasts.latest.sum(1),
            np.where(pasts.before > 0, pasts.gap, 0) / self.most_gap,
        ])  # fmt: skip
        shared = np.broadcast_to(np.concatenate([self.gains, of_log]), (places, len(self.gains) + len(of_log)))
        of_history = np.log1p(np.concatenate([said.known, said.kinds]))
        arrays = said.base, of_type.transpose(1, 2, 0), np.concatenate([of_history.T, shared, of_place.T], axis=1)
        return Inputs(*(torch.from_numpy(np.ascontiguousarray(each, dtype=np.float32)) for each in arrays))

    def _local(self, pasts: Pasts) -> Float[np.ndarray, "place type"]:
        """Log ratio of how frequent each type was lately to how frequent it is."""
        share, places = self.counts.share, np.arange(len(pasts.before))
        near = np.zeros((len(places), len(share) + 2))
        np.add.at(near, (places[:, None], pasts.recent), 1)
        length = np.minimum(pasts.before, pasts.recent.shape[1])[:, None]
        found: NDArray[np.float64] = np.log((near[:, : len(share)] + 2 * share) / ((length + 2) * share))
        return found


def _gains(
    pasts: Pasts, codes: Int[np.ndarray, " event"], owners: NDArray[np.int64], n_types: int
) -> Float[np.ndarray, " expert"]:
    """Nats per event by which each expert beats frequencies on a half of the sequences, known the other."""
    middle, found = np.median(owners), []
    for half in (owners <= middle, owners > middle):
        judged = np.flatnonzero(half)
        if not len(judged) or half.all():
            continue
        judged = judged[np.linspace(0, len(judged) - 1, min(len(judged), _JUDGED)).astype(np.int64)]
        said = ContextCounts(_part(pasts, ~half), codes[~half], n_types).said(_part(pasts, judged))
        log_probs = log_softmax(said.base + said.ratios, axis=2)
        chosen = codes[judged]
        found.append((log_probs[:, np.arange(len(judged)), chosen] - said.base[chosen]).mean(1))
    return np.mean(found, axis=0) if found else np.zeros(len(EXPERTS) + len(PAIRS))


def _part(pasts: Pasts, places: NDArray[Any]) -> Pasts:
    return Pasts(*(each[places] for each in pasts))


class _Tokens(NamedTuple):
    """What is known after each token.

    Attributes:
        code: Event type of the token; -1 if it is no event.
        events: How many events there were up to it.
        now: Seconds since the start, or the number of events.
        gap: Bin of the time that the token stands for; the number of bins for all but gaps.
    """

    code: Int[np.ndarray, "row pos"]
    events: Int[np.ndarray, "row pos"]
    now: Float[np.ndarray, "row pos"]
    gap: Int[np.ndarray, "row pos"]

    @classmethod
    def of(cls, ids: Int[np.ndarray, "row pos"], config: ContextConfig) -> "_Tokens":
        bins = len(config.gap_ids)
        code, gap = np.full(config.vocab_size, -1), np.full(config.vocab_size, bins)
        code[config.event_ids] = np.arange(len(config.event_ids))
        code[config.unknown_id] = len(config.event_ids)
        gap[config.gap_ids] = np.arange(bins)
        events = (code[ids] >= 0).cumsum(1)
        seconds = np.array([*config.gap_seconds, 0.0])[gap[ids]].cumsum(1) if bins else events.astype(np.float64)
        return cls(code[ids], events, seconds, gap[ids])

    def sequences(self) -> Sequences:
        """The events alone."""
        row, at = np.nonzero(self.code >= 0)
        shape = len(self.code), int(self.events.max(initial=1))
        codes, times = np.full(shape, -1), np.zeros(shape)
        where = row, self.events[row, at] - 1
        # Without times the first event is at 0, so that the one before is 1 ago.
        codes[where], times[where] = self.code[row, at], self.now[row, at]
        return Sequences(codes, times)

    def after(self, row: NDArray[np.int64], at: NDArray[np.int64], *, is_timed: bool) -> Places:
        """Places that follow some tokens."""
        return Places(row, self.events[row, at], self.now[row, at] + (not is_timed), self.gap[row, at])


class ContextForCausalLM(PreTrainedModel):
    """Predicts the next event of a sequence from what a log in its context tells."""

    config_class = ContextConfig
    base_model_prefix = "reader"
    main_input_name = "input_ids"

    def __init__(self, config: ContextConfig) -> None:
        super().__init__(config)
        self.mixers = nn.ModuleList(Mixer(config.hidden, config.narrow) for _ in range(config.members))
        self.register_buffer("tokens", torch.zeros(config.context_tokens, dtype=torch.int32))
        self.register_buffer("offsets", torch.zeros(config.context_sequences + 1, dtype=torch.int64))
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Nothing: the layers are initialised as they are made."""

    @torch.no_grad()
    def reading(
        self, tokens: Int[np.ndarray, " token"], offsets: Int[np.ndarray, " edge"], **vocabulary: Any
    ) -> "ContextForCausalLM":
        """The same network with a log in its context.

        Args:
            tokens: The sequences of the log as token ids, end to end.
            offsets: Where each starts, and the number of tokens at the end.
            vocabulary: Fields of ``ContextConfig`` that say what tokens mean.
        """
        config = ContextConfig(
            self.config.hidden, self.config.narrow, self.config.members, context_tokens=len(tokens),
            context_sequences=len(offsets) - 1, **vocabulary,
        )  # fmt: skip
        model = type(self)(config).eval()
        model.mixers.load_state_dict(self.mixers.state_dict())
        model.tokens.copy_(torch.from_numpy(tokens.astype(np.int32)))
        model.offsets.copy_(torch.from_numpy(offsets))
        return model

    def log_probs(self, inputs: Inputs) -> Float[Tensor, "place type"]:
        """Log-probability of every type: of the mean of all networks, in nats."""
        told = torch.stack([mixer(inputs).log_softmax(-1) for mixer in self.mixers])
        return told.logsumexp(0) - np.log(len(self.mixers))

    @classmethod
    def joined(cls, models: Sequence["ContextForCausalLM"]) -> "ContextForCausalLM":
        """One model of all networks of several, of the same size, with nothing in its context."""
        config = models[0].config
        mixers = [mixer for model in models for mixer in model.mixers]
        found = cls(ContextConfig(config.hidden, config.narrow, len(mixers))).eval()
        for own, other in zip(found.mixers, mixers, strict=True):
            own.load_state_dict(other.state_dict())
        return found

    @cached_property
    def context(self) -> Context | None:
        """The log in the context, counted; None where there is none."""
        ids, offsets = self.tokens.cpu().numpy(), self.offsets.cpu().numpy()
        lengths = np.diff(offsets)
        padded = np.full((len(lengths), int(lengths.max(initial=1))), self.config.pad_token_id or 0)
        row = np.repeat(np.arange(len(lengths)), lengths)
        padded[row, np.arange(len(ids)) - offsets[row]] = ids
        pasts, codes, owners = pasts_in(padded, self.config)
        return Context(pasts, codes, owners, len(self.config.event_ids)) if len(codes) else None

    @cached_property
    def gap_shares(self) -> Float[np.ndarray, "code gap"]:
        """Log share of each gap after each type, the unknown one included; drawn to that after all."""
        ids, bins = self.tokens.cpu().numpy(), len(self.config.gap_ids)
        tokens = _Tokens.of(ids[None], self.config)
        at = np.flatnonzero(tokens.gap[0, 1:] < bins)
        counts = np.zeros((len(self.config.event_ids) + 1, bins))
        np.add.at(counts, (tokens.code[0, at], tokens.gap[0, at + 1]), 1)
        share = (counts.sum(0) + 1) / (counts.sum() + bins)
        found: NDArray[np.float64] = np.log((counts + share) / (counts.sum(1, keepdims=True) + 1))
        return found

    @torch.no_grad()
    def forward(self, input_ids: Tensor, **kwargs: Any) -> CausalLMOutput:
        """Logits after every token: of events, or of times where a time is written before the next event."""
        config, ids = self.config, input_ids.cpu().numpy()
        tokens = _Tokens.of(ids, config)
        logits = torch.full((*ids.shape, config.vocab_size), _NEVER)
        is_asked = (tokens.code < 0) if config.gap_ids else np.ones(ids.shape, dtype=bool)
        row, at = np.nonzero(is_asked & (ids != (config.pad_token_id or 0)))
        if config.gap_ids:
            rows, places = np.nonzero(~is_asked)
            values = torch.from_numpy(self.gap_shares[tokens.code[rows, places]]).float()
            logits[rows[:, None], places[:, None], config.gap_ids] = values
        if self.context is not None and len(row):
            sequences = tokens.sequences()
            for some in np.array_split(np.arange(len(row)), self._parts(len(row))):
                after = tokens.after(row[some], at[some], is_timed=bool(config.gap_ids))
                inputs = self.context.inputs(pasts_of(sequences, after, len(config.event_ids)))
                logits[row[some, None], at[some, None], config.event_ids] = self.log_probs(inputs)
        return CausalLMOutput(logits=logits.to(input_ids.device))

    def _parts(self, places: int) -> int:
        return max(1, -(-places * len(self.config.event_ids) * (len(EXPERTS) + RECENT) // _ENTRIES))


def pasts_in(
    ids: Int[np.ndarray, "row pos"], config: ContextConfig
) -> tuple[Pasts, Int[np.ndarray, " event"], NDArray[np.int64]]:
    """What came before each known event of some sequences, its type, and its sequence.

    Args:
        ids: Token ids, padded at the end.
        config: What they mean.
    """
    tokens, n_types = _Tokens.of(ids, config), len(config.event_ids)
    row, at = np.nonzero((tokens.code[:, 1:] >= 0) & (tokens.code[:, 1:] < n_types))
    places = tokens.after(row, at, is_timed=bool(config.gap_ids))
    return pasts_of(tokens.sequences(), places, n_types), tokens.code[row, at + 1], row


AutoConfig.register(ContextConfig.model_type, ContextConfig, exist_ok=True)
AutoModelForCausalLM.register(ContextConfig, ContextForCausalLM, exist_ok=True)
