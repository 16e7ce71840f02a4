"""How far ahead counts: what is understood, and what is refused in one line."""

import pytest
import torch

from hf_trace.discovery.total_effects import Horizon, parse_horizon
from hf_trace.errors import SettingsError


@pytest.mark.parametrize(
    ("spec", "horizon"),
    [
        ("8", Horizon(8)),
        ("90s", Horizon(16, (90.0,))),
        ("1.5h", Horizon(16, (5400.0,))),
        (" 20 , 2d ", Horizon(20, (172800.0,))),
        ("10m,1h,3", Horizon(3, (600.0, 3600.0))),
    ],
)
def test_horizons(spec, horizon):
    assert parse_horizon(spec) == horizon


@pytest.mark.parametrize("spec", ["", "0", "0s", "-3", "1.5", "1w", "h", "5,", "ten", "1e3", "16,20", "1 h"])
def test_anything_else_is_refused(spec):
    with pytest.raises(SettingsError) as caught:
        parse_horizon(spec)
    assert str(caught.value) == (
        f"horizon is {spec!r}, expected a number of events such as '16', a time such as '90s', '10m', '1h' or '2d', "
        "or both: '20,1h'."
    )


def test_within_each_time():
    elapsed = torch.tensor([0.0, 60.0, 61.0, 4000.0])
    minute, hour = parse_horizon("5,1m,1h").within(elapsed).T.tolist()
    assert minute == [True, True, False, False]
    assert hour == [True, True, True, False]
    assert parse_horizon("5").within(elapsed).tolist() == [[True]] * 4
