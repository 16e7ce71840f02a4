"""What would have been in a row of which something is known, by a model of a table: abduction, then bounds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hf_trace.documents import Document
from hf_trace.effects.answers import AnswerSettings, answers, joint_for
from hf_trace.effects.conditionals import Codes, Conditionals, Floats
from hf_trace.effects.counterfactuals.mechanisms import Mechanisms
from hf_trace.effects.identifying.estimands import Conditional, evaluated
from hf_trace.effects.identifying.projection import Projection
from hf_trace.effects.identifying.response_types import EffectBounds
from hf_trace.effects.particles import Particles
from hf_trace.effects.queries import Force, Query, check_query
from hf_trace.errors import NotIdentifiedError, QueryError

INDEPENDENT = "every variable has noise of its own (no latent variable causes two of them)"
MONOTONE = "the more of its noise, the larger a variable, whatever its causes (values keep their rank)"
_POINT, _IMPOSSIBLE = 1e-9, 1e-12


@dataclass(frozen=True)
class RowQuestion:
    """A target had something in a row been otherwise.

    Attributes:
        query: Target and values that are forced; nothing is given after they are.
        factual: Values that the row had, by variable.
        monotone: Whether noise keeps values in rank.
    """

    query: Query
    factual: Mapping[str, int]
    monotone: bool = False

    @property
    def do(self) -> dict[str, int]:
        """The forced values."""
        return {name: each.code for name, each in self.query.do.items() if isinstance(each, Force)}


@dataclass(frozen=True)
class PossibleRows:
    """Rows that agree with what is known.

    Attributes:
        rows: Values by variable.
        shares: How probable each is, given what is known.
        evidence: How probable what is known is.
        effective: What the draws are worth; infinite where rows were enumerated.
    """

    rows: list[dict[str, int]]
    shares: Floats
    evidence: float
    effective: float


def check_row_question(conditionals: Conditionals, asked: RowQuestion) -> None:
    """Refuse what has no answer of this kind.

    Raises:
        QueryError: If the question contradicts itself, nothing is known of the row, or what is done is no value.
        NotIdentifiedError: If a latent variable causes two variables that play a part.
    """
    schema, query = conditionals.schema, asked.query
    check_query(schema, query)
    if not asked.factual or not query.do:
        raise QueryError(
            "A counterfactual needs what was seen in the row and what would have been otherwise. Expected values for "
            "`factual` and for `do` (`--factual Z=z --do A=a`)."
        )
    if query.given:
        raise QueryError(
            "What is given holds after what is done, and of a single row only what was seen is known. Name it as "
            "`factual` (`--factual`) instead."
        )
    for name in asked.factual:
        schema.observed(name)
    if loose := [name for name in query.do if name not in asked.do]:
        raise QueryError(f"What would have been done to {loose[0]!r} is no value. Expected one for a single row.")
    if endless := [name for name in _part(conditionals, asked).order if not schema[name].is_finite]:
        raise QueryError(
            f"{endless[0]!r} is a {schema[endless[0]].kind}, and its noise in a row cannot be told. Expected variables "
            "with listed values between what is done, what was seen and the target."
        )
    joined = _part(conditionals, asked).joined.edges
    for pair in joined:
        latent = joined[pair]["latent"][0]
        raise NotIdentifiedError(
            f"What {query.target!r} would have been in this row is not told: the latent {latent!r} causes both "
            f"{pair[0]!r} and {pair[1]!r}, so what the row shows of one tells of the other. Measure {latent!r}, or ask "
            "what happens on average (without `factual`)."
        )


def _part(conditionals: Conditionals, asked: RowQuestion) -> Projection:
    """The graph between all variables that play a part."""
    schema = conditionals.schema
    names = schema.ancestors([asked.query.target, *asked.query.do, *asked.factual])
    return Projection.of(schema.graph.subgraph(names), names - schema.latent)


def possible_rows(conditionals: Conditionals, asked: RowQuestion, settings: AnswerSettings) -> PossibleRows:
    """Abduction: values of what is not known of a row, weighed by how well they explain what is.

    All are enumerated where they are few, else drawn and weighed (likelihood weighting).

    Args:
        conditionals: The model.
        asked: The question.
        settings: See ``AnswerSettings``.

    Raises:
        QueryError: If what is known never happens, or too few draws explain it.
    """
    order = _part(conditionals, asked).order
    if conditionals.fixed_order and not conditionals.parents_only:
        whole = conditionals.schema.topological_order
        order = whole[: max(map(whole.index, order)) + 1]
    states = math.prod(len(conditionals.tokens[name].values) for name in order if name not in asked.factual)
    is_exact = states <= settings.num_samples
    particles = Particles(conditionals, 1, None if is_exact else settings.num_samples)
    for place, name in enumerate(order):
        if name in asked.factual:
            particles.observe(name, np.array([asked.factual[name]]))
        elif is_exact:
            particles.expand(name)
        else:
            particles.sample(name, np.random.default_rng([settings.seed, place]).random(settings.num_samples))
    return _collected(particles, settings)


def _collected(particles: Particles, settings: AnswerSettings) -> PossibleRows:
    weights = np.exp(particles.log_weight)
    total = float(weights.sum())
    evidence = total if particles.exact else total / len(weights)
    seen_in = evidence * (settings.training_rows or math.inf)
    if not total > 0 or seen_in < 1:
        raise QueryError(
            f"What was seen in the row has probability {evidence:.2g}: the model has met no such row. Expected values "
            "that occur together; check them."
        )
    effective = math.inf if particles.exact else float(total**2 / (weights**2).sum())
    if effective < settings.least_effective:
        raise QueryError(
            f"What was seen fits {effective:.1f} of {len(weights):,} draws, expected at least "
            f"{settings.least_effective:g}. Raise the number of draws (`--num-samples`), or tell more of the row."
        )
    codes = np.stack(list(particles.codes.values()), axis=1)
    rows, place = np.unique(codes, axis=0, return_inverse=True)
    shares = np.bincount(place.reshape(-1), weights) / total
    kept = shares > _IMPOSSIBLE
    listed = [dict(zip(particles.codes, row.tolist(), strict=True)) for row in rows[kept]]
    return PossibleRows(listed, shares[kept] / shares[kept].sum(), evidence, effective)


def mechanisms_of(conditionals: Conditionals, asked: RowQuestion, settings: AnswerSettings) -> Mechanisms:
    """p(variable | its causes) of everything that plays a part, as the model has learned it."""
    part = _part(conditionals, asked)
    causes = {name: tuple(each for each in part.order if part.arrows.has_edge(each, name)) for name in part.order}
    return Mechanisms(causes, {name: _table(conditionals, name, listed, settings) for name, listed in causes.items()})


def _table(conditionals: Conditionals, name: str, causes: Sequence[str], settings: AnswerSettings) -> Floats:
    sizes = [len(conditionals.tokens[each].values) for each in (*causes, name)]
    if conditionals.parents_only:
        codes: Codes = np.indices(sizes[:-1]).reshape(len(causes), math.prod(sizes[:-1])).T
        asked = [causes.index(each) for each in conditionals.parents(name)]
        return np.exp(conditionals.parents_say(name, codes[:, asked])).reshape(sizes)
    schema = conditionals.schema
    needed = schema.ancestors([name])
    order = [each for each in schema.topological_order if each in needed]
    joint = joint_for(conditionals, order, [*causes, name], settings)
    return evaluated(Conditional((name,), tuple(causes)), joint.probabilities, joint.names).reshape(sizes)


def counterfactual_of_row(conditionals: Conditionals, asked: RowQuestion, settings: AnswerSettings) -> Document:
    """Between what the probability of every value of a target lies, had something in a row been otherwise.

    Args:
        conditionals: The model.
        asked: The question.
        settings: See ``AnswerSettings``.

    Returns:
        ``counterfactual`` with ``[least, most]`` by value; ``distribution`` too where these agree, as they do with
        ``monotone``; ``everybody``, what is done on average; what all of it ``assumes``.

    Raises:
        QueryError: If the question has no answer of this kind.
        NotIdentifiedError: If a latent variable is in the way.
    """
    check_row_question(conditionals, asked)
    rows = possible_rows(conditionals, asked, settings)
    model = mechanisms_of(conditionals, asked, settings)
    variable = conditionals.schema[asked.query.target]
    each = [_averaged(model, rows, asked, scores) for scores in np.eye(len(variable.values))]
    everybody = answers(conditionals, [asked.query], settings)[0]
    document: Document = {
        "target": asked.query.target,
        "counterfactual": {name: [found.low, found.high] for name, found in zip(variable.values, each, strict=True)},
        "bounds_are_sharp": all(found.is_sharp for found in each),
        "evidence_probability": rows.evidence,
        "effective_sample_size": rows.effective,
        "method": "enumeration" if math.isinf(rows.effective) else "sampling",
        "assumes": [INDEPENDENT, *([MONOTONE] if asked.monotone else [])],
        "everybody": dict(zip(variable.values, everybody.probabilities.tolist(), strict=True)),
        "warnings": list(everybody.warnings),
    }
    if all(found.high - found.low < _POINT for found in each):
        document["distribution"] = {name: found.low for name, found in zip(variable.values, each, strict=True)}
    return document


def _averaged(model: Mechanisms, rows: PossibleRows, asked: RowQuestion, scores: Floats) -> EffectBounds:
    """Bounds of a mean over all rows that are possible: valid, and sharp where a single one is."""
    found = [
        model.in_row(row, asked.do, asked.query.target, scores, monotone=asked.monotone)
        for row, share in zip(rows.rows, rows.shares, strict=True)
    ]
    low, high = (float(rows.shares @ [getattr(each, end) for each in found]) for end in ("low", "high"))
    is_sharp = asked.monotone or len(found) == 1
    return EffectBounds(low, high, is_sharp=is_sharp and all(each.is_sharp for each in found))
