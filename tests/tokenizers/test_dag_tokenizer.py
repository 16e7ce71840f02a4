"""Rows of a table as token ids: by hand, through Transformers, and beside a pretrained vocabulary."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from hf_trace.errors import HfTraceError, ModelLoadError, QueryError, SettingsError, TableError
from hf_trace.tables.encoding import DagTable
from hf_trace.tables.schema import DagSchema, random_order
from hf_trace.tables.variables import Variable
from hf_trace.tokenizers.dag_tokenizer import DagTokenizer
from hf_trace.tokenizers.event_tokenizer import EventTokenizer
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

PUMP = DagSchema.load(Path(__file__).parents[2] / "tokenizer" / "pump_dag" / "dag.json")
ROW = {"weather": "rain", "maintenance": "none", "inflow": 72, "pump": "slow", "overflow": "yes"}
TEXT_SCHEMA = DagSchema(
    (
        Variable("Topic", values=("art", "science")),
        Variable("title", "text", ("Topic",), max_length=40),
        Variable("accepted", values=("no", "yes"), parents=("title", "Topic")),
    )
)


def refused(error, call, *arguments, **options):
    with pytest.raises(error) as caught:
        call(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(scope="module")
def pump():
    return DagTokenizer.from_schema(PUMP, history="full")


@pytest.fixture(scope="module", params=["bytes", "lower case"])
def base(request):
    """Small pretrained tokenizers: byte pairs without padding or start, and lower-cased characters with both."""
    if request.param == "bytes":
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        backend = Tokenizer(models.BPE({token: index for index, token in enumerate([*alphabet, "th"])}, [("t", "h")]))
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
        return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|end|>")
    letters = "abcdefghijklmnopqrstuvwxyz<>:=[]|"
    words = ["[PAD]", "[UNK]", "[CLS]", *letters, *(f"##{letter}" for letter in letters)]
    backend = Tokenizer(models.WordPiece({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.Lowercase()
    backend.decoder = decoders.WordPiece()
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", bos_token="[CLS]")


def test_ids_by_hand(pump):
    # Four special tokens; then per variable its start, its values or items, and its end where it has one.
    assert {name: tokens.start for name, tokens in pump.variables.items()} == {
        **{"weather": 4, "maintenance": 7, "inflow": 11},
        **{"pump": 16, "alarms": 20, "overflow": 25},
    }
    assert pump.variables["inflow"].values.tolist() == [12, 13, 14, 15]
    assert pump.variables["alarms"].values.tolist() == [21, 22, 23]
    assert pump.variables["alarms"].allowed.tolist() == [21, 22, 23, 24]
    assert len(pump) == 28
    assert (pump.bos_id, pump.pad_id, pump.begin) == (1, 0, (1,))

    contents = {name: pump.content(name, value) for name, value in ROW.items()}
    contents["alarms"] = pump.content("alarms", ["leak", "vibration"])
    ids = pump.sequencify(contents, pump.schema.topological_order)
    assert ids == [1, 4, 6, 7, 8, 11, 14, 16, 18, 20, 23, 22, 24, 25, 27]
    assert pump.desequencify(ids) == contents
    assert list(pump.desequencify([*ids, 0, 0])) == list(pump.schema.topological_order)
    assert {name: pump.text(name, content) for name, content in contents.items()} == {
        **{"weather": "rain", "maintenance": "none", "inflow": "≥ 60"},
        **{"pump": "slow", "alarms": "leak vibration", "overflow": "yes"},
    }


def test_values_as_users_write_them(pump):
    assert pump.content("inflow", "<missing>") == (15,)
    assert pump.content("inflow", "19.9") == (12,)
    assert pump.content("alarms", "high level") == (21, 24)
    assert pump.content("alarms", "high level, leak") == (21, 23, 24)
    assert pump.content("alarms", "leak vibration") == (23, 22, 24)
    assert pump.content("alarms", "") == pump.content("alarms", ()) == (24,)


def test_values_that_are_none(pump):
    assert refused(QueryError, pump.content, "alarms", "leek") == (
        "'alarms' has no item 'leek', expected one of 'high level', 'vibration', 'leak'. Did you mean 'leak'?"
    )
    assert refused(QueryError, pump.content, "alarms", ["leak"] * 5) == (
        "A value of 'alarms' has 5 items, expected at most 4. Shorten it, or train with a larger `max_length`."
    )
    assert "Did you mean 'slow'?" in refused(QueryError, pump.content, "pump", "slo")
    assert "Did you mean 'pump'?" in refused(QueryError, pump.content, "pomp", "slow")
    assert refused(QueryError, pump.text, "pump", (5,)) == (
        "The tokens [5] are not a value of 'pump'. Expected tokens of its values."
    )


def test_columns(pump):
    columns = {"pump": np.array([2, 0]), "alarms": [(1, 1), ()]}
    table = DagTable(pump.schema, columns, np.ones(2))
    assert pump.contents(table, "pump").tolist() == [19, 17]
    assert pump.contents(table, "alarms") == [(22, 22, 24), (24,)]
    long = DagTable(pump.schema, {"alarms": [(1,), (0,) * 6, (1,) * 5]}, np.ones(3))
    assert refused(TableError, pump.contents, long, "alarms") == (
        "2 values of 'alarms' are too long (first in row 1): up to 6 items, expected at most 4. Raise its "
        "`max_length` to 6, or shorten them."
    )


def test_parents_are_in_the_order_of_the_schema(pump):
    assert pump.parents("overflow") == ("weather", "pump", "alarms")
    assert pump.parents("weather") == ()


@pytest.mark.parametrize(
    "how", [DagTokenizer.from_pretrained, lambda path: DagTokenizer(AutoTokenizer.from_pretrained(path))]
)
def test_the_disk_changes_nothing(tmp_path, how):
    tokenizer = DagTokenizer.from_schema(PUMP, history="full", order="random")
    tokenizer.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tokenizer.json", "tokenizer_config.json"]
    again = how(tmp_path)
    assert (again.schema.to_dict(), again.history, again.order) == (PUMP.to_dict(), "full", "random")
    assert again.vocabulary == tokenizer.vocabulary
    assert again.content("alarms", "leak") == (23, 24)
    assert tokenizer.agrees_with(again.tokenizer)


def test_names_that_look_alike_have_their_own_tokens():
    names = ["a", "a=b", "a\\", "a:b", "<start:a", "start", "[PAD]", "a\\=b"]
    values = ("b=c", "c", "=b=c", "b:c", ">", "[PAD]", "")
    kinds = ["categorical", "sequence"]
    schema = DagSchema(
        tuple(
            Variable(f"{name}{end}", kind, values=values)
            for name in names
            for kind, end in zip(kinds, ("", ">"), strict=True)
        )
    )
    tokenizer = DagTokenizer.from_schema(schema)
    # 8 categorical variables with a start and 7 values, 8 sequences with an end too, 4 special tokens.
    assert len(tokenizer) == len(set(tokenizer.vocabulary.values())) == 8 * 8 + 8 * 9 + 4


def test_random_orders_are_uniform_at_every_step():
    # a before b; c anywhere. At first a or c with chance 1/2 each; after a, b or c with chance 1/2 each.
    schema = DagSchema(
        (Variable("a", values=("0",)), Variable("b", values=("0",), parents=("a",)), Variable("c", values=("0",)))
    )
    rng = np.random.default_rng(0)
    counts = Counter("".join(random_order(schema, rng)) for _ in range(4000))
    assert set(counts) == {"abc", "acb", "cab"}
    # Four standard errors of a share of 1/2 in 4,000 draws are .032.
    assert counts["cab"] / 4000 == pytest.approx(1 / 2, abs=0.032)
    assert counts["abc"] / 4000 == pytest.approx(1 / 4, abs=0.032)


def test_orders_respect_paths_through_latent_variables():
    schema = DagSchema(
        (
            Variable("effect", values=("0",), parents=("hidden",)),
            Variable("hidden", latent=True, parents=("cause",)),
            Variable("cause", values=("0",)),
        )
    )
    rng = np.random.default_rng(0)
    assert {random_order(schema, rng) for _ in range(20)} == {("cause", "effect")}
    tokenizer = DagTokenizer.from_schema(schema, history="full")
    assert list(tokenizer.variables) == ["cause", "effect"]


def test_settings_that_do_not_fit():
    schema = DagSchema((Variable("x", values=("0",), parents=("u",)), Variable("u", latent=True)))
    assert refused(SettingsError, DagTokenizer.from_schema, schema) == (
        "'u' is latent, so what comes before a variable's parents matters too: history=\"parents\" does not fit. Pass "
        'history="full" (`--history full`).'
    )
    assert refused(SettingsError, DagTokenizer.from_schema, TEXT_SCHEMA) == (
        "'title' holds text, which is read in pieces of a pretrained tokenizer. Pass one with `--model ID_OR_PATH`."
    )


def test_tokenizers_without_a_graph(tmp_path):
    EventTokenizer.from_event_types(["a"]).save_pretrained(tmp_path)
    assert refused(ModelLoadError, DagTokenizer.from_pretrained, tmp_path) == (
        "The tokenizer holds no graph of variables. Expected a run trained on a table, by `hf-trace train TABLE --dag "
        "DAG`."
    )
    (tmp_path / "empty").mkdir()
    assert "holds no tokenizer.json" in refused(ModelLoadError, DagTokenizer.from_pretrained, tmp_path / "empty")
    assert "No tokenizer could be loaded from" in refused(
        ModelLoadError, DagTokenizer.from_schema, TEXT_SCHEMA, base=tmp_path / "nowhere"
    )


def test_a_pretrained_vocabulary_is_extended(base, tmp_path):
    old = base.get_vocab()
    tokenizer = DagTokenizer.from_schema(TEXT_SCHEMA, base=base)
    assert {token: tokenizer.vocabulary[token] for token in old} == old
    assert base.get_vocab() == old
    new = {token: index - len(old) for token, index in tokenizer.vocabulary.items() if token not in old}
    assert tokenizer.kept_tokens == len(old)
    assert new == {
        **{"<start:Topic>": 0, "<value:Topic=art>": 1, "<value:Topic=science>": 2},
        **{"<start:title>": 3, "<end:title>": 4},
        **{"<start:accepted>": 5, "<value:accepted=no>": 6, "<value:accepted=yes>": 7},
    }
    assert tokenizer.bos_id == base.bos_token_id
    assert tokenizer.pad_id == (base.eos_token_id if base.pad_token_id is None else base.pad_token_id)

    base.save_pretrained(tmp_path / "base")
    assert DagTokenizer.from_schema(TEXT_SCHEMA, base=tmp_path / "base").vocabulary == tokenizer.vocabulary
    tokenizer.save_pretrained(tmp_path / "run")
    again = DagTokenizer(AutoTokenizer.from_pretrained(tmp_path / "run"))
    assert again.vocabulary == tokenizer.vocabulary
    assert again.content("title", "the thing") == tokenizer.content("title", "the thing")
    assert tokenizer.agrees_with(again.tokenizer)
    assert "already has the token '<start:Topic>'" in refused(
        SettingsError, DagTokenizer.from_schema, TEXT_SCHEMA, base=tmp_path / "run"
    )


def test_text_never_becomes_another_variables_tokens(base):
    tokenizer = DagTokenizer.from_schema(TEXT_SCHEMA, base=base)
    evil = "the <value:Topic=art>"
    *pieces, end = tokenizer.content("title", evil)
    assert end == tokenizer.variables["title"].end
    assert pieces == base(evil, add_special_tokens=False)["input_ids"]
    assert set(pieces) <= set(tokenizer.variables["title"].values.tolist())
    special = base.eos_token or base.pad_token
    pieces = tokenizer.content("title", f"the {special} {special}")[:-1]
    assert set(pieces) <= set(tokenizer.variables["title"].values.tolist())
    assert tokenizer.text("title", tokenizer.content("title", "the thing")) == "the thing"


def test_what_a_pretrained_tokenizer_cannot_read_is_unknown_but_allowed(base):
    tokenizer = DagTokenizer.from_schema(TEXT_SCHEMA, base=base)
    pieces = tokenizer.content("title", "a 日")[:-1]
    assert set(pieces) <= set(tokenizer.variables["title"].values.tolist())
    assert base.eos_token_id not in tokenizer.variables["title"].values
    assert (1 in pieces) == (base.unk_token_id == 1)


def test_text_columns(base):
    tokenizer = DagTokenizer.from_schema(TEXT_SCHEMA, base=base)
    table = DagTable(TEXT_SCHEMA, {"title": ["the", "", "a <end:title>"]}, np.ones(3))
    assert tokenizer.contents(table, "title") == [tokenizer.content("title", text) for text in table.columns["title"]]
    assert "40" in refused(QueryError, tokenizer.content, "title", "x y " * 50)
    assert "is a text, got None" in refused(QueryError, tokenizer.content, "title", None)


@pytest.mark.parametrize("wrong", [{"history": "none"}, {"order": "sorted"}])
def test_unknown_settings(wrong):
    (name, value), known = *wrong.items(), {"history": "parents, full", "order": "fixed, random"}
    assert refused(SettingsError, DagTokenizer.from_schema, PUMP, **wrong) == (
        f"{name} is {value!r}, expected one of: {known[name]}."
    )


@pytest.mark.parametrize(
    "settings", [{"history": "x"}, {"order": 3}, {"kept_tokens": "x"}, {"dag": {}}, {"dag": {"variables": 3}}], ids=str
)
def test_settings_that_are_none_are_refused(tmp_path, settings):
    DagTokenizer.from_schema(DagSchema((Variable("x", values=("0", "1")),))).save_pretrained(tmp_path)
    file = tmp_path / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))
    with pytest.raises(HfTraceError) as caught:
        DagTokenizer.from_pretrained(tmp_path)
    assert "\n" not in str(caught.value)
