"""How many tokens a model can tell apart by their position, and where its table of positions begins."""

from transformers import PreTrainedModel

from hf_trace.errors import ModelLoadError

# What configs call it.
_NAMES = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len")


def context_length(model: PreTrainedModel) -> int | None:
    """Tokens the model can read at once, or None if nothing bounds them.

    Raises:
        ModelLoadError: If the model says of itself that it cannot read two, and so predict the second.
    """
    config = model.config
    for name in _NAMES:
        most = getattr(config, name, None)
        if most is None:
            continue
        if isinstance(most, bool) or not isinstance(most, int) or most - position_offset(model) < 2:
            raise ModelLoadError(
                f"`{name}` of the model's config is {most!r}, expected the number of tokens it reads, at least "
                f"{2 + position_offset(model)}. Take the config.json that was saved with the weights."
            )
        return most - position_offset(model)
    return None


def position_offset(model: PreTrainedModel) -> int:
    """Position of a model's first token: RoBERTa-like models count from the padding id + 1, others from 0."""
    embeddings = getattr(model.base_model, "embeddings", None)
    padding = getattr(embeddings, "padding_idx", None)
    created = hasattr(embeddings, "create_position_ids_from_input_ids")
    return padding + 1 if created and padding is not None else 0
