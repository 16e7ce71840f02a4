"""A small language model without any pretraining, trained by ``hf_trace.train_dag`` on each data set anew."""

import re
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from abstracts import Abstracts, Codes, Outcomes, table
from estimators import Predictions
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from hf_trace.effects.answers import AnswerSettings
from hf_trace.effects.contrasts import Contrast, row_columns
from hf_trace.effects.queries import Force, Query
from hf_trace.effects.table_model import TableModel
from hf_trace.tables.encoding import encode_table
from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import Variable
from hf_trace.training.table_training import DagTrainingSettings, train_dag
from tokenizers import AddedToken, Tokenizer

LONGEST = 96
SPECIAL = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


def frequent_words(abstracts: Abstracts, least: int) -> list[str]:
    """Each abstract as its distinct words that so many abstracts have, in order."""
    texts = [dict.fromkeys(re.findall("[a-z]+", text.lower())) for text in abstracts.texts]
    counts = Counter(word for words in texts for word in words)
    return [" ".join([word for word in words if counts[word] >= least][:LONGEST]) for words in texts]


def untrained(folder: Path, texts: list[str], seed: int) -> Path:
    """A Llama with random weights that knows these words."""
    words = sorted({word for text in texts for word in text.split()})
    vocabulary = {word: number for number, word in enumerate([*SPECIAL.values(), *words])}
    backend = Tokenizer(WordLevel(vocabulary, unk_token=SPECIAL["unk_token"]))
    backend.pre_tokenizer = WhitespaceSplit()
    backend.add_special_tokens([AddedToken(word, special=True) for word in SPECIAL.values()])
    PreTrainedTokenizerFast(tokenizer_object=backend, **SPECIAL).save_pretrained(folder)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=32, intermediate_size=64, num_hidden_layers=1,
        num_attention_heads=4, max_position_embeddings=128, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def schema() -> DagSchema:
    """The abstract moves both treatment and acceptance."""
    words = ("no", "yes")
    return DagSchema(
        (
            Variable("abstract", "text", max_length=LONGEST),
            Variable("treated", values=words, parents=("abstract",)),
            Variable("accepted", values=words, parents=("abstract", "treated")),
        )
    )


@dataclass
class Scratch:
    """See the module.

    Attributes:
        name: In the tables.
        abstracts: The texts.
        epochs: Passes over the rows.
        least: Abstracts that a word must be in.
        folds: For cross-fitting.
    """

    name: str
    abstracts: Abstracts
    epochs: float = 3.0
    least: int = 20
    folds: int = 2

    def predict(self, outcomes: Outcomes, fold: Codes, seed: int) -> Predictions:
        """Cross-fitted by the package's own folds, see ``estimators.Predictor``."""
        texts = frequent_words(self.abstracts, self.least)
        frame = table(self.abstracts, outcomes).assign(abstract=texts)
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            settings = DagTrainingSettings(
                model=str(untrained(folder / "untrained", texts, seed)), history="full", order="fixed",
                learn=("treated", "accepted"), epochs=self.epochs, learning_rate=3e-3, folds=self.folds, seed=seed,
            )  # fmt: skip
            run = train_dag(encode_table(schema(), frame), folder / "run", settings).folder
            return _said(run, frame)


def _said(run: Path, frame: pd.DataFrame) -> Predictions:
    """What the members say of the rows that they have not seen."""
    contrast = Contrast("att", Query("accepted", {"treated": Force(1)}), {"treated": 0})
    model = TableModel.load(run, memory="500MB")
    columns = row_columns(model, contrast, np.array([0.0, 1.0]), frame, AnswerSettings())
    return Predictions(columns.propensity[:, 0], columns.mean[:, 1], columns.mean[:, 0])
