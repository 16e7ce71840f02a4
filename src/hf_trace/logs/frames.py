"""Rows of any source as a frame whose values are what they were: whole ids, the names of labels, named indexes."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]

from hf_trace.documents import Document, parse_json
from hf_trace.errors import ColumnError, LogFormatError
from hf_trace.logs.columns import ColumnChoice, levels_to_read, text_values

_ROWS_AT_ONCE = 10_000
_MOMENTS = frozenset({"datetime", "datetime64", "timedelta", "timedelta64"})


def frame_of_arrow(table: pa.Table, features: Any = None) -> pd.DataFrame:
    """Turn an Arrow table into a frame.

    Integers stay integers, even beside missing values; bytes that are text become text; the labels of `datasets` are
    named; an index that pandas wrote beside the columns becomes a column.

    Args:
        table: All of a table, or some rows of one without such an index.
        features: What `datasets` says of the columns; where it is left out, the table itself may say it.

    Example:
        >>> frame_of_arrow(pa.table({"event": [7, None]}))["event"].tolist()
        [7, None]
    """
    frame: pd.DataFrame = readable_table(table, features).to_pandas(integer_object_nulls=True, ignore_metadata=True)
    return frame


def readable_table(table: pa.Table, features: Any = None, first: int = 0) -> pa.Table:
    """An Arrow table as ``frame_of_arrow`` reads it.

    Args:
        table: Some rows of a table.
        features: As for ``frame_of_arrow``.
        first: How many rows come before them.

    Example:
        >>> readable_table(pa.table({"event": [b"fan"]}))["event"].to_pylist()
        ['fan']
    """
    kinds = feature_kinds(features) or _metadata(table, b"huggingface").get("info", {}).get("features", {})
    for position, name in enumerate(table.column_names):
        column = _decoded(table.column(position))
        if isinstance(kinds, Mapping) and name in kinds:
            column = _each_chunk(column, lambda chunk, kind=kinds[name]: _labelled(chunk, kind))
        if column is not table.column(position):
            table = table.set_column(position, name, column)
    for level in _metadata(table, b"pandas").get("index_columns", ()):
        name = level.get("name") if isinstance(level, Mapping) and level.get("kind") == "range" else None
        if isinstance(name, str) and name not in table.column_names:
            numbers = level["start"] + level["step"] * np.arange(first, first + len(table), dtype=np.int64)
            table = table.append_column(name, pa.array(numbers))
    return table.replace_schema_metadata(None)  # read once: pandas fails on damaged notes even where it ignores them


def _metadata(table: pa.Table, key: bytes) -> Document:
    """What another library noted beside a table; a damaged note says nothing."""
    try:
        found = parse_json((table.schema.metadata or {}).get(key, b"{}").decode())
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def feature_kinds(features: Any) -> Any:
    """What `datasets` says of its columns, as a mapping of plain values; empty where it says nothing."""
    return features.to_dict() if hasattr(features, "to_dict") else features or {}


def label_names(value: Any, kind: Any) -> Any:
    """A value with the names of labels in the place of their numbers, also within lists and mappings.

    Args:
        value: As `datasets` hands it out.
        kind: What it says of it, see ``feature_kinds``.

    Example:
        >>> label_names([1, -1], {"feature": {"_type": "ClassLabel", "names": ["fan", "heat"]}, "_type": "List"})
        ['heat', None]
    """
    if isinstance(kind, list):  # an older spelling of lists
        kind = {"feature": kind[0] if kind else None}
    if not isinstance(kind, Mapping):
        return value
    if kind.get("_type") == "ClassLabel" and isinstance(value, Integral):
        return dict(enumerate(kind["names"])).get(int(value))
    if isinstance(value, Mapping):
        return {name: label_names(each, kind.get(name)) for name, each in value.items()}
    if "feature" in kind and isinstance(value, Iterable) and not isinstance(value, str):
        return [label_names(each, kind["feature"]) for each in value]
    return value


def _each_chunk(column: pa.ChunkedArray, change: Any) -> pa.ChunkedArray:
    changed = [change(chunk) for chunk in column.chunks]
    if all(new is old for new, old in zip(changed, column.chunks, strict=True)):
        return column
    return pa.chunked_array(changed)


def _labelled(values: pa.Array, kind: Any) -> pa.Array:
    """Names in the place of the numbers of a ``ClassLabel``, also within lists; a number without a name is missing."""
    if isinstance(kind, list):  # an older spelling of lists
        kind = {"feature": kind[0] if kind else None}
    if not isinstance(kind, Mapping):
        return values
    names = kind.get("names")
    if kind.get("_type") == "ClassLabel" and isinstance(names, list) and pa.types.is_integer(values.type):
        known = pc.and_(pc.greater_equal(values, 0), pc.less(values, len(names)))
        return pa.array(list(map(str, names)), pa.string()).take(pc.if_else(known, values, None))
    if "feature" in kind and _is_list(values.type):
        flat = values.flatten()
        inner = _labelled(flat, kind["feature"])
        if inner is not flat:
            lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False)
            offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int64())
            return pa.LargeListArray.from_arrays(offsets, inner, mask=values.is_null())
    return values


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts in the place of bytes, where they are UTF-8, bytes where they are not; a UUID as it is usually written."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        if kind.extension_name == "arrow.uuid":
            return pa.chunked_array([[None if value is None else str(value) for value in column.to_pylist()]])
        return column
    is_list = _is_list(kind)
    inner = kind.value_type if is_list or pa.types.is_dictionary(kind) else kind
    try:
        if _is_binary(inner):
            return column.cast(pa.list_(pa.string()) if is_list else pa.string())
        if _is_text(inner):  # Parquet files may lie
            column.validate(full=True)
    except pa.ArrowException:  # no text: only who asks for the column needs to know
        if _is_text(inner):
            plain = column.cast(inner) if pa.types.is_dictionary(kind) else column
            return plain.cast(pa.list_(pa.binary()) if is_list else pa.binary())
    return column


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_binary(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or str(kind) == "binary_view"  # not in every version of Arrow
    )


def frame_of_records(records: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Mappings as rows; a missing value makes no other value of its column a float.

    Example:
        >>> frame_of_records([{"case": 2**60 + 1}, {"case": None}])["case"].tolist()
        [1152921504606846977, None]
    """
    frame = pd.DataFrame(list(records), dtype=object)
    columns = [_plain(frame.iloc[:, position]) for position in range(frame.shape[1])]
    kinds = [pd.api.types.infer_dtype(column, skipna=True) for column in columns]
    typed = [each.infer_objects() if kind in _MOMENTS else each for each, kind in zip(columns, kinds, strict=True)]
    return pd.concat(typed, axis="columns") if typed else frame


