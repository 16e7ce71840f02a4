"""Logs that were sent: a text or a file, read in a folder of its own that is gone afterwards. No path is opened."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from tempfile import TemporaryDirectory

from hf_trace.app.bounds import Bounds
from hf_trace.errors import EmptyLogError, HfTraceError, LogFormatError, SettingsError, preview, visible
from hf_trace.logs.columns import ColumnChoice
from hf_trace.logs.formats import LOG_SUFFIXES
from hf_trace.logs.log import EventLog
from hf_trace.logs.sources import read_log, source_frames
from hf_trace.report.log_report import LogReport, log_report, noted

SUFFIXES = (*sorted(LOG_SUFFIXES), ".txt", ".log")
_LONGEST_NAME = 60
_STARTS = {"{": ".jsonl", "<": ".xes"}
_COLUMNS = ",;\t|"
_PLACE = re.compile(r"(\w+:)?[/\\~.]|\w+:\S+$|\S+[/\\]\S+$")


@dataclass(frozen=True)
class SentColumns:
    """Which columns of a sent log are read; None: recognized by their names.

    Attributes:
        case: Of the sequence.
        event: Of the event.
        time: Of the time.
    """

    case: str | None = None
    event: str | None = None
    time: str | None = None

    @classmethod
    def of(cls, case: str, event: str, time: str) -> "SentColumns":
        """As they were typed; what is empty was not.

        Example:
            >>> SentColumns.of("device", "", " ")
            SentColumns(case='device', event=None, time=None)
        """
        return cls(*(each.strip() or None for each in (case, event, time)))


@dataclass(frozen=True)
class SentLog:
    """A log that was sent, and what it is like.

    Attributes:
        name: What its sender calls it, made harmless.
        key: The same for the same bytes, name and columns alone.
        log: As it was read.
        report: What can be said of it without a model.
        columns: Which columns were asked for.
    """

    name: str
    key: str
    log: EventLog
    report: LogReport
    columns: SentColumns


def read_sent(data: bytes, name: str, columns: SentColumns | None = None, bounds: Bounds | None = None) -> SentLog:
    r"""Read what was sent.

    Args:
        data: The bytes of a file, or of a text.
        name: Of the file; its suffix says the format. Nothing of that name is opened.
        columns: Which columns to read.
        bounds: How much is taken.

    Raises:
        LogFormatError: If it is too much, of another format, or not what its suffix says.
        HfTraceError: As ``read_log``.

    Example:
        >>> sent = read_sent(b"a b\na b\n", "../../etc/passwd.txt")
        >>> sent.name, sent.log.event_types
        ('passwd.txt', ('a', 'b'))
    """
    bounds, columns = bounds or Bounds(), columns or SentColumns()
    _check_size(len(data), bounds)
    shown, suffixes = _harmless(name), _suffixes(name)
    with TemporaryDirectory(prefix="hf-trace-log-") as folder:
        path = Path(folder) / f"log{suffixes}"
        path.write_bytes(data)
        try:
            log, report = _read(path, columns, bounds)
        except HfTraceError as error:
            raise type(error)(str(error).replace(f"{folder}/", "").replace(path.name, shown)) from None
    _check_log(log, bounds)
    key = hashlib.sha256(repr((shown, columns)).encode() + data).hexdigest()
    return SentLog(shown, key, log, report, columns)


def sent_text(text: str) -> tuple[bytes, str]:
    r"""A text that was pasted as a file, with a name whose suffix says what it looks like.

    Raises:
        LogFormatError: If it is the place of a log, which is not opened.

    Example:
        >>> sent_text('{"events": ["a"]}')[1], sent_text("a b c")
        ('pasted.jsonl', (b'a b c', 'pasted.txt'))
    """
    lines = [line for line in text.splitlines() if line.strip()]
    first = lines[0].strip() if lines else ""
    if len(lines) == 1 and _PLACE.match(first):
        raise LogFormatError(
            f"Got {preview([first])}, expected the text of a log: no path and no address is opened here. Paste what is "
            "in it."
        )
    looks = _STARTS.get(first[:1]) or (".csv" if any(each in first for each in _COLUMNS) else ".txt")
    return text.encode(errors="backslashreplace"), f"pasted{looks}"


def _read(path: Path, columns: SentColumns, bounds: Bounds) -> tuple[EventLog, LogReport]:
    with noted() as notes:
        log = read_log(
            path,
            case_column=columns.case,
            event_column=_several(columns.event),
            time_column=_several(columns.time),
            max_unpacked=bounds.unpacked,
        )
        frames = list(source_frames(path))
    choice = ColumnChoice(columns.case, _several(columns.event), _several(columns.time))
    report = log_report(log, choice, frames)
    report.notes["times"] = list(dict.fromkeys(notes))
    return log, report


def _several(name: str | None) -> str | Sequence[str] | None:
    return name.split(",") if name is not None and "," in name else name


def _check_size(size: int, bounds: Bounds) -> None:
    if size > bounds.bytes:
        raise LogFormatError(
            f"The log has {size:,} bytes, and up to {bounds.bytes:,} are taken here. Send a part of it, or install "
            "hf-trace: `hf-trace explain LOG` reads any size."
        )
    if not size:
        raise EmptyLogError("Nothing was sent, expected a log. Choose a file, or paste a text.")


def _check_log(log: EventLog, bounds: Bounds) -> None:
    for found, most, what in (
        (len(log.codes), bounds.events, "events"),
        (len(log.event_types), bounds.event_types, "event types"),
    ):
        if found > most:
            raise SettingsError(
                f"The log has {found:,} {what}, and up to {most:,} are taken here. Send a part of it, name another "
                "event column, or install hf-trace: `hf-trace explain LOG` has no such bound."
            )


def _harmless(name: str) -> str:
    """The last part of a name, of signs that mean nothing to a page or a shell."""
    last = PureWindowsPath(visible(name)).name
    return re.sub(r"[^\w.() -]", "_", last)[-_LONGEST_NAME:].lstrip(".") or "log"


def _suffixes(name: str) -> str:
    """The suffix that says the format, with that of packing."""
    found = re.search(r"(\.[a-z]+)(\.gz)?$", name.lower())
    if found is None or found[1] not in SUFFIXES:
        raise LogFormatError(
            f"{_harmless(name)!r} is not named as a log, expected a name that ends in one of {', '.join(SUFFIXES)}, "
            "each also with .gz. Rename it, or paste its text."
        )
    return found[0]
