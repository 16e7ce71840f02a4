"""What all recipes do alike: options, output folder, table, figure, ``expected.json``.

A recipe says what is asked, how much is done (in full, and with ``--smoke`` in small) and measures::

    RECIPE = Recipe(__file__, __doc__, "How many draws are worth their price?", measure, {"seeds": Size(3, 1)})

    if __name__ == "__main__":
        RECIPE.main()

``measure`` gets the options, as attributes, and gives a ``Report``.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import numpy as np
from matplotlib.figure import Figure

from hf_trace.errors import HfTraceError, first_line

Metrics = Mapping[str, tuple[float, float]]


class Size(NamedTuple):
    """How much is done of something; an option of its name sets it.

    Attributes:
        full: What the figures of the recipe were measured with.
        smoke: What shows in seconds that everything runs.
        help: Of the option.
    """

    full: Any
    smoke: Any
    help: str = ""


@dataclass(frozen=True)
class Report:
    """What was measured.

    Attributes:
        rows: All of it, as JSON.
        text: A table, as Markdown.
        metrics: By name the value, and how far another run may be off.
        figure: A picture of it.
        cost: CPU seconds of parts.
    """

    rows: Any
    text: str
    metrics: Metrics = field(default_factory=dict)
    figure: Figure | None = None
    cost: Mapping[str, float] = field(default_factory=dict)


class NotMeasured(Exception):
    """The reason, in one line, why there is nothing to report."""


@dataclass(frozen=True)
class Recipe:
    """A question with a command that answers it.

    Attributes:
        file: The script. One that is named like its folder writes ``expected.json`` beside its own files.
        about: Its docstring, shown by ``--help``.
        question: What is asked.
        measure: Gives the answer; None where there is none to write yet.
        sizes: How much is done, by option.
        options: Adds further options.
        data: What ``--data`` is, where the data set is not packaged.
        more: Further words of the command with which the figures were measured.
        tiny_data: Writes made-up data of the same form to a folder, for ``--smoke``.
        peers: Packages that run in environments of their own, whose interpreters are named by ``--PEER-python``.
        seed: Default of ``--seed``, where there is one.
        can_report: Whether ``--report`` joins what earlier runs have left in the folder.
    """

    file: str
    about: str | None
    question: str
    measure: Callable[[argparse.Namespace], Report | None]
    sizes: Mapping[str, Size] = field(default_factory=dict)
    options: Callable[[argparse.ArgumentParser], object] | None = None
    data: str | None = None
    more: str = ""
    tiny_data: Callable[[Path], object] | None = None
    peers: Sequence[str] = ()
    seed: int | None = None
    can_report: bool = False

    @property
    def name(self) -> str:
        """Of the files that are written."""
        return Path(self.file).stem

    @property
    def command(self) -> str:
        """How the figures are measured again."""
        folder = Path(self.file).parent.name
        needed = [f" --{peer}-python ENV/bin/python" for peer in self.peers]
        if self.data is not None:
            needed.insert(0, " --data PATH")
        return f"python recipes/{folder}/{self.name}.py --out runs/{folder}{''.join(needed)} {self.more}".rstrip()

    def parser(self) -> argparse.ArgumentParser:
        """The command line."""
        parser = argparse.ArgumentParser(
            description=self.about, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
        )
        parser.add_argument("--out", type=Path, default=Path("runs") / Path(self.file).parent.name)
        parser.add_argument("--smoke", action="store_true", help="everything in small, to see that it runs")
        if self.can_report:
            parser.add_argument("--report", action="store_true", help="only join what was measured")
        if self.seed is not None:
            parser.add_argument("--seed", type=int, default=self.seed)
        if self.data is not None:
            parser.add_argument("--data", help=self.data)
        for peer in self.peers:
            parser.add_argument(f"--{peer}-python", help=f"interpreter of an environment with {peer}")
        for name, size in self.sizes.items():
            several = isinstance(size.full, list | tuple)
            kind = type(size.full[0] if several else size.full)
            words = f"{size.help} (default: {size.full})".strip()
            parser.add_argument(f"--{name.replace('_', '-')}", type=kind, nargs="+" if several else None, help=words)
        if self.options is not None:
            self.options(parser)
        return parser

    def main(self, arguments: Sequence[str] | None = None) -> None:
        """Read the command line, measure and write."""
        parser = self.parser()
        options = parser.parse_args(arguments)
        for name, size in self.sizes.items():
            if getattr(options, name) is None:
                setattr(options, name, size.smoke if options.smoke else size.full)
        options.out.mkdir(parents=True, exist_ok=True)
        is_report = self.can_report and options.report
        if self.data is not None and options.data is None:
            if options.smoke and self.tiny_data is not None:
                options.data = str(options.out / "data")
                self.tiny_data(Path(options.data))
            elif not is_report:
                parser.error(f"Name the data with --data ({self.data}), or pass --smoke.")
        for peer in self.peers:
            if getattr(options, f"{peer}_python") is None:
                print(f"{peer} is left out: --{peer}-python names an interpreter that has it.")
        started = time.monotonic()
        try:
            report = self.measure(options)
        except (NotMeasured, HfTraceError, OSError) as error:
            parser.error(first_line(error))
        if report is not None:
            self.write(report, options.out, None if is_report else round(time.monotonic() - started))
            print(report.text)

    def write(self, report: Report, out: Path, seconds: float | None) -> None:
        """JSON, Markdown, a figure where there is one, and what another run is to be compared with."""
        (out / f"{self.name}.json").write_text(json.dumps(report.rows, indent=1) + "\n", encoding="utf-8")
        (out / f"{self.name}.md").write_text(report.text.rstrip() + "\n", encoding="utf-8")
        if report.figure is not None:
            report.figure.savefig(out / f"{self.name}.png", dpi=110)
        if self.name == Path(self.file).parent.name.replace("-", "_"):
            document = {
                "question": self.question, "command": self.command, "date": datetime.date.today().isoformat(),
                "commit": commit(), "hardware": hardware(), "seconds": seconds,
                **({"cost": dict(report.cost)} if report.cost else {}),
                "metrics": {
                    name: {"value": float(f"{value:.8g}"), "tolerance": float(f"{tolerance:.2g}")}
                    for name, (value, tolerance) in report.metrics.items()
                },
            }  # fmt: skip
            (out / "expected.json").write_text(as_json(document), encoding="utf-8")


def as_json(expected: Mapping[str, Any]) -> str:
    """The text of an ``expected.json``: a line for each metric."""
    head = json.dumps({**expected, "metrics": {}}, indent=1, ensure_ascii=False).removesuffix("{}\n}")
    lines = [
        f"  {json.dumps(name, ensure_ascii=False)}: {json.dumps(metric)}"
        for name, metric in expected["metrics"].items()
    ]
    return head + "{\n" + ",\n".join(lines) + "\n }\n}\n"


def commit() -> str | None:
    """Of the repository, if it is one."""
    done = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or None


def hardware() -> str:
    """Cores, threads and accelerator of this machine."""
    import torch

    cores, threads = os.cpu_count(), torch.get_num_threads()
    words = f"{cores} CPU cores ({platform.machine()}), {threads} thread{'s' if threads > 1 else ''}"
    return f"{words}, {torch.cuda.get_device_name()}" if torch.cuda.is_available() else words


def table(columns: Sequence[object], rows: Iterable[Sequence[object]], *, digits: int = 3) -> str:
    """A Markdown table; numbers with a point have so many digits after it, None is a dash.

    Example:
        >>> print(table(["method", "F1"], [["lift", 0.5], ["none", None]]))
        | method | F1 |
        |---|---|
        | lift | 0.500 |
        | none | – |
    """

    def shown(cell: object) -> str:
        if cell is None:
            return "–"
        return f"{cell:.{digits}f}" if isinstance(cell, float) else str(cell).replace("|", "\\|")

    lines = ["| " + " | ".join(map(shown, columns)) + " |", "|" + "---|" * len(columns)]
    return "\n".join([*lines, *("| " + " | ".join(map(shown, row)) + " |" for row in rows)])


def spread(values: Sequence[float] | np.ndarray, *, digits: int = 3, sign: str = "") -> str:
    """Mean and standard deviation of several runs; of one run itself.

    Example:
        >>> spread([0.5, 0.7]), spread([0.5])
        ('0.600 ± 0.141', '0.500')
    """
    mean = f"{np.mean(values):{sign}.{digits}f}"
    return f"{mean} ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else mean


def panels(width: float, height: float, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, Any]:
    """A figure of so many inches, and its axes as ``Figure.subplots`` gives them."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, **options)


