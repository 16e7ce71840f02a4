"""``--threshold validated``: a part of a log with known causes chooses the threshold for the rest of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_trace.causal.sequence_metrics import mean_f1
from hf_trace.causal.threshold_choice import check_names, labelled, validated
from hf_trace.causal.thresholds import Bound
from hf_trace.data.graph import CausalGraph
from hf_trace.data.log import EventLog
from hf_trace.errors import SettingsError
from hf_trace.hub.pipelines import CausalDiscoveryPipeline

SHARE = 0.2


@dataclass(frozen=True)
class ChosenThreshold:
    """A threshold and the sequences it may be used on.

    Attributes:
        threshold: The frozen value.
        f1: Mean F1 of type pairs on the sequences that chose it; on others it is lower.
        validation: How many sequences chose it.
        rest: All other sequences.
        seed: Seed of the split.
    """

    threshold: Bound
    f1: float
    validation: int
    rest: EventLog
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """What is written beside a graph."""
        return {
            "threshold": str(self.threshold),
            "f1": self.f1,
            "sequences": self.validation,
            "share": SHARE,
            "seed": self.seed,
        }


def split(log: EventLog, seed: int) -> tuple[EventLog, EventLog]:
    """A fifth of the sequences, the same for the same seed, and all others; both in the order of the log.

    Raises:
        SettingsError: If there is one sequence only.
    """
    if len(log) < 2:
        raise SettingsError(
            "threshold is 'validated', but there is only 1 sequence, expected some to choose on and some to use it on. "
            "Choose on the whole log, then pass the value it reports: `--threshold fixed:VALUE`."
        )
    order = np.random.default_rng(seed).permutation(len(log))
    count = max(1, round(SHARE * len(log)))
    return log.select(np.sort(order[:count])), log.select(np.sort(order[count:]))


def choose_threshold(
    discover: CausalDiscoveryPipeline,
    log: EventLog,
    truth: CausalGraph,
    *,
    advance: Callable[[float], None] = lambda _: None,
    **parameters: Any,
) -> ChosenThreshold:
    """Choose the threshold that agrees best with known causes on a fifth of a log.

    Args:
        discover: The pipeline.
        log: Sequences, as they are passed on to discovery.
        truth: Which event types cause which.
        advance: Called with the share of the work that is done, 0 to 1.
        parameters: Call parameters of the pipeline; its ``seed`` also decides the split.

    Raises:
        SettingsError: If the truth names other types than the log, or no pair of it is ever tested.
    """
    check_names(truth, log.event_types)
    settings = discover.settings(**{**parameters, "threshold": "fixed:0"})
    validation, rest = split(log, settings.seed)
    pairs = []
    for sequence, scores in discover.scored(iter(validation), **{**parameters, "threshold": "fixed:0"}):
        pairs.append(labelled(sequence, scores, truth))
        advance(len(pairs) / len(validation))
    threshold = validated(pairs)
    return ChosenThreshold(threshold, mean_f1(pairs, threshold.value), len(validation), rest, settings.seed)
