"""Small networks whose every probability is written down, and what is true of them by enumeration.

A network is a plain dict that JSON can hold: name -> ``{"values", "parents", "table"}``. The table has one row per
combination of the parents' values, the last parent's value changing fastest, and one probability per value. Nothing
here needs more than the standard library, so that every environment can read it.
"""

import json
import math
import random
from collections.abc import Iterator, Mapping
from itertools import product

Net = Mapping[str, Mapping[str, list]]

# The textbook sprinkler: the sprinkler is set after a look at the sky, and rain tells about the sky.
SPRINKLER: Net = {
    "cloudy": {"values": ["no", "yes"], "parents": [], "table": [[0.5, 0.5]]},
    "sprinkler": {"values": ["off", "on"], "parents": ["cloudy"], "table": [[0.5, 0.5], [0.9, 0.1]]},
    "rain": {"values": ["no", "yes"], "parents": ["cloudy"], "table": [[0.8, 0.2], [0.2, 0.8]]},
    "grass": {
        "values": ["dry", "wet"],
        "parents": ["sprinkler", "rain"],
        "table": [[1.0, 0.0], [0.1, 0.9], [0.1, 0.9], [0.01, 0.99]],
    },
}

# A lamp that burns when both switches are on, where the first one moves the second.
LAMP: Net = {
    "main": {"values": ["off", "on"], "parents": [], "table": [[0.3, 0.7]]},
    "relay": {"values": ["off", "on"], "parents": ["main"], "table": [[0.9, 0.1], [0.1, 0.9]]},
    "lamp": {
        "values": ["dark", "lit"],
        "parents": ["main", "relay"],
        "table": [[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]],
    },
}

# A drug given to the severely ill: those who take it recover less often, though it helps at every severity.
# ``inflammation`` comes after the drug, ``days`` in hospital is an outcome with numbers.
DRUG: Net = {
    "severity": {"values": ["mild", "moderate", "severe"], "parents": [], "table": [[0.5, 0.3, 0.2]]},
    "drug": {"values": ["no", "yes"], "parents": ["severity"], "table": [[0.9, 0.1], [0.5, 0.5], [0.1, 0.9]]},
    "inflammation": {
        "values": ["low", "high"],
        "parents": ["severity", "drug"],
        "table": [[0.7, 0.3], [0.9, 0.1], [0.4, 0.6], [0.75, 0.25], [0.15, 0.85], [0.5, 0.5]],
    },
    "recovered": {
        "values": ["no", "yes"],
        "parents": ["severity", "drug", "inflammation"],
        "table": [
            [0.05, 0.95], [0.15, 0.85], [0.03, 0.97], [0.1, 0.9],
            [0.25, 0.75], [0.45, 0.55], [0.2, 0.8], [0.4, 0.6],
            [0.6, 0.4], [0.85, 0.15], [0.55, 0.45], [0.75, 0.25],
        ],
    },
    "days": {
        "values": ["2", "7", "21"],
        "parents": ["severity", "recovered"],
        "table": [
            [0.2, 0.5, 0.3], [0.8, 0.18, 0.02],
            [0.1, 0.4, 0.5], [0.4, 0.5, 0.1],
            [0.05, 0.25, 0.7], [0.1, 0.5, 0.4],
        ],
    },
}  # fmt: skip

NETS: dict[str, Net] = {"sprinkler": SPRINKLER, "lamp": LAMP, "drug": DRUG}

# Questions of these networks: the first two are the ones a public interface is known to answer wrongly.
QUERIES: dict[str, list[dict]] = {
    "sprinkler": [
        {"target": "grass", "do": {"sprinkler": "on"}, "given": {"rain": "yes"}},
        {"target": "grass", "do": {"sprinkler": "on"}, "given": {}},
        {"target": "grass", "do": {"sprinkler": "on"}, "given": {"cloudy": "yes"}},
        {"target": "grass", "do": {}, "given": {"sprinkler": "on"}},
    ],
    "lamp": [
        {"target": "lamp", "do": {"main": "on", "relay": "on"}, "given": {}},
        {"target": "lamp", "do": {"main": "off", "relay": "on"}, "given": {}},
        {"target": "lamp", "do": {"relay": "on"}, "given": {}},
        {"target": "main", "do": {"relay": "on"}, "given": {}},
    ],
    "drug": [
        *(
            {"target": target, "do": {"drug": level}, "given": given}
            for target in ("recovered", "days")
            for given in ({}, {"severity": "severe"}, {"inflammation": "high"})
            for level in ("no", "yes")
        ),
        {"target": "recovered", "do": {"drug": "yes", "inflammation": "low"}, "given": {}},
        {"target": "recovered", "do": {"drug": "no", "inflammation": "high"}, "given": {"days": "7"}},
        {"target": "recovered", "do": {}, "given": {"drug": "yes"}},
        {"target": "severity", "do": {"drug": "yes"}, "given": {"recovered": "yes"}},
    ],
}


def row_of(net: Net, name: str, world: Mapping[str, str]) -> list[float]:
    """The row of a table for the parents' values in ``world``."""
    index = 0
    for parent in net[name]["parents"]:
        values = net[parent]["values"]
        index = index * len(values) + values.index(world[parent])
    return net[name]["table"][index]


