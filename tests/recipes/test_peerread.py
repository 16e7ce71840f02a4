"""The recipe peerread: outcomes with a known effect, estimators by hand, kept layers against whole models."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import BertConfig, BertForMaskedLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tokenizers import Tokenizer

SHAPE = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


@pytest.fixture(scope="module")
def modules(recipe):
    names = ("abstracts", "attention_head", "estimators", "peerread", "top_layer")
    return {name: recipe("peerread", name) for name in names}


def test_outcomes_follow_the_published_recipe(modules):
    module = modules["abstracts"]
    texts = module.of_texts(["deep nets"] * 20_000 + ["an organ of logic"] * 80_000)
    assert texts.buzzy.mean() == 0.2  # "organ" is not "gan"
    # At this share the published effects, and what an unadjusted comparison finds.
    for level, att, seen in (("low", 0.062, 0.088), ("medium", 0.057, 0.150), ("high", 0.032, 0.180)):
        drawn = module.draw_outcomes(texts, module.LEVELS[level], seed=0)
        assert drawn.att == pytest.approx(att, abs=0.0015)
        assert modules["estimators"].unadjusted(drawn) == pytest.approx(seen, abs=0.012)
        assert drawn.treated[texts.buzzy == 1].mean() == pytest.approx(0.07, abs=0.01)


def test_who_is_treated_does_not_depend_on_the_level(modules):
    module = modules["abstracts"]
    texts = module.tiny_abstracts(50)
    one, other = (module.draw_outcomes(texts, strength, seed=3) for strength in (1.0, 25.0))
    assert (one.treated == other.treated).all()


def test_with_the_confounder_known_estimates_are_shares(modules):
    module, estimators = modules["abstracts"], modules["estimators"]
    texts = module.tiny_abstracts(4_000)
    drawn = module.draw_outcomes(texts, 5.0, seed=0)
    known = estimators.Buzzy(texts)
    found = estimators.estimates(known.predict(drawn, np.zeros(len(texts), dtype=int), 0), drawn)
    # By hand: differences of shares, weighted by how many of the treated are buzzy.
    wanted = 0.0
    for buzzy in (0, 1):
        mine = texts.buzzy == buzzy
        shares = [drawn.accepted[mine & (drawn.treated == arm)].mean() for arm in (0, 1)]
        wanted += (shares[1] - shares[0]) * (mine & (drawn.treated == 1)).sum() / drawn.treated.sum()
    assert found["plug-in"] == pytest.approx(wanted)
    assert found["AIPW"] == pytest.approx(wanted)  # with saturated models both are the same number


def test_an_abstract_is_predicted_by_the_other_folds(modules):
    module, estimators = modules["abstracts"], modules["estimators"]
    texts = module.tiny_abstracts(60)
    drawn = module.draw_outcomes(texts, 5.0, seed=0)
    fold = estimators.folds_of(60, 5, seed=0)
    assert np.bincount(fold).tolist() == [12] * 5
    linear = estimators.Linear("words", estimators.words(texts))
    before = linear.predict(drawn, fold, 0)
    turned = module.Outcomes(drawn.treated, drawn.accepted.copy(), drawn.att)
    turned.accepted[fold == 0] = 1 - turned.accepted[fold == 0]
    after = linear.predict(turned, fold, 0)
    assert (before.untreated[fold == 0] == after.untreated[fold == 0]).all()
    assert (before.untreated[fold == 1] != after.untreated[fold == 1]).any()


@pytest.fixture(params=["llama", "bert"])
def pretrained(request, tmp_path):
    words = ["<s>", "<unk>", "no", "yes", "Treated", "Accepted", ":", "deep", "nets", "logic", "of"]
    backend = Tokenizer(WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = Whitespace()
    options = {"bos_token": "<s>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=backend, **options).save_pretrained(tmp_path)
    torch.manual_seed(0)
    if request.param == "llama":
        LlamaForCausalLM(LlamaConfig(vocab_size=len(words), **SHAPE)).save_pretrained(tmp_path)
    else:
        BertForMaskedLM(BertConfig(vocab_size=len(words), **SHAPE)).save_pretrained(tmp_path)
    return tmp_path


def test_kept_layers_say_what_the_whole_model_says(modules, pretrained):
    module = modules["top_layer"]
    texts = modules["abstracts"].of_texts(["deep nets", "logic", "logic of deep nets of logic", "of logic"])
    model, tokenizer = module.load(str(pretrained))
    written = module.write(texts, model, tokenizer)
    row = module.Row.of(tokenizer)
    top = module.TopLayer(model, row).eval()
    for name, parameter in top.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    rows = np.arange(4)
    with torch.no_grad():
        for arm in (0, 1):
            found = top(*written.batch(rows, np.full(4, arm)))
            for number, text in enumerate(texts.texts):
                ids = [*row.before, *tokenizer(text)["input_ids"], *row.tail(arm)]
                logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -len(row.tail(arm)) :]
                wanted = logits[:, row.values[1]] - logits[:, row.values[0]]
                torch.testing.assert_close(found[number], wanted, atol=5e-3, rtol=5e-3)  # kept in half precision


def test_adapters_learn(modules, pretrained):
    module, estimators = modules["top_layer"], modules["estimators"]
    texts = modules["abstracts"].of_texts(["deep nets", "logic"] * 64)
    drawn = modules["abstracts"].Outcomes(1 - texts.buzzy, texts.buzzy, 0.0)
    model, tokenizer = module.load(str(pretrained))
    adapted = module.Adapted(
        "tiny", str(pretrained), module.write(texts, model, tokenizer), epochs=40, learning_rate=1e-2
    )
    found = adapted.predict(drawn, estimators.folds_of(128, 2, seed=0), 0)
    assert (found.propensity[texts.buzzy == 1] < 0.2).all()
    assert (found.untreated[texts.buzzy == 1] > 0.8).all()


def test_a_new_head_is_attention_by_hand(modules):
    torch.manual_seed(0)
    head = modules["attention_head"].Head(4, torch.full((2, 2), 0.3)).requires_grad_(False)
    values = torch.randn(1, 3, 4)
    found = head(torch.cat([values, torch.full((1, 1, 4), 9.0)], dim=1), torch.tensor([[True] * 3 + [False]]))
    for fold in range(2):
        weights = [float(torch.exp(token @ head.query[:, fold])) for token in values[0]]
        read = sum(weight * token for weight, token in zip(weights, values[0], strict=True)) / sum(weights)
        wanted = read @ head.output[fold] + np.log(0.3 / 0.7)
        torch.testing.assert_close(found[0, fold], wanted, atol=1e-5, rtol=1e-5)


def _states(modules, texts, channels=32):
    """A value of its own for every word, the same wherever it stands."""
    words = sorted({word for text in texts.texts for word in text.split()})
    values = torch.randn(len(words), 1, channels, generator=torch.Generator().manual_seed(1)).half()
    ids = [[words.index(word) for word in text.split()] for text in texts.texts]
    begins = np.concatenate([[0], np.cumsum([len(each) for each in ids])])
    tokens = values[torch.tensor([number for each in ids for number in each])]
    return modules["top_layer"].Written(tokens, tokens, begins, torch.empty(0), 0)


def test_a_new_head_finds_the_confounder(modules):
    module, estimators = modules["abstracts"], modules["estimators"]
    texts = module.tiny_abstracts(1_500)
    drawn = module.draw_outcomes(texts, module.LEVELS["high"], seed=0)
    head = modules["attention_head"].Attentive(
        "head", _states(modules, texts), epochs=10, learning_rate=1e-2, weight_decay=0.1
    )
    found = head.predict(drawn, estimators.folds_of(len(texts), 5, seed=0), seed=0)
    # By the recipe: never accepted if buzzy, .82 otherwise; treated .07 and .27.
    for buzzy, accepted, treated in ((0, 0.82, 0.27), (1, 0.0, 0.07)):
        mine = texts.buzzy == buzzy
        assert np.median(found.untreated[mine]) == pytest.approx(accepted, abs=0.08)
        assert np.median(found.propensity[mine]) == pytest.approx(treated, abs=0.08)
    adjusted = estimators.estimates(found, drawn)["AIPW"]
    known = estimators.estimates(estimators.Buzzy(texts).predict(drawn, np.zeros(0, dtype=int), 0), drawn)["AIPW"]
    # Nearer than halfway from what is seen to what those who know the confounder find.
    assert abs(adjusted - known) < abs(estimators.unadjusted(drawn) - known) / 2


def test_a_new_head_does_not_learn_from_what_it_predicts(modules):
    module, estimators = modules["abstracts"], modules["estimators"]
    texts = module.tiny_abstracts(60)
    drawn = module.draw_outcomes(texts, 5.0, seed=0)
    fold = estimators.folds_of(60, 5, seed=0)
    turned = module.Outcomes(
        np.where(fold == 0, 1 - drawn.treated, drawn.treated),
        np.where(fold == 0, 1 - drawn.accepted, drawn.accepted),
        drawn.att,
    )
    head = modules["attention_head"].Attentive("head", _states(modules, texts), epochs=1)
    before, after = (head.predict(each, fold, seed=0) for each in (drawn, turned))
    for said, again in zip(vars(before).values(), vars(after).values(), strict=True):
        assert said[fold == 0] == pytest.approx(again[fold == 0], abs=1e-9)
        assert (said[fold != 0] != again[fold != 0]).any()


def test_what_is_there_is_not_done_again(modules, tmp_path):
    command = modules["peerread"].RECIPE
    command.main(["--smoke", "--only", "TF-IDF", "--out", str(tmp_path)])
    found = tmp_path / "predictions" / "tf-idf" / "low-0.npz"
    before = found.stat().st_mtime_ns
    command.main(["--smoke", "--only", "TF-IDF", "--out", str(tmp_path)])
    assert found.stat().st_mtime_ns == before
    # Unadjusted; plug-in and AIPW, read out too, at three levels.
    assert len(json.loads((tmp_path / "expected.json").read_text())["metrics"]) == 3 * (1 + 4)


def test_one_predictor_alone(modules, tmp_path):
    modules["peerread"].RECIPE.main(["--smoke", "--only", "TF-IDF, sparse (L1)", "--out", str(tmp_path)])
    assert "TF-IDF, sparse (L1)" in (tmp_path / "peerread.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "absent.jsonl"], "'absent.jsonl' cannot be read, expected JSON lines with `abstract`"),
        (["--data", "other.jsonl"], "'other.jsonl' cannot be read, expected JSON lines with `abstract`: 'abstract'"),
        (["--smoke", "--only", "GPT"], "--only is 'GPT', expected one of: confounder known, TF-IDF, "),
        (["--smoke", "--report"], "Nothing was measured in 'out' yet. Leave out --report"),
        (["--smoke", "--minilm", "absent", "--only", "MiniLM, frozen"], "MiniLM, frozen was not measured: "),
    ],
)
def test_refused(modules, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.jsonl").write_text('{"text": "a"}\n')
    with pytest.raises(SystemExit):
        modules["peerread"].RECIPE.main([*arguments, "--out", "out"])
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"{Path(sys.argv[0]).name}: error: {message}")
