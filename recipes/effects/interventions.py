"""Hand-written worlds with known answers: peers that err, a p(y | a) of the wrong sign, sequences of doses."""

import argparse
from itertools import pairwise, product

import nets
import numpy as np
import pandas as pd
from ours import trained

from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import Variable

LONGEST = 4


def schema_of(net: nets.Net) -> DagSchema:
    """The graph and values of a network."""
    return DagSchema(
        tuple(
            Variable(name, values=tuple(each["values"]), parents=tuple(each["parents"])) for name, each in net.items()
        )
    )


def mistakes(options: argparse.Namespace) -> list[dict]:
    """The questions one peer answers wrongly, from rows: exact, ours with its error."""
    lines = []
    for name in ("sprinkler", "lamp", "drug"):
        net, queries = nets.NETS[name], nets.QUERIES[name]
        frame = pd.DataFrame(nets.sample(net, options.rows, 0))
        model = trained(frame, schema_of(net), options, name)
        for query in queries:
            exact = nets.distribution(net, query["target"], query.get("do", {}), query.get("given", {}))
            value = max(exact, key=exact.__getitem__)
            line = {"network": name, **query, "value": value, "exact": exact[value]}
            try:
                answer = model.effect(query)
                line |= {"ours": answer["distribution"][value], "standard_error": answer["standard_error"][value]}
            except ValueError as error:
                line |= {"ours": None, "refused": str(error)}
            lines.append(line)
    return lines


def confounded(options: argparse.Namespace) -> list[dict]:
    """Average effects where the treated are the severely ill: naive, plug-in, doubly robust, exact."""
    net = nets.DRUG
    lines = []
    for seed in range(options.seeds):
        frame = pd.DataFrame(nets.sample(net, options.rows, seed))
        model = trained(frame, schema_of(net), options, f"drug-{seed}", folds=options.folds, seed=seed)
        for target, value in (("recovered", "yes"), ("days", None)):
            cases: list[tuple[str, dict, float]] = [
                ("ate", {}, nets.ate(net, "drug", target, value)),
                ("att", {}, nets.att(net, "drug", target, value)),
                *(
                    ("cate", {"severity": severity}, nets.ate(net, "drug", target, value, {"severity": severity}))
                    for severity in net["severity"]["values"]
                ),
            ]
            for kind, given, exact in cases:
                record = {"target": target, "do": {"drug": "yes"}, "given": given, "contrast": kind}
                plug_in = model.effect(record, target_value=value)
                robust = model.effect(record, target_value=value, estimator="aipw", data=frame)
                lines.append(
                    {
                        "seed": seed,
                        "of": plug_in["of"],
                        "contrast": kind,
                        "given": given,
                        "exact": exact,
                        "seen": nets.difference(net, "drug", target, value),
                        "plug_in": plug_in["value"],
                        "plug_in_low": plug_in["interval"]["low"],
                        "plug_in_high": plug_in["interval"]["high"],
                        "aipw": robust["value"],
                        "aipw_low": robust["low"],
                        "aipw_high": robust["high"],
                    }
                )
    return lines


# -- a world of doses: a sequence of any length that stands between severity and recovery --------------------------

SEVERE = 0.4
P_STOP = {"mild": 0.45, "severe": 0.2}
P_HIGH = {"mild": 0.3, "severe": 0.75}


def recovery(severity: str, doses: tuple[str, ...]) -> float:
    """Chance of recovery; the second high dose in a row does harm."""
    logit = (1.0 if severity == "mild" else -1.5) + 0.8 * doses.count("high") + 0.3 * doses.count("low")
    logit -= 1.4 * sum(pair == ("high", "high") for pair in pairwise(doses))
    return float(1 / (1 + np.exp(-logit)))


def dose_rows(rows: int, seed: int) -> pd.DataFrame:
    """What a physician did and what came of it."""
    generator = np.random.default_rng(seed)
    table = []
    for _ in range(rows):
        severity = "severe" if generator.random() < SEVERE else "mild"
        doses: tuple[str, ...] = ()
        while len(doses) < LONGEST and generator.random() >= P_STOP[severity]:
            doses += ("high" if generator.random() < P_HIGH[severity] else "low",)
        recovered = "yes" if generator.random() < recovery(severity, doses) else "no"
        table.append({"severity": severity, "doses": list(doses), "recovered": recovered})
    return pd.DataFrame(table)


