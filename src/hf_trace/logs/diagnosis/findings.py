"""What all findings about a log have in common: figures for a program, sentences for a person."""

import shlex
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from hf_trace.documents import Document
from hf_trace.errors import preview
from hf_trace.logs.log import count

_SHOWN = 4


class Finding(ABC):
    """Something found in a log; its fields are figures, a dataclass of plain values."""

    @abstractmethod
    def lines(self) -> list[str]:
        """What was found, in sentences; none where there is nothing to say."""

    def to_dict(self) -> Document:
        """The figures by name."""
        return asdict(self)  # type: ignore[call-overload, no-any-return]


@dataclass(frozen=True)
class Suggestion(Finding):
    """What to choose for a log.

    Attributes:
        command: ``train`` or ``discover``.
        option: As Python spells it.
        value: Of the option.
        reason: Why.
        is_default: Whether it need not be typed.

    Example:
        >>> found = Suggestion("discover", "max_lag", "8", "effects are near")
        >>> found.lines(), found.typed
        (['--max-lag 8: effects are near.'], ('--max-lag', '8'))
    """

    command: str
    option: str
    value: str
    reason: str
    is_default: bool = False

    @property
    def typed(self) -> tuple[str, ...]:
        """The words of a command line; none for what is the default."""
        return () if self.is_default else (f"--{self.option.replace('_', '-')}", self.value)

    def lines(self) -> list[str]:
        """The option and its reason."""
        option = shlex.join((f"--{self.option.replace('_', '-')}", self.value))
        return [f"{option}{' (default)' if self.is_default else ''}: {self.reason}."]


def named(names: Sequence[str], noun: str, *, shown: int = _SHOWN) -> str:
    """A number of things, and the names of the first few.

    Example:
        >>> named(["fan", "door"], "type"), named(["fan"], "type")
        ("2 types ('fan', 'door')", "1 type ('fan')")
    """
    return f"{count(len(names), noun)} ({preview(names, limit=shown)})"


def percent(share: float) -> str:
    """A share in words, with as many digits as tell it from nothing.

    Example:
        >>> percent(0.25), percent(0.05), percent(0.0042), percent(0.0), percent(1.0)
        ('25 %', '5 %', '0.42 %', '0 %', '100 %')
    """
    return f"{100 * share:.2g} %" if 0 < share < 0.1 else f"{100 * share:.0f} %"


def all_lines(findings: Iterable[Finding]) -> list[str]:
    """The sentences of several findings.

    Example:
        >>> all_lines([Suggestion("train", "seed", "0", "luck", is_default=True)])
        ['--seed 0 (default): luck.']
    """
    return [line for finding in findings for line in finding.lines()]
