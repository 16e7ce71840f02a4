"""Bayesian networks in the BIF format: variables, their values and their probabilities."""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hf_trace.checks import near
from hf_trace.errors import DagFormatError
from hf_trace.tables.dag_source import DagSource, VariableHint, read_text_file
from hf_trace.tables.network import Network

_TOKEN = re.compile(
    r'(?P<skip>\s+|//[^\n]*|/\*.*?\*/)|(?P<quoted>"[^"]*")|(?P<mark>[{}\[\]()|;,])|(?P<word>[^\s{}\[\]()|;,"]+)',
    re.DOTALL,
)
_SEPARATORS = (",", "|")
# Tables of more axes numpy cannot hold, and of more numbers no memory.
_MOST_AXES, _MOST_NUMBERS = 60, 10**8


class _Token(NamedTuple):
    """A word or a mark; what was quoted is a name or a value, even if it looks like a mark."""

    text: str
    line: int
    is_quoted: bool

    def says(self, *words: str) -> bool:
        return not self.is_quoted and self.text in words


@dataclass
class _Block:
    """What one ``probability`` block says."""

    line: int
    parents: tuple[str, ...]
    table: list[float] | None = None
    default: list[float] | None = None
    rows: dict[tuple[str, ...], list[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class BifDocument:
    """The content of a BIF file.

    Attributes:
        values: Values of every variable, in the order of the file.
        blocks: What is said of the probabilities of a variable.
    """

    values: dict[str, tuple[str, ...]]
    blocks: dict[str, _Block]

    @property
    def source(self) -> DagSource:
        """The graph, without the probabilities.

        Raises:
            DagFormatError: If there is a cycle or an unknown parent.
        """
        edges = [(parent, name) for name in self.values if name in self.blocks for parent in self.blocks[name].parents]
        hints = {name: VariableHint("categorical", values) for name, values in self.values.items()}
        return DagSource(tuple(self.values), tuple(edges), hints)

    def network(self) -> Network:
        """The network.

        Raises:
            DagFormatError: If probabilities are missing, or do not sum to one.
        """
        schema = self.source.to_schema()
        return Network(schema, {name: self._table(name) for name in self.values})

    def _table(self, name: str) -> NDArray[np.float64]:
        if name not in self.blocks:
            raise DagFormatError(f"{name!r} has no probabilities. Add a block: probability ( {name} ) {{ … }}.")
        block = self.blocks[name]
        sizes = [len(self.values[each]) for each in (*block.parents, name)]
        if len(sizes) > _MOST_AXES or math.prod(sizes) > _MOST_NUMBERS:
            raise DagFormatError(
                f"Line {block.line}: {name!r} and its {len(block.parents)} parents have {math.prod(sizes):,} "
                f"combinations of values, expected {_MOST_NUMBERS:,} at most. Use fewer parents."
            )
        if block.table is not None:
            return _shaped(name, block, sizes)
        filled = np.full(sizes, np.nan)
        if block.default is not None:
            filled[...] = self._row(name, block, block.default)
        for values, numbers in block.rows.items():
            filled[self._codes(name, block, values)] = self._row(name, block, numbers)
        if np.isnan(filled).any():
            first = next(zip(*np.nonzero(np.isnan(filled)), strict=True))[:-1]
            missing = ", ".join(self.values[each][code] for each, code in zip(block.parents, first, strict=True))
            raise DagFormatError(
                f"Line {block.line}: {name!r} has no probabilities for ({missing}). Add this row, or a default."
            )
        return filled

    def _row(self, name: str, block: _Block, numbers: list[float]) -> list[float]:
        if len(numbers) != len(self.values[name]):
            raise DagFormatError(
                f"Line {block.line}: a row of {name!r} has {len(numbers)} probabilities, expected one for each of its "
                f"{len(self.values[name])} values."
            )
        return numbers

    def _codes(self, name: str, block: _Block, values: tuple[str, ...]) -> tuple[int, ...]:
        if len(values) != len(block.parents):
            raise DagFormatError(
                f"Line {block.line}: a row of {name!r} names {len(values)} values, expected one for each of its "
                f"{len(block.parents)} parents."
            )
        for parent, value in zip(block.parents, values, strict=True):
            if value not in self.values[parent]:
                raise DagFormatError(
                    f"Line {block.line}: {parent!r} has no value {value!r}, which a row of {name!r} names."
                    f"{near(value, self.values[parent])}"
                )
        return tuple(self.values[parent].index(value) for parent, value in zip(block.parents, values, strict=True))


def _shaped(name: str, block: _Block, sizes: list[int]) -> NDArray[np.float64]:
    """A ``table`` of all rows at once.

    The format counts with the last parent fastest and the variable itself slowest; some programs write the
    variable fastest. Only one of the two sums to one, unless the numbers allow both.
    """
    numbers = np.asarray(block.table)
    if numbers.size != np.prod(sizes):
        raise DagFormatError(
            f"Line {block.line}: the table of {name!r} has {numbers.size} probabilities, expected {np.prod(sizes)}."
        )
    standard = np.moveaxis(numbers.reshape(sizes[-1], *sizes[:-1]), 0, -1)
    other = numbers.reshape(sizes)
    close = [bool(np.allclose(each.sum(-1), 1, atol=1e-2)) for each in (standard, other)]
    return other if close == [False, True] else standard


def read_bif(path: str | PathLike[str]) -> Network:
    """Read a network from a BIF file, compressed (``.bif.gz``) or not.

    Raises:
        DagFormatError: If the file is missing, is not BIF, or lacks probabilities.
    """
    path = Path(path)
    text = read_text_file(path)
    try:
        return parse_bif(text).network()
    except DagFormatError as error:
        raise DagFormatError(f"'{path.name}': {error}") from None


def parse_bif(text: str) -> BifDocument:
    """Read the text of a BIF file.

    Comments, properties and the network's name are ignored; names and values may be quoted, and hold anything then;
    commas and ``|`` without quotes are read as blanks.

    Raises:
        DagFormatError: With the line, if the text is not BIF.

    Example:
        >>> network = parse_bif('''
        ...     network unknown { }
        ...     variable rain { type discrete [ 2 ] { no, yes }; }
        ...     variable wet { type discrete [ 2 ] { no, yes }; }
        ...     probability ( rain ) { table 0.8, 0.2; }
        ...     probability ( wet | rain ) { (no) 0.9, 0.1; (yes) 0.2, 0.8; }
        ... ''').network()
        >>> round(network.distribution("wet")["yes"], 6)
        0.24
    """
    return _Parser(text).document()


class _Parser:
    """A cursor over the tokens of a text."""

    def __init__(self, text: str) -> None:
        self.tokens = list(_tokens(text))
        self.place = 0
        self.values: dict[str, tuple[str, ...]] = {}
        self.blocks: dict[str, _Block] = {}

    def document(self) -> BifDocument:
        blocks: dict[str, Callable[[], None]] = {
            "network": self._network,
            "variable": self._variable,
            "probability": self._probability,
        }
        while self.place < len(self.tokens):
            word = self._next()
            if not word.says(*blocks):
                raise self._wrong(word, "network, variable or probability")
            blocks[word.text]()
        if not self.values:
            raise DagFormatError('The text has no variables, expected blocks such as "variable x { … }".')
        for name, block in self.blocks.items():
            self._check(name, block)
        return BifDocument(self.values, self.blocks)

    def _check(self, name: str, block: _Block) -> None:
        for each in (name, *block.parents):
            if each not in self.values:
                raise DagFormatError(
                    f"Line {block.line}: probabilities name {each!r}, which is not a variable.{near(each, self.values)}"
                )

    def _network(self) -> None:
        while not self._next().says("{"):
            pass
        depth = 1
        while depth:
            word = self._next()
            depth += word.says("{") - word.says("}")

    def _variable(self) -> None:
        line, name = self._line(), self._name()
        if name in self.values:
            raise DagFormatError(f"Line {line}: the variable {name!r} is listed twice, expected each once.")
        self._take("{")
        values: tuple[str, ...] | None = None
        while not (word := self._next()).says("}"):
            if word.says("type"):
                values = self._type(name)
            elif word.says("property"):
                self._until(";")
            else:
                raise self._wrong(word, "type or property")
        if values is None:
            raise DagFormatError(f"Line {line}: the variable {name!r} has no type, expected its values.")
        self.values[name] = values

    def _type(self, name: str) -> tuple[str, ...]:
        line = self._line()
        if not (kind := self._next()).says("discrete"):
            raise DagFormatError(f"Line {line}: {name!r} is {kind.text}, expected discrete variables only.")
        self._take("[")
        size = self._next().text
        self._take("]")
        self._take("{")
        values = tuple(self._until("}"))
        if self.place < len(self.tokens) and self.tokens[self.place].says(";"):
            self._next()
        if str(len(values)) != size:
            raise DagFormatError(f"Line {line}: {name!r} lists {len(values)} values, but says it has {size}.")
        if len(set(values)) != len(values):
            raise DagFormatError(f"Line {line}: {name!r} lists a value twice, expected each once.")
        return values

    def _probability(self) -> None:
        line = self._line()
        self._take("(")
        names = self._until(")")
        if not names:
            raise DagFormatError(f"Line {line}: probabilities of nothing, expected ( variable | parents ).")
        if names[0] in self.blocks:
            raise DagFormatError(f"Line {line}: {names[0]!r} has probabilities twice, expected them once.")
        block = self.blocks[names[0]] = _Block(line, tuple(names[1:]))
        self._take("{")
        while not (word := self._next()).says("}"):
            if word.says("table"):
                block.table = self._numbers()
            elif word.says("default"):
                block.default = self._numbers()
            elif word.says("("):
                values = tuple(self._until(")"))
                if values in block.rows:
                    raise DagFormatError(
                        f"Line {word.line}: {names[0]!r} has the row ({', '.join(values)}) twice, expected each once."
                    )
                block.rows[values] = self._numbers()
            elif word.says("property"):
                self._until(";")
            else:
                raise self._wrong(word, "table, default or a row such as (yes)")

    def _numbers(self) -> list[float]:
        line = self._line()
        words = self._until(";")
        try:
            return [float(word) for word in words]
        except ValueError:
            raise DagFormatError(f"Line {line}: {' '.join(words)[:60]!r} are not all numbers.") from None

    def _name(self) -> str:
        word = self._next()
        if word.says("{", "}", ";", "(", ")", "[", "]"):
            raise self._wrong(word, "a name")
        return word.text

    def _until(self, end: str) -> list[str]:
        words = []
        while not (word := self._next()).says(end):
            if not word.says(*_SEPARATORS):
                words.append(word.text)
        return words

    def _take(self, expected: str) -> None:
        if not (word := self._next()).says(expected):
            raise self._wrong(word, f"'{expected}'")

    def _next(self) -> _Token:
        if self.place == len(self.tokens):
            raise DagFormatError(f"The text ends in line {self._line()} within a block. Copy the file again.")
        self.place += 1
        return self.tokens[self.place - 1]

    def _line(self) -> int:
        return self.tokens[min(self.place, len(self.tokens) - 1)].line if self.tokens else 1

    def _wrong(self, word: _Token, expected: str) -> DagFormatError:
        return DagFormatError(f"Line {word.line} has {word.text!r}, expected {expected}. Is this a BIF file?")


def _tokens(text: str) -> Iterator[_Token]:
    """Words and marks with their lines."""
    line, place = 1, 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            raise DagFormatError(f"Line {line} has an unclosed quote, expected pairs of quotes.")
        if found.lastgroup != "skip":
            is_quoted = found.lastgroup == "quoted"
            yield _Token(found.group()[1:-1] if is_quoted else found.group(), line, is_quoted)
        line += found.group().count("\n")
        place = found.end()
