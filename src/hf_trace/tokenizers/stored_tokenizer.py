"""What every tokenizer of this package keeps in one of transformers: special tokens and words of its own."""

from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

from tokenizers.models import WordLevel
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from hf_trace.errors import HfTraceError, ModelLoadError, first_line
from tokenizers import AddedToken, Tokenizer

PAD, BOS, EOS, UNK = "[PAD]", "[BOS]", "[EOS]", "[UNK]"
SPECIAL_TOKENS = (PAD, BOS, EOS, UNK)
TOKENIZER_FILE = "tokenizer.json"
Stored = TypeVar("Stored", bound="StoredTokenizer")


def word_tokenizer(words: Iterable[str], *, template: str | None = None, **settings: Any) -> PreTrainedTokenizerFast:
    """A tokenizer of special tokens and these words, which get the next ids in their order.

    Args:
        words: Distinct, none of them special.
        template: What is added around a text, as ``TemplateProcessing`` reads it.
        settings: Kept in ``tokenizer_config.json``.
    """
    numbered = {word: index for index, word in enumerate((*SPECIAL_TOKENS, *words))}
    backend = Tokenizer(WordLevel(numbered, unk_token=UNK))
    if template is not None:
        backend.post_processor = TemplateProcessing(single=template, special_tokens=[(BOS, numbered[BOS])])
    backend.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL_TOKENS])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        unk_token=UNK,
        split_special_tokens=True,
        padding_side="right",
        **settings,
    )


def loaded_tokenizer(name_or_path: str | PathLike[str], command: str, **kwargs: Any) -> PreTrainedTokenizerFast:
    """A tokenizer of a folder or of the Hub.

    Args:
        name_or_path: The folder, or the id.
        command: What writes such folders, for the message.
        kwargs: As for ``from_pretrained`` of transformers.

    Raises:
        ModelLoadError: If there is none.
    """
    path = Path(name_or_path)
    if path.is_dir() and not (path / TOKENIZER_FILE).exists():
        raise ModelLoadError(
            f"The folder {str(path)!r} holds no {TOKENIZER_FILE}. Expected a run folder written by `{command}`, or a "
            "folder with a tokenizer."
        )
    try:
        return PreTrainedTokenizerFast.from_pretrained(str(name_or_path), **kwargs)
    except Exception as error:  # the parser of tokenizer.json raises bare exceptions
        raise ModelLoadError(f"No tokenizer could be loaded from {str(name_or_path)!r}: {first_line(error)}") from error


class StoredTokenizer:
    """What is kept in a tokenizer of transformers and its ``tokenizer_config.json``."""

    tokenizer: Any
    vocabulary: dict[str, int]

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.vocabulary = dict(tokenizer.get_vocab())
        if len(set(self.vocabulary.values())) < len(self.vocabulary):
            raise ModelLoadError("Several tokens of the tokenizer have the same id, expected one each. Train again.")

    @classmethod
    def read(cls: type[Stored], name_or_path: str | PathLike[str], command: str, **kwargs: Any) -> Stored:
        """What ``save_pretrained`` wrote, from a folder or the Hub; arguments as for ``loaded_tokenizer``.

        Raises:
            ModelLoadError: If there is no tokenizer, or a damaged one.
        """
        tokenizer = loaded_tokenizer(name_or_path, command, **kwargs)
        try:
            return cls(tokenizer)
        except HfTraceError:
            raise
        except Exception as error:  # settings of another kind than expected end in any of them
            raise ModelLoadError(
                f"The tokenizer in {str(name_or_path)!r} is damaged ({type(error).__name__}: {first_line(error)}). "
                "Take the files that were saved with the model."
            ) from error

    def __len__(self) -> int:
        return len(self.tokenizer)

    def save_pretrained(self, folder: str | PathLike[str]) -> None:
        """Write ``tokenizer.json`` and ``tokenizer_config.json``."""
        self.tokenizer.save_pretrained(str(folder))

    def push_to_hub(self, repo_id: str, **kwargs: Any) -> Any:
        """Publish only the tokenizer; ``push_to_hub`` of the pipeline publishes the whole run."""
        return self.tokenizer.push_to_hub(repo_id, **kwargs)
