"""Which places are joined, by name: what a user gives as a topology, and what a run remembers of it."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_trace.checks import whole
from hf_trace.documents import Document
from hf_trace.edges.joined_places import matrix_pairs, read_joined_places
from hf_trace.errors import SettingsError, preview


@dataclass(frozen=True)
class PlaceNetwork:
    """Places that are joined.

    Attributes:
        pairs: Names of two places each. Without direction the smaller name is first; every pair is there once, and
            no place is joined to itself.
        directed: Whether the first place of a pair is upstream of the second: then a place sees what is upstream alone.
        hops: How many steps away what a place sees may be.

    Raises:
        SettingsError: If ``hops`` is no whole number of at least 1.

    Example:
        >>> PlaceNetwork((("b", "a"), ("a", "b"), ("c", "c"))).pairs
        (('a', 'b'),)
    """

    pairs: tuple[tuple[str, str], ...]
    directed: bool = False
    hops: int = 1

    def __post_init__(self) -> None:
        whole("hops", self.hops)
        ends = ((str(one), str(other)) for one, other in self.pairs)
        kept = {pair if self.directed else (min(pair), max(pair)) for pair in ends if pair[0] != pair[1]}
        object.__setattr__(self, "pairs", tuple(sorted(kept)))

    @classmethod
    def of(cls, source: Any, places: Sequence[str] = (), *, directed: bool = False, hops: int = 1) -> "PlaceNetwork":
        """What a user gives as a topology.

        Args:
            source: A network of this class, which is taken as it is, a file (see ``read_joined_places``), a square
                `pandas.DataFrame` with names, or one with two columns of places, a square array, a graph of networkx,
                or pairs of names.
            places: Names of the places of the log, for a matrix without names.
            directed: See the class.
            hops: See the class.

        Raises:
            GraphFormatError: If a file cannot be read, or a matrix is not square.
            SettingsError: If it is none of these.

        Example:
            >>> PlaceNetwork.of(pd.DataFrame({"one": ["pump"], "other": ["valve"]})).pairs
            (('pump', 'valve'),)
        """
        return source if isinstance(source, cls) else cls(_pairs(source, places), directed, hops)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "PlaceNetwork":
        """What ``to_dict`` returned."""
        return cls(tuple(map(tuple, document["pairs"])), document["directed"], document["hops"])  # type: ignore[arg-type]

    def to_dict(self) -> Document:
        """All of it, as JSON."""
        return {"pairs": [list(pair) for pair in self.pairs], "directed": self.directed, "hops": self.hops}

    @property
    def places(self) -> tuple[str, ...]:
        """Names of all places that are joined to another."""
        return tuple(sorted({name for pair in self.pairs for name in pair}))

    def seen(self) -> tuple[tuple[str, str], ...]:
        """Pairs of a place and one that sees it: within as many hops.

        Example:
            >>> PlaceNetwork((("a", "b"), ("b", "c")), directed=True, hops=2).seen()
            (('a', 'b'), ('a', 'c'), ('b', 'c'))
        """
        if self.hops == 1:
            return self.pairs
        network: Any = (nx.DiGraph if self.directed else nx.Graph)(self.pairs)
        reached = nx.all_pairs_shortest_path_length(network, cutoff=self.hops)
        return PlaceNetwork(
            tuple((one, other) for one, others in reached for other in others), directed=self.directed
        ).pairs

    def __str__(self) -> str:
        text = f"{len(self.pairs):,} joined pair{'s' * (len(self.pairs) != 1)} of {len(self.places):,} places"
        text += " (the first upstream)" if self.directed else ""
        return text + (f", {self.hops} hops" if self.hops > 1 else "")


def _pairs(source: Any, places: Sequence[str]) -> tuple[tuple[str, str], ...]:
    if isinstance(source, str | os.PathLike):
        return read_joined_places(Path(source), places)
    if isinstance(source, nx.Graph):
        return tuple((str(one), str(other)) for one, other in source.edges())
    if isinstance(source, pd.DataFrame):
        names = [str(name) for name in source.columns]
        if [str(name) for name in source.index] == names:
            return tuple((names[int(one)], names[int(other)]) for one, other in matrix_pairs(source.to_numpy()))
        source = source.to_numpy() if len(names) == 2 else source
    elif isinstance(source, np.ndarray) and source.dtype.kind in "biuf" and not _lists_pairs(source):
        return tuple(matrix_pairs(source, places))
    listed = list(source) if isinstance(source, Iterable) and not isinstance(source, pd.DataFrame) else None
    if listed is None or not all(np.size(pair) == 2 and not isinstance(pair, str) for pair in listed):
        raise SettingsError(
            f"The topology is {' '.join(preview([source] if listed is None else listed, limit=3).split())}, expected a "
            "file, pairs of names of places, or a square matrix."
        )
    return tuple((str(one), str(other)) for one, other in listed)


def _lists_pairs(table: NDArray[Any]) -> bool:
    """Whether a table of numbers has two columns, and is no matrix of two places."""
    return table.shape[1:] == (2,) and len(table) != 2
