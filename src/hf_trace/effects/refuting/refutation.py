"""What speaks against an effect: rows shuffled, thinned and simulated, arrows dropped, what may be hidden."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from os import PathLike

import numpy as np
import pandas as pd
from scipy.stats import t

from hf_trace.documents import Document
from hf_trace.effects.conditionals import Floats
from hf_trace.effects.contrasts import Contrast, outcomes_of_rows
from hf_trace.effects.doubly_robust import Estimate
from hf_trace.effects.identification import Identification, identify
from hf_trace.effects.identifying.open_paths import with_ancestors
from hf_trace.effects.queries import Force
from hf_trace.effects.quick_effects import Compared, effect_given, features, least_squares, quick_effect
from hf_trace.effects.refuting.implied_independences import (
    IndependenceTest,
    contradicted,
    implied_independences,
    independence_test,
)
from hf_trace.effects.refuting.sensitivity import e_value, robustness_value
from hf_trace.errors import HfTraceError, QueryError, TableError
from hf_trace.options import SEED
from hf_trace.tables.encoding import DagTable, encode_table, read_table
from hf_trace.tables.schema import DagSchema

REPEATS = 10
SUBSET = 0.8
_MOST_ROWS = 20_000
_MOST_ARROWS = 40
_SURE = 0.99


@dataclass(frozen=True)
class RefutationCheck:
    """How an effect answers to a change that should move it in a known way.

    Attributes:
        name: What was changed.
        expected: What the effect should be then.
        value: What it is, the mean over ``repeats``.
        spread: Standard deviation over the repeats; None where there is one.
        holds: Whether it is as expected, as far as chance allows.
        note: What else is to be known.
    """

    name: str
    expected: float
    value: float
    spread: float | None
    holds: bool
    note: str = ""

    @property
    def moved(self) -> float:
        """How far the effect is from what it should be."""
        return self.value - self.expected


@dataclass(frozen=True)
class DroppedArrow:
    """The effect under a graph without an arrow.

    Attributes:
        cause: Where the arrow begins.
        effect: Where it ends.
        value: The effect without it; None where observations then do not tell it, or it is certain to be 0.
        moved: How far that is from the effect with it.
    """

    cause: str
    effect: str
    value: float | None
    moved: float | None


@dataclass(frozen=True)
class Refutation:
    """All that was tried against an effect.

    Attributes:
        answer: The effect in question.
        quick: The same by the estimator that the checks use.
        checks: What the rows were put to.
        independences: How many the graph implies, of which were tested.
        contradicted: Those that the table contradicts, strongest first.
        arrows: What happens without each arrow that matters, the largest move first.
        sensitivity: How strong an unmeasured confounder would have to be.
        rows: How many rows the checks read.
    """

    answer: float
    quick: Estimate
    checks: tuple[RefutationCheck, ...]
    independences: int
    contradicted: tuple[IndependenceTest, ...]
    arrows: tuple[DroppedArrow, ...]
    sensitivity: Document
    rows: int

    @property
    def sentence(self) -> str:
        """What all of it comes to."""
        failed = [check.name for check in self.checks if not check.holds]
        stands = (
            f"fails {len(failed)} of {len(self.checks)} checks ({', '.join(failed)})"
            if failed
            else (f"stands all {len(self.checks)} checks")
        )
        if self.contradicted:
            first = self.contradicted[0].independence
            graph = (
                f"the table contradicts {len(self.contradicted)} of {self.independences} independences that the graph "
                f"implies, most of all that of {first}: an arrow between them or a latent cause is missing"
            )
        elif self.independences:
            graph = f"the table contradicts none of {self.independences} independences that the graph implies"
        else:
            graph = "the graph implies no independence that a table could contradict"
        moves = [arrow for arrow in self.arrows if arrow.moved]
        arrow = ""
        if moves:
            arrow = (
                f"; it rests most on the arrow {moves[0].cause!r} → {moves[0].effect!r}, without which it is "
                f"{moves[0].value:+.3g}"
            )
        return f"The effect of {self.answer:+.3g} {stands}; {graph}{arrow}. {self.sensitivity['sentence']}"

    def to_dict(self) -> Document:
        """As plain numbers."""
        return {
            "sentence": self.sentence,
            "quick_estimate": {"value": self.quick.value, "standard_error": self.quick.standard_error},
            "checks": [{**vars(check), "moved": check.moved} for check in self.checks],
            "independences": self.independences,
            "contradicted": [
                {
                    "one": test.independence.one,
                    "other": test.independence.other,
                    "given": list(test.independence.given),
                    "p_value": test.p_value,
                    "strength": test.strength,
                }
                for test in self.contradicted
            ],
            "arrows": [vars(arrow) for arrow in self.arrows],
            "sensitivity": self.sensitivity,
            "rows": self.rows,
        }


def rows_compared(
    schema: DagSchema, contrast: Contrast, scores: Floats, data: pd.DataFrame | str | PathLike[str]
) -> Compared:
    """The rows that a contrast is about: those with an outcome, in a subgroup those with what is given.

    Args:
        schema: The graph.
        contrast: Of one treatment.
        scores: What every value of the target counts as; rows where that is NaN are left out.
        data: The table.

    Raises:
        QueryError: If there are several treatments, or what is given has no listed values.
        TableError: If the table does not fit the graph, or no row has what is given.
    """
    query = contrast.query
    if len(query.do) != 1 or (endless := [name for name in query.given if not schema[name].is_finite]):
        found = (
            f"there are {len(query.do)} treatments" if len(query.do) != 1 else f"{endless[0]!r} has no listed values"
        )
        raise QueryError(f"{found.capitalize()}, and an effect of one is refuted, in a group that values define.")
    table = encode_table(schema, data if isinstance(data, pd.DataFrame) else read_table(data))
    kept = ~np.isnan(scores[np.asarray(table.columns[query.target])])
    for name, code in query.given.items():
        kept &= np.asarray(table.columns[name]) == code
    if not kept.any():
        raise TableError("No row of the table has what is given. Expected at least one; give less.")
    everyone, table = table, table.select(kept)
    (treatment,) = query.do
    arms = [each.code for each in (query.do[treatment], contrast.others[treatment]) if isinstance(each, Force)]
    if len(arms) < 2:
        raise QueryError("A policy is no value, and effects of one value against another are refuted.")
    return Compared(
        table=table,
        target=query.target,
        treatment=treatment,
        arms=(arms[0], arms[1]),
        scores=scores,
        outcome=outcomes_of_rows(table, query.target, scores),
        kind="att" if contrast.kind == "att" else "ate",
        everyone=everyone,
    )


def refuted(rows: Compared, schema: DagSchema, answer: float, *, seed: int = SEED.default) -> Refutation:
    """Put an effect to everything that could speak against it.

    Everything that needs the effect anew estimates it by ``quick_effect``, not by the language model: with two
    regressions, or counts, on at most 20,000 rows.

    Args:
        rows: What is compared.
        schema: The graph.
        answer: The effect in question.
        seed: Of all that is drawn.

    Raises:
        NotIdentifiedError: If observations do not tell the effect.
        HfTraceError: If there is no quick estimate.
    """
    is_share = set(rows.scores.tolist()) <= {0.0, 1.0}
    generator = np.random.default_rng(seed)
    if len(rows.outcome) > _MOST_ROWS:
        rows = rows.select(np.sort(generator.choice(len(rows.outcome), _MOST_ROWS, replace=False)))
    found = identify(schema, target=rows.target, do=[rows.treatment])
    quick = quick_effect(rows, found, seed)
    reach = float(t.ppf((1 + _SURE) / 2, 1_000)) * quick.standard_error
    same = RefutationCheck(
        "another estimator", answer, quick.value, None, abs(quick.value - answer) <= reach, "two regressions or counts"
    )
    checks = [same, *_checks(rows, found, quick, generator, is_share=is_share)]
    # A group may be chosen by what two variables cause, which makes them dependent: all rows are asked.
    everyone = _at_most(_MOST_ROWS, rows.everyone or rows.table, generator)
    tests = [independence_test(everyone, each) for each in implied_independences(schema, _testable(schema, rows))]
    return Refutation(
        answer=answer,
        quick=quick,
        checks=tuple(checks),
        independences=len(tests),
        contradicted=tuple(contradicted(tests)),
        arrows=tuple(_without_arrows(rows, schema, found, quick, seed)),
        sensitivity=_sensitivity(rows, found, quick, is_share=is_share),
        rows=len(rows.outcome),
    )


def _at_most(most: int, table: DagTable, generator: np.random.Generator) -> DagTable:
    count = len(table)
    return table if count <= most else table.select(np.sort(generator.choice(count, most, replace=False)))


def _testable(schema: DagSchema, rows: Compared) -> set[str]:
    return {name for name in schema.topological_order if schema[name].is_finite and name in rows.table.columns}


def _checks(
    rows: Compared, found: Identification, quick: Estimate, generator: np.random.Generator, *, is_share: bool
) -> Iterator[RefutationCheck]:
    def repeated(
        name: str, expected: float, once: Callable[[], float], room: float = 0.0, note: str = ""
    ) -> RefutationCheck:
        values = np.array([once() for _ in range(REPEATS)])
        spread = float(values.std(ddof=1))
        reach = float(t.ppf((1 + _SURE) / 2, REPEATS - 1)) * spread / math.sqrt(REPEATS)
        value = float(values.mean())
        return RefutationCheck(name, expected, value, spread, abs(value - expected) <= max(reach, room), note)

    def placebo() -> float:
        return quick_effect(rows.with_treatment(generator.permutation(rows.received)), found, resampled=0).value

    def random_cause() -> float:
        return _with_random_cause(rows, found, generator)

    def subset() -> float:
        kept = generator.choice(len(rows.outcome), int(SUBSET * len(rows.outcome)), replace=False)
        return quick_effect(rows.select(kept), found, resampled=0).value

    error = quick.standard_error
    yield repeated("placebo treatment", 0.0, placebo, note="the treatment shuffled over the rows")
    yield repeated("random common cause", quick.value, random_cause, error, "a column of noise adjusted for")
    yield repeated("subsets", quick.value, subset, error, f"{SUBSET:.0%} of the rows")
    if found.estimand is None and rows.kind == "ate":
        simulated = _Simulated.of(rows, found, quick, is_share=is_share)
        yield repeated(
            "simulated outcome", simulated.effect, lambda: simulated.once(generator), note="with a known effect"
        )


def _with_random_cause(rows: Compared, found: Identification, generator: np.random.Generator) -> float:
    if found.estimand is not None:
        coin = generator.random(len(rows.outcome)) < 0.5
        return effect_given(found, rows, [coin, ~coin])
    noise = generator.normal(size=(len(rows.outcome), 1))
    extra = noise if rows.extra is None else np.concatenate([rows.extra, noise], axis=1)
    return quick_effect(replace(rows, extra=extra), found).value


@dataclass(frozen=True)
class _Simulated:
    """Outcomes that follow what is adjusted for as the real ones do, and the treatment by a known effect."""

    rows: Compared
    found: Identification
    mean: np.ndarray
    residuals: np.ndarray
    step: float
    effect: float
    is_share: bool

    @classmethod
    def of(cls, rows: Compared, found: Identification, quick: Estimate, *, is_share: bool) -> "_Simulated":
        design = features(rows.table, found.adjustment.get(rows.treatment, ()), rows.extra)
        treated = (rows.received == rows.arms[0])[:, None].astype(float)
        both = np.concatenate([design, treated], axis=1)
        solved = least_squares(both, rows.outcome[:, None], rows.table.weights)
        mean = (design @ solved[:-1])[:, 0]
        residuals = rows.outcome - (both @ solved)[:, 0]
        size = float(rows.outcome.std())
        step = effect = quick.value if abs(quick.value) > 0.1 * size else 0.2 * size
        if is_share:
            raised, usual = np.clip(mean + step, 0, 1), np.clip(mean, 0, 1)
            effect = float(np.average(raised - usual, weights=rows.table.weights))
        return cls(rows, found, mean, residuals, step, effect, is_share)

    def once(self, generator: np.random.Generator) -> float:
        treated = self.rows.received == self.rows.arms[0]
        if self.is_share:
            chance = np.clip(self.mean + self.step * treated, 0, 1)
            outcome = (generator.random(len(chance)) < chance).astype(float)
        else:
            outcome = self.mean + self.step * treated + generator.permutation(self.residuals)
        return quick_effect(replace(self.rows, outcome=outcome), self.found).value


def _without_arrows(
    rows: Compared, schema: DagSchema, found: Identification, quick: Estimate, seed: int
) -> list[DroppedArrow]:
    """The effect without each arrow among what causes treatment and outcome."""
    relevant = with_ancestors(schema.graph, [rows.target, rows.treatment])
    arrows = [arrow for arrow in schema.graph.edges if set(arrow) <= relevant][:_MOST_ARROWS]
    known: dict[object, float] = {_key(found, rows.treatment): quick.value}
    dropped = []
    for cause, effect in arrows:
        parents = tuple(name for name in schema[effect].parents if name != cause)
        without = schema.with_parents({effect: parents})
        value = _value_under(rows, without, known, seed)
        dropped.append(DroppedArrow(cause, effect, value, None if value is None else value - quick.value))
    return sorted(dropped, key=lambda each: -abs(each.moved or 0.0))


def _key(found: Identification, treatment: str) -> object:
    return found.estimand if found.estimand is not None else found.adjustment.get(treatment, ())


def _value_under(rows: Compared, schema: DagSchema, known: dict[object, float], seed: int) -> float | None:
    if rows.target not in schema.descendants(rows.treatment):
        return None
    try:
        found = identify(schema, target=rows.target, do=[rows.treatment])
        key = _key(found, rows.treatment)
        if key not in known:
            known[key] = quick_effect(rows, found, seed, resampled=0).value
        return known[key]
    except HfTraceError:
        return None


def _sensitivity(rows: Compared, found: Identification, quick: Estimate, *, is_share: bool) -> Document:
    if is_share:
        control = _mean_of_control(rows, found, quick)
        if not 0 < control < 1 or not control + quick.value > 0:
            return {"sentence": "No ratio of risks can be told, and so no E-value."}
        ends = [quick.value, *([quick.low, quick.high] if quick.low * quick.high > 0 else [])]
        ratios = [max((control + end) / control, 1e-9) for end in ends]
        value, nearest = e_value(ratios[0]), min(map(e_value, ratios[1:]), default=1.0)
        return {
            "e_value": value,
            "e_value_of_interval": nearest,
            "sentence": (
                "An unmeasured confounder would have to raise the chance of both treatment and outcome "
                f"{value:.2f}-fold to explain it away, {nearest:.2f}-fold to make it uncertain (E-value)."
            ),
        }
    count = quick.rows
    value = robustness_value(quick.value, quick.standard_error, count)
    critical = float(t.ppf(0.975, max(count - 1, 1))) * quick.standard_error
    left = max(abs(quick.value) - critical, 0.0)
    nearest = robustness_value(left, quick.standard_error, count)
    return {
        "robustness_value": value,
        "robustness_value_of_interval": nearest,
        "sentence": (
            f"An unmeasured confounder would have to explain {value:.1%} of what is left of both treatment and "
            f"outcome to explain it away, {nearest:.1%} to make it uncertain (partial R²)."
        ),
    }


def _mean_of_control(rows: Compared, found: Identification, quick: Estimate) -> float:
    """Mean outcome without treatment: by regression on what is adjusted for, else of those not treated."""
    control = rows.received == rows.arms[1]
    weights = rows.table.weights
    if found.estimand is not None:
        return float(np.average(rows.outcome[control], weights=weights[control]))
    design = features(rows.table, found.adjustment.get(rows.treatment, ()), rows.extra)
    solved = least_squares(design[control], rows.outcome[control, None], weights[control])
    counts = weights * (rows.received == rows.arms[0]) if rows.kind == "att" else weights
    return float(np.average((design @ solved)[:, 0], weights=counts))
