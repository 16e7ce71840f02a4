"""Models to train: presets from a config, any config or checkpoint by name, with or without LoRA."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeGuard, runtime_checkable

import torch
from torch import Tensor, nn
from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from hf_trace.checks import one_of
from hf_trace.errors import ModelLoadError, SettingsError, VocabularyMismatchError, first_line
from hf_trace.options import TRUST_REMOTE_CODE
from hf_trace.oracle.readers import context_length as readable_length
from hf_trace.runs.adapters import old_names
from hf_trace.runs.doors import open_config, open_model
from hf_trace.runs.folders import RunTokenizer
from hf_trace.runs.timed_model import TimedConfig
from hf_trace.runs.weight_files import SizeBound, check_size
from hf_trace.tokenizers.event_tokenizer import EventTokenizer


@runtime_checkable
class Vocabulary(RunTokenizer, Protocol):
    """What a model is built for: an ``EventTokenizer`` or a ``DagTokenizer``.

    Attributes:
        tokenizer: The Transformers tokenizer inside.
        kept_tokens: How many of the first ids a pretrained model knows already.
    """

    tokenizer: Any
    kept_tokens: int

    def __len__(self) -> int:
        """How many tokens there are."""
        ...


@dataclass(frozen=True)
class Preset:
    """Shape of a Llama model."""

    hidden_size: int
    layers: int
    heads: int


LOG_TOO_LONG = ("the log's windows have", "Pass a smaller `--window-length`.")
MOST_ADDED = 2_000  # tokens up to which the additive model is small beside the others
PRESETS = {
    "pico": Preset(64, 1, 4),
    "nano": Preset(64, 2, 4),
    "tiny": Preset(128, 2, 4),
    "small": Preset(256, 4, 4),
    "base": Preset(512, 8, 8),
}


def build_model(
    tokenizer: Vocabulary,
    *,
    context_length: int,
    preset: str = "tiny",
    model: str | None = None,
    lora: bool = False,
    too_long: tuple[str, str] = LOG_TOO_LONG,
    trust_remote_code: bool = TRUST_REMOTE_CODE.default,
) -> nn.Module:
    """A model that reads and predicts the tokenizer's vocabulary.

    Args:
        tokenizer: The vocabulary.
        context_length: Tokens the model must be able to read.
        preset: ``pico``, ``nano``, ``tiny``, ``small`` or ``base``: a Llama from scratch, which is told the time since
            each past event where the vocabulary writes time.
        model: Instead of a preset: a model type (``gpt2``), a folder or file with a ``config.json`` (from
            scratch), or a folder or Hub id with weights, whose body is kept and whose embeddings start anew but for
            the tokens that the vocabulary has from it.
        lora: Train low-rank adapters in the body of a pretrained ``model`` instead of all its weights.
        too_long: What to say of data that a pretrained ``model`` cannot read, and what to do then.
        trust_remote_code: Whether code that ``model`` brings along may run here; it is refused otherwise.

    Raises:
        SettingsError: If the preset is unknown, or LoRA is asked for without pretrained weights.
        ModelLoadError: If ``model`` cannot be found, lacks weights of its body, has code that is not trusted, is too
            large for this machine, or is too short for the context.
        VocabularyMismatchError: If the vocabulary extends another one than the model's.
    """
    if model is None:
        one_of("preset", preset, PRESETS)
        if lora:
            raise SettingsError("--lora adapts a pretrained model, but none was named. Add `--model ID_OR_PATH`.")
        shape = PRESETS[preset]
        config = _timed(tokenizer, shape) if _writes_time(tokenizer) else _shaped("llama", shape)
        config.max_position_embeddings = context_length
        return AutoModelForCausalLM.from_config(_fitting(config, tokenizer))
    if has_weights(model):
        built, anew = _pretrained(model, tokenizer, trust_remote_code)
        _check_context(built, context_length, model, too_long)
        return _with_lora(built, tokenizer, anew) if lora else built
    if lora:
        raise SettingsError(f"--lora adapts pretrained weights, but {model!r} is only a config. Leave out --lora.")
    return _from_config(model, tokenizer, context_length, trust_remote_code)


def _timed(tokenizer: EventTokenizer, preset: Preset) -> PretrainedConfig:
    """A preset that knows what each gap stands for."""
    config = _shaped(TimedConfig.model_type, preset)
    config.first_gap_id, config.gap_seconds = int(tokenizer.gap_ids[0]), tokenizer.gap_seconds
    if len(tokenizer) > MOST_ADDED:
        config.additive_bins = 0
    return config


def _writes_time(tokenizer: Vocabulary) -> TypeGuard[EventTokenizer]:
    return isinstance(tokenizer, EventTokenizer) and tokenizer.writes_gaps


def _special_ids(tokenizer: Vocabulary) -> dict[str, int | None]:
    return {name: getattr(tokenizer.tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}


def has_weights(model: str) -> bool:
    """Whether a name stands for pretrained weights rather than for a type or a config."""
    path = Path(model)
    if not path.exists():
        return "/" in model or model not in CONFIG_MAPPING
    names = [path.name] if path.is_file() else [file.name for file in path.iterdir()]
    return any(name.endswith((".safetensors", ".safetensors.index.json")) for name in names)


def _from_config(model: str, tokenizer: Vocabulary, context_length: int, trust: bool) -> PreTrainedModel:
    """A model from scratch: a bare type takes the tiny preset's shape, a config file its own."""
    try:
        is_given = Path(model).exists()
        config = open_config(model, trust_remote_code=trust) if is_given else _shaped(model, PRESETS["tiny"])
        config = _fitting(config, tokenizer)
        if hasattr(config, "max_position_embeddings") and config.max_position_embeddings < context_length:
            config.max_position_embeddings = context_length
        if hasattr(config, "is_decoder"):
            config.is_decoder = True
        if not trust:  # code of its own may not build without memory
            check_size(config, SizeBound.of_machine())
        built = AutoModelForCausalLM.from_config(config, trust_remote_code=trust)
        built(input_ids=torch.full((1, 2), config.bos_token_id))
    except Exception as error:  # a config whose parts do not fit together ends in any of them
        raise ModelLoadError(
            f"{model!r} cannot be made a causal language model: {first_line(error.__cause__ or error)}. Expected a "
            "type such as gpt2, or a folder with a config.json whose sizes fit together."
        ) from error
    return built


