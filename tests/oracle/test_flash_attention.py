"""Attention to pasts and tails apart, by a plain definition of the kernel; recipes/speed/gpu.py compares on a GPU."""

from itertools import pairwise
from typing import NamedTuple

import pytest
import torch
from tests.models import tiny_model
from tests.oracle.test_engine import largest_difference, reference, scored_rows, sequences, some_branches

from hf_trace.oracle import flash_attention, proofs
from hf_trace.oracle.compiled import compiled_layers, lent
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.flash_attention import attend_apart, packing
from hf_trace.oracle.readers import LinearHead, SharedPastReader
from hf_trace.oracle.rows import Branches

CPU = torch.device("cpu")


class Aux(NamedTuple):
    lse: bool = False


def plain_varlen(query, key, value, starts_q, starts_k, max_q, max_k, *, window_size, scale, **_):
    """Attention of sequences that stand one after another, as the kernel documents it."""
    repeats = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(repeats, 1), value.repeat_interleave(repeats, 1)
    outs, normalizers = [], []
    for (a, b), (c, d) in zip(pairwise(starts_q), pairwise(starts_k), strict=True):
        assert b - a <= max_q
        assert d - c <= max_k
        scores = torch.einsum("qhd,khd->hqk", query[a:b], key[c:d]) * scale
        if window_size == (-1, 0):
            scores = scores.masked_fill(torch.ones_like(scores).triu(1) > 0, -torch.inf)
        outs.append(torch.einsum("hqk,khd->qhd", scores.softmax(-1), value[c:d]))
        normalizers.append(scores.logsumexp(-1))
    return torch.cat(outs), torch.cat(normalizers, 1)


@pytest.fixture
def kernel(monkeypatch):
    """The kernel by its definition, for float32 too."""
    monkeypatch.setattr(flash_attention, "varlen_attn", plain_varlen)
    monkeypatch.setattr(flash_attention, "AuxRequest", Aux, raising=False)
    monkeypatch.setattr(proofs, "HALF", (torch.float32,))


def test_both_attentions_merge_into_that_over_all_keys(kernel):
    torch.manual_seed(0)
    samples, tail, shared = 3, 4, [5, 0, 2]
    at = packing(torch.tensor([0, 1, 1]), torch.tensor(shared), samples, tail, CPU)
    query = torch.randn(9 * tail, 4, 8)
    key, value = (torch.randn(9 * tail, 2, 8) for _ in range(2))
    past = tuple(torch.randn(sum(max(1, length) for length in shared), 2, 8) for _ in range(2))
    found = attend_apart(at, query, key, value, past, 0.3).view(3, samples, tail, 4, 8)
    for group, length in enumerate(shared):
        before = [part[sum(max(1, each) for each in shared[:group]) :][:length] for part in past]
        for row in range(samples):
            own = slice((group * samples + row) * tail, (group * samples + row + 1) * tail)
            joined = [
                torch.cat([shared_part, part[own]]) for shared_part, part in zip(before, (key, value), strict=True)
            ]
            keys, values = (part.repeat_interleave(2, 1) for part in joined)
            scores = torch.einsum("qhd,khd->hqk", query[own], keys) * 0.3
            hidden = torch.ones(tail, tail).triu(1) > 0
            scores[:, :, length:] = scores[:, :, length:].masked_fill(hidden, -torch.inf)
            expected = torch.einsum("hqk,khd->qhd", scores.softmax(-1), values)
            torch.testing.assert_close(found[group, row], expected)


FLASH = ["llama", "gpt2", "qwen3", "gpt_neox", "opt", "roberta", "cohere"]


@pytest.mark.parametrize("is_compiled", [False, True])
@pytest.mark.parametrize("kind", [*FLASH, "mistral", "gemma2", "mamba"])
def test_rows_score_as_in_full(kind, is_compiled, kernel, monkeypatch):
    """What needs scores, such as a window or a soft cap, keeps the attention that has them."""
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    model = tiny_model(kind)
    fit = proofs.on_gpu(model, proofs.proven(model), is_compiled=is_compiled)
    if kind != "mamba":
        assert isinstance(fit.reader, SharedPastReader)
        assert fit.reader.is_flash == (kind in FLASH)
        assert bool(fit.reader.layers) == is_compiled
    branches, rows = some_branches()
    found = scored_rows(Oracle(model, fit=fit), sequences(), branches, rows)
    assert largest_difference(found, reference(model, sequences(), branches, rows)) < 1e-4


def test_rows_that_share_nothing_score_as_in_full(kernel):
    """The staircase keeps no token before the first."""
    model, (branches, rows) = tiny_model("llama"), some_branches()
    nothing = Branches(
        branches.sequence,
        0 * branches.shared_length,
        *(getattr(branches, n) for n in ("samples", "tail_length", "tails")),
    )
    fit = proofs.Fit(SharedPastReader(model, is_flash=True), LinearHead(model.lm_head))
    found = scored_rows(Oracle(model, fit=fit), sequences(), nothing, rows)
    assert largest_difference(found, reference(model, sequences(), nothing, rows)) < 1e-4


@pytest.mark.parametrize("broken", [NotImplementedError("no"), RuntimeError("CUDA error"), None])
def test_a_kernel_that_fails_or_is_wrong_is_not_used(broken, kernel, monkeypatch):
    def wrong(*args, **how):
        if broken is not None:
            raise broken
        out, normalizer = plain_varlen(*args, **how)
        return out, normalizer + 1e-2 * how.get("window_size", (0, 1))[1]

    monkeypatch.setattr(flash_attention, "varlen_attn", wrong)
    model = tiny_model("llama")
    fit = proofs.proven(model)
    assert proofs.on_gpu(model, fit, is_compiled=False) is fit


def test_without_the_kernel_the_plain_attention_stays(monkeypatch):
    monkeypatch.setattr(flash_attention, "varlen_attn", None)
    monkeypatch.setattr(proofs, "HALF", (torch.float32,))
    model = tiny_model("llama")
    fit = proofs.proven(model)
    assert proofs.on_gpu(model, fit, is_compiled=False) is fit


def test_a_layer_with_a_forward_of_its_own_is_left_alone(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    model = tiny_model("llama")
    first, second = model.model.layers
    first.forward = first.forward
    layers = compiled_layers(model.model)
    assert list(layers) == [second]
    with lent(layers):
        assert "forward" in vars(second)
    assert "forward" in vars(first)
    assert "forward" not in vars(second)


needs_gpu = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs a GPU; recipes/speed/gpu.py has been run on one"
)


@needs_gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("compiled", [False, True])
def test_a_gpu_scores_as_a_cpu(compiled, dtype):
    model, (branches, rows) = tiny_model("llama", hidden_size=64), some_branches()
    expected = reference(model, sequences(), branches, rows)
    found = scored_rows(Oracle(model.to("cuda", dtype), compiled=compiled), sequences(), branches, rows)
    assert largest_difference(found, expected) < (1e-4 if dtype == torch.float32 else 0.5)
