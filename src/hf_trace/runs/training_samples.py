"""Which sequences each oracle of a run was trained on: what is held out, bootstrap samples, and what none has seen."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool

from hf_trace.errors import EmptyLogError
from hf_trace.logs.log import EventLog
from hf_trace.logs.windows import case_of, cut_windows
from hf_trace.runs.members import member_seed
from hf_trace.runs.resuming import log_digest


def split_windows(windows: EventLog, share: float, seed: int) -> tuple[EventLog, EventLog]:
    """Hold out a share of the sequences, all windows of a sequence on the same side.

    With fewer than ten sequences the windows are split instead, at random.

    Raises:
        EmptyLogError: If there are fewer than two windows of two events.
    """
    usable = np.flatnonzero(windows.sequence_lengths >= 2)
    if len(usable) < 2:
        raise EmptyLogError(
            f"The log has {len(usable)} sequences of two or more events, expected at least 2: one to learn from, one "
            "to check on. Name the case column, or cut a single stream with `--window-length`."
        )
    cases = np.array([case_of(windows.ids[index]) for index in usable])
    names = np.unique(cases)
    if len(names) < 10:
        names, cases = usable, usable
    held = min(max(1, round(share * len(names))), len(names) - 1)
    chosen = np.random.default_rng(seed).permutation(names)[:held]
    is_held = np.isin(cases, chosen)
    return windows.select(usable[~is_held]), windows.select(usable[is_held])


def bootstrap_sample(windows: EventLog, seed: int) -> EventLog:
    """As many sequences as there are, drawn with replacement; all windows of a sequence come together.

    Args:
        windows: Sequences, or windows of them named ``ID#NUMBER``.
        seed: The same seed draws the same sample.
    """
    cases, counts = np.unique([case_of(name) for name in windows.ids], return_inverse=True)
    order = np.argsort(counts, kind="stable")
    windows_of = np.split(order, np.cumsum(np.bincount(counts))[:-1])
    drawn = np.random.default_rng(seed).integers(len(cases), size=len(cases))
    return windows.select(np.concatenate([windows_of[case] for case in np.sort(drawn)]))


def unseen_windows(
    recipe: Mapping[str, Any], oracles: int, log: EventLog, windows: EventLog
) -> Bool[np.ndarray, "oracle window"] | None:
    """Which windows each oracle of a run was not trained on, so that it cannot know them by heart.

    Oracles 1 and up were trained on bootstrap samples of the sequences, which leave out more than a third each.

    Args:
        recipe: ``training.json`` of the run.
        oracles: Number of oracles, the run itself first.
        log: The log as it was read.
        windows: Windows of it, cut in whatever way.

    Returns:
        None if the run was trained on another log, or on a stream, so that this is not known.
    """
    if recipe.get("made_with", {}).get("log") != log_digest(log):
        return None
    cut = cut_windows(log, length=recipe["window_length"], gap=recipe.get("window_gap"))
    training, _ = split_windows(cut, recipe["validation_share"], recipe["seed"])
    samples = (bootstrap_sample(training, member_seed(recipe["seed"], number)) for number in range(1, oracles))
    seen = [{case_of(name) for name in sample.ids} for sample in (training, *samples)]
    return np.array([[case_of(name) not in cases for name in windows.ids] for cases in seen])
