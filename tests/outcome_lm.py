"""A causal language model that ends sequences by an ``OutcomeRule``: events are alike, outcomes follow the rule.

Tokens are 4 and above: the event types, then ``no`` and ``yes``.
"""

import numpy as np
import torch
from outcome_rules import OutcomeRule
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

FIRST = 4


class OutcomeConfig(PretrainedConfig):
    model_type = "outcome_lm"

    def __init__(self, types=3, intercept=0.0, events=(), pairs=(), **kwargs):
        super().__init__(**kwargs)
        self.types, self.intercept = types, intercept
        self.events, self.pairs = [list(each) for each in events], [list(each) for each in pairs]
        self.vocab_size = FIRST + types + 2


class OutcomeLM(PreTrainedModel):
    config_class = OutcomeConfig
    _supports_sdpa = True

    def __init__(self, config):
        super().__init__(config)
        self.anchor = torch.nn.Parameter(torch.zeros(1))
        self.rule = OutcomeRule(
            config.intercept,
            {int(event): weight for event, weight in config.events},
            {(int(one), int(other)): weight for one, other, weight in config.pairs},
        )
        self.post_init()

    def forward(self, input_ids, **kwargs):
        types = self.config.types
        events = input_ids.numpy() - FIRST
        events = np.where((events >= 0) & (events < types), events, -1)
        logits = torch.zeros((*input_ids.shape, self.config.vocab_size))
        for stop in range(1, input_ids.shape[1] + 1):
            odds = self.rule.log_odds(events[:, :stop])
            logits[:, stop - 1, FIRST + types + 1] = torch.from_numpy(odds).float()
        return CausalLMOutput(logits=logits)


def outcome_lm(types, rule):
    """The model of a rule."""
    config = OutcomeConfig(
        types=types,
        intercept=rule.intercept,
        events=list(rule.events.items()),
        pairs=[(*pair, weight) for pair, weight in rule.pairs.items()],
    )
    return OutcomeLM(config).eval()
