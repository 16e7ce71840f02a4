"""Call parameters of population graphs, checked; each refuses what it does not understand with a SettingsError."""

from numbers import Integral
from typing import Any

from hf_trace.causal.frequencies import LeastShare, parse_frequency
from hf_trace.causal.settings import DiscoverySettings
from hf_trace.errors import SettingsError


def at_least_one(name: str, value: Any) -> int:
    """A whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise SettingsError(f"{name} is {value!r}, expected a whole number of at least 1.")
    return int(value)


def frequency(value: Any) -> float | str:
    """A share as a number, or the name of a rule."""
    rule = parse_frequency(value)
    return rule.share if isinstance(rule, LeastShare) else str(value)


def resamples(value: Any, settings: DiscoverySettings, level: str) -> int:
    """How often to resample; 0 is never."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 0:
        raise SettingsError(f"bootstrap is {value!r}, expected a whole number of at least 0.")
    if value and (level != "population" or settings.effect == "total"):
        raise SettingsError(
            f"bootstrap is {value} with level {level!r} and {settings.effect} effects, expected a population graph of "
            "direct effects, whose sequences can be resampled. Leave `--bootstrap` out."
        )
    return int(value)


def columns(value: Any, settings: DiscoverySettings, level: str) -> list[str]:
    """Columns of the context whose groups are compared."""
    if isinstance(value, str) or not all(isinstance(name, str) for name in value):
        raise SettingsError(f"compare is {value!r}, expected a list of names of context columns.")
    if value and (level != "population" or settings.effect == "total"):
        raise SettingsError(
            f"compare is {list(value)} with level {level!r} and {settings.effect} effects, expected a population graph "
            "of direct effects, whose sequences make groups."
        )
    return list(value)
