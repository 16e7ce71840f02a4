"""Abstracts, and outcomes drawn for them whose effect on the treated is known.

Recipe of Veitch, Sridhar and Blei (2020): whether an abstract is "buzzy" decides how often it is treated and how often
it is accepted. The words are real, treatment and outcome are drawn anew for every seed.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
BUZZY = re.compile(r"deep|neural|embed|adversarial net|\bgan\b", re.IGNORECASE)
PROPENSITY = np.array([0.27, 0.07])  # of abstracts that are not buzzy, and that are
EFFECT = 0.25  # of the treatment, on the scale of log-odds
LEVELS = {"low": 1.0, "medium": 5.0, "high": 25.0}  # how much the confounder moves the outcome


@dataclass(frozen=True)
class Abstracts:
    """Texts and the confounder that is written in them.

    Attributes:
        texts: One per paper.
        buzzy: Whether it has a buzzy word.
    """

    texts: tuple[str, ...]
    buzzy: Codes

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class Outcomes:
    """A treatment and an outcome for every abstract.

    Attributes:
        treated: 0 or 1.
        accepted: 0 or 1.
        att: The effect on the treated, as probabilities that decided the draws.
    """

    treated: Codes
    accepted: Codes
    att: float


def of_texts(texts: list[str]) -> Abstracts:
    """Which texts are buzzy is read off their words."""
    return Abstracts(tuple(texts), np.array([BUZZY.search(text) is not None for text in texts], dtype=np.int64))


def read_abstracts(path: str) -> Abstracts:
    """From a JSON-lines file with ``abstract``, or a data set of the Hub with such a column."""
    if Path(path).exists():
        with open(path, encoding="utf-8") as lines:
            return of_texts([json.loads(line)["abstract"] for line in lines])
    from datasets import load_dataset

    return of_texts(list(load_dataset(path, split="train")["abstract"]))


def tiny_abstracts(count: int, seed: int = 0) -> Abstracts:
    """Made-up sentences, one in five of them buzzy."""
    rng = np.random.default_rng(seed)
    plain = ("logic", "search", "planning", "rules", "games", "agents")
    words = ("a study of", "we prove", "results on", "a note about", "methods for")
    texts = []
    for _ in range(count):
        about = rng.choice(plain, 3).tolist()
        if rng.random() < 0.2:
            about[int(rng.integers(3))] = str(rng.choice(["deep nets", "neural models", "embeddings"]))
        texts.append(" ".join(f"{rng.choice(words)} {each}" for each in about))
    return of_texts(texts)


def draw_outcomes(abstracts: Abstracts, level: float, seed: int) -> Outcomes:
    """Treatment and outcome of a seed; the same seed treats the same abstracts at every level."""
    rng = np.random.default_rng(seed)
    count = len(abstracts)
    treated = rng.random(count) < PROPENSITY[abstracts.buzzy]
    untreated_odds = level * 3 * (PROPENSITY[abstracts.buzzy] - 0.25)
    chance = np.stack([_sigmoid(untreated_odds), _sigmoid(untreated_odds + EFFECT)])
    accepted = rng.random(count) < np.where(treated, chance[1], chance[0])
    att = float((chance[1] - chance[0])[treated].mean())
    return Outcomes(treated.astype(np.int64), accepted.astype(np.int64), att)


def _sigmoid(odds: Floats) -> Floats:
    return 1 / (1 + np.exp(-odds))


def table(abstracts: Abstracts, outcomes: Outcomes) -> pd.DataFrame:
    """Rows as a training table."""
    words = np.array(["no", "yes"])
    return pd.DataFrame(
        {"abstract": abstracts.texts, "treated": words[outcomes.treated], "accepted": words[outcomes.accepted]}
    )
