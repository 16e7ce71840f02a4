"""What a log never says outright: which of day and month comes first, which year it is, how far a time zone is."""

import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_trace.errors import TimestampError

DAY = 86_400.0
_HOURS = {
    **dict.fromkeys(("", "z", "utc", "ut", "gmt", "wet"), 0.0),
    **{"bst": 1.0, "west": 1.0, "cet": 1.0, "met": 1.0, "cest": 2.0, "mest": 2.0, "eet": 2.0, "eest": 3.0, "msk": 3.0},
    **{"sast": 2.0, "pkt": 5.0, "wib": 7.0, "hkt": 8.0, "sgt": 8.0, "jst": 9.0, "kst": 9.0},
    **{"awst": 8.0, "acst": 9.5, "acdt": 10.5, "aest": 10.0, "aedt": 11.0, "nzst": 12.0, "nzdt": 13.0},
    **{"nst": -3.5, "ndt": -2.5, "ast": -4.0, "adt": -3.0, "brt": -3.0, "est": -5.0, "edt": -4.0, "cst": -6.0},
    **{"cdt": -5.0, "mst": -7.0, "mdt": -6.0, "pst": -8.0, "pdt": -7.0, "akst": -9.0, "akdt": -8.0, "hst": -10.0},
}
_READINGS = {"mdy": "month/day/year", "dmy": "day/month/year", "ymd": "year/month/day"}
_FIRST_YEAR = 2001  # not a leap year; moved where 29 February is seen
_YEAR = 366.0


@dataclass(frozen=True)
class Witness:
    """A date that says something.

    Attributes:
        text: As written.
        place: Where it stands.
    """

    text: str
    place: str


@dataclass
class DateOrder:
    """What comes first in dates such as ``03/02/2024``: one answer for the whole of a log.

    Attributes:
        fixed: The answer of the user, ``"dmy"``, ``"mdy"`` or ``"ymd"``, if there is one.
        sticky: Whether an answer that was used stays for as long as it is possible.
        example: The first date.
        used: The orders in which dates were read since this was last emptied.

    Example:
        >>> order = DateOrder()
        >>> order.observe(np.array([[3, 2, 2024], [13, 2, 2024]]), lambda row: Witness("13/02/2024", f"row {row}"))
        >>> order.current
        'dmy'
    """

    fixed: str | None = None
    sticky: bool = False
    example: Witness | None = None
    used: set[str] = field(default_factory=set)
    _against: dict[str, Witness] = field(default_factory=dict)
    _firsts: set[int] = field(default_factory=set)
    _thirds: set[int] = field(default_factory=set)
    _used: str | None = None

    def observe(self, parts: NDArray[np.int64], witness: Callable[[int], Witness]) -> None:
        """Learn from dates.

        Args:
            parts: The three numbers of each date, in the order in which they are written; shape ``(dates, 3)``. A
                year of 0 is one that is not written.
            witness: Gives the date of an index.

        Raises:
            TimestampError: If no order reads all of them and those before.
        """
        first, second, third = parts.T
        wrong = {
            "mdy": (first > 12) | (second > 31),
            "dmy": (second > 12) | (first > 31),
            "ymd": (second > 12) | (third > 31) | (third == 0),
        }
        dates = (first > 0) & (second > 0) & ~(wrong["mdy"] & wrong["dmy"] & wrong["ymd"])
        if self.fixed is not None or not dates.any():
            return
        if self.example is None:
            self.example = witness(int(np.argmax(dates)))
        for values, seen in ((first, self._firsts), (third, self._thirds)):
            seen.update(pd.unique(values[dates])[:50].tolist())
        for order, impossible in wrong.items():
            against = impossible & dates
            if order not in self._against and against.any():
                self._against[order] = witness(int(np.argmax(against)))
        if len(self._against) == len(_READINGS):
            raise TimestampError(self._contradiction())

    @property
    def current(self) -> str:
        """How dates are read as things stand."""
        if self.fixed is not None:
            return self.fixed
        if self.sticky and self._used and self._used not in self._against:
            return self._used
        return self._preferred()

    def use(self) -> str:
        """How dates are read as things stand, where some are about to be read so."""
        self.used.add(self.current)
        return self.current

    def settle(self) -> str:
        """The order in which dates were read by now."""
        self._used = self.current
        return self._used

    def _preferred(self) -> str:
        possible = [order for order in _READINGS if order not in self._against]
        # One first number beside several last ones: a year that stays and days that pass.
        if "ymd" in possible and len(self._firsts) == 1 < len(self._thirds):
            return "ymd"
        if "dmy" in possible and self.example is not None and "." in self.example.text[:5]:
            return "dmy"
        return possible[0]

    def note(self) -> str | None:
        """What to tell the user where more than one order reads every date."""
        others = [order for order in _READINGS if order not in self._against and order != self.current]
        if "ymd" in others and len(self._firsts) > len(self._thirds):
            others.remove("ymd")
        if self.fixed is not None or self.example is None or not others:
            return None
        return (
            f"every date can be read in more than one way, such as {self.example.text!r}; read as "
            f"{_READINGS[self.current]}. If it is {_READINGS[others[0]]}, pass {remedy(others[0], self.example.text)}."
        )

    def revision(self, used: str) -> str:
        """The error where dates were read in one way and a later one shows that it is another.

        Args:
            used: The order in which they were read.
        """
        first, second = self.example or Witness("", ""), self._against[used]
        return (
            f"{first.text!r} in {first.place} was read as {_READINGS[used]}, but {second.text!r} in {second.place} can "
            f"only be {_READINGS[self.current]}; a log that is read in parts cannot turn back. Pass "
            f"{remedy(self.current, second.text)}."
        )

    def _contradiction(self) -> str:
        mdy, dmy = self._against["dmy"], self._against["mdy"]
        return (
            f"{dmy.text!r} in {dmy.place} and {mdy.text!r} in {mdy.place} cannot be read in one order of day and "
            f"month; expected one order in the whole log. Correct the wrong one; {remedy('dmy', dmy.text)} says "
            "which order is right."
        )


