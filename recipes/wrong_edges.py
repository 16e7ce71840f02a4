"""A graph of which one edge is wrong, for recipes that ask what that costs."""

from hf_trace.tables.schema import DagSchema


def changed(schema: DagSchema, change: str, edge: tuple[str, str]) -> DagSchema:
    """The graph with one edge dropped, turned or added.

    Raises:
        DagFormatError: If that closes a cycle.
    """
    cause, effect = edge
    parents = {name: list(schema[name].parents) for name in edge}
    if change in ("dropped", "turned"):
        parents[effect].remove(cause)
    if change == "turned":
        parents[cause].append(effect)
    if change == "added":
        parents[effect].append(cause)
    return schema.with_parents(parents)
