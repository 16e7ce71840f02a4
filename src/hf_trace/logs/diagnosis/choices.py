"""What to choose for a log, each with its reason, by rules that know no cause."""

import fnmatch
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from os.path import commonprefix
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hf_trace.logs.diagnosis.findings import Finding, Suggestion, named
from hf_trace.logs.log import RARE_BELOW, EventLog, count, duration
from hf_trace.logs.places.histories import near_types
from hf_trace.logs.states.state_names import HAPPENED, state_names

LAGS = (4, 8, 16)
_REACHED = 0.9
_FEW_WINDOWS, _SHORTEST_WINDOW = 20, 16
_MANY_RARE = 0.2
_MOST_PATTERNS = 6
_COMMANDS = ("train", "discover")
# In double quotes a shell reads "!=" as it stands.
_DOUBLE = re.compile(r"""(?:[^"$`\\!\n]|!=)*'(?:[^"$`\\!\n]|!=)*""")


@dataclass(frozen=True)
class StateVariables(Finding):
    """Event types that are values of one variable, as ``raised`` and ``cleared``.

    Attributes:
        values: Event types of each variable that has two or more.
        patterns: What makes one cause and one effect of each, for ``--variable``; none where none fits.
        types: Event types in all.
    """

    values: dict[str, tuple[str, ...]]
    patterns: tuple[str, ...]
    types: int

    @classmethod
    def of(cls, event_types: Sequence[str]) -> "StateVariables":
        """Find them by name, see ``state_names``.

        Example:
            >>> StateVariables.of(["leak raised", "leak cleared", "boot"]).patterns
            ('leak *',)
            >>> StateVariables.of(["pump=on", "pump=off", "fan=on", "boot"]).patterns
            ('*=*',)
        """
        of_variable: dict[str, list[str]] = {}
        for name, state in state_names(event_types).items():
            if state.value != HAPPENED:
                of_variable.setdefault(state.variable, []).append(name)
        values = {variable: tuple(names) for variable, names in of_variable.items() if len(names) > 1}
        return cls(values, _patterns(values, event_types), len(event_types))

    def lines(self) -> list[str]:
        """How many, and the first of them."""
        if not self.values:
            return []
        types = sum(map(len, self.values.values()))
        return [
            f"{count(types, 'type')} of {self.types:,} are values of {named(list(self.values), 'variable')}: each "
            "predicts the other. `--variable` makes one cause and effect of them; `hf-trace train --states` learns "
            "what stands out."
        ]


def _patterns(values: dict[str, tuple[str, ...]], event_types: Sequence[str]) -> tuple[str, ...]:
    """Patterns that fit the types of each variable and no other; none if all types became one variable."""
    found = ["*=*"] if any("=" in name for names in values.values() for name in names) else []
    fitted = {name for name in event_types if found and re.fullmatch(".+=.+", name, re.DOTALL)}
    for names in values.values():
        if set(names) <= fitted or len(found) >= _MOST_PATTERNS:
            continue
        first = commonprefix(names)  # noqa: RUF071 - names are no paths
        last = commonprefix([name[len(first) :][::-1] for name in names])[::-1]  # noqa: RUF071
        first, last = re.sub(r"\w*$", "", first), re.sub(r"^\w*", "", last)
        pattern = f"{first}*{last}"
        alike = {name for name in event_types if fnmatch.fnmatchcase(name, _literal(first) + "*" + _literal(last))}
        if alike == set(names) and "*" not in first + last:
            found.append(pattern)
            fitted |= alike
    is_one = len(values) == 1 and len(fitted) == len(set(event_types))
    return () if is_one else tuple(found)


