"""A world as a causal language model: loading, saving, and discovery with an oracle that makes no mistake."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from hf_trace.discovery.constructions import score_pairs
from hf_trace.discovery.settings import DiscoverySettings
from hf_trace.errors import SettingsError
from hf_trace.logs.sequence import EncodedSequence
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.proposals import Alphabet
from hf_trace.runs.world_model import WorldModel, save_oracle, world_tokenizer
from hf_trace.worlds import world as world_module
from hf_trace.worlds.simulator import simulate
from hf_trace.worlds.world import World, WorldSpec, pasts

SPEC = WorldSpec(types=7, memory=3, decay=0.4, weight=2.0, sparsity=0.5, nonlinearity="relu", length=12, seed=2)
START = 1


@pytest.fixture(scope="module")
def world():
    return World(SPEC)


@pytest.fixture(scope="module")
def folder(world, tmp_path_factory):
    path = tmp_path_factory.mktemp("worlds") / "oracle"
    save_oracle(world, path)
    return path


def some_ids():
    ids = torch.randint(11, (3, 15), generator=torch.Generator().manual_seed(0))
    ids[:, 0] = START
    return ids


def test_logits_are_the_worlds_and_special_tokens_are_nothing(world):
    ids = some_ids()
    codes = (ids - 4).where(ids >= 4, world.nothing)
    expected = torch.stack([
        world.log_probs(pasts(torch.cat([row, row[:1]])[None], 3, world.nothing)[0, 1:]) for row in codes
    ])  # fmt: skip
    logits = WorldModel.of(world)(input_ids=ids).logits
    torch.testing.assert_close(logits.log_softmax(-1)[..., 4:], expected, rtol=0, atol=1e-6)
    assert float(logits.log_softmax(-1)[..., :4].max()) < -50
    last = WorldModel.of(world)(input_ids=ids, logits_to_keep=2).logits
    torch.testing.assert_close(last, logits[:, -2:], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "imports",
    [
        pytest.param("import hf_trace; from transformers import AutoModelForCausalLM", marks=pytest.mark.slow),
        pytest.param("from transformers import AutoModelForCausalLM; import hf_trace", marks=pytest.mark.slow),
    ],
)
def test_a_fresh_process_loads_it_in_either_import_order(folder, imports):
    code = f"{imports}; print(type(AutoModelForCausalLM.from_pretrained({str(folder)!r})).__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "WorldModel\n"


@pytest.mark.parametrize("kept", ["dense", "sparse"])
def test_saved_and_loaded_it_says_the_same(tmp_path, monkeypatch, kept):
    if kept == "sparse":
        monkeypatch.setattr(world_module, "_MOST_DENSE_TYPES", 3)
    model = WorldModel.of(World(SPEC))
    assert ("rows" in dict(model.named_buffers())) == (kept == "sparse")
    model.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert torch.equal(loaded(input_ids=some_ids()).logits, model(input_ids=some_ids()).logits)
    loaded.save_pretrained(tmp_path / "again")
    weights = [(path / "model.safetensors").read_bytes() for path in (tmp_path, tmp_path / "again")]
    assert weights[0] == weights[1]


def test_edges_and_noise_survive_saving(tmp_path):
    world = World(WorldSpec(types=4, memory=1, edges=((0, 1, 2.0), (2, 3, -1.5)), noise=0.2, length=5))
    WorldModel.of(world).save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    after = loaded(input_ids=torch.tensor([[START, 4]])).logits[0, 1].softmax(-1)[4:]
    share = math.exp(2.0) / (3 + math.exp(2.0))
    assert after.tolist() == pytest.approx([0.05 + 0.8 * p for p in ((1 - share) / 3, share, *[(1 - share) / 3] * 2)])


def test_it_generates(folder):
    model = AutoModelForCausalLM.from_pretrained(folder)
    ids = torch.tensor([[START, 5, 9]])
    out = model.generate(ids, max_new_tokens=4, do_sample=False)
    for _ in range(4):
        ids = torch.cat([ids, model(input_ids=ids).logits[:, -1:].argmax(-1)], dim=1)
    assert torch.equal(out, ids)


def encoded(codes):
    ids = world_tokenizer(SPEC).event_ids
    return [EncodedSequence(np.concatenate([[START], ids[each]]), np.arange(1, len(each) + 1)) for each in codes]


def scores(oracle, codes, **options):
    ids = torch.from_numpy(world_tokenizer(SPEC).event_ids)
    settings = DiscoverySettings(**{"max_lag": 4, "num_samples": 16, **options})
    return score_pairs(oracle, encoded(codes), Alphabet(ids, torch.ones(len(ids))), settings)


def test_the_oracle_reads_the_last_tokens_and_no_more(world):
    codes = simulate(world, 4, seed=1).codes
    short = [codes[0], codes[1][:5], codes[2][:2], codes[3]]
    model = WorldModel.of(world)
    fast = Oracle(model)
    assert fast.reader.name == "last tokens"
    model.config.markov_order = None
    whole = Oracle(model)
    assert whole.reader.name == "full rows"
    for one, other in zip(scores(fast, short), scores(whole, short), strict=True):
        assert np.array_equal(one.lag, other.lag)
        np.testing.assert_allclose(one.cmi, other.cmi, atol=1e-5)


def test_an_order_that_is_too_short_is_not_believed(world):
    model = WorldModel.of(world)
    model.config.markov_order = 2
    assert Oracle(model).reader.name == "full rows"


def test_exhaustive_scores_are_the_truth_by_enumeration(world):
    codes = simulate(world, 2, seed=3).codes
    for each, found in zip(codes, scores(Oracle(WorldModel.of(world)), codes, proposal="exhaustive"), strict=True):
        expected = [enumerated(world, each, *pair) for pair in pairs_of(found)]
        np.testing.assert_allclose(found.cmi, expected, atol=2e-5)
        assert len(found) == sum(min(4, 11 - cause) for cause in range(12))
        assert found.cmi[found.lag == 4].max() < 1e-6 < 0.05 < found.cmi.max()


def pairs_of(found):
    return zip(found.cause_position.tolist(), found.effect_position.tolist(), strict=True)


def enumerated(world, codes, cause, effect):
    """KL_B of the effect's probability against its mean over every type in place of the cause."""
    rows = np.tile(codes, (8, 1))
    rows[1:, cause] = np.arange(7)
    past = pasts(torch.from_numpy(rows), 3, world.nothing)[:, effect]
    p, *replaced = world.log_probs(past)[:, codes[effect]].double().exp().tolist()
    r = np.mean(replaced)
    return p * math.log(p / r) + (1 - p) * math.log((1 - p) / (1 - r))


@pytest.mark.parametrize("change", [{"hidden": (1,)}, {"drift": 0.1}, {"ties": 2}])
def test_no_oracle_where_there_is_no_closed_form(change):
    with pytest.raises(SettingsError, match="has no exact oracle: what is recorded is not what happens"):
        WorldModel.of(World(WorldSpec(types=4, **change)))
