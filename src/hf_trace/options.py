"""The options that commands, pipelines and settings share: each is named, given a default, explained and checked here.

``cli.flags`` makes flags of them; dataclasses of settings take their defaults and checks.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, TypeVar

from hf_trace.checks import byte_count, number, one_of, share, strptime_format, whole

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
# What a graph of a population answers, in words.
QUESTIONS = {
    "drives": "drives: of what came before, what explains the effect (direct, given the rest)",
    "follows": "follows: after the cause, does the effect begin (total, through whatever comes between)",
}
AUTO = "auto"

TRUST_REMOTE_CODE = Option(
    "trust_remote_code", False, "Let code that a model brings along run on this machine; it is refused otherwise."
)
SEED = Option("seed", 0, "Random seed.", _COUNT)
UNKNOWN: Option[str | None] = Option(
    "unknown",
    None,
    "Events the model does not know: `error`, or `map` to unknown (the default for runs trained with --min-count).",
    partial(one_of, known=UNKNOWNS),
)
LEVEL = Option(
    "level", "instance", "One graph per sequence (instance, summary) or one for all.", partial(one_of, known=LEVELS)
)
MAX_LAG: Option[int | None] = Option("max_lag", 16, "Longest distance from cause to effect, in events.", whole)
THRESHOLD = Option(
    "threshold",
    "margin:0.05",
    "What makes an edge: margin:NATS, fixed:VALUE, quantile:Q (per sequence), per-lag:NATS,NATS,…, fdr:RATE (expected "
    "share of false edges) or validated.",
)
NUM_SAMPLES = Option("num_samples", 32, "Number of draws per replaced event.", whole)
PROPOSAL = Option(
    "proposal", "uniform", "What replaces an event: uniform, unigram, model or exhaustive; by-type: removal (default)."
)
CONSTRUCTION = Option(
    "construction",
    "atomic",
    "atomic; by-type (all events of a type at once); staircase (the paper's); saliency, attention or shapley.",
)
STATISTIC = Option(
    "statistic",
    "kl_to_mixture",
    "kl_to_mixture, log_ratio, …; by-type: log_ratio, gain, kl, association; with counts, probabilities: combined "
    "(what drives) and combined_follows; staircase: library or paper.",
)
EFFECT = Option(
    "effect",
    "direct",
    "direct: events in between stay as observed; total: they may change too.",
    partial(one_of, known=EFFECTS),
)
QUESTION: Option[str | None] = Option(
    "question",
    None,
    "drives (what explains an effect: direct, by type), follows (what begins after a cause: total), or auto: which of "
    "the two the log can tell.",
    partial(one_of, known=(*QUESTIONS, AUTO)),
)
HORIZON = Option("horizon", "16", "Horizon of total effects: 16 (events), 1h, or 20,1h.")
NUM_CONTEXTS = Option("num_contexts", 256, "Number of places where events are forced, for total effects.", whole)
PREFIX_LENGTH = Option("prefix_length", 0, "Number of events at the start that are never causes.", _COUNT)
MIN_FREQUENCY: Option[float | str] = Option(
    "min_frequency", 0.05, "Minimum share of sequences that carry an edge, or adaptive: more than noise explains."
)
MIN_SUPPORT = Option("min_support", 2, "Minimum number of sequences that carry a population edge.", whole)
BOOTSTRAP = Option("bootstrap", 0, "Number of bootstrap resamples, for intervals of population edges.", _COUNT)
TIES = Option(
    "ties",
    "listed",
    "Events at the same time: listed (in the order of the log), or both (in both orders; edges have no direction).",
    partial(one_of, known=("listed", "both")),
)
BATCH_SIZE = Option("batch_size", 32, "Number of sequences scored at a time.", whole)
BOUND = Option("bound", 0.05, "Minimum cmi of an event that carries an outcome, in nats.", partial(number, least=0))
FUTURES = NUM_SAMPLES.but(default=2000, help="Number of sampled futures, or of draws where enumeration takes too long.")
WITHIN = Option("within", "16", "How soon the target must follow: 20 (events), 300s, or 20,300s.")
EXCEL = "excel"
TIME_FORMAT: Option[str | None] = Option(
    "time_format",
    None,
    f"Format of the times, as strptime reads them: '%d/%m/%Y %H:%M' (the date alone says the order of day and month), "
    f"or {EXCEL} for days as spreadsheets count them.",
    partial(strptime_format, words=(EXCEL,)),
)
VALIDATION_SHARE = Option("validation_share", 0.1, "Share of the sequences or rows held out for validation.", share)
TOPOLOGY: Option[Any] = Option(
    "topology",
    None,
    "Which places (sequences) are joined: a CSV of two columns or a square matrix, JSON, GraphML, GML or .npy.",
)
TOPOLOGY_DIRECTED = Option(
    "topology_directed", False, "The first place of a pair is upstream of the second, and acts on it alone."
)
HOPS = Option("hops", 1, "Number of steps in the topology that an event may travel.", whole)
MAX_UNPACKED: Option[int | str] = Option(
    "max_unpacked", "256MB", "Most bytes that a compressed file may unpack to, such as 20GB.", byte_count
)
