"""From scores to edges: which pairs are believed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_trace.errors import SettingsError


@dataclass(frozen=True)
class Threshold:
    """A rule that keeps a pair when its score exceeds a value.

    Attributes:
        kind: ``margin`` (an effect size in nats) or ``fixed`` (a value of whatever statistic is used).
        value: The bound.
    """

    kind: str
    value: float

    def keep(self, scores: NDArray[np.float64]) -> NDArray[np.bool_]:
        """True where a pair becomes an edge."""
        return scores > self.value

    def __str__(self) -> str:
        return f"{self.kind}:{self.value:g}"


KINDS = ("margin", "fixed")


def parse_threshold(spec: str) -> Threshold:
    """Read a threshold such as ``margin:0.05``.

    Raises:
        SettingsError: If the kind or the value is not understood.

    Example:
        >>> parse_threshold("margin:0.05").value
        0.05
    """
    kind, _, text = str(spec).partition(":")
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if kind not in KINDS or not np.isfinite(value) or value < 0:
        raise SettingsError(
            f"threshold is {spec!r}, expected a kind and a value >= 0 such as 'margin:0.05' (nats) or "
            f"'fixed:3e-5'; kinds: {', '.join(KINDS)}."
        )
    return Threshold(kind, value)
