r"""Names of the tokens a table's variables are written with.

No two tokens of different meaning have one name: what announces and ends a variable begins with ``<``, which a
variable's name never does once it is escaped, and in the others the first ``=`` or ``:`` without a backslash ends the
variable's name.
"""

import re

from hf_trace.data.dags.variables import Variable

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
