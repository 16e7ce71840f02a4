"""What one would do without a model of how things come about: matching, regression, T-learner, inverse weighting.

Every method predicts outcomes from a treatment and from what it may know, both one-hot and padded. The treatment is the
program, its first commands, or who wrote it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from maze_questions import POLICIES, Answers, Question
from maze_world import CELLS, END, LONGEST, Bools, Codes, Floats, Rows
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor

PEOPLE = [(floor, skill) for floor in range(2) for skill in range(2)]
CONTEXTS = 300
FEWEST = 30


def one_hot(codes: Codes, values: int) -> Floats:
    """``[row, value]``, or side by side for several columns; a code of -1 has no value."""
    columns = codes[..., None] == np.arange(values)
    return columns.reshape(len(codes), -1).astype(float)


def commands_of(program: Codes, first: int | None) -> Floats:
    """The first commands, ``[row, feature]``; with none given, the whole program."""
    return one_hot(program[:, :first], END)


def padded(programs: list[tuple[int, ...]]) -> Codes:
    """``[row, command]``, -1 after the end."""
    return np.array([[*program, *[-1] * (LONGEST - len(program))] for program in programs])


class Boosting:
    """Gradient-boosted trees, one for each outcome."""

    def __init__(self, seed: int = 0) -> None:
        options = {"max_iter": 200, "early_stopping": True, "random_state": seed}
        self.reached, self.steps = (HistGradientBoostingClassifier(**options), HistGradientBoostingRegressor(**options))
        self.share: float | None = None

    def fit(self, features: Floats, rows: "Outcomes", weights: Floats | None = None) -> "Boosting":
        """Learn from rows."""
        # Early stopping sets rows of both kinds aside.
        if np.bincount(rows.reached, minlength=2).min() < 2 or len(rows.reached) < FEWEST:
            self.share = float(np.average(rows.reached, weights=weights))
        else:
            self.reached.fit(features, rows.reached, sample_weight=weights)
        self.steps.fit(features, rows.steps, sample_weight=weights)
        return self

    def predict(self, features: Floats, goal: Codes) -> Floats:
        """Reached, steps, and nothing said of the final cell, ``[row, 2 + cell]``."""
        reached = (
            self.reached.predict_proba(features)[:, 1] if self.share is None else np.full(len(features), self.share)
        )
        unsaid = np.full((len(features), len(CELLS)), np.nan)
        return np.column_stack([reached, self.steps.predict(features), unsaid])


class Network:
    """A multi-layer perceptron for the final cell, from which "reached" is read, and one for the steps."""

    def __init__(self, seed: int = 0) -> None:
        options = {"hidden_layer_sizes": (128, 64), "early_stopping": True, "max_iter": 40, "random_state": seed}
        self.final, self.steps = MLPClassifier(**options), MLPRegressor(**options)

    def fit(self, features: Floats, rows: "Outcomes", weights: Floats | None = None) -> "Network":
        """Learn from rows."""
        self.final.fit(features, rows.final, sample_weight=weights)
        self.steps.fit(features, rows.steps, sample_weight=weights)
        return self

    def predict(self, features: Floats, goal: Codes) -> Floats:
        """Reached, steps and the final cell, ``[row, 2 + cell]``."""
        final = np.zeros((len(features), len(CELLS)))
        final[:, self.final.classes_] = self.final.predict_proba(features)
        return np.column_stack([final[np.arange(len(goal)), goal], self.steps.predict(features), final])


@dataclass(frozen=True)
class Outcomes:
    """What came of rows."""

    reached: Codes
    steps: Codes
    final: Codes

    @classmethod
    def of(cls, rows: Rows, kept: Bools) -> "Outcomes":
        """Of some rows."""
        return cls(rows.reached[kept], rows.steps[kept], rows.final[kept])


@dataclass
class Method:
    """A way to answer; models are fitted when first needed.

    Attributes:
        name: In the tables.
        rows: The training table.
    """

    name: str
    rows: Rows
    models: dict = field(default_factory=dict)

    def answers(self, questions: list[Question]) -> Answers:
        """Answer questions of one kind."""
        if questions[0].kind == "average":
            return self.averages(questions)
        found = self.in_contexts(
            questions,
            np.stack([question.walls for question in questions]),
            np.array([question.goal for question in questions]),
        )
        return Answers(found[:, 0], found[:, 1], found[:, 2:])

    def averages(self, questions: list[Question]) -> Answers:
        """Over mazes and goals of the training table."""
        some = slice(0, CONTEXTS)
        walls, goal = self.rows.walls[some], self.rows.goal[some]
        found = [
            self.in_contexts([Question("complete", question.commands)] * len(goal), walls, goal).mean(0)
            for question in questions
        ]
        return Answers(*(np.stack(found).T[:2]), np.full((len(found), len(CELLS)), np.nan))

    def in_contexts(self, questions: list[Question], walls: Bools, goal: Codes) -> Floats:
        """Answers, ``[question, 2 + cell]``; each in a maze with a goal."""
        raise NotImplementedError

    def model(self, key: object, fit: Callable[[], object]) -> object:
        """A model, fitted when first asked for."""
        if key not in self.models:
            self.models[key] = fit()
        return self.models[key]

    def people(self, goal: Codes) -> Floats:
        """Share of every floor and skill where the goal is this, ``[row, people]``."""
        counts = np.ones((len(CELLS), 2, 2))
        np.add.at(counts, (self.rows.goal, self.rows.floor, self.rows.skill), 1)
        return (counts / counts.sum((1, 2), keepdims=True)).reshape(-1, 4)[goal]

    def having(self, first: int | None) -> Bools:
        """Rows whose programs have so many commands."""
        return self.rows.program[:, (first or 1) - 1] >= 0 if first else np.ones(len(self.rows), dtype=bool)


def grouped(questions: list[Question]) -> dict[tuple[int | None, str], Codes]:
    """Questions by how many first commands they force (None: all of a program) and by policy."""
    groups: dict[tuple[int | None, str], list[int]] = {}
    for number, question in enumerate(questions):
        first = {"complete": None, "policy": 0}.get(question.kind, len(question.commands))
        groups.setdefault((first, question.policy), []).append(number)
    return {key: np.array(group) for key, group in groups.items()}


class Matching(Method):
    """Mean outcome of rows that began alike, whatever the maze: as many commands as were ever seen together."""

    def in_contexts(self, questions: list[Question], walls: Bools, goal: Codes) -> Floats:
        """See ``Method``."""
        return np.stack([self._mean(question) for question in questions])

    def _mean(self, question: Question) -> Floats:
        rows = self.rows
        if question.kind == "policy":
            share = np.tensordot(np.bincount(rows.floor) / len(rows), POLICIES[question.policy], 1)
            return share @ np.stack([self._outcomes(rows.skill == skill) for skill in range(2)])
        wanted = padded([question.commands])[0]
        length = len(question.commands) if question.kind == "partial" else LONGEST
        while not (alike := (rows.program[:, :length] == wanted[:length]).all(1)).any():
            length -= 1
        return self._outcomes(alike)

    def _outcomes(self, kept: Bools) -> Floats:
        rows = self.rows
        final = np.bincount(rows.final[kept], minlength=len(CELLS)) / kept.sum()
        return np.array([rows.reached[kept].mean(), rows.steps[kept].mean(), *final])

    def averages(self, questions: list[Question]) -> Answers:
        """See ``Method``."""
        found = np.stack([self._mean(Question("complete", question.commands)) for question in questions])
        return Answers(found[:, 0], found[:, 1], found[:, 2:])


@dataclass
class Regression(Method):
    """Outcomes from treatment, walls and goal, and from floor and skill if those are adjusted for.

    Attributes:
        learner: ``Boosting`` or ``Network``.
        is_adjusted: Whether floor and skill are features, and averaged over as they are given the goal.
        by_arm: Whether there is a model of its own for every first two commands, or for every skill.
    """

    learner: type = Boosting
    is_adjusted: bool = True
    by_arm: bool = False

    def features(self, first: int | None, program: Codes, walls: Bools, goal: Codes, people: Codes) -> Floats:
        """``[row, feature]``; ``people`` is floor and skill, ``[row, 2]``."""
        known = people if self.is_adjusted else people[:, 1:][:, : int(first == 0)]
        return np.column_stack([commands_of(program, first), walls, one_hot(goal, len(CELLS)), known])

    def in_contexts(self, questions: list[Question], walls: Bools, goal: Codes) -> Floats:
        """See ``Method``."""
        found = np.zeros((len(questions), 2 + len(CELLS)))
        shares = self.people(goal)
        for (first, policy), group in grouped(questions).items():
            program = padded([questions[number].commands for number in group])
            by_floor = shares[group].reshape(-1, 2, 2)
            if policy:
                by_floor = by_floor.sum(2, keepdims=True) * POLICIES[policy]
            for place, people in enumerate(PEOPLE):
                told = np.tile(people, (len(group), 1))
                features = self.features(first, program, walls[group], goal[group], told)
                predicted = self.predicted(first, program, told, features, goal[group])
                found[group] += by_floor.reshape(-1, 4)[:, place, None] * predicted
        return found

    def predicted(self, first: int | None, program: Codes, people: Codes, features: Floats, goal: Codes) -> Floats:
        """What the model, or that of the arm, says of rows."""
        arms = self.arms(first, program, people)
        found = np.zeros((len(features), 2 + len(CELLS)))
        for arm in np.unique(arms):
            model = self.model((first, arm), lambda arm=arm: self._fitted(first, int(arm)))
            found[arms == arm] = model.predict(features[arms == arm], goal[arms == arm])
        return found

    def arms(self, first: int | None, program: Codes, people: Codes) -> Codes:
        """Number of the arm of each row."""
        if not self.by_arm:
            return np.zeros(len(program), dtype=np.int64)
        if first == 0:
            return people[:, 1]
        second = 0 if first == 1 else program[:, 1] + 1
        return (END + 1) * (program[:, 0] + 1) + second

    def _fitted(self, first: int | None, arm: int) -> object:
        rows = self.rows
        people = np.column_stack([rows.floor, rows.skill])
        kept = self.having(first)
        mine = kept & (self.arms(first, rows.program, people) == arm)
        kept = mine if mine.sum() >= FEWEST else kept
        features = self.features(first, rows.program[kept], rows.walls[kept], rows.goal[kept], people[kept])
        return self.learner().fit(features, Outcomes.of(rows, kept))


class Weighted(Method):
    """Inverse propensity: rows weigh as if programs had been handed out without looking at floor and skill.

    In a maze, boosting from treatment, walls and goal on weighted rows (a marginal structural model); over all mazes,
    the weighted mean of the rows with that very program.
    """

    def in_contexts(self, questions: list[Question], walls: Bools, goal: Codes) -> Floats:
        """See ``Method``."""
        found = np.zeros((len(questions), 2 + len(CELLS)))
        for (first, policy), group in grouped(questions).items():
            program = padded([questions[number].commands for number in group])
            model = self.model((first, policy), lambda key=(first, policy): self._fitted(*key))
            features = self._features(first, program, walls[group], goal[group])
            found[group] = model.predict(features, goal[group])
        return found

    def _features(self, first: int | None, program: Codes, walls: Bools, goal: Codes) -> Floats:
        return np.column_stack([commands_of(program, first), walls, one_hot(goal, len(CELLS))])

    def _fitted(self, first: int | None, policy: str) -> object:
        rows, kept = self.rows, self.having(first)
        features = self._features(first, rows.program[kept], rows.walls[kept], rows.goal[kept])
        place = 2 * rows.floor[kept] + rows.skill[kept]
        every, prior = np.arange(len(place)), self.people(rows.goal[kept])
        if policy:
            by_floor = prior.reshape(-1, 2, 2)
            called = by_floor / by_floor.sum(2, keepdims=True)
            weights = POLICIES[policy][rows.floor[kept], rows.skill[kept]] / called.reshape(-1, 4)[every, place]
        else:
            # p(treatment | maze) / p(treatment | maze, people), by Bayes' rule.
            guess = HistGradientBoostingClassifier(max_iter=100, early_stopping=True, random_state=0)
            posterior = guess.fit(features, place).predict_proba(features)
            column = np.searchsorted(guess.classes_, place)
            weights = prior[every, place] / posterior[every, column]
            weights = np.minimum(weights, np.quantile(weights, 0.99))
        return Boosting().fit(features, Outcomes.of(rows, kept), weights)

    def averages(self, questions: list[Question]) -> Answers:
        """See ``Method``."""
        log_shares = self.model("writing", self._writing)
        found = []
        for question in questions:
            alike = (self.rows.program == padded([question.commands])).all(1)
            weights = np.exp(-log_shares[alike])
            seen = alike.any()
            found.append(np.average(self.rows.reached[alike], weights=weights) if seen else self.rows.reached.mean())
        unsaid = np.full((len(found), len(CELLS)), np.nan)
        return Answers(np.array(found), np.full(len(found), np.nan), unsaid)

    def _writing(self) -> Floats:
        """Log-probability of every row's program given everything before it, ``[row]``."""
        rows = self.rows
        people = np.column_stack([rows.floor, rows.skill])
        context = np.column_stack([rows.walls, one_hot(rows.goal, len(CELLS)), people])
        owner, features, written = [], [], []
        for place in range(LONGEST):
            before = np.flatnonzero(rows.program[:, place - 1] >= 0 if place else np.ones(len(rows), dtype=bool))
            past = np.where(np.arange(LONGEST) < place, rows.program[before], -1)
            where = np.full((len(before), 1), place)
            features.append(np.column_stack([commands_of(past, None), one_hot(where, LONGEST), context[before]]))
            owner.append(before)
            written.append(np.where(rows.program[before, place] >= 0, rows.program[before, place], END))
        every, chosen = np.concatenate(features).astype(np.float32), np.concatenate(written)
        model = MLPClassifier((128, 64), early_stopping=True, max_iter=15, random_state=0).fit(every, chosen)
        log_shares = model.predict_log_proba(every)[np.arange(len(chosen)), np.searchsorted(model.classes_, chosen)]
        return np.bincount(np.concatenate(owner), log_shares, minlength=len(rows))


def methods(rows: Rows) -> list[Method]:
    """All of them, on one table."""
    return [
        Matching("matching: p(Y | A)", rows),
        Regression("boosting without confounders: p(Y | A, maze)", rows, is_adjusted=False),
        Regression("outcome regression, boosting", rows),
        Regression("outcome regression, network", rows, learner=Network),
        Regression("T-learner, boosting", rows, by_arm=True),
        Weighted("inverse propensity, boosting", rows),
    ]
