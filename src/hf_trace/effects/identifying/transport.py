"""Answers for another population, of which a table of covariates is known."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike

import networkx as nx
import numpy as np
import pandas as pd

from hf_trace.documents import Document
from hf_trace.effects.answers import Answer, AnswerSettings, Overlap, answers_or_refusals, error_of_mean
from hf_trace.effects.conditionals import Codes, Conditionals, Floats
from hf_trace.effects.identifying.open_paths import open_path, spelled
from hf_trace.effects.queries import Query
from hf_trace.errors import NotIdentifiedError, OverlapError, QueryError, TableError
from hf_trace.tables.encoding import encode_table, read_table
from hf_trace.tables.schema import DagSchema

# Of another population, so much may have values that were never seen in the first: the rest stands for it.
_MOST_UNSEEN = 0.01


@dataclass(frozen=True)
class OtherPopulation:
    """How often covariates have their values elsewhere.

    Attributes:
        names: The covariates.
        codes: Their values, ``[group, covariate]``.
        shares: How many rows have them, ``[group]``.
        rows: In all.
    """

    names: tuple[str, ...]
    codes: Codes
    shares: Floats
    rows: int

    @classmethod
    def read(cls, schema: DagSchema, query: Query, table: pd.DataFrame | str | PathLike[str]) -> "OtherPopulation":
        """The covariates of a table: its columns that treatments do not cause.

        Args:
            schema: The graph.
            query: The question; its evidence chooses rows of the table.
            table: Of the other population.

        Raises:
            TableError: If there is no such column or no row that counts, or a cell is not one of the values.
            QueryError: If something is given that the table does not have.
        """
        frame = table if isinstance(table, pd.DataFrame) else read_table(table)
        caused = set(query.do).union(*(schema.descendants(name) for name in query.do), {query.target})
        names = tuple(name for name in schema.topological_order if name in frame.columns and name not in caused)
        names = tuple(name for name in names if schema[name].is_finite)
        if not names:
            raise TableError(
                f"The table of the population has the columns {', '.join(map(repr, frame.columns[:9]))}, expected at "
                "least one variable of the graph that what is done does not cause."
            )
        if loose := [name for name in query.given if name not in names]:
            raise QueryError(
                f"{loose[0]!r} is given, and the table of the population does not tell how often. Expected a column of "
                "it that what is done does not cause."
            )
        part = DagSchema(tuple(replace(schema[name], parents=()) for name in names))
        columns = encode_table(part, frame[list(names)]).columns
        codes = np.stack([np.asarray(columns[name]) for name in names], axis=1)
        kept = np.all([codes[:, names.index(name)] == code for name, code in query.given.items()], axis=0)
        codes = codes[np.broadcast_to(kept, len(codes))]
        if not len(codes):
            raise TableError("No row of the population has what is given. Expected at least one; give less.")
        groups, counts = np.unique(codes, axis=0, return_counts=True)
        return cls(names, groups, counts / counts.sum(), len(codes))

    def to_dict(self) -> Document:
        """What a user must know of it."""
        return {"rows": self.rows, "covariates": list(self.names), "groups": len(self.shares)}

    def questions(self, query: Query) -> list[Query]:
        """The same question in every group."""
        return [replace(query, given=dict(zip(self.names, row, strict=True))) for row in self.codes.tolist()]


def check_transported(schema: DagSchema, query: Query, covariates: Sequence[str]) -> None:
    """Refuse to carry over what differs elsewhere for another reason than covariates.

    Populations may differ in how covariates come about, and in nothing else. Then p(target | do, covariates) is the
    same in both if the target is independent of the population given these (S-admissible; Pearl and Bareinboim 2014,
    theorem 2).

    Raises:
        NotIdentifiedError: If a path stays open: a latent variable behind a covariate and the target.
    """
    node = "the population"
    graph = nx.DiGraph(schema.graph)
    graph.remove_edges_from(list(graph.in_edges(query.do)))
    graph.add_edges_from((node, name) for name in covariates)
    if path := open_path(graph, [node], [query.target], {*covariates, *query.do}):
        raise NotIdentifiedError(
            f"p({query.target} | do({', '.join(query.do)})) of another population does not follow: what makes "
            f"{path[1]!r} differ there tells of {query.target!r} along {spelled(graph, path[1:])}, which stays open. "
            f"Leave {path[1]!r} out of the table, if it does not differ, or measure what is latent on that path."
        )


def transported(
    conditionals: Conditionals, query: Query, population: OtherPopulation, settings: AnswerSettings
) -> Answer:
    r"""The answer for another population: :math:`\sum_z p^*(z)\, p(y \mid do(a), z)`.

    Args:
        conditionals: The model of the first population.
        query: The question.
        population: How often covariates have their values in the other.
        settings: See ``AnswerSettings``.

    Raises:
        NotIdentifiedError: If the answer does not carry over, or not even the first population tells it.
        OverlapError: If what is seen elsewhere was never seen in the first.
        QueryError: If the question is refused in all groups.
    """
    if query.selection is None:
        check_transported(conditionals.schema, query, population.names)
    found = answers_or_refusals(conditionals, population.questions(query), settings)
    if open_questions := [each for each in found if isinstance(each, NotIdentifiedError)]:
        raise open_questions[0]
    seen = np.array([isinstance(each, Answer) for each in found])
    if (missing := float(population.shares[~seen].sum())) > _MOST_UNSEEN:
        refusal = next(each for each in found if isinstance(each, QueryError))
        raise OverlapError(
            f"{missing:.0%} of the population have values of {', '.join(population.names)} of which the first tells "
            f"nothing. Expected values that were seen there. (The first refusal: {refusal})"
        )
    kept = [each for each in found if isinstance(each, Answer)]
    return _mixture(query, kept, population.shares[seen] / population.shares[seen].sum())


def _mixture(query: Query, parts: list[Answer], shares: Floats) -> Answer:
    """An answer averaged over groups, which share their draws."""
    influence = sum(share * each.influence for share, each in zip(shares, parts, strict=True))
    error = np.array([error_of_mean(column) for column in np.asarray(influence).T])
    off = [each.binning_error for each in parts if each.binning_error is not None]
    return replace(
        parts[0],
        query=query,
        probabilities=np.asarray(shares @ [each.probabilities for each in parts]),
        standard_error=error if len(error) else np.zeros_like(parts[0].standard_error),
        effective_sample_size=min(each.effective_sample_size for each in parts),
        overlap={
            name: Overlap(
                float(shares @ [each.overlap[name].mean for each in parts]),
                min(each.overlap[name].smallest for each in parts),
            )
            for name in parts[0].overlap
        },
        evidence_probability=1.0,
        warnings=tuple(dict.fromkeys(warning for each in parts for warning in each.warnings)),
        binning_error=np.asarray(shares @ np.stack(off)) if len(off) == len(parts) else None,
        influence=np.asarray(influence),
    )