def _fitting(config: PretrainedConfig, tokenizer: Vocabulary) -> PretrainedConfig:
    """A config that speaks of the vocabulary."""
    config.vocab_size = len(tokenizer)
    for name, value in _special_ids(tokenizer).items():
        setattr(config, name, value)
    return config


def _shaped(model_type: str, preset: Preset) -> PretrainedConfig:
    """The config of a model type in the shape of a preset."""
    shape = {
        "hidden_size": preset.hidden_size,
        "num_hidden_layers": preset.layers,
        "num_attention_heads": preset.heads,
        "num_key_value_heads": preset.heads,
        "intermediate_size": preset.hidden_size * 4,
        "ffn_dim": preset.hidden_size * 4,
        "word_embed_proj_dim": preset.hidden_size,
        "head_dim": preset.hidden_size // preset.heads,
    }
    full = AutoConfig.for_model(model_type)
    known = {*full.to_dict(), *full.attribute_map}
    taken = {name: value for name, value in shape.items() if name in known and getattr(full, name) is not None}
    if "hidden_size" not in taken:
        raise ValueError(f"the type {model_type!r} has no `hidden_size` to make it small")
    # Built anew rather than changed: some parts of a config, such as layer_types, follow from others.
    return AutoConfig.for_model(model_type, **taken)


