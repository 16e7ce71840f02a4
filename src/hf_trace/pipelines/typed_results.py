"""What pipelines and models return: mappings as JSON holds them, typed, short in print, and tables where asked.

Like the outputs of Transformers' models they are dictionaries; what is more they show as a table in a notebook.
"""

from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, overload

import pandas as pd

from hf_trace.documents import Document
from hf_trace.graphs.graph import CausalGraph
from hf_trace.notebooks import table_html


class ChanceRecord(TypedDict):
    """A number with its Monte Carlo standard error."""

    value: float
    standard_error: float


class EdgeRecord(TypedDict, total=False):
    """An edge of a causal graph; see ``CausalGraph``."""

    cause: str
    effect: str
    cmi: float
    direction: str
    lag: int
    lags: list[int]
    lag_seconds: float
    cause_position: int
    effect_position: int
    frequency: float
    support: int


class Result(Document):
    """A mapping that is equal to a plain one, and prints in one line."""

    def to_pandas(self) -> pd.DataFrame:
        """The same as a table."""
        raise NotImplementedError

    def _facts(self) -> Document:
        """What its line says."""
        raise NotImplementedError

    def __repr__(self) -> str:
        told = ", ".join(f"{name}={value!r}" for name, value in self._facts().items() if value is not None)
        return f"{type(self).__name__}({told})"

    def _repr_html_(self) -> str:
        return table_html(self.to_pandas(), repr(self))


class DiscoveryResult(Result):
    """A causal graph with what is needed to judge and to reproduce it.

    Keys: ``edges`` (between positions for one sequence, else those of the graph), ``graph`` (as
    ``CausalGraph.to_dict``), ``oracle`` (quality of the model), ``settings`` (to call again with); for one sequence
    also ``id`` and ``summary`` (its edges between event types), for many ``sequences`` (their number); ``scores`` and
    ``validation`` where asked for.
    """

    if TYPE_CHECKING:

        @overload
        def __getitem__(self, key: Literal["edges", "summary"], /) -> list[EdgeRecord]: ...
        @overload
        def __getitem__(self, key: Literal["graph", "oracle", "settings", "validation"], /) -> Document: ...
        @overload
        def __getitem__(self, key: Literal["sequences"], /) -> int: ...
        @overload
        def __getitem__(self, key: str, /) -> Any: ...
        def __getitem__(self, key: str, /) -> Any:
            """The value of a key."""

    @cached_property
    def graph(self) -> CausalGraph:
        """The graph itself, to draw, save and compare."""
        return CausalGraph.from_dict(self["graph"])

    def to_pandas(self) -> pd.DataFrame:
        """One row per edge of the graph."""
        return self.graph.to_pandas()

    def _facts(self) -> Document:
        counts = {"nodes": len(self["graph"]["events"]), "edges": len(self["graph"]["edges"])}
        return {"id": self.get("id"), "level": self["graph"]["level"], **counts, "sequences": self.get("sequences")}

    def _repr_html_(self) -> str:
        return self.graph._repr_html_()


class WhatIfResult(Result):
    """How likely a target follows, as observed and had one event been different.

    Keys: ``factual``, ``intervened`` and their ``difference``, each with ``value`` and ``standard_error``;
    ``position``, ``observed``, ``do``, ``target``, ``within``; ``covered``, the share of futures that reach the end of
    the horizon; ``num_samples``, ``seed``, ``oracle``, ``id``.
    """

    if TYPE_CHECKING:

        @overload
        def __getitem__(self, key: Literal["factual", "intervened", "difference"], /) -> ChanceRecord: ...
        @overload
        def __getitem__(self, key: Literal["observed", "do", "target", "within"], /) -> str: ...
        @overload
        def __getitem__(self, key: Literal["position", "num_samples", "seed"], /) -> int: ...
        @overload
        def __getitem__(self, key: Literal["covered"], /) -> float: ...
        @overload
        def __getitem__(self, key: str, /) -> Any: ...
        def __getitem__(self, key: str, /) -> Any:
            """The value of a key."""

    def to_pandas(self) -> pd.DataFrame:
        """One row each for what was, what would have been, and the difference."""
        cases = ("factual", "intervened", "difference")
        return pd.DataFrame([{"case": name, **self[name]} for name in cases])

    def _facts(self) -> Document:
        chances = {name: round(self[name]["value"], 3) for name in ("factual", "intervened")}
        return {"target": self["target"], "do": {self["position"]: self["do"]}, **chances}


