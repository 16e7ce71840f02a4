"""Which windows an oracle was not trained on."""

import numpy as np

from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence
from hf_trace.logs.windows import cut_windows
from hf_trace.runs.folders import read_json
from hf_trace.runs.members import member_seed
from hf_trace.runs.resuming import log_digest
from hf_trace.runs.training_samples import bootstrap_sample, case_of, split_windows, unseen_windows

LOG = EventLog.from_sequences(EventSequence(("a", "b", "c", "d"), id=f"s{number}") for number in range(30))
RECIPE = {"window_length": 2, "window_gap": None, "validation_share": 0.1, "seed": 5}


def test_what_was_held_out_or_not_drawn_is_unseen():
    recipe = {**RECIPE, "made_with": {"log": log_digest(LOG)}}
    windows = cut_windows(LOG, length=4)
    found = unseen_windows(recipe, 3, LOG, windows)
    training, validation = split_windows(cut_windows(LOG, length=2), 0.1, 5)
    assert {case_of(name) for name in validation.ids} == {windows.ids[place] for place in np.flatnonzero(found[0])}
    for number in (1, 2):
        sample = bootstrap_sample(training, member_seed(5, number))
        seen = {case_of(name) for name in sample.ids}
        assert [name not in seen for name in windows.ids] == found[number].tolist()
    assert found[1:].mean() > 0.25  # about 1 - .9 (1 - 1/e)


def test_of_another_log_nothing_is_known():
    recipe = {**RECIPE, "made_with": {"log": log_digest(LOG.select(range(29)))}}
    assert unseen_windows(recipe, 1, LOG, LOG) is None
    assert unseen_windows(RECIPE, 1, LOG, LOG) is None


def test_a_run_tells_its_log(tiny_run, tiny_log):
    recipe = read_json(tiny_run, "training.json")
    assert unseen_windows(recipe, 1, tiny_log, tiny_log).sum() == 4  # a tenth of 40
