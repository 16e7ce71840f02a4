# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""A graph of a log without training on it: how well the next event is told, and which graphs come of it.

    python recipes/zero-shot/zero_shot.py --out runs/zero-shot --data PATH

A network that mixes counts is trained on simulated logs alone (OUT/network; kinds ``together``, ``inhibition``,
``product`` and ``threshold`` are left out), then asked about logs it has not seen: held-out nats with 200, 1,000, 5,000
events of context, beside models that are fitted to the same events, and graphs beside counting. What is done is kept in
OUT/parts. With ``--shipped`` the network that comes with the package is asked. ``--slots SECONDS`` trains the other
design, a transformer over slots, for comparison; ``--fine-tuning`` trains models of real logs that begin with what is
told without training. Logs that are not packaged are read from folders of ``--data``.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.append(str(Path(__file__).parents[1] / "prediction"))

import numpy as np
from fine_tuning import tuning
from fine_tuning_tables import best, figures, tables
from first_graphs import RANKS, graph_rows
from harness import Recipe, Report, Size, kept, metrics, table
from held_out import rows
from known_logs import known_logs
from mixing_training import held_loss, lessons, trained
from prediction import WINDOWED, logs
from simulated_logs import LEFT_OUT, simulated_log
from slots import SlotModel, slot_rows, trained_slots

from hf_trace.amortised.context_model import ContextForCausalLM
from hf_trace.amortised.zero_shot import shipped_reader
from hf_trace.logs.log import EventLog
from hf_trace.logs.windows import cut_windows
from hf_trace.training.log_training import TrainingSettings

REAL = ("alarms", "causrca", "receipt", "helpdesk", "sepsis", "hdfs", "csl")
# Held-out nats of models trained on the whole log: seed 0 of the recipe `prediction`; of worlds, preset `nano`.
TRAINED = {
    "alarms": 0.902, "causrca": 1.007, "receipt": 0.303, "helpdesk": 0.479, "sepsis": 0.693, "hdfs": 0.283,
    "csl": 3.157, "together": 1.674, "inhibition": 1.364, "product": 1.277, "threshold": 1.206,
}  # fmt: skip
# Logs of which models are trained that begin with what is told without training, and seeds.
TUNED = {"alarms": (0, 1), "receipt": (0, 1), "helpdesk": (0,), "sepsis": (0,), "csl": (0,), "hdfs": (0,)}
LOSSES = ("zero", "unigram", "bigram", "additive")
SHOWN = {"auroc": ("AUROC", 0.05), "auprc": ("AUPRC", 0.08)}
NEAR = 0.15
ATTEMPTS = ("zero-shot log_ratio", "zero-shot combined", "zero-shot combined_follows", RANKS)
_FIRST_LESSON, _HELD, _MEMBERS = 1_000, 40, 2


def measure(options: argparse.Namespace) -> Report:
    """The network, what it predicts, and the graphs that come of it."""
    reader, parts = network(options), options.out / "parts"
    predicted = [row for name in names(options) for row in kept(
        parts / f"nats-{name}.json", lambda name=name: list(nats(name, reader, options)))]  # fmt: skip
    data = None if options.data is None else Path(options.data)
    known = known_logs(*("" if data is None else str(data / each) for each in ("csl_sample", "causrca")),
                       small=options.smoke)  # fmt: skip
    graphs = [row for name, read in known.items() for row in kept(
        parts / f"graph-{name}.json", lambda read=read: graph_rows(read(), reader, options.windows))]  # fmt: skip
    slots = list(tried(options, predicted)) if options.slots else []
    trainings = list(tuned(reader, options)) if options.fine_tuning else []
    found = {
        **metrics(predicted, lambda row: f"{row['log']}, {row['size']} events", {"zero": ("nats", 0.1)}),
        **metrics(graphs, lambda row: f"{row['log']}, {row['method']}", SHOWN),
        **figures(trainings),
    }  # fmt: skip
    text = markdown(predicted, graphs, slots) + tables(trainings)
    return Report({"nats": predicted, "graphs": graphs, "slots": slots, "trainings": trainings}, text, found)


def network(options: argparse.Namespace) -> ContextForCausalLM:
    """The network that is asked: the one of the package, or one that is trained, once."""
    if options.shipped:
        return shipped_reader()
    folder = options.out / "network"
    if not (folder / "config.json").exists():
        held = list(lessons(range(_HELD if not options.smoke else 2)))
        pool = list(lessons(range(_FIRST_LESSON, _FIRST_LESSON + options.logs)))
        model = ContextForCausalLM.joined([trained(pool, held, options.seconds, seed=seed) for seed in range(_MEMBERS)])
        print(f"held-out simulated logs of the same kinds: {held_loss(model, held):.3f} nats per event", flush=True)
        model.save_pretrained(folder)
    return ContextForCausalLM.from_pretrained(folder).eval()


def names(options: argparse.Namespace) -> list[str]:
    """Logs that are predicted: real ones, and worlds of kinds that no training saw."""
    data = None if options.data is None else Path(options.data)
    real = [name for name in REAL if name in logs(data, 1)]
    return real[:1] if options.smoke else [*real, *LEFT_OUT]


def nats(name: str, reader: ContextForCausalLM, options: argparse.Namespace) -> Iterator[dict]:
    """Rows of a log."""
    if name in LEFT_OUT:
        log = simulated_log(0, name)[1]
    else:
        log = logs(None if options.data is None else Path(options.data), 1)[name]()
    settings = TrainingSettings(window_length=64 if name in WINDOWED else None)
    for row in rows(name, log, reader, list(options.context), settings):
        print(row, flush=True)
        yield row | {"trained": TRAINED.get(name)}


