"""Items of a sequence as a user writes them, to their codes."""

import difflib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_trace.data.dags.cells import items_of
from hf_trace.data.dags.variables import Variable
from hf_trace.errors import QueryError


def item_codes(variable: Variable, raw: Any) -> NDArray[np.int64]:
    """Codes of the items of a sequence.

    Args:
        variable: Of kind ``"sequence"``.
        raw: A list of items, one item, a JSON list, or a text that is split at commas, else at blanks.

    Raises:
        QueryError: If an item is unknown; the message names the nearest.

    Example:
        >>> moves = Variable("moves", "sequence", values=("up", "down", "turn left"))
        >>> [item_codes(moves, raw).tolist() for raw in (["up", "down"], "down up", "up, turn left", "turn left", "")]
        [[0, 1], [1, 0], [0, 2], [2], []]
    """
    numbers = {value: code for code, value in enumerate(variable.values)}
    items = _items(raw, numbers)
    for item in items:
        if item not in numbers:
            raise QueryError(_unknown(variable, item))
    return np.array([numbers[item] for item in items], dtype=np.int64)


def _items(raw: Any, known: dict[str, int]) -> tuple[str, ...]:
    # An item may have blanks in it.
    return (raw,) if isinstance(raw, str) and raw in known else items_of(raw)


def _unknown(variable: Variable, item: str) -> str:
    near = difflib.get_close_matches(item, variable.values, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    shown = ", ".join(map(repr, variable.values[:8])) + (", …" if len(variable.values) > 8 else "")
    return f"{variable.name!r} has no item {item!r}, expected items of {shown}.{hint}"
