"""Particles: partial assignments of the variables of a graph, each with a weight, for many questions at once."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hf_trace.effects.conditionals import Codes, Conditionals, Floats, TokenDrawing, distinct, inverted
from hf_trace.effects.queries import Continue, Follow


@dataclass(frozen=True)
class Met:
    """A quantity that particles differ in, such as how probable a forced value was where it was forced, per question.

    Attributes:
        mean: Averaged with the weights of the particles, ``[query]``.
        smallest: ``[query]``.
        weight: Sum of those weights, ``[query]``.
    """

    mean: Floats
    smallest: Floats
    weight: Floats


class Particles:
    """Particles of questions that differ only in values.

    Args:
        conditionals: What the model says.
        queries: How many questions.
        draws: Particles of each; None where completions are enumerated instead.

    Attributes:
        exact: Whether completions are enumerated.
        draw: The draw each particle belongs to, counted through all questions.
        log_weight: In nats.
        codes: Values by variable, of those not forgotten.
        met: By forced variable how probable the value was.
        binned: How far the target is off because numbers are read in bins, by part; None where that is not known.
    """

    def __init__(self, conditionals: Conditionals, queries: int, draws: int | None) -> None:
        self.conditionals = conditionals
        self.exact = draws is None
        self.queries, self.draws = queries, draws or 1
        self.draw: Codes = np.arange(queries * self.draws)
        self.log_weight: Floats = np.zeros(queries * self.draws)
        self.codes: dict[str, Codes] = {}
        self.met: dict[str, Met] = {}
        self.binned: list[Met] | None = None
        self._forced: dict[str, Codes | None] = {}
        self._history = conditionals.history(queries * self.draws)
        self._differ = False

    @property
    def query(self) -> Codes:
        """The question of each particle."""
        return self.draw // self.draws

    def force(self, name: str, codes: Codes, natural: Codes | None = None) -> None:
        """Give the particles of each question its value; where they had another by nature, that one weighs."""
        forced = codes[self.query]
        if natural is None:
            log_probs = self._history.force(name, forced)
        else:
            table = self._history.log_probs(name)
            every = np.arange(len(table))
            log_probs = table[every, forced]
            self.log_weight = self.log_weight + table[every, natural[self.query]]
            self._history.append(name, forced)
        self.codes[name] = forced
        self._forced[name] = natural
        self.met[name] = self._average(np.exp(log_probs))

    def _average(self, values: Floats) -> Met:
        largest = np.full(self.queries, -np.inf)
        np.maximum.at(largest, self.query, self.log_weight)
        weight = np.exp(self.log_weight - np.where(np.isfinite(largest), largest, 0.0)[self.query])
        total = self._sums(weight)
        mean = self._sums(weight * values)
        mean = np.divide(mean, total, out=np.zeros_like(mean), where=total > 0)
        smallest = np.full(self.queries, np.inf)
        alive = weight > 0
        np.minimum.at(smallest, self.query[alive], values[alive])
        return Met(mean, smallest, total)

    def meet_target(self, name: str) -> None:
        """Note how far the target, which comes next, is off because numbers are read in bins."""
        forced = {parent: None if each is None else each[self.query] for parent, each in self._forced.items()}
        off = self.conditionals.binning.error(name, self.codes, forced)
        if off is not None:
            self.binned = [self._average(part) for part in np.broadcast_to(off, (len(self.draw), off.shape[1])).T]

    def _sums(self, values: Floats) -> Floats:
        return np.asarray(np.bincount(self.query, values, minlength=self.queries), dtype=np.float64)

    def observe(self, name: str, codes: Codes) -> None:
        """Weigh the particles by how well they explain what is given."""
        observed = codes[self.query]
        # Where the particles of a question are still alike, its evidence weighs them alike: long texts are not scored.
        is_cheap = self.conditionals.tokens[name].is_finite and name not in self.conditionals.only_read
        log_probs = self._history.force(name, observed, scored=self._differ or is_cheap)
        self.log_weight = self.log_weight + log_probs
        self.codes[name] = observed

    def expand(self, name: str, policy: Follow | None = None) -> None:
        """A particle for every value, weighted by its probability."""
        log_probs = self._log_probs(name, policy)
        values = log_probs.shape[1]
        old = np.repeat(np.arange(len(log_probs)), values)
        codes = np.tile(np.arange(values), len(log_probs))
        alive = np.isfinite(log_probs.ravel())
        self._differ = True
        self._keep(old[alive])
        self.log_weight = self.log_weight + log_probs.ravel()[alive]
        self._append(name, codes[alive])

    def sample(self, name: str, uniforms: Floats, policy: Follow | None = None) -> None:
        """Draw a value for every particle; ``uniforms`` has one number per draw of a question."""
        log_probs = self._log_probs(name, policy)
        self._differ = True
        self._append(name, inverted(log_probs, uniforms[self.draw % self.draws]))

    def draw_tokens(self, name: str, uniforms: Callable[[int], Floats], partial: Continue) -> None:
        """Draw a value that is not finite for every particle, after what is forced of it."""
        self._differ = True
        own = self.draw % self.draws
        drawing = TokenDrawing(lambda place: uniforms(place)[own], partial.prefix, partial.length)
        self.codes[name] = self._history.draw(name, drawing)

    def _log_probs(self, name: str, policy: Follow | None) -> Floats:
        natural = self._history.log_probs(name)
        if policy is None:
            return natural
        known = [self.codes[read] for read in policy.reads]
        read = np.stack(known, axis=1) if known else np.zeros((len(self.draw), 0), dtype=np.int64)
        chosen = policy.probabilities(read)
        self.met[name] = self._average(np.exp(np.where(chosen > 0, natural, np.inf).min(axis=1)))
        with np.errstate(divide="ignore"):
            return np.log(chosen)

    def _append(self, name: str, codes: Codes) -> None:
        self.codes[name] = codes
        self._history.append(name, codes)

    def _keep(self, particles: Codes) -> None:
        self.draw, self.log_weight = self.draw[particles], self.log_weight[particles]
        self.codes = {name: codes[particles] for name, codes in self.codes.items()}
        self._history.keep(particles)

    def forget(self, names: list[str]) -> None:
        """Add up particles that differ only in variables that are asked for no more."""
        if not names:
            return
        for name in names:
            del self.codes[name]
        columns = np.stack([self.draw, *self.codes.values()], axis=1)
        rows, place = distinct(columns, [int(column.max()) + 1 for column in columns.T])
        if len(rows) == len(columns):
            return
        total = np.full(len(rows), -np.inf)
        np.logaddexp.at(total, place, self.log_weight)
        first = np.zeros(len(rows), dtype=np.int64)
        first[place[::-1]] = np.arange(len(place))[::-1]
        self._keep(first)
        self.log_weight = total

    def target_weights(self, target: str, query: int) -> Floats:
        """Log of the weight of every value of the target in every draw of a question, ``[draw, value]``."""
        mine = self.query == query
        weights = np.full((self.draws, len(self.conditionals.tokens[target].values)), -np.inf)
        place = (self.draw[mine] % self.draws, self.codes[target][mine])
        np.logaddexp.at(weights, place, self.log_weight[mine])
        return weights
