"""Rows of tokens that grow step by step: what they have in common is read once, what follows is read as it comes.

Rows may take steps of unequal length: a step is as wide as its longest, and the others leave slots empty. An empty
slot is no token: nothing attends to it and it moves no position.
"""

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor
from transformers import DynamicCache

from hf_trace.errors import ContextLengthError, NonFiniteError
from hf_trace.scoring.memory import token_bytes
from hf_trace.scoring.oracle import Oracle
from hf_trace.scoring.readers import FullRowReader, SharedPastReader

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
            raise NonFiniteError(
                "The model returned NaN logits, expected finite ones. Load it with dtype='float32'."
            )
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
        body(
            input_ids=first,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
        )
        mask = torch.tensor([[1, 1, 1, 1, 0, 1, 1]], device=device)
        positions = torch.tensor([[4, 5]], device=device) + offset
        gapped = body(
            input_ids=tokens[:, 4:],
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
        )[0]
    except (TypeError, ValueError, RuntimeError, IndexError, AttributeError):
        return float("inf")
    return float((plain - gapped).abs().max() / plain.abs().max().clamp(min=1e-12))
