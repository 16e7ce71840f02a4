"""Answers to causal questions: p(Y | do(A), Z) with its error, by walking the graph in a causal order."""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from hf_trace.checks import number, whole
from hf_trace.effects.conditionals import Codes, Conditionals, Floats
from hf_trace.effects.formula_answers import ModelJoint, formula_answer, joint_of_model, towards_rows
from hf_trace.effects.identification import Identification
from hf_trace.effects.identifying.estimands import variables_of
from hf_trace.effects.particles import Met, Particles
from hf_trace.effects.queries import (
    Continue,
    Follow,
    Force,
    Query,
    QueryPlan,
    check_query,
    completions,
    forgotten,
    formula_plan,
    query_plan,
)
from hf_trace.errors import OverlapError, QueryError
from hf_trace.options import FUTURES, SEED

_TOGETHER = 1_000_000
_FEW_ROWS = 10


@dataclass(frozen=True)
class AnswerSettings:
    """How questions are answered.

    Attributes:
        num_samples: Draws per question where its completions are too many to enumerate.
        most_states: Most completions that are enumerated at a time.
        seed: Of the draws; questions share them, so that differences between answers are sharper than the answers.
        training_rows: Rows the model was trained on, if known: how rare a value may be before answers are refused.
        least_effective: Fewest effective draws behind an answer.

    Raises:
        SettingsError: If a number is too small, or none.
    """

    num_samples: int = FUTURES.default
    most_states: int = 200_000
    seed: int = SEED.default
    training_rows: int | None = None
    least_effective: float = 30.0

    def __post_init__(self) -> None:
        FUTURES.checked(self.num_samples)
        SEED.checked(self.seed)
        whole("most_states", self.most_states)
        number("least_effective", self.least_effective, least=0)


@dataclass(frozen=True)
class Overlap:
    """How often a forced value was seen in the circumstances in which it is forced.

    Attributes:
        mean: Its probability, averaged over the circumstances.
        smallest: Its smallest probability.
    """

    mean: float
    smallest: float


@dataclass(frozen=True)
class Answer:
    """p(target | do, given).

    Attributes:
        query: The question.
        probabilities: Of every value of the target, ``[value]``.
        standard_error: Monte Carlo error of each, ``[value]``; zeros where completions were enumerated.
        effective_sample_size: Draws the weighted ones are worth; infinite where completions were enumerated.
        order: Variables in the order in which they were walked.
        identification: Why the answer is a causal one, and what was adjusted for.
        overlap: Of every forced variable.
        evidence_probability: Of what was given, under what was done.
        draws: Draws behind the answer; 0 where completions were enumerated.
        rows: Rows that the factors of a formula were moved towards: errors then count which rows were sampled.
        warnings: What a user must know before believing it.
        binning_error: How far the mean of a numeric target, ``[1]``, or the probabilities of another, ``[value]``, are
            off because the model reads numbers in bins; None where that is not known.
        influence: Deviation of every draw, ``[draw, value]``: the error of a difference follows from theirs.
    """

    query: Query
    probabilities: Floats
    standard_error: Floats
    effective_sample_size: float
    order: tuple[str, ...]
    identification: Identification
    overlap: Mapping[str, Overlap]
    evidence_probability: float
    draws: int
    rows: int = 0
    warnings: tuple[str, ...] = ()
    binning_error: Floats | None = None
    influence: Floats = field(default_factory=lambda: np.zeros((0, 0)), repr=False)

    def expectation(self, numbers: Floats) -> tuple[float, float]:
        """Mean of the target where each value counts as a number, and its standard error.

        Values that count as NaN (missing ones) are left out, and the others weigh in proportion.
        """
        known = ~np.isnan(numbers)
        mean = float(self.probabilities[known] @ numbers[known] / self.probabilities[known].sum())
        return mean, error_of_mean(self.deviations(numbers))

    def deviations(self, numbers: Floats) -> Floats:
        """How far every draw pulls the mean, ``[draw]``; errors of differences follow from theirs."""
        known = ~np.isnan(numbers)
        mass = self.probabilities[known].sum()
        mean = self.probabilities[known] @ numbers[known] / mass
        return np.asarray(self.influence[:, known] @ (numbers[known] - mean) / mass, dtype=np.float64)


def answers(
    conditionals: Conditionals, queries: Sequence[Query], settings: AnswerSettings | None = None
) -> list[Answer]:
    """Answer many questions, those that differ only in values together.

    Args:
        conditionals: The model.
        queries: Questions, in codes.
        settings: See ``AnswerSettings``.

    Raises:
        QueryError: If a question contradicts itself, or its evidence is impossible.
        NotIdentifiedError: If latent variables leave a question open.
        OverlapError: If a forced value was hardly ever seen in its circumstances.
    """
    found = answers_or_refusals(conditionals, queries, settings)
    if refusals := [each for each in found if isinstance(each, QueryError)]:
        raise refusals[0]
    return [each for each in found if isinstance(each, Answer)]


