"""Exact conditional intensities of a world in continuous time, and what they say of the type of the next event."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy import stats

from hf_trace.errors import SettingsError
from hf_trace.logs.sequence import EventSequence
from hf_trace.worlds.delays import DELAYS
from hf_trace.worlds.process_spec import ProcessEdge, ProcessSpec, ProcessType

Times: TypeAlias = float | Sequence[float] | NDArray[np.float64]
Past: TypeAlias = dict[str, Float[np.ndarray, " event"]]


def intensity(spec: ProcessSpec, history: EventSequence, times: Times) -> Float[np.ndarray, "time type"]:
    r"""Events per second of every type at some times, given all that happened strictly before each.

    .. math:: \lambda_v(t) = g_v(t) \Big(\mu_v + \sum_{t_i < t} w_{u_i v} \, k_{u_i v}(t - t_i)\Big)

    with the density k of the delay (Hawkes 1971), and g the factors of what inhibits v, 0 where v is the value that its
    variable holds. A periodic type has the hazard of its gamma distributed period.

    Args:
        spec: The world.
        history: Its events from the start, with times.
        times: Seconds from the start, in any order.

    Returns:
        A row per time; types are in the order of the log's ``event_types``: by name.

    Raises:
        SettingsError: If the world is not exact, or the history has no times or other types.

    Example:
        >>> types = [{"name": "a", "rate": 0.02}, {"name": "b", "rate": 0.01}]
        >>> edge = {"cause": "a", "effect": "b", "weight": 0.5, "delay": 5}
        >>> spec = ProcessSpec.from_dict({"types": types, "edges": [edge]})
        >>> intensity(spec, EventSequence(("a",), timestamps=(3.0,)), [3.0, 8.0]).round(4).tolist()
        [[0.02, 0.01], [0.02, 0.0468]]
    """
    past, at = _past(spec, history), np.atleast_1d(np.asarray(times, dtype=np.float64))
    kinds = sorted(spec.types, key=lambda kind: kind.name)
    rates = {kind.name: _own_rate(kind, past[kind.name], at) for kind in kinds}
    for edge in spec.edges:
        rates[edge.effect] += _caused_rate(edge, past, at)
    for each in spec.inhibitions:
        rates[each.effect][_since_last(past[each.cause], at) <= each.seconds] *= each.factor
    for values in spec.variables:
        latest = np.array([_since_last(past[name], at) for name in values])
        # Before its first change a variable holds its first value.
        held = np.where(np.isinf(latest).all(0), 0, latest.argmin(0))
        for number, name in enumerate(values):
            rates[name][held == number] = 0.0
    return np.stack([rates[kind.name] for kind in kinds], axis=1)


def type_log_probs(spec: ProcessSpec, history: EventSequence, times: Times) -> Float[np.ndarray, "time type"]:
    r"""Log-probability of every type, given that the next event happens at a time, in nats.

    .. math:: p(v | t, past) = \lambda_v(t) / \sum_u \lambda_u(t)

    No model that reads the past and the time has a lower loss on average.

    Raises:
        SettingsError: As ``intensity``.

    Example:
        >>> spec = ProcessSpec.from_dict({"types": [{"name": "a", "rate": 0.03}, {"name": "b", "rate": 0.01}]})
        >>> np.exp(type_log_probs(spec, EventSequence((), timestamps=()), 2.0)).round(4).tolist()
        [[0.75, 0.25]]
    """
    rates = intensity(spec, history, times)
    with np.errstate(divide="ignore"):
        logs: Float[np.ndarray, "time type"] = np.log(rates) - np.log(rates.sum(1, keepdims=True))
    return logs


def _past(spec: ProcessSpec, history: EventSequence) -> Past:
    """Times of every type."""
    if not spec.is_exact:
        raise SettingsError(
            "The world has hidden types, repeats or floods, so that what is recorded does not tell its rates; expected "
            "a world without them."
        )
    if history.timestamps is None:
        raise SettingsError("The history has no times, expected seconds from its start.")
    if unknown := sorted(set(history.events) - set(spec.names)):
        raise SettingsError(f"The history has the event {unknown[0]!r}, which is no type of the world.")
    events, times = np.array(history.events, dtype=object), np.array(history.timestamps, dtype=np.float64)
    return {name: times[events == name] for name in spec.names}


def _since_last(past: Float[np.ndarray, " event"], at: Float[np.ndarray, " time"]) -> Float[np.ndarray, " time"]:
    """Seconds since the last event strictly before each time, infinite before the first."""
    last = np.append(-np.inf, past)[np.searchsorted(past, at, "left")]
    since: Float[np.ndarray, " time"] = at - last
    return since


def _own_rate(
    kind: ProcessType, past: Float[np.ndarray, " event"], at: Float[np.ndarray, " time"]
) -> Float[np.ndarray, " time"]:
    if not kind.period:
        return np.full(len(at), float(kind.rate))
    since, shape = _since_last(past, at), kind.jitter**-2
    law = stats.gamma(shape, scale=kind.period / shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        hazard = np.where(np.isinf(since), 1 / np.maximum(kind.period - at, 0), law.pdf(since) / law.sf(since))
    # Far behind the last tick both underflow; the hazard of a gamma law rises to its rate.
    return np.where(np.isnan(hazard), shape / kind.period, hazard)


def _caused_rate(edge: ProcessEdge, past: Past, at: Float[np.ndarray, " time"]) -> Float[np.ndarray, " time"]:
    causes = past[edge.cause]
    if edge.needs is not None:
        causes = causes[_since_last(past[edge.needs], causes) <= edge.window]
    since = at[:, None] - causes
    density = np.zeros_like(since)
    density[since > 0] = DELAYS[edge.kernel].law(edge.delay).pdf(since[since > 0])
    rate: Float[np.ndarray, " time"] = edge.weight * density.sum(1)
    return rate
