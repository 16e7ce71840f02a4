"""What is in a log, as short facts for pages and titles."""

from datetime import datetime, timezone

import numpy as np

from hf_trace.logs.log import RARE_BELOW, EventLog, count, duration

# Numbers in this range are taken for seconds since 1970: 1990 to 2100.
_FIRST_DATE, _LAST_DATE = 631_152_000.0, 4_102_444_800.0


def log_facts(log: EventLog, analyzed: EventLog | None = None) -> list[dict[str, str]]:
    """What is in a log, as short facts with a label, a value and a note.

    Args:
        log: The log as it was read.
        analyzed: The sequences that were analyzed, if those are others.

    Example:
        >>> from hf_trace.logs.sequence import EventSequence
        >>> log_facts(EventLog.from_sequences([EventSequence(("a", "b"))]))[1]
        {'label': 'Events', 'value': '2', 'note': ''}
    """
    summary = log.summary()
    dropped = f"{summary.dropped_rows:,} rows dropped" if summary.dropped_rows else ""
    lengths = f"longest {summary.longest:,}, median {summary.median_length:g} events"
    rare = f"{summary.rare_types:,} seen fewer than {RARE_BELOW} times" if summary.rare_types else ""
    facts = [
        _fact("Sequences", f"{summary.sequences:,}", lengths),
        _fact("Events", f"{summary.events:,}", dropped),
        _fact("Event types", f"{summary.event_types:,}", rare),
        _fact("Time span", *span_and_days(log)),
    ]
    if log.timestamps is not None:
        facts.append(_gaps(log, summary.tied_events))
    if analyzed is not None:
        longest = int(analyzed.sequence_lengths.max(initial=0))
        note = f"{count(len(analyzed), 'sequence')} of at most {longest:,} events"
        facts.append(_fact("Analyzed", count(len(analyzed.codes), "event"), note))
    return facts


def type_counts(log: EventLog) -> dict[str, int]:
    """How often each event type occurs.

    Example:
        >>> from hf_trace.logs.sequence import EventSequence
        >>> type_counts(EventLog.from_sequences([EventSequence(("a", "b", "a"))]))
        {'a': 2, 'b': 1}
    """
    counts = np.bincount(log.codes, minlength=len(log.event_types))
    return dict(zip(log.event_types, counts.tolist(), strict=True))


def has_dates(log: EventLog) -> bool:
    """Whether the times look like seconds since 1970, and not since some start."""
    times = log.timestamps
    return times is not None and len(times) > 0 and bool(times.min() > _FIRST_DATE and times.max() < _LAST_DATE)


def _fact(label: str, value: str, note: str = "") -> dict[str, str]:
    return {"label": label, "value": value, "note": note}


def span_and_days(log: EventLog) -> tuple[str, str]:
    """How long a log is, and from which day to which where its times are dates.

    Example:
        >>> from hf_trace.logs.sequence import EventSequence
        >>> span_and_days(EventLog.from_sequences([EventSequence(("a", "b"), (0.0, 90.0))]))
        ('1.5 minutes', '')
    """
    times = log.timestamps
    if times is None or not len(times):
        return "unknown", "no times: only the order is known"
    span = duration(float(times.max() - times.min()))
    if not has_dates(log):
        return span, ""
    first, last = (datetime.fromtimestamp(float(t), tz=timezone.utc) for t in (times.min(), times.max()))
    return span, f"{first:%Y-%m-%d} to {last:%Y-%m-%d}"


def _gaps(log: EventLog, ties: int) -> dict[str, str]:
    """The time between an event and the one before it in its sequence."""
    inside = np.ones(len(log.codes), dtype=np.bool_)
    inside[log.offsets[:-1][log.sequence_lengths > 0]] = False
    gaps = np.diff(np.asarray(log.timestamps, dtype=np.float64), prepend=np.nan)[inside]
    if not len(gaps):
        return _fact("Gap between events", "none", "no sequence has two events")
    notes = [f"90 % below {duration(float(np.quantile(gaps, 0.9)))}", f"longest {duration(float(gaps.max()))}"]
    if ties:
        notes.append(f"{ties / len(gaps):.1%} at the same time".replace("%", " %"))
    return _fact("Gap between events", f"median {duration(float(np.median(gaps)))}", ", ".join(notes))
