"""What a language model says of a variable, given those written before it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Int
from numpy.typing import NDArray
from torch import Tensor

from hf_trace.errors import QueryError
from hf_trace.oracle.engine import Oracle, token_bytes
from hf_trace.oracle.walks import Walk
from hf_trace.tables.binning import Binning
from hf_trace.tables.encoding import DagTable
from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import Content, VariableTokens

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]
Uniforms = Callable[[int], Floats]
_LARGEST_KEY = 2**62


@dataclass(frozen=True)
class TokenDrawing:
    """How a value is drawn.

    Attributes:
        uniforms: Numbers in [0, 1), one per row, for the token at a place.
        prefix: Tokens that the value must begin with.
        length: Tokens it must have before the ending one; None leaves its length to the model.
    """

    uniforms: Uniforms
    prefix: Content = ()
    length: int | None = None


def draw_tokens(walk: Walk, tokens: VariableTokens, drawing: TokenDrawing) -> list[Content]:
    """Draw a value for every row of a walk that has just read the variable's start; the walk reads it on the way."""
    end = tokens.end
    if end is None:
        raise ValueError("The variable is finite: its value is a single token.")
    allowed = torch.from_numpy(tokens.allowed)
    drawn = torch.full((len(walk), 0), end)
    running = torch.ones(len(walk), dtype=torch.bool)
    for place in range(tokens.max_length + 1):
        if place < len(drawing.prefix):
            step = torch.full((len(walk),), drawing.prefix[place])
        elif place == (tokens.max_length if drawing.length is None else drawing.length):
            step = torch.full((len(walk),), end)
        else:
            may_end = drawing.length is None
            log_probs = walk.log_probs(allowed if may_end else allowed[:-1]).numpy()
            step = allowed[torch.from_numpy(inverted(log_probs, drawing.uniforms(place)))]
        walk.read(step[:, None], running[:, None])
        drawn = torch.cat([drawn, torch.where(running, step, end)[:, None]], dim=1)
        running = running & (step != end)
        if not running.any():
            break
    lengths = (drawn == end).int().argmax(dim=1)
    return [tuple(row[: length + 1].tolist()) for row, length in zip(drawn, lengths, strict=True)]


def score_tokens(
    walk: Walk,
    tokens: VariableTokens,
    ids: Int[Tensor, "row slot"],
    present: Bool[Tensor, "row slot"],
    *,
    scored: bool = True,
) -> Floats:
    """Read values and give their log-probabilities in nats, ``[row]``; zeros where they are not ``scored``.

    Raises:
        ValueError: If a token is not one the variable may have.
    """
    before = walk.last
    features = walk.read(ids, present)
    if not scored or before is None:
        return np.zeros(len(walk))
    allowed = torch.from_numpy(tokens.allowed)
    order = allowed.argsort()
    place = torch.searchsorted(allowed[order], ids).clamp(max=len(allowed) - 1)
    chosen = order[place]
    if not (allowed[chosen] == ids)[present].all():
        raise ValueError("A value holds a token that its variable may not have.")
    total = torch.zeros(len(walk), dtype=torch.float64)
    for slot in range(min(ids.shape[1], tokens.max_length)):  # after the longest value the end is certain
        here = before if slot == 0 else features[:, slot - 1]
        log_probs = walk.scores(here, allowed).log_softmax(-1)
        found = log_probs.gather(1, chosen[:, slot, None])[:, 0]
        total += torch.where(present[:, slot], found, 0.0)
    return total.numpy()


def inverted(log_probs: Floats, uniforms: Floats) -> Codes:
    """Index of the value each uniform number falls on, ``[row]``.

    Example:
        >>> inverted(np.log([[0.25, 0.75], [0.25, 0.75]]), np.array([0.2, 0.3])).tolist()
        [0, 1]
    """
    cumulative = np.exp(log_probs).cumsum(axis=1)
    found = (cumulative <= (uniforms * cumulative[:, -1])[:, None]).sum(axis=1)
    return np.asarray(np.minimum(found, log_probs.shape[1] - 1), dtype=np.int64)