def metrics(
    rows: Iterable[Mapping[str, Any]],
    name: Callable[[Mapping[str, Any]], str],
    columns: Mapping[str, tuple[str, float]],
) -> Metrics:
    """Metrics of the rows of a table.

    Args:
        rows: The rows; a column that a row lacks is left out.
        name: What a row is called.
        columns: By key what the metric is called, and its tolerance.

    Example:
        >>> metrics([{"method": "lift", "f1": 0.5}], lambda row: row["method"], {"f1": ("F1", 0.02)})
        {'lift: F1': (0.5, 0.02)}
    """
    return {
        f"{name(row)}: {called}": (row[key], tolerance)
        for row in rows
        for key, (called, tolerance) in columns.items()
        if row.get(key) is not None
    }


def kept(path: Path, make: Callable[[], Any]) -> Any:
    """What a JSON file holds; made and written where there is none."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(make()) + "\n", encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))


def interval(values: np.ndarray, *, whole: np.ndarray | None = None, resamples: int = 2_000) -> tuple[float, float]:
    """95 % bootstrap interval of a mean, or of the sum of values over that of ``whole``.

    Example:
        >>> interval(np.ones(5))
        (1.0, 1.0)
    """
    drawn = np.random.default_rng(0).integers(len(values), size=(resamples, len(values)))
    found = values[drawn].mean(1) if whole is None else values[drawn].sum(1) / np.maximum(whole[drawn].sum(1), 1)
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)
