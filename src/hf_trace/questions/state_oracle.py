"""How probable a state is beside the states of the other variables, by a language model of snapshots."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from hf_trace.options import SEED
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.walks import Walk
from hf_trace.tokenizers.dag_tokenizer import DagTokenizer

Snapshot = Mapping[str, str]


@dataclass(frozen=True, eq=False)
class SnapshotOracle:
    """A model of snapshots, each written variable by variable in an order drawn anew.

    What a snapshot does not tell is left out, so that nothing need be assumed of it.

    Attributes:
        oracle: The frozen model.
        tokenizer: The variables that it knows, and their values.
        seed: Seed of the orders.
    """

    oracle: Oracle
    tokenizer: DagTokenizer
    seed: int = SEED.default

    def values(self, variable: str) -> tuple[str, ...]:
        """The values that the model knows of a variable; empty where it does not know it."""
        return self.tokenizer.schema[variable].values if variable in self.tokenizer.variables else ()

    def log_probs(self, asked: Sequence[tuple[str, Snapshot]]) -> list[NDArray[np.float64]]:
        """Log-probabilities, in nats, of all values of variables given the others of a snapshot.

        Args:
            asked: Known variables, each with a snapshot; what that says of the variable itself is not read.

        Returns:
            One number per value of ``values``, for each that is asked.
        """
        if not asked:
            return []
        generator = np.random.default_rng(self.seed)
        rows = [self._written(variable, snapshot, generator) for variable, snapshot in asked]
        lengths = torch.tensor([len(row) for row in rows])
        ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
        walk = Walk(self.oracle, len(rows))
        walk.read(ids, torch.arange(ids.shape[1])[None] < lengths[:, None])
        tokens = [torch.from_numpy(self.tokenizer.variables[variable].values) for variable, _ in asked]
        wanted = torch.cat(tokens).unique()
        scores = walk.scores(walk.last, wanted)  # type: ignore[arg-type]
        return [
            row[torch.searchsorted(wanted, own)].log_softmax(-1).numpy()
            for row, own in zip(scores, tokens, strict=True)
        ]

    def _written(self, variable: str, snapshot: Snapshot, generator: np.random.Generator) -> list[int]:
        known = self.tokenizer.variables
        schema = self.tokenizer.schema
        told = [name for name in known if name != variable and snapshot.get(name) in schema[name].values]
        row = list(self.tokenizer.begin)
        for place in generator.permutation(len(told)):
            tokens = known[told[place]]
            code = schema[told[place]].values.index(snapshot[told[place]])
            row += [tokens.start, int(tokens.values[code])]
        return [*row, known[variable].start]