def _pretrained(model: str, tokenizer: Vocabulary, trust: bool) -> tuple[PreTrainedModel, list[str]]:
    """The model, and its parts that the checkpoint lacks: an encoder's has no head, which starts at random."""
    config = open_config(model, trust_remote_code=trust)
    if hasattr(config, "is_decoder"):
        config.is_decoder = True
    built, new = open_model(model, new_head=True, config=config, dtype=torch.float32, trust_remote_code=trust)
    known = built.get_input_embeddings().weight.shape[0]
    if tokenizer.kept_tokens > known:
        raise VocabularyMismatchError(
            f"The tokenizer extends one of {tokenizer.kept_tokens} tokens but the model {model!r} knows {known}. They "
            "were not saved together: name one model for both."
        )
    built.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    for layer in (built.get_input_embeddings(), built.get_output_embeddings()):
        _start_anew(layer.weight, tokenizer.kept_tokens)
    for name, value in _special_ids(tokenizer).items():
        setattr(built.config, name, value)
    built.generation_config.update(**_special_ids(tokenizer))
    return built, _parts(built, new)


def _parts(model: PreTrainedModel, weights: Collection[str]) -> list[str]:
    """The modules that weights belong to; embeddings and output layer, which are kept anyway, left out."""
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    owners = {name.rpartition(".")[0] for name in weights}
    return [
        name
        for name, module in model.named_modules()
        if name in owners and not any(module.children()) and not any(module is end for end in ends)
    ]


@torch.no_grad()
def _start_anew(weight: Tensor, kept: int) -> None:
    """Draw the rows of new tokens: about as large as those that are kept, and around their mean."""
    if not kept:
        nn.init.normal_(weight, std=0.02)
        return
    old = weight[:kept].float()
    new = old.mean(0) + old.std() * torch.randn(len(weight) - kept, weight.shape[1])
    weight[kept:] = new.to(weight.dtype)


def _check_context(model: PreTrainedModel, needed: int, name: str, too_long: tuple[str, str]) -> None:
    limit = readable_length(model)
    if limit is not None and limit < needed:
        found, advice = too_long
        raise ModelLoadError(f"{name!r} reads at most {limit} tokens, {found} {needed}. {advice}")


def _with_lora(model: PreTrainedModel, tokenizer: Vocabulary, anew: list[str]) -> nn.Module:
    """Adapters in the body; parts that start anew and the rows of new tokens train in full."""
    from peft import LoraConfig, get_peft_model
    from transformers.pytorch_utils import Conv1D

    # GPT-2 keeps its matrices the other way round.
    transposed = any(isinstance(module, Conv1D) for module in model.modules())
    config = LoraConfig(
        r=16,
        lora_alpha=32,
        target_modules="all-linear",
        fan_in_fan_out=transposed,
        modules_to_save=anew or None,
        exclude_modules=anew or None,
        trainable_token_indices=_new_rows(model, tokenizer) if tokenizer.kept_tokens else None,
    )
    with old_names():
        adapted = get_peft_model(model, config)
    if tokenizer.kept_tokens:
        adapted.save_pretrained = partial(adapted.save_pretrained, save_embedding_layers=False)
        return adapted
    for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
        layer.requires_grad_(True)
    # By default a checkpoint has the embeddings only where their number changed; a resumed run needs them always.
    adapted.save_pretrained = partial(adapted.save_pretrained, save_embedding_layers=True)
    return adapted


def _new_rows(model: PreTrainedModel, tokenizer: Vocabulary) -> dict[str, list[int]]:
    """New tokens by the name of each layer that has a row for them; a tied output layer follows its embeddings."""
    embeddings, output = model.get_input_embeddings(), model.get_output_embeddings()
    layers = [embeddings] if output.weight is embeddings.weight else [embeddings, output]
    names = [name for name, module in model.named_modules() if any(module is layer for layer in layers)]
    return {name: list(range(tokenizer.kept_tokens, len(tokenizer))) for name in names}
