"""Everything that decides what a discovery run computes, checked once."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

from hf_trace.discovery.statistics import ATTRIBUTION_STATISTICS, STAIRCASE_STATISTICS, STATISTICS
from hf_trace.discovery.thresholds import Bound, parse_threshold
from hf_trace.discovery.ties import BOTH, LISTED
from hf_trace.discovery.total_effects import TOTAL_STATISTICS, parse_horizon
from hf_trace.errors import SettingsError
from hf_trace.graphs.knowledge import BackgroundKnowledge
from hf_trace.oracle.proposals import PROPOSALS

# Statistics of each construction.
CONSTRUCTIONS: dict[str, Collection[str]] = {
    "atomic": STATISTICS,
    "staircase": STAIRCASE_STATISTICS,
    "saliency": ATTRIBUTION_STATISTICS,
    "attention": ("rollout",),
    "shapley": ATTRIBUTION_STATISTICS,
}
DEFAULT_STATISTICS = {
    "atomic": "kl_to_mixture",
    "staircase": "library",
    "saliency": "absolute",
    "attention": "rollout",
    "shapley": "absolute",
}
# Proposals of constructions that do not take all; gradients and attention replace nothing.
_PROPOSALS_OF = {
    "staircase": ["uniform", "unigram"],
    "saliency": ["uniform"],
    "attention": ["uniform"],
    "shapley": ["uniform"],
}
EFFECTS = ("direct", "total")


@dataclass(frozen=True)
class DiscoverySettings:
    """How pairs of events are scored and which become edges.

    Attributes:
        max_lag: Longest distance tested between cause and effect, in events; None tests all.
        threshold: ``margin:DELTA`` (nats), ``fixed:VALUE`` (of the statistic), ``quantile:Q`` (the highest
            1 - Q of the pairs of each sequence), ``per-lag:DELTA,DELTA,...`` (the last for longer lags) or
            ``fdr:Q,DELTA`` (the largest set of pairs of each sequence of which a share Q is expected to have no
            effect above DELTA, by default 0.05 nats; asks all oracles of a run, see ``confidence``).
        num_samples: Draws per replaced event (TRACE calls them particles).
        proposal: What replacements are drawn from: ``uniform``, ``unigram``, ``model``, or ``exhaustive``
            (every type once, uniformly weighted; ``exhaustive:unigram`` and ``exhaustive:model`` weight them).
        construction: ``atomic``: one event is replaced, everything else stays as observed; ``staircase``: the
            paper's, everything after an event is replaced. Baselines: ``saliency``: input x gradient;
            ``attention``: attention rollout, which has no sign; ``shapley``: Shapley values of the events within
            ``max_lag``, ``num_samples`` orders of arrival each (slow; needs ``hf-trace[attributions]``).
        statistic: Name of a function of ``hf_trace.discovery.statistics``: ``kl_to_mixture``, ``mean_of_kl``,
            ``probability_gain``, ``log_ratio`` (the Granger reading: how much better the effect is predicted with
            the cause than without); for the staircase ``library`` or ``paper``; for ``saliency`` and ``shapley``
            ``absolute`` or ``signed``; for ``attention`` ``rollout``.
        effect: ``direct``: events between cause and effect stay as observed; ``total``: an event is forced and the
            oracle goes on, everything after it free to follow (population graphs only).
        horizon: How far ahead a total effect counts: events (``16``), a time (``1h``), or both (``20,1h``).
        num_contexts: Places in the log where events are forced, for total effects.
        refine: Spend the draws where they decide: half of them on all causes, three times as many more on those
            with a pair within two standard errors of a ``margin`` or ``fixed`` threshold.
        prefix_length: Events at the start that are always observed, never tested as causes.
        seed: Seed of the draws; the same sequence gets the same draws wherever it stands.
        self_loops: Whether summary and population graphs keep edges from a type to itself.
        ties: ``listed``: events at the same time are read in the order of the source; ``both``: also in the other
            order, and edges between them have no direction of their own (direct effects only; see ``causal.ties``).
        knowledge: Which event types may cause which, and which do; None: nothing is known.

    Raises:
        SettingsError: If a value is not understood.
    """

    max_lag: int | None = 16
    threshold: str = "margin:0.05"
    num_samples: int = 32
    proposal: str = "uniform"
    construction: str = "atomic"
    statistic: str = "kl_to_mixture"
    effect: str = "direct"
    horizon: str = "16"
    num_contexts: int = 256
    refine: bool = False
    prefix_length: int = 0
    seed: int = 0
    self_loops: bool = False
    knowledge: BackgroundKnowledge | None = None
    ties: str = LISTED

    def __post_init__(self) -> None:
        weighted = [f"exhaustive:{name}" for name in PROPOSALS]
        _one_of("proposal", self.proposal, [*PROPOSALS, "exhaustive", *weighted])
        _one_of("construction", self.construction, CONSTRUCTIONS)
        _one_of("effect", self.effect, EFFECTS)
        _one_of("ties", self.ties, (LISTED, BOTH))
        total = self.effect == "total"
        _one_of(
            "statistic of total effects" if total else f"statistic of construction {self.construction!r}",
            self.statistic,
            TOTAL_STATISTICS if total else CONSTRUCTIONS[self.construction],
        )
        if self.construction in _PROPOSALS_OF:
            _one_of(f"proposal of construction {self.construction!r}", self.proposal, _PROPOSALS_OF[self.construction])
        if total and self.ties == BOTH:
            raise SettingsError(
                "ties is 'both' and effect 'total': only direct effects are scored in both orders. Leave out one."
            )
        _at_least("num_samples", self.num_samples, 1)
        _at_least("num_contexts", self.num_contexts, 1)
        _at_least("prefix_length", self.prefix_length, 0)
        if self.max_lag is not None:
            _at_least("max_lag", self.max_lag, 1)
        if self.refine and not isinstance(parse_threshold(self.threshold), Bound):
            raise SettingsError(
                f"refine needs one bound to decide at, and threshold is {self.threshold!r}. Expected margin:NATS or "
                "fixed:VALUE."
            )
        parse_horizon(self.horizon)
        if parse_threshold(self.threshold).has_confidence:
            _check_confidence(self)

    @property
    def bound(self) -> float:
        """The score above which a pair is an edge, where that is one number; else not a number."""
        threshold = parse_threshold(self.threshold)
        return threshold.value if isinstance(threshold, Bound) else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """All settings by name, as JSON can hold them."""
        return asdict(self) | {"knowledge": None if self.knowledge is None else self.knowledge.to_dict()}


def _check_confidence(settings: DiscoverySettings) -> None:
    """Confidence needs a divergence whose Monte Carlo error is known."""
    known = settings.effect == "direct" and settings.construction == "atomic" and settings.statistic == "kl_to_mixture"
    if not known:
        raise SettingsError(
            f"threshold is {settings.threshold!r} with {settings.effect} effects, construction "
            f"{settings.construction!r} and statistic {settings.statistic!r}, expected direct effects, 'atomic' and "
            "'kl_to_mixture', whose error is known. Use margin:0.05 with the others."
        )
    if settings.num_samples < 2:
        raise SettingsError(
            f"num_samples is {settings.num_samples} and threshold {settings.threshold!r}, expected at least 2 draws: "
            "one does not say how far it errs."
        )


def _one_of(name: str, value: str, known: Any) -> None:
    if value not in known:
        raise SettingsError(f"{name} is {value!r}, expected one of: {', '.join(known)}.")


def _at_least(name: str, value: int, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise SettingsError(f"{name} is {value!r}, expected a whole number of at least {least}.")
