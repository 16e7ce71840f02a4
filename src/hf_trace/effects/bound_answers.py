"""Intervals instead of numbers: how far an answer may lie that observations do not tell."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np

from hf_trace.documents import Document
from hf_trace.effects.answers import AnswerSettings, joint_for
from hf_trace.effects.conditionals import Conditionals, Floats
from hf_trace.effects.contrasts import Contrast
from hf_trace.effects.identifying.formulas import CompleteQuestion
from hf_trace.effects.identifying.instruments import instruments, local_effect
from hf_trace.effects.identifying.proxies import ProxyEffect, ProxyPair, proxy_effect, proxy_pairs
from hf_trace.effects.identifying.response_types import BoundedQuestion, EffectBounds
from hf_trace.effects.queries import Force, Query
from hf_trace.errors import QueryError

_MONOTONE = "nobody's treatment is moved the other way by the instrument (monotonicity)"


def bounded_question(conditionals: Conditionals, query: Query, settings: AnswerSettings) -> BoundedQuestion:
    """A question with the probabilities that a model gives to all that plays a part in it.

    Raises:
        QueryError: If what is done is not a value, or the variables have too many values together.
    """
    if loose := [name for name, each in query.do.items() if not isinstance(each, Force)]:
        raise QueryError(f"What is done to {loose[0]!r} is no value, and only effects of values are bounded.")
    schema = conditionals.schema
    question = CompleteQuestion(
        schema.graph,
        frozenset(schema.topological_order),
        frozenset([query.target]),
        frozenset(query.do),
        frozenset(query.given),
    )
    causes = schema.ancestors([query.target, *query.do, *query.given]) - schema.latent
    order = tuple(name for name in schema.topological_order if name in causes)
    joint = joint_for(conditionals, order, order, settings)
    return BoundedQuestion(question, joint.probabilities, joint.names)


def bounds_of_answer(conditionals: Conditionals, query: Query, settings: AnswerSettings) -> Document:
    """Bounds of the probability of every value of the target, and of its mean where values are numbers.

    Beside them stands what two proxies of a latent variable say, for which it takes an assumption.
    """
    asked = bounded_question(conditionals, query, settings)
    variable, do = conditionals.schema[query.target], _codes(query)
    each = [asked.interval([(do, score)], query.given) for score in np.eye(len(variable.values))]
    document: Document = {
        "target": query.target,
        "bounds": {value: _ends(found) for value, found in zip(variable.values, each, strict=True)},
        **_quality(each),
    }
    if variable.numbers is not None and not np.isnan(variable.numbers).any():
        document["bounds_of_mean"] = _ends(asked.interval([(do, variable.numbers)], query.given))
    values = np.eye(len(variable.values))
    document["proxy_effects"] = [
        {
            **_shown(
                found[0], ", ".join(f"{name}: {_told(each)}" for name, each in zip(variable.values, found, strict=True))
            ),
            "distribution": {name: each.value for name, each in zip(variable.values, found, strict=True)},
            "standard_error": {name: each.standard_error for name, each in zip(variable.values, found, strict=True)},
        }
        for found in _by_proxies(conditionals, asked.question, [[(do, score)] for score in values], settings)
    ]
    return document


def bounds_of_contrast(
    conditionals: Conditionals, contrast: Contrast, scores: Floats, settings: AnswerSettings
) -> Document:
    """Bounds of a difference between two interventions; beside them what an instrument says of some, and proxies.

    Raises:
        QueryError: If the contrast is of the treated, or values of the target count as nothing.
    """
    if contrast.kind == "att" or np.isnan(scores).any():
        raise QueryError("Bounds are of everybody (ate) or a subgroup (cate), of a target without missing values.")
    query = contrast.query
    asked = bounded_question(conditionals, query, settings)
    treated, control = _codes(query), _codes(contrast.pair[1])
    found = asked.interval([(treated, scores), (control, -scores)], query.given)
    document: Document = {"bounds": _ends(found), **_quality([found])}
    if len(treated) == 1 and not query.given:
        arms = next(iter(treated.values())), next(iter(control.values()))
        local = (
            local_effect(asked.question, name, asked.joint, asked.names, arms, scores)
            for name in instruments(asked.question)
        )
        document["local_effects"] = [
            {
                **asdict(each),
                "values": [conditionals.schema[each.instrument].values[code] for code in each.values],
                "assumes": _MONOTONE,
            }
            for each in local
            if each is not None
        ]
    compared = [(treated, scores), (control, -scores)]
    document["proxy_effects"] = [
        {**_shown(found, _told(found)), "value": found.value, "standard_error": found.standard_error}
        for (found,) in _by_proxies(conditionals, asked.question, [compared], settings)
    ]
    return document


def _by_proxies(
    conditionals: Conditionals,
    question: CompleteQuestion,
    sums: Sequence[Sequence[tuple[Mapping[str, int], Floats]]],
    settings: AnswerSettings,
) -> list[list[ProxyEffect]]:
    """What every pair of proxies says of some sums of means; pairs that say nothing are left out."""
    listed = []
    for pair in proxy_pairs(question):
        joint, names = _joint_of_proxies(conditionals, question, pair, settings)
        hidden = len(conditionals.schema[pair.latent].values)
        found = [
            proxy_effect(
                question,
                pair,
                joint,
                names,
                [(next(iter(do.values())), scores) for do, scores in arms],
                values=hidden or None,
                rows=settings.training_rows,
            )
            for arms in sums
        ]
        if all(found):
            listed.append([each for each in found if each is not None])
    return listed


def _joint_of_proxies(
    conditionals: Conditionals, question: CompleteQuestion, pair: ProxyPair, settings: AnswerSettings
) -> tuple[Floats, tuple[str, ...]]:
    needed = {*question.targets, *question.do, pair.of_treatment, pair.of_target, *pair.covariates}
    schema = conditionals.schema
    causes = schema.ancestors(needed)
    joint = joint_for(conditionals, [name for name in schema.topological_order if name in causes], needed, settings)
    return joint.probabilities, joint.names


def _told(found: ProxyEffect) -> str:
    return f"{found.value:.4g}" + ("" if found.standard_error is None else f" ± {found.standard_error:.2g}")


def _shown(found: ProxyEffect, value: str) -> Document:
    pair = found.pair
    weak = " They hardly tell values apart: neither the number nor its error is to be trusted." if found.is_weak else ""
    return {
        "latent": pair.latent,
        "proxies": [pair.of_treatment, pair.of_target],
        "covariates": list(pair.covariates),
        "condition": found.condition,
        "is_weak": found.is_weak,
        "assumes": found.assumes,
        "sentence": f"By the proxies {pair.of_treatment!r} and {pair.of_target!r} it is {value}, provided that "
        f"{found.assumes}; condition number {found.condition:.3g}.{weak}",
    }


def _codes(query: Query) -> dict[str, int]:
    return {name: each.code for name, each in query.do.items() if isinstance(each, Force)}


def _ends(found: EffectBounds) -> list[float]:
    return [found.low, found.high]


def _quality(found: list[EffectBounds]) -> Mapping[str, object]:
    return {
        "bounds_are_sharp": all(each.is_sharp for each in found),
        "contradiction": max(each.contradiction for each in found),
    }
