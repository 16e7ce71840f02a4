"""The benchmark itself: every method scores every log, is written, and only then are the known causes opened."""

import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

from hf_trace.benchmark.data_card import PROTOCOL, LogFacts, write_card, write_log
from hf_trace.benchmark.foreign_methods import ForeignMethod
from hf_trace.benchmark.known_causes import KnownCauses
from hf_trace.benchmark.methods import OWN_METHODS, PRESET, Advance, LogStudy, Method, PairsFound
from hf_trace.benchmark.scoreboard import Board, Judged, chance, judged
from hf_trace.checks import one_of
from hf_trace.documents import Document
from hf_trace.errors import OutputError, ProcessError
from hf_trace.logs.log import EventLog
from hf_trace.logs.writing import atomic_path
from hf_trace.options import SEED
from hf_trace.runs.folders import read_json, write_json
from hf_trace.training.architectures import PRESETS
from hf_trace.training.loop import ProgressCallback

SETTINGS_FILE, RESULTS_FILE, TABLE_FILE, FIGURE_FILE = "settings.json", "benchmark.json", "README.md", "benchmark.png"
# What a reader must know of the methods of the package itself.
NOTES = (
    "The real logs are those on which the package was developed: its counting rules and defaults were compared with "
    "their known graphs in sight, so that figures of its methods there are upper estimates.",
    "The networks of the simulated logs are new, their kinds are not: the default statistic of `drives` was chosen on "
    "other networks of these kinds, and `combined` learned from the causes of random worlds of the same simulator.",
    "Experts' graphs are not the world: a method that is right may be counted as wrong.",
)
_PROMISED = "Known causes are opened now: all scores are written."
Doing = Callable[[str, float], AbstractContextManager[Advance]]


@dataclass(frozen=True)
class BenchmarkRequest:
    """What is measured.

    Attributes:
        logs: The logs, by name.
        methods: Methods of the package, by name.
        others: Methods of other people, by name.
        runs: Folder with trained runs that are named like their logs; those it lacks are trained.
        limit: Seconds after which a method of other people is ended.
        seed: Of simulation, training and draws.
        small: Whether everything is done in seconds, to see that it runs.
        preset: Size of the models that are trained.
    """

    logs: Mapping[str, KnownCauses]
    methods: Mapping[str, Method] = field(default_factory=lambda: OWN_METHODS)
    others: Mapping[str, ForeignMethod] = field(default_factory=dict)
    runs: Path | None = None
    limit: float = 600.0
    seed: int = SEED.default
    small: bool = False
    preset: str = PRESET

    def __post_init__(self) -> None:
        one_of("preset", self.preset, PRESETS)
        SEED.checked(self.seed)

    @property
    def settings(self) -> Document:
        """What must be the same for a folder to be gone on with."""
        return {"seed": self.seed, "small": self.small, "preset": self.preset}

    def chosen(self, logs: Sequence[str], methods: Sequence[str]) -> "BenchmarkRequest":
        """Some of the logs and of the package's methods; of none named all.

        Raises:
            SettingsError: If there is no log or method of a name.
        """
        some_logs = {one_of("log", name, self.logs): self.logs[name] for name in logs} or self.logs
        some = {one_of("method", name, self.methods): self.methods[name] for name in methods} or self.methods
        return replace(self, logs=some_logs, methods=some)


def run_benchmark(
    request: BenchmarkRequest, out: Path, *, doing: Doing, say: Callable[[str], object] = lambda _: None
) -> Board:
    """Score all logs by all methods, then judge; what a folder holds already is not done again.

    Args:
        request: What is measured.
        out: Folder for scores, runs, the data set, the table, the figure and the JSON.
        doing: Shows progress of something until a total.
        say: Tells what was done.

    Raises:
        OutputError: If the folder holds something else, or a benchmark with another seed or size.
    """
    _begin(request, out)
    for known in request.logs.values():
        log = known.log()
        study = LogStudy(log, _run_of(request, known.name, out), request.seed, request.small, request.preset)
        for name, answer in _answers(request, study):
            kept = _Kept(out / "scores" / known.name / name)
            if kept.is_there:
                continue
            if name in request.methods and request.methods[name].needs_model and not study.is_trained:
                with doing(f"{known.name}: training (%)", 100) as advance:
                    study.train([ProgressCallback(advance)])
            with doing(f"{known.name}: {name} (%)", 100) as advance:
                how = kept.write(partial(answer, partial(_in_percent, advance)))
            say(f"{known.name}: {name}: {how}")
    say(_PROMISED)
    return _judge(request, out)


