"""From a table and a graph of its variables to effects in one object, with the manners of scikit-learn."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from typing import Any, TypeVar

import pandas as pd
from sklearn.utils.validation import check_is_fitted

from hf_trace.graphs.event_graph import EventGraph
from hf_trace.options import SEED
from hf_trace.pipelines.effect_pipeline import CausalEffectPipeline
from hf_trace.pipelines.fitted_runs import FittedRun, without_bars
from hf_trace.pipelines.typed_results import EffectResult
from hf_trace.tables.encoding import encode_table, read_table
from hf_trace.tables.inference import DEFAULT_BINS, infer_schema
from hf_trace.tables.schema import DagSchema
from hf_trace.training.table_training import DagTrainingSettings, train_dag

Own = TypeVar("Own", bound="TableCausalModel")


class TableCausalModel(FittedRun):
    """What would happen if, of a table whose variables have a known graph.

    Attributes:
        latent: Variables of the graph that the table lacks.
        bins: Most bins of a numeric variable.
        weight_column: Column that says how many units a row stands for.
        preset: Size of the model: ``"pico"``, ``"nano"``, ``"tiny"``, ``"small"`` or ``"base"``.
        epochs: Most passes over the table.
        history: ``"parents"`` or ``"full"``; None: full where there are latent variables, see ``DagTrainingSettings``.
        folds: Further models, each without one of as many parts of the rows, for intervals; 0 for none; None: five
            where a model takes seconds.
        seed: Of everything that is drawn.
        folder: Where the run is kept; None: nowhere, until it is saved.
        schema_: The graph with what the table shows of its variables, once there is one.
        pipeline_: The trained model as a pipeline.

    Example:
        >>> import hf_trace
        >>> model = hf_trace.TableCausalModel().fit(table, [("drug", "days"), ("age", "days")])  # doctest: +SKIP
        >>> model.effect("days", do={"drug": "yes"}).to_pandas()  # doctest: +SKIP
        >>> model.ate("days", {"drug": "yes"})["value"]  # doctest: +SKIP
    """

    pipeline_: CausalEffectPipeline
    schema_: DagSchema

    def __init__(  # noqa: PLR0913 - scikit-learn wants them by name
        self,
        *,
        latent: Sequence[str] = (),
        bins: int = DEFAULT_BINS,
        weight_column: str | None = None,
        preset: str = DagTrainingSettings.preset,
        epochs: float | None = None,
        history: str | None = None,
        folds: int | None = None,
        seed: int = SEED.default,
        folder: str | PathLike[str] | None = None,
    ) -> None:
        self.latent, self.bins, self.weight_column = latent, bins, weight_column
        self.preset, self.epochs, self.history, self.folds = preset, epochs, history, folds
        self.seed, self.folder = seed, folder

    def fit(self: Own, table: pd.DataFrame | str | PathLike[str], graph: Any) -> Own:
        """Train the model.

        Args:
            table: One row per unit and one column per variable, or the path of such a file.
            graph: A ``CausalGraph`` or a ``networkx.DiGraph`` over the columns, pairs of names, cause first, a
                ``DagSchema``, a mapping or a file; see ``read_dag``.

        Returns:
            This model.

        Raises:
            HfTraceError: If the table or the graph cannot be read, or they do not fit.
        """
        frame = table if isinstance(table, pd.DataFrame) else read_table(table)
        source = graph.to_networkx() if isinstance(graph, EventGraph) else graph
        self.schema_ = infer_schema(source, frame, bins=self.bins, latent=self.latent)
        history = self.history or ("full" if self.schema_.latent else DagTrainingSettings.history)
        settings = DagTrainingSettings(
            preset=self.preset,
            epochs=self.epochs,
            history=history,
            order="random" if history == "full" else DagTrainingSettings.order,
            folds=self.folds or 0,
            seed=self.seed,
        )
        if self.folds is None:
            settings = replace(settings, folds=settings.usual_folds)
        encoded = encode_table(self.schema_, frame, weight_column=self.weight_column)
        with without_bars():
            run = train_dag(encoded, self._run_folder(), settings).folder
            self.pipeline_ = CausalEffectPipeline.from_pretrained(run)
        return self

    @classmethod
    def from_pretrained(
        cls: type[Own], run: str | PathLike[str], *, loading: Mapping[str, Any] | None = None
    ) -> Own:  # fmt: skip
        """The model of a run folder or Hub id.

        Args:
            run: As ``save_pretrained`` or ``hf-trace train --dag`` wrote it.
            loading: Of ``load_model``: ``dtype``, ``device``, ``device_map``, ``trust_remote_code``.

        Raises:
            ModelLoadError: If there is no run of a table.
        """
        model = cls()
        with without_bars():
            model.pipeline_ = CausalEffectPipeline.from_pretrained(run, **(loading or {}))
        model.schema_ = model.pipeline_.schema
        return model

    def effect(
        self,
        target: str,
        do: Mapping[str, Any] | None = None,
        given: Mapping[str, Any] | None = None,
        **parameters: Any,
    ) -> EffectResult:
        """The distribution of a variable under an intervention.

        Args:
            target: The variable.
            do: What is done: a value, a beginning or a policy by variable, see ``CausalEffectPipeline``.
            given: What is known: a value by variable.
            parameters: The fields of ``EffectRequest``: ``num_samples``, ``seed``, …

        Raises:
            QueryError: If the question names what does not exist, contradicts itself, or has impossible evidence.
            NotIdentifiedError: If latent variables leave it open.
            OverlapError: If the data cannot support it.
        """
        return self._answer({"target": target, "do": do or {}, "given": given or {}}, parameters)

    def ate(
        self, target: str, treatment: Mapping[str, Any], versus: Mapping[str, Any] | None = None, **parameters: Any
    ) -> EffectResult:
        """The average effect of a treatment on a variable.

        Args:
            target: The variable; its mean, or the probability of its last value.
            treatment: What is done.
            versus: What it is compared with; by default the other value of a treatment with two.
            parameters: As for ``effect``; also ``estimator="aipw"`` with ``data``.
        """
        return self._contrast("ate", target, treatment, versus, {}, parameters)

    def att(
        self, target: str, treatment: Mapping[str, Any], versus: Mapping[str, Any] | None = None, **parameters: Any
    ) -> EffectResult:
        """The average effect on those who were treated; see ``ate``."""
        return self._contrast("att", target, treatment, versus, {}, parameters)

    def cate(
        self,
        target: str,
        treatment: Mapping[str, Any],
        given: Mapping[str, Any],
        versus: Mapping[str, Any] | None = None,
        **parameters: Any,
    ) -> EffectResult:
        """The average effect on those of whom something is known; see ``ate``."""
        return self._contrast("cate", target, treatment, versus, given, parameters)

    def _contrast(
        self,
        kind: str,
        target: str,
        treatment: Mapping[str, Any],
        versus: Mapping[str, Any] | None,
        given: Mapping[str, Any],
        parameters: Mapping[str, Any],
    ) -> EffectResult:
        question = {"target": target, "do": dict(treatment), "contrast": kind}
        more = {"versus": dict(versus or {}), "given": dict(given)}
        return self._answer(question | {name: value for name, value in more.items() if value}, parameters)

    def _answer(self, question: Mapping[str, Any], parameters: Mapping[str, Any]) -> EffectResult:
        check_is_fitted(self)
        found = self.pipeline_(question, **parameters)
        answer: EffectResult = found
        return answer
