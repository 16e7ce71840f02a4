"""Instruments: variables that move a treatment and nothing else of the target."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from hf_trace.effects.identifying.estimands import Estimand, Joint, evaluated
from hf_trace.effects.identifying.formulas import CompleteQuestion, Refusal

# An instrument that moves fewer rows than this tells nothing.
_LEAST_MOVED = 1e-3


@dataclass(frozen=True)
class LocalEffect:
    """The effect on those whose treatment an instrument moves (LATE, Imbens and Angrist 1994).

    It is a fact about data only under monotonicity: there is nobody whose treatment the instrument moves the other way.

    Attributes:
        instrument: Its name.
        values: The two values of the instrument that are compared, as codes.
        value: The effect of the treatment, on those whom it moves.
        share: How many these are, of all.
    """

    instrument: str
    values: tuple[int, int]
    value: float
    share: float


def instruments(question: CompleteQuestion) -> tuple[str, ...]:
    """Variables that act on the only treatment, on the target only through it, and whose effect on both is known.

    Args:
        question: Of one target and one treatment.

    Example:
        >>> graph = nx.DiGraph([("Z", "X"), ("U", "X"), ("U", "Y"), ("X", "Y")])
        >>> instruments(CompleteQuestion(graph, frozenset("ZXY"), frozenset("Y"), frozenset("X")))
        ('Z',)
    """
    (treatment,), (target,) = question.do, question.targets
    arrows = question.projection.arrows
    without = nx.restricted_view(arrows, [treatment], [])
    candidates = (name for name in question.projection.order if name in nx.ancestors(arrows, treatment))
    return tuple(
        name
        for name in candidates
        if name not in question.given | {target}
        and not nx.has_path(without, name, target)
        and not any(isinstance(_reduced(question, end, name), Refusal) for end in (treatment, target))
    )


def _reduced(question: CompleteQuestion, end: str, instrument: str) -> Estimand | Refusal:
    forced = frozenset([instrument])
    return replace(question, targets=frozenset([end]), do=forced, given=frozenset()).formula()


def local_effect(
    question: CompleteQuestion,
    instrument: str,
    joint: Joint,
    names: Sequence[str],
    arms: tuple[int, int],
    scores: NDArray[np.float64],
) -> LocalEffect | None:
    r"""Wald's ratio: what an instrument does to the target over what it does to the treatment.

    .. math:: \frac{E[Y | do(z_1)] - E[Y | do(z_0)]}{p(x_1 | do(z_1)) - p(x_1 | do(z_0))}

    Args:
        question: See ``instruments``.
        instrument: One of them.
        joint: Probabilities of what is observed, an axis per name.
        names: Of the axes.
        arms: The treatment's values that are compared, treated first.
        scores: What every value of the target counts as.

    Returns:
        None if the treatment has more than these two values, or the instrument moves hardly anybody.
    """
    (treatment,), (target,) = question.do, question.targets
    if joint.shape[names.index(treatment)] != 2:
        return None
    moved = _under(question, treatment, instrument, joint, names)[:, arms[0]]
    low, high = int(moved.argmin()), int(moved.argmax())
    share = float(moved[high] - moved[low])
    if share < _LEAST_MOVED:
        return None
    means = _under(question, target, instrument, joint, names) @ scores
    return LocalEffect(instrument, (high, low), float(means[high] - means[low]) / share, share)


def _under(
    question: CompleteQuestion, end: str, instrument: str, joint: Joint, names: Sequence[str]
) -> NDArray[np.float64]:
    """p(end | do(instrument)), ``[instrument, end]``."""
    found = _reduced(question, end, instrument)
    if isinstance(found, Refusal):
        raise ValueError(f"{instrument!r} is no instrument, expected one of `instruments`.")
    places = [names.index(instrument), names.index(end)]
    values = evaluated(found, joint, names)
    shape = [joint.shape[axis] if axis in places else 1 for axis in range(joint.ndim)]
    table = np.broadcast_to(values, shape).reshape([joint.shape[axis] for axis in sorted(places)])
    return table if places[0] < places[1] else table.T
