"""What is said of an oracle beside counting models."""

import json

import pytest

from hf_trace.oracle.quality import OracleQuality, quality_warning

OLD = {"loss": 1.0, "unigram": 2.0, "bigram": 1.5, "events": 1_000, "beats_bigram": True}


def test_runs_from_before_it_was_measured_read_as_they_did():
    quality = OracleQuality.from_dict(OLD)
    assert quality.additive is None
    assert quality.to_dict() == OLD
    assert str(quality) == "validation loss 1.000 nats per event on 1,000 events (bigram 1.500, unigram 2.000)"
    assert quality_warning(OLD) is None


def test_a_model_that_the_additive_one_beats_says_what_that_means():
    quality = OracleQuality.from_dict({**OLD, "additive": 0.75})
    assert quality.to_dict() == {**OLD, "additive": 0.75, "beats_additive": False}
    assert OracleQuality.from_dict(quality.to_dict()) == quality
    assert "(additive in time 0.750, bigram" in str(quality)
    assert quality_warning(quality.to_dict()) == (
        "A model that only adds up what each past event says, told how long ago it was, predicts better (loss 1.000, "
        "additive 0.750 nats per event): the causal graph misses effects. Train longer or on more data, and compare "
        "with `hf-trace count`."
    )
    assert quality_warning({**quality.to_dict(), "additive": 1.25, "beats_additive": True}) is None


def test_what_no_bigram_beats_comes_first():
    assert "preceding event alone" in quality_warning(
        {**OLD, "loss": 1.6, "beats_bigram": False, "additive": 0.5, "beats_additive": False}
    )


def test_a_run_holds_it(tiny_run):
    found = json.loads((tiny_run / "metrics.json").read_text(encoding="utf-8"))["validation"]
    # It sees as much as the bigram, and more, but has few events to learn from.
    assert 0 < found["additive"] == pytest.approx(found["bigram"], abs=0.3)
    assert found["beats_additive"] is (found["loss"] < found["additive"])
