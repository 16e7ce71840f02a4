"""The only reader of JSON: what no program can take on is one kind of mistake."""

import json

import pytest

from hf_trace.documents import parse_json, read_document
from hf_trace.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "it is nested too deeply"),
        ("[" * 101 + "]" * 101, "it is nested too deeply"),
        ('{"a":' * 101 + "1" + "}" * 101, "it is nested too deeply"),
        ("9" * 5000, "it holds a whole number of 5,000 digits"),
        ('["\\ud800"]', "half of a character"),
        ('{"edges": [1], "edges": []}', "it has the key 'edges' twice in one place, of which one would be lost"),
        ('[{"a": {"b": 1, "c": 2, "b": 1}}]', "it has the key 'b' twice"),
        ("{", "Expecting property name"),
    ],
)
def test_what_is_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        parse_json(text)
    (tmp_path / "d.json").write_text(text)
    with pytest.raises(SettingsError, match=rf"^'.*d\.json' is not JSON \(.*{message}.*\), expected settings\.$"):
        read_document(tmp_path / "d.json", "settings", error=SettingsError)


def test_what_is_read():
    deep = json.loads("[" * 100 + "]" * 100)
    for found in (deep, {"a": [1, {"a": None}], "b": 10**299}, "[[", 0.5, []):
        assert parse_json(json.dumps(found)) == found