def _begin(request: BenchmarkRequest, out: Path) -> None:
    """Make the folder, or go on in one of the same settings."""
    same = request.settings
    if out.is_file():
        raise OutputError(f"{str(out)!r} is a file, expected a folder for `--out`. Choose another name.")
    if out.is_dir() and any(out.iterdir()):
        found = read_json(out, SETTINGS_FILE)
        if found != same:
            held = f"a benchmark with {found}" if found else "something else"
            raise OutputError(f"{str(out)!r} holds {held}, expected {same} or nothing. Choose another `--out`.")
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / SETTINGS_FILE, same)


def _run_of(request: BenchmarkRequest, log: str, out: Path) -> Path:
    given = None if request.runs is None else request.runs / log
    return given if given is not None and given.is_dir() else out / "runs" / log


def _answers(request: BenchmarkRequest, study: LogStudy) -> Iterator[tuple[str, Callable[[Advance], PairsFound]]]:
    """What gives the answer of each method on a log."""
    for name, method in request.methods.items():
        yield name, partial(method.answer, study)
    for name, other in request.others.items():
        yield name, partial(_unwatched, other, study.log, request.limit)


def _unwatched(other: ForeignMethod, log: EventLog, limit: float, advance: Advance) -> PairsFound:
    """What runs elsewhere does not say how far it is."""
    del advance
    return other.answer(log, limit)


def _in_percent(advance: Advance, share: float) -> None:
    advance(100 * share)


@dataclass(frozen=True)
class _Kept:
    """The answer of one method on one log, in a file; or why there is none."""

    stem: Path

    @property
    def is_there(self) -> bool:
        return self._scores.exists()

    @property
    def _scores(self) -> Path:
        return self.stem.with_name(f"{self.stem.name}.npz")

    @property
    def _failed(self) -> Path:
        return self.stem.with_name(f"{self.stem.name}.failed.json")

    def write(self, answer: Callable[[], PairsFound]) -> str:
        """Ask, write, and say how it went; what failed is asked again the next time."""
        self.stem.parent.mkdir(parents=True, exist_ok=True)
        try:
            found = answer()
        except ProcessError as error:
            write_json(self._failed, {"failed": str(error)})
            return str(error)
        found.write(self._scores)
        self._failed.unlink(missing_ok=True)
        return f"{found.seconds:.1f} s"

    def read(self) -> PairsFound | str:
        if self._failed.exists():
            return str(read_json(self.stem.parent, self._failed.name)["failed"])
        return PairsFound.read(self._scores)


def _judge(request: BenchmarkRequest, out: Path) -> Board:
    """Open the known causes, and write all that is shown."""
    rows: list[Judged] = []
    facts: list[LogFacts] = []
    for known in request.logs.values():
        log: EventLog = known.log()
        truth = known.truth(log.event_types)
        for name in (*request.methods, *request.others):
            found = _Kept(out / "scores" / known.name / name).read()
            if isinstance(found, str):
                rows.append(Judged(known.name, name, failed=found))
            else:
                rows.append(judged(known.name, name, found, truth))
        rows += chance(known.name, truth)
        facts.append(write_log(known, log, out / "data" / known.name))
    write_card(facts, out / "data")
    board = Board(rows, frozenset(name for name, known in request.logs.items() if known.is_simulated))
    _write(request, board, facts, out)
    return board


def _write(request: BenchmarkRequest, board: Board, facts: Sequence[LogFacts], out: Path) -> None:
    about = {name: each.about for name, each in request.methods.items()}
    about |= {name: each.about for name, each in request.others.items()}
    document: Document = {
        "date": datetime.date.today().isoformat(), **request.settings,
        "protocol": list(PROTOCOL), "notes": list(NOTES),
        "logs": {each.known.name: each.to_dict() for each in facts}, "methods": about,
        "summary": board.summary(), "rows": [asdict(row) for row in board.rows],
    }  # fmt: skip
    write_json(out / RESULTS_FILE, document)
    with atomic_path(out / FIGURE_FILE) as unfinished:
        board.figure().savefig(unfinished, format="png", dpi=110)
    with atomic_path(out / TABLE_FILE) as unfinished:
        unfinished.write_text(_page(request, board, about, document["date"]), encoding="utf-8")


def _page(request: BenchmarkRequest, board: Board, about: Mapping[str, str], date: str) -> str:
    said = f"{date}, seed {request.seed}, models of size {request.preset}."
    if request.small:
        said += " In small: the figures mean nothing."
    sections = (
        f"# Event causality: {len(board.methods)} methods on {len(board.logs)} logs\n\n{said}",
        f"{board.markdown()}\n![AUPRC of every method on every log]({FIGURE_FILE})",
        "## Methods\n\n" + "\n".join(f"* `{name}`: {words}" for name, words in about.items()),
        "## Protocol\n\n" + "\n".join(f"{number}. {rule}" for number, rule in enumerate(PROTOCOL, 1)),
        "## What to keep in mind\n\n" + "\n".join(f"* {note}" for note in NOTES),
    )
    return "\n\n".join(sections) + "\n"
