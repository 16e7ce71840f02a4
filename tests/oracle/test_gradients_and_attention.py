"""Gradients and attention of whole blocks against one sequence at a time, written out."""

import pytest
import torch
from tests.exact_lm import rule_lm
from tests.models import VOCAB, tiny_model

from hf_trace.errors import NonFiniteError, SettingsError
from hf_trace.oracle.attributions import attention_rollout, input_times_gradient
from hf_trace.oracle.engine import MOST_TOKENS, Oracle

LENGTHS = (11, 6, 9)
WITH_EMBEDDINGS = ["llama", "gpt2", "gpt_neox", "bert", "roberta", "opt", "mistral", "gemma2", "bloom", "mamba"]
WITH_ATTENTION = ["llama", "gpt2", "gpt_neox", "bert", "roberta", "opt", "mistral", "gemma2", "bloom"]


def sequences() -> torch.Tensor:
    ids = torch.randint(3, VOCAB, (len(LENGTHS), max(LENGTHS)), generator=torch.Generator().manual_seed(1))
    for row, length in enumerate(LENGTHS):
        ids[row, length:] = 0
    return ids


def every_token() -> tuple[torch.Tensor, torch.Tensor]:
    places = [(row, position) for row, length in enumerate(LENGTHS) for position in range(1, length)]
    sequence, position = torch.tensor(places).T
    return sequence, position


def found_contributions(oracle, ids) -> dict[tuple[int, int], torch.Tensor]:
    sequence, position = every_token()
    found = {}
    for rows, values in input_times_gradient(oracle, oracle.read(ids), sequence, position):
        for row, value in zip(rows.tolist(), values, strict=True):
            found[int(sequence[row]), int(position[row])] = value
    assert len(found) == len(sequence)
    return found


def log_prob(model, embeddings, ids, position) -> torch.Tensor:
    logits = model(inputs_embeds=embeddings[None], use_cache=False).logits[0]
    return logits[position - 1].log_softmax(-1)[ids[position]]


@pytest.mark.parametrize("kind", WITH_EMBEDDINGS)
def test_contributions_equal_autograd_on_whole_sequences_one_by_one(kind):
    model = tiny_model(kind)
    ids = sequences()
    for (row, position), values in found_contributions(Oracle(model), ids).items():
        alone = ids[row, : LENGTHS[row]]
        embeddings = model.get_input_embeddings()(alone).detach().requires_grad_()
        (gradient,) = torch.autograd.grad(log_prob(model, embeddings, alone, position), embeddings)
        expected = (embeddings * gradient).sum(-1).detach()
        assert (expected[position:] == 0).all()
        scale = 1e-4 * max(1.0, float(expected.abs().max()))
        assert (values[:position] - expected[:position]).abs().max() < scale
        assert (values[position:] == 0).all()


def test_models_that_change_their_embeddings_in_place():
    model = tiny_model("ctrl", n_embd=32, n_layer=1, n_head=4, dff=64, n_positions=16)
    found = found_contributions(Oracle(model), sequences())
    assert all(torch.isfinite(values).all() for values in found.values())


@pytest.mark.parametrize("kind", ["gpt2", "gpt_neox", "bert"])  # a Llama rounds to float32 inside
def test_contributions_are_the_slope_along_each_embedding(kind):
    """Scaling e_j by 1 + h moves ln p by h times its contribution; differences in float64, no gradient."""
    model = tiny_model(kind).double()
    ids, step = sequences(), 1e-5
    found = found_contributions(Oracle(model), ids)
    alone = ids[0, : LENGTHS[0]]
    with torch.no_grad():
        embeddings = model.get_input_embeddings()(alone)
        for position in (1, 5, LENGTHS[0] - 1):
            for token in range(position):
                sides = []
                for change in (step, -step):
                    moved = embeddings.clone()
                    moved[token] *= 1 + change
                    sides.append(log_prob(model, moved, alone, position))
                slope = float(sides[0] - sides[1]) / (2 * step)
                assert float(found[0, position][token]) == pytest.approx(slope, abs=1e-4, rel=1e-4)


