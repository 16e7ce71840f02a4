"""How much is scored at once, and that every way of scoring says the same where memory runs out."""

import logging
from types import SimpleNamespace

import pytest
import torch
from tests.models import VOCAB, tiny_model
from transformers import LlamaConfig

from hf_trace.errors import SettingsError
from hf_trace.oracle.attributions import attention_rollout, input_times_gradient
from hf_trace.oracle.engine import Memory, Oracle, budget_bytes, free_bytes, token_bytes
from hf_trace.oracle.proofs import whole_rows
from hf_trace.oracle.proposals import merge_draws
from hf_trace.oracle.readers import block_logits
from hf_trace.oracle.rows import atomic
from hf_trace.oracle.walks import Slots, Walk, sample_futures

CPU = torch.device("cpu")
IDS = torch.randint(3, VOCAB, (3, 17), generator=torch.Generator().manual_seed(1))
SEQUENCE, POSITION = (axis.flatten() for axis in torch.meshgrid(torch.arange(3), torch.arange(1, 17), indexing="ij"))
CANDIDATES = torch.tensor([4, 6, 9])
MOST_TOKENS, MOST_FEATURES = 24, 16  # of a layer, of the output head


@pytest.mark.parametrize(
    ("text", "expected"), [("2GB", 2**31), ("500 mb", 500 * 2**20), ("1.5G", 3 * 2**29), ("64B", 64)]
)
def test_sizes(text, expected):
    assert budget_bytes(text, CPU) == expected


@pytest.mark.parametrize("share", [0.5, "0.5"])
def test_a_share_is_of_what_is_free(share):
    half, free = budget_bytes(share, CPU), free_bytes(CPU)
    assert 0.3 * free < half < 0.7 * free


@pytest.mark.parametrize("bad", ["much", "2TBs", "1.2.3GB", "64", "0", "B", 0.0, 1.5, -1.0])
def test_what_is_neither_is_refused(bad):
    with pytest.raises(SettingsError, match=r"memory is .*, expected a s"):
        budget_bytes(bad, CPU)


def test_a_longer_past_costs_more():
    config = LlamaConfig(hidden_size=8, num_attention_heads=2, intermediate_size=16)
    assert token_bytes(config, 100) > token_bytes(config, 10) > 0


def test_an_oracle_spends_no_more_than_it_is_told():
    oracle = Oracle(tiny_model("llama"), memory="1GB")
    oracle.spend_at_most(64)
    assert (oracle.budget, oracle.memory.tokens(16), oracle.memory.tokens(100)) == (64, 4, 1)
    with pytest.raises(SettingsError, match="budget_bytes is -1, expected a whole number of at least 0"):
        oracle.spend_at_most(-1)


def test_a_gpu_computes_more_logits_at_a_time(monkeypatch):
    assert block_logits(CPU) == 2**21
    for gigabytes, expected in ((8, 2**25), (141, 2**28)):
        card = SimpleNamespace(total_memory=gigabytes * 2**30)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device, card=card: card)
        assert block_logits(torch.device("cuda")) == expected


def some_branches():
    causes = POSITION % 4 == 3
    sequence, position = SEQUENCE[causes], POSITION[causes]
    drawn = torch.randint(3, VOCAB, (len(sequence), 4), generator=torch.Generator().manual_seed(2))
    draws = merge_draws(drawn, IDS[sequence, position])
    return atomic(IDS, IDS > 3, sequence, position, (position + 5).clamp(max=16), draws)


def by_group(found):
    """What micro-batches yield, group by group."""
    rows = [(group, row) for groups, scored in found for group, row in zip(groups.tolist(), scored, strict=True)]
    return [row for _, row in sorted(rows, key=lambda each: each[0])]


def walked(oracle):
    """A step of whole rows, one with gaps, rows taken several times, and a step of one token."""
    walk, found = Walk(oracle, 10), []
    for width, present in ((3, None), (4, torch.arange(4) < torch.arange(20)[:, None] % 5), (1, None)):
        tokens = torch.arange(len(walk) * width).view(-1, width) % (VOCAB - 3) + 3
        walk.read(tokens, present)
        found.append(walk.log_probs(CANDIDATES))
        walk.select(torch.arange(len(walk)).flip(0).repeat_interleave(2))
        found.append(walk.log_probs(CANDIDATES))
    return found


