"""Training on tables: rows and losses by hand, run folders, what is held out, and interruptions."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, LlamaConfig, PreTrainedTokenizerFast

from hf_trace.errors import ModelLoadError, OutputError, SettingsError, TableError, VocabularyMismatchError
from hf_trace.runs.folders import load_model
from hf_trace.runs.members import Folds
from hf_trace.tables.encoding import DagTable
from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import Variable
from hf_trace.tokenizers.dag_tokenizer import DagTokenizer
from hf_trace.training.architectures import build_model
from hf_trace.training.table_losses import (
    all_losses,
    allowed_tokens,
    bdeu_losses,
    boosted_losses,
    marginal_losses,
    term_losses,
)
from hf_trace.training.table_rows import FullRows, ParentRows, write_table
from hf_trace.training.table_training import DagTrainingSettings, _Batches, held_out, train_dag
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

YES_NO = ("no", "yes")
SCHEMA = DagSchema(
    (
        Variable("sick", values=YES_NO),
        Variable("drug", values=YES_NO, parents=("sick",)),
        Variable("visits", "sequence", ("sick",), ("home", "ward"), max_length=2),
        Variable("well", values=YES_NO, parents=("drug", "sick")),
    )
)
# Tokens: sick 4 (5 6), drug 7 (8 9), visits 10 (11 12, end 13), well 14 (15 16).
ROWS = [(0, 0, (), 1), (0, 0, (1,), 1), (0, 0, (1,), 1), (1, 1, (0, 1), 0)]
TEXT_SCHEMA = DagSchema(
    (
        Variable("topic", values=("art", "science")),
        Variable("title", "text", ("topic",), max_length=8),
        Variable("accepted", values=YES_NO, parents=("title",)),
    )
)


def table(rows, weights=None, schema=SCHEMA):
    columns = {}
    for variable, values in zip(schema.variables, zip(*rows, strict=True), strict=True):
        columns[variable.name] = np.array(values) if variable.is_finite else list(values)
    return DagTable(schema, columns, np.ones(len(rows)) if weights is None else np.array(weights, dtype=float))


def drawn(count, seed=0):
    """Sick patients get the drug in 3 of 4 cases, others in 1 of 4; those who got what they need get well."""
    rng = np.random.default_rng(seed)
    sick = rng.random(count) < 0.4
    drug = rng.random(count) < np.where(sick, 0.75, 0.25)
    well = np.where(sick == drug, 1, rng.random(count) < 0.2).astype(int)
    visits = [tuple(int(item) for item in rng.integers(2, size=2 if one else 1)) for one in sick]
    return table(list(zip(sick.astype(int).tolist(), drug.astype(int).tolist(), visits, well.tolist(), strict=True)))


def refused(error, call, *arguments, **options):
    with pytest.raises(error) as caught:
        call(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def written(source, rows=None):
    """Rows of a batch as lists, and what is to be predicted: (row, position, variable, token) -> weight."""
    batch = source.batch(np.arange(len(source)) if rows is None else rows, np.random.default_rng(0))
    kept = batch["attention_mask"].bool()
    ids = [row[mask].tolist() for row, mask in zip(batch["input_ids"], kept, strict=True)]
    places = list(zip(*(batch[f"place_{part}"].tolist() for part in ("row", "position", "variable")), strict=True))
    terms = zip(*(batch[f"term_{part}"].tolist() for part in ("place", "target", "weight")), strict=True)
    return ids, {(*places[place], target): weight for place, target, weight in terms}


class Uniform(torch.nn.Module):
    """Predicts every token alike, and remembers what it read."""

    def __init__(self, vocabulary):
        super().__init__()
        self.vocabulary = vocabulary

    def forward(self, input_ids, attention_mask, use_cache):
        logits = torch.zeros((*input_ids.shape, self.vocabulary))
        return type("Output", (), {"logits": logits})


@pytest.fixture(scope="module")
def tokenizers():
    return {history: DagTokenizer.from_schema(SCHEMA, history=history) for history in ("parents", "full")}


def test_full_rows_by_hand(tokenizers):
    source = FullRows(tokenizers["full"], write_table(tokenizers["full"], table(ROWS, [1, 2, 3, 4])))
    ids, terms = written(source, np.array([3, 0]))
    # The topological order is the schema's; nothing is predicted after the last column, so it is not read.
    assert ids == [[1, 4, 6, 7, 9, 10, 11, 12, 13, 14], [1, 4, 5, 7, 8, 10, 13, 14, 16]]
    assert terms == {
        **{(0, 1, 0, 6): 4, (0, 3, 1, 9): 4, (0, 5, 2, 11): 4, (0, 6, 2, 12): 4, (0, 7, 2, 13): 4, (0, 9, 3, 15): 4},
        **{(1, 1, 0, 5): 1, (1, 3, 1, 8): 1, (1, 5, 2, 13): 1, (1, 7, 3, 16): 1},
    }
    assert (source.total_weight, source.variables) == (10, 4)
    # 1 start, 4 variables announced, 3 values of one token and 1, 2, 2, 3 tokens of visits.
    assert source.mean_length == 8 + 2


def test_parent_rows_by_hand(tokenizers):
    source = ParentRows(tokenizers["parents"], write_table(tokenizers["parents"], table(ROWS, [1, 2, 3, 4])))
    ids, terms = written(source)
    # What sick and drug read, [1, 4] and [1, 4, 5, 7], are beginnings of what well reads.
    assert ids == [
        *([1, 4, 5, 10, 13], [1, 4, 5, 10, 12, 13], [1, 4, 6, 10, 11, 12]),
        *([1, 4, 5, 7, 8, 14], [1, 4, 6, 7, 9, 14]),
    ]
    assert terms == {
        **{(3, 1, 0, 5): 6, (3, 1, 0, 6): 4, (3, 3, 1, 8): 6, (4, 3, 1, 9): 4},
        **{(0, 3, 2, 13): 1, (1, 3, 2, 12): 5, (1, 4, 2, 13): 5},
        **{(2, 3, 2, 11): 4, (2, 4, 2, 12): 4, (2, 5, 2, 13): 4},
        **{(3, 5, 3, 16): 6, (4, 5, 3, 15): 4},
    }
    assert source.row_weights.tolist() == [1, 10, 12, 22, 8]
    # Some of the rows, in any order.
    ids, terms = written(source, np.array([2, 4]))
    assert ids == [[1, 4, 6, 10, 11, 12], [1, 4, 6, 7, 9, 14]]
    assert terms == {**{(0, 3, 2, 11): 4, (0, 4, 2, 12): 4, (0, 5, 2, 13): 4}, **{(1, 3, 1, 9): 4, (1, 5, 3, 15): 4}}


def test_smoothing_by_hand(tokenizers):
    source = ParentRows(tokenizers["parents"], write_table(tokenizers["parents"], table(ROWS)), smoothing=2.0)
    terms = written(source)[1]
    # Of 4 rows 3 have no drug. Two contexts get one row each, not two: together they are the root of 4, with
    # .9 * 3/4 + .05 of no drug and .9 * 1/4 + .05 of the drug.
    assert [terms[3, 3, 1, 8], terms[3, 3, 1, 9]] == pytest.approx([3 + 0.725, 0.275])
    assert [terms[4, 3, 1, 8], terms[4, 3, 1, 9]] == pytest.approx([0.725, 1 + 0.275])
    assert terms[0, 3, 2, 13] == 1


@pytest.mark.parametrize("kind", ["ordinal", "categorical"])
def test_what_is_added_is_what_near_doses_have(kind):
    schema = DagSchema(
        (Variable("dose", kind, values=("none", "half", "full")), Variable("ill", values=YES_NO, parents=("dose",)))
    )
    tokenizer = DagTokenizer.from_schema(schema)
    rows = [(0, 0)] * 4 + [(1, 0), (1, 1)] + [(2, 1)] * 2
    source = ParentRows(tokenizer, write_table(tokenizer, table(rows, schema=schema)), smoothing=0.5)
    values = tokenizer.variables["ill"].values
    added = {
        target: weight for (row, _, variable, target), weight in written(source)[1].items() if (row, variable) == (0, 1)
    }
    # With an order half a dose says e^-.5 as much of none as none itself, and a full one e^-2; else all say as much.
    near = [4 + np.exp(-0.5), np.exp(-0.5) + 2 * np.exp(-2)] if kind == "ordinal" else [5, 3]
    share = 0.9 * near[0] / sum(near) + 0.05
    assert [added[value] for value in values] == pytest.approx([4 + 0.5 * share, 0.5 * (1 - share)])


def test_rare_values_of_parents_count_more(tokenizers):
    source = ParentRows(tokenizers["parents"], write_table(tokenizers["parents"], table(ROWS)), balance=0.5)
    terms = written(source)[1]
    # One row in four is sick, half an equal share: it counts root 2, and all four count four as before.
    assert terms[4, 3, 1, 9] / terms[3, 3, 1, 8] == pytest.approx(2**0.5 / 3)
    assert terms[4, 3, 1, 9] + terms[3, 3, 1, 8] == pytest.approx(4)


def test_a_row_that_stands_for_many_is_in_every_batch():
    many = tuple(f"v{number}" for number in range(40))
    both = Variable("both", values=YES_NO, parents=("one", "other"))
    schema = DagSchema((Variable("one", values=many), Variable("other", values=many), both))
    codes = np.random.default_rng(0).integers(40, size=(1000, 2))
    tokenizer = DagTokenizer.from_schema(schema)
    drawn_rows = table([(one, other, (one + other) % 2) for one, other in codes], schema=schema)
    source = ParentRows(tokenizer, write_table(tokenizer, drawn_rows))
    batches = _Batches(source, 300, seed=0)
    steps = [batches[step] for step in range(batches.per_epoch)]
    sizes = [len(batches.items[step * batches.size : (step + 1) * batches.size]) for step in range(len(steps))]
    assert len(steps) > 10
    for variable in range(3):
        heard = [each["term_weight"][each["place_variable"][each["term_place"]] == variable].sum() for each in steps]
        # All batches of a pass together are the table; "other" has one row, which is in (nearly) each of them.
        assert np.average(heard, weights=sizes) == pytest.approx(1 / 3, rel=1e-5)
        if variable == 1:
            assert np.count_nonzero(heard) >= 0.9 * len(source) / batches.size


def test_random_orders_are_drawn_anew():
    tokenizer = DagTokenizer.from_schema(SCHEMA, history="full", order="random")
    source = FullRows(tokenizer, write_table(tokenizer, table([ROWS[3]] * 50)))
    rng = np.random.default_rng(0)
    first, second = (source.batch(np.arange(50), rng)["input_ids"] for _ in range(2))
    assert not first.equal(second)
    orders = {tuple(tokenizer.desequencify(row)) for row in first.tolist()}
    assert len(orders) == 3  # sick, then drug before well, and visits anywhere after sick
    # What is not read is the last token: that of well or the end of visits.
    assert len(set(map(tuple, first.sort(1).values.tolist()))) == 2


def test_losses_are_restricted_to_what_a_variable_may_be(tokenizers):
    for history, kind in (("full", FullRows), ("parents", ParentRows)):
        tokenizer = tokenizers[history]
        source = kind(tokenizer, write_table(tokenizer, table(ROWS, [1, 2, 3, 4])))
        losses = all_losses(Uniform(len(tokenizer)), source, allowed_tokens(tokenizer)).per_variable(source)
        # Visits have 1, 2, 2 and 3 tokens, each one of three.
        expected = [np.log(2), np.log(2), (1 + 2 * 2 + 3 * 2 + 4 * 3) / 10 * np.log(3), np.log(2)]
        assert losses == pytest.approx(np.array(expected))


def test_losses_of_a_model_by_hand(tokenizers):
    tokenizer = tokenizers["parents"]
    model = AutoModelForCausalLM.from_config(
        LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
        )
    ).eval()
    source = ParentRows(tokenizer, write_table(tokenizer, table(ROWS)))
    batch = source.batch(np.arange(len(source)), np.random.default_rng(0))
    losses = term_losses(model, batch, allowed_tokens(tokenizer))
    with torch.no_grad():
        logits = model(torch.tensor([[1, 4, 6, 10, 11]])).logits[0, -1, [11, 12, 13]]
    place = [term for term, target in enumerate(batch["term_target"].tolist()) if target == 12][-1]
    assert losses[place].item() == pytest.approx(-logits.log_softmax(-1)[1].item(), abs=1e-5)


def test_marginals_by_hand(tokenizers):
    tokenizer = tokenizers["parents"]
    training, validation = (write_table(tokenizer, table(rows)) for rows in (ROWS, ROWS[3:]))
    losses = marginal_losses(tokenizer, training, validation)
    # One of 4 rows has the drug, and half of one further row; of the 8 tokens of visits 1 is home, 3 ward, 4 ends.
    visits = [(1 + 1 / 3) / 9, (3 + 1 / 3) / 9, (4 + 1 / 3) / 9]
    assert losses == pytest.approx(
        np.array([-np.log(1.5 / 5), -np.log(1.5 / 5), -np.log(visits).sum(), -np.log(1.5 / 5)])
    )


def test_counts_by_hand(tokenizers):
    tokenizer = tokenizers["parents"]
    training, validation = (write_table(tokenizer, table(rows)) for rows in (ROWS, ROWS[3:]))
    # One row of four is sick, all of the sick have the drug, all of those with both are not well; one row more is
    # spread over 2, 4 and 8 cells. A sequence is no table of counts.
    shares = [(1 + 1 / 2) / (4 + 1), (1 + 1 / 4) / (1 + 1 / 2), np.nan, (1 + 1 / 8) / (1 + 1 / 4)]
    assert bdeu_losses(tokenizer, training, validation) == pytest.approx(-np.log(shares), nan_ok=True)
    # Parents that were never seen: all values alike.
    unseen = write_table(tokenizer, table([(0, 1, (), 1)]))
    assert bdeu_losses(tokenizer, training, unseen)[3] == pytest.approx(np.log(2))


def test_trees_are_a_yardstick(tokenizers):
    tokenizer = tokenizers["parents"]
    training, validation = (write_table(tokenizer, table(rows)) for rows in (ROWS * 100, ROWS[3:]))
    found = boosted_losses(tokenizer, training, validation)
    # What has no parents is the marginal, and a sequence is no class; whoever is sick has the drug.
    assert found[0] == marginal_losses(tokenizer, training, validation)[0]
    assert np.isnan(found[2])
    assert found[1] == pytest.approx(bdeu_losses(tokenizer, training, validation)[1], abs=0.02)
    assert found[1] < 0.05 < marginal_losses(tokenizer, training, validation)[1]
    # A value that trees never saw costs as much as one row spread over all values makes it.
    unseen = write_table(tokenizer, table([(0, 1, (), 1)]))
    alike = write_table(tokenizer, table([(0, 0, (), 0)] * 50))
    assert boosted_losses(tokenizer, alike, unseen)[1] == pytest.approx(np.log(51 * 2))


def test_trees_grow_for_few_values_only(monkeypatch, tokenizers):
    monkeypatch.setattr("hf_trace.training.table_losses._MOST_GROWN", 3)
    written_rows = write_table(tokenizers["parents"], table(ROWS))
    assert np.isnan(boosted_losses(tokenizers["parents"], written_rows, written_rows)).all()


@pytest.fixture(scope="module")
def quick(tiny_config):
    return DagTrainingSettings(model=str(tiny_config), epochs=60.0, learning_rate=1e-2, refit=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory, quick):
    return train_dag(drawn(400), tmp_path_factory.mktemp("runs") / "run", replace(quick, folds=2))


def test_run_folder(run, quick):
    files = [
        *("config.json", "dag.json", "folds.json", "generation_config.json", "members", "metrics.json"),
        *("model.safetensors", "tokenizer.json", "tokenizer_config.json", "training.json"),
    ]
    assert names(run.folder) == files
    assert names(run.folder.parent) == ["run"]
    assert DagSchema.load(run.folder / "dag.json") == SCHEMA
    tokenizer = DagTokenizer.from_pretrained(run.folder)
    assert (tokenizer.schema, tokenizer.history, tokenizer.order) == (SCHEMA, "parents", "fixed")
    assert load_model(run.folder).config.vocab_size == len(tokenizer)
    stored = read(run.folder / "training.json")
    # Start, two parents and the variable: 1 + 2 * 2 + 2; visits have up to 2 items and an end.
    assert (stored["kind"], stored["context_length"]) == ("table", 7)
    assert DagTrainingSettings(**{name: stored[name] for name in vars(quick)}) == replace(quick, folds=2)


def test_metrics(run):
    metrics = read(run.folder / "metrics.json")
    assert metrics == run.metrics
    assert (metrics["rows"], metrics["rows_training"], metrics["rows_validation"], metrics["weight"]) == (
        400,
        360,
        40,
        400,
    )
    # 4 rows for well, which begin as those of sick and drug; visits are 2 items long after sick, 1 else: 4 + 2.
    assert metrics["rows_merged"] == 4 + 6
    assert metrics["parameters"] == load_model(run.folder).num_parameters()
    quality = metrics["validation"]
    assert list(quality["variables"]) == ["sick", "drug", "visits", "well"]
    for part in ("loss", "marginal"):
        assert quality[part] == pytest.approx(np.mean([each[part] for each in quality["variables"].values()]))
    assert quality["beats_marginal"]
    assert quality["rows"] == 40


def test_conditionals_are_learned(run):
    tokenizer, model = DagTokenizer.from_pretrained(run.folder), load_model(run.folder).eval()
    source = ParentRows(tokenizer, write_table(tokenizer, drawn(4000, seed=1)))
    losses = all_losses(model, source, allowed_tokens(tokenizer)).per_variable(source)
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    # Sick 40 %; one or two items and then a certain end; of those who got the wrong thing one in five gets well.
    truth = [
        -(0.4 * np.log(0.4) + 0.6 * np.log(0.6)),
        entropy,
        1.4 * np.log(2),
        0.25 * -(0.2 * np.log(0.2) + 0.8 * np.log(0.8)),
    ]
    assert losses == pytest.approx(np.array(truth), abs=0.05)


def test_members_have_not_seen_their_fold(run):
    folds = Folds.of_run(run.folder)
    assert folds == Folds(2, 0, 400)
    assert names(run.folder / "members") == ["1", "2"]
    left_out = [read(run.folder / "members" / name / "metrics.json") for name in ("1", "2")]
    assert [each["rows"] for each in left_out] == [200, 200]
    fold, rows = folds.of_rows(400), drawn(400)
    for number, document in enumerate(left_out):
        tokenizer = DagTokenizer.from_pretrained(run.folder / "members" / str(number + 1))
        model = load_model(run.folder / "members" / str(number + 1)).eval()
        source = ParentRows(tokenizer, write_table(tokenizer, rows.select(fold == number)))
        losses = all_losses(model, source, allowed_tokens(tokenizer)).per_variable(source)
        stored = [each["loss"] for each in document["left_out"]["variables"].values()]
        assert losses == pytest.approx(np.array(stored), abs=1e-5)
    weights = [load_file(run.folder / place / "model.safetensors") for place in (".", "members/1", "members/2")]
    assert not any(
        weights[i]["model.norm.weight"].equal(weights[j]["model.norm.weight"]) for i, j in ((0, 1), (0, 2), (1, 2))
    )


@pytest.mark.parametrize("order", ["fixed", "random"])
def test_full_history(tmp_path, quick, order):
    settings = replace(quick, history="full", order=order, epochs=8.0, refit=None, batch_tokens=256)
    run = train_dag(drawn(300), tmp_path / "run", settings)
    assert not run.metrics["refitted"]
    # 30 rows held out and 270 learned from; the loss of the kept checkpoint is that of the folder.
    assert run.metrics["rows_merged"] == 270
    tokenizer, model = DagTokenizer.from_pretrained(run.folder), load_model(run.folder).eval()
    assert (tokenizer.history, tokenizer.order) == ("full", order)
    held = drawn(300).select(held_out(300, 0.1, 0))
    source = FullRows(tokenizer, write_table(tokenizer, held))
    losses = all_losses(model, source, allowed_tokens(tokenizer)).per_variable(source)
    stored = [each["loss"] for each in run.metrics["validation"]["variables"].values()]
    assert losses == pytest.approx(
        np.array([stored[["sick", "drug", "visits", "well"].index(n)] for n in run.quality.variables]), abs=1e-5
    )
    assert run.quality.beats_marginal


def test_weights_count_as_rows(tmp_path, quick):
    few = replace(quick, epochs=3.0, validation_share=0.01, smoothing=0.0)
    runs = [
        train_dag(data, tmp_path / str(n), few) for n, data in enumerate([table(ROWS * 10, [2] * 40), table(ROWS * 10)])
    ]
    first, second = (load_file(run.folder / "model.safetensors") for run in runs)
    assert all(torch.allclose(first[name], second[name], atol=1e-5) for name in first)
    assert [run.metrics["weight"] for run in runs] == [80, 40]


def test_same_seed_same_weights(tmp_path, quick):
    runs = [
        train_dag(drawn(60), tmp_path / str(n), replace(quick, epochs=4.0, seed=seed)).folder
        for n, seed in enumerate([0, 0, 1])
    ]
    first, again, other = ((run / "model.safetensors").read_bytes() for run in runs)
    assert first == again
    assert first != other


# Six steps each: the choice, the refit, two members.
@pytest.mark.parametrize(
    ("history", "stop"),
    [
        pytest.param("parents", 3, marks=pytest.mark.slow),
        ("parents", 10),
        pytest.param("parents", 15, marks=pytest.mark.slow),
        pytest.param("full", 21, marks=pytest.mark.slow),
    ],
)
def test_resumed_training_gives_the_same_weights(tmp_path, quick, interruption, history, stop):
    settings = replace(quick, epochs=6.0, folds=2, history=history, order="random", patience=12)
    rows = drawn(60)
    settings = replace(settings, batch_tokens=100_000)
    whole = train_dag(rows, tmp_path / "whole", settings)

    class Counted(interruption):
        seen = 0

        def on_step_end(self, args, state, control, **kwargs):
            self.seen += 1
            if self.seen == self.step:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_dag(rows, tmp_path / "cut", settings, callbacks=[Counted(stop)])
    assert names(tmp_path) == [".cut-checkpoints", "whole"]
    resumed = train_dag(rows, tmp_path / "cut", settings, resume=True)
    assert names(tmp_path) == ["cut", "whole"]
    for place in (".", "members/1", "members/2"):
        files = [run.folder / place / "model.safetensors" for run in (whole, resumed)]
        assert files[0].read_bytes() == files[1].read_bytes()
    assert resumed.quality == whole.quality


def test_tables_that_cannot_be_learned_from(tmp_path, quick):
    assert refused(TableError, train_dag, table(ROWS[:1]), tmp_path / "run", quick) == (
        "The table has 1 rows, expected at least 2: one to learn from, one to check on."
    )
    assert "folds is 5, but the table has 4 rows" in refused(
        SettingsError, train_dag, table(ROWS), tmp_path / "run", replace(quick, folds=5)
    )
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("")
    assert "is not a run folder" in refused(OutputError, train_dag, table(ROWS), tmp_path / "other", quick)
    assert names(tmp_path) == ["other"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"folds": 1}, "folds is 1, expected a whole number of at least 2."),
        ({"folds": -2}, "folds is -2, expected a whole number of at least 2."),
        ({"patience": 0}, "patience is 0, expected a whole number of at least 1."),
        ({"batch_tokens": 0}, "batch_tokens is 0, expected a whole number of at least 1."),
        ({"smoothing": -1.0}, "smoothing is -1.0, expected a number of at least 0."),
        ({"validation_share": 1.0}, "validation_share is 1.0, expected between 0 and 1."),
        ({"epochs": 0.0}, "epochs is 0.0, expected a number above 0."),
        ({"learning_rate": float("nan")}, "learning_rate is nan, expected a number above 0."),
    ],
)
def test_settings_out_of_range(wrong, message):
    assert refused(SettingsError, DagTrainingSettings, **wrong) == message


@pytest.fixture(scope="module", params=["tied", "untied"])
def pretrained(request, tmp_path_factory):
    """A folder with a tiny checkpoint and its byte-level tokenizer."""
    folder = tmp_path_factory.mktemp("pretrained") / request.param
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({token: index for index, token in enumerate(alphabet)}, []))
    backend.pre_tokenizer, backend.decoder = (pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel())
    PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|end|>").save_pretrained(folder)
    # More rows than tokens, as where a vocabulary was padded.
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = GPT2Config(vocab_size=260, n_positions=64, n_embd=32, n_layer=2, n_head=2)
    if request.param == "untied":
        config = LlamaConfig(vocab_size=260, max_position_embeddings=64, **shape)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def papers(count):
    rng = np.random.default_rng(0)
    topic = rng.integers(2, size=count)
    titles = [("oil" if one else "ink") + " b" * int(rng.integers(2)) for one in topic]
    accepted = [int("b" in title) for title in titles]
    return table(list(zip(topic.tolist(), titles, accepted, strict=True)), schema=TEXT_SCHEMA)


def test_pretrained_embeddings_are_kept(pretrained):
    tokenizer = DagTokenizer.from_schema(TEXT_SCHEMA, base=pretrained)
    torch.manual_seed(0)
    model = build_model(tokenizer, context_length=tokenizer.longest_row, model=str(pretrained))
    before = AutoModelForCausalLM.from_pretrained(pretrained)
    for part in ("get_input_embeddings", "get_output_embeddings"):
        old, new = getattr(before, part)().weight.detach(), getattr(model, part)().weight.detach()
        assert len(new) == len(tokenizer) == 257 + 8
        assert new[:257].equal(old[:257])
        assert new[257:].std() == pytest.approx(old[:257].std().item(), rel=0.3)
    body = {name: value for name, value in before.named_parameters() if value.shape[0] != 260}
    assert all(value.equal(dict(model.named_parameters())[name]) for name, value in body.items())


@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("history", ["parents", "full"])
def test_training_from_pretrained_with_text(pretrained, lora, history, tmp_path):
    settings = DagTrainingSettings(
        model=str(pretrained), lora=lora, history=history, epochs=30.0, learning_rate=1e-2, patience=12
    )
    run = train_dag(papers(80), tmp_path / "run", settings)
    tokenizer, model = DagTokenizer.from_pretrained(run.folder), load_model(run.folder)
    assert tokenizer.kept_tokens == 257
    assert model.config.vocab_size == len(tokenizer)
    assert run.quality.variables["accepted"]["loss"] < 0.1
    weight, before = model.get_input_embeddings().weight, AutoModelForCausalLM.from_pretrained(pretrained)
    if lora:
        # Only new tokens have moved.
        assert weight[:257].equal(before.get_input_embeddings().weight[:257])
    else:
        assert not weight[:257].equal(before.get_input_embeddings().weight[:257])


def test_new_tokens_train_beside_adapters(pretrained, tmp_path):
    settings = DagTrainingSettings(model=str(pretrained), lora=True, epochs=3.0)
    runs = [
        train_dag(papers(20), tmp_path / str(rate), replace(settings, learning_rate=rate)) for rate in (1e-12, 1e-2)
    ]
    still, moved = (load_model(run.folder) for run in runs)
    for part in ("get_input_embeddings", "get_output_embeddings"):
        one, other = getattr(still, part)().weight[257:], getattr(moved, part)().weight[257:]
        used = (one - other).abs().max(1).values > 1e-6
        assert used.all()


def test_pretrained_models_that_do_not_fit(pretrained, tmp_path):
    long = TEXT_SCHEMA.replace_variables({"title": replace(TEXT_SCHEMA["title"], max_length=100)})
    data = replace(papers(4), schema=long)
    assert refused(ModelLoadError, train_dag, data, tmp_path / "run", DagTrainingSettings(model=str(pretrained))) == (
        f"{str(pretrained)!r} reads at most 64 tokens, a row has up to 104. Give texts and sequences a smaller "
        "`max_length`."
    )
    assert "holds text" in refused(SettingsError, train_dag, papers(4), tmp_path / "run")
    wider = DagTokenizer.from_schema(TEXT_SCHEMA, base=pretrained)
    AutoModelForCausalLM.from_config(GPT2Config(vocab_size=100, n_embd=8, n_layer=1, n_head=1)).save_pretrained(
        tmp_path / "small"
    )
    message = refused(VocabularyMismatchError, build_model, wider, context_length=8, model=str(tmp_path / "small"))
    assert message.startswith("The tokenizer extends one of 257 tokens but the model")
    assert names(tmp_path) == ["small"]


def test_a_checkpoint_without_a_tokenizer_gets_a_new_vocabulary(pretrained, tmp_path):
    folder = tmp_path / "bare"
    AutoModelForCausalLM.from_pretrained(pretrained).save_pretrained(folder)
    run = train_dag(drawn(40), tmp_path / "run", DagTrainingSettings(model=str(folder), epochs=2.0))
    assert DagTokenizer.from_pretrained(run.folder).kept_tokens == 0
    assert load_model(run.folder).config.vocab_size == 17


@pytest.mark.parametrize("model_type", ["qwen2", "mamba", "bert"])
def test_other_model_types(tmp_path, model_type):
    # Beside some types Transformers rebuilds a tokenizer as another kind; the folder says how not to.
    settings = DagTrainingSettings(model=model_type, epochs=2.0, refit=False)
    run = train_dag(drawn(40), tmp_path / "run", settings)
    tokenizer = DagTokenizer.from_pretrained(run.folder)
    again = DagTokenizer(AutoTokenizer.from_pretrained(run.folder))
    assert again.vocabulary == tokenizer.vocabulary
    assert again.schema == SCHEMA
    assert tokenizer.agrees_with(again.tokenizer)
    assert load_model(run.folder).config.model_type == model_type
