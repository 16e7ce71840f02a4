from pathlib import Path

import pytest

from hf_trace.errors import GraphFormatError

FOLDER = Path(__file__).parents[2] / "src" / "hf_trace" / "graphs" / "causal_graph_metrics"


@pytest.fixture(scope="module")
def metric(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("HF_HUB_OFFLINE", "1")
    import evaluate

    cache = tmp_path_factory.mktemp("cache")
    yield evaluate.load(str(FOLDER), cache_dir=str(cache))
    patch.undo()


def test_hand_computed(metric):
    # Truth a->b, b->c; predicted a->b, c->b: one hit, and b->c reversed.
    # Pairs: ab ac ba bc ca cb
    found = metric.compute(predictions=[0.4, 0.0, 0.0, 0.0, 0.0, 0.3], references=[1, 0, 0, 1, 0, 0], n_types=3)
    assert found["precision"] == found["recall"] == found["f1"] == 0.5
    assert found["shd"] == 1
    assert found["base_rate"] == pytest.approx(1 / 3)
    assert found["predict_all_f1"] == pytest.approx(0.5)
    # Edge .4 beats all four others; edge 0 ties three and loses one: (4 + 1.5) / 8.
    assert found["auroc"] == pytest.approx(5.5 / 8)
    # Recall 1/2 at precision 1, then all six pairs at precision 1/3.
    assert found["auprc"] == pytest.approx(0.5 * 1 + 0.5 / 3)


def test_diagonal_is_left_out(metric):
    found = metric.compute(predictions=[9.0, 0.4, 0.0, 9.0], references=[0, 1, 0, 0], n_types=2)
    assert found["f1"] == found["auroc"] == 1.0
    assert found["base_rate"] == 0.5


def test_any_pairs_without_shd(metric):
    found = metric.compute(predictions=[0.4, 0.2, 0.1], references=[1, 1, 0], threshold=0.3)
    assert "shd" not in found
    assert (found["precision"], found["recall"]) == (1.0, 0.5)
    assert found["f1"] == pytest.approx(2 / 3)


def test_wrong_number_of_pairs(metric):
    with pytest.raises(GraphFormatError) as caught:
        metric.compute(predictions=[0.0] * 6, references=[0] * 6, n_types=4)
    assert str(caught.value) == (
        "Got 6 pairs with `n_types` 4. Expected 16, or 12 without the pairs of a type with itself. "
        "Did you mean `n_types=3`?"
    )


def test_reference_that_is_no_label(metric):
    with pytest.raises(GraphFormatError) as caught:
        metric.compute(predictions=[0.0, 1.0], references=[0, 2])
    assert str(caught.value) == "Got the reference 2. Expected 1 for a true edge and 0 for none."
