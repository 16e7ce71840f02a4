"""Which event types are values of one variable: ``pump=on`` and ``pump=off``, ``leak raised`` and ``leak cleared``."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hf_trace.errors import SettingsError, preview
from hf_trace.logs.places.near_names import is_near_name, near_name, plain_name

# What a variable holds that is an event type by itself.
NOT_YET, HAPPENED = "not yet", "happened"
STARTED, ENDED = "on", "off"
PAIRS = (
    *(("set", "clear"), ("set", "cleared"), ("set", "reset"), ("raise", "clear"), ("raised", "cleared")),
    *(
        ("on", "off"),
        ("up", "down"),
        ("open", "closed"),
        ("open", "close"),
        ("opened", "closed"),
        ("start", "stop"),
        ("start", "end"),
    ),
    *(("started", "stopped"), ("started", "ended"), ("started", "finished"), ("start", "complete")),
    *(("begin", "end"), ("active", "inactive"), ("enabled", "disabled"), ("connected", "disconnected")),
    *(("locked", "unlocked"), ("lock", "unlock"), ("occurred", "resolved"), ("login", "logout")),
)
_SEPARATORS = " =:/._-"


@dataclass(frozen=True)
class State:
    """A value that a variable may hold.

    Attributes:
        variable: Name of the variable.
        value: What it holds.
    """

    variable: str
    value: str


def state_names(
    event_types: Iterable[str], patterns: Sequence[str] = (), pairs: Sequence[str] = ()
) -> dict[str, State]:
    """The variable and the value that each event type stands for.

    Types written ``variable=value`` are values of that variable; two types that differ in a pair of words such as
    ``raised`` and ``cleared`` are the values of what is left; any other type is a variable that has ``happened`` once
    it has, and until then is ``not yet``.

    Args:
        event_types: Names of types, neighbours' among them.
        patterns: ``valve *``: types of which the beginning is a variable and what ``*`` stands for its value.
        pairs: Further pairs of words, ``failed|repaired``.

    Raises:
        SettingsError: If a pattern has no ``*`` or fits nothing, or a pair is not two words.

    Example:
        >>> found = state_names(["pump=on", "leak raised", "leak cleared", "boot"])
        >>> [(each.variable, each.value) for each in found.values()]
        [('pump', 'on'), ('leak', 'raised'), ('leak', 'cleared'), ('boot', 'happened')]
    """
    types = list(dict.fromkeys(event_types))
    plain = {plain_name(name) for name in types}
    # What the user says comes before what is recognised.
    named = {
        **_word_pairs(plain, PAIRS),
        **_equal_signs(plain),
        **_word_pairs(plain, map(_pair, pairs)),
        **_fitting(plain, patterns),
    }
    found = {}
    for name in types:
        state = named.get(plain_name(name), State(plain_name(name), HAPPENED))
        found[name] = State(near_name(state.variable), state.value) if is_near_name(name) else state
    return found


def _equal_signs(types: Iterable[str]) -> dict[str, State]:
    parts = {name: name.rpartition("=") for name in types}
    return {name: State(stem, value) for name, (stem, sign, value) in parts.items() if stem and sign and value}


def _pair(text: str) -> tuple[str, str]:
    words = tuple(word.strip() for word in text.split("|"))
    if len(words) != 2 or not all(words) or words[0] == words[1]:
        raise SettingsError(f"The pair of states is {text!r}, expected two words such as 'raised|cleared'.")
    return words[0], words[1]


def _word_pairs(types: set[str], pairs: Iterable[tuple[str, str]]) -> dict[str, State]:
    """Types of which the counterpart is there too; of several pairs of words that fit, the first counts."""
    folded = {name.casefold(): name for name in sorted(types)}
    found: dict[str, State] = {}
    for first, second in pairs:
        word = re.compile(rf"(?<![^\W_]){re.escape(first.casefold())}(?![^\W_])")
        for key, name in folded.items():
            for match in word.finditer(key):
                other = folded.get(key[: match.start()] + second.casefold() + key[match.end() :])
                stem = (name[: match.start()] + name[match.end() :]).strip(_SEPARATORS)
                if other is None or not stem or name in found or other in found:
                    continue
                found[name], found[other] = State(stem, first), State(stem, second)
    return found


def _fitting(types: set[str], patterns: Sequence[str]) -> dict[str, State]:
    found: dict[str, State] = {}
    for pattern in patterns:
        found |= fitting_states(sorted(types), pattern)
    return found


def fitting_states(event_types: Sequence[str], pattern: str) -> dict[str, State]:
    """The types that a pattern fits, each as a value of a variable.

    Args:
        event_types: Names of types.
        pattern: ``pump=*`` or ``valve *``; the last ``*`` stands for the value, what comes before it for the variable.

    Raises:
        SettingsError: If it has no ``*``, or fits nothing.

    Example:
        >>> fitting_states(["pump=on", "leak"], "*=*")
        {'pump=on': State(variable='pump', value='on')}
    """
    if "*" not in pattern:
        raise SettingsError(
            f"variable is {pattern!r}, expected a pattern with `*` in place of the values, such as 'pump=*', or "
            "'*=*' for every signal."
        )
    head, _, tail = (re.escape(part).replace(r"\*", ".*") for part in pattern.rpartition("*"))
    fits = {name: re.fullmatch(f"({head})(.*){tail}", name, re.DOTALL) for name in event_types}
    found = {
        name: State(match[1].rstrip(_SEPARATORS) or pattern, match[2].strip(_SEPARATORS) or HAPPENED)
        for name, match in fits.items()
        if match
    }
    if not found:
        raise SettingsError(
            f"variable is {pattern!r}, and none of the {len(event_types):,} event types is named so: "
            f"{preview(event_types)}. Expected a pattern such as 'pump=*'."
        )
    return found
