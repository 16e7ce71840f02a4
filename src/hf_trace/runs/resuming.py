"""Whether what was interrupted may be gone on with: what it was made with, and what is given now."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from hf_trace.errors import SettingsError
from hf_trace.logs.log import EventLog

# What is known by a digest alone.
_DIGESTS = ("log", "table", "model", "knowledge")


def refuse_other(earlier: Mapping[str, Any], here: Mapping[str, Any], words: tuple[str, str, str]) -> None:
    """Refuse to continue something that was made with other settings.

    Args:
        earlier: The settings it was made with.
        here: The settings now.
        words: For the message: its beginning, with ``{}`` for the difference; what was attempted; the way out.

    Raises:
        SettingsError: With the first difference.
    """
    began, wanted, way_out = words
    for name in dict.fromkeys([*here, *earlier]):
        was, now = earlier.get(name), here.get(name)
        if was == now:
            continue
        found = f"another {name}" if name in _DIGESTS else f"{name} {was!r}, now it is {now!r}"
        raise SettingsError(
            f"{began.format(found)}, expected the same to {wanted}. Give the settings it had, or {way_out}."
        )


def log_digest(log: EventLog) -> str:
    """A hash of a log.

    Example:
        >>> from hf_trace.logs.sequence import EventSequence
        >>> log = EventLog.from_sequences([EventSequence(("a",))])
        >>> log_digest(log) == log_digest(log.select([0]))
        True
    """
    digest = hashlib.blake2b(digest_size=8)
    for part in (log.codes, log.offsets, *([] if log.timestamps is None else [log.timestamps])):
        digest.update(np.ascontiguousarray(part).tobytes())
    for names in (log.event_types, log.ids, [repr(context) for context in log.contexts]):
        digest.update("\0".join(f"{len(name)}:{name}" for name in names).encode())
    return digest.hexdigest()