def _literal(text: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", text)


def training_choices(log: EventLog, most: int) -> list[Suggestion]:
    """What to train with.

    Args:
        log: The log.
        most: Longest window that is the default, in events.

    Example:
        >>> from hf_trace.logs.sequence import EventSequence
        >>> found = training_choices(EventLog.from_sequences([EventSequence(("a", "b") * 100)]), 128)
        >>> found[0].typed  # 200 events: 12 windows of 16 are better than two of 128
        ('--window-length', '16')
    """
    longest, events = int(log.sequence_lengths.max(initial=0)), len(log.codes)
    usual = min(longest, most)
    windows = int(np.sum(-(-log.sequence_lengths // max(1, usual))))
    if windows < _FEW_WINDOWS and longest > _SHORTEST_WINDOW:
        length = min(longest, max(_SHORTEST_WINDOW, events // _FEW_WINDOWS))
        reason = f"{count(windows, 'window')} of {usual} events would be few to learn from and to check on"
        found = [Suggestion("train", "window_length", str(length), reason)]
    elif longest > most:
        reason = f"sequences have up to {longest:,} events and are cut into {windows:,} windows; causes lie within one"
        found = [Suggestion("train", "window_length", str(most), reason, is_default=True)]
    else:
        reason = f"the longest sequence has {longest:,} events, so that none is cut"
        found = [Suggestion("train", "window_length", str(usual), reason, is_default=True)]
    occurrences = np.bincount(log.codes, minlength=len(log.event_types))
    own = occurrences[~near_types(log)]
    rare = int(np.sum((own < RARE_BELOW) & (own > 0)))
    if _MANY_RARE * len(own) < rare < len(own):
        reason = f"{rare:,} of {len(own):,} types come fewer than {RARE_BELOW} times, too seldom to learn"
        found.append(Suggestion("train", "min_count", str(RARE_BELOW), f"{reason}; they are read as one unknown type"))
    return found


def discovery_choices(
    log: EventLog, question: str, why: str, horizon: float, variables: StateVariables
) -> list[Suggestion]:
    """What to ask.

    Args:
        log: The log.
        question: ``drives`` or ``follows``.
        why: What says that the log can answer it.
        horizon: How soon an effect follows, by a rule that knows no cause, in seconds; 0 where there are no times.
        variables: Which types are values of one.
    """
    found = [Suggestion("discover", "question", question, why)]
    if question == "follows":
        reach = f"{duration(horizon)}, a fifth of the mean time between events" if horizon else "16 events"
        reason = "an effect begins after one of 200 causes; raise it for a shorter list"
        return [
            *found,
            Suggestion("discover", "horizon", "suggested", f"within {reach}", is_default=True),
            Suggestion("discover", "threshold", "fixed:0.005", reason, is_default=True),
        ]
    reason = "comes with the question: all events of a type are taken out at once, so that bursts do not hide a cause"
    found.append(Suggestion("discover", "construction", "by-type", reason, is_default=True))
    found.append(_lag(log, horizon))
    reason = "0.05 nats per event of the cause; `fdr:0.1` keeps what exceeds its error over the sequences"
    found.append(Suggestion("discover", "threshold", "margin:0.05", reason, is_default=True))
    reason = "its values predict each other, and are one cause and one effect then"
    return [*found, *(Suggestion("discover", "variable", each, reason) for each in variables.patterns)]


def _lag(log: EventLog, horizon: float) -> Suggestion:
    """The least of a few lags that holds what follows nine of ten events within the horizon."""
    longest = int(log.sequence_lengths.max(initial=0))
    if log.timestamps is None or not horizon:
        reason = "without times the default; events further apart are not looked at"
        return Suggestion("discover", "max_lag", "16", reason, is_default=True)
    near = float(np.quantile(events_within(log, horizon), _REACHED))
    lag = next((each for each in LAGS if each >= near), LAGS[-1])
    reason = f"after nine of ten events {near:.0f} or fewer of their sequence come within {duration(horizon)}"
    if longest - 1 <= lag:
        reason = f"the longest sequence has {longest} events"
    return Suggestion("discover", "max_lag", str(lag), reason, is_default=lag == 16)


def events_within(log: EventLog, horizon: float) -> NDArray[np.int64]:
    """How many events of its sequence come after each event within a time.

    Args:
        log: With times.
        horizon: In seconds.

    Example:
        >>> from hf_trace.logs.sequence import EventSequence
        >>> log = EventLog.from_sequences([EventSequence(("a",) * 4, (0.0, 1.0, 2.0, 9.0))])
        >>> events_within(log, 2.0).tolist()
        [2, 1, 0, 0]
    """
    parts = [
        np.searchsorted(times, times + horizon, side="right") - np.arange(1, len(times) + 1)
        for times in np.split(np.asarray(log.timestamps), log.offsets[1:-1])
    ]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


def next_commands(
    log: str, columns: Sequence[str], places: Sequence[str], beside: Sequence[str], choices: Sequence[Suggestion]
) -> list[str]:
    r"""What to type next, whole.

    Args:
        log: As it was typed.
        columns: Options that say how it is read.
        places: Options that say which sequences are joined; the run knows them.
        beside: Options that training alone is told; the run knows them.
        choices: What is suggested.

    Example:
        >>> print(*next_commands("my log.csv", ["--case-column", "id"], [], [], []), sep="\n")
        hf-trace count 'my log.csv' --case-column id --out my-log-counted.json
        hf-trace train 'my log.csv' --case-column id --out runs/my-log
        hf-trace discover runs/my-log 'my log.csv' --case-column id --out my-log.json --html my-log.html
    """
    name = log_name(log)
    training, asking = ([word for each in choices if each.command == of for word in each.typed] for of in _COMMANDS)
    commands = (
        ["count", log, *columns, *places, "--out", f"{name}-counted.json"],
        ["train", log, *columns, *places, *beside, *training, "--out", f"runs/{name}"],
        ["discover", f"runs/{name}", log, *columns, *asking, "--out", f"{name}.json", "--html", f"{name}.html"],
    )
    return [shell_line(["hf-trace", *words]) for words in commands]


def log_name(log: str) -> str:
    """A name for what is made of a log.

    Example:
        >>> log_name("data/my alarms.csv.gz"), log_name("*.csv")
        ('my-alarms', 'log')
    """
    return re.sub(r"[^\w-]+", "-", Path(log).name.split(".")[0]).strip("-") or "log"


def shell_line(words: Sequence[str]) -> str:
    """Words as they are typed in a shell, quoted where they must be.

    Example:
        >>> print(shell_line(["--query", "level != 'INFO'", "--variable", "*=*"]))
        --query "level != 'INFO'" --variable '*=*'
    """
    return " ".join(f'"{word}"' if _DOUBLE.fullmatch(word) else shlex.quote(word) for word in words)
