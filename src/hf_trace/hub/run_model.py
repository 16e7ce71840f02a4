"""``AutoModelForCausalLM`` that remembers which commit of the Hub a model is from.

Models of Transformers do not know it, and what else a run holds is to be read from the very same commit. It has the
name of its parent, by which repositories name their own code.
"""

from typing import Any

import transformers


class AutoModelForCausalLM(transformers.AutoModelForCausalLM):
    """Loads what its parent loads."""

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: Any, *model_args: Any, **kwargs: Any
    ) -> transformers.PreTrainedModel:
        """Load a model; its ``config._commit_hash`` is the commit or the revision that was asked for."""
        model = super().from_pretrained(pretrained_model_name_or_path, *model_args, **kwargs)
        asked = kwargs.get("revision")
        found = getattr(asked, "resolved", asked) or getattr(model.config, "_commit_hash", None)
        if found is not None:
            model.config._commit_hash = str(found)
        return model
