"""The tokens a table's variables are written with: from scratch, or added to a pretrained tokenizer."""

import re
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerFast

from hf_trace.errors import ModelLoadError, SettingsError, first_line
from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import Variable
from hf_trace.tokenizers.event_tokenizer import PAD
from tokenizers import AddedToken, Tokenizer

_MARKS = re.compile(r"[\\=:<]")


def start_token(name: str) -> str:
    """The token that announces a variable.

    Example:
        >>> start_token("drug"), end_token("notes")
        ('<start:drug>', '<end:notes>')
    """
    return f"<start:{name}>"


def end_token(name: str) -> str:
    """The token that ends a value of a variable that is not finite."""
    return f"<end:{name}>"


def value_tokens(variable: Variable, *, bracketed: bool = False) -> list[str]:
    r"""One token per value of a finite variable, or per item of a sequence; none for texts.

    Args:
        variable: An observed one.
        bracketed: Write them in angle brackets, so that a pretrained vocabulary hardly holds one already.

    Example:
        >>> value_tokens(Variable("drug", values=("no", "yes")))
        ['drug=no', 'drug=yes']
        >>> value_tokens(Variable("a=b", "sequence", values=("x",)))[0] == "a\\=b:x"
        True
        >>> value_tokens(Variable("drug", values=("no", "yes")), bracketed=True)
        ['<value:drug=no>', '<value:drug=yes>']
    """
    if variable.kind == "text":
        return []
    mark = ":" if variable.kind == "sequence" else "="
    name = _MARKS.sub(r"\\\g<0>", variable.name)
    plain = [f"{name}{mark}{value}" for value in variable.values]
    return [f"<value:{token}>" for token in plain] if bracketed else plain


_ROLES = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token")


def words_of(schema: DagSchema, *, bracketed: bool = False) -> list[str]:
    """Tokens of the observed variables in the order of their ids."""
    words: list[str] = []
    for variable in schema.variables:
        if variable.latent:
            continue
        words += [start_token(variable.name), *value_tokens(variable, bracketed=bracketed)]
        words += [] if variable.is_finite else [end_token(variable.name)]
    return words


def loaded(base: Any) -> Any:
    """A pretrained tokenizer, itself or by its folder or Hub id.

    Raises:
        ModelLoadError: If there is none, or one that cannot be extended.
    """
    if isinstance(base, (str, PathLike)):
        try:
            base = AutoTokenizer.from_pretrained(str(base))
        except Exception as error:  # the parser of tokenizer.json raises bare exceptions
            raise ModelLoadError(
                f"No tokenizer could be loaded from {str(base)!r}: {first_line(error)}. Expected a pretrained model "
                "with its tokenizer."
            ) from error
    if not hasattr(base, "backend_tokenizer"):
        raise ModelLoadError(
            f"{type(base).__name__} is a tokenizer without a `tokenizer.json`, which cannot be extended. Expected "
            "one of the fast tokenizers of Transformers."
        )
    return base


def extended(base: Any, words: Sequence[str], settings: Mapping[str, Any]) -> Any:
    """A copy of a pretrained tokenizer with further tokens, which no text can produce.

    Raises:
        SettingsError: If it has one of them.
        ModelLoadError: If its ids have holes.
    """
    known = base.get_vocab()
    if taken := [word for word in words if word in known]:
        raise SettingsError(
            f"The pretrained tokenizer already has the token {taken[0]!r}: it was made for another table. Start from "
            "the model that one was trained from."
        )
    backend = Tokenizer.from_str(base.backend_tokenizer.to_str())
    roles = {role: str(token) for role in _ROLES if (token := getattr(base, role, None)) is not None}
    if "pad_token" not in roles:
        roles["pad_token"] = roles.get("eos_token", PAD)
    first = max(known.values()) + 1
    # A padding token of our own comes last.
    new = [*words, *({roles["pad_token"]} - set(known))]
    backend.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in new])
    if [backend.token_to_id(word) for word in new] != list(range(first, first + len(new))):
        raise ModelLoadError(
            f"The pretrained tokenizer has {len(known)} tokens but ids up to {first - 1}, so that new tokens would "
            "take the place of old ones. Choose a model whose ids have no holes."
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        padding_side="right",
        clean_up_tokenization_spaces=False,
        kept_tokens=first,
        **roles,
        **settings,
    )
