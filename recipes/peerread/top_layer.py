"""LoRA in the last layer of a pretrained model, with everything below computed once for all data sets.

A row is the abstract, "Treated: no" or "Treated: yes", and "Accepted:". Adapters sit in the queries, the output and the
feed-forward part of the last layer, so keys and values of the abstract are the same in every training; they are kept,
and a step reads them instead of the text. What comes out is what the whole model with these adapters says.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from abstracts import Abstracts, Codes, Floats, Outcomes
from estimators import Predictions
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, DynamicCache, PreTrainedModel

LONGEST = 256  # tokens of an abstract that are read
NAMES, VALUES = ("\nTreated:", "\nAccepted:"), (" no", " yes")
_TARGETS = {
    "llama": ["q_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    "bert": ["query", "attention.output.dense", "intermediate.dense", "layer.0.output.dense"],
}


@dataclass(frozen=True)
class Written:
    """Abstracts as the last layer meets them.

    Attributes:
        keys: Of all tokens of all abstracts, one after another, ``[token, head, channel]``.
        values: Likewise.
        begins: Where each abstract begins among them; one more number says where the last ends.
        tails: What enters the last layer after the abstract, ``[abstract, arm, slot, channel]``: the announcement of
            the treatment, its value, the announcement of the outcome.
        treated_slot: Slot after which the treatment comes.
    """

    keys: Tensor
    values: Tensor
    begins: Codes
    tails: Tensor
    treated_slot: int

    @property
    def lengths(self) -> Codes:
        """Tokens of every abstract."""
        return np.diff(self.begins)

    def places(self, rows: Codes) -> tuple[Tensor, Tensor]:
        """Where the tokens of abstracts are, padded, and which of them are there, ``[row, token]``."""
        lengths = torch.from_numpy(self.lengths[rows])
        widest = int(lengths.max())
        there = torch.arange(widest)[None] < lengths[:, None]
        return torch.from_numpy(self.begins[rows])[:, None] + torch.arange(widest)[None] * there, there

    def batch(self, rows: Codes, arms: Codes) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Tails, padded keys and values, and which of them are there."""
        place, there = self.places(rows)
        keys, values = (part[place].transpose(1, 2).float() for part in (self.keys, self.values))
        return self.tails[torch.from_numpy(rows), torch.from_numpy(arms)].float(), keys, values, there


def load(path: str, gguf: str | None = None) -> tuple[PreTrainedModel, object]:
    """A causal language model, from an encoder's checkpoint too, and its tokenizer."""
    options = {} if gguf is None else {"gguf_file": gguf}
    config = AutoConfig.from_pretrained(path, **options)
    config.is_decoder = True
    model = AutoModelForCausalLM.from_pretrained(path, config=config, dtype=torch.float32, **options)
    return model.eval(), AutoTokenizer.from_pretrained(path, **options)


@dataclass(frozen=True)
class Row:
    """Tokens of a row, after those of the abstract.

    Attributes:
        before: Tokens before the abstract.
        announced: "Treated:".
        values: "no" and "yes".
        outcome: "Accepted:".
    """

    before: list[int]
    announced: list[int]
    values: list[int]
    outcome: list[int]

    @classmethod
    def of(cls, tokenizer) -> "Row":
        """In the words of a tokenizer."""

        def ids(text: str) -> list[int]:
            return tokenizer(text, add_special_tokens=False)["input_ids"]

        before = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.cls_token_id
        return cls([before], ids(NAMES[0]), [ids(value)[-1] for value in VALUES], ids(NAMES[1]))

    def tail(self, arm: int) -> list[int]:
        """What comes after the abstract."""
        return [*self.announced, self.values[arm], *self.outcome]


