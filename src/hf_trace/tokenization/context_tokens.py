"""What is known of whole sequences as tokens: one per column and value, named ``<context:site=north>``."""

from collections.abc import Mapping, Sequence


def context_token(column: str, value: str) -> str:
    """Token of one value of a column.

    Example:
        >>> context_token("site", "north")
        '<context:site=north>'
    """
    return f"<context:{column}={value}>"


def context_tokens(values: Mapping[str, Sequence[str]]) -> list[str]:
    """Tokens of all values of all columns, in their order.

    Example:
        >>> context_tokens({"site": ["north", "south"]})
        ['<context:site=north>', '<context:site=south>']
    """
    return [context_token(column, value) for column, known in values.items() for value in known]


def known_values(contexts: Sequence[Sequence[tuple[str, str]]]) -> dict[str, list[str]]:
    """The values that each column has in some sequences, in alphabetical order.

    Example:
        >>> known_values([(("site", "south"),), (("site", "north"),)])
        {'site': ['north', 'south']}
    """
    found: dict[str, set[str]] = {}
    for context in contexts:
        for column, value in context:
            found.setdefault(column, set()).add(value)
    return {column: sorted(values) for column, values in found.items()}
