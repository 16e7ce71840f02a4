"""Thresholds: which scored pairs of a sequence are edges."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_trace.discovery.confidence import confidence, largest_set
from hf_trace.discovery.statistics import PairScores
from hf_trace.errors import SettingsError

VALIDATED = "validated"


class Threshold(ABC):
    """A rule for which tested pairs of a sequence are edges; ``parse_threshold`` reads what ``str`` gives."""

    # Whether it gives each pair a confidence; all oracles of the run are then used.
    has_confidence = False

    @abstractmethod
    def keep(self, scores: PairScores) -> NDArray[np.bool_]:
        """Whether each pair is an edge."""

    def confidence(self, scores: PairScores) -> NDArray[np.float64] | None:
        """Probability that each pair is true; None if the rule has none."""
        return None

    @abstractmethod
    def __str__(self) -> str: ...


@dataclass(frozen=True)
class Bound(Threshold):
    """Keeps a pair whose score exceeds one value.

    Attributes:
        kind: ``margin`` (an effect size in nats) or ``fixed`` (a value of the statistic).
        value: The bound.
    """

    kind: str
    value: float

    def keep(self, scores: PairScores) -> NDArray[np.bool_]:
        """Whether each score exceeds the value."""
        return scores.cmi > self.value

    def __str__(self) -> str:
        return f"{self.kind}:{_text(self.value)}"


@dataclass(frozen=True)
class Quantile(Threshold):
    """Keeps the pairs of a sequence with the highest scores, a share of ``1 - level`` at most.

    Attributes:
        level: Share of the tested pairs that is dropped, above 0 and below 1. Equal scores are kept or dropped
            together, so more may be dropped.
    """

    level: float

    def keep(self, scores: PairScores) -> NDArray[np.bool_]:
        """Whether each score is among the highest, at most ``(1 - level) * len(scores)`` of them."""
        count = int(round((1 - self.level) * len(scores), 9))
        if count >= len(scores):
            return np.ones(len(scores), dtype=np.bool_)
        bound = float(np.sort(scores.cmi)[len(scores) - 1 - count])
        return scores.cmi > bound

    def __str__(self) -> str:
        return f"quantile:{_text(self.level)}"


@dataclass(frozen=True)
class PerLag(Threshold):
    """Keeps a pair whose score exceeds the value of its lag.

    Attributes:
        values: The bound at lag 1, at lag 2 and so on; the last one holds for all longer lags.
    """

    values: tuple[float, ...]

    def keep(self, scores: PairScores) -> NDArray[np.bool_]:
        """Whether each score exceeds the value of its lag."""
        bounds: NDArray[np.float64] = np.array(self.values)[np.minimum(scores.lag, len(self.values)) - 1]
        return scores.cmi > bounds

    def __str__(self) -> str:
        return f"per-lag:{','.join(map(_text, self.values))}"


@dataclass(frozen=True)
class Fdr(Threshold):
    """Keeps the largest set of pairs of a sequence with an expected share of false ones of at most ``level``.

    A pair is false if its effect is at most ``margin``; see ``confidence``.

    Attributes:
        level: False discovery rate, from 0 to 1.
        margin: An effect size in nats.
    """

    level: float
    margin: float = 0.05
    has_confidence = True

    def keep(self, scores: PairScores) -> NDArray[np.bool_]:
        """Whether each pair is among the surest ones, whose mean ``1 - confidence`` is at most ``level``."""
        return largest_set(self.confidence(scores), self.level)

    def confidence(self, scores: PairScores) -> NDArray[np.float64]:
        """Probability that the effect of each pair exceeds the margin."""
        return confidence(scores, self.margin)

    def __str__(self) -> str:
        return f"fdr:{_text(self.level)},{_text(self.margin)}"


def _text(value: float) -> str:
    """The shortest text that reads back as the same number."""
    short = f"{value:g}"
    return short if float(short) == value else repr(float(value))


def _number(text: str, least: float) -> float:
    value = float(text)
    if not np.isfinite(value) or value < least:
        raise ValueError
    return value


def _bound(kind: str, least: float) -> Callable[[str], Threshold]:
    return lambda text: Bound(kind, _number(text, least))


def _quantile(text: str) -> Threshold:
    level = float(text)
    if not 0 < level < 1:
        raise ValueError
    return Quantile(level)


def _per_lag(text: str) -> Threshold:
    return PerLag(tuple(_number(part, 0.0) for part in text.split(",")))


def _fdr(text: str) -> Threshold:
    level, _, margin = text.partition(",")
    if not 0 <= float(level) <= 1:
        raise ValueError
    return Fdr(float(level), _number(margin, 0.0) if margin or "," in text else Fdr.margin)


_BOUND = "a kind and a value >= 0 such as 'margin:0.05' (nats) or 'fixed:3e-5'"
# For each kind: the parser of the text after the colon, which raises ValueError, and what it expects.
KINDS: dict[str, tuple[Callable[[str], Threshold], str]] = {
    "margin": (_bound("margin", 0.0), _BOUND),
    "fixed": (_bound("fixed", -np.inf), "a value of the statistic such as 'fixed:3e-5'"),
    "quantile": (
        _quantile,
        "a number above 0 and below 1 such as 'quantile:0.95', which keeps the highest 5 % of a sequence",
    ),
    "per-lag": (
        _per_lag,
        "one value >= 0 for each lag such as 'per-lag:0.1,0.05' (nats); the last holds for longer lags",
    ),
    "fdr": (
        _fdr,
        "a false discovery rate from 0 to 1 such as 'fdr:0.1', and after a comma the smallest effect of interest, "
        "in nats ('fdr:0.1,0.05')",
    ),
}


def parse_threshold(spec: str) -> Threshold:
    """Read a threshold such as ``margin:0.05``.

    Raises:
        SettingsError: If the kind or the value is not understood.

    Example:
        >>> parse_threshold("margin:0.05")
        Bound(kind='margin', value=0.05)
        >>> str(parse_threshold("per-lag:0.10,0.05"))
        'per-lag:0.1,0.05'
    """
    kind, _, text = str(spec).partition(":")
    if kind == VALIDATED:
        raise SettingsError(
            f"threshold is {spec!r}, expected known causes to choose a value by. Pass them with `--truth`, or in "
            "Python choose the value with `hf_trace.discovery.threshold_choice.validated` and pass what it returns."
        )
    read, expected = KINDS.get(kind, (None, _BOUND))
    try:
        if read is not None:
            return read(text)
    except ValueError:
        pass
    kinds = f"; kinds: {', '.join([*KINDS, VALIDATED])}" if expected is _BOUND else ""
    raise SettingsError(f"threshold is {spec!r}, expected {expected}{kinds}.")
