"""Counts as a language model: what a model of a table would say if training were perfect, in milliseconds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from hf_trace.effects.conditionals import Conditionals
from hf_trace.effects.table_model import TableModel
from hf_trace.oracle.engine import Oracle
from hf_trace.runs.members import Folds
from hf_trace.tables.binning import BINNING, Binning
from hf_trace.tables.encoding import DagTable, encode_table
from hf_trace.tables.inference import infer_schema
from hf_trace.tokenizers.dag_tokenizer import DagTokenizer

FLOOR = -60.0
# Rows that training adds wherever parents were seen to have certain values; see ``DagTrainingSettings``.
SMOOTHING, OTHER = 0.5, 0.1


class CountedConfig(PretrainedConfig):
    """Of a ``CountedLM``."""

    model_type = "counted_lm"

    def __init__(self, vocab_size: int = 8, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.vocab_size = vocab_size


class CountedLM(PreTrainedModel):
    """Predicts every variable from its parents, as often as it was seen with them.

    Args:
        config: With the size of the vocabulary.
        table: The rows that are counted.
        tokenizer: How they are written.
    """

    config_class = CountedConfig
    _supports_sdpa = True

    def __init__(self, config: CountedConfig, table: DagTable, tokenizer: DagTokenizer) -> None:
        super().__init__(config)
        self.anchor = torch.nn.Parameter(torch.zeros(1))
        self.meaning = {
            int(token): (name, code)
            for name, tokens in tokenizer.variables.items()
            for code, token in enumerate(tokens.values)
        }
        self.announced = {tokens.start: name for name, tokens in tokenizer.variables.items()}
        self.parents = {name: tokenizer.parents(name) for name in tokenizer.variables}
        self.logits = {name: self._counted(table, tokenizer, name) for name in tokenizer.variables}
        self.post_init()

    def _counted(self, table: DagTable, tokenizer: DagTokenizer, name: str) -> np.ndarray:
        """Logits of the next token, ``[value of a parent, …, token]``."""
        read = (*self.parents[name], name)
        counts = np.zeros([len(tokenizer.variables[each].values) for each in read])
        np.add.at(counts, tuple(np.asarray(table.columns[each]) for each in read), table.weights)
        near, schema = counts, tokenizer.schema
        ordered = [schema[parent].kind in ("numeric", "ordinal") for parent in self.parents[name]]
        for axis, has_order in enumerate(ordered):
            values = counts.shape[axis]
            weights = _nearness(values, has_order=has_order) if any(ordered) else np.ones((values, values))
            near = np.moveaxis(np.tensordot(weights, near, axes=(1, axis)), 0, axis)
        counts += SMOOTHING * (0.9 * near / near.sum(-1, keepdims=True) + 0.1 / counts.shape[-1])
        logits = np.full((*counts.shape[:-1], self.config.vocab_size), FLOOR)
        logits[..., tokenizer.variables[name].values] = np.log(counts / counts.sum(-1, keepdims=True))
        return logits

    def forward(self, input_ids: torch.Tensor, **kwargs: Any) -> CausalLMOutput:
        """The conditional of a variable where it is announced; elsewhere nothing is said."""
        logits = torch.zeros((*input_ids.shape, self.config.vocab_size), dtype=torch.float64)
        for row, ids in enumerate(input_ids.tolist()):
            known: dict[str, int] = {}
            for place, token in enumerate(ids):
                if token in self.meaning:
                    known.update([self.meaning[token]])
                elif (name := self.announced.get(token)) and all(each in known for each in self.parents[name]):
                    where = tuple(known[each] for each in self.parents[name])
                    logits[row, place] = torch.from_numpy(self.logits[name][where])
        return CausalLMOutput(logits=logits.float())


def _nearness(values: int, *, has_order: bool) -> np.ndarray:
    """How much a value of a parent says of another, as in training."""
    apart = np.abs(np.arange(values)[:, None] - np.arange(values))
    return np.exp(-(apart**2) / 2) if has_order else np.where(apart > 0, OTHER, 1.0)


@dataclass(frozen=True, eq=False)
class CountedModel(TableModel):
    """A run of a table, as ``hf-trace train --folds`` would leave it, but counted.

    Attributes:
        table: The rows.
        parts: How many folds.
    """

    table: DagTable = field(kw_only=True)
    parts: int = 5

    @classmethod
    def fitted(cls, graph: Any, frame: pd.DataFrame, bins: int, parts: int) -> "CountedModel":
        """Count a table."""
        schema = infer_schema(graph, frame, bins=bins)
        table, tokenizer = encode_table(schema, frame), DagTokenizer.from_schema(schema)
        return cls(_oracle(table, tokenizer), tokenizer, table=table, parts=parts)

    @cached_property
    def metrics(self) -> Mapping[str, Any]:  # type: ignore[override]
        """See ``TableModel``."""
        return {"rows": len(self.table), BINNING: Binning.of(self.table).to_dict()}

    @cached_property
    def folds(self) -> Folds:  # type: ignore[override]
        """See ``TableModel``."""
        return Folds(self.parts, 0, len(self.table))

    @cached_property
    def members(self) -> list[Conditionals]:
        """See ``TableModel``."""
        fold = self.folds.of_rows(len(self.table))
        return [
            self._conditionals(_oracle(self.table.select(fold != part), self.tokenizer)) for part in range(self.parts)
        ]


def _oracle(table: DagTable, tokenizer: DagTokenizer) -> Oracle:
    return Oracle(CountedLM(CountedConfig(vocab_size=len(tokenizer)), table, tokenizer))
