"""A small classifier of pairs of event types: how probable it is that an edge is real, from what speaks for it.

``AutoModel.from_pretrained`` loads it once ``hf_trace`` is imported. It has seen simulated logs alone, see the recipe
``combined``; what its features mean is said in ``discovery.by_type.pair_evidence``.
"""

# Loaded while Transformers itself is being loaded: nothing here may import the rest of the run folders.
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput

SHIPPED = Path(__file__).parent / "edge_model_files"
# Features that lie further from what was seen are taken for this many standard deviations.
_FURTHEST = 5.0
_PAIRS_AT_ONCE = 2**16


class EdgeConfig(PreTrainedConfig):
    """Configuration of an ``EdgeModel``.

    Args:
        features: Number of features of a pair.
        hidden: Width of the two layers between.
        members: Networks whose probabilities are averaged.
        questions: What is told of each pair: whether its cause ``drives`` its effect, whether the effect ``follows``.
        dropout: Share of hidden units left out in training.
        kwargs: As for a ``PreTrainedConfig``.
    """

    model_type = "hf_trace_edges"

    def __init__(
        self,
        features: int = 1,
        hidden: int = 128,
        members: int = 3,
        questions: Sequence[str] = ("drives", "follows"),
        dropout: float = 0.4,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.features, self.hidden, self.members, self.dropout = features, hidden, members, dropout
        self.questions = list(questions)


@dataclass
class EdgeOutput(ModelOutput):
    """What an ``EdgeModel`` says.

    Attributes:
        logits: Log odds that each pair is an edge, by each member, for each question.
    """

    logits: Float[Tensor, "member pair question"] | None = None


class EdgeModel(PreTrainedModel):
    """An average of small networks, each with two hidden layers, over standardised features."""

    config_class = EdgeConfig
    base_model_prefix = "edges"

    def __init__(self, config: EdgeConfig) -> None:
        super().__init__(config)
        self.mean = nn.Parameter(torch.zeros(config.features), requires_grad=False)
        self.scale = nn.Parameter(torch.ones(config.features), requires_grad=False)
        self.members = nn.ModuleList(
            nn.Sequential(
                nn.Linear(config.features, config.hidden), nn.GELU(), nn.Dropout(config.dropout),
                nn.Linear(config.hidden, config.hidden), nn.GELU(), nn.Dropout(config.dropout),
                nn.Linear(config.hidden, len(config.questions)),
            )
            for _ in range(config.members)
        )  # fmt: skip
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Nothing: the layers are initialised as they are made."""

    def standardise(self, features: Float[Tensor, "pair feature"]) -> None:
        """Take the mean and the standard deviation of each feature from those of some pairs."""
        self.mean.copy_(features.mean(0))
        self.scale.copy_(features.std(0) + 1e-6)

    def forward(self, features: Float[Tensor, "pair feature"]) -> EdgeOutput:
        """Log odds of pairs."""
        near = ((features - self.mean) / self.scale).clamp(-_FURTHEST, _FURTHEST)
        return EdgeOutput(logits=torch.stack([member(near) for member in self.members]))

    @torch.no_grad()
    def probabilities(
        self, features: Float[np.ndarray, "pair feature"], question: str = "drives"
    ) -> Float[np.ndarray, " pair"]:
        """Probability that each pair is an edge where one question is asked: the mean over all members."""
        asked = self.config.questions.index(question)
        # In parts: a thousand types make a million pairs.
        parts = torch.from_numpy(features).float().split(_PAIRS_AT_ONCE)
        found = [self(part).logits[..., asked].sigmoid().mean(0) for part in parts]
        return torch.cat(found).double().numpy()


@cache
def shipped_edge_model() -> EdgeModel:
    """The model that comes with the package, on the CPU."""
    return EdgeModel.from_pretrained(SHIPPED).eval()


AutoConfig.register(EdgeConfig.model_type, EdgeConfig, exist_ok=True)
AutoModel.register(EdgeConfig, EdgeModel, exist_ok=True)
