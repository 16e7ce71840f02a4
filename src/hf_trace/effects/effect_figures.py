"""Figures of effects: every dose, every value, and where both values of a treatment occur."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hf_trace.documents import Document
from hf_trace.effects.doubly_robust import Rows
from hf_trace.graphs.pictures.figure import GraphFigure

_BLUE, _ORANGE, _INK = "#0072B2", "#D55E00", "#222222"
# Values whose names stand side by side; more are turned.
_LEVEL, _MOST_NAMED = 6, 40


def draw_answer(answer: Document, title: str, rows: Rows | None = None) -> GraphFigure:
    """The figure of an answer to a question about a table.

    A dose-response is a curve; a contrast that was estimated on rows is the overlap of these, where the estimate can
    be told; any other answer is its probabilities with their intervals, or the bounds of them.

    Args:
        answer: As ``answer_questions`` gives it.
        title: Above probabilities; a contrast has a title of its own.
        rows: Behind a contrast, as ``row_columns`` gives them.
    """
    if "response" in answer:
        return draw_response(answer["response"], treatment=answer["treatment"], outcome=answer["of"])
    if rows is not None:
        figure = draw_overlap(rows)
        figure.axes[0].set_title(_title_of(answer), fontsize=10)
        return figure
    is_number = "treated" not in answer and ("value" in answer or isinstance(answer.get("bounds"), list))
    named = _title_of(answer) if "contrast" in answer else title
    return draw_shares(_shares_in(answer), title=named, label=answer["of"] if is_number else "probability")


def _title_of(answer: Document) -> str:
    sure = answer if "low" in answer else answer.get("interval", {})
    within = f" ({sure['low']:.3g} to {sure['high']:.3g})" if "low" in sure else ""
    value = f"{answer['value']:.3g}{within}" if "value" in answer else "bounds, not a number"
    return f"{answer['contrast']} on {answer['of']}: {value}"


def _shares_in(answer: Document) -> dict[str, dict[str, tuple[float, float, float]]]:
    """By series and value the probability, and between what it lies; where only that is known, the middle of it."""
    if "contrast" in answer and "treated" in answer:
        return {name: next(iter(_shares_in(answer[name]).values())) for name in ("treated", "control")}
    if "value" in answer:
        return {"": {answer["of"]: (answer["value"], answer["low"], answer["high"])}}
    ends = answer.get("bounds") or answer.get("counterfactual") or answer.get("interval") or {}
    if isinstance(ends, Mapping):
        told = answer.get("distribution") or {value: (low + high) / 2 for value, (low, high) in ends.items()}
        within = {value: ends.get(value, (share, share)) for value, share in told.items()}
        found = {"": {value: (share, *within[value]) for value, share in told.items()}}
    else:
        low, high = ends
        found = {"": {str(answer["of"]): ((low + high) / 2, low, high)}}
    if "everybody" in answer:
        found["everybody"] = {value: (share, share, share) for value, share in answer["everybody"].items()}
    return found


def draw_shares(
    series: Mapping[str, Mapping[str, tuple[float, float, float]]], *, title: str = "", label: str = "probability"
) -> GraphFigure:
    """Bars of probabilities, those of one value side by side.

    Args:
        series: By the name of a series and the value its probability, and the ends of the interval around it.
        title: Above them.
        label: What they are.
    """
    values = list(next(iter(series.values())))
    figure = GraphFigure(figsize=(max(4.5, 1.5 + 0.45 * len(values) * len(series)), 3.4), layout="constrained")
    axis = figure.subplots()
    width = 0.8 / len(series)
    for number, (name, shares) in enumerate(series.items()):
        share, low, high = np.array([shares[value] for value in values]).T
        places = np.arange(len(values)) + (number - (len(series) - 1) / 2) * width
        axis.bar(places, share, width, color=(_ORANGE, _BLUE)[number % 2] if len(series) > 1 else _BLUE, label=name)
        if (high > low).any():
            reach = np.maximum([share - low, high - share], 0)
            axis.errorbar(places, share, reach, fmt="none", ecolor=_INK, capsize=3)
    axis.axhline(0, color=_INK, linewidth=0.8)
    if len(values) <= _MOST_NAMED:
        is_long = len(values) > _LEVEL or max(map(len, values)) > 2 * _LEVEL
        axis.set_xticks(range(len(values)), values, rotation=45 * is_long, ha="right" if is_long else "center")
    axis.set_ylabel(label)
    axis.set_title(title, fontsize=10)
    if len(series) > 1:
        axis.legend()
    return figure


def draw_response(response: Sequence[Mapping[str, Any]], *, treatment: str, outcome: str) -> GraphFigure:
    """The curve of a dose-response, with its intervals.

    Args:
        response: Doses as ``Dose.to_dict`` gives them.
        treatment: Name of the treatment.
        outcome: Name of what is averaged.
    """
    figure = GraphFigure(figsize=(5.5, 3.4), layout="constrained")
    axis = figure.subplots()
    has_numbers = all(each["number"] is not None for each in response)
    places = [each["number"] if has_numbers else place for place, each in enumerate(response)]
    means = [each["mean"] for each in response]
    axis.plot(places, means, "o-", color=_BLUE)
    if all(each["low"] is not None for each in response):
        lows, highs = ([each[end] for each in response] for end in ("low", "high"))
        axis.fill_between(places, lows, highs, color=_BLUE, alpha=0.2, linewidth=0)
    if not has_numbers:
        axis.set_xticks(places, [each["value"] for each in response])
    axis.set(xlabel=treatment, ylabel=outcome)
    return figure


def draw_overlap(rows: Rows, *, names: tuple[str, str] = ("treated", "control")) -> GraphFigure:
    """How likely the first value of a treatment was for rows that got it and for rows that got the other.

    Where one group has no rows, nothing but the model speaks for what the other value would have done.

    Args:
        rows: As ``row_columns`` gives them.
        names: Of the two groups.
    """
    figure = GraphFigure(figsize=(5.5, 3.0), layout="constrained")
    axis = figure.subplots()
    edges = np.linspace(0, 1, 41)
    chance = rows.propensity[:, 0] / rows.propensity.sum(axis=1)
    for received, name, colour, sign in ((rows.treated, names[0], _ORANGE, 1), (rows.control, names[1], _BLUE, -1)):
        counts, _ = np.histogram(chance[received], edges, weights=rows.weights[received])
        axis.stairs(sign * counts, edges, fill=True, color=colour, alpha=0.7, label=name)
    axis.axhline(0, color=_INK, linewidth=0.8)
    axis.set_yscale("symlog", linthresh=1)
    axis.yaxis.set_major_formatter(lambda count, _: f"{abs(count):,.0f}")
    axis.set(xlabel=f"probability of {names[0]}", ylabel="rows", xlim=(0, 1))
    axis.legend()
    return figure