def answers_or_refusals(
    conditionals: Conditionals, queries: Sequence[Query], settings: AnswerSettings | None = None
) -> list[Answer | QueryError]:
    """As ``answers``, with the error itself in the place of a question that is refused."""
    settings = settings or AnswerSettings()
    groups: dict[tuple[object, ...], list[int]] = {}
    found: dict[int, Answer | QueryError] = {}
    for index, query in enumerate(queries):
        try:
            check_query(conditionals.schema, query)
            groups.setdefault(query.signature, []).append(index)
        except QueryError as refusal:
            found[index] = refusal
    for group in groups.values():
        alike = [queries[index] for index in group]
        try:
            found.update(zip(group, _answers_alike(conditionals, alike, settings), strict=True))
        except QueryError as refusal:  # of what all of them share
            found.update(dict.fromkeys(group, refusal))
    return [found[index] for index in range(len(queries))]


def _answers_alike(
    conditionals: Conditionals, queries: list[Query], settings: AnswerSettings
) -> Iterator[Answer | QueryError]:
    plan = query_plan(conditionals, queries[0])
    if conditionals.rows is not None and plan.identification.estimand is None:
        plan = formula_plan(conditionals, queries[0], settings.most_states) or plan
    if plan.identification.estimand is not None:
        yield from _answers_by_formula(conditionals, plan, queries, settings)
        return
    states = completions(conditionals, plan, queries[0])
    # Asked parents only, particles that agree are added up; with full histories each completion is read.
    most = settings.most_states if conditionals.parents_only else min(settings.most_states, settings.num_samples)
    exact = states <= most
    rows = states if exact else settings.num_samples
    room = _TOGETHER if conditionals.parents_only else conditionals.rows_at_once()
    together = max(1, int(room // max(1, rows)))
    for start in range(0, len(queries), together):
        part = queries[start : start + together]
        pieces = max(1, math.ceil(rows / room)) if not exact else 1
        particles = [
            _walk(conditionals, plan, part, settings, exact=exact, draws=draws)
            for draws in np.array_split(np.arange(settings.num_samples), pieces)
        ]
        for index, query in enumerate(part):
            try:
                yield _answer(query, index, particles, plan, settings)
            except QueryError as refusal:
                yield refusal


def _answers_by_formula(
    conditionals: Conditionals, plan: QueryPlan, queries: list[Query], settings: AnswerSettings
) -> Iterator[Answer | QueryError]:
    estimand = plan.identification.estimand
    if estimand is None:
        raise ValueError("The question is answered by a walk, expected one that is answered by a formula.")
    asked = {queries[0].target, *queries[0].do, *queries[0].given}
    joint = joint_for(conditionals, plan.order, variables_of(estimand) | asked, settings)
    for query in queries:
        try:
            found = formula_answer(query, estimand, joint)
            answer = Answer(
                query=query,
                probabilities=found.probabilities,
                standard_error=np.array([error_of_mean(column) for column in found.influence.T]),
                effective_sample_size=joint.effective,
                order=plan.order,
                identification=plan.identification,
                overlap={name: Overlap(*seen) for name, seen in found.seen.items()},
                evidence_probability=found.evidence,
                draws=joint.draws,
                rows=joint.rows,
                influence=found.influence,
            )
            yield replace(answer, warnings=_checked(answer, settings))
        except QueryError as refusal:
            yield refusal


def joint_for(
    conditionals: Conditionals, order: Sequence[str], names: Collection[str], settings: AnswerSettings
) -> ModelJoint:
    """The joint distribution of some variables, enumerated or drawn as answers are, and moved towards known rows.

    Args:
        conditionals: The model.
        order: Variables closed under observed causes, causes before effects.
        names: Those of them that the distribution is of.
        settings: See ``AnswerSettings``.

    Raises:
        QueryError: If a variable is not finite, or the names alone have too many values.
    """

    def uniforms(name: str, draws: Codes) -> Floats:
        return _uniforms(settings.seed, conditionals.schema.topological_order.index(name), draws)(0)

    found = joint_of_model(
        conditionals,
        order,
        names,
        most_states=settings.most_states,
        num_samples=settings.num_samples,
        uniforms=uniforms,
    )
    return found if conditionals.rows is None else towards_rows(found, conditionals.rows)


def _walk(
    conditionals: Conditionals,
    plan: QueryPlan,
    queries: list[Query],
    settings: AnswerSettings,
    *,
    exact: bool,
    draws: Codes,
) -> Particles:
    """Walk all particles of some questions of one signature through the order."""
    particles = Particles(conditionals, len(queries), None if exact else len(draws))
    first = queries[0]
    for place, name in enumerate(plan.order):
        uniforms = _uniforms(settings.seed, conditionals.schema.topological_order.index(name), draws)
        intervention = first.do.get(name)
        if isinstance(intervention, Force):
            forced = np.array([each.code for query in queries if isinstance(each := query.do[name], Force)])
            natural = np.array([query.treated[name] for query in queries]) if name in first.treated else None
            particles.force(name, forced, natural)
        elif isinstance(intervention, Continue):
            particles.draw_tokens(name, uniforms, intervention)
        elif name in first.given:
            particles.observe(name, np.array([query.given[name] for query in queries]))
        else:
            policy = intervention if isinstance(intervention, Follow) else None
            if name == first.target:
                particles.meet_target(name)
            if exact or name == first.target:
                particles.expand(name, policy)
            elif conditionals.schema[name].is_finite:
                particles.sample(name, uniforms(0), policy)
            else:
                particles.draw_tokens(name, uniforms, Continue())
        if exact and conditionals.parents_only:
            particles.forget(forgotten(conditionals, plan, place, first))
    return particles


def _uniforms(seed: int, variable: int, draws: Codes) -> Callable[[int], Floats]:
    """Numbers in [0, 1) of a variable, by the place of a token in its value; the same for every question."""

    def numbers(place: int) -> Floats:
        generator = np.random.default_rng([seed, variable, place])
        return generator.random(int(draws[-1]) + 1)[draws]

    return numbers


def _answer(query: Query, number: int, parts: list[Particles], plan: QueryPlan, settings: AnswerSettings) -> Answer:
    """From the weights of one question's particles to its answer."""
    weights = np.concatenate([part.target_weights(query.target, number) for part in parts])
    scale = weights.max()
    if not scale > -np.inf:
        raise QueryError(
            f"What is given ({', '.join(query.given)}) is impossible under what is done. Expected evidence that can "
            "happen; change it."
        )
    mass = np.exp(weights - scale)
    total = mass.sum()
    probabilities = mass.sum(axis=0) / total
    per_draw = mass.sum(axis=1)
    influence = (mass - probabilities * per_draw[:, None]) * (len(mass) / total)
    exact = parts[0].exact
    answer = Answer(
        query=query,
        probabilities=probabilities,
        standard_error=np.array([error_of_mean(column) for column in influence.T]),
        effective_sample_size=math.inf if exact else float(total**2 / (per_draw**2).sum()),
        order=plan.order,
        identification=plan.identification,
        overlap={name: _overlap([part.met[name] for part in parts], number) for name in parts[0].met},
        evidence_probability=float(np.exp(scale) * total / len(mass)),
        draws=0 if exact else len(mass),
        binning_error=_binning_error(parts, number),
        influence=influence,
    )
    return replace(answer, warnings=_checked(answer, settings))


def _overlap(met: list[Met], number: int) -> Overlap:
    return Overlap(_mean(met, number), float(min(each.smallest[number] for each in met)))


def _mean(met: list[Met], number: int) -> float:
    return float(np.average([each.mean[number] for each in met], weights=[each.weight[number] for each in met]))


def _binning_error(parts: list[Particles], number: int) -> Floats | None:
    met = [part.binned for part in parts if part.binned is not None]
    return np.array([_mean(list(each), number) for each in zip(*met, strict=True)]) if met else None


def error_of_mean(influence: Floats) -> float:
    """Standard error of a mean from how far each draw pulls it, ``[draw]``; 0 where there are no draws."""
    draws = len(influence)
    return float(np.sqrt((influence**2).sum() / (draws * (draws - 1)))) if draws > 1 else 0.0


def _checked(answer: Answer, settings: AnswerSettings) -> tuple[str, ...]:
    """Warnings; refuses an answer that the data cannot support."""
    warnings, rows = [], settings.training_rows
    if answer.draws and answer.effective_sample_size < settings.least_effective:
        raise QueryError(
            f"What is given fits {answer.effective_sample_size:.1f} of {answer.draws:,} draws, expected at least "
            f"{settings.least_effective:g}. Raise the number of draws (`--num-samples`) or give less."
        )
    for name, overlap in answer.overlap.items():
        if overlap.mean * (rows or math.inf) < 1 or overlap.mean <= 0:
            raise OverlapError(
                f"The value forced on {name!r} has probability {overlap.mean:.2g} where it is forced: less than one of "
                f"{rows or 'all'} training rows has it. Expected a value that was seen; the data cannot answer this."
            )
    if rows is None:
        return ()
    expected = answer.evidence_probability * rows if answer.query.given else math.inf
    seen = f"What is given has probability {answer.evidence_probability:.2g} under what is done"
    if expected < 1:
        raise QueryError(
            f"{seen}: less than one of {rows:,} training rows, all but impossible. Expected evidence that was "
            "seen; give less."
        )
    if expected < _FEW_ROWS:
        warnings.append(f"{seen}: some {expected:.0f} of {rows:,} training rows. The answer rests on few or none.")
    for name, overlap in answer.overlap.items():
        if overlap.smallest * rows < 1:
            warnings.append(
                f"In some circumstances the value forced on {name!r} has probability {overlap.smallest:.2g}: the "
                "answer extrapolates there."
            )
    return tuple(warnings)
