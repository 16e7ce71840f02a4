"""Proxies: two observed variables that each show a latent confounder, from sides that do not touch."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import permutations

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from hf_trace.effects.identifying.estimands import Joint
from hf_trace.effects.identifying.formulas import CompleteQuestion
from hf_trace.effects.identifying.open_paths import open_path

Numbers = NDArray[np.float64]
# Singular values that are smaller count as zero.
_NOTHING = 1e-9
# A correlation that is less than so many of its standard errors may be none: then the error of the effect is no error.
_WEAK = 4.0


@dataclass(frozen=True)
class ProxyPair:
    """Two proxies of a latent confounder that a graph allows to stand in for it.

    Given the latent variable and the covariates, the proxy of the target is independent of treatment and other proxy,
    and the proxy of the treatment independent of the target once the treatment is known too.

    Attributes:
        latent: The confounder; measured, it would be adjusted for.
        of_treatment: A proxy that may be joined to the treatment in further ways.
        of_target: A proxy that may be joined to the target in further ways.
        covariates: What else is held fixed, causes before effects.
    """

    latent: str
    of_treatment: str
    of_target: str
    covariates: tuple[str, ...] = ()


@dataclass(frozen=True)
class ProxyEffect:
    """What two proxies say, provided that they show all of the confounder (completeness).

    Attributes:
        pair: The proxies.
        value: A mean of the target under treatments, or a difference of two.
        standard_error: From how many rows the probabilities are; None where that is not known.
        values: How many values of the confounder the proxies can tell apart at most, which is how many it may have.
        condition: One over the least canonical correlation of the proxies that is needed, at the worst values of
            treatment and covariates: how many times an error of what is observed may grow.
        strength: That correlation over its standard error; None where the number of rows is not known.
    """

    pair: ProxyPair
    value: float
    standard_error: float | None
    values: int
    condition: float
    strength: float | None

    @property
    def is_weak(self) -> bool:
        """Whether proxies that tell nothing apart could look so: then the error is not to be trusted."""
        return self.strength is not None and self.strength < _WEAK

    @property
    def assumes(self) -> str:
        """What no table can test, in words."""
        pair = self.pair
        return (
            f"{pair.latent!r} has no more than {self.values} values, which {pair.of_treatment!r} and "
            f"{pair.of_target!r} tell apart (completeness)"
        )


def proxy_pairs(question: CompleteQuestion) -> tuple[ProxyPair, ...]:
    """All proxies that a graph offers for a question of one treatment and no evidence (Miao et al. 2018).

    Args:
        question: Of one target.

    Example:
        >>> graph = nx.DiGraph([("U", "X"), ("U", "Y"), ("X", "Y"), ("U", "Z"), ("U", "W"), ("Z", "X"), ("W", "Y")])
        >>> found = proxy_pairs(CompleteQuestion(graph, frozenset("XYZW"), frozenset("Y"), frozenset("X")))
        >>> [(pair.of_treatment, pair.of_target) for pair in found]
        [('Z', 'W')]
    """
    if len(question.do) != 1 or question.given:
        return ()
    return tuple(_pairs(question))


def _pairs(question: CompleteQuestion) -> Iterator[ProxyPair]:
    (treatment,), (target,) = question.do, question.targets
    graph, order = question.graph, question.projection.order
    joined = nx.node_connected_component(graph.to_undirected(as_view=True), treatment)
    latent = [name for name in graph if name not in question.observed and name in joined]
    others = [name for name in order if name in joined and name not in (treatment, target)]
    earlier = [name for name in others if name not in nx.descendants(graph, treatment)]
    for hidden in latent:
        for one, other in permutations(others, 2):
            covariates = tuple(name for name in earlier if name not in (one, other))
            pair = ProxyPair(hidden, one, other, covariates)
            if not _serves(question, pair):
                pair = replace(pair, covariates=())
            if _serves(question, pair):
                yield _spared(question, pair)


def _spared(question: CompleteQuestion, pair: ProxyPair) -> ProxyPair:
    """Without covariates that are not needed."""
    for name in pair.covariates:
        fewer = replace(pair, covariates=tuple(each for each in pair.covariates if each != name))
        pair = fewer if _serves(question, fewer) else pair
    return pair


def _serves(question: CompleteQuestion, pair: ProxyPair) -> bool:
    (treatment,), (target,) = question.do, question.targets
    graph, known = question.graph, {pair.latent, *pair.covariates}
    back_door = nx.DiGraph(graph)
    back_door.remove_edges_from(list(graph.out_edges(treatment)))
    separated = (
        (back_door, treatment, [target], known),
        (graph, pair.of_target, [treatment, pair.of_treatment], known),
        (graph, pair.of_treatment, [target], known | {treatment}),
    )
    shown = ((pair.of_treatment, {treatment, *pair.covariates}), (pair.of_target, set(pair.covariates)))
    return not any(open_path(where, [one], ends, given) for where, one, ends, given in separated) and all(
        open_path(graph, [proxy], [pair.latent], given) for proxy, given in shown
    )


def proxy_effect(
    question: CompleteQuestion,
    pair: ProxyPair,
    joint: Joint,
    names: Sequence[str],
    arms: Sequence[tuple[int, Numbers]],
    *,
    values: int | None = None,
    rows: int | None = None,
) -> ProxyEffect | None:
    r"""A sum of means of the target under treatments, by bridge functions of the proxies.

    .. math:: \sum_y s(y)\, p(y, z, a, x) = \sum_w h_a(w, x)\, p(w, z, a, x) \text{ for all } z,
        \quad E[s(Y) \mid do(a)] = \sum_{w, x} h_a(w, x)\, p(w, x)

    Miao, Geng and Tchetgen Tchetgen (2018), theorem 1 and its discrete case. The standard error is that of the
    influence function with the second bridge, :math:`\sum_z q(z, x)\, p(w, z, a, x) = p(w, x)` (Cui et al. 2020).

    Args:
        question: See ``proxy_pairs``.
        pair: One of them.
        joint: Probabilities of what is observed, an axis per name.
        names: Of the axes: target, treatment, proxies and covariates among them.
        arms: Values of the treatment, and what every value of the target counts as.
        values: How many values the latent variable has; by default as many as both proxies can tell apart.
        rows: That the probabilities are from.

    Returns:
        None where the proxies do not tell that many values apart.
    """
    solved = _Bridges.of(question, pair, joint, names, values)
    found = [solved.mean(arm, scores) for arm, scores in arms]
    if any(each is None for each in found):
        return None
    means = [each for each in found if each is not None]
    pull = np.sum([each.influence for each in means], axis=0)
    error = None if rows is None else math.sqrt(float((solved.table * pull**2).sum()) / rows)
    condition = max(each.condition for each in means)
    strength = None if rows is None else math.sqrt(rows) * min(each.strength for each in means)
    return ProxyEffect(pair, sum(each.value for each in means), error, solved.values, condition, strength)


@dataclass(frozen=True)
class _Mean:
    """A mean under a treatment, and how far a row with certain values pulls it, ``[x, a, z, w, y]``.

    ``strength`` is the weakest correlation over its error from a single row.
    """

    value: float
    influence: Numbers
    condition: float
    strength: float


@dataclass(frozen=True)
class _Bridges:
    """Bridge functions of a table.

    Attributes:
        table: Probabilities, ``[x, a, z, w, y]``: covariates together, treatment, proxies, target.
        values: How many singular values count.
    """

    table: Numbers
    values: int

    @classmethod
    def of(
        cls, question: CompleteQuestion, pair: ProxyPair, joint: Joint, names: Sequence[str], values: int | None
    ) -> "_Bridges":
        kept = (*pair.covariates, *question.do, pair.of_treatment, pair.of_target, *question.targets)
        place = {name: index for index, name in enumerate(names)}
        summed = joint.sum(axis=tuple(index for name, index in place.items() if name not in kept))
        left = [name for name in names if name in kept]
        table = summed.transpose([left.index(name) for name in kept])
        table = table.reshape(-1, *table.shape[len(pair.covariates) :])
        most = min(table.shape[2:4])
        return cls(table, most if values is None else min(values, most))

    @cached_property
    def strata(self) -> list[int]:
        """Values of the covariates that occur."""
        return np.flatnonzero(self.table.sum(axis=(1, 2, 3, 4)) > 0).tolist()

    def mean(self, arm: int, scores: Numbers) -> _Mean | None:
        """The mean of the scores under a treatment; None where the proxies leave it open."""
        influence, value = np.zeros(self.table.shape), 0.0
        condition, strength = 1.0, math.inf
        for stratum in self.strata:
            seen = self.table[stratum, arm].sum(axis=2)
            inverse, least = _inverse(seen, self.values)
            if inverse is None:
                return None
            of_target = self.table[stratum].sum(axis=(0, 1, 3))
            bridge = inverse.T @ (self.table[stratum, arm] @ scores).sum(axis=1)
            balance = inverse @ of_target
            value += float(bridge @ of_target)
            influence[stratum] += bridge[None, None, :, None]
            influence[stratum, arm] += balance[:, None, None] * (scores[None, None] - bridge[None, :, None])
            condition, strength = max(condition, 1 / least), min(strength, least * math.sqrt(seen.sum()))
        return _Mean(value, influence - value, condition, strength)


def _inverse(table: Numbers, values: int) -> tuple[Numbers | None, float]:
    """From p(z, w) a matrix that solves both bridges, and the least of the canonical correlations that it rests on.

    Scaled by both margins, singular values are these correlations; those beyond the first ``values`` are noise.
    """
    z, w = (np.divide(1.0, np.sqrt(each), out=np.zeros_like(each), where=each > 0) for each in _margins(table))
    left, size, right = np.linalg.svd(z[:, None] * table * w)
    if size[values - 1] <= _NOTHING:
        return None, 0.0
    pseudo = (left[:, :values] / size[:values]) @ right[:values]
    return z[:, None] * pseudo * w, float(size[values - 1])


def _margins(table: Numbers) -> tuple[Numbers, Numbers]:
    return table.sum(axis=1), table.sum(axis=0)
