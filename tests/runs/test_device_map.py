"""Models spread over devices: loaded in place, read through their public forward where nothing faster is right."""

import numpy as np
import pytest


def scores(pipe, records):
    return [found.cmi for _, found in pipe.scored(iter(records), num_samples=8)]


def test_auto_is_the_same_model(tiny_run, records):
    from hf_trace.pipelines.discovery_pipeline import load_pipeline

    spread = load_pipeline(tiny_run, device_map="auto")
    assert {parameter.device.type for parameter in spread.model.parameters()} <= {"cpu", "cuda"}
    for left, right in zip(scores(spread, records), scores(load_pipeline(tiny_run), records), strict=True):
        np.testing.assert_allclose(left, right, atol=1e-5)


def test_layers_that_wait_on_disk_give_the_same_scores(tiny_run, records, tmp_path):
    """One layer is on no device until it is needed, as happens to models that fill all of them."""
    from transformers import AutoModelForCausalLM

    from hf_trace.pipelines.discovery_pipeline import CausalDiscoveryPipeline, load_pipeline

    here = dict.fromkeys(["model.embed_tokens", "model.layers.0", "model.norm", "model.rotary_emb", "lm_head"], "cpu")
    model = AutoModelForCausalLM.from_pretrained(
        tiny_run, device_map={**here, "model.layers.1": "disk"}, offload_folder=tmp_path
    )
    assert next(model.model.layers[1].parameters()).is_meta
    spread = scores(CausalDiscoveryPipeline(model=model), records)
    for left, right in zip(spread, scores(load_pipeline(tiny_run), records), strict=True):
        np.testing.assert_allclose(left, right, atol=1e-5)


def test_refused(tiny_run):
    from hf_trace.errors import SettingsError
    from hf_trace.runs.folders import load_model

    with pytest.raises(SettingsError) as caught:
        load_model(tiny_run, device_map="all")
    assert str(caught.value) == ("device_map is 'all', expected one of: auto, balanced, balanced_low_0, sequential.")
