"""How far an effect may lie where no formula gives it: linear programs over response types, and natural bounds."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import coo_array, csr_array, hstack, identity, vstack

from hf_trace.effects.identifying.estimands import Conditional, Joint, evaluated, product_of, total_of
from hf_trace.effects.identifying.factors import Hedge, conditional_factor, district_factor
from hf_trace.effects.identifying.formulas import CompleteQuestion
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
class _ResponseTypes:
    """How the variables of a district may answer to their causes: a column for every stratum and all their functions.

    Attributes:
        size: How many values each variable has.
        strata: Causes of the district that are held fixed.
        causes: By variable of the district, those that its functions answer to.
        functions: By variable of the district, its values by number of the function, ``[function, causes' values]``.
        columns: By stratum its value, by variable of the district the number of its function, ``[column]``.
    """

    size: Mapping[str, int]
    strata: tuple[str, ...]
    causes: Mapping[str, tuple[str, ...]]
    functions: Mapping[str, Values]
    columns: Mapping[str, Values]

    @classmethod
    def of(
        cls, size: Mapping[str, int], strata: tuple[str, ...], causes: Mapping[str, tuple[str, ...]]
    ) -> "_ResponseTypes":
        """All combinations of functions, in every stratum."""
        functions = {
            name: _functions(size[name], math.prod(size[each] for each in listed)) for name, listed in causes.items()
        }
        shape = [*(size[name] for name in strata), *(len(each) for each in functions.values())]
        places = np.indices(shape).reshape(len(shape), -1)
        return cls(size, strata, causes, functions, dict(zip((*strata, *functions), places, strict=True)))

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def answer(self, names: Iterable[str], known: dict[str, Values]) -> None:
        """Add the values of some variables of the district, causes first, to those of their causes."""
        for name in names:
            listed = self.causes[name]
            sizes = tuple(self.size[each] for each in listed)
            place = np.ravel_multi_index(tuple(known[each] for each in listed), sizes) if listed else 0
            known[name] = self.functions[name][self.columns[name], place]

    def constant(self, codes: Mapping[str, int]) -> dict[str, Values]:
        """Values that are the same in every column."""
        return {name: np.full(len(self), code) for name, code in codes.items()}


@dataclass(frozen=True)
class _Program:
    """A linear program over how frequent the columns of response types are.

    Attributes:
        types: What the columns stand for.
        matrix: From their frequencies to what is observed.
        observed: What that is, per row of the matrix.
    """

    types: _ResponseTypes
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
        gains = [self._gains(self._program, do, given) for do, _ in arms]
        above = np.sum([gain.T @ scores for gain, (_, scores) in zip(gains, arms, strict=True)], axis=0)
        below = gains[0].sum(axis=0) if given else None
        slack = self._contradiction
        low, high = _extremes(self._program, slack, above, below)
        # Noise in what is observed must not make them wider than what holds without a graph.
        return EffectBounds(max(low, natural.low), min(high, natural.high), self._is_sharp and not given, slack)

    @cached_property
    def _contradiction(self) -> float:
        """The smallest sum of changes to what is observed that makes it fit the graph."""
        if self._program is None:
            return 0.0
        matrix = self._program.matrix
        rows, width = matrix.shape
        costs = np.concatenate([np.zeros(width), np.ones(2 * rows)])
        both = hstack([matrix, identity(rows), -identity(rows)], format="csr")
        found = linprog(costs, A_eq=both, b_eq=self._program.observed, method="highs")
        return float(found.fun) if found.success else math.inf

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

    def _inner(self, name: str, fixed: set[str]) -> tuple[str, ...]:
        """Causes of a variable that its response types answer to."""
        arrows = self._part.arrows
        return tuple(each for each in self.names if arrows.has_edge(each, name) and each not in fixed)

    @cached_property
    def _program(self) -> _Program | None:
        """What is observed of the open district, at all values of its causes."""
        if self._open is None or self._strata is None:
            return None
        district = [name for name in self.names if name in self._open]
        fixed = set(self._strata)
        types = _ResponseTypes.of(self._size, self._strata, {name: self._inner(name, fixed) for name in district})
        outer = [name for name in self._outer if name not in fixed]
        seen = [*self._strata, *outer, *district]
        shape = tuple(self._size[name] for name in seen)
        rows = []
        for codes in np.ndindex(*(self._size[name] for name in outer)):
            known = types.constant(dict(zip(outer, codes, strict=True)))
            known |= {name: types.columns[name] for name in self._strata}
            types.answer(district, known)
            rows.append(np.ravel_multi_index(tuple(known[name] for name in seen), shape))
        places = np.concatenate(rows), np.tile(np.arange(len(types)), len(rows))
        matrix = coo_array((np.ones(len(places[0])), places), shape=(math.prod(shape), len(types))).tocsr()
        terms = product_of(conditional_factor(self._part, name) for name in district)
        at = dict(zip(seen, np.indices(shape).reshape(len(shape), -1), strict=True))
        return _Program(types, matrix, self._at(evaluated(terms, self.joint, self.names), at))

    def _at(self, table: Joint, known: Mapping[str, Values]) -> Column:
        """The entries of a table at values of the variables it depends on."""
        axes = zip(self.names, table.shape, strict=True)
        return np.asarray(table[tuple(known[name] if length > 1 else 0 for name, length in axes)])

    def _gains(self, program: _Program, do: Mapping[str, int], given: Mapping[str, int]) -> Column:
        """What each column adds to p(target, given | do), ``[value, column]``."""
        types, district = program.types, self._open or frozenset()
        inside = [name for name in self.names if any(name in each and each <= district for each in self._wanted)]
        others = [each for each in self._wanted if not each <= district]
        outside = [name for name in self.names if name not in given and any(name in each for each in others)]
        factors = [self._averaged(each) for each in others]
        gains = np.zeros((self._size[self.target], len(types)))
        for codes in np.ndindex(*(self._size[name] for name in outside)):
            fixed = {**given, **do, **dict(zip(outside, codes, strict=True))}
            known = types.constant({name: code for name, code in fixed.items() if name not in inside})
            weight = self._stratum_weights(types, known)
            types.answer(inside, known)
            for factor in factors:
                weight = weight * self._at(factor, known)
            for name, code in given.items():
                weight = weight * (known[name] == code)
            gains[known[self.target], np.arange(len(types))] += weight
        return gains

    def _stratum_weights(self, types: _ResponseTypes, known: dict[str, Values]) -> Column:
        """Which columns count: those of a stratum that is known; where it is not, all, by how frequent it is."""
        weight = np.ones(len(types))
        loose = [name for name in types.strata if name not in known]
        for name in set(types.strata) - set(loose):
            weight = weight * (types.columns[name] == known[name])
        known |= {name: types.columns[name] for name in loose}
        return weight * self._at(evaluated(Conditional(tuple(loose)), self.joint, self.names), known)

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


def _extremes(program: _Program, slack: float, above: Column, below: Column | None) -> tuple[float, float]:
    """Least and most of ``above @ p``, or of its ratio to ``below @ p``; what is observed may move by some slack."""
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
            return -math.inf, math.inf
        ends.append(sign * float(found.fun))
    return ends[0], ends[1]
