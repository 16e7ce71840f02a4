"""Rows of tokens that grow step by step, and sampled futures made of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor
from transformers import DynamicCache

from hf_trace.errors import ContextLengthError, NonFiniteError
from hf_trace.oracle.engine import Oracle, token_bytes
from hf_trace.oracle.proposals import invert
from hf_trace.oracle.readers import FullRowReader, SharedPastReader

_TOLERANCE = 1e-4


class Walk:
    """Rows that are read token by token.

    Args:
        oracle: The frozen model.
        rows: How many rows there are at first; all are empty.

    Example:
        >>> walk = Walk(oracle, 1)  # doctest: +SKIP
        >>> walk.read(torch.tensor([[1, 5]]))  # doctest: +SKIP
        >>> walk.select(torch.tensor([0, 0]))  # doctest: +SKIP
        >>> walk.log_probs(torch.tensor([6, 7]))  # doctest: +SKIP
    """

    def __init__(self, oracle: Oracle, rows: int = 1) -> None:
        self.oracle = oracle
        device = oracle.device
        self.ids = torch.empty((rows, 0), dtype=torch.long, device=device)
        self.present = torch.empty((rows, 0), dtype=torch.bool, device=device)
        self.last: Tensor | None = None
        keeps_past = isinstance(oracle.reader, SharedPastReader)
        self.cache: DynamicCache | None = DynamicCache() if keeps_past else None

    def __len__(self) -> int:
        return len(self.ids)

    @torch.inference_mode()
    def read(
        self, tokens: Int[Tensor, "row slot"], present: Bool[Tensor, "row slot"] | None = None
    ) -> Shaped[Tensor, "row slot feature"]:
        """Read a step of every row.

        Args:
            tokens: What comes next in each row.
            present: Which slots hold a token; all by default.

        Returns:
            What the output head needs to predict the token after each slot; anything where a slot is empty.

        Raises:
            ContextLengthError: If rows get longer than the model can read.
        """
        tokens = tokens.to(self.oracle.device)
        given = torch.ones_like(tokens, dtype=torch.bool) if present is None else present.to(tokens.device)
        self.ids = torch.cat([self.ids, tokens], dim=1)
        self.present = torch.cat([self.present, given], dim=1)
        self._check_length()
        if self.cache is not None and not given.all() and not _reads_gaps(self.oracle):
            self.cache = None
        features = self._read_kept(tokens) if self.cache is not None else self._read_whole(tokens.shape[1])
        self._remember(features, given)
        return features

    def _remember(self, features: Tensor, given: Tensor) -> None:
        """Keep the features of the last token of every row."""
        slots = torch.arange(1, given.shape[1] + 1, device=given.device)
        final = (given * slots).argmax(dim=1)
        newest = features[torch.arange(len(features), device=features.device), final]
        if self.last is not None and not (read := given.any(dim=1)).all():
            newest = torch.where(read[:, None], newest, self.last)
        self.last = newest

    def select(self, rows: Int[Tensor, " row"]) -> None:
        """Keep these rows, in this order; a row may be taken several times."""
        rows = rows.to(self.oracle.device)
        self.ids, self.present = self.ids[rows], self.present[rows]
        if self.last is not None:
            self.last = self.last[rows]
        if self.cache is not None and self.ids.shape[1]:
            self.cache.batch_select_indices(rows)

    @torch.inference_mode()
    def log_probs(self, candidates: Int[Tensor, " token"]) -> Float[Tensor, "row token"]:
        """Log-probability, in nats and float64, of each candidate after each row, where nothing else may follow.

        Raises:
            NonFiniteError: If the model returns NaN.
        """
        if self.last is None:
            raise ValueError("Nothing was read yet.")
        return self.scores(self.last, candidates).log_softmax(-1)

    @torch.inference_mode()
    def log_mass(self, candidates: Int[Tensor, " token"]) -> Float[Tensor, " row"]:
        """Log of the probability that the next token is one of the candidates, were everything allowed."""
        if self.last is None:
            raise ValueError("Nothing was read yet.")
        everything = torch.arange(self.oracle.vocab_size)
        allowed = self.scores(self.last, candidates).logsumexp(-1)
        return allowed - self.scores(self.last, everything).logsumexp(-1)

    @torch.inference_mode()
    def scores(
        self, features: Shaped[Tensor, "*some feature"], candidates: Int[Tensor, " token"]
    ) -> Float[Tensor, "*some token"]:
        """Logits of the candidates, in float64 and on the CPU."""
        flat = features.flatten(0, -2)
        logits = self.oracle.head.candidate_logits(flat, candidates.to(flat.device)).double().cpu()
        if torch.isnan(logits).any():
            raise NonFiniteError("The model returned NaN logits, expected finite ones. Load it with dtype='float32'.")
        return logits.view(*features.shape[:-1], -1)

    def _check_length(self) -> None:
        limit = self.oracle.context_length
        longest = int(self.present.sum(1).max()) if len(self.present) else 0
        if limit is not None and longest > limit:
            raise ContextLengthError(
                f"A row has {longest} tokens, the model reads at most {limit}. Shorten texts and sequences, or train "
                "with a longer context."
            )

    def _read_kept(self, tokens: Tensor) -> Tensor:
        slots = tokens.shape[1]
        known = {}
        if not self.present.all():
            positions = (self.present.cumsum(1) - 1).clamp(min=0)[:, -slots:]
            offset = getattr(self.oracle.reader, "position_offset", 0)
            known = {"attention_mask": self.present.long(), "position_ids": positions + offset}
        body = self.oracle.model.base_model
        return body(input_ids=tokens, past_key_values=self.cache, use_cache=True, **known)[0]

    def _read_whole(self, slots: int) -> Tensor:
        """Read the rows again from their first token, those of one length together."""
        oracle, lengths = self.oracle, self.present.sum(1)
        place = (self.present.cumsum(1) - 1).clamp(min=0)[:, -slots:]
        features: Tensor | None = None
        for length in lengths.unique().tolist():
            for rows in (lengths == length).nonzero()[:, 0].split(self._rows_at_once(length)):
                compact = self.ids[rows][self.present[rows]].view(len(rows), length)
                whole = oracle.reader.read(compact).features
                index = place[rows][..., None].expand(-1, -1, whole.shape[-1])
                if features is None:
                    features = whole.new_zeros((len(self.ids), slots, whole.shape[-1]))
                features[rows] = whole.gather(1, index)
        if features is None:
            raise ValueError("There are no rows to read.")
        return features

    def _rows_at_once(self, length: int) -> int:
        cost = token_bytes(self.oracle.model.config, length)
        if isinstance(self.oracle.reader, FullRowReader):
            cost += 8 * self.oracle.vocab_size
        return max(1, self.oracle.budget // (cost * max(1, length)))


@torch.inference_mode()
def _reads_gaps(oracle: Oracle) -> bool:
    """Whether a row with an empty slot is read as if the slot were not there; found out once per oracle."""
    known = getattr(oracle, "_reads_gaps", None)
    if known is None:
        known = _gap_changes(oracle) <= _TOLERANCE
        oracle._reads_gaps = known  # type: ignore[attr-defined]
    return known


def _gap_changes(oracle: Oracle) -> float:
    """Largest change of a feature, relative to the largest feature, that an empty slot brings about."""
    device = oracle.device
    tokens = torch.arange(1, 7, device=device).remainder(oracle.vocab_size)[None]
    body, offset = oracle.model.base_model, getattr(oracle.reader, "position_offset", 0)
    try:
        plain = body(input_ids=tokens)[0][:, -2:]
        cache = DynamicCache()
        first = torch.cat([tokens[:, :4], tokens[:, :1]], dim=1)
        mask = torch.tensor([[1, 1, 1, 1, 0]], device=device)
        positions = torch.tensor([[0, 1, 2, 3, 3]], device=device) + offset
        body(input_ids=first, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True)
        mask = torch.tensor([[1, 1, 1, 1, 0, 1, 1]], device=device)
        positions = torch.tensor([[4, 5]], device=device) + offset
        gapped = body(
            input_ids=tokens[:, 4:], attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True
        )[0]
    except (TypeError, ValueError, RuntimeError, IndexError, AttributeError):
        return float("inf")
    return float((plain - gapped).abs().max() / plain.abs().max().clamp(min=1e-12))


# Rows that need not go on are dropped when so many are left: dropping copies what the others remember.
_MOST_GOING = 0.8


@dataclass(frozen=True)
class Slots:
    """Which tokens may stand where: events alone, or events with the time between them in turn.

    Attributes:
        events: Tokens of event types.
        gaps: Tokens of gap bins; empty where no time is written.
        gap_seconds: What each gap token stands for.
    """

    events: Int[Tensor, " type"]
    gaps: Int[Tensor, " bin"]
    gap_seconds: Float[Tensor, " bin"]

    @property
    def tokens_per_event(self) -> int:
        """Tokens that one more event costs."""
        return 2 if len(self.gaps) else 1


@dataclass(frozen=True)
class Step:
    """One event slot of all rows.

    Attributes:
        probabilities: Of every event type in this slot, given all before it in its row.
        event: Index of the type that was sampled.
        seconds: Time since the last token of the row that was given; 0 where no time is written.
        row: Which of the rows asked for these are: all, unless some need not go on.
    """

    probabilities: Float[Tensor, "row type"]
    event: Int[Tensor, " row"]
    seconds: Float[Tensor, " row"]
    row: Int[Tensor, " row"]


def sample_futures(
    oracle: Oracle,
    context: Int[Tensor, "context pos"],
    last: Int[Tensor, "context sample"],
    slots: Slots,
    uniforms: Float[Tensor, "context sample slot"],
    *,
    present: Bool[Tensor, "context pos"] | None = None,
    least_gap: Int[Tensor, " context"] | None = None,
    finished: Callable[[], Bool[Tensor, " row"]] | None = None,
) -> Iterator[Step]:
    """Continue every context after each of its last tokens, an event slot at a time.

    Args:
        oracle: The frozen model.
        context: Tokens that are read once for all rows of a context.
        last: Event tokens that end the given part of each row.
        slots: What may follow.
        uniforms: A number in [0, 1) for every token to sample; they decide how many.
        present: Where contexts of several lengths hold a token; the first slots do.
        least_gap: Shortest gap bin that may follow the last token of each context: so long nothing has happened.
        finished: Asked after each step which of all rows need not go on; some of those are left out from then on.

    Yields:
        A ``Step`` for each event; rows of a context are adjacent.

    Raises:
        ContextLengthError: If context and continuation are longer than the model can read.
    """
    longest = context.shape[1] if present is None else int(present.sum(1).max())
    needed = longest + uniforms.shape[2]
    if oracle.context_length is not None and needed > oracle.context_length:
        raise ContextLengthError(
            f"A context of {longest} tokens and a continuation of {uniforms.shape[2]} are longer than the "
            f"{oracle.context_length} that the model reads. Cut the contexts or shorten the horizon."
        )
    tokens = last.flatten().to(oracle.device)
    numbers = uniforms.flatten(0, 1)
    seconds = torch.zeros(len(tokens))
    walk = Walk(oracle, len(context))
    walk.read(context, present)
    walk.select(torch.arange(len(context)).repeat_interleave(last.shape[1]))
    per_event = slots.tokens_per_event
    rows = torch.arange(len(tokens))
    for slot in range(uniforms.shape[2] // per_event):
        if per_event == 2:
            walk.read(tokens[:, None])
            bins = walk.log_probs(slots.gaps).exp()
            if slot == 0 and least_gap is not None:
                shortest = least_gap.repeat_interleave(last.shape[1])[:, None]
                bins = bins.masked_fill(torch.arange(bins.shape[1]) < shortest, 0)
            drawn = invert(bins, numbers[rows, 2 * slot, None])[:, 0]
            seconds = seconds + slots.gap_seconds[drawn]
            tokens = slots.gaps[drawn].to(oracle.device)
        walk.read(tokens[:, None])
        probabilities = walk.log_probs(slots.events).exp()
        event = invert(probabilities, numbers[rows, per_event * slot + per_event - 1, None])[:, 0]
        tokens = slots.events[event].to(oracle.device)
        yield Step(probabilities, event, seconds, rows)
        going = None if finished is None else ~finished()[rows]
        if going is not None and float(going.float().mean()) < _MOST_GOING:
            if not bool(going.any()):
                return
            walk.select(going.nonzero()[:, 0])
            rows, seconds, tokens = rows[going], seconds[going], tokens[going.to(tokens.device)]