@dataclass
class Conditionals:
    """A model together with how variables are written for it.

    Attributes:
        oracle: The frozen model.
        schema: The graph.
        tokens: Token ids of every observed variable.
        begin: Tokens every row begins with.
        parents_only: Whether the model was taught to read only the parents of a variable.
        fixed_order: Whether it was taught only one order of the variables, ``schema.topological_order``.
        only_read: Variables that the model was not taught to predict.
        binning: How far means of numbers are from those of their bins, as far as the run knows.
        rows: Rows that formulas of its answers are moved towards, see ``towards_rows``; None for the model alone.
        contents: Values of variables that are not finite, by code: those met so far.
    """

    oracle: Oracle
    schema: DagSchema
    tokens: Mapping[str, VariableTokens]
    begin: tuple[int, ...]
    parents_only: bool
    fixed_order: bool = False
    only_read: frozenset[str] = frozenset()
    binning: Binning = field(default_factory=lambda: Binning({}))
    rows: DagTable | None = field(default=None, repr=False)
    contents: dict[str, list[Content]] = field(default_factory=dict)
    _numbers: dict[str, dict[Content, int]] = field(default_factory=dict, repr=False)
    _answers: dict[str, dict[bytes, Floats]] = field(default_factory=dict, repr=False)

    def check_learned(self, variable: str) -> None:
        """Refuse to say how probable values are that the model only read.

        Raises:
            QueryError: If the variable is one of ``only_read``.
        """
        if variable in self.only_read:
            raise QueryError(
                f"The model read {variable!r} but was not taught to predict it. Give its value, estimate from the rows "
                "of a table (`data`, `--data`), or train without `learn`."
            )

    def parents(self, variable: str) -> tuple[str, ...]:
        """Observed parents of a variable, in the order in which they are written before it: that of ``tokens``."""
        parents = set(self.schema[variable].parents)
        return tuple(name for name in self.tokens if name in parents)

    def code(self, variable: str, content: Content) -> int:
        """Number of a value: its place among the values of a finite variable, else the order in which it was met."""
        tokens = self.tokens[variable]
        if tokens.is_finite:
            return int(np.flatnonzero(tokens.values == content[0])[0])
        numbers = self._numbers.setdefault(variable, {})
        if content not in numbers:
            numbers[content] = len(numbers)
            self.contents.setdefault(variable, []).append(content)
        return numbers[content]

    def codes(self, variable: str, contents: Iterable[Sequence[int]]) -> Codes:
        """Numbers of many values."""
        return np.array([self.code(variable, tuple(content)) for content in contents], dtype=np.int64)

    def written(self, variable: str, codes: Codes) -> tuple[Tensor, Tensor]:
        """Tokens of values, ``[row, slot]``, and which slots hold one."""
        tokens = self.tokens[variable]
        if tokens.is_finite:
            ids = torch.from_numpy(tokens.values[codes])[:, None]
            return ids, torch.ones_like(ids, dtype=torch.bool)
        rows = [torch.tensor(self.contents[variable][code]) for code in codes.tolist()]
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        lengths = torch.tensor([len(row) for row in rows])
        return ids, torch.arange(ids.shape[1])[None] < lengths[:, None]

    def started(self, rows: int) -> tuple[Tensor, Tensor]:
        """What every row begins with, ``[row, slot]``, and which slots hold a token."""
        return _constant(self.begin, rows)

    def history(self, particles: int) -> "History":
        """Particles about which nothing is known yet."""
        return (ParentsOnly if self.parents_only else FullHistory)(self, particles)

    def rows_at_once(self) -> int:
        """Rows with all variables whose keys and values fit the oracle's memory."""
        config = self.oracle.model.config
        length = sum(2 + each.max_length for each in self.tokens.values())
        layers = getattr(config, "num_hidden_layers", 2)
        kept = 8 * layers * getattr(config, "hidden_size", 256)
        return max(16, self.oracle.budget // (length * (kept + token_bytes(config, length) // 4)))

    def parents_say(self, variable: str, codes: Codes) -> Floats:
        """Log-probabilities of a finite variable given values of its parents, ``[row, value]``.

        Args:
            variable: Its name.
            codes: Values of its parents, ``[row, parent]``.
        """
        self.check_learned(variable)
        known = self._answers.setdefault(variable, {})
        rows, place = distinct(codes, self._sizes(variable))
        keys = [row.tobytes() for row in rows]
        missing = [index for index, key in enumerate(keys) if key not in known]
        for part in np.array_split(np.array(missing, dtype=np.int64), -(-len(missing) // self.rows_at_once()) or 1):
            if len(part):
                walk = self.after_parents(variable, rows[part])
                found = walk.log_probs(torch.from_numpy(self.tokens[variable].values)).numpy()
                known.update({keys[index]: answer for index, answer in zip(part, found, strict=True)})
        return np.stack([known[key] for key in keys])[place]

    def after_parents(self, variable: str, codes: Codes) -> Walk:
        """Rows that have read values of a variable's parents, ``[row, parent]``, and that the variable comes next."""
        parts = [self.started(len(codes))]
        for column, parent in enumerate(self.parents(variable)):
            parts += [self.start(parent, len(codes)), self.written(parent, codes[:, column])]
        parts.append(self.start(variable, len(codes)))
        walk = Walk(self.oracle, len(codes))
        walk.read(*(torch.cat(each, dim=1) for each in zip(*parts, strict=True)))
        return walk

    def start(self, variable: str, rows: int) -> tuple[Tensor, Tensor]:
        """The token that announces a variable, ``[row, 1]``, and that it is there."""
        return _constant((self.tokens[variable].start,), rows)

    def _sizes(self, variable: str) -> list[int]:
        parents = self.parents(variable)
        return [
            len(self.contents[name]) if name in self.contents else len(self.tokens[name].values) for name in parents
        ]


def _constant(tokens: Content, rows: int) -> tuple[Tensor, Tensor]:
    ids = torch.tensor(tokens, dtype=torch.long).repeat(rows, 1)
    return ids, torch.ones_like(ids, dtype=torch.bool)


class History(ABC):
    """Particles and the values they have so far."""

    def __init__(self, conditionals: Conditionals, particles: int) -> None:
        self.conditionals = conditionals
        self.particles = particles

    @abstractmethod
    def log_probs(self, variable: str) -> Floats:
        """Log-probability, in nats, of every value of a finite variable that comes next, ``[particle, value]``."""

    @abstractmethod
    def append(self, variable: str, codes: Codes) -> None:
        """Give every particle a value of a finite variable."""

    @abstractmethod
    def force(self, variable: str, codes: Codes, *, scored: bool = True) -> Floats:
        """Give every particle a value of any variable, and say how probable it was, in nats, ``[particle]``."""

    @abstractmethod
    def draw(self, variable: str, drawing: TokenDrawing) -> Codes:
        """Draw a value of a variable that is not finite for every particle."""

    @abstractmethod
    def keep(self, particles: Codes) -> None:
        """Keep these particles; one may be taken several times."""


class FullHistory(History):
    """The model reads all variables in the order in which they come."""

    def __init__(self, conditionals: Conditionals, particles: int) -> None:
        super().__init__(conditionals, particles)
        self.walk = Walk(conditionals.oracle, 1)
        self.row: Codes = np.zeros(particles, dtype=np.int64)
        self._unread, self._present = conditionals.started(1)

    def _announce(self, variable: str) -> None:
        """Read what is unread, and that the variable comes next."""
        start, here = self.conditionals.start(variable, len(self.walk))
        self.walk.read(torch.cat([self._unread, start], dim=1), torch.cat([self._present, here], dim=1))
        self._nothing_unread()

    def _nothing_unread(self) -> None:
        self._unread = torch.empty((len(self.walk), 0), dtype=torch.long)
        self._present = self._unread.bool()

    def log_probs(self, variable: str) -> Floats:
        """See ``History``."""
        self.conditionals.check_learned(variable)
        self._announce(variable)
        values = torch.from_numpy(self.conditionals.tokens[variable].values)
        return self.walk.log_probs(values).numpy()[self.row]

    def append(self, variable: str, codes: Codes) -> None:
        """See ``History``."""
        values = self._split_by(codes)
        self._unread, self._present = self.conditionals.written(variable, values)

    def force(self, variable: str, codes: Codes, *, scored: bool = True) -> Floats:
        """See ``History``."""
        tokens = self.conditionals.tokens[variable]
        if tokens.is_finite:
            if not scored:
                self._announce(variable)
                self.append(variable, codes)
                return np.zeros(self.particles)
            log_probs = self.log_probs(variable)[np.arange(len(codes)), codes]
            self.append(variable, codes)
            return log_probs
        if scored:
            self.conditionals.check_learned(variable)
        self._announce(variable)
        ids, present = self.conditionals.written(variable, self._split_by(codes))
        log_probs = score_tokens(self.walk, tokens, ids, present, scored=scored)
        self._nothing_unread()
        return log_probs[self.row]

    def draw(self, variable: str, drawing: TokenDrawing) -> Codes:
        """See ``History``."""
        self.conditionals.check_learned(variable)
        self._announce(variable)
        self._take(self.row, np.arange(self.particles))
        contents = draw_tokens(self.walk, self.conditionals.tokens[variable], drawing)
        self._nothing_unread()
        return self.conditionals.codes(variable, contents)

    def keep(self, particles: Codes) -> None:
        """See ``History``."""
        rows, place = np.unique(self.row[particles], return_inverse=True)
        self.particles = len(particles)
        if len(rows) < len(self.walk):
            self._take(rows, place)
        else:
            self.row = self.row[particles]

    def _split_by(self, codes: Codes) -> Codes:
        """A row of its own for every pair of a row and a value; the value of each row."""
        pairs, place = distinct(np.stack([self.row, codes], axis=1), [len(self.walk), int(codes.max()) + 1])
        self._take(pairs[:, 0], place)
        return pairs[:, 1]

    def _take(self, rows: Codes, place: Codes) -> None:
        """Take rows of the walk; ``place`` says which of them each particle follows."""
        self.row = place
        # Taking all as they are would copy every key and value.
        if np.array_equal(rows, np.arange(len(self.walk))):
            return
        chosen = torch.from_numpy(np.ascontiguousarray(rows))
        self.walk.select(chosen)
        self._unread, self._present = self._unread[chosen], self._present[chosen]


class ParentsOnly(History):
    """The model reads only the parents of a variable."""

    def __init__(self, conditionals: Conditionals, particles: int) -> None:
        super().__init__(conditionals, particles)
        self.codes: dict[str, Codes] = {}

    def _parents(self, variable: str) -> Codes:
        parents = self.conditionals.parents(variable)
        empty = np.empty((self.particles, 0), dtype=np.int64)
        return np.stack([self.codes[name] for name in parents], axis=1) if parents else empty

    def log_probs(self, variable: str) -> Floats:
        """See ``History``."""
        return self.conditionals.parents_say(variable, self._parents(variable))

    def append(self, variable: str, codes: Codes) -> None:
        """See ``History``."""
        self.codes[variable] = codes

    def force(self, variable: str, codes: Codes, *, scored: bool = True) -> Floats:
        """See ``History``."""
        log_probs = np.zeros(self.particles)
        if scored and self.conditionals.tokens[variable].is_finite:
            log_probs = self.log_probs(variable)[np.arange(len(codes)), codes]
        elif scored:
            log_probs = self._scores(variable, codes)
        self.append(variable, codes)
        return log_probs

    def _scores(self, variable: str, codes: Codes) -> Floats:
        self.conditionals.check_learned(variable)
        columns = np.column_stack([self._parents(variable), codes])
        rows, place = distinct(columns, [int(column.max()) + 1 for column in columns.T])
        scores = []
        for part in np.array_split(rows, -(-len(rows) // self.conditionals.rows_at_once())):
            walk = self.conditionals.after_parents(variable, part[:, :-1])
            ids, present = self.conditionals.written(variable, part[:, -1])
            scores.append(score_tokens(walk, self.conditionals.tokens[variable], ids, present))
        return np.concatenate(scores)[place]

    def draw(self, variable: str, drawing: TokenDrawing) -> Codes:
        """See ``History``."""
        self.conditionals.check_learned(variable)
        parents = self._parents(variable)
        rows, place = distinct(parents, [int(column.max()) + 1 for column in parents.T])
        walk = self.conditionals.after_parents(variable, rows)
        walk.select(torch.from_numpy(place))
        contents = draw_tokens(walk, self.conditionals.tokens[variable], drawing)
        codes = self.conditionals.codes(variable, contents)
        self.append(variable, codes)
        return codes

    def keep(self, particles: Codes) -> None:
        """See ``History``."""
        self.particles = len(particles)
        self.codes = {name: codes[particles] for name, codes in self.codes.items()}


def distinct(rows: Codes, sizes: list[int]) -> tuple[Codes, Codes]:
    """The distinct rows, ``[distinct, column]``, and which of them each row is; ``sizes`` bounds each column.

    Example:
        >>> rows, place = distinct(np.array([[1, 0], [0, 1], [1, 0]]), [2, 2])
        >>> rows.tolist(), place.tolist()
        ([[0, 1], [1, 0]], [1, 0, 1])
    """
    if not rows.shape[1]:
        return rows[:1], np.zeros(len(rows), dtype=np.int64)
    if np.prod([float(size) for size in sizes]) > _LARGEST_KEY:
        found, place = np.unique(rows, axis=0, return_inverse=True)
        return found, place.reshape(-1)
    keys = np.ravel_multi_index(tuple(rows.T), tuple(sizes))
    _, first, place = np.unique(keys, return_index=True, return_inverse=True)
    return np.ascontiguousarray(rows[first]), place.reshape(-1)
