"""One more attention head for a frozen language model, trained on each data set anew.

The head weighs the tokens of an abstract by what it looks for and sums their values, as the model's own heads do. What
it looks for is the same for the treatment and the outcome, so a confounder found in one serves the other.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from abstracts import Codes, Floats, Outcomes
from estimators import Predictions
from top_layer import Written, batches
from torch import Tensor, nn

_SAMPLE = 50_000  # tokens from which the scale of the channels is read


class Head(nn.Module):
    """One head for every fold, side by side.

    Args:
        channels: Of the values that are read.
        shares: How often the rows of a fold's training are treated, and accepted, ``[fold, answer]``.
    """

    def __init__(self, channels: int, shares: Tensor) -> None:
        super().__init__()
        folds, answers = shares.shape
        self.query = nn.Parameter(torch.randn(channels, folds) * 0.02)
        self.output = nn.Parameter(torch.randn(folds, channels, answers) * 0.02)
        self.intercept = nn.Parameter(torch.logit(shares.clamp(0.01, 0.99)))
        self.effect = nn.Parameter(torch.zeros(folds))

    def forward(self, values: Tensor, there: Tensor) -> Tensor:
        """Log-odds of treatment, and of acceptance without it.

        Args:
            values: Of the tokens, ``[row, token, channel]``.
            there: Which tokens are none of the padding, ``[row, token]``.

        Returns:
            ``[row, fold, answer]``.
        """
        sought = (values @ self.query).masked_fill(~there[..., None], -torch.inf)
        read = torch.einsum("rtf,rtc->rfc", sought.softmax(dim=1), values)
        return torch.einsum("rfc,fca->rfa", read, self.output) + self.intercept


@dataclass
class Attentive:
    """A frozen model, read by a head of its own.

    Attributes:
        name: In the tables.
        written: The abstracts, as the last layer meets them.
        epochs: Passes over the other folds.
        learning_rate: Peak, of query and output.
        weight_decay: Of the same.
        folds: For cross-fitting.
    """

    name: str
    written: Written
    epochs: int = 4
    learning_rate: float = 2e-3
    weight_decay: float = 3.0
    folds: int = 5

    @cached_property
    def values(self) -> Tensor:
        """Values of all tokens on a common scale, ``[token, channel]``, half precision."""
        values = self.written.values.flatten(1)
        rng = np.random.default_rng(0)
        some = values[torch.from_numpy(rng.permutation(len(values))[:_SAMPLE])].float()
        return ((values - some.mean(0).half()) / some.std(0).half()).half()

    def predict(self, outcomes: Outcomes, fold: Codes, seed: int) -> Predictions:
        """Cross-fitted, see ``estimators.Predictor``."""
        torch.manual_seed(seed)
        answers = torch.from_numpy(np.stack([outcomes.treated, outcomes.accepted], axis=1)).float()
        learned = torch.from_numpy(fold[:, None] != np.arange(self.folds))
        shares = learned.float().T @ answers / learned.sum(0)[:, None]
        head = Head(self.values.shape[1], shares)
        self._fit(head, answers, learned.float(), seed)
        return self._said(head, fold)

    def _fit(self, head: Head, answers: Tensor, learned: Tensor, seed: int) -> None:
        """Maximum likelihood of treatment and outcome, every head on the rows of the other folds."""
        scalars = [head.intercept, head.effect]
        groups = [
            {"params": [head.query, head.output], "weight_decay": self.weight_decay},
            {"params": scalars, "weight_decay": 0.0},
        ]
        peaks = [self.learning_rate, 20 * self.learning_rate]
        optimiser = torch.optim.AdamW(groups, lr=self.learning_rate, betas=(0.9, 0.99))
        rngs = [np.random.default_rng([seed, epoch]) for epoch in range(self.epochs)]
        parts = [part for rng in rngs for part in self._batches(rng)]
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, peaks, len(parts) + 1)
        loss_of = nn.functional.binary_cross_entropy_with_logits
        for part in parts:
            odds, mine = head(*self._tokens(part)), learned[part]
            wanted = answers[part]
            accepted = odds[..., 1] + head.effect * wanted[:, :1]
            losses = [
                loss_of(said, truth[:, None].expand_as(said), weight=mine, reduction="sum")
                for said, truth in ((odds[..., 0], wanted[:, 0]), (accepted, wanted[:, 1]))
            ]
            optimiser.zero_grad()
            (torch.stack(losses).sum() / len(part)).backward()
            optimiser.step()
            schedule.step()

    @torch.inference_mode()
    def _said(self, head: Head, fold: Codes) -> Predictions:
        """What the head that has not seen an abstract says of it."""
        found: Floats = np.empty((3, len(fold)))
        for part in self._batches(np.random.default_rng(0)):
            odds = head(*self._tokens(part))[torch.arange(len(part)), fold[part]]
            without, effect = odds[:, 1], head.effect[fold[part]]
            found[:, part] = torch.stack([odds[:, 0], without, without + effect]).sigmoid().double().numpy()
        return Predictions(*found)

    def _batches(self, rng: np.random.Generator) -> list[Codes]:
        return batches(self.written.lengths, np.arange(len(self.written.lengths)), rng)

    def _tokens(self, rows: Codes) -> tuple[Tensor, Tensor]:
        place, there = self.written.places(rows)
        return self.values[place].float(), there