class EffectResult(Result):
    """What a table says would happen.

    Keys of a distribution: ``target``, ``distribution`` and ``standard_error`` by value, ``method``,
    ``identification``, ``adjustment``, ``overlap``, ``warnings``, ``settings``; ``expectation`` of a target with
    numbers. Keys of a contrast: ``target``, ``contrast``, ``of``, ``estimator``, ``value``, ``standard_error``,
    ``means``, ``warnings``, ``settings``; ``refutation`` where asked for. Of a question that was refused: ``target``
    and ``error``; of one that is bounded instead: ``bounds``, ``not_identified``. Of one about a single row:
    ``counterfactual`` with its ends by value, ``everybody``, ``assumes``.
    """

    if TYPE_CHECKING:

        @overload
        def __getitem__(self, key: Literal["distribution", "means"], /) -> dict[str, float]: ...
        @overload
        def __getitem__(self, key: Literal["value"], /) -> float: ...
        @overload
        def __getitem__(self, key: Literal["target", "method", "identification", "of", "error"], /) -> str: ...
        @overload
        def __getitem__(self, key: Literal["warnings"], /) -> list[str]: ...
        @overload
        def __getitem__(self, key: str, /) -> Any: ...
        def __getitem__(self, key: str, /) -> Any:
            """The value of a key."""

    def to_pandas(self) -> pd.DataFrame:
        """One row per value of the target; of a contrast, one row."""
        if "counterfactual" in self:
            ends = pd.DataFrame(self["counterfactual"], index=["least", "most"]).T
            return ends.assign(everybody=self["everybody"]).rename_axis(self["target"]).reset_index()
        if "distribution" not in self:
            plain = {name: value for name, value in self.items() if not isinstance(value, dict | list)}
            return pd.DataFrame([{**plain, **self.get("means", {})}])
        chances = self["distribution"]
        errors = [self["standard_error"][name] for name in chances]
        return pd.DataFrame({self["target"]: list(chances), "probability": list(chances.values()),
                             "standard_error": errors})  # fmt: skip

    def _facts(self) -> Document:
        if "counterfactual" in self:
            return {"target": self["target"], "counterfactual": self["counterfactual"]}
        if "distribution" in self:
            shares = {name: round(share, 3) for name, share in self["distribution"].items()}
            return {"target": self["target"], "distribution": shares}
        value = None if self.get("value") is None else round(self["value"], 4)
        return {"target": self.get("target"), "contrast": self.get("contrast"), "value": value,
                "standard_error": self.get("standard_error"), "bounds": self.get("bounds"),
                "error": self.get("error")}  # fmt: skip


class RankResult(Result):
    """Root causes of an event of a sequence, most likely first.

    Keys: ``causes``, each with ``event``, ``position``, ``lag``, ``effect``, ``standard_error``, ``stands_out``,
    ``pagerank``, ``surprise`` and ``path``; ``outcome``, ``position``, ``settings``, ``oracle``, ``id``; ``note`` or
    ``warning`` where something is to be known.
    """

    if TYPE_CHECKING:

        @overload
        def __getitem__(self, key: Literal["causes"], /) -> list[Document]: ...
        @overload
        def __getitem__(self, key: Literal["outcome", "note", "warning"], /) -> str: ...
        @overload
        def __getitem__(self, key: Literal["position"], /) -> int: ...
        @overload
        def __getitem__(self, key: str, /) -> Any: ...
        def __getitem__(self, key: str, /) -> Any:
            """The value of a key."""

    def to_pandas(self) -> pd.DataFrame:
        """One row per cause, best first."""
        return pd.DataFrame(self["causes"])

    def _facts(self) -> Document:
        first = [each["event"] for each in self["causes"][:3]]
        return {"id": self.get("id"), "outcome": self["outcome"], "causes": len(self["causes"]), "first": first}


class OutcomesResult(Result):
    """Events that cause outcomes of whole sequences.

    Keys: ``outcomes``, each with ``outcome`` and its ``causes``; ``prediction``, ``settings``, ``oracle``; of a single
    sequence what ``hf_trace.questions.outcome_causes.outcomes`` says of one.
    """

    if TYPE_CHECKING:

        @overload
        def __getitem__(self, key: Literal["outcomes"], /) -> list[Document]: ...
        @overload
        def __getitem__(self, key: str, /) -> Any: ...
        def __getitem__(self, key: str, /) -> Any:
            """The value of a key."""

    def to_pandas(self) -> pd.DataFrame:
        """One row per cause of an outcome."""
        return pd.DataFrame(
            [{"outcome": each["outcome"], **cause} for each in self["outcomes"] for cause in each["causes"]]
        )

    def _facts(self) -> Document:
        found = {each["outcome"]: len(each["causes"]) for each in self["outcomes"]}
        return {"id": self.get("id"), "causes": found}


EffectAnswer: TypeAlias = EffectResult | WhatIfResult
