"""A simulated world as a causal language model: the oracle that makes no mistake.

``AutoModelForCausalLM.from_pretrained`` loads it once ``hf_trace`` is imported. It separates the error of an
estimator from that of a fitted model and needs no training.
"""

# Loaded while Transformers itself is being loaded: nothing here may import the rest of the run folders.
from os import PathLike
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from hf_trace.errors import SettingsError
from hf_trace.tokenizers.event_tokenizer import EventTokenizer
from hf_trace.worlds.simulator import type_names
from hf_trace.worlds.world import World, WorldSpec, pasts

# e^-100 is nothing beside the smallest float32 probability; an infinity would be refused as a broken model.
_NEVER = -100.0


class WorldConfig(PretrainedConfig):
    """Configuration of a ``WorldModel``.

    Args:
        world: The fields of ``WorldSpec``.
        first_type_id: Token of type 0; the tokens before it are special, and no event.
        sizes: Shape of every weight.
    """

    model_type = "hf_trace_world"

    def __init__(
        self,
        world: dict[str, Any] | None = None,
        first_type_id: int = 4,
        sizes: dict[str, list[int]] | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("pad_token_id", 0)
        super().__init__(**kwargs)
        self.world = world or WorldSpec(types=2).to_dict()
        self.first_type_id = first_type_id
        self.sizes = sizes or {}
        self.vocab_size = int(self.world["types"]) + first_type_id
        self.markov_order = int(self.world["memory"])


class WorldModel(PreTrainedModel, GenerationMixin):
    """The conditionals of a world, as logits over its types; special tokens count as no event."""

    config_class = WorldConfig
    base_model_prefix = "world"

    def __init__(self, config: WorldConfig, world: World | None = None) -> None:
        super().__init__(config)
        state = {} if world is None else world.state
        for name, size in config.sizes.items():
            dtype = {"rows": torch.int64, "columns": torch.int32}.get(name, torch.float32)
            self.register_buffer(name, state[name] if name in state else torch.zeros(size, dtype=dtype))
        self.anchor = torch.nn.Parameter(torch.zeros(1), requires_grad=False)
        self.post_init()
        # There are no keys and values to keep.
        self.generation_config.use_cache = False

    @classmethod
    def of(cls, world: World) -> "WorldModel":
        """The exact oracle of a world.

        Raises:
            SettingsError: If what the world records has no closed form.
        """
        if not world.spec.is_exact:
            raise SettingsError(
                "A world with hidden types, ties or drift has no exact oracle: what is recorded is not what happens. "
                "Train a model on its log."
            )
        tokenizer = world_tokenizer(world.spec)
        sizes = {name: list(value.shape) for name, value in world.state.items()}
        first = int(tokenizer.event_ids[0])
        config = WorldConfig(world.spec.to_dict(), first, sizes, pad_token_id=tokenizer.tokenizer.pad_token_id)
        return cls(config, world).eval()

    def _init_weights(self, module: torch.nn.Module) -> None:
        """Weights come from the world or from its file."""

    @property
    def exact(self) -> World:
        """The world behind the model."""
        spec = WorldSpec.from_dict(self.config.world)
        world = World(spec, {name: getattr(self, name) for name in self.config.sizes})
        world.fading = world.fading.to(self.device)
        return world

    def forward(self, input_ids: Tensor, logits_to_keep: int = 0, **kwargs: Any) -> CausalLMOutput:
        """Logits after every token, or after the last ``logits_to_keep`` tokens."""
        world, first = self.exact, self.config.first_type_id
        codes = (input_ids - first).where(input_ids >= first, world.nothing)
        after = torch.nn.functional.pad(codes, (0, 1), value=world.nothing)
        past = pasts(after, world.spec.memory, world.nothing)[:, 1:][:, -logits_to_keep:]
        scored = world.log_probs(past.flatten(0, 1)).view(*past.shape[:2], -1)
        return CausalLMOutput(logits=torch.nn.functional.pad(scored, (first, 0), value=_NEVER))


def world_tokenizer(spec: WorldSpec) -> EventTokenizer:
    """The vocabulary of all types of a world."""
    return EventTokenizer.from_event_types(type_names(spec.types))


def save_oracle(world: World, folder: str | PathLike[str]) -> None:
    """Write the exact oracle of a world with its tokenizer, to be loaded like any trained run."""
    WorldModel.of(world).save_pretrained(folder)
    world_tokenizer(world.spec).save_pretrained(folder)


AutoConfig.register(WorldConfig.model_type, WorldConfig, exist_ok=True)
AutoModelForCausalLM.register(WorldConfig, WorldModel, exist_ok=True)
