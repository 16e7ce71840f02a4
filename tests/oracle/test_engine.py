"""The engine against the plainest reference: every row alone, whole, through the model's public forward."""

import logging
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.models import CONFIGS, VOCAB, tiny_model

from hf_trace.errors import ContextLengthError, FutureLeakError, ModelLoadError, NonFiniteError
from hf_trace.oracle.engine import MOST_TOKENS, Oracle
from hf_trace.oracle.rows import NO_TARGET, Branches, micro_batches
from hf_trace.oracle.transfers import one_ahead

LENGTHS = (17, 9, 14)
SHARED = {"llama", "gpt2", "qwen2", "qwen3", "mistral", "gemma2", "gpt_neox", "opt", "roberta", "bert", "cohere"}


def sequences() -> torch.Tensor:
    ids = torch.randint(3, VOCAB, (len(LENGTHS), max(LENGTHS)), generator=torch.Generator().manual_seed(1))
    for row, length in enumerate(LENGTHS):
        ids[row, length:] = 0
    return ids


def some_branches(*, of_one: bool = False) -> tuple[Branches, list[list[torch.Tensor]]]:
    """Groups of unequal pasts, tails and sizes, of three sequences or one; some tokens without a target."""
    generator = torch.Generator().manual_seed(2)
    places = [(0, 1, 3, 6), (0, 12, 2, 5), (1, 5, 4, 1), (2, 10, 1, 4), (2, 1, 3, 9), (1, 8, 2, 3)]
    sequence, shared, samples, tail = (torch.tensor(column) for column in zip(*places, strict=True))
    sequence = 0 * sequence if of_one else sequence
    rows = [[torch.randint(3, VOCAB, (t + 1,), generator=generator) for _ in range(s)] for _, _, s, t in places]

    def tails(groups, most, width):
        ids = torch.full((len(groups), most, width), 3)
        targets = torch.full((len(groups), most, width), NO_TARGET)
        for g, group in enumerate(groups.tolist()):
            for s, row in enumerate(rows[group]):
                ids[g, s, : len(row) - 1] = row[:-1]
                targets[g, s, : len(row) - 1] = row[1:]
                targets[g, s, 1:2] = NO_TARGET
        return ids, targets

    return Branches(sequence, shared, samples, tail, tails), rows


@torch.inference_mode()
def reference(model, ids, branches, rows) -> list[torch.Tensor]:
    """Log-probabilities of the tail tokens of each row, one full forward per row."""
    out = []
    for group, tails in enumerate(rows):
        past = ids[branches.sequence[group], : branches.shared_length[group]]
        for tail in tails:
            log_probs = model(input_ids=torch.cat([past, tail])[None]).logits[0].float().log_softmax(-1)
            start = len(past)
            out.append(log_probs[start : start + len(tail) - 1].gather(-1, tail[1:, None]).squeeze(-1))
    return out


def scored_rows(oracle, ids, branches, rows) -> list[torch.Tensor]:
    reading = oracle.read(ids)
    found = {}
    for groups, log_probs in oracle.branch_log_probs(reading, branches):
        for g, group in enumerate(groups.tolist()):
            for s, tail in enumerate(rows[group]):
                found[group, s] = log_probs[g, s, : len(tail) - 1]
                assert log_probs[g, s, len(tail) - 1 :].isnan().all()
    return [found[group, s] for group, tails in enumerate(rows) for s in range(len(tails))]


def largest_difference(found, expected) -> float:
    """Over all scored tokens; the second token of every tail has no target."""
    differences = []
    for one, other in zip(found, expected, strict=True):
        assert one[1:2].isnan().all()
        keep = torch.arange(len(one)) != 1
        differences.append((one[keep] - other[keep]).abs())
    return float(torch.cat(differences).max())


