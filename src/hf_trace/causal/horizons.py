"""How far ahead an effect counts: in events, in seconds, or both."""

import re
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hf_trace.errors import SettingsError

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_EVENTS_PER_TIME = 16


@dataclass(frozen=True)
class Horizon:
    """The next so many events, and of those only the ones soon enough.

    Attributes:
        events: Most events ahead.
        seconds: Longest times ahead; an effect counts by the share of them it is within. Empty for any time.
    """

    events: int
    seconds: tuple[float, ...] = ()

    def weight(self, elapsed: Float[Tensor, " row"]) -> Float[Tensor, " row"]:
        """Share of the horizons in time that have not passed after so many seconds."""
        if not self.seconds:
            return torch.ones_like(elapsed)
        return (elapsed[:, None] <= torch.tensor(self.seconds)).float().mean(1)


def parse_horizon(spec: str) -> Horizon:
    """Read a horizon: ``16`` (events), ``1h`` (time, within 16 events), ``20,1h`` (both).

    Raises:
        SettingsError: If it is neither.

    Example:
        >>> parse_horizon("20,90s")
        Horizon(events=20, seconds=(90.0,))
    """
    events: list[int] = []
    seconds: list[float] = []
    for part in str(spec).split(","):
        found = re.fullmatch(r"(\d+\.?\d*)([smhd]?)", part.strip())
        if not found or not float(found[1]) or (not found[2] and ("." in found[1] or events)):
            raise SettingsError(
                f"horizon is {spec!r}, expected a number of events such as '16', a time such as '90s', '10m', '1h' "
                "or '2d', or both: '20,1h'."
            )
        if found[2]:
            seconds.append(float(found[1]) * _SECONDS[found[2]])
        else:
            events.append(int(found[1]))
    return Horizon(events[0] if events else _EVENTS_PER_TIME, tuple(seconds))
