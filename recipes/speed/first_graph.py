# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""How long until the first graph? ``hf-trace explain`` from a cold start, on logs of five kinds.

    python recipes/speed/first_graph.py --out runs/first-graph --data PATH --before OTHER_CHECKOUT

Each row is a command of its own, timed from outside with everything that it loads: seconds until ``counted.json``,
until ``graph.json`` and until its end, CPU seconds until the graph (Linux) and until the end, its largest resident set.
With ``--before`` another checkout of the package runs first, log by log.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness import NotMeasured, Recipe, Report, Size, metrics, table
from lathe import KEPT

from hf_trace.logs.log import EventLog
from hf_trace.logs.samples import alarms_log
from hf_trace.logs.writing import write_json_lines

DATA = "folder with alarms_18v, process_logs, hdfs_logkeys, csl_sample and causrca; without it the packaged alarms"
LOGS = {
    "alarms": ("alarms_18v/Alarm.csv",),
    "receipt": ("process_logs/receipt.csv",),
    "hdfs": ("hdfs_logkeys/hdfs_train",),
    "csl": (
        "csl_sample/alarm.csv",
        *("--case-column", "device_id", "--event-column", "alarm_id", "--time-column", "start_timestamp"),
    ),
    "causrca": ("causrca/real_op", "--event-column", "node,value", "--query", KEPT),
}
GRAPH, COUNTED = "graph.json", "counted.json"
COLUMNS = {
    "log": "log", "package": "package", "counted": "s to counted.json", "graph": "s to graph.json", "all": "s in all",
    "cpu_graph": "CPU s to graph.json", "cpu": "CPU s in all", "peak_mb": "peak MB", "nats": "nats, held out",
    "additive": "additive, nats", "edges": "edges",
}  # fmt: skip
_PAUSE = 0.05


def explained(name: str, words: list[str], package: str, source: Path | None, options: argparse.Namespace) -> dict:
    """One command, watched until it ends."""
    folder = options.out / f"{name}-{package}"
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, "-m", "hf_trace", "explain", *words, "--out", str(folder), *options.words]
    paths = {} if source is None else {"PYTHONPATH": str(source / "src")}
    started, errors = time.time(), options.out / f"{name}-{package}.log"
    with errors.open("w", encoding="utf-8") as log:
        child = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **paths})
        spent = _until_graph(child.pid, folder / GRAPH)
        is_cut = options.until_graph and (folder / GRAPH).exists()
        if is_cut:
            child.terminate()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    taken = time.time() - started
    if child.returncode and not is_cut:
        lines = errors.read_text(encoding="utf-8").strip().splitlines()
        raise NotMeasured(f"explain of {name} failed: {(lines or ['no message'])[-1]}")
    quality = json.loads((folder / "run" / "metrics.json").read_text(encoding="utf-8"))["validation"]
    return {
        "log": name,
        "package": package,
        "counted": (folder / COUNTED).stat().st_mtime - started if (folder / COUNTED).exists() else None,
        "graph": (folder / GRAPH).stat().st_mtime - started,
        "all": None if is_cut else taken,
        "cpu_graph": spent,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss / 1024,
        "nats": quality["loss"],
        "additive": quality.get("additive"),
        "edges": len(json.loads((folder / GRAPH).read_text(encoding="utf-8"))["edges"]),
    }


def _until_graph(process: int, graph: Path) -> float | None:
    """CPU seconds of a process when a file appears or it ends; None where the system does not tell."""
    stat, spent = Path(f"/proc/{process}/stat"), None
    while not graph.exists():
        try:
            fields = stat.read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            return None
        if fields[0] == "Z":
            break
        spent = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        time.sleep(_PAUSE)
    return spent


def _words(name: str, options: argparse.Namespace) -> list[str]:
    """The log, as a command line names it."""
    if options.data:
        file, *words = LOGS[name]
        return [str(Path(options.data).resolve() / file), *words]
    if name != "alarms":
        raise NotMeasured(f"{name} is not packaged. Name the data with --data ({DATA}), or pass --logs alarms.")
    log, file = alarms_log(), options.out / "alarms.jsonl"
    if options.smoke:
        log = EventLog.from_sequences(log[index].part(0, 40) for index in range(12))
    write_json_lines(file, log.to_records())
    return [str(file)]


def measure(options: argparse.Namespace) -> Report:
    """Every log by every package."""
    options.out = options.out.resolve()
    options.words = ["--preset", "pico", "--epochs", "1", "--window-length", "16"] if options.smoke else []
    options.until_graph |= options.smoke
    packages: dict[str, Path | None] = {"now": None}
    if options.before:
        packages = {"before": Path(options.before).resolve(), "now": Path(__file__).parents[2]}
    rows = []
    for name in options.logs:
        words = _words(name, options)
        for package, source in packages.items():
            rows.append(explained(name, words, package, source, options))
            print(f"{name}, {package}: {rows[-1]['graph']:.1f} s to the graph, {rows[-1]['cpu']:.1f} CPU s")
    shown = [[_shown(key, row[key]) for key in COLUMNS] for row in rows]
    return Report(
        rows,
        table(list(COLUMNS.values()), shown),
        metrics(rows, lambda row: f"{row['log']}, {row['package']}", {"graph": ("seconds to the graph", 15.0)}),
    )


def _shown(key: str, value: object) -> object:
    return value if key in ("nats", "additive") or not isinstance(value, float) else f"{value:,.1f}"


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", help=DATA)
    parser.add_argument("--until-graph", action="store_true", help="end each command once its graph is there")
    parser.add_argument("--before", help="another checkout of the package, which runs first")


RECIPE = Recipe(
    __file__,
    __doc__,
    "How long until the first graph?",
    measure,
    {"logs": Size(list(LOGS), ["alarms"], "what is explained")},
    options=_options,
    more="--data PATH --before OTHER_CHECKOUT",
)

if __name__ == "__main__":
    RECIPE.main()
