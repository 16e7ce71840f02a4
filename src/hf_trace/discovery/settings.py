"""The settings of a discovery run, checked once."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from hf_trace.checks import one_of, refuse_unknown
from hf_trace.discovery.population.frequencies import parse_frequency
from hf_trace.discovery.statistics import ATTRIBUTION_STATISTICS, STAIRCASE_STATISTICS, STATISTICS
from hf_trace.discovery.thresholds import Bound, PerLag, parse_threshold
from hf_trace.discovery.ties import BOTH
from hf_trace.discovery.total_effects import TOTAL_STATISTICS, parse_horizon
from hf_trace.documents import Document
from hf_trace.errors import SettingsError, preview
from hf_trace.graphs.knowledge import BackgroundKnowledge, as_knowledge
from hf_trace.options import (
    BATCH_SIZE,
    BOOTSTRAP,
    CONSTRUCTION,
    EFFECT,
    HORIZON,
    LEVEL,
    MAX_LAG,
    MIN_FREQUENCY,
    MIN_SUPPORT,
    NUM_CONTEXTS,
    NUM_SAMPLES,
    PREFIX_LENGTH,
    PROPOSAL,
    QUESTION,
    QUESTIONS,
    SEED,
    STATISTIC,
    THRESHOLD,
    TIES,
    UNKNOWN,
)
from hf_trace.oracle.proposals import PROPOSALS

BY_TYPE = "by-type"
# See ``by_type_graph.strengths``.
BY_TYPE_STATISTICS = ("log_ratio", "gain", "kl", "association")
# The question of each, see ``combined_graph``; their score is a probability, of which more than a half makes an edge.
COMBINED, LIKELIER = {"combined": "drives", "combined_follows": "follows"}, "fixed:0.5"
REMOVAL = "removal"
_REPLACEMENTS = (*PROPOSALS, "exhaustive", *(f"exhaustive:{name}" for name in PROPOSALS))
ALL_PROPOSALS = (*_REPLACEMENTS, REMOVAL)


@dataclass(frozen=True)
class Construction:
    """What a construction can be combined with.

    Attributes:
        statistics: Names of its statistics, the default first.
        proposals: Its proposals, the default first; gradients and attention replace nothing, so theirs is a formality.
    """

    statistics: Collection[str]
    proposals: Collection[str] = ("uniform",)

    @property
    def defaults(self) -> Mapping[str, str]:
        """The statistic and the proposal used if none is named."""
        return {"statistic": next(iter(self.statistics)), "proposal": next(iter(self.proposals))}


CONSTRUCTIONS = {
    "atomic": Construction(STATISTICS, _REPLACEMENTS),
    "staircase": Construction(STAIRCASE_STATISTICS, ("uniform", "unigram")),
    "saliency": Construction(ATTRIBUTION_STATISTICS),
    "attention": Construction(("rollout",)),
    "shapley": Construction(ATTRIBUTION_STATISTICS),
    BY_TYPE: Construction((*BY_TYPE_STATISTICS, *COMBINED), (REMOVAL, "uniform", "unigram")),
}
# The horizon that a log suggests, see ``follows.resolved_horizon``; and the statistic of ``follows.Following``.
SUGGESTED = "suggested"
ONSET_RISK = "onset_risk"
# What a question asks for, where nothing else is named.
ASKED_BY: dict[str | None, Mapping[str, str]] = {
    "drives": {"construction": BY_TYPE, "effect": "direct"},
    "follows": {"effect": "total", "statistic": ONSET_RISK, "horizon": SUGGESTED, "threshold": "fixed:0.005"},
}


@dataclass(frozen=True)
class DiscoverySettings:
    """How pairs of events are scored and which become edges.

    Attributes:
        max_lag: Longest distance tested between cause and effect, in events; None tests all.
        threshold: ``margin:DELTA`` (nats), ``fixed:VALUE`` (of the statistic), ``quantile:Q`` (the highest
            1 - Q of the pairs of each sequence), ``per-lag:DELTA,DELTA,...`` (the last for longer lags) or
            ``fdr:Q,DELTA`` (the largest set of pairs of each sequence of which a share Q is expected to have no
            effect above DELTA, by default 0.05 nats; uses all oracles of a run, see ``confidence``).
        num_samples: Draws per replaced event (TRACE calls them particles).
        proposal: Distribution of the replacements: ``uniform``, ``unigram``, ``model``, or ``exhaustive``
            (every type once, uniformly weighted; ``exhaustive:unigram`` and ``exhaustive:model`` weight them); for
            ``by-type`` also ``removal``: the sequence is read as if the events had not been.
        construction: ``atomic``: one event is replaced, everything else is as observed; ``staircase``: the
            paper's, everything after an event is replaced. Baselines: ``saliency``: input x gradient;
            ``attention``: attention rollout, which has no sign; ``shapley``: Shapley values of the events within
            ``max_lag``, over ``num_samples`` orders of arrival (slow; needs ``hf-trace[attributions]``). ``by-type``:
            all events of a type leave a sequence at once (see ``by_type.comparison``).
        statistic: Name of a function of ``hf_trace.discovery.statistics``: ``kl_to_mixture``, ``mean_of_kl``,
            ``probability_gain``, ``log_ratio`` (the Granger reading: how much better the effect is predicted with
            the cause than without); for the staircase ``library`` or ``paper``; for ``saliency`` and ``shapley``
            ``absolute`` or ``signed``; for ``attention`` ``rollout``; for ``by-type`` ``log_ratio``, ``gain``, ``kl``
            or ``association`` (see ``by_type_graph.strengths``).
        effect: ``direct``: events between cause and effect are as observed; ``total``: an event is forced and the
            oracle generates what follows (population graphs only).
        horizon: Horizon of total effects: events (``16``), a time (``1h``), or both (``20,1h``).
        num_contexts: Number of places in the log where events are forced, for total effects.
        refine: Whether to spend the draws where they matter: half of them on every cause, three times as many more on
            causes with a pair within two standard errors of a ``margin`` or ``fixed`` threshold.
        prefix_length: Events at the start that are never replaced, so never causes.
        seed: Seed of the draws; the draws of a sequence do not depend on its place in the log.
        self_loops: Whether summary and population graphs keep edges from a type to itself.
        ties: ``listed``: events at the same time are read in the order of the source; ``both``: also in the reverse
            order, and edges between them are undirected (direct effects only; see ``discovery.ties``).
        knowledge: Which event types may cause which, and which do; None for no background knowledge.
        variable: Patterns such as ``*=*`` that make one cause and one effect of several event types (by-type
            effects; see ``event_variables.variable_names``).
        question: ``drives``: direct effects, by type unless another construction is named; ``follows``: total and
            marginal, see ``follows``; its horizon may be ``suggested`` (by the log), its one statistic is
            ``onset_risk``. None: whatever the other settings answer.

    Raises:
        SettingsError: If a value is not understood.
    """

    max_lag: int | None = MAX_LAG.default
    threshold: str = THRESHOLD.default
    num_samples: int = NUM_SAMPLES.default
    proposal: str = PROPOSAL.default
    construction: str = CONSTRUCTION.default
    statistic: str = STATISTIC.default
    effect: str = EFFECT.default
    horizon: str = HORIZON.default
    num_contexts: int = NUM_CONTEXTS.default
    refine: bool = False
    prefix_length: int = PREFIX_LENGTH.default
    seed: int = SEED.default
    self_loops: bool = False
    knowledge: BackgroundKnowledge | None = None
    ties: str = TIES.default
    variable: tuple[str, ...] = ()
    question: str | None = QUESTION.default

    def __post_init__(self) -> None:
        for option in (NUM_SAMPLES, NUM_CONTEXTS, PREFIX_LENGTH, EFFECT, TIES):
            option.checked(getattr(self, option.name))
        if self.max_lag is not None:
            MAX_LAG.checked(self.max_lag)
        one_of("proposal", self.proposal, ALL_PROPOSALS)
        construction = CONSTRUCTIONS[one_of("construction", self.construction, CONSTRUCTIONS)]
        whose = f"of construction {self.construction!r}"
        if self.question is not None:
            _check_question(self)
        if self.effect == "total":
            _check_total(self)
        else:
            one_of(f"statistic {whose}", self.statistic, construction.statistics)
        one_of(f"proposal {whose}", self.proposal, construction.proposals)
        if self.refine and not isinstance(parse_threshold(self.threshold), Bound):
            raise SettingsError(
                f"refine needs one bound to decide at, and threshold is {self.threshold!r}. Expected margin:NATS or "
                "fixed:VALUE."
            )
        if self.variable and not self.is_by_type:
            raise SettingsError(
                f"variable is {preview(self.variable)} and construction {self.construction!r}, expected 'by-type', "
                "which takes several event types as one cause. Add construction='by-type' (`--construction by-type`)."
            )
        if self.is_by_type:
            self._check_by_type()
        if self.question != "follows" or self.horizon != SUGGESTED:
            parse_horizon(self.horizon)
        if parse_threshold(self.threshold).has_confidence and not self.is_by_type:
            _check_confidence(self)

    @property
    def answers(self) -> str:
        """The question that a graph of all sequences answers."""
        return "follows" if self.effect == "total" else COMBINED.get(self.statistic, "drives")

    @property
    def is_by_type(self) -> bool:
        """Whether all events of a type are taken out at once."""
        return self.construction == BY_TYPE and self.effect == "direct"

    def _check_by_type(self) -> None:
        if isinstance(parse_threshold(self.threshold), PerLag):
            raise SettingsError(
                f"threshold is {self.threshold!r} and construction 'by-type', which adds up all lags. Expected "
                "margin:0.05, fixed:VALUE, quantile:Q or fdr:Q."
            )
        if self.ties == BOTH or self.self_loops:
            name = "ties is 'both'" if self.ties == BOTH else "self_loops is on"
            raise SettingsError(
                f"{name} and construction 'by-type', where all events of a type leave together: neither their order "
                "nor what they do to each other can be told. Leave it out, or take construction='atomic'."
            )

    @property
    def bound(self) -> float:
        """The score above which a pair is an edge; NaN if the threshold is not a single number."""
        threshold = parse_threshold(self.threshold)
        return threshold.value if isinstance(threshold, Bound) else float("nan")

    def to_dict(self) -> Document:
        """All settings by name, as JSON."""
        found = asdict(self) | {"knowledge": None if self.knowledge is None else self.knowledge.to_dict()}
        patterns, question = found.pop("variable"), found.pop("question")
        found |= {"variable": list(patterns)} if patterns else {}
        return found | ({"question": question} if question else {})


def _check_total(settings: DiscoverySettings) -> None:
    """Total effects have statistics of their own, and no pairs of positions."""
    if settings.question == "follows":
        if settings.statistic in COMBINED:
            raise SettingsError(
                f"statistic is {settings.statistic!r} and question 'follows', for which events are forced and counted. "
                "Leave the question out and take construction='by-type', statistic='combined_follows' (`--construction "
                "by-type --statistic combined_follows`), which tells what follows too."
            )
        one_of("statistic of question 'follows'", settings.statistic, (ONSET_RISK,))
    else:
        one_of("statistic of total effects", settings.statistic, TOTAL_STATISTICS)
    if settings.knowledge is not None:
        raise SettingsError(
            "knowledge is given and effect 'total': it rules pairs of direct effects in and out. Leave out one."
        )
    if settings.ties == BOTH:
        raise SettingsError(
            "ties is 'both' and effect 'total': only direct effects are scored in both orders. Change one of them."
        )


def _check_question(settings: DiscoverySettings) -> None:
    """A question and what answers it belong together."""
    question = one_of("question", settings.question, QUESTIONS)
    effect = ASKED_BY[question]["effect"]
    if settings.effect != effect:
        raise SettingsError(
            f"question is {question!r} and effect {settings.effect!r}: what drives is a direct effect, what follows a "
            "total one. Leave out either."
        )
    if question == "follows" and settings.construction != CONSTRUCTION.default:
        raise SettingsError(
            f"construction is {settings.construction!r} and question 'follows', for which events are forced and "
            "counted. Leave out either."
        )
    if question == "follows" and settings.variable:
        raise SettingsError(
            f"variable is {preview(settings.variable)} and question 'follows', for which single event types are "
            "forced. Leave it out, or ask question='drives' (`--question drives`)."
        )
    if question == "follows" and settings.horizon != SUGGESTED and len(parse_horizon(settings.horizon).seconds) > 1:
        raise SettingsError(
            f"horizon is {settings.horizon!r} and question 'follows', which counts within one time. Expected '16', "
            "'1h' or '20,1h'."
        )


def _check_confidence(settings: DiscoverySettings) -> None:
    """Confidence needs a divergence with a Monte Carlo error."""
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
            "one draw has no standard error."
        )


def _frequency(value: Any) -> float | str:
    """A share as a number, or 'adaptive'."""
    return getattr(parse_frequency(value), "share", str(value))


def _columns(value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not all(isinstance(name, str) for name in value):
        raise SettingsError(f"compare is {value!r}, expected a list of names of context columns.")
    return tuple(value)


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "min_frequency": _frequency,
    "compare": _columns,
    **{option.name: option.checked for option in (LEVEL, BATCH_SIZE, UNKNOWN, MIN_SUPPORT, BOOTSTRAP)},
}


@dataclass(frozen=True)
class DiscoveryRequest:
    """A request for discovery: how pairs are scored, the graph wanted, and what makes an edge of it.

    Attributes:
        settings: How pairs are scored and which become edges.
        level: ``"instance"`` or ``"summary"``: a graph per sequence; ``"population"``: one graph for all.
        batch_size: Sequences read at a time; changes scores only by rounding.
        return_scores: Whether to return all tested pairs, not only edges.
        unknown: ``"error"`` or ``"map"``, for events outside the vocabulary; None: as the run was trained.
        slide: Whether to read sequences longer than the model in overlapping windows instead of refusing them; every
            cause then has at least half a window of past.
        min_frequency: See ``PopulationPool.graph``.
        min_support: See ``PopulationPool.graph``.
        bootstrap: Number of bootstrap resamples of the sequences, for intervals of population edges; 0 for none.
        compare: Context columns (``read_log(context_columns=...)``, or ``"context"`` of a record) whose groups are
            compared, edge by edge.

    Raises:
        SettingsError: If a value is not understood, or does not fit the others.
    """

    settings: DiscoverySettings = field(default_factory=DiscoverySettings)
    level: str = LEVEL.default
    batch_size: int = BATCH_SIZE.default
    return_scores: bool = False
    unknown: str | None = UNKNOWN.default
    slide: bool = False
    min_frequency: float | str = MIN_FREQUENCY.default
    min_support: int = MIN_SUPPORT.default
    bootstrap: int = BOOTSTRAP.default
    compare: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, check in _CHECKS.items():
            object.__setattr__(self, name, check(getattr(self, name)))
        if self.settings.effect == "total" and self.level != "population":
            asked = "question is 'follows'" if self.settings.question == "follows" else "effect is 'total'"
            raise SettingsError(
                f"{asked} and level {self.level!r}, expected level='population' (`--level population`): "
                "total effects pool many contexts."
            )
        is_counted = self.level == "population" and self.settings.effect == "direct"
        asked = (
            f"with level {self.level!r} and {self.settings.effect} effects, expected a population graph of direct "
            "effects, whose sequences"
        )
        if self.settings.statistic in COMBINED and self.level != "population":
            raise SettingsError(
                f"statistic is {self.settings.statistic!r} and level {self.level!r}, expected level='population' "
                "(`--level population`): what is counted beside is counted in the whole log."
            )
        if self.settings.is_by_type and self.slide:
            raise SettingsError(
                "slide is on and construction 'by-type', which reads whole sequences. Leave it out (`--slide`): long "
                "sequences are cut into windows."
            )
        if self.settings.is_by_type and self.compare:
            raise SettingsError(
                f"compare is {list(self.compare)} and construction 'by-type', which does not compare groups. Expected "
                "construction='atomic', or one log for each group."
            )
        if self.bootstrap and not is_counted:
            raise SettingsError(f"bootstrap is {self.bootstrap} {asked} can be resampled. Leave `--bootstrap` out.")
        if self.compare and not is_counted:
            raise SettingsError(f"compare is {list(self.compare)} {asked} form groups. Leave `--compare` out.")

    def updated(self, **parameters: Any) -> "DiscoveryRequest":
        """The same request with some fields of either class replaced, by name.

        ``batch_size=None`` is the default, ``statistic=None`` and ``proposal=None`` are those of the construction, as
        they are where another construction is asked for and they are not named; so is what a question asks for.

        Raises:
            SettingsError: If a name is unknown, or a value is not understood.

        Example:
            >>> asked = DiscoveryRequest().updated(max_lag=2, min_frequency=0.9).updated(level="population")
            >>> asked.settings.max_lag, asked.min_frequency, asked.level
            (2, 0.9, 'population')
        """
        own = [each.name for each in fields(self) if each.name != "settings"]
        scoring = [each.name for each in fields(self.settings)]
        refuse_unknown(parameters, [*scoring, *own])
        if "knowledge" in parameters:
            parameters["knowledge"] = as_knowledge(parameters["knowledge"])
        if parameters.get("batch_size", 1) is None:
            parameters["batch_size"] = BATCH_SIZE.default
        question = parameters.get("question", self.settings.question)
        if question != self.settings.question:
            before = [name for name in ASKED_BY.get(self.settings.question, ()) if name != "statistic"]
            forgotten = {name: getattr(DiscoverySettings(), name) for name in before}
            parameters = forgotten | dict(ASKED_BY.get(question, {})) | parameters
        construction = CONSTRUCTIONS.get(parameters.get("construction", self.settings.construction))
        defaults = dict(construction.defaults) if construction else {}
        if question == "follows":
            defaults["statistic"] = ONSET_RISK
        changes = parameters.get("construction", self.settings.construction) != self.settings.construction
        changes |= question != self.settings.question and "follows" in (question, self.settings.question)
        for name, default in defaults.items():
            if parameters.get(name, "") is None or (name not in parameters and changes):
                parameters[name] = default
        becomes_combined = parameters.get("statistic") in COMBINED and self.settings.statistic not in COMBINED
        if becomes_combined and self.settings.threshold == THRESHOLD.default:
            parameters.setdefault("threshold", LIKELIER)
        if isinstance(parameters.get("variable"), str):
            parameters["variable"] = (parameters["variable"],)
        parameters |= {name: _CHECKS[name](value) for name, value in parameters.items() if name in _CHECKS}
        settings = replace(self.settings, **{name: parameters.pop(name) for name in scoring if name in parameters})
        return replace(self, settings=settings, **parameters)

    @property
    def is_total(self) -> bool:
        """Whether total effects are requested."""
        return self.settings.effect == "total"

    @property
    def is_pooled_by_type(self) -> bool:
        """Whether one graph of by-type effects is requested."""
        return self.settings.is_by_type and self.level == "population"

    @property
    def pooling(self) -> Document:
        """The parameters that turn a pool into a graph, by name."""
        names = ("min_frequency", "min_support", "bootstrap")
        return {name: getattr(self, name) for name in names} | {"compare": list(self.compare)}

    def to_dict(self) -> Document:
        """All parameters that determine a result, by name, as JSON."""
        own = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "settings"}
        return {**self.settings.to_dict(), **own, "compare": list(self.compare)}
