"""A threshold chosen where causes are known, to be used where they are not.

The value is frozen: it is used as it is on other sequences than those that chose it.
"""

from collections.abc import Sequence

import numpy as np

from hf_trace.causal.pairs import PairScores
from hf_trace.causal.sequence_metrics import LabelledPairs, best_threshold
from hf_trace.causal.thresholds import Bound
from hf_trace.data.graph import CausalGraph
from hf_trace.data.sequence import EventSequence
from hf_trace.errors import SettingsError, preview


def labelled(sequence: EventSequence, scores: PairScores, truth: CausalGraph) -> LabelledPairs:
    """Join the scores of a sequence with known pairs of types: every pair of positions of a true pair is true.

    Args:
        sequence: The events.
        scores: Its tested pairs.
        truth: Which types cause which; types it does not name cause nothing.
    """
    known = {(edge["cause"], edge["effect"]) for edge in truth.edges}
    number: dict[str, int] = {}
    codes = np.array([number.setdefault(event, len(number)) for event in sequence.events], dtype=np.int64)
    names = list(number)
    cause, effect = codes[scores.cause_position], codes[scores.effect_position]
    keys, place = np.unique(cause * len(names) + effect, return_inverse=True)
    is_true = [(names[key // len(names)], names[key % len(names)]) in known for key in keys]
    return LabelledPairs(cause, effect, scores.lag, scores.cmi, np.array(is_true, dtype=np.bool_)[place])


def validated(sequences: Sequence[LabelledPairs]) -> Bound:
    """The ``fixed:`` threshold with the highest F1 of type pairs, mean over sequences with known causes.

    Args:
        sequences: Scored sequences; what is reported should be measured on others.

    Raises:
        SettingsError: If no tested pair is known to be a cause and its effect.

    Example:
        >>> columns = ([0, 0, 1], [1, 2, 2], [1, 2, 1], [0.9, 0.2, 0.1], [True, False, False])
        >>> 0.2 < validated([LabelledPairs(*map(np.array, columns))]).value < 0.9
        True
    """
    if not any(pairs.is_true[pairs.cause != pairs.effect].any() for pairs in sequences):
        raise SettingsError(
            f"None of the pairs tested in {len(sequences)} sequences is a known cause and its effect, expected at "
            "least one. Give a truth with the names of the log, or more sequences."
        )
    return Bound("fixed", best_threshold(sequences))


def check_names(truth: CausalGraph, event_types: Sequence[str]) -> None:
    """Refuse a truth that shares no event type with the data.

    Raises:
        SettingsError: If it shares none.
    """
    if not set(truth.events).intersection(event_types):
        raise SettingsError(
            f"The truth and the log share no event type: {preview(truth.events)} against {preview(event_types)}. "
            "Expected the same names in both."
        )