def tried(options: argparse.Namespace, predicted: list[dict]) -> Iterator[dict]:
    """The other design, on the same events, with as much context as it has room for."""
    model: SlotModel = trained_slots(options.slots, logs=max(2, options.logs // 2))
    for name in dict.fromkeys(row["log"] for row in predicted):
        read = simulated_log(0, name)[1] if name in LEFT_OUT else logs(
            None if options.data is None else Path(options.data), 1)[name]()  # fmt: skip
        yield from slot_rows(name, read, model, TrainingSettings(window_length=64))


def tuned(reader: ContextForCausalLM, options: argparse.Namespace) -> Iterator[dict]:
    """The curves of trainings with and without what is told before; each again in half of the passes."""
    found = logs(None if options.data is None else Path(options.data), 1)
    for name, seed in ((name, seed) for name, seeds in TUNED.items() if name in found for seed in seeds):
        length = 64 if name in WINDOWED else None
        settings = TrainingSettings(quick=False, window_length=length, seed=seed, max_tokens=options.tokens)
        read, path = found[name], options.out / "parts" / f"tuning-{name}-{seed}.json"
        if options.smoke:
            read = partial(few, read)
        row = kept(path, partial(tuning, name, read, reader, settings))
        again = replace(settings, epochs=best(row, "ordinary")[0] / 2)
        yield row | {"half": kept(path.with_stem(f"{path.stem}-half"), partial(tuning, name, read, reader, again))}


def few(read: Callable[[], EventLog]) -> EventLog:
    """The beginning of a log."""
    return cut_windows(read(), length=16).select(range(60))


def markdown(predicted: list[dict], graphs: list[dict], slots: list[dict]) -> str:
    """The tables, readable, and whether the gates are passed."""
    lines = [[row["log"], row["context"], *(row[key] for key in LOSSES), row["trained"]] for row in predicted]
    columns = ("log", "events of context", "zero-shot", *LOSSES[1:], "trained on all")
    shown = [[row["log"], row["method"], row["auroc"], row["auprc"], row["f1"], row["edges"], row["base_rate"],
              f"{row['seconds']:.1f}"] for row in graphs]  # fmt: skip
    titles = ("log", "method", "AUROC", "AUPRC", "F1, own threshold", "edges", "base rate", "seconds")
    text = f"Nats per held-out event\n\n{table(columns, lines)}\n\n{gates(predicted, graphs)}\n\n"
    text += f"Graphs\n\n{table(titles, shown)}"
    if slots:
        text += f"\n\nA transformer over slots\n\n{table(tuple(slots[0]), [list(row.values()) for row in slots])}"
    return text


def gates(predicted: list[dict], graphs: list[dict]) -> str:
    """What was to be reached, and whether it was."""
    above = [f"{row['log']} ({row['context']})" for row in predicted if row["zero"] >= row["bigram"]]
    last = {row["log"]: row for row in predicted if row["log"] in REAL}
    near = [name for name, row in last.items() if row["zero"] - row["trained"] <= NEAR]
    return (
        f"* Below the bigram of the same context: {len(predicted) - len(above)} of {len(predicted)}"
        f"{' (not ' + ', '.join(above) + ')' if above else ''}.\n"
        f"* Within {NEAR} nats of the trained model with the largest context: {len(near)} of {len(last)} "
        f"({', '.join(near) or 'none'}).\n" + "\n".join(beside_onset(graphs, method) for method in ATTEMPTS)
    )


def beside_onset(graphs: list[dict], method: str) -> str:
    """By how much the AUPRC of a method is above or below that of counting onsets."""
    auprc = {(row["log"], row["method"]): row["auprc"] for row in graphs}
    better = {log: auprc[log, method] - auprc[log, "onset"] for log in dict.fromkeys(log for log, _ in auprc)}
    worse = [f"{name} ({value:+.3f})" for name, value in better.items() if value < 0]
    return (
        f"* {method}: AUPRC at least that of onset on {len(better) - len(worse)} of {len(better)} logs (below: "
        f"{', '.join(worse) or 'none'}); mean difference {np.mean(list(better.values())):+.3f}."
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Data that are not packaged, and what is done on demand."""
    parser.add_argument("--data", help="folder with the data sets that are not packaged")
    parser.add_argument("--shipped", action="store_true", help="ask the network that comes with the package")
    parser.add_argument("--slots", type=float, default=0, help="seconds that a transformer over slots is trained too")
    parser.add_argument("--fine-tuning", action="store_true", help="train models that begin with what is told, too")


RECIPE = Recipe(
    __file__,
    __doc__,
    "Can a graph of a log be had without training on it?",
    measure,
    {
        "logs": Size(1_100, 6, "simulated logs to learn from"),
        "seconds": Size(300, 1, "seconds of the processor that the network is trained"),
        "context": Size([200, 1_000, 5_000], [200], "events of context"),
        "windows": Size(200, 4, "windows in which effects are scored"),
        "tokens": Size(TrainingSettings().max_tokens, 2_000, "tokens that models are trained on for --fine-tuning"),
    },
    options=add_options,
    more="--shipped --data PATH --fine-tuning",
)

if __name__ == "__main__":
    RECIPE.main()