@pytest.mark.parametrize("most_tokens", [1, 25])
def test_micro_batches_change_nothing(most_tokens, monkeypatch):
    ids = sequences()
    whole = found_contributions(Oracle(tiny_model("llama")), ids)
    monkeypatch.setitem(MOST_TOKENS, "cpu", most_tokens)
    for place, values in found_contributions(Oracle(tiny_model("llama")), ids).items():
        used = place[1]
        torch.testing.assert_close(values[:used], whole[place][:used], rtol=1e-4, atol=1e-5)


def test_gradients_are_taken_whatever_the_callers_mode():
    oracle, ids = Oracle(tiny_model("llama")), sequences()
    plain = found_contributions(oracle, ids)
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode:
            found = found_contributions(oracle, ids)
        assert all(torch.equal(found[place], plain[place]) for place in plain)
    assert all(parameter.grad is None for parameter in oracle.model.parameters())


def test_a_model_without_embeddings_is_refused():
    oracle = Oracle(rule_lm([4, 5], 7, []))
    with pytest.raises(SettingsError) as refused:
        found_contributions(oracle, sequences().clamp(max=7))
    assert str(refused.value) == (
        "construction is 'saliency', but RuleLM takes no `inputs_embeds` to differentiate by. "
        "Use construction='atomic', which needs only probabilities."
    )


def change_embeddings(model, change) -> None:
    """Let the body of ``model`` read something else where it is given embeddings, and tokens as before."""

    def changed(module, args, kwargs):
        given = kwargs.get("inputs_embeds")
        return args, kwargs if given is None else {**kwargs, "inputs_embeds": change(given)}

    model.model.register_forward_pre_hook(changed, with_kwargs=True)


def test_a_model_that_reads_embeddings_otherwise_than_tokens_is_refused():
    model = tiny_model("llama")
    change_embeddings(model, lambda given: given.flip(-1))
    with pytest.raises(SettingsError, match=r"LlamaForCausalLM differ by .* between tokens and their `inputs_emb"):
        found_contributions(Oracle(model), sequences())


def test_a_gradient_that_is_not_finite_is_refused():
    model = tiny_model("llama")
    change_embeddings(model, lambda given: given + (given * 0).sqrt())
    with pytest.raises(NonFiniteError, match="The gradient of the model is NaN or infinite"):
        found_contributions(Oracle(model), sequences())


def rollout_by_hand(model, ids) -> torch.Tensor:
    """Of one sequence, in float64: residual and attention half each, layers multiplied, the last one first."""
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    with torch.no_grad():
        attentions = model(input_ids=ids[None], output_attentions=True).attentions
    model.set_attn_implementation(before)
    total = torch.eye(len(ids), dtype=torch.float64)
    for weights in attentions:
        heads = weights[0].double()
        mean = sum(heads) / len(heads)
        total = (0.5 * mean + 0.5 * torch.eye(len(ids))) @ total
    return total


@pytest.mark.parametrize("kind", WITH_ATTENTION)
@pytest.mark.parametrize("budget", [None, 1])
def test_rollout_equals_the_product_of_layers_by_hand(kind, budget):
    model, ids = tiny_model(kind), sequences()
    oracle = Oracle(model)
    oracle.spend_at_most(budget or oracle.budget)
    before = model.config._attn_implementation
    parts = list(attention_rollout(oracle, ids))
    assert model.config._attn_implementation == before
    assert len(parts) == (1 if budget is None else len(LENGTHS))
    found = torch.cat([rollout for _, rollout in parts])
    assert [row for rows, _ in parts for row in range(*rows.indices(len(ids)))] == [0, 1, 2]
    assert found.triu(1).abs().max() == 0
    for row, length in enumerate(LENGTHS):
        mine = found[row, :length, :length]
        assert (mine.sum(-1) - 1).abs().max() < 1e-5
        assert (mine - rollout_by_hand(model, ids[row, :length])).abs().max() < 1e-5


@pytest.mark.parametrize("make", [lambda: tiny_model("mamba"), lambda: rule_lm([4, 5], 7, [])])
def test_a_model_without_attention_weights_is_refused(make):
    oracle = Oracle(make())
    name, layers = type(oracle.model).__name__, getattr(oracle.model.config, "num_hidden_layers", 0)
    with pytest.raises(SettingsError) as refused:
        list(attention_rollout(oracle, sequences().clamp(max=7)))
    assert str(refused.value) == (
        f"construction is 'attention', but {name} gives attention weights of 0 of its {layers} layers, expected all. "
        "Use construction='atomic', which needs only probabilities."
    )
