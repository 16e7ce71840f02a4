"""How far an effect may lie where no formula gives it: linear programs over response types, and natural bounds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import coo_array, csr_array, hstack, identity, vstack

from hf_trace.effects.identifying.estimands import Conditional, Joint, evaluated, product_of, total_of
from hf_trace.effects.identifying.formulas import CompleteQuestion, Hedge, conditional_factor, district_factor
from hf_trace.effects.identifying.projection import Projection
from hf_trace.errors import OverlapError

_MOST_COLUMNS = 50_000
_EXACT = 1e-9
Values = NDArray[np.int64]
Column = NDArray[np.float64]


@dataclass(frozen=True)
class EffectBounds:
    """Between which numbers an answer lies, whatever the latent variables are.

    Attributes:
        low: Lower end.
        high: Upper end.
        is_sharp: Whether every number between them fits the graph and what is observed.
        contradiction: How far the observed probabilities are from all that the graph allows: 0 where they fit.
    """

    low: float
    high: float
    is_sharp: bool
    contradiction: float = 0.0


@dataclass(frozen=True)
class _Program:
    """A linear program over p(response types | stratum).

    Attributes:
        values: How many values each variable has.
        types: By variable of the district, what each of its types answers, ``[type, parents' values]``.
        strata: Parents of the district that are held fixed.
        matrix: What is observed from response types.
        observed: What it is, per row of the matrix.
    """

    types: Mapping[str, Values]
    strata: tuple[str, ...]
    columns: Mapping[str, Values]
    matrix: csr_array
    observed: Column


@dataclass(frozen=True, eq=False)
class BoundedQuestion:
    """p(target | do, given) with the joint distribution of what is observed.

    Attributes:
        question: Of one target.
        joint: Probabilities, an axis per name.
        names: All that is asked and observed, and its observed causes; causes before effects.
    """

    question: CompleteQuestion
    joint: Joint
    names: tuple[str, ...]

    @cached_property
    def target(self) -> str:
        """What is asked about."""
        return next(iter(self.question.targets))

    @cached_property
    def _part(self) -> Projection:
        """The graph between what causes anything asked; treatments outside it change nothing."""
        projection = self.question.projection
        return projection.among(projection.causes(self.question.targets | self.question.given))

    @cached_property
    def _size(self) -> dict[str, int]:
        return dict(zip(self.names, self.joint.shape, strict=True))

    def natural(self, do: Mapping[str, int], given: Mapping[str, int], scores: Column) -> EffectBounds:
        """Bounds that need no graph: who was treated shows the answer, and the others may answer anything.

        Manski (1990); Robins (1989). Given evidence, the others may also have it or not.

        Args:
            do: Values of the treatments.
            given: Values that are known.
            scores: What every value of the target counts as.
        """
        seen = self._seen({**do, **given})
        free = 1.0 - float(self._seen(do).sum())
        least, most = float(scores.min()), float(scores.max())
        total, known = float(seen @ scores), float(seen.sum())
        if known + free <= 0:
            raise OverlapError("What is done and given is never seen. Expected values that were; nothing bounds this.")
        if not given:
            return EffectBounds(total + free * least, total + free * most, is_sharp=False)
        # All that is free may have the evidence: it draws the mean to the most extreme value.
        return EffectBounds(
            (total + free * least) / (known + free), (total + free * most) / (known + free), is_sharp=False
        )

    def _seen(self, fixed: Mapping[str, int]) -> Column:
        """p(target, fixed), ``[value]``."""
        index = tuple(slice(fixed[name], fixed[name] + 1) if name in fixed else slice(None) for name in self.names)
        axes = tuple(axis for axis, name in enumerate(self.names) if name != self.target)
        return np.asarray(self.joint[index].sum(axis=axes))

    def interval(self, arms: Sequence[tuple[Mapping[str, int], Column]], given: Mapping[str, int]) -> EffectBounds:
        """Bounds of a sum of means of the target under different treatments.

        Where latent variables leave a single district open, they are the extremes of a linear program (Balke and
        Pearl 1997; with evidence a fractional one, Charnes and Cooper 1962), else sums of natural bounds.

        Args:
            arms: Values of the treatments, and what every value of the target counts as.
            given: Values that are known; with them, arms are bounded one by one.
        """
        natural = _added([self.natural(do, given, scores) for do, scores in arms])
        if self._program is None:
            return natural
        if given and len(arms) > 1:
            return _added([self.interval([arm], given) for arm in arms])
        gains = [self._gains(do, given) for do, _ in arms]
        above = np.sum([gain.T @ scores for gain, (_, scores) in zip(gains, arms, strict=True)], axis=0)
        below = gains[0].sum(axis=0) if given else None
        low, high, slack = _extremes(self._program, above, below)
        # Noise in what is observed must not make them wider than what holds without a graph.
        return EffectBounds(max(low, natural.low), min(high, natural.high), self._is_sharp and not given, slack)

    @cached_property
    def _open(self) -> frozenset[str] | None:
        """The only district that a hedge leaves open; None if there are several."""
        part = self._part
        found = {
            part.district(next(iter(each)))
            for each in self._wanted
            if isinstance(district_factor(part, each, self.question.do), Hedge)
        }
        return next(iter(found)) if len(found) == 1 else None

    @cached_property
    def _wanted(self) -> list[frozenset[str]]:
        part = self._part
        rest = part.among(set(part.order) - self.question.do)
        return rest.among(rest.causes(self.question.targets | self.question.given)).districts()

    @cached_property
    def _outer(self) -> list[str]:
        """Causes of the open district outside it."""
        part = self._part
        district = self._open or frozenset()
        return [name for name in part.order if name in part.parents(district) - district]

    @cached_property
    def _common(self) -> set[str]:
        """Those that act on all of it: holding them fixed loses nothing."""
        arrows = self._part.arrows
        return {name for name in self._outer if all(arrows.has_edge(name, each) for each in self._open or ())}

    @cached_property
    def _strata(self) -> tuple[str, ...] | None:
        """What is held fixed so that the program stays small enough; None if nothing makes it so."""
        fixed = set(self._common)
        while self._column_count(fixed) > _MOST_COLUMNS:
            waiting = [name for name in self._outer if name not in fixed]
            if not waiting:
                return None
            fixed.add(min(waiting, key=lambda name: self._column_count(fixed | {name})))
        return tuple(name for name in self._outer if name in fixed)

    @cached_property
    def _is_sharp(self) -> bool:
        """Whether nothing known was left out: no cause held fixed at a loss, and one latent cause of the district."""
        pairs = combinations(self._open or (), 2)
        joined = self._part.joined
        common = [set(joined.edges[pair]["latent"]) if joined.has_edge(*pair) else set() for pair in pairs]
        return set(self._strata or ()) == self._common and bool(set.intersection(*common))

    def _column_count(self, fixed: set[str]) -> float:
        count = math.prod(float(self._size[name]) for name in fixed)
        for name in self._open or ():
            count *= float(self._size[name]) ** math.prod(self._size[each] for each in self._inner(name, fixed))
        return count

    def _inner(self, name: str, fixed: set[str]) -> list[str]:
        """Causes of a variable that its response types answer to."""
        arrows = self._part.arrows
        return [each for each in self.names if arrows.has_edge(each, name) and each not in fixed]

    @cached_property
    def _program(self) -> _Program | None:
        if self._open is None or self._strata is None:
            return None
        district = [name for name in self.names if name in self._open]
        fixed = set(self._strata)
        types = {
            name: _functions(self._size[name], math.prod(self._size[each] for each in self._inner(name, fixed)))
            for name in district
        }
        shape = [*(self._size[name] for name in self._strata), *(len(types[name]) for name in district)]
        place = np.indices(shape).reshape(len(shape), -1)
        columns = dict(zip((*self._strata, *district), place, strict=True))
        terms = product_of(conditional_factor(self._part, name) for name in district)
        density = np.broadcast_to(evaluated(terms, self.joint, self.names), self.joint.shape)
        inner = [name for name in self._outer if name not in fixed]
        rows: list[Values] = []
        asked = [*self._strata, *inner, *district]
        sizes = tuple(self._size[name] for name in asked)
        for values in product(*(range(self._size[name]) for name in inner)):
            known: dict[str, Values] = {name: columns[name] for name in self._strata}
            known |= {name: np.full(place.shape[1], code) for name, code in zip(inner, values, strict=True)}
            self._answer(known, types, columns, fixed)
            rows.append(np.ravel_multi_index(tuple(known[name] for name in asked), sizes))
        width = place.shape[1]
        matrix = coo_array(
            (np.ones(width * len(rows)), (np.concatenate(rows), np.tile(np.arange(width), len(rows)))),
            shape=(math.prod(sizes), width),
        ).tocsr()
        index = np.indices(sizes).reshape(len(sizes), -1)
        at = dict(zip(asked, index, strict=True))
        observed = density[tuple(at[name] if name in at else np.zeros(index.shape[1], int) for name in self.names)]
        return _Program(types, self._strata, columns, matrix, np.asarray(observed))

    def _answer(
        self, known: dict[str, Values], types: Mapping[str, Values], columns: Mapping[str, Values], fixed: set[str]
    ) -> None:
        """Values of the district, from those of its causes; what is known already is forced and stays."""
        for name in self.names:
            if name in types and name not in known:
                self._answer_one(name, known, types, columns, fixed)

    def _answer_one(
        self,
        name: str,
        known: dict[str, Values],
        types: Mapping[str, Values],
        columns: Mapping[str, Values],
        fixed: set[str],
    ) -> None:
        causes = self._inner(name, fixed)
        sizes = tuple(self._size[each] for each in causes)
        own = columns[name]
        place = np.ravel_multi_index(tuple(known[each] for each in causes), sizes) if causes else np.zeros_like(own)
        known[name] = types[name][own, place]

    def _gains(self, do: Mapping[str, int], given: Mapping[str, int]) -> Column:
        """What each column adds to p(target, given | do), ``[value, column]``."""
        program = self._program
        if program is None or self._open is None:
            raise ValueError("There is no program, expected a single open district.")
        outside = [name for each in self._wanted if not each <= self._open for name in each]
        outside = [name for name in self.names if name in outside and name not in given]
        factors = [self._averaged(each) for each in self._wanted if not each <= self._open]
        width = len(next(iter(program.columns.values())))
        gains = np.zeros((self._size[self.target], width))
        wanted_inside = {name for each in self._wanted if each <= self._open for name in each}
        for values in product(*(range(self._size[name]) for name in outside)):
            known = {name: np.full(width, code) for name, code in {**given, **do}.items() if name not in wanted_inside}
            known |= {name: np.full(width, code) for name, code in zip(outside, values, strict=True)}
            held = np.ones(width)
            for name in program.strata:
                if name in known:
                    held = held * (program.columns[name] == known[name])
                else:
                    known[name] = program.columns[name]
            for name in self.names:
                if name in wanted_inside:
                    self._answer_one(name, known, program.types, program.columns, set(program.strata))
            weight = held
            for factor in factors:
                index = tuple(
                    known[name] if length > 1 else 0 for name, length in zip(self.names, factor.shape, strict=True)
                )
                weight = weight * factor[index]
            for name, code in given.items():
                weight = weight * (known[name] == code)
            np.add.at(gains, (known[self.target], np.arange(width)), weight)
        return gains

    def _averaged(self, wanted: frozenset[str]) -> Joint:
        """The factor of a district that has a formula, averaged over what it does not depend on."""
        found = district_factor(self._part, wanted, self.question.do)
        if isinstance(found, Hedge):
            raise ValueError("A district outside the open one is open, expected none.")
        known = self.question.do.union(*self._wanted)
        loose = tuple(name for name in self.names if name in found.free - known)
        return evaluated(
            total_of(loose, product_of([Conditional(loose), found])) if loose else found, self.joint, self.names
        )


def _added(bounds: Sequence[EffectBounds]) -> EffectBounds:
    return EffectBounds(
        sum(each.low for each in bounds),
        sum(each.high for each in bounds),
        is_sharp=len(bounds) == 1 and bounds[0].is_sharp,
        contradiction=max(each.contradiction for each in bounds),
    )


def _functions(values: int, inputs: int) -> Values:
    """All functions from inputs to values, ``[function, input]``: the digits of their numbers."""
    return np.asarray(np.arange(values**inputs)[:, None] // values ** np.arange(inputs) % values)


def _extremes(program: _Program, above: Column, below: Column | None) -> tuple[float, float, float]:
    """Least and most of ``above @ p``, or of its ratio to ``below @ p``, and how far observations contradict."""
    slack = _contradiction(program)
    matrix, observed = program.matrix, program.observed
    rows, width = matrix.shape
    costs = np.zeros(0)
    if slack > _EXACT:
        matrix = hstack([matrix, identity(rows), -identity(rows)], format="csr")
        costs = np.ones(2 * rows)
    above = np.concatenate([above, 0 * costs])
    limit = np.concatenate([np.zeros(width), costs])[None]
    most = np.array([slack * (1 + 1e-6) + _EXACT])
    if below is not None:  # p is scaled so that ``below @ p`` is 1, and the scale is the last variable
        scale = -observed[:, None]
        norm = np.concatenate([below, 0 * costs, [0.0]])[None]
        matrix = vstack([hstack([matrix, csr_array(scale)]), csr_array(norm)], format="csr")
        observed = np.concatenate([np.zeros(rows), [1.0]])
        above = np.append(above, 0.0)
        limit, most = np.concatenate([limit, -most[None]], axis=1), np.zeros(1)
    extra = {"A_ub": limit, "b_ub": most} if len(costs) else {}
    ends = []
    for sign in (1.0, -1.0):
        found = linprog(sign * above, A_eq=matrix, b_eq=observed, method="highs", **extra)
        if not found.success:
            return -math.inf, math.inf, slack
        ends.append(sign * float(found.fun))
    return ends[0], ends[1], slack


def _contradiction(program: _Program) -> float:
    """The smallest sum of changes to what is observed that makes it fit the graph."""
    rows, width = program.matrix.shape
    matrix = hstack([program.matrix, identity(rows), -identity(rows)], format="csr")
    costs = np.concatenate([np.zeros(width), np.ones(2 * rows)])
    found = linprog(costs, A_eq=matrix, b_eq=program.observed, method="highs")
    return float(found.fun) if found.success else math.inf