@torch.inference_mode()
def write(abstracts: Abstracts, model: PreTrainedModel, tokenizer, *, at_once: int = 16) -> Written:
    """Read all abstracts, those of equal length together."""
    row = Row.of(tokenizer)
    texts = [
        [*row.before, *tokenizer(text, add_special_tokens=False)["input_ids"][:LONGEST]] for text in abstracts.texts
    ]
    lengths = np.array([len(text) for text in texts])
    begins = np.concatenate([[0], np.cumsum(lengths)])
    parts: dict[str, Tensor] = {}
    for rows in _alike(lengths, at_once):
        ids = torch.tensor([texts[number] for number in rows])
        keys, values, tails = _read(model, ids, [row.tail(0), row.tail(1)])
        if not parts:
            shape = (int(begins[-1]), keys.shape[1], keys.shape[3])
            parts = {name: torch.empty(shape, dtype=torch.float16) for name in ("keys", "values")}
            parts["tails"] = torch.empty((len(texts), *tails.shape[1:]), dtype=torch.float16)
        for place, number in enumerate(rows):
            span = slice(begins[number], begins[number + 1])
            parts["keys"][span] = keys[place].transpose(0, 1).half()
            parts["values"][span] = values[place].transpose(0, 1).half()
            parts["tails"][number] = tails[place].half()
    return Written(begins=begins, treated_slot=len(row.announced) - 1, **parts)


def _alike(lengths: Codes, at_once: int) -> Iterator[Codes]:
    for length in np.unique(lengths)[::-1]:
        rows = np.flatnonzero(lengths == length)
        yield from (rows[first : first + at_once] for first in range(0, len(rows), at_once))


def _read(model: PreTrainedModel, ids: Tensor, tails: list[list[int]]) -> tuple[Tensor, Tensor, Tensor]:
    """Keys and values of the last layer, and for each tail what enters that layer."""
    body = model.base_model
    cache = body(input_ids=ids, use_cache=True).past_key_values
    found = []
    keys, values = (part.clone() for part in (cache.layers[-1].keys, cache.layers[-1].values))
    for tail in tails:
        after = torch.tensor(tail).repeat(len(ids), 1)
        read = body(input_ids=after, past_key_values=cache, use_cache=True, output_hidden_states=True)
        found.append(read.hidden_states[-2])
        cache.crop(-len(tail))
    return keys, values, torch.stack(found, dim=1)


class TopLayer(nn.Module):
    """The last layer with adapters, and the output rows of "no" and "yes"; of an encoder, what is before them too."""

    def __init__(self, model: PreTrainedModel, row: Row) -> None:
        super().__init__()
        from peft import LoraConfig, inject_adapter_in_model

        self.kind = model.config.model_type
        layers = model.base_model.encoder.layer if self.kind == "bert" else model.base_model.layers
        holder = nn.Module()
        holder.layer = nn.ModuleList([layers[-1]])
        attention = holder.layer[0].attention.self if self.kind == "bert" else holder.layer[0].self_attn
        attention.layer_idx = 0
        model.requires_grad_(False)
        config = LoraConfig(r=8, lora_alpha=16, target_modules=_TARGETS[self.kind])
        self.holder = inject_adapter_in_model(config, holder)
        self.rotary = getattr(model.base_model, "rotary_emb", None)
        self.norm = model.cls.predictions.transform if self.kind == "bert" else model.base_model.norm
        self.norm.requires_grad_(self.kind == "bert")  # the checkpoint of an encoder lacks it
        output = model.get_output_embeddings()
        self.rows = nn.Parameter(output.weight[row.values].detach().clone())
        bias = getattr(output, "bias", None)
        self.bias = nn.Parameter(torch.zeros(2) if bias is None else bias[row.values].detach().clone())

    def forward(self, tails: Tensor, keys: Tensor, values: Tensor, there: Tensor) -> Tensor:
        """Log-odds of "yes" after every slot, ``[row, slot]``."""
        rows, slots = tails.shape[:2]
        cache = DynamicCache()
        cache.update(keys, values, 0)
        causal = torch.ones(slots, slots, dtype=torch.bool).tril()
        seen = torch.cat([there[:, None].expand(-1, slots, -1), causal.expand(rows, -1, -1)], dim=2)[:, None]
        mask = torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min)
        options = {"attention_mask": mask, "past_key_values": cache}
        if self.rotary is not None:
            positions = there.sum(1)[:, None] + torch.arange(slots)[None]
            options |= {"position_ids": positions, "position_embeddings": self.rotary(tails, positions)}
        out = self.holder.layer[0](tails, **options)
        out = self.norm(out[0] if isinstance(out, tuple) else out)
        logits = out @ self.rows.T + self.bias
        return logits[..., 1] - logits[..., 0]


