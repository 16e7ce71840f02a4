"""What a formula of observed conditionals says when a model gives the conditionals."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np

from hf_trace.effects.conditionals import Codes, Conditionals, Floats
from hf_trace.effects.identifying.estimands import Estimand, evaluated
from hf_trace.effects.particles import Particles
from hf_trace.effects.queries import Continue, Follow, Force, Query
from hf_trace.errors import OverlapError, QueryError
from hf_trace.tables.encoding import DagTable

# Parts of the draws, or of rows, each of which is left out once to tell the error of a formula.
GROUPS = 20
# Rows that what a model says may be worth.
_STRENGTHS = 2.0 ** np.arange(-3, 21)


@dataclass(frozen=True)
class ModelJoint:
    """How probable all values of some variables are together, under a model.

    Attributes:
        names: The variables, causes before effects.
        probabilities: An axis per variable.
        without: The same from all draws but those of a group, ``[group, …]``; empty where nothing was drawn.
        effective: What the draws are worth for the values for which they are worth least; infinite without draws.
        draws: How many there are of the variables that are not among the names; 0 where these were enumerated.
        rows: How many rows all of it was moved towards, see ``towards_rows``.
    """

    names: tuple[str, ...]
    probabilities: Floats
    without: Floats = field(default_factory=lambda: np.zeros(0))
    effective: float = math.inf
    draws: int = 0
    rows: int = 0


def joint_of_model(
    conditionals: Conditionals,
    order: Sequence[str],
    names: Collection[str],
    *,
    most_states: int,
    num_samples: int,
    uniforms: Callable[[str, Codes], Floats],
) -> ModelJoint:
    """The joint distribution of some variables, by the chain rule along an order of more.

    Where all values of all variables are few they are enumerated. Else only those of the names are, each as evidence
    of particles that draw the other variables (likelihood weighting).

    Args:
        conditionals: The model.
        order: Variables closed under observed causes, causes before effects.
        names: Those of them that the distribution is of.
        most_states: Most values of all variables together that are enumerated.
        num_samples: Draws for each value of the names, where there are more.
        uniforms: Numbers in [0, 1) of a variable for some draws.

    Raises:
        QueryError: If a variable is not finite, or the names alone have too many values.
    """
    if endless := [name for name in order if not conditionals.schema[name].is_finite]:
        raise QueryError(
            f"{endless[0]!r} is a {conditionals.schema[endless[0]].kind}, and the question is answered by a formula "
            "that sums over it. Expected variables with listed values."
        )
    for name in order:
        conditionals.check_learned(name)
    kept = tuple(name for name in order if name in names)
    sizes = {name: len(conditionals.tokens[name].values) for name in order}
    is_exact = math.prod(map(float, sizes.values())) <= most_states
    listed = tuple(order) if is_exact else kept
    states = math.prod(float(sizes[name]) for name in listed)
    if states > most_states:
        raise QueryError(
            f"The formula sums over {states:.1e} values of {', '.join(map(repr, kept))} together, expected at most "
            f"{most_states:,}. Use fewer bins or values, or raise `most_states`."
        )
    shape = tuple(sizes[name] for name in listed)
    weights = _weights(conditionals, order, listed, shape, np.arange(1 if is_exact else num_samples), uniforms)
    if is_exact:
        gone = tuple(index for index, name in enumerate(listed) if name not in names)
        return ModelJoint(kept, np.asarray(weights.reshape(shape).sum(axis=gone)))
    groups = np.array_split(np.arange(num_samples), min(GROUPS, num_samples))
    without = np.stack([np.delete(weights, group, axis=1).mean(axis=1).reshape(shape) for group in groups])
    squares = (weights**2).sum(axis=1)
    worth = np.divide(weights.sum(axis=1) ** 2, squares, out=np.full(len(weights), np.inf), where=squares > 0)
    return ModelJoint(kept, weights.mean(axis=1).reshape(shape), without, float(worth.min()), num_samples)


def towards_rows(joint: ModelJoint, rows: DagTable) -> ModelJoint:
    r"""What a model says of some variables, moved towards how often their values occur in rows.

    Every factor p(variable | those before) becomes the mean of a Dirichlet posterior,

    .. math:: \frac{n(v, h) + \alpha\, q(v \mid h)}{n(h) + \alpha},

    with the model's q as what was believed before. The :math:`\alpha` of a factor is the smallest whose prediction of
    rows that are left out one at a time is within a standard error of the best (Breiman et al. 1984): the model fills
    what was hardly seen, and counts take over unless it surely knows better. Only the rows decide.

    Args:
        joint: Under the model.
        rows: The rows, with weights.

    Returns:
        ``without`` leaves out groups of rows, and of draws where there are any: errors then count both. There counts
            alone speak, as the model would have learned from other rows, too; that makes errors rather too large.
    """
    parts = np.zeros((GROUPS, *joint.probabilities.shape))
    group = np.random.default_rng(0).permutation(len(rows)) % GROUPS
    np.add.at(parts, (group, *(np.asarray(rows.columns[name]) for name in joint.names)), rows.weights)
    counts = parts.sum(axis=0)
    strengths = [_strength(joint.probabilities, counts, place) for place in range(counts.ndim)]
    drawn = joint.without if joint.draws else [joint.probabilities] * GROUPS
    least = [float(_STRENGTHS[0])] * counts.ndim
    return replace(
        joint,
        probabilities=_moved(joint.probabilities, counts, strengths),
        without=np.stack([_moved(q, counts - part, least) for q, part in zip(drawn, parts, strict=False)]),
        rows=len(rows),
    )


def _moved(probabilities: Floats, counts: Floats, strengths: Sequence[float]) -> Floats:
    found = np.ones([1] * counts.ndim)
    for place, strength in enumerate(strengths):
        seen, share = _up_to(counts, place), _conditional(probabilities, place)
        found = found * (seen + strength * share) / (seen.sum(axis=place, keepdims=True) + strength)
    return found


def _strength(probabilities: Floats, counts: Floats, place: int) -> float:
    """How many rows what a model says of a factor is worth in each context."""
    seen, share = _up_to(counts, place), _conditional(probabilities, place)
    total = np.broadcast_to(seen.sum(axis=place, keepdims=True), seen.shape)
    met = seen > 0
    rows, others, worth = seen[met], total[met] - 1, _STRENGTHS[:, None]
    # What the model finds impossible and one row shows is impossible whatever it is worth.
    known = (rows > 1) | (share[met] > 0)
    rows, others, likely = rows[known], others[known], share[met][known]
    fit = np.log((np.maximum(rows - 1, 0) + worth * likely) / (np.maximum(others, 0) + worth))
    lost = fit[np.argmax(fit @ rows)] - fit
    mean = lost @ rows / rows.sum()
    error = np.sqrt((lost - mean[:, None]) ** 2 @ rows) / rows.sum()
    return float(_STRENGTHS[np.flatnonzero(mean <= error)[0]])


def _up_to(table: Floats, place: int) -> Floats:
    """Sums over all axes after one."""
    return np.asarray(table.sum(axis=tuple(range(place + 1, table.ndim)), keepdims=True))


def _conditional(table: Floats, place: int) -> Floats:
    """p(axis | all before it); even shares where none is known."""
    above = _up_to(table, place)
    below = np.broadcast_to(above.sum(axis=place, keepdims=True), above.shape)
    even = np.full(above.shape, 1 / above.shape[place])
    return np.asarray(np.divide(above, below, out=even, where=below > 0))


def _weights(
    conditionals: Conditionals,
    order: Sequence[str],
    listed: tuple[str, ...],
    shape: tuple[int, ...],
    draws: Codes,
    uniforms: Callable[[str, Codes], Floats],
) -> Floats:
    """How well every draw of the other variables explains all values of those listed, ``[values, draw]``."""
    codes = np.array(list(np.ndindex(shape)), dtype=np.int64).reshape(-1, len(listed))
    column = {name: index for index, name in enumerate(listed)}
    needed = order[: max(map(order.index, listed)) + 1]
    found = []
    for part in np.array_split(codes, -(-len(codes) * len(draws) // max(len(draws), conditionals.rows_at_once()))):
        particles = Particles(conditionals, len(part), len(draws))
        for name in needed:
            if name in column:
                particles.observe(name, part[:, column[name]])
            else:
                particles.sample(name, uniforms(name, draws))
        found.append(np.exp(particles.log_weight).reshape(len(part), len(draws)))
    return np.concatenate(found)


@dataclass(frozen=True)
class FormulaAnswer:
    """What a formula says of one question.

    Attributes:
        probabilities: Of every value of the target, ``[value]``.
        influence: How far every group of draws pulls them, ``[group, value]``; empty where nothing was drawn.
        seen: By forced variable how often its value is seen, and how often at least where other variables of the
            formula have values of their own.
        evidence: How often what is given is seen.
    """

    probabilities: Floats
    influence: Floats
    seen: Mapping[str, tuple[float, float]]
    evidence: float


def formula_answer(query: Query, estimand: Estimand, joint: ModelJoint) -> FormulaAnswer:
    """Evaluate a formula at the values of a question.

    Args:
        query: The question; its variables are among those of the joint distribution.
        estimand: The formula of p(target | do, given).
        joint: See ``joint_of_model``.

    Raises:
        QueryError: If a policy looks at other variables, or a sequence is continued.
        OverlapError: If what the formula needs is never seen.
    """
    found = _distribution(query, estimand, joint.names, joint.probabilities)
    without = np.array([_distribution(query, estimand, joint.names, each) for each in joint.without])
    return FormulaAnswer(
        probabilities=found,
        influence=(len(without) - 1) * (without.mean(axis=0) - without) if len(without) else np.zeros((0, len(found))),
        seen={name: _seen(joint, name, each.code) for name, each in query.do.items() if isinstance(each, Force)},
        evidence=_probability(joint.probabilities, joint.names, query.given),
    )


def _distribution(query: Query, estimand: Estimand, names: tuple[str, ...], joint: Floats) -> Floats:
    """p(target | do, given), or for those who had another treatment."""
    if query.treated:
        return _of_treated(query, estimand, names, joint)
    values = evaluated(estimand, joint, names)
    total = np.zeros(joint.shape[names.index(query.target)])
    for chosen, share in _forced(query, joint.shape, names):
        total = total + share * _at(values, names, {**query.given, **chosen}, query.target, len(total))
    if not total.sum() > 0:
        raise OverlapError(
            f"The formula of {query.target!r} conditions on values that are never seen together. Expected values that "
            "were seen; the data cannot answer this."
        )
    return np.asarray(total / total.sum())


def _of_treated(query: Query, estimand: Estimand, names: tuple[str, ...], joint: Floats) -> Floats:
    """p(Y(a) | A = a'): by consistency where a = a', else from the rest of p(Y | do(a)) where A has two values."""
    (treatment, natural), *more = query.treated.items()
    forced = query.do[treatment]
    size = joint.shape[names.index(treatment)]
    if more or query.given or not isinstance(forced, Force) or size != 2:
        raise QueryError(
            "The effect on the treated follows from a formula only for one treatment of two values and without "
            "evidence. Expected that, or the contrast 'ate'."
        )
    together = _at(
        joint.sum(
            axis=tuple(i for i, name in enumerate(names) if name not in (treatment, query.target)), keepdims=True
        ),
        names,
        {treatment: forced.code},
        query.target,
        joint.shape[names.index(query.target)],
    )
    if forced.code != natural:
        done = _distribution(Query(query.target, {treatment: forced}), estimand, names, joint)
        together = np.maximum(done - together, 0.0)
    if not together.sum() > 0:
        raise OverlapError(f"{treatment!r} never has the value that is compared. Expected values that were seen.")
    return np.asarray(together / together.sum())


def _forced(query: Query, shape: tuple[int, ...], names: tuple[str, ...]) -> list[tuple[dict[str, int], float]]:
    """All values that are forced together, and how often."""
    options = []
    for name, each in query.do.items():
        if isinstance(each, Continue) or (isinstance(each, Follow) and each.reads):
            raise QueryError(
                f"What is done to {name!r} depends on other values, and the question is answered by a formula. "
                "Expected a value, or probabilities of values that look at nothing."
            )
        if isinstance(each, Force):
            options.append([(name, each.code, 1.0)])
        else:
            shares = each.probabilities(np.zeros((1, 0), dtype=np.int64))[0]
            options.append([(name, code, float(share)) for code, share in enumerate(shares)])
    return [
        ({name: code for name, code, _ in chosen}, math.prod(share for *_, share in chosen))
        for chosen in product(*options)
    ]


def _at(values: Floats, names: tuple[str, ...], fixed: Mapping[str, int], target: str, size: int) -> Floats:
    """The values of a formula along the target, ``[value]``, at values of other variables."""
    index = tuple(
        slice(None) if name == target else fixed.get(name, 0) if length > 1 else 0
        for name, length in zip(names, values.shape, strict=True)
    )
    return np.broadcast_to(values[index], (size,))


def _seen(joint: ModelJoint, name: str, code: int) -> tuple[float, float]:
    place = joint.names.index(name)
    later = tuple(range(place + 1, len(joint.names)))
    earlier = joint.probabilities.sum(axis=later) if later else joint.probabilities
    context = earlier.sum(axis=-1)
    share = np.divide(earlier[..., code], context, out=np.ones_like(context), where=context > 0)
    return float(earlier[..., code].sum() / earlier.sum()), float(share.min())


def _probability(joint: Floats, names: tuple[str, ...], fixed: Mapping[str, int]) -> float:
    return float(joint[tuple(fixed.get(name, slice(None)) for name in names)].sum())
