"""Which event types are one cause and one effect, such as all values of a signal."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int
from numpy.typing import NDArray

from hf_trace.errors import SettingsError, preview
from hf_trace.logs.places.near_names import near_name, plain_name
from hf_trace.logs.states.state_names import fitting_states


@dataclass(frozen=True, eq=False)
class Variables:
    """Groups of event types, each taken out and predicted as one; a type that is in no group is one of its own.

    Attributes:
        names: Of the variables.
        of_type: Variable of every event type.
        token_ids: Token of every event type.
    """

    names: tuple[str, ...]
    of_type: NDArray[np.int64]
    token_ids: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        event_types: Sequence[str],
        token_ids: NDArray[np.int64],
        patterns: Sequence[str] = (),
        is_near: Bool[np.ndarray, " type"] | None = None,
    ) -> "Variables":
        """The variables that patterns make of event types.

        Args:
            event_types: Their names.
            token_ids: Their tokens.
            patterns: See ``variable_names``.
            is_near: See ``variable_names``.

        Raises:
            SettingsError: See ``variable_names``.
        """
        owners = variable_names(event_types, patterns, is_near)
        names = tuple(dict.fromkeys(owners))
        place = {name: number for number, name in enumerate(names)}
        return cls(names, np.array([place[name] for name in owners], dtype=np.int64), token_ids)

    def of_token(self, tokens: Int[np.ndarray, " token"]) -> Int[np.ndarray, " token"]:
        """The variable of each token; -1 for those that are no event type."""
        table = np.full(max(self.token_ids.max(initial=0), tokens.max(initial=0)) + 1, -1)
        table[self.token_ids] = self.of_type
        found: NDArray[np.int64] = table[tokens]
        return found


def variable_names(
    event_types: Sequence[str], patterns: Sequence[str], is_near: Bool[np.ndarray, " type"] | None = None
) -> list[str]:
    """The variable that each event type is a value of; its own name where no pattern fits.

    Args:
        event_types: Their names.
        patterns: ``pump=*`` makes one variable ``pump`` of all types whose names begin with ``pump=``, ``*=*`` one of
            all types with the same text before the last ``=``. The last ``*`` stands for the value.
        is_near: Which types are of neighbours, ``<near:X>``: patterns are for their plain names, and near a place they
            are a variable of their own.

    Raises:
        SettingsError: If a pattern has no ``*``, fits no name, or makes one variable of all types.

    Example:
        >>> variable_names(["pump=on", "pump=off", "valve=up", "alarm"], ["*=*"])
        ['pump', 'pump', 'valve', 'alarm']
    """
    if is_near is not None and is_near.any():
        plain = [plain_name(name) if near else name for name, near in zip(event_types, is_near, strict=True)]
        owners = variable_names(plain, patterns)
        return [near_name(name) if near else name for name, near in zip(owners, is_near, strict=True)]
    owner = {name: name for name in event_types}
    for pattern in patterns:
        owner |= {name: state.variable for name, state in fitting_states(event_types, pattern).items()}
    owners = [owner[name] for name in event_types]
    if patterns and len(set(owners)) == 1:
        raise SettingsError(
            f"variable is {preview(patterns)}, which makes one variable of all {len(event_types):,} event types, so "
            "that nothing is left to be caused. Expected a pattern that fits some, such as 'pump=*'."
        )
    return owners
