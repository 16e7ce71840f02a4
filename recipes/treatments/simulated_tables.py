"""Tables like those of a training programme: few are treated, the poor more often, and many earn nothing.

Eight confounders, four of them numbers. Whether somebody is treated, whether they earn anything and how much depend on
the same mix of them; who is treated and what that does are known by construction.
"""

from dataclasses import dataclass

import networkx as nx
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit

NUMBERS, NAMES = ("age", "school", "before", "earlier"), ("married", "degree", "group", "region")
CONFOUNDERS = (*NUMBERS, *NAMES)
_SPREAD = 0.8
_POPULATION = 200_000


@dataclass(frozen=True)
class Population:
    """People as they are before anything is done, and what each would earn on average.

    Attributes:
        frame: The confounders.
        chance: Of being treated.
        works: Chance of earning anything, ``[row, 2]``: untreated, treated.
        log_wage: Mean of the logarithm of what is earned where anything is, ``[row, 2]``.
    """

    frame: pd.DataFrame
    chance: NDArray[np.float64]
    works: NDArray[np.float64]
    log_wage: NDArray[np.float64]

    @property
    def means(self) -> NDArray[np.float64]:
        """Earnings to be expected, in thousands, ``[row, 2]``."""
        return self.works * np.exp(self.log_wage + _SPREAD**2 / 2)


def population(rng: np.random.Generator, rows: int, treated: float, shift: float | None = None) -> Population:
    """Draw people; ``shift`` is what makes the given share of them treated, solved for where it is left out."""
    age = np.round(18 + 37 * rng.beta(1.5, 2.0, rows))
    school = np.clip(np.round(rng.normal(12, 2.5, rows)), 3, 18)
    married = rng.random(rows) < expit((age - 30) / 6)
    degree = rng.random(rows) < expit(school - 11.5)
    group, region = rng.integers(0, 3, rows), rng.integers(0, 4, rows)
    base = 1.6 + 0.03 * (age - 30) + 0.08 * (school - 12) + 0.3 * married + 0.1 * (group - 1)
    works = rng.random((2, rows)) < expit(0.5 + base - 1.0)
    earlier, before = np.where(works, np.exp(base + rng.normal(0, 0.7, (2, rows))), 0.0).round(3)
    frame = pd.DataFrame(
        {
            "age": age,
            "school": school,
            "before": before,
            "earlier": earlier,
            "married": np.where(married, "yes", "no"),
            "degree": np.where(degree, "yes", "no"),
            "group": np.array(["a", "b", "c"])[group],
            "region": np.array(["n", "e", "s", "w"])[region],
        }
    )
    poor = np.log1p(before) + np.log1p(earlier)
    need = -0.05 * (age - 30) - 0.7 * married - 0.5 * degree + 0.8 * (group == 2) - 0.7 * poor + 0.7 * (before == 0)
    if shift is None:
        shift = float(brentq(lambda each: expit(need + each).mean() - treated, -30, 30))
    lift = 0.5 - 0.15 * (school - 12)
    earns = expit(-0.6 + 0.5 * poor + 0.2 * degree)
    log_wage = 0.9 + 0.35 * poor + 0.06 * (school - 12) - 0.0008 * (age - 38) ** 2 + 0.1 * (region == 0)
    return Population(
        frame,
        expit(need + shift),
        np.stack([earns, expit(np.log(earns / (1 - earns)) + lift)], axis=1),
        np.stack([log_wage, log_wage + 0.15], axis=1),
    )


def drawn(people: Population, rng: np.random.Generator) -> pd.DataFrame:
    """A table of what happened to people: ``treated`` and ``earned`` after the confounders."""
    treated = rng.random(len(people.frame)) < people.chance
    rows, arm = np.arange(len(treated)), treated.astype(int)
    wage = np.exp(people.log_wage[rows, arm] + rng.normal(0, _SPREAD, len(rows)))
    earned = np.where(rng.random(len(rows)) < people.works[rows, arm], wage, 0.0).round(3)
    return people.frame.assign(treated=np.where(treated, "yes", "no"), earned=earned)


@dataclass(frozen=True)
class Truth:
    """Effects in a population.

    Attributes:
        ate: On everybody.
        att: On the treated.
        overlap: On everybody, weighted by the chance of being treated times that of not.
        shift: What makes the share of treated.
    """

    ate: float
    att: float
    overlap: float
    shift: float


def truth(treated: float) -> Truth:
    """Effects where a share of the population is treated, from the expected earnings of many people."""
    people = population(np.random.default_rng(0), _POPULATION, treated)
    effect, chance = np.diff(people.means, axis=1)[:, 0], people.chance
    logit = np.log(chance / (1 - chance))
    again = population(np.random.default_rng(0), _POPULATION, treated, shift=0.0)
    shift = float((logit - np.log(again.chance / (1 - again.chance))).mean())
    return Truth(
        float(effect.mean()),
        float(np.average(effect, weights=chance)),
        float(np.average(effect, weights=chance * (1 - chance))),
        shift,
    )


def graph() -> nx.DiGraph:
    """Everything before the treatment acts on it and on what is earned."""
    edges = [(cause, "treated") for cause in CONFOUNDERS] + [(cause, "earned") for cause in CONFOUNDERS]
    return nx.DiGraph([*edges, ("treated", "earned")])
