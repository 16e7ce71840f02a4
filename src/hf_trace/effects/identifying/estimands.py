"""Formulas of observed quantities: sums, products and ratios of conditionals, written down and evaluated."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Joint = NDArray[np.float64]


@dataclass(frozen=True)
class Conditional:
    """p(names | given).

    Attributes:
        names: What it is a distribution of, in the order of the graph.
        given: What is known.
    """

    names: tuple[str, ...]
    given: tuple[str, ...] = ()

    @cached_property
    def free(self) -> frozenset[str]:
        """Variables that its value depends on."""
        return frozenset((*self.names, *self.given))


@dataclass(frozen=True)
class Product:
    """A product of at least two factors, or 1.

    Attributes:
        factors: None of them a product.
    """

    factors: "tuple[Estimand, ...]" = ()

    @cached_property
    def free(self) -> frozenset[str]:
        """Variables that its value depends on."""
        return frozenset().union(*(each.free for each in self.factors))


@dataclass(frozen=True)
class Total:
    """A sum over all values of some variables.

    Attributes:
        over: The variables.
        term: What is summed; it depends on all of them.
    """

    over: tuple[str, ...]
    term: "Estimand"

    @cached_property
    def free(self) -> frozenset[str]:
        """Variables that its value depends on."""
        return self.term.free - frozenset(self.over)


@dataclass(frozen=True)
class Ratio:
    """One quantity divided by another.

    Attributes:
        above: The numerator.
        below: The denominator.
    """

    above: "Estimand"
    below: "Estimand"

    @cached_property
    def free(self) -> frozenset[str]:
        """Variables that its value depends on."""
        return self.above.free | self.below.free


Estimand = Conditional | Product | Total | Ratio


def product_of(factors: Iterable[Estimand]) -> Estimand:
    """A product, without ones and products within.

    Example:
        >>> product_of([Product(), Conditional(("x",))])
        Conditional(names=('x',), given=())
    """
    flat = tuple(each for factor in factors for each in (factor.factors if isinstance(factor, Product) else (factor,)))
    return flat[0] if len(flat) == 1 else Product(flat)


def total_of(over: Collection[str], term: Estimand) -> Estimand:
    """A sum over variables, without those that sum to one.

    Example:
        >>> joint = product_of([Conditional(("x",)), Conditional(("y",), ("x",))])
        >>> total_of(["y"], joint), total_of(["x"], joint)
        (Conditional(names=('x',), given=()), Conditional(names=('y',), given=()))
    """
    factors = list(term.factors if isinstance(term, Product) else (term,))
    left = list(over)
    while any(_sums_out(name, left, factors) for name in list(left)):
        pass
    if not left:
        return product_of(factors)
    inside = [each for each in factors if each.free & set(left)]
    outside = [each for each in factors if not each.free & set(left)]
    if len(inside) == 1 and isinstance(inside[0], Total):
        return product_of([*outside, total_of([*left, *inside[0].over], inside[0].term)])
    return product_of([*outside, Total(tuple(left), product_of(inside))])


def _sums_out(name: str, left: list[str], factors: list[Estimand]) -> bool:
    """Take a variable out of a sum and its terms where that needs no sum; whether it did."""
    involved = [each for each in factors if name in each.free]
    if len(involved) == 1 and _sums_to_one(involved[0], name):
        factors.remove(involved[0])
    elif (joined := _total_probability(name, involved)) is not None:
        factors[factors.index(involved[0])] = joined
        factors.remove(involved[1])
    else:
        return False
    left.remove(name)
    return True


def _sums_to_one(factor: Estimand, name: str) -> bool:
    if isinstance(factor, Conditional):
        return factor.names == (name,)
    return isinstance(factor, Ratio) and factor.below == total_of([name], factor.above)


def _total_probability(name: str, involved: list[Estimand]) -> Conditional | None:
    """p(u | known) for p(name | known) and p(u | name, known), in any order."""
    if len(involved) != 2:
        return None
    for own, other in (involved, involved[::-1]):
        if not (isinstance(own, Conditional) and isinstance(other, Conditional) and own.names == (name,)):
            continue
        if name not in other.names and set(other.given) == {name, *own.given}:
            return Conditional(other.names, tuple(each for each in other.given if each != name))
    return None


def ratio_of(above: Estimand, below: Estimand) -> Estimand:
    """A ratio without what both parts have as a factor.

    Example:
        >>> x, y = Conditional(("x",)), Conditional(("y",), ("x",))
        >>> ratio_of(product_of([x, y]), x)
        Conditional(names=('y',), given=('x',))
    """
    over = list(above.factors if isinstance(above, Product) else (above,))
    under = list(below.factors if isinstance(below, Product) else (below,))
    for factor in list(under):
        if factor in over:
            over.remove(factor)
            under.remove(factor)
    return Ratio(product_of(over), product_of(under)) if under else product_of(over)


def variables_of(estimand: Estimand) -> frozenset[str]:
    """All variables of a formula, those that it sums over included.

    Example:
        >>> sorted(variables_of(Total(("z",), Conditional(("y",), ("z",)))))
        ['y', 'z']
    """
    if isinstance(estimand, Conditional):
        return estimand.free
    if isinstance(estimand, Total):
        return variables_of(estimand.term)
    parts = (estimand.above, estimand.below) if isinstance(estimand, Ratio) else estimand.factors
    return frozenset().union(*map(variables_of, parts))


def evaluated(estimand: Estimand, joint: Joint, names: Sequence[str]) -> Joint:
    """The value of a formula under a distribution.

    Args:
        estimand: The formula.
        joint: Probabilities, an axis per variable.
        names: Of the axes, with all variables of the formula.

    Returns:
        An axis per variable, of length 1 for those that the formula does not depend on. What is conditioned on
        something impossible counts as 0.

    Example:
        >>> joint = np.array([[0.1, 0.3], [0.2, 0.4]])
        >>> evaluated(Conditional(("y",), ("x",)), joint, ["x", "y"]).round(3).tolist()
        [[0.25, 0.75], [0.333, 0.667]]
    """
    axis = {name: index for index, name in enumerate(names)}

    def value(part: Estimand) -> Joint:
        if isinstance(part, Conditional):
            return _divided(margin(part.free), margin(part.given))
        if isinstance(part, Total):
            return np.asarray(value(part.term).sum(axis=tuple(axis[name] for name in part.over), keepdims=True))
        if isinstance(part, Ratio):
            return _divided(value(part.above), value(part.below))
        product = np.ones([1] * joint.ndim)
        for factor in part.factors:
            product = product * value(factor)
        return product

    def margin(kept: Collection[str]) -> Joint:
        gone = tuple(index for name, index in axis.items() if name not in kept)
        return np.asarray(joint.sum(axis=gone, keepdims=True))

    return value(estimand)


def _divided(above: Joint, below: Joint) -> Joint:
    shape = np.broadcast_shapes(above.shape, below.shape)
    return np.divide(above, below, out=np.zeros(shape), where=np.broadcast_to(below > 0, shape))


def as_text(estimand: Estimand) -> str:
    """A formula in words and signs; a summed variable that also stands outside its sum has a prime.

    Example:
        >>> back_door = Total(("z",), Product((Conditional(("z",)), Conditional(("y",), ("z", "x")))))
        >>> as_text(back_door)
        'Σ_{z} p(z) p(y | z, x)'
    """
    return _written(estimand, {}, estimand.free, _Plain())


def as_latex(estimand: Estimand) -> str:
    r"""A formula for LaTeX.

    Example:
        >>> print(as_latex(Ratio(Conditional(("y", "x_1")), Conditional(("x_1",)))))
        \frac{p(\mathrm{y}, \mathrm{x\_1})}{p(\mathrm{x\_1})}
    """
    return _written(estimand, {}, estimand.free, _Latex())


class _Plain:
    bar = " | "

    def name(self, text: str) -> str:
        return text

    def total(self, over: str, term: str) -> str:
        return f"Σ_{{{over}}} {term}"

    def ratio(self, above: str, below: str) -> str:
        return f"[{above}] / [{below}]"


class _Latex(_Plain):
    bar = r" \mid "

    def name(self, text: str) -> str:
        bare = text.rstrip("'")
        escaped = "".join(_LATEX.get(each, each) for each in bare)
        return rf"\mathrm{{{escaped}}}" + text[len(bare) :]

    def total(self, over: str, term: str) -> str:
        return rf"\sum_{{{over}}} {term}"

    def ratio(self, above: str, below: str) -> str:
        return rf"\frac{{{above}}}{{{below}}}"


_LATEX = {each: f"\\{each}" for each in "_%&#${} "} | {"\\": r"\backslash ", "^": r"\hat{}", "~": r"\sim "}


def _written(part: Estimand, symbols: Mapping[str, str], taken: Collection[str], style: _Plain) -> str:
    """``symbols`` are those of summed variables in scope, ``taken`` all that may not be used for another."""

    def named(names: Iterable[str]) -> str:
        return ", ".join(style.name(symbols.get(name, name)) for name in names)

    if isinstance(part, Conditional):
        return f"p({named(part.names)}{style.bar if part.given else ''}{named(part.given)})"
    if isinstance(part, Ratio):
        above, below = (_written(each, symbols, taken, style) for each in (part.above, part.below))
        return style.ratio(above, below)
    if isinstance(part, Total):
        own = {name: _unused(name, taken) for name in part.over}
        inner = _written(part.term, {**symbols, **own}, {*taken, *own.values()}, style)
        return style.total(", ".join(map(style.name, own.values())), inner)
    ordered = sorted(part.factors, key=lambda factor: isinstance(factor, Total))
    texts = [_written(factor, symbols, taken, style) for factor in ordered]
    last = len(texts) - 1
    return (
        " ".join(
            f"({text})" if isinstance(factor, Total) and index < last else text
            for index, (factor, text) in enumerate(zip(ordered, texts, strict=True))
        )
        or "1"
    )


def _unused(name: str, taken: Collection[str]) -> str:
    while name in taken:
        name += "'"
    return name