def worlds(net: Net, do: Mapping[str, str]) -> Iterator[tuple[dict[str, str], float]]:
    """Every combination of values that agrees with ``do``, and its probability (truncated factorisation)."""
    choices = [[do[name]] if name in do else net[name]["values"] for name in net]
    for chosen in product(*choices):
        world = dict(zip(net, chosen, strict=True))
        free = (name for name in net if name not in do)
        yield (world, math.prod(row_of(net, name, world)[net[name]["values"].index(world[name])] for name in free))


def distribution(
    net: Net, target: str, do: Mapping[str, str] | None = None, given: Mapping[str, str] | None = None
) -> dict[str, float]:
    """Exact p(target | do, given) by enumeration; ``given`` is seen in the world in which ``do`` was done.

    Raises:
        ZeroDivisionError: If ``given`` never happens there.
    """
    given = given or {}
    weights = dict.fromkeys(net[target]["values"], 0.0)
    for world, weight in worlds(net, do or {}):
        if all(world[name] == value for name, value in given.items()):
            weights[world[target]] += weight
    total = sum(weights.values())
    return {value: weight / total for value, weight in weights.items()}


def mean(weights: Mapping[str, float], value: str | None = None) -> float:
    """Probability of ``value``; the expectation of the values as numbers when it is left out."""
    return weights[value] if value else sum(float(each) * weight for each, weight in weights.items())


def ate(
    net: Net, treatment: str, outcome: str, value: str | None = None, given: Mapping[str, str] | None = None
) -> float:
    """Effect of the treatment's last value against its first on p(outcome = value), or on the mean outcome.

    With ``given`` variables that the treatment does not change it is the effect among those units (CATE).
    """
    first, *_, last = net[treatment]["values"]
    treated, untreated = (distribution(net, outcome, {treatment: level}, given) for level in (last, first))
    return mean(treated, value) - mean(untreated, value)


def att(net: Net, treatment: str, outcome: str, value: str | None = None) -> float:
    """The same among those who were treated: effects given the treatment's parents, as common as they are there."""
    parents, treated = net[treatment]["parents"], net[treatment]["values"][-1]
    weights: dict[tuple[str, ...], float] = {}
    for world, weight in worlds(net, {}):
        if world[treatment] == treated and weight > 0:
            key = tuple(world[parent] for parent in parents)
            weights[key] = weights.get(key, 0.0) + weight
    total = sum(weights.values())
    return sum(
        weight / total * ate(net, treatment, outcome, value, dict(zip(parents, key, strict=True)))
        for key, weight in weights.items()
    )


def difference(net: Net, treatment: str, outcome: str, value: str | None = None) -> float:
    """What is seen, not done: outcome given the treatment's last value against its first."""
    first, *_, last = net[treatment]["values"]
    seen, unseen = (distribution(net, outcome, None, {treatment: level}) for level in (last, first))
    return mean(seen, value) - mean(unseen, value)


def sample(net: Net, rows: int, seed: int) -> list[dict[str, str]]:
    """Rows drawn from the network; its variables are listed causes first."""
    draw, table = random.Random(seed), []
    for _ in range(rows):
        row: dict[str, str] = {}
        for name in net:
            row[name] = draw.choices(net[name]["values"], row_of(net, name, row))[0]
        table.append(row)
    return table


def as_bif(net: Net) -> str:
    """The network as text in the BIF format."""
    parts = ["network made_up {\n}\n"]
    for name, each in net.items():
        parts.append(
            f"variable {name} {{\n type discrete [ {len(each['values'])} ] {{ {', '.join(each['values'])} }};\n}}\n"
        )
    for name, each in net.items():
        rows = [", ".join(map(str, row)) for row in each["table"]]
        if each["parents"]:
            combined = product(*(net[parent]["values"] for parent in each["parents"]))
            lines = [f" ({', '.join(values)}) {row};\n" for values, row in zip(combined, rows, strict=True)]
            parts.append(f"probability ( {name} | {', '.join(each['parents'])} ) {{\n{''.join(lines)}}}\n")
        else:
            parts.append(f"probability ( {name} ) {{\n table {rows[0]};\n}}\n")
    return "".join(parts)


def truth() -> dict:
    """Exact answers to ``QUERIES`` and the effects of the drug."""
    answers = {
        name: [{**query, "exact": distribution(net, **query)} for query in QUERIES[name]] for name, net in NETS.items()
    }
    effects = {}
    for outcome, value in (("recovered", "yes"), ("days", None)):
        effects[outcome] = {
            "seen": difference(DRUG, "drug", outcome, value),
            "ate": ate(DRUG, "drug", outcome, value),
            "att": att(DRUG, "drug", outcome, value),
            "cate": {
                each: ate(DRUG, "drug", outcome, value, {"severity": each}) for each in DRUG["severity"]["values"]
            },
        }
    return {"answers": answers, "drug": effects}


if __name__ == "__main__":
    print(json.dumps(truth(), indent=2))
