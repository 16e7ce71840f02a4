"""What figures of answers show."""

import numpy as np
import pytest

from hf_trace.effects.doubly_robust import Rows
from hf_trace.effects.effect_figures import draw_answer, draw_shares

YES = {"target": "ill", "distribution": {"no": 0.25, "yes": 0.75}}


def heights(axis):
    return [round(bar.get_height(), 6) for bar in axis.patches]


def errors_of(axis):
    """Ends of the intervals that are drawn, from below."""
    (lines,) = axis.collections
    return [tuple(segment[:, 1].round(6)) for segment in lines.get_segments()]


def test_a_distribution_is_bars_with_its_intervals():
    answer = {**YES, "interval": {"no": [0.2, 0.4], "yes": [0.6, 0.8]}}
    (axis,) = draw_answer(answer, "p(ill)").axes
    assert heights(axis) == [0.25, 0.75]
    assert errors_of(axis) == [(0.2, 0.4), (0.6, 0.8)]
    assert axis.get_title() == "p(ill)"
    assert [each.get_text() for each in axis.get_xticklabels()] == ["no", "yes"]
    assert not draw_answer(YES, "p(ill)").axes[0].collections


def test_a_plug_in_contrast_is_two_distributions():
    other = {"target": "ill", "distribution": {"no": 0.5, "yes": 0.5}}
    answer = {"target": "ill", "contrast": "ate", "of": "p(ill = yes)", "value": 0.25, "treated": YES, "control": other}
    (axis,) = draw_answer(answer, "").axes
    assert heights(axis) == [0.25, 0.75, 0.5, 0.5]
    assert axis.get_title() == "ate on p(ill = yes): 0.25"
    assert [each.get_text() for each in axis.get_legend().get_texts()] == ["treated", "control"]


@pytest.mark.parametrize(
    ("answer", "ends"),
    [
        ({"target": "ill", "bounds": {"no": [0.1, 0.5], "yes": [0.5, 0.9]}}, [(0.1, 0.5), (0.5, 0.9)]),
        ({"target": "ill", "contrast": "ate", "of": "p(ill = yes)", "bounds": [-0.1, 0.5]}, [(-0.1, 0.5)]),
        (
            {
                "target": "ill",
                "counterfactual": {"no": [0.1, 0.5], "yes": [0.5, 0.9]},
                "everybody": YES["distribution"],
            },
            [(0.1, 0.5), (0.5, 0.9)],
        ),
    ],
)
def test_bounds_reach_from_end_to_end(answer, ends):
    assert errors_of(draw_answer(answer, "").axes[0]) == ends


def test_an_estimate_on_rows_is_their_overlap():
    treated = np.array([True, True, False, False])
    chance = np.array([0.9, 0.1, 0.9, 0.1])
    rows = Rows(treated, ~treated, np.ones(4), np.stack([chance, 1 - chance], 1), np.ones((4, 2)))
    answer = {"contrast": "ate", "of": "p(ill = yes)", "value": 0.5, "low": 0.25, "high": 0.75}
    (axis,) = draw_answer(answer, "", rows).axes
    assert axis.get_title() == "ate on p(ill = yes): 0.5 (0.25 to 0.75)"
    assert axis.get_xlabel() == "probability of treated"


def test_every_dose_is_a_curve():
    doses = [{"value": "none", "number": 0.0, "mean": 2.0, "low": 1.0, "high": 3.0}] * 2
    (axis,) = draw_answer({"response": doses, "treatment": "dose", "of": "mean of days"}, "").axes
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("dose", "mean of days")


def test_many_values_and_equal_bytes():
    series = {"": {f"value {number}": (0.02, 0.02, 0.02) for number in range(50)}}
    assert draw_shares(series).png() == draw_shares(series).png()
