"""How well outcomes are predicted, where they are known."""

from collections import Counter
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score


class Predictions:
    """Collects labels and the probabilities that were given to them."""

    def __init__(self) -> None:
        self._observed: list[str] = []
        self._probabilities: list[dict[str, float]] = []

    def add(self, observed: str, probabilities: dict[str, float]) -> None:
        """Add a sequence: what it had, and the probability of every label."""
        self._observed.append(observed)
        self._probabilities.append(probabilities)

    def summary(self) -> dict[str, Any] | None:
        """Log loss beside that of the base rates, in nats, and AUROC and AUPRC of every label against all others.

        Returns:
            None where no label is known. Measures that need two kinds of sequences are None where there is one.

        Example:
            >>> found = Predictions()
            >>> found.add("a", {"a": 0.9, "b": 0.1})
            >>> found.add("b", {"a": 0.2, "b": 0.8})
            >>> round(found.summary()["log_loss"], 4), found.summary()["labels"]["a"]["auroc"]  # -(ln .9 + ln .8) / 2
            (0.1643, 1.0)
        """
        if not self._observed:
            return None
        names = list(self._probabilities[0])
        table = np.array([[each[name] for name in names] for each in self._probabilities])
        observed = np.array([names.index(name) for name in self._observed])
        counts = Counter(self._observed)
        shares = np.array([counts[name] for name in names]) / len(observed)
        with np.errstate(divide="ignore"):
            entropy = -float(sum(share * np.log(share) for share in shares if share > 0))
        return {
            "sequences": len(observed),
            "log_loss": float(-np.log(np.clip(table[np.arange(len(observed)), observed], 1e-300, 1)).mean()),
            "base_rate_log_loss": entropy,
            "accuracy": float((table.argmax(1) == observed).mean()),
            "labels": {
                name: binary_measures(observed == number, table[:, number])
                for number, name in enumerate(names)
            },
        }


def binary_measures(is_label: Any, probability: Any) -> dict[str, float | None]:
    """Base rate, AUROC, AUPRC and log loss of one label against all others.

    Example:
        >>> measures = binary_measures(np.array([True, False]), np.array([0.75, 0.5]))
        >>> measures["auroc"], round(measures["log_loss"], 4)  # -(ln .75 + ln .5) / 2
        (1.0, 0.4904)
    """
    labels, probabilities = np.asarray(is_label), np.asarray(probability, dtype=np.float64)
    both = bool(labels.any()) and not bool(labels.all())
    return {
        "base_rate": float(labels.mean()),
        "auroc": float(roc_auc_score(labels, probabilities)) if both else None,
        "auprc": float(average_precision_score(labels, probabilities)) if both else None,
        "log_loss": float(log_loss(labels, np.clip(probabilities, 1e-12, 1 - 1e-12), labels=[False, True])),
    }
