"""What the JSON files of a run folder must hold where something is read from them."""

from collections.abc import Callable, Mapping
from numbers import Real
from pathlib import Path
from typing import Any

from hf_trace.documents import Document, read_document
from hf_trace.errors import ModelLoadError

Claim = tuple[Callable[[Any], bool], str]


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return _is_number(value) and value >= 0 and value == int(value) if _is_finite(value) else False


def _is_finite(value: Any) -> bool:
    return _is_number(value) and abs(value) < float("inf")


def _are_figures(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        _is_number(each) or isinstance(each, bool) or _are_figures(each) for each in value.values()
    )


_NUMBER: Claim = (_is_finite, "a number")
_COUNT: Claim = (_is_count, "a whole number of at least 0")
_LENGTH: Claim = (lambda value: _is_count(value) and value > 0, "a whole number of at least 1")
_NAME: Claim = (lambda value: isinstance(value, str), "a name")
_NAMES: Claim = (
    lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value),
    "a list of names",
)
_NETWORK: Claim = (
    lambda value: isinstance(value, Mapping) and set(value) == {"pairs", "directed", "hops"},
    "pairs of places, directed and hops",
)
_READING: Claim = (
    lambda value: isinstance(value, Mapping) and all(isinstance(each, str) for each in value.values()),
    "columns and other texts by name",
)
_FIGURES: Claim = (_are_figures, "figures by name")
# What is read of each; what is null counts as not known.
_CLAIMS: dict[str, dict[str, Claim]] = {
    "training.json": {
        **dict.fromkeys(("kind", "outcome_column", "model", "preset", "history", "order"), _NAME),
        **dict.fromkeys(("context_columns", "learn"), _NAMES),
        "topology": _NETWORK,
        "reading": _READING,
        **dict.fromkeys(("window_length", "min_count", "ensemble", "context_length"), _LENGTH),
        **dict.fromkeys(("folds", "seed", "patience", "batch_tokens", "sequences"), _COUNT),
        **dict.fromkeys(("window_gap", "epochs", "max_tokens", "learning_rate", "entropy", "smoothing"), _NUMBER),
    },
    "metrics.json": {
        **dict.fromkeys(("rows", "event_types", "parameters", "events", "steps"), _COUNT),
        **dict.fromkeys(("validation", "left_out", "sequences"), _FIGURES),
        **dict.fromkeys(("seconds", "epochs", "weight"), _NUMBER),
    },
    "folds.json": dict.fromkeys(("folds", "seed", "rows"), _COUNT),
}


def read_run_document(path: Path) -> Document:
    """What a JSON file of a run folder holds, once what is read of it is what it should be.

    Args:
        path: The file.

    Raises:
        ModelLoadError: If it cannot be read, is not JSON or no object, or holds something else where a name, a number
            or a list is expected.
    """
    document = read_document(path, "an object, as `hf-trace train` writes it", error=ModelLoadError)
    if not isinstance(document, dict):
        raise ModelLoadError(
            f"'{path}' holds a {type(document).__name__}, expected an object, as `hf-trace train` writes it."
        )
    for name, (holds, expected) in _CLAIMS.get(path.name, {}).items():
        value = document.get(name)
        if value is not None and not holds(value):
            raise ModelLoadError(
                f"`{name}` of '{path}' is {str(value)[:80]!r}, expected {expected}, as `hf-trace train` writes it. Put "
                "the right value there, or train again."
            )
    return document
