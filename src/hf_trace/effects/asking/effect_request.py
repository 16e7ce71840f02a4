"""How questions about a table are to be answered."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hf_trace.checks import one_of
from hf_trace.effects.answers import AnswerSettings
from hf_trace.effects.conditionals import Conditionals
from hf_trace.effects.doubly_robust import Rows
from hf_trace.effects.table_model import TableModel
from hf_trace.effects.targeted import ESTIMATORS, POPULATIONS
from hf_trace.errors import SettingsError

REFUSALS = ("raise", "report")


@dataclass(frozen=True)
class EffectRequest:
    """How questions about a table are to be answered.

    Attributes:
        num_samples: See ``AnswerSettings``, as for the next three.
        most_states: See there.
        seed: See there.
        least_effective: See there.
        estimator: ``"plug-in"``, or doubly robust on the rows of ``data``, with the model's propensities and outcome
            means, cross-fitted where the run was trained with folds; numbers count as they stand there: ``"aipw"``, or
            ``"tmle"``, whose means do not leave the range of the outcome.
        data: A DataFrame or table file with the rows of the training table. Plug-in answers of a graph with
            latent variables are moved towards these rows where they say better, see ``towards_rows``, and have an
            interval.
        target_value: The value whose probability a contrast compares; by default the mean of a target with numbers,
            or the last value of one without.
        intervals: Whether plug-in answers have an interval that holds what training may have got wrong, where the run
            has folds: each question is then put to the model of every fold, too.
        population: Whom a doubly robust contrast is about, see ``estimated``.
        bounds: Whether a question that observations do not tell is answered by an interval: how far it may lie.
        refute: Whether contrasts are put to everything that could speak against them, on the rows of ``data``.
        elsewhere: A DataFrame or table file of another population that plug-in answers are to be for: how often its
            covariates have their values.
        note_rows: Called with the rows behind a doubly robust contrast, as ``row_columns`` gives them: for figures.
        on_refusal: ``"raise"``, or ``"report"``: a question that cannot be answered gives ``{"error": reason}``.

    Raises:
        SettingsError: If a value is not one that may be chosen.
    """

    num_samples: int = AnswerSettings.num_samples
    most_states: int = AnswerSettings.most_states
    seed: int = AnswerSettings.seed
    least_effective: float = AnswerSettings.least_effective
    estimator: str = ESTIMATORS[0]
    data: Any = field(default=None, compare=False, repr=False)
    target_value: Any = None
    on_refusal: str = REFUSALS[0]
    bounds: bool = False
    refute: bool = False
    population: str = POPULATIONS[0]
    elsewhere: Any = field(default=None, compare=False, repr=False)
    intervals: bool = True
    note_rows: Callable[[Rows], object] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        self.settings(None)
        one_of("estimator", self.estimator, ESTIMATORS)
        one_of("population", self.population, POPULATIONS)
        one_of("on_refusal", self.on_refusal, REFUSALS)
        if self.elsewhere is not None and (self.estimator != ESTIMATORS[0] or self.refute or self.bounds):
            raise SettingsError(
                "Answers for another population are the model's: expected the estimator 'plug-in', without `refute` "
                "and `bounds`. Leave out either."
            )

    @property
    def moves_formulas(self) -> bool:
        """Whether formulas of the model are moved towards the rows of ``data``: not where these are to refute them."""
        return self.data is not None and self.estimator == ESTIMATORS[0] and not self.refute

    def settings(self, rows: int | None) -> AnswerSettings:
        """What single answers need of it.

        Args:
            rows: That the model was trained on, if known.
        """
        return AnswerSettings(self.num_samples, self.most_states, self.seed, rows, self.least_effective)

    def members(self, model: TableModel) -> Sequence[Conditionals]:
        """The models that an interval comes from: none where it is not asked for."""
        return model.members if self.intervals else ()

    def check_rows(self) -> None:
        """Refuse an estimator that works on rows where none are given.

        Raises:
            SettingsError: If there are none.
        """
        if self.refute and self.data is None:
            raise SettingsError("An effect is refuted by rows, but none were given. Pass `data` (`--data TABLE`).")
        if self.estimator != ESTIMATORS[0] and self.data is None:
            raise SettingsError(
                f"The {self.estimator} estimator works on rows, but none were given. Pass `data` (`--data TABLE`)."
            )
        if self.estimator == ESTIMATORS[0] and self.population != POPULATIONS[0]:
            raise SettingsError(
                f"The population is {self.population!r}, and the plug-in estimator weighs no rows. Add `estimator` "
                "'tmle' (`--estimator tmle`), or leave it out."
            )
