"""Which token ids a variable is written with. Made by a tokenizer, read by whoever asks a model about variables."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class VariableTokens:
    """Token ids of one variable.

    Attributes:
        start: The token that announces it.
        values: Finite variables: one token per value, in the order of their codes. Others: every token that an
            item or a piece of text may be.
        end: Others: the token that ends the value; None for finite variables, whose value is one token.
        max_length: Others: most tokens before ``end``.
    """

    start: int
    values: NDArray[np.int64]
    end: int | None = None
    max_length: int = 1

    @property
    def is_finite(self) -> bool:
        """Whether a value is a single token."""
        return self.end is None

    @property
    def allowed(self) -> NDArray[np.int64]:
        """Everything that may follow ``start`` and the tokens of an unfinished value; ``end`` is last."""
        return self.values if self.end is None else np.append(self.values, self.end)


Content = tuple[int, ...]
"""Token ids of one value, the ending token included."""