LONGEST = max(LENGTHS) + 1
_NEO = {"hidden_size": 32, "num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]]}
# Models that look positions up in a table, which is as long as the longest row with its last target.
TABLES = {
    "gpt2": {"n_positions": LONGEST},
    "opt": {"max_position_embeddings": LONGEST},
    "gpt_neo": {**_NEO, "window_size": 5, "max_position_embeddings": LONGEST},
    "bert": {"max_position_embeddings": LONGEST},
    "roberta": {"max_position_embeddings": LONGEST + 1},
    "openai-gpt": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": LONGEST},
}


@pytest.mark.parametrize("kind", TABLES)
def test_padding_of_short_tails_reads_no_position_past_a_full_table(kind):
    model = tiny_model(kind, **TABLES[kind])
    oracle = Oracle(model)
    assert oracle.context_length == LONGEST
    branches, rows = some_branches()
    found = scored_rows(oracle, sequences(), branches, rows)
    assert largest_difference(found, reference(model, sequences(), branches, rows)) < 1e-4


def test_groups_without_rows_are_passed_over():
    branches, _ = some_branches()
    none = Branches(
        branches.sequence, branches.shared_length, 0 * branches.samples, branches.tail_length, branches.tails
    )
    oracle = Oracle(tiny_model("llama"))
    scored = list(oracle.branch_log_probs(oracle.read(sequences()), none))
    assert sorted(torch.cat([groups for groups, _ in scored]).tolist()) == list(range(len(branches)))
    assert all(log_probs.shape[1] == 0 for _, log_probs in scored)


@pytest.mark.parametrize(("kind", "found"), [("llama", 0), ("llama", -1), ("llama", "x"), ("llama", True), ("gpt2", 0)])
def test_a_model_must_say_how_much_it_reads(kind, found):
    model = tiny_model(kind)
    name = "n_positions" if kind == "gpt2" else "max_position_embeddings"
    model.config.__dict__[name] = found
    with pytest.raises(ModelLoadError, match=f"of the model's config is {found!r}, expected the number of tokens"):
        Oracle(model)


def test_a_model_that_cannot_run_is_refused():
    model = tiny_model("llama")
    model.model.layers[0].self_attn.q_proj = torch.nn.Linear(3, 5)
    with pytest.raises(ModelLoadError, match="The model cannot read 24 tokens"):
        Oracle(model)


@pytest.mark.parametrize("kind", sorted(SHARED))
def test_rows_of_one_sequence_attend_to_its_past_together(kind):
    model = tiny_model(kind)
    branches, rows = some_branches(of_one=True)
    found = scored_rows(Oracle(model), sequences(), branches, rows)
    assert largest_difference(found, reference(model, sequences(), branches, rows)) < 1e-4


@pytest.mark.parametrize("kind", CONFIGS)
def test_rows_score_as_if_alone_and_whole(kind, caplog):
    model = tiny_model(kind)
    with caplog.at_level(logging.WARNING):
        oracle = Oracle(model)
    assert (oracle.reader.name == "shared past") == (kind in SHARED)
    assert (len(caplog.records) == 1) == (kind not in SHARED)
    branches, rows = some_branches()
    difference = largest_difference(
        scored_rows(oracle, sequences(), branches, rows), reference(model, sequences(), branches, rows)
    )
    assert difference < 1e-4


@pytest.mark.parametrize("kind", ["llama", "mistral", "bloom"])
@pytest.mark.parametrize("most_tokens", [1, 7, 10_000])
def test_micro_batches_change_nothing(kind, most_tokens, monkeypatch):
    branches, rows = some_branches()
    whole = scored_rows(Oracle(tiny_model(kind)), sequences(), branches, rows)
    monkeypatch.setitem(MOST_TOKENS, "cpu", most_tokens)
    parts = scored_rows(Oracle(tiny_model(kind)), sequences(), branches, rows)
    assert largest_difference(parts, whole) < 1e-5


def test_a_few_long_rows_do_not_pad_many_short_ones():
    """Two rows of 60 tokens and thirty of 16: padded to 60 they would be 1,920 tokens instead of 600."""
    assert cut([16] * 20 + [60] * 2 + [16] * 10, most_tokens=2048) == [[60] * 2, [16] * 30]
    # 60, 59, ...: 17 rows fit into 1,024 tokens, and beginning anew after i saves i (17 - i): 72 after 8, more than the
    # 64 of a sixteenth; then 19 rows fit, and 9 (19 - 9) = 90.
    assert [len(part) for part in cut(range(1, 61), most_tokens=1024)][:2] == [8, 9]


@given(st.lists(st.integers(1, 70), min_size=1, max_size=90), st.integers(1, 3000), st.integers(1, 4))
def test_micro_batches_hold_every_group_once_and_what_fits(widths, most_tokens, samples):
    parts = cut(widths, most_tokens=most_tokens, samples=samples)
    assert [width for part in parts for width in part] == sorted(widths, reverse=True)
    assert all(len(part) == 1 or len(part) * part[0] * samples <= most_tokens for part in parts)
    # Beginning anew at row i would save (longest - row i) (rows from i on), so padding is a harmonic sum at most.
    harmonic = sum(1 / row for row in range(1, 91))
    assert all(samples * (len(part) * part[0] - sum(part)) <= most_tokens / 16 * harmonic for part in parts)


def cut(widths, *, most_tokens, samples=1):
    """Widths of the rows of each micro-batch."""
    width = torch.tensor(list(widths))
    zeros = torch.zeros_like(width)
    branches = Branches(zeros, zeros, zeros + samples, width, lambda *_: (zeros, zeros))
    return [width[groups].tolist() for groups in micro_batches(width, branches, most_tokens)]


@pytest.mark.parametrize("most_tokens", [7, 10_000])
def test_beginning_the_next_before_one_is_used_changes_nothing(most_tokens, monkeypatch):
    """What a GPU does, so that neither it nor the processor waits."""
    monkeypatch.setitem(MOST_TOKENS, "cpu", most_tokens)
    oracle = Oracle(tiny_model("llama"))
    branches, _ = some_branches()
    in_turn = list(oracle.branch_log_probs(oracle.read(sequences()), branches))
    monkeypatch.setattr(Oracle, "_in_turn", lambda self, begun: one_ahead(begun))
    ahead = list(oracle.branch_log_probs(oracle.read(sequences()), branches))
    for (groups, scores), (same_groups, same_scores) in zip(in_turn, ahead, strict=True):
        assert torch.equal(groups, same_groups)
        torch.testing.assert_close(scores, same_scores, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("kind", ["llama", "gemma2", "bloom"])
@pytest.mark.parametrize("candidates", [[5, 6, 7, 8], [9, 4, 17], [11]])
def test_candidates_have_all_the_probability_there_is(kind, candidates):
    """Next to each other or apart, among few: softmax of the logits of a plain forward over them alone."""
    model = tiny_model(kind)
    oracle, ids = Oracle(model), sequences()
    reading, chosen = oracle.read(ids), torch.tensor(candidates)
    features = reading.features[torch.tensor([0, 1]), torch.tensor([3, 8])]
    with torch.no_grad():
        logits = torch.stack([model(input_ids=ids[:1, :4]).logits[0, -1], model(input_ids=ids[1:2, :9]).logits[0, -1]])
    expected = logits[:, chosen].softmax(-1)
    torch.testing.assert_close(oracle.candidate_probabilities(features, chosen), expected, rtol=1e-4, atol=1e-5)


def test_probabilities_that_become_nan_are_refused():
    oracle = Oracle(tiny_model("llama"))
    with torch.no_grad():
        oracle.model.lm_head.weight[4] = torch.nan
    with pytest.raises(NonFiniteError, match="returned NaN log-probabilities, expected finite ones"):
        oracle.candidate_probabilities(oracle.read(sequences()).features[:, 3], torch.tensor([4, 5]))


def test_a_processor_that_compiles_nothing_says_so(caplog):
    with caplog.at_level(logging.WARNING):
        Oracle(tiny_model("llama"), compiled=True)
    assert [record.getMessage() for record in caplog.records] == [
        "Layers are compiled for GPUs, and the model is on cpu: it is read as it is."
    ]


def test_scores_that_become_nan_are_refused():
    oracle = Oracle(tiny_model("llama"))
    branches, _ = some_branches()
    with torch.no_grad():
        oracle.model.lm_head.weight[:] = torch.nan
    for score in (oracle.branch_log_probs, partial(oracle.branch_candidates, candidates=torch.tensor([4, 5]))):
        with pytest.raises(NonFiniteError, match="returned NaN log-probabilities, expected finite ones"):
            list(score(oracle.read(sequences()), branches))


@pytest.mark.parametrize("kind", CONFIGS)
def test_the_side_of_the_padding_changes_nothing(kind):
    oracle = Oracle(tiny_model(kind))
    right = sequences()
    left = torch.stack([row.roll(max(LENGTHS) - length) for row, length in zip(right, LENGTHS, strict=True)])
    branches, _ = some_branches()
    scored = []
    for ids in (left, right):
        reading = oracle.read(ids, (ids > 0).long())
        scored += [{tuple(groups.tolist()): found for groups, found in oracle.branch_log_probs(reading, branches)}]
    for groups, found in scored[0].items():
        torch.testing.assert_close(found, scored[1][groups], rtol=0, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "cohere", "bert"])
def test_observed_tokens_score_as_in_a_plain_forward(kind):
    model = tiny_model(kind)
    ids = sequences()
    oracle = Oracle(model)
    sequence, position = (ids > 0).nonzero(as_tuple=True)
    keep = position > 0
    found = oracle.log_probs(oracle.read(ids), sequence[keep], position[keep])
    with torch.inference_mode():
        expected = torch.cat(
            [
                model(input_ids=row[None, :length]).logits[0, :-1].log_softmax(-1).gather(-1, row[1:length, None])
                for row, length in zip(ids, LENGTHS, strict=True)
            ]
        )
    assert (found - expected.squeeze(-1)).abs().max() < 1e-4


def test_other_runtime_errors_pass_through(monkeypatch):
    oracle = Oracle(tiny_model("llama"))

    def broken(*args):
        raise RuntimeError("a bug")

    monkeypatch.setattr(oracle.reader, "branch", broken)
    branches, rows = some_branches()
    with pytest.raises(RuntimeError, match="a bug"):
        scored_rows(oracle, sequences(), branches, rows)


def test_a_wrong_shortcut_is_not_taken(monkeypatch):
    """A reader that is off by little must lose to full rows."""
    from hf_trace.oracle import readers

    plain = readers.SharedPastReader.branch
    monkeypatch.setattr(readers.SharedPastReader, "branch", lambda *args: plain(*args) * 1.001)
    assert Oracle(tiny_model("llama")).reader.name == "full rows"


def test_a_soft_cap_is_not_mistaken_for_a_linear_head():
    """On small logits a soft cap is all but invisible; the linear shortcut must still be refused."""
    assert type(Oracle(tiny_model("gemma2", scale=0.5)).head).__name__ == "WholeHead"


def test_a_model_in_bfloat16_keeps_its_format_and_its_shortcut():
    oracle = Oracle(tiny_model("llama").to(torch.bfloat16))
    assert next(oracle.model.parameters()).dtype == torch.bfloat16
    assert oracle.reader.name == "shared past"
    branches, rows = some_branches()
    expected = reference(tiny_model("llama"), sequences(), branches, rows)
    assert largest_difference(scored_rows(oracle, sequences(), branches, rows), expected) < 0.5


def test_a_model_that_sees_the_future_is_refused():
    from transformers import BertConfig, BertLMHeadModel

    torch.manual_seed(0)
    model = BertLMHeadModel(BertConfig(vocab_size=VOCAB, hidden_size=32, num_hidden_layers=1, num_attention_heads=2))
    with pytest.raises(FutureLeakError, match=r"sees the future. Load BERT-like checkpoints with is_decoder=True"):
        Oracle(model)


def test_a_model_that_returns_nan_is_refused():
    model = tiny_model("llama")
    with torch.no_grad():
        model.lm_head.weight[0, 0] = torch.nan
    with pytest.raises(NonFiniteError, match=r"returns NaN or infinite logits, expected finite ones"):
        Oracle(model)


def test_a_sequence_beyond_the_context_is_refused():
    oracle = Oracle(tiny_model("llama"))
    with pytest.raises(ContextLengthError, match=r"has 65 tokens, the model reads at most 64"):
        oracle.read(torch.ones((1, 65), dtype=torch.long))


def test_the_model_gets_its_own_attention_back():
    model = tiny_model("llama")
    before = model.config._attn_implementation
    Oracle(model)
    assert model.config._attn_implementation == before
