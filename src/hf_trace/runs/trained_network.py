"""The topology that a run was trained with: its logs are read with the same."""

from collections.abc import Mapping
from typing import Any

from hf_trace.errors import SettingsError
from hf_trace.logs.log import EventLog
from hf_trace.logs.places.place_network import PlaceNetwork


def trained_network(recipe: Mapping[str, Any]) -> PlaceNetwork | None:
    """Which places were joined in training; None if none were.

    Args:
        recipe: ``training.json`` of the run.

    Example:
        >>> str(trained_network({"topology": {"pairs": [["a", "b"]], "directed": False, "hops": 1}}))
        '1 joined pair of 2 places'
    """
    return PlaceNetwork.from_dict(recipe["topology"]) if recipe.get("topology") else None


def check_network(log: EventLog, recipe: Mapping[str, Any], *, reads_neighbours: bool) -> None:
    """Refuse a log that was read with another topology than that of the run, or without one.

    Args:
        log: Sequences to score.
        recipe: ``training.json`` of the run; it may not be known.
        reads_neighbours: Whether the vocabulary has events of neighbours.

    Raises:
        SettingsError: If they differ.
    """
    trained = trained_network(recipe)
    if log.network == trained or (trained is None and reads_neighbours and log.network is not None):
        return
    if not reads_neighbours:
        raise SettingsError(
            f"The log was read with a topology ({log.network}), and the run was trained without one. Leave it out, or "
            "train with `--topology`."
        )
    found = "without a topology" if log.network is None else f"with a topology of {log.network}"
    raise SettingsError(
        f"The log was read {found}, and the run was trained with one of {trained or 'another log'}. Leave `--topology` "
        "out, by which that of the run is taken (in Python `topology=trained_network(model.recipe)`), or train again."
    )
