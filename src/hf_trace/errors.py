"""Every mistake a user can make, one class each.

Messages have one shape: what was found, what was expected, what to do. Nothing here imports the rest
of the package.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable

_NOT_ASCII = re.compile("[^ -~]+")


class HfTraceError(ValueError):
    """Base class of all errors a user of this package can cause."""


class LogFormatError(HfTraceError):
    """A file cannot be read as an event log."""


class ColumnError(HfTraceError):
    """A column is missing, misnamed or unusable."""


class TimestampError(HfTraceError):
    """Timestamps are missing, unparsable or out of order."""


class EmptyLogError(HfTraceError):
    """There is nothing to learn from or to explain."""


class EventNameError(HfTraceError):
    """An event has a name that cannot be used."""


class UnknownEventError(HfTraceError):
    """An event is not in the vocabulary of the tokenizer or graph."""


class VocabularyMismatchError(HfTraceError):
    """A tokenizer and a model disagree on the vocabulary."""


class ContextLengthError(HfTraceError):
    """A sequence is longer than the model can read."""


class PipelineInputError(HfTraceError):
    """A pipeline got something that is not a record."""


class ModelLoadError(HfTraceError):
    """A folder or id does not hold a usable model."""


class FutureLeakError(HfTraceError):
    """A model's early predictions depend on later tokens."""


class NonFiniteError(HfTraceError):
    """A model returned NaN or infinite scores."""


class SettingsError(HfTraceError):
    """An option has a value that is not understood."""


class GraphFormatError(HfTraceError):
    """A file or mapping cannot be read as a causal graph."""


class DagFormatError(HfTraceError):
    """A file or mapping cannot be read as a directed acyclic graph of variables."""


class TableError(HfTraceError):
    """A table does not fit its graph."""


class QueryError(HfTraceError):
    """A causal question names something that does not exist, or contradicts itself."""


class NotIdentifiedError(QueryError):
    """Latent variables leave a causal question without an answer."""


class OverlapError(QueryError):
    """The data cannot support a causal question."""


class OutputError(HfTraceError):
    """A result cannot be written where it was asked for."""


class PublishError(HfTraceError):
    """Something cannot be published on the Hub."""


class BusyError(HfTraceError):
    """An app has as much to do as it takes at once."""


class ProcessError(HfTraceError):
    """A process that works on a run with others has failed, or has lost them."""


def first_line(error: BaseException) -> str:
    r"""What another library said, cut to one line without its full stop.

    Example:
        >>> first_line(OSError("no such folder.\nsee the manual"))
        'no such folder'
    """
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")


_LONGEST = 100


def preview(items: Iterable[object], *, limit: int = 3) -> str:
    """Quote the first few items of a list for an error message, each cut where it is long.

    Example:
        >>> preview(["a", "b", "c", "d"])
        "'a', 'b', 'c' and 1 more"
    """
    quoted = [text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…" for text in map(repr, items)]
    shown = ", ".join(quoted[:limit])
    return shown if len(quoted) <= limit else f"{shown} and {len(quoted) - limit} more"


def as_python(character: str) -> str:
    r"""The escape of a character in a string of Python.

    Example:
        >>> print(as_python("\x1b"), as_python("\u202e"))
        \x1b \u202e
    """
    return character.encode("unicode_escape").decode()


def visible(text: str, *, keep: str = "", write: Callable[[str], str] = as_python) -> str:
    r"""Write what would act on a terminal, or hide there, by its escape; all else stays.

    That is every control character, every mark that turns the direction of a text or has no width, and half a
    character.

    Args:
        text: Anything, such as a name from a log.
        keep: Characters that stay although they act, such as the ends of lines.
        write: Gives the escape of a character.

    Example:
        >>> print(visible("disk\x1b[31m \u202efull, größer"))
        disk\x1b[31m \u202efull, größer
    """

    def written(run: str) -> str:
        return run if run.isprintable() else "".join(each if is_shown(each) else write(each) for each in run)

    def is_shown(each: str) -> bool:
        return each.isprintable() or each in keep or unicodedata.category(each) == "Zs"

    return _NOT_ASCII.sub(lambda found: written(found[0]), text)