def frame_to_read(frame: pd.DataFrame, choice: ColumnChoice) -> pd.DataFrame:
    """A user's frame with the rows numbered from 1, and named levels of its index as columns.

    A level is no column where one is there that looks as if it meant the same.

    Example:
        >>> index = pd.Index(["x"], name="case")
        >>> frame_to_read(pd.DataFrame({"event": ["fan"]}, index=index), ColumnChoice()).to_dict("index")
        {1: {'event': 'fan', 'case': 'x'}}
    """
    rows = pd.RangeIndex(1, len(frame) + 1)
    names = [None if name is None else str(name) for name in frame.index.names]
    wanted = levels_to_read([name for name in names if name is not None], list(map(str, frame.columns)), choice)
    columns = [frame.iloc[:, position].set_axis(rows) for position in range(frame.shape[1])]
    columns += [pd.Series(_level(frame.index, names.index(name)), index=rows, name=name) for name in wanted]
    return pd.concat(map(_plain, columns), axis="columns") if columns else frame.set_axis(rows, axis="index")


def _level(index: pd.Index, number: int) -> Any:
    """Values of a level, whose whole numbers stay whole beside missing ones."""
    values = index.get_level_values(number)
    if not isinstance(index, pd.MultiIndex) or index.levels[number].dtype.kind not in "iu" or not values.hasnans:
        return values
    return np.array([*index.levels[number].tolist(), None], dtype=object)[index.codes[number]]


def _plain(column: pd.Series) -> pd.Series:
    """A column without Arrow beneath it; bytes that are UTF-8 are texts."""
    if isinstance(column.dtype, pd.ArrowDtype):
        values = pa.chunked_array(pa.array(column.array))
        plain = frame_of_arrow(pa.table([values], names=["values"]))["values"]
        return pd.Series(plain.array, index=column.index, name=column.name)
    if column.dtype != object or pd.api.types.infer_dtype(column, skipna=True) != "bytes":
        return column
    try:
        return pd.Series(text_values(column), index=column.index, name=column.name, dtype=object)
    except ColumnError:  # no text: only who asks for the column needs to know
        return column


def dataset_frames(rows: Iterable[Mapping[str, Any]]) -> Iterator[pd.DataFrame]:
    """Read a dataset, streaming or not, or any rows, some thousand at a time.

    Raises:
        LogFormatError: If a row is no mapping.

    Example:
        >>> [len(frame) for frame in dataset_frames([{"event": "a"}, {"event": "b"}])]
        [2]
    """
    features = getattr(rows, "features", None)
    if features is not None and hasattr(rows, "with_format"):  # columns are many times faster than rows
        for table in rows.with_format("arrow").iter(batch_size=_ROWS_AT_ONCE):
            yield frame_of_arrow(table, features)
        return
    numbered = enumerate(rows, 1)  # of a dataset without types, each row may have its own
    while batch := list(islice(numbered, _ROWS_AT_ONCE)):
        for number, row in batch:
            if not isinstance(row, Mapping):
                raise LogFormatError(
                    f"Record {number} is {repr(row)[:80]} ({type(row).__name__}), expected a mapping of columns to "
                    'values, such as {"case": "x", "event": "a"}.'
                )
        yield frame_of_records(row for _, row in batch)