@dataclass
class Adapted:
    """A pretrained model adapted to each data set anew, in its last layer.

    Attributes:
        name: In the tables.
        folder: Of the pretrained model.
        written: The abstracts.
        gguf: Name of its file where it is in that format.
        epochs: Passes over the other folds.
        learning_rate: Of the adapters and the value rows.
    """

    name: str
    folder: str
    written: Written
    gguf: str | None = None
    epochs: int = 3
    learning_rate: float = 2e-3
    folds: int = 2

    def predict(self, outcomes: Outcomes, fold: Codes, seed: int) -> Predictions:
        """Cross-fitted, see ``estimators.Predictor``."""
        found = np.empty((3, len(fold)))
        for number in range(self.folds):
            torch.manual_seed(seed * self.folds + number)
            model, tokenizer = load(self.folder, self.gguf)
            top = TopLayer(model, Row.of(tokenizer))
            self.fit(top, np.flatnonzero(fold != number), outcomes, seed)
            mine = np.flatnonzero(fold == number)
            found[:, mine] = self.said(top, mine)
        return Predictions(*found)

    def fit(self, top: TopLayer, rows: Codes, outcomes: Outcomes, seed: int, watch=None) -> None:
        """Maximum likelihood of treatment and outcome."""
        trained = [parameter for parameter in top.parameters() if parameter.requires_grad]
        optimiser = torch.optim.AdamW(trained, lr=self.learning_rate, weight_decay=0.01)
        parts = [
            part
            for epoch in range(self.epochs)
            for part in batches(self.written.lengths, rows, np.random.default_rng([seed, epoch]))
        ]
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, self.learning_rate, len(parts) + 1)
        loss_of = nn.functional.binary_cross_entropy_with_logits
        for step, part in enumerate(parts):
            odds = top(*self.written.batch(part, outcomes.treated[part]))
            wanted = [torch.from_numpy(each[part]).float() for each in (outcomes.treated, outcomes.accepted)]
            loss = loss_of(odds[:, self.written.treated_slot], wanted[0]) + loss_of(odds[:, -1], wanted[1])
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(trained, 1.0)
            optimiser.step()
            schedule.step()
            if watch is not None:
                watch(step, float(loss.detach()))

    @torch.inference_mode()
    def said(self, top: TopLayer, rows: Codes) -> Floats:
        """Propensity and probability of acceptance without and with the treatment, ``[3, row]``."""
        found = []
        for part in np.array_split(rows, max(1, len(rows) // 64)):
            arms = [top(*self.written.batch(part, np.full(len(part), arm))).sigmoid() for arm in (0, 1)]
            columns = [arms[0][:, self.written.treated_slot], arms[0][:, -1], arms[1][:, -1]]
            found.append(torch.stack(columns).double().numpy())
        return np.concatenate(found, axis=1)


def batches(lengths: Codes, rows: Codes, rng: np.random.Generator) -> list[Codes]:
    """Rows of like lengths together, some 32 at a time, in random order."""
    order = np.argsort(lengths[rows] + rng.random(len(rows)) * 40)
    parts = np.array_split(rows[order], max(1, len(rows) // 32))
    return [parts[number] for number in rng.permutation(len(parts))]


def kept(path: Path, make) -> Written:
    """What was written before, or is now."""
    if path.exists():
        return Written(**torch.load(path, weights_only=False))
    written = make()
    torch.save(vars(written), path)
    return written
