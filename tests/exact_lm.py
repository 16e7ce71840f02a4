"""Causal language models with closed-form conditionals: what an oracle says can be checked by hand.

A ``RuleLM`` is a Markov chain of finite order over a few tokens. Every token has a base probability; a rule
"cause, lag, effect, change" adds to the effect's probability where the cause stands ``lag`` tokens back. A filler
token takes what is left, so that no rule touches any event but its own effect.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput


@dataclass(frozen=True)
class Rule:
    cause: int
    effect: int
    lag: int
    change: float


class RuleConfig(PretrainedConfig):
    model_type = "rule_lm"

    def __init__(self, vocab_size=8, filler=7, base=(), rules=(), **kwargs):
        super().__init__(**kwargs)
        self.vocab_size, self.filler, self.base, self.rules = (vocab_size, filler, list(base), [list(r) for r in rules])


class RuleLM(PreTrainedModel):
    config_class = RuleConfig
    _supports_sdpa = True

    def __init__(self, config):
        super().__init__(config)
        self.anchor = torch.nn.Parameter(torch.zeros(1))
        self.post_init()

    def forward(self, input_ids, **kwargs):
        return CausalLMOutput(logits=self.log_probs(input_ids))

    def log_probs(self, input_ids: Tensor) -> Tensor:
        """Log-probability of every token after each position, ``[row, pos, vocab]``."""
        config = self.config
        base = torch.tensor(config.base, dtype=torch.float64)
        probabilities = base.expand(*input_ids.shape, -1).clone()
        for cause, effect, lag, change in config.rules:
            lag = int(lag)
            happened = torch.zeros(input_ids.shape, dtype=torch.bool)
            happened[:, lag - 1 :] = input_ids[:, : input_ids.shape[1] - lag + 1] == int(cause)
            probabilities[..., int(effect)] += happened * change
        probabilities[..., config.filler] = 0
        probabilities[..., config.filler] = 1 - probabilities.sum(-1)
        return probabilities.log().float()


def rule_lm(event_tokens: list[int], filler: int, rules: list[Rule], *, rate: float = 0.05) -> RuleLM:
    """A model whose events have base probability ``rate`` and whose special tokens are all but impossible."""
    vocab_size = filler + 1
    base = torch.full((vocab_size,), 1e-9, dtype=torch.float64)
    base[event_tokens] = rate
    base[filler] = 0
    config = RuleConfig(
        vocab_size=vocab_size,
        filler=filler,
        base=base.tolist(),
        rules=[[rule.cause, rule.effect, rule.lag, rule.change] for rule in rules],
    )
    return RuleLM(config).eval()
