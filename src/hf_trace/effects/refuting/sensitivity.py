"""How strong an unmeasured confounder would have to be to explain an effect away."""

import math

from hf_trace.errors import QueryError


def e_value(risk_ratio: float) -> float:
    """How many times an unmeasured confounder must raise both treatment and outcome to explain a ratio of risks.

    VanderWeele and Ding (Ann. Intern. Med. 167, 2017): RR + sqrt(RR (RR - 1)), of 1 / RR where it is below 1.

    Args:
        risk_ratio: p(outcome | treated) / p(outcome | control), above 0.

    Raises:
        QueryError: If it is not.

    Example:
        >>> round(e_value(3.9), 2), e_value(1.0)  # the paper's own example
        (7.26, 1.0)
    """
    if not 0 < risk_ratio < math.inf:
        raise QueryError(f"The ratio of risks is {risk_ratio:g}, expected a number above 0.")
    ratio = max(risk_ratio, 1 / risk_ratio)
    return ratio + math.sqrt(ratio * (ratio - 1))


def robustness_value(effect: float, standard_error: float, rows: int, share: float = 1.0) -> float:
    r"""Partial R² that a confounder must have with treatment and outcome alike to take a share of an effect away.

    Cinelli and Hazlett (J. R. Stat. Soc. B 82, 2020), equation 20: with :math:`f = q |t| / \sqrt{n}`,
    :math:`(\sqrt{f^4 + 4 f^2} - f^2) / 2`.

    Args:
        effect: The estimate.
        standard_error: Its error.
        rows: How many rows are behind it.
        share: Which share of the effect is taken away, q.

    Raises:
        QueryError: If there is no error, or there are no rows.

    Example:
        >>> round(robustness_value(4.18, 1.0, 783), 3)  # the paper's example: violence in Darfur, t = 4.18
        0.139
    """
    if not standard_error > 0 or rows < 1:
        raise QueryError(f"The error is {standard_error:g} of {rows} rows, expected one above 0 and some rows.")
    squared = (share * effect / standard_error) ** 2 / rows
    return (math.sqrt(squared**2 + 4 * squared) - squared) / 2