DOSE_SCHEMA = DagSchema(
    (
        Variable("severity", values=("mild", "severe")),
        Variable("doses", "sequence", values=("low", "high"), parents=("severity",), max_length=LONGEST),
        Variable("recovered", values=("no", "yes"), parents=("severity", "doses")),
    )
)


def dose_truth(prefix: tuple[str, ...], length: int | None, *, whole: bool) -> float:
    """p(recovered | do) by enumeration of everything the physician might go on to do."""
    total = 0.0
    for severity, share in (("mild", 1 - SEVERE), ("severe", SEVERE)):
        if whole:
            total += share * recovery(severity, prefix)
            continue
        for size in range(len(prefix), LONGEST + 1) if length is None else [length]:
            for rest in product(("low", "high"), repeat=size - len(prefix)):
                doses = prefix + rest
                chance = np.prod([P_HIGH[severity] if dose == "high" else 1 - P_HIGH[severity] for dose in rest])
                if length is None:
                    chance *= (1 - P_STOP[severity]) ** len(rest) * (P_STOP[severity] if size < LONGEST else 1.0)
                total += share * chance * recovery(severity, doses)
    return float(total)


def doses(options: argparse.Namespace) -> list[dict]:
    """Whole, partial and length-forced sequences of doses against enumeration; and against those who had them."""
    frame = dose_rows(options.rows, 0)
    lines = []
    for history in ("parents", "full"):
        model = trained(frame, DOSE_SCHEMA, options, f"doses-{history}", history=history)
        for label, prefix, length, whole in (
            ("low", ("low",), None, True),
            ("high, high", ("high", "high"), None, True),
            ("nothing", (), None, True),
            ("high, …", ("high",), None, False),
            ("low, low, …", ("low", "low"), None, False),
            ("two of any kind", (), 2, False),
            ("high, then three more", ("high",), 4, False),
        ):
            done = list(prefix) if whole else {"prefix": list(prefix), "length": length}
            answer = model.effect({"target": "recovered", "do": {"doses": done}}, num_samples=2000)
            alike = [
                tuple(row) == prefix if whole else tuple(row[: len(prefix)]) == prefix and length in (None, len(row))
                for row in frame["doses"]
            ]
            lines.append(
                {
                    "history": history,
                    "do": label,
                    "exact": dose_truth(prefix, length, whole=whole),
                    "ours": answer["distribution"]["yes"],
                    "standard_error": answer["standard_error"]["yes"],
                    "seen": float((frame.loc[alike, "recovered"] == "yes").mean()),
                    "fit_seconds": model.seconds,
                }
            )
    return lines


def policies(options: argparse.Namespace) -> list[dict]:
    """What if the drug were given by rule, or by the throw of a coin; and what is known after it."""
    net = nets.DRUG
    frame = pd.DataFrame(nets.sample(net, options.rows, 0))
    model = trained(frame, schema_of(net), options, "drug-policy")
    rules = {
        "to everybody with one half": {"yes": 0.5, "no": 0.5},
        "to the severe alone": [{"when": {"severity": "severe"}, "then": {"yes": 1.0}}, {"then": {"no": 1.0}}],
        "to the mild alone": [{"when": {"severity": "mild"}, "then": {"yes": 1.0}}, {"then": {"no": 1.0}}],
    }
    shares = {
        "to everybody with one half": (0.5, 0.5, 0.5),
        "to the severe alone": (0, 0, 1),
        "to the mild alone": (1, 0, 0),
    }
    lines = []
    for label, rule in rules.items():
        answer = model.effect({"target": "recovered", "do": {"drug": rule}})
        exact = sum(
            nets.distribution(net, "severity", {}, {})[severity]
            * (
                share * nets.distribution(net, "recovered", {"drug": "yes"}, {"severity": severity})["yes"]
                + (1 - share) * nets.distribution(net, "recovered", {"drug": "no"}, {"severity": severity})["yes"]
            )
            for severity, share in zip(net["severity"]["values"], shares[label], strict=True)
        )
        lines.append({"policy": label, "exact": exact, "ours": answer["distribution"]["yes"]})
    return lines
