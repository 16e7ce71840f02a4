"""How long a cause takes to act: delays by name, each told by its mean alone."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import stats


class Delay(NamedTuple):
    """One kind of delay.

    Attributes:
        draw: A delay in seconds, from a generator and the mean.
        law: The same as a distribution of SciPy, from the mean: its density is the kernel of a Hawkes process.
    """

    draw: Callable[[np.random.Generator, float], float]
    law: Callable[[float], Any]


_GAMMA_SHAPE = 4.0
# A lognormal whose logarithm has a standard deviation of 1 has the mean exp(mu + 1/2).
DELAYS = {
    "exponential": Delay(lambda generator, mean: generator.exponential(mean), lambda mean: stats.expon(scale=mean)),
    "gamma": Delay(
        lambda generator, mean: generator.gamma(_GAMMA_SHAPE, mean / _GAMMA_SHAPE),
        lambda mean: stats.gamma(_GAMMA_SHAPE, scale=mean / _GAMMA_SHAPE),
    ),
    "shifted": Delay(
        lambda generator, mean: mean / 2 + generator.exponential(mean / 2),
        lambda mean: stats.expon(loc=mean / 2, scale=mean / 2),
    ),
    "lognormal": Delay(
        lambda generator, mean: generator.lognormal(np.log(mean) - 0.5, 1.0),
        lambda mean: stats.lognorm(1.0, scale=mean * np.exp(-0.5)),
    ),
}
