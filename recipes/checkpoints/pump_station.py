"""A pumping station: its graph, and rows of its table, as observed or with a pump that is set."""

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import MISSING, Variable

LEVELS = ("none", "basic", "full")
SPEEDS = ("off", "slow", "fast")
ITEMS = ("high level", "vibration", "leak")
MOST_ALARMS = 4
_RAIN = 0.3
_MAINTENANCE = (0.2, 0.5, 0.3)
_INFLOW = ((25.0, 10.0), (65.0, 20.0))  # mean and deviation, by weather
_NOT_MEASURED = 0.05
# Shares of off, slow, fast by maintenance, for an inflow that is low, middling, high, not measured.
_SPEED = np.array([
    [[0.8, 0.15, 0.05], [0.5, 0.4, 0.1], [0.4, 0.3, 0.3], [0.6, 0.3, 0.1]],
    [[0.7, 0.25, 0.05], [0.2, 0.6, 0.2], [0.15, 0.3, 0.55], [0.3, 0.5, 0.2]],
    [[0.7, 0.25, 0.05], [0.1, 0.7, 0.2], [0.02, 0.18, 0.8], [0.2, 0.6, 0.2]],
])  # fmt: skip
# Chance of another alarm, by inflow and speed; and what it then is.
_ALARM = np.array([[0.1, 0.1, 0.2], [0.4, 0.2, 0.25], [0.8, 0.6, 0.3], [0.4, 0.3, 0.25]])
_WHICH = np.array([[0.8, 0.05, 0.15], [0.6, 0.2, 0.2], [0.2, 0.6, 0.2]])  # by speed


def schema() -> DagSchema:
    """A small graph with variables of every kind but text: why a pumping station overflows."""
    bins, means = ("< 20", "20 – 60", "≥ 60", MISSING), (11.0, 38.0, 84.0, math.nan)
    return DagSchema(
        (
            Variable("weather", values=("dry", "rain")),
            Variable("maintenance", "ordinal", values=LEVELS),
            Variable("inflow", "numeric", ("weather",), bins, (20.0, 60.0), means),
            Variable("pump", values=SPEEDS, parents=("maintenance", "inflow")),
            Variable("alarms", "sequence", ("inflow", "pump"), ITEMS, max_length=MOST_ALARMS),
            Variable("overflow", values=("no", "yes"), parents=("weather", "alarms", "pump")),
        )
    )


def rows(count: int, seed: int, pump: str | None = None) -> pd.DataFrame:
    """Rows of the table, as observed or with the pump set to a speed.

    Args:
        count: How many.
        seed: The same seed draws the same rows.
        pump: Speed that the pump is set to, whatever the station would do.
    """
    rng = np.random.default_rng(seed)
    rain = rng.random(count) < _RAIN
    maintenance = rng.choice(len(LEVELS), count, p=_MAINTENANCE)
    mean, deviation = np.array(_INFLOW)[rain.astype(int)].T
    inflow = np.maximum(0.0, rng.normal(mean, deviation))
    inflow[rng.random(count) < _NOT_MEASURED] = np.nan
    level = np.where(np.isnan(inflow), 3, np.digitize(inflow, (20.0, 60.0)))
    speed = _drawn(_SPEED[maintenance, level], rng)
    if pump is not None:
        speed = np.full(count, SPEEDS.index(pump))
    alarms = _alarms(level, speed, rng)
    high = np.array(["high level" in each for each in alarms])
    risk = 0.02 + 0.25 * high + 0.1 * rain + 0.15 * rain * (speed == 0) - 0.01 * (speed == 2)
    overflow = rng.random(count) < risk
    return pd.DataFrame({
        "weather": np.where(rain, "rain", "dry"),
        "maintenance": np.array(LEVELS)[maintenance],
        "inflow": inflow.round(1),
        "pump": np.array(SPEEDS)[speed],
        "alarms": alarms,
        "overflow": np.where(overflow, "yes", "no"),
    })  # fmt: skip


def _drawn(shares: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    return (rng.random(len(shares))[:, None] > shares.cumsum(1)[:, :-1]).sum(1)


def _alarms(level: NDArray[np.int64], speed: NDArray[np.int64], rng: np.random.Generator) -> list[list[str]]:
    found: list[list[str]] = [[] for _ in level]
    going = np.ones(len(level), dtype=bool)
    for _ in range(MOST_ALARMS):
        going &= rng.random(len(level)) < _ALARM[level, speed]
        for row, item in zip(np.flatnonzero(going), _drawn(_WHICH[speed[going]], rng), strict=True):
            found[row].append(ITEMS[item])
    return found
