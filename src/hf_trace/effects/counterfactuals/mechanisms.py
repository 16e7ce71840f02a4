"""Variables with independent noise, and what a single row says of what would have been."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from hf_trace.effects.counterfactuals.couplings import at_most, extremes, same_rank
from hf_trace.effects.identifying.response_types import EffectBounds

Numbers = NDArray[np.float64]
Known = tuple[tuple[str, int], ...]


@dataclass(frozen=True, eq=False)
class Mechanisms:
    """A Markovian model: every variable is a function of its causes and of noise of its own.

    Attributes:
        causes: By variable its direct causes, causes before effects.
        tables: By variable the probabilities of its values, ``[*causes, value]``.
    """

    causes: Mapping[str, tuple[str, ...]]
    tables: Mapping[str, Numbers]

    def in_row(
        self, row: Mapping[str, int], do: Mapping[str, int], target: str, scores: Numbers, *, monotone: bool = False
    ) -> EffectBounds:
        """The mean of a target had something in a row been otherwise.

        What is done leaves alone what it does not cause. A variable whose causes come out as they were keeps its value;
        for another the noise, of which the row shows only that it led there, is the same, and the functions may be any
        that give the table. Every variable meets two sets of causes only, so its part is a Fréchet bound, and those
        of a chain combine backwards (Tian and Pearl 2000 for a single one).

        Args:
            row: Values of all variables.
            do: Values that some would have had.
            target: Another variable.
            scores: What every value of it counts as.
            monotone: Whether noise keeps values in rank, see ``same_rank``: then the answer is a number.

        Returns:
            Sharp where what a function answers to tells all that differs before it.

        Example:
            >>> model = Mechanisms({"drug": (), "well": ("drug",)},
            ...     {"drug": np.array([0.5, 0.5]), "well": np.array([[0.75, 0.25], [0.5, 0.5]])})
            >>> seen = {"drug": 1, "well": 1}  # would somebody who got well with the drug have got well without?
            >>> found = model.in_row(seen, {"drug": 0}, "well", np.array([0.0, 1.0]))
            >>> found.low, found.high
            (0.0, 0.5)
        """
        walk = _Walk.of(self, row, do, target)
        if not walk.affected:
            value = float(scores[row[target]])
            return EffectBounds(value, value, is_sharp=True)
        low, high = walk.means(scores, monotone=monotone)
        return EffectBounds(low, high, is_sharp=monotone or walk.is_told)


@dataclass(frozen=True, eq=False)
class _Walk:
    """The variables that change, from cause to effect.

    Attributes:
        model: The mechanisms.
        row: Values as they were.
        do: Values instead.
        affected: What is caused by what is done and causes the target, and the target, which is last.
    """

    model: Mechanisms
    row: Mapping[str, int]
    do: Mapping[str, int]
    affected: tuple[str, ...]

    @classmethod
    def of(cls, model: Mechanisms, row: Mapping[str, int], do: Mapping[str, int], target: str) -> "_Walk":
        graph = nx.DiGraph((cause, name) for name, causes in model.causes.items() for cause in causes if name not in do)
        graph.add_nodes_from(model.causes)
        below = set().union(*(nx.descendants(graph, name) for name in do)) - set(do)
        causing = nx.ancestors(graph, target) | {target}
        return cls(model, row, do, tuple(name for name in model.causes if name in below & causing))

    def needed(self, place: int) -> set[str]:
        """Affected variables before a place that any at or after it answers to."""
        later = set().union(*(self.model.causes[name] for name in self.affected[place:]))
        return later & set(self.affected[:place])

    @property
    def is_told(self) -> bool:
        """Whether every function answers to all that differs and matters: then bounds lose nothing on the way."""
        return all(
            self.needed(place) <= set(self.model.causes[name]) for place, name in enumerate(self.affected) if place
        )

    def means(self, scores: Numbers, *, monotone: bool) -> tuple[float, float]:
        """Least and most of the mean of the target."""

        @cache
        def ahead(place: int, changed: Known) -> tuple[float, float]:
            name, known = self.affected[place], {**self.row, **self.do, **dict(changed)}
            is_last = place == len(self.affected) - 1

            def after(value: int) -> tuple[float, float]:
                if is_last:
                    return float(scores[value]), float(scores[value])
                kept = {**dict(changed), name: value}
                return ahead(place + 1, tuple((each, kept[each]) for each in sorted(self.needed(place + 1))))

            under, instead = self._row_of_table(name, self.row), self._row_of_table(name, known)
            seen = self.row[name]
            if all(known[cause] == self.row[cause] for cause in self.model.causes[name]):
                return after(seen)
            least, most = np.array([after(value) for value in range(len(instead))]).T
            if monotone:
                shares = same_rank(seen, under, instead)
                return float(shares @ least), float(shares @ most)
            return extremes(at_most(seen, under, instead), least, most)

        return ahead(0, ())

    def _row_of_table(self, name: str, known: Mapping[str, int]) -> Numbers:
        return np.asarray(self.model.tables[name][tuple(known[cause] for cause in self.model.causes[name])])
