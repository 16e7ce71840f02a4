"""The options that commands, pipelines and settings share: each is named, given a default, explained and checked here.

``cli.flags`` makes flags of them; dataclasses of settings take their defaults and checks.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, TypeVar

from hf_trace.checks import number, one_of, share, whole

Value = TypeVar("Value")


def _anything(name: str, value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Option(Generic[Value]):
    """Something a user may choose.

    Attributes:
        name: In Python; on the command line with dashes.
        default: What counts where nothing is chosen.
        help: What it does, in one line.
        check: Gives the value back, or refuses it with a ``SettingsError``.
    """

    name: str
    default: Value
    help: str
    check: Callable[[str, Any], Any] = _anything

    def checked(self, value: Any) -> Any:
        """A value that may be chosen; None only where it is the default."""
        return value if value is None and self.default is None else self.check(self.name, value)

    def but(self, **changes: Any) -> "Option[Value]":
        """The same option where a question gives it another default or meaning."""
        return replace(self, **changes)


_COUNT = partial(whole, least=0)
LEVELS = ("instance", "summary", "population")
EFFECTS = ("direct", "total")
UNKNOWNS = ("error", "map")

SEED = Option("seed", 0, "Seed of everything random.", _COUNT)
UNKNOWN: Option[str | None] = Option(
    "unknown",
    None,
    "Event types the model does not know: `error`, or `map` (the default of runs trained with --min-count).",
    partial(one_of, known=UNKNOWNS),
)
LEVEL = Option("level", "instance", "Graph per sequence, per type or per log.", partial(one_of, known=LEVELS))
MAX_LAG: Option[int | None] = Option("max_lag", 16, "Longest distance from cause to effect, in events.", whole)
THRESHOLD = Option(
    "threshold",
    "margin:0.05",
    "margin:NATS, fixed:VALUE, quantile:Q (of each sequence), per-lag:NATS,NATS,…, fdr:RATE (share of false edges) or "
    "validated.",
)
NUM_SAMPLES = Option("num_samples", 32, "Draws per replaced event.", whole)
PROPOSAL = Option("proposal", "uniform", "Events are replaced by draws from: uniform, unigram, model, exhaustive.")
CONSTRUCTION = Option("construction", "atomic", "atomic, staircase (the paper's), saliency, attention or shapley.")
STATISTIC = Option("statistic", "kl_to_mixture", "kl_to_mixture, log_ratio, …; for the staircase library or paper.")
EFFECT = Option(
    "effect",
    "direct",
    "direct: what is between stays as observed; total: it may follow.",
    partial(one_of, known=EFFECTS),
)
HORIZON = Option("horizon", "16", "How far ahead a total effect counts: 16 (events), 1h, or 20,1h.")
NUM_CONTEXTS = Option("num_contexts", 256, "Places where events are forced, for total effects.", whole)
PREFIX_LENGTH = Option("prefix_length", 0, "Events at the start that are never causes.", _COUNT)
MIN_FREQUENCY: Option[float | str] = Option(
    "min_frequency", 0.05, "Least share of sequences that carry a population edge, or adaptive: too many to be noise."
)
MIN_SUPPORT = Option("min_support", 2, "Fewest sequences that carry a population edge.", whole)
BOOTSTRAP = Option("bootstrap", 0, "Number of bootstrap resamples, for intervals of population edges.", _COUNT)
TIES = Option(
    "ties",
    "listed",
    "Events at the same time: listed (read as listed), or both (in both orders; then they have no direction).",
    partial(one_of, known=("listed", "both")),
)
BATCH_SIZE = Option("batch_size", 32, "Sequences read at a time.", whole)
BOUND = Option("bound", 0.05, "Least cmi of an event that carries an outcome, in nats.", partial(number, least=0))
FUTURES = NUM_SAMPLES.but(default=2000, help="Futures sampled of each case; draws where enumeration is too long.")
WITHIN = Option("within", "16", "How soon the target must follow: 20 (events), 300s, or 20,300s.")
VALIDATION_SHARE = Option("validation_share", 0.1, "Share of the sequences or rows held out.", share)
