"""Formulas from rows: a trained model, the model and the rows, and maximum likelihood, against the truth."""

import argparse
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from random_tables import joint_of, random_network, schema_of

from hf_trace.effects.answers import AnswerSettings, joint_for
from hf_trace.effects.formula_answers import ModelJoint, formula_answer, towards_rows
from hf_trace.effects.identification import identify
from hf_trace.effects.queries import Force, Query
from hf_trace.effects.table_model import TableModel
from hf_trace.tables.encoding import DagTable
from hf_trace.tables.network import Network
from hf_trace.training.table_training import DagTrainingSettings, train_dag

# Arrows, values where there are not two, target, treatments, evidence.
FROM_ROWS: dict[str, tuple[str, dict[str, int], str, str, str]] = {
    "front-door": ("U X; U Y; X M; M Y", {"M": 3}, "Y", "X", ""),
    "napkin": ("W Z; Z X; X Y; U1 W; U1 X; U2 W; U2 Y", {"Y": 3}, "Y", "X", ""),
    "front-door with evidence": ("A X; A Y; A M; U X; U Y; X M; M Y", {"X": 3}, "Y", "X", "A"),
    "evidence through a ratio": ("U X; U M; X Y; Y M", {}, "Y", "X", "M"),
    "two treatments, one idle": ("B A; A Y; U B; U Y", {}, "Y", "A B", ""),
}


def rows_of(network: Network, count: int, rng: np.random.Generator) -> DagTable:
    """Rows of what is observed."""
    joint, schema = joint_of(network), network.schema
    codes = np.unravel_index(rng.choice(joint.size, count, p=joint.ravel()), joint.shape)
    columns = dict(zip(schema.topological_order, codes, strict=True))
    return DagTable(schema, columns, np.ones(count))


def from_rows(name: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Mean total variation of all answers to a question, of some models."""
    text, sizes, target, do, given = FROM_ROWS[name]
    schema = schema_of(text, sizes)
    order = schema.topological_order
    formula = identify(schema, target=target, do=do.split(), given=given.split()).estimand
    lines = []
    for seed in range(options.trainings):
        rng = np.random.default_rng([2, seed])
        network = random_network(schema, rng)
        table = rows_of(network, options.rows, rng)
        out = options.out / "runs" / f"{name.replace(' ', '-')}-{seed}"
        if not (out / "metrics.json").exists():
            epochs = 1.0 if options.smoke else None
            train_dag(table, out, DagTrainingSettings(history="full", order="random", seed=seed, epochs=epochs))
        model = joint_for(TableModel.load(out).conditionals, order, order, AnswerSettings())
        counts = pd.DataFrame(dict(table.columns)).value_counts(normalize=True)
        shares = np.zeros(model.probabilities.shape)
        shares[tuple(np.array(counts.index.to_list()).T)] = counts.to_numpy()
        compared = (ModelJoint(order, shares), model, towards_rows(model, table))
        variations = [total_variation(network, formula, joint, target, do.split(), given.split()) for joint in compared]
        lines.append({"graph": name, "seed": seed, "tv": variations})
    return lines


def total_variation(
    network: Network, formula: Any, joint: ModelJoint, target: str, do: list[str], given: list[str]
) -> float:
    """Of p(target | do, given), the mean over all values of what is done and given."""
    schema, off = network.schema, []
    for codes in product(*(range(len(schema[name].values)) for name in (*do, *given))):
        code = dict(zip((*do, *given), codes, strict=True))
        query = Query(target, {name: Force(code[name]) for name in do}, {name: code[name] for name in given})
        asked = ({name: schema[name].values[code[name]] for name in part} for part in (do, given))
        truth = network.distribution(target, **dict(zip(("do", "given"), asked, strict=True)))
        found = formula_answer(query, formula, joint).probabilities
        off.append(0.5 * np.abs(found - np.array(list(truth.values()))).sum())
    return float(np.mean(off))
