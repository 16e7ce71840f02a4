"""Training on a table and asking, as a user would, with the clock running."""

import argparse
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from transformers import pipeline

from hf_trace.tables.encoding import encode_table
from hf_trace.tables.schema import DagSchema
from hf_trace.training.table_training import DagTrainingSettings, train_dag


@dataclass(frozen=True)
class Model:
    """A trained run, ready to be asked."""

    effect: Any
    seconds: float
    metrics: dict[str, Any]


def trained(frame: pd.DataFrame, schema: DagSchema, options: argparse.Namespace, run: str, **settings: Any) -> Model:
    """Train on a table; processor seconds."""
    out, started = options.out / "runs" / run, time.process_time()
    small = {"epochs": 1.0, "refit": False} if options.smoke else {}
    settings = {**small, **settings}
    found = train_dag(encode_table(schema, frame), out, DagTrainingSettings(**settings))
    seconds = time.process_time() - started
    return Model(pipeline("causal-effect", model=str(out)), seconds, found.metrics)


def distributions(model: Model, queries: list[dict], **parameters: Any) -> tuple[np.ndarray, float, list[dict]]:
    """Answers of all queries in one call, ``[query, value]``, processor seconds, and the answers whole."""
    started = time.process_time()
    answers = model.effect(queries, **parameters)
    seconds = time.process_time() - started
    width = max(len(answer["distribution"]) for answer in answers)
    table = np.zeros((len(answers), width))
    for row, answer in zip(table, answers, strict=True):
        row[: len(answer["distribution"])] = list(answer["distribution"].values())
    return table, seconds, answers


def total_variation(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Half the summed distance of two distributions, ``[query]``."""
    return np.abs(found - truth).sum(axis=1) / 2