def remedy(order: str, text: str) -> str:
    """How the user says the order of dates.

    Example:
        >>> remedy("dmy", "03.02.24 10:00")
        '`--time-format "%d.%m.%y"` (in Python `time_format=`)'
    """
    mark = next((char for char in text[:4] if char in "/.-"), "/")
    date = "".join(char if char.isdigit() or char == mark else " " for char in text).split()
    year = "%Y" if date and any(len(part) == 4 for part in date[0].split(mark)) else "%y"
    names = {"d": "%d", "m": "%m", "y": year}
    return f'`--time-format "{mark.join(names[part] for part in order)}"` (in Python `time_format=`)'


@dataclass
class YearCount:
    """Years of dates that have none, told by the order in which they come: after December comes January.

    Attributes:
        moved: Whether 29 February was seen after dates were given years in which it is absent.

    Example:
        >>> (YearCount().years(np.array([12, 1]), np.array([31, 1]))).tolist()
        [2001, 2002]
    """

    moved: bool = False
    _shift: int | None = None
    _last: float | None = None
    _count: int = 0

    @property
    def started(self) -> bool:
        """Whether any date was given a year."""
        return self._last is not None

    @property
    def first(self) -> int:
        """The year of the first date."""
        return _FIRST_YEAR + (self._shift or 0)

    def years(self, months: NDArray[np.int64], days: NDArray[np.int64]) -> NDArray[np.int64]:
        """The year of each date; a jump of more than half a year back is a step into the next one."""
        place = months * 31.0 + days
        steps = np.diff(place, prepend=place[0] if self._last is None else self._last)
        count = self._count + np.cumsum((steps < -_YEAR / 2).astype(np.int64) - (steps > _YEAR / 2))
        self._last, self._count = float(place[-1]), int(count[-1])
        leap = count[(months == 2) & (days == 29)]
        if len(leap):
            shift = int(-(_FIRST_YEAR + leap[0]) % 4)
            self.moved |= self._shift not in (None, shift)
            self._shift = shift
        elif self._shift is None:
            self._shift = 0
        return self.first + count

    def again(self, like: "YearCount | None" = None) -> "YearCount":
        """The count before any date, or as it was at an earlier moment; what is known of leap years stays.

        Args:
            like: The earlier moment.
        """
        return replace(like or YearCount(), moved=False, _shift=self._shift)


def epoch_days(years: NDArray[np.int64], months: NDArray[np.int64], days: NDArray[np.int64]) -> NDArray[np.float64]:
    """Days since 1970 of dates, NaN where there is no such day.

    Example:
        >>> epoch_days(np.array([1970, 2023]), np.array([2, 2]), np.array([1, 29])).tolist()
        [31.0, nan]
    """
    good = (months >= 1) & (months <= 12) & (days >= 1) & (years >= 1) & (years <= 9999)
    first = (np.where(good, (years - 1970) * 12 + months - 1, 0)).astype("datetime64[M]")
    length = ((first + 1).astype("datetime64[D]") - first.astype("datetime64[D]")).astype(np.int64)
    found = first.astype("datetime64[D]").astype(np.int64) + days - 1
    return np.where(good & (days <= length), found, np.nan)


def zone_seconds(names: NDArray[np.object_], local: NDArray[np.float64]) -> tuple[NDArray[np.float64], list[str]]:
    """How far named time zones are ahead of UTC.

    Args:
        names: Zone of each time, in lower case, such as ``est`` or ``europe/berlin``; empty for UTC.
        local: The times, in seconds of their zone.

    Returns:
        Seconds ahead of UTC, NaN where a zone is not known; and the zones that are not.

    Example:
        >>> zone_seconds(np.array(["cest", "nowhere"], dtype=object), np.array([0.0, 0.0]))
        (array([7200.,   nan]), ['nowhere'])
    """
    ahead = np.full(len(names), np.nan)
    codes, distinct = pd.factorize(names)
    unknown = []
    for code, name in enumerate(distinct):
        rows = codes == code
        if name in _HOURS:
            ahead[rows] = _HOURS[name] * 3600
        elif (zone := _place(name)) is not None:
            ahead[rows] = _ahead_of_place(zone, local[rows])
        else:
            unknown.append(str(name))
    return ahead, unknown


def _place(name: str) -> str | None:
    return next((zone for zone in zoneinfo.available_timezones() if "/" in name and zone.lower() == name), None)


def _ahead_of_place(zone: str, local: NDArray[np.float64]) -> NDArray[np.float64]:
    known = np.isfinite(local)
    clock = pd.DatetimeIndex(np.where(known, np.floor(local), 0).astype("datetime64[s]"))
    moments = clock.tz_localize(zone, ambiguous=np.ones(len(clock), dtype=bool), nonexistent="shift_forward")
    utc = moments.tz_convert(None).to_numpy().astype("datetime64[s]").astype(np.int64)
    return np.where(known, np.floor(local) - utc, np.nan)
