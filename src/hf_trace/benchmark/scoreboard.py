"""What methods said, beside the known causes: one row for each log and method, a table, a figure."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hf_trace.benchmark.methods import PairsFound
from hf_trace.documents import Document
from hf_trace.graphs.metrics import score_graph

CHANCE, EVERY_PAIR = "chance", "every pair"
SKILL = "AUPRC, as the share of the way from chance (0) to a perfect ranking (1)"
_SIMULATED, _REAL, _CHANCE = "#0072B2", "#D55E00", "#555555"


@dataclass(frozen=True)
class Judged:
    """How near a method comes to the known causes of a log.

    Attributes:
        log: Name of the log.
        method: Name of the method.
        auroc: Chance that a true pair is ranked above another one.
        auprc: Average precision of the ranking; of a random one the base rate.
        f1: Of its own edges; None where it names none.
        edges: How many it names.
        seconds: What it took, without training.
        failed: Why there is nothing, in a line.
    """

    log: str
    method: str
    auroc: float | None = None
    auprc: float | None = None
    f1: float | None = None
    edges: int | None = None
    seconds: float | None = None
    failed: str = ""


def judged(log: str, method: str, found: PairsFound, truth: np.ndarray) -> Judged:
    """One row.

    Example:
        >>> truth = np.array([[False, True], [False, False]])
        >>> row = judged("x", "m", PairsFound(np.array([[0.0, 2.0], [1.0, 0.0]]), truth, 0.5), truth)
        >>> row.auroc, row.auprc, row.f1, row.edges
        (1.0, 1.0, 1.0, 1)
    """
    edges = np.zeros_like(truth) if found.edges is None else found.edges
    scores = score_graph(truth, edges, found.scores)
    own: tuple[float | None, int | None] = (None, None)
    if found.edges is not None:
        own = scores.f1, int(edges.sum() - np.trace(edges))
    return Judged(log, method, scores.auroc, scores.auprc, *own, round(found.seconds, 3))


def chance(log: str, truth: np.ndarray) -> list[Judged]:
    """What a random ranking, and a graph with every edge, are expected to have.

    Example:
        >>> [(row.auroc, row.auprc, row.f1) for row in chance("x", np.array([[False, True], [False, False]]))]
        [(0.5, 0.5, None), (None, None, 0.6666666666666666)]
    """
    scores = score_graph(truth, truth)
    pairs = truth.size - len(truth)
    return [
        Judged(log, CHANCE, auroc=0.5, auprc=scores.base_rate),
        Judged(log, EVERY_PAIR, f1=scores.predict_all_f1, edges=pairs),
    ]


@dataclass(frozen=True)
class Board:
    """All rows.

    Attributes:
        rows: One for each log and method, chance among them.
        simulated: Names of the simulated logs; the others are real.
    """

    rows: Sequence[Judged]
    simulated: frozenset[str]

    @property
    def logs(self) -> list[str]:
        """Names of the logs, in order."""
        return list(dict.fromkeys(row.log for row in self.rows))

    @property
    def methods(self) -> list[str]:
        """Names of the methods, in order, without chance."""
        return [name for name in dict.fromkeys(row.method for row in self.rows) if name not in (CHANCE, EVERY_PAIR)]

    def cells(self, method: str) -> Mapping[str, Judged]:
        """Rows of a method by log."""
        return {row.log: row for row in self.rows if row.method == method}

    def skill(self, method: str, logs: Sequence[str]) -> float | None:
        """Mean over logs of the share of the way from chance to 1 that AUPRC goes; None where a log is missing.

        Base rates differ between logs from 1 to 23 in a hundred, so that AUPRC itself has no mean.
        """
        base, cells = self.cells(CHANCE), self.cells(method)
        pairs = [(cells[log].auprc if log in cells else None, base[log].auprc) for log in logs]
        ways = [(own - rate) / (1 - rate) for own, rate in pairs if own is not None and rate is not None]
        return float(np.mean(ways)) if ways and len(ways) == len(logs) else None

    def summary(self) -> list[Document]:
        """For each method its skill on real and on simulated logs, and its seconds in all."""
        kinds = {"real": [log for log in self.logs if log not in self.simulated]}
        kinds["simulated"] = [log for log in self.logs if log in self.simulated]
        return [
            {"method": name, **{kind: self.skill(name, logs) for kind, logs in kinds.items()},
             "seconds": sum(row.seconds or 0.0 for row in self.cells(name).values())}
            for name in self.methods
        ]  # fmt: skip

    def markdown(self) -> str:
        """Tables: skill and seconds, AUROC / AUPRC, F1 of the own edges with their number; what gave no answer."""
        ranks = self._crossed((*self.methods, CHANCE), lambda row: f"{_short(row.auroc)} / {_short(row.auprc)}")
        own = self._crossed((*self.methods, EVERY_PAIR), lambda row: f"{_short(row.f1)} ({row.edges})")
        skills = [
            [each["method"], *(_short(each[kind]) for kind in ("real", "simulated")), f"{each['seconds']:.1f}"]
            for each in self.summary()
        ]
        failures = [f"* {row.method} on {row.log}: {row.failed}" for row in self.rows if row.failed]
        parts = [
            f"{SKILL}, mean over logs; seconds on all logs, without training",
            _table(("method", "real logs", "simulated logs", "seconds"), skills),
            "AUROC / AUPRC; real logs first, * simulated",
            ranks,
            "F1 of the method's own edges (how many)",
            own,
            *(["No answer", "\n".join(failures)] if failures else []),
        ]
        return "\n\n".join(parts) + "\n"

    def _crossed(self, methods: Sequence[str], shown: Callable[[Judged], str]) -> str:
        names = [f"{log}*" if log in self.simulated else log for log in self.logs]
        lines = []
        for method in methods:
            cells = self.cells(method)
            lines.append([method, *(_cell(cells.get(log), shown) for log in self.logs)])
        return _table(("method", *names), lines)

    def figure(self) -> Figure:
        """AUPRC of every method on every log, a panel for each log; the line is chance."""
        columns = min(4, len(self.logs))
        rows = math.ceil(len(self.logs) / columns)
        figure = Figure(figsize=(3.2 * columns, (0.17 * len(self.methods) + 0.6) * rows), layout="constrained")
        FigureCanvasAgg(figure)
        panels = np.atleast_1d(figure.subplots(rows, columns, sharey=True)).ravel()
        for panel, log in zip(panels, self.logs, strict=False):
            values = [(self.cells(name).get(log) or Judged(log, name)).auprc or 0.0 for name in self.methods]
            panel.barh(self.methods, values, color=_SIMULATED if log in self.simulated else _REAL)
            panel.axvline(self.cells(CHANCE)[log].auprc or 0.0, color=_CHANCE, ls="--", lw=1)
            panel.set(title=log, xlim=(0, 1))
            panel.tick_params(labelsize=7)
        for panel in panels[len(self.logs) :]:
            panel.set_axis_off()
        panels[0].invert_yaxis()
        figure.supxlabel("AUPRC (dashed: chance)", fontsize=9)
        return figure


def _cell(row: Judged | None, shown: Callable[[Judged], str]) -> str:
    if row is None or (row.auroc is None and row.f1 is None):
        return "–"
    return shown(row).replace("– (None)", "–")


def _short(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "–"
    return f"{value:.3f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.3f}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(each) + " |" for each in (columns, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(columns), *lines[1:]])
