"""Six small worlds with a latent variable each, in which the truth is known and a table alone may not show it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hf_trace.tables.network import Network
from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import Variable

VALUES = ("0", "1")


@dataclass(frozen=True)
class World:
    """A network of variables of two values, and a question about it.

    Attributes:
        network: The truth.
        do: The treatment.
        selection: By which variable rows are chosen, if they are.
        elsewhere: How often the covariate Z is 1 in the population asked about, if a table of it is known.
    """

    network: Network
    do: str = "X"
    selection: str | None = None
    elsewhere: float | None = None

    @property
    def question(self) -> dict[str, Any]:
        """The average effect of the treatment on p(Y = 1)."""
        asked = {"target": "Y", "do": {self.do: "1"}, "contrast": "ate"}
        return asked | ({"selection": self.selection} if self.selection else {})

    @property
    def truth(self) -> float:
        """What the latent variables know."""
        tables = dict(self.network.tables)
        if self.elsewhere is not None:
            tables["Z"] = np.array([1 - self.elsewhere, self.elsewhere])
        network = Network(self.network.schema, tables)
        done = [network.distribution("Y", do={self.do: value})["1"] for value in VALUES]
        return done[1] - done[0]

    def rows(self, count: int, seed: int) -> pd.DataFrame:
        """A table, of chosen rows where rows are chosen."""
        given = {} if self.selection is None else {self.selection: "1"}
        return drawn(self.network, count, seed, given)

    def population(self, count: int) -> pd.DataFrame | None:
        """A table of covariates of that population."""
        if self.elsewhere is None:
            return None
        ones = round(count * self.elsewhere)
        return pd.DataFrame({"Z": ["1"] * ones + ["0"] * (count - ones)})

    def edges(self) -> dict[str, Any]:
        """The graph as ``infer_schema`` reads it."""
        return {"edges": [list(edge) for edge in self.network.schema.graph.edges]}


def drawn(network: Network, count: int, seed: int, given: Mapping[str, str]) -> pd.DataFrame:
    """Rows of a network, all with what is given; only observed columns are kept."""
    generator = np.random.default_rng(seed)
    codes: dict[str, np.ndarray] = {}
    many = count * (4 if given else 1)
    for name in network.schema.full_order:
        table = network.tables[name]
        chance = table[tuple(codes[each] for each in network.schema[name].parents)][..., 1]
        codes[name] = (generator.random(many) < chance).astype(int)
    kept = np.ones(many, dtype=bool)
    for name, value in given.items():
        kept &= codes[name] == int(value)
    rows = np.flatnonzero(kept)[:count]
    observed = network.schema.topological_order
    return pd.DataFrame({name: np.array(VALUES)[codes[name][rows]] for name in observed})


def network(**chances: tuple[str, Any]) -> Network:
    """A network from parents and chances of 1: ``X=("U Z", [[.1, .4], [.3, .8]])``; names with U are latent."""
    variables, tables = [], {}
    for name, (parents, chance) in chances.items():
        is_latent = name.startswith("U")
        variables.append(Variable(name, values=VALUES, parents=tuple(parents.split()), latent=is_latent))
        tables[name] = np.stack([1 - np.asarray(chance), np.asarray(chance)], axis=-1)
    return Network(DagSchema(tuple(variables)), tables)


WORLDS = {
    "front-door": World(
        network(
            U=("", 0.5), X=("U", [0.2, 0.8]), M=("X", [0.3, 0.8]), Y=("U M", [[0.1, 0.5], [0.5, 0.9]]),
        )
    ),
    "napkin": World(
        network(
            U1=("", 0.5), U2=("", 0.5), W=("U1 U2", [[0.2, 0.6], [0.5, 0.9]]), Z=("W", [0.2, 0.8]),
            X=("Z U1", [[0.1, 0.5], [0.5, 0.9]]), Y=("X U2", [[0.2, 0.6], [0.4, 0.8]]),
        )
    ),
    "instrument": World(
        network(
            Z=("", 0.5), U=("", 0.5), X=("Z U", [[0.1, 0.6], [0.6, 0.95]]), Y=("X U", [[0.2, 0.5], [0.4, 0.7]]),
        )
    ),
    "two proxies": World(
        network(
            U=("", 0.5), Z=("U", [0.15, 0.8]), W=("U", [0.2, 0.85]), X=("U Z", [[0.2, 0.4], [0.5, 0.7]]),
            Y=("X U", [[0.2, 0.6], [0.4, 0.8]]),
        )
    ),
    "selection": World(
        network(
            Z=("", 0.4), X=("Z", [0.3, 0.7]), Y=("X Z", [[0.2, 0.6], [0.3, 0.9]]), US=("X Z", [[0.2, 0.9], [0.6, 0.3]]),
        ),
        selection="US",
        elsewhere=0.4,
    ),
    "transport": World(
        network(
            U=("", 0.5), Z=("", 0.3), X=("U Z", [[0.2, 0.5], [0.6, 0.8]]), M=("X U", [[0.2, 0.5], [0.4, 0.8]]),
            Y=("X Z", [[0.3, 0.5], [0.3, 0.9]]),
        ),
        elsewhere=0.8,
    ),
}  # fmt: skip