def futures(oracle):
    context, last = IDS[:, :9], IDS[:, 9:].repeat(1, 2)
    uniforms = torch.rand((*last.shape, 4), generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    slots = Slots(torch.arange(4, 11), torch.tensor([12, 13]), torch.tensor([[0.5, 2.0], [2.0, 50.0]]))
    return [step.probabilities for step in sample_futures(oracle, context, last, slots, uniforms)]


WAYS = {
    "read": lambda oracle: [oracle.read(IDS).features],
    "log_probs": lambda oracle: [oracle.log_probs(oracle.read(IDS), SEQUENCE, POSITION)],
    "next_log_probs": lambda oracle: [oracle.next_log_probs(oracle.read(IDS), SEQUENCE, POSITION)],
    "next_candidates": lambda oracle: [oracle.next_candidates(oracle.read(IDS), SEQUENCE, POSITION, CANDIDATES)],
    "branch_log_probs": lambda oracle: by_group(oracle.branch_log_probs(oracle.read(IDS), some_branches())),
    "branch_candidates": lambda oracle: by_group(
        oracle.branch_candidates(oracle.read(IDS), some_branches(), CANDIDATES)
    ),
    "walk": walked,
    "futures": futures,
    "gradients": lambda oracle: by_group(input_times_gradient(oracle, oracle.read(IDS), SEQUENCE[::3], POSITION[::3])),
    "attention": lambda oracle: [rollout for _, rollout in attention_rollout(oracle, IDS)],
}


def crowd(oracle, monkeypatch) -> None:
    """Let memory run out in the second layer, when the first has kept its keys and values, and in the head."""

    def layer(module, args):
        if args[0].shape[:-1].numel() > MOST_TOKENS:
            raise torch.OutOfMemoryError("CUDA out of memory")

    def head(plain):
        def crowded(features, *others):
            if len(features) > MOST_FEATURES:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 64 bytes")
            return plain(features, *others)

        return crowded

    oracle.model.model.layers[1].register_forward_pre_hook(layer)
    for name in ("log_probs", "logits", "candidate_logits"):
        monkeypatch.setattr(oracle.head, name, head(getattr(oracle.head, name)))


@pytest.mark.parametrize("whole", [False, True], ids=["shared past", "full rows"])
@pytest.mark.parametrize("way", WAYS)
def test_exhausted_memory_changes_no_score(way, whole, monkeypatch, caplog):
    model = tiny_model("llama")
    oracle = Oracle(model, fit=whole_rows(model) if whole else None)
    expected = WAYS[way](oracle)
    assert "Out of memory" not in caplog.text
    crowd(oracle, monkeypatch)
    for one, other in zip(WAYS[way](oracle), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=2e-5, equal_nan=True)
    assert "Out of memory" in caplog.text


def test_what_was_too_much_is_not_tried_again(caplog):
    memory, tried = Memory("1GB", CPU), []

    def score(part):
        tried.append(len(part))
        if len(part) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return 2 * part

    entries = torch.arange(11)
    assert memory.in_pieces("counting", score, entries).tolist() == (2 * entries).tolist()
    assert tried == [11, 6, 3, 3, 3, 2]
    assert [record.message for record in caplog.records if record.levelno == logging.WARNING] == [
        "Out of memory while counting: half as much at once from now on."
    ] * 2
    tried.clear()
    memory.in_pieces("counting", score, entries)
    assert tried == [3, 3, 3, 2]
    memory.in_pieces("something else", score, entries[:4])
    assert tried[4:] == [4, 2, 2]


def test_a_grid_is_halved_by_its_second_axis_where_the_first_has_one_entry():
    def score(part):
        if part.numel() > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return part

    grid = torch.arange(10).view(2, 5)
    assert torch.equal(Memory("1GB", CPU).in_pieces("counting", score, grid, axes=2), grid)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("a bug")])
def test_what_does_not_fit_alone_and_what_is_a_bug_passes_through(error):
    tried = []

    def score(part):
        tried.append(len(part))
        raise error

    with pytest.raises(type(error), match=str(error)):
        Memory("1GB", CPU).in_pieces("counting", score, torch.arange(4))
    assert tried == ([4] if str(error) == "a bug" else [4, 2, 1])
