"""A model of the rows of a table with a known graph, and what is known of the run that it is from."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from os import PathLike
from typing import Any

import pandas as pd

from hf_trace.documents import Document
from hf_trace.effects.conditionals import Conditionals
from hf_trace.effects.question_records import QuestionReader
from hf_trace.options import TRUST_REMOTE_CODE
from hf_trace.oracle.engine import Oracle
from hf_trace.runs.folders import METRICS_FILE, TRAINING_FILE, load_model, own_tokenizer, read_json, run_of
from hf_trace.runs.members import Folds, load_members
from hf_trace.tables.binning import BINNING, Binning
from hf_trace.tables.encoding import DagTable, encode_table, read_table
from hf_trace.tables.schema import DagSchema
from hf_trace.tokenizers.dag_tokenizer import DagTokenizer


@dataclass(frozen=True, eq=False)
class TableModel:
    """What questions about a table are put to.

    Attributes:
        oracle: The frozen model.
        tokenizer: The graph and how values are written.
        run: The folder that both are from; empty where they are from none.
        memory: What scoring may use, see ``Oracle``; members get the same.
        known: Rows that formulas of its answers are moved towards, see ``towards_rows``; None for the model alone.
    """

    oracle: Oracle
    tokenizer: DagTokenizer
    run: str = ""
    memory: str | float | None = None
    known: DagTable | None = field(default=None, repr=False)

    @classmethod
    def of(cls, model: Any, tokenizer: Any = None, *, memory: str | float | None = None) -> "TableModel":
        """A loaded model with what its run folder says of it.

        Args:
            model: As ``from_pretrained`` gave it.
            tokenizer: A ``DagTokenizer``, a tokenizer of Transformers, or a folder; by default that of the run.
            memory: See the class.

        Raises:
            ModelLoadError: If there is no tokenizer, or one without a graph.
            VocabularyMismatchError: If model and tokenizer do not belong together.
        """
        vocabulary = own_tokenizer(DagTokenizer, model, tokenizer)
        return cls(Oracle(model, memory=memory), vocabulary, run_of(model), memory)

    @classmethod
    def load(
        cls,
        run: str | PathLike[str],
        *,
        memory: str | float | None = None,
        trust_remote_code: bool = TRUST_REMOTE_CODE.default,
    ) -> "TableModel":
        """The model of a run folder or Hub id.

        Args:
            run: The folder or id.
            memory: See the class.
            trust_remote_code: Whether code that the model brings along may run here; it is refused otherwise.

        Raises:
            ModelLoadError: If there is no model, no tokenizer, or one without a graph.
            VocabularyMismatchError: If they do not belong together.
        """
        return cls.of(load_model(run, trust_remote_code=trust_remote_code), memory=memory)

    @property
    def schema(self) -> DagSchema:
        """The graph and its variables."""
        return self.tokenizer.schema

    @cached_property
    def metrics(self) -> Document:
        """What was measured when the run was trained."""
        return self._read(METRICS_FILE)

    @cached_property
    def misses(self) -> list[Document]:
        """Groups of rows whose mean outcome the model misses by more than its error, as far as the run knows."""
        found = self.metrics.get("misses")
        needed = {"variable", "value", "parent", "group", "rows", "observed", "predicted", "standard_error"}
        listed = found if isinstance(found, list) else []
        return [each for each in listed if isinstance(each, dict) and needed <= set(each)]

    @property
    def rows(self) -> int | None:
        """Rows that the model was trained on, if known."""
        return self.metrics.get("rows")

    @cached_property
    def only_read(self) -> frozenset[str]:
        """Variables that the run was not taught to predict."""
        learned = self._read(TRAINING_FILE).get("learn")
        return frozenset() if learned is None else frozenset(self.tokenizer.variables) - set(learned)

    @cached_property
    def folds(self) -> Folds | None:
        """Which rows each member has not seen; None where the run has none."""
        return Folds.of_run(self.run) if self.run else None

    @cached_property
    def conditionals(self) -> Conditionals:
        """What the model says of each variable."""
        return replace(self._conditionals(self.oracle), rows=self.known)

    def with_rows(self, data: pd.DataFrame | str | PathLike[str]) -> "TableModel":
        """The same model, with rows that formulas of its answers are moved towards.

        Raises:
            TableError: If the table has not the variables and values of the graph.
        """
        frame = data if isinstance(data, pd.DataFrame) else read_table(data)
        return replace(self, known=encode_table(self.schema, frame))

    @cached_property
    def members(self) -> list[Conditionals]:
        """What models of the run say that have each seen all rows but those of a fold; read when first asked for."""
        return [self._conditionals(each) for each in load_members(self.oracle.model, memory=self.memory)]

    @cached_property
    def reader(self) -> QuestionReader:
        """Reads what is asked of this model."""
        return QuestionReader(self.tokenizer, self.conditionals)

    def _read(self, file: str) -> Document:
        return read_json(self.run, file) if self.run else {}

    @cached_property
    def binning(self) -> Binning:
        """How far means of numbers are from those of their bins, as far as the run knows."""
        return Binning.from_dict(self.schema, self.metrics.get(BINNING))

    def _conditionals(self, oracle: Oracle) -> Conditionals:
        return Conditionals(
            oracle=oracle,
            schema=self.schema,
            tokens=self.tokenizer.variables,
            begin=self.tokenizer.begin,
            parents_only=self.tokenizer.history == "parents",
            fixed_order=self.tokenizer.order == "fixed",
            only_read=self.only_read,
            binning=self.binning,
        )
