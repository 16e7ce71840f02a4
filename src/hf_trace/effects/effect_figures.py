"""Figures of effects: how the outcome follows a dose, and where both values of a treatment occur."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from hf_trace.effects.doubly_robust import Rows


def draw_response(response: Sequence[Mapping[str, Any]], *, treatment: str, outcome: str) -> Figure:
    """The curve of a dose-response, with its intervals.

    Args:
        response: Doses as ``Dose.to_dict`` gives them.
        treatment: Name of the treatment.
        outcome: Name of what is averaged.
    """
    figure = Figure(figsize=(5.5, 3.4), layout="constrained")
    axis = figure.subplots()
    has_numbers = all(each["number"] is not None for each in response)
    places = [each["number"] if has_numbers else place for place, each in enumerate(response)]
    means = [each["mean"] for each in response]
    axis.plot(places, means, "o-", color="#0072B2")
    if all(each["low"] is not None for each in response):
        lows, highs = ([each[end] for each in response] for end in ("low", "high"))
        axis.fill_between(places, lows, highs, color="#0072B2", alpha=0.2, linewidth=0)
    if not has_numbers:
        axis.set_xticks(places, [each["value"] for each in response])
    axis.set(xlabel=treatment, ylabel=outcome)
    return figure


def draw_overlap(rows: Rows, *, names: tuple[str, str] = ("treated", "control")) -> Figure:
    """How likely the first value of a treatment was for rows that got it and for rows that got the other.

    Where one group has no rows, nothing but the model speaks for what the other value would have done.

    Args:
        rows: As ``row_columns`` gives them.
        names: Of the two groups.
    """
    figure = Figure(figsize=(5.5, 3.0), layout="constrained")
    axis = figure.subplots()
    edges = np.linspace(0, 1, 41)
    chance = rows.propensity[:, 0] / rows.propensity.sum(axis=1)
    for received, name, colour, sign in (
        (rows.treated, names[0], "#D55E00", 1),
        (rows.control, names[1], "#0072B2", -1),
    ):
        counts, _ = np.histogram(chance[received], edges, weights=rows.weights[received])
        axis.stairs(sign * counts, edges, fill=True, color=colour, alpha=0.7, label=name)
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set_yscale("symlog", linthresh=1)
    axis.yaxis.set_major_formatter(lambda count, _: f"{abs(count):,.0f}")
    axis.set(xlabel=f"probability of {names[0]}", ylabel="rows", xlim=(0, 1))
    axis.legend()
    return figure
