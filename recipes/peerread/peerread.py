"""How much does a treatment move acceptance, when the confounder is written in the abstract?

    python recipes/peerread/peerread.py --data PATH/TO/cs_ai.jsonl --smollm2 PATH --minilm PATH --out runs/peerread
    python recipes/peerread/peerread.py --smoke --out runs/peerread-smoke      # made-up abstracts, no pretrained model

Semi-synthetic outcomes with a known effect on the treated (ATT), at three strengths of confounding, 20 seeds each.
Every estimate is kept as soon as it is there; a run that was interrupted goes on.
"""

import argparse
import datetime
import json
import os
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from abstracts import LEVELS, Abstracts, draw_outcomes, read_abstracts, tiny_abstracts
from attention_head import Attentive
from estimators import Buzzy, Linear, Predictions, Predictor, estimates, folds_of, read_out, unadjusted, words
from from_scratch import Scratch
from top_layer import Adapted, Written, kept, load, write
from transformers.utils import logging

from hf_trace.errors import first_line
from hf_trace.logs.writing import atomic_path

SEEDS = 20
COUNTING = ("TF-IDF", "TF-IDF, sparse (L1)")
LARGE = 100_000_000  # weights from which on a model reads the abstracts in bfloat16, which takes half the time


def predictors(abstracts: Abstracts, options: argparse.Namespace) -> dict[str, Callable[[], Predictor]]:
    """All that are compared; those whose pretrained model was not named are left out."""
    found: dict[str, Callable[[], Predictor]] = {
        "confounder known": lambda: Buzzy(abstracts),
        "TF-IDF": lambda: Linear("TF-IDF", words(abstracts)),
        "TF-IDF, sparse (L1)": lambda: Linear(
            "TF-IDF, sparse (L1)", words(abstracts), l1_ratio=1.0, solver="liblinear"
        ),
    }
    for name, folder in (("MiniLM", options.minilm), ("SmolLM2-135M", options.smollm2)):
        if folder is not None:
            found[f"{name}, LoRA"] = partial(adapted, name, folder, abstracts, options)
            found[f"{name}, frozen"] = partial(frozen, name, folder, abstracts, options)
            found[f"{name}, a new head"] = partial(attentive, name, folder, abstracts, options)
    scale = {"epochs": 2.0, "least": 1} if options.smoke else {}
    found["small, from scratch"] = lambda: Scratch("small, from scratch", abstracts, **scale)
    return found


def written(name: str, folder: str, abstracts: Abstracts, options: argparse.Namespace) -> Written:
    """Abstracts as the last layer of a pretrained model meets them; read once and kept."""

    def read() -> Written:
        started = time.process_time()
        model, tokenizer = load(*_checkpoint(folder))
        if model.num_parameters() > LARGE:
            model = model.to(torch.bfloat16)
        states = write(abstracts, model, tokenizer)
        note = {"seconds to read all abstracts": time.process_time() - started}
        (options.out / f"{_file(name)}-read.json").write_text(json.dumps(note), encoding="utf-8")
        return states

    return kept(options.out / f"{_file(name)}.pt", read)


def _checkpoint(folder: str) -> tuple[str, str | None]:
    """Folder or Hub id, and the name of a file in GGUF format where one is meant."""
    path = Path(folder)
    return (str(path.parent), path.name) if path.suffix == ".gguf" else (folder, None)


def adapted(name: str, folder: str, abstracts: Abstracts, options: argparse.Namespace) -> Adapted:
    """A pretrained model with adapters in its last layer."""
    checkpoint, gguf = _checkpoint(folder)
    return Adapted(f"{name}, LoRA", checkpoint, written(name, folder, abstracts, options), gguf)


def attentive(name: str, folder: str, abstracts: Abstracts, options: argparse.Namespace) -> Attentive:
    """A frozen model with a head of attention on top."""
    return Attentive(f"{name}, a new head", written(name, folder, abstracts, options))


def frozen(name: str, folder: str, abstracts: Abstracts, options: argparse.Namespace) -> Linear:
    """Logistic regressions on the largest and smallest keys and values of an abstract in a pretrained last layer."""
    read = written(name, folder, abstracts, options)
    spans = zip(read.begins[:-1], read.begins[1:], strict=True)
    tokens = torch.cat([read.keys.flatten(1), read.values.flatten(1)], dim=1)
    parts = [tokens[begin:end] for begin, end in spans]
    states = torch.stack([torch.cat([each.amax(0), each.amin(0)]) for each in parts]).float().numpy()
    features = (states - states.mean(0)) / states.std(0) / np.sqrt(states.shape[1])
    return Linear(f"{name}, frozen", features)


def _file(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower())


def measure(name: str, make: Callable[[], Predictor], abstracts: Abstracts, seeds: int, out: Path) -> None:
    """What one predictor says at all levels and seeds; a file that is there is not made again."""
    predictor, folder = None, out / "predictions" / _file(name)
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(seeds):
        for level, strength in LEVELS.items():
            path = folder / f"{level}-{seed}.npz"
            if path.exists():
                continue
            predictor = predictor or make()
            outcomes = draw_outcomes(abstracts, strength, seed)
            started = time.process_time()
            said = predictor.predict(outcomes, folds_of(len(abstracts), predictor.folds, seed), seed)
            seconds = time.process_time() - started
            with atomic_path(path) as temporary, open(temporary, "wb") as file:
                np.savez(file, seconds=seconds, **{key: value.astype(np.float32) for key, value in vars(said).items()})
        print(f"{name}: seed {seed}", flush=True)


def estimated(name: str, abstracts: Abstracts, out: Path) -> list[dict]:
    """Estimates from everything that a predictor has said, a row for each level and seed."""
    rows = []
    for path in sorted((out / "predictions" / _file(name)).glob("*.npz")):
        level, seed = path.stem.split("-")
        outcomes = draw_outcomes(abstracts, LEVELS[level], int(seed))
        with np.load(path) as stored:
            parts = {key: stored[key].astype(np.float64) for key in stored.files}
        seconds = float(parts.pop("seconds"))
        said = Predictions(**parts)
        row = {"level": level, "seed": int(seed), "att": outcomes.att, "seconds": seconds}
        row |= {"unadjusted": unadjusted(outcomes), **estimates(said, outcomes)}
        if name != "confounder known":
            again = estimates(read_out(said, outcomes), outcomes)
            row |= {f"{estimator}, read out": value for estimator, value in again.items()}
        rows.append(row)
    return rows


def errors(rows: list[dict], level: str, estimator: str) -> np.ndarray:
    """Relative errors of the ATT, by seed."""
    return np.array([abs(row[estimator] - row["att"]) / row["att"] for row in rows if row["level"] == level])


def report(names: list[str], abstracts: Abstracts, out: Path) -> str:
    """Table, metrics and figure of what was measured."""
    found = {name: rows for name in names if (rows := estimated(name, abstracts, out))}
    lines = ["| predictor | estimator | seeds | " + " | ".join(LEVELS) + " | CPU s a data set |",
             "|---|---|---|" + "---|" * (len(LEVELS) + 1)]  # fmt: skip
    series = [("none", "unadjusted", next(iter(found.values())))]
    for name, rows in found.items():
        series += [(name, each, rows) for each in rows[0] if each.startswith(("plug-in", "AIPW"))]
    metrics = {}
    for name, estimator, rows in series:
        cells = []
        for level in LEVELS:
            values = errors(rows, level, estimator)
            cells.append(averaged(values))
            metrics[f"{name}, {estimator}, {level}: mean relative error"] = {
                "value": round(float(values.mean()), 4),
                "tolerance": round(max(0.05, 2 * standard_error(values)), 4),
            }
        seconds = np.mean([row["seconds"] for row in rows]) if estimator != "unadjusted" else 0
        count = len({row["seed"] for row in rows})
        lines.append(f"| {name} | {estimator} | {count} | " + " | ".join(cells) + f" | {seconds:.1f} |")
    text = "\n".join([*lines, "", *compared(found)]) + "\n"
    (out / "peerread.md").write_text(text, encoding="utf-8")
    document = {
        "question": "How much does a treatment move acceptance, when the confounder is written in the abstract?",
        "date": datetime.date.today().isoformat(),
        "hardware": "2 CPU cores shared with other work, one thread",
        "command": "python recipes/peerread/peerread.py --data PATH/TO/cs_ai.jsonl --smollm2 PATH --minilm PATH",
        "cost": {
            f"{name}, a data set": round(float(np.mean([row["seconds"] for row in rows])), 1)
            for name, rows in found.items()
        },
        "metrics": metrics,
    }
    (out / "expected.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    draw(series, out / "peerread.png")
    return text


def compared(found: dict[str, list[dict]]) -> list[str]:
    """How much nearer AIPW comes with a predictor than with word counts, on the same data sets."""
    lines = [f"| AIPW, nearer than with | {' | '.join(LEVELS)} |", "|---|" + "---|" * len(LEVELS)]
    counting = [name for name in COUNTING if name in found]
    for name, rows in found.items():
        for other in counting if not name.startswith((*COUNTING, "confounder")) else ():
            cells = []
            for level in LEVELS:
                ours, theirs = (by_seed(each, level) for each in (rows, found[other]))
                cells.append(averaged(np.array([theirs[seed] - ours[seed] for seed in ours if seed in theirs]), "+"))
            lines.append(f"| {name}: {other} | " + " | ".join(cells) + " |")
    return lines


def averaged(values: np.ndarray, sign: str = "") -> str:
    """Mean over seeds, with its standard error where there are several."""
    return f"{values.mean():{sign}.2f}" + (f" ± {standard_error(values):.2f}" if len(values) > 1 else "")


def standard_error(values: np.ndarray) -> float:
    """Of the mean over seeds; 0 for one seed, which says nothing of others."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


def by_seed(rows: list[dict], level: str) -> dict[int, float]:
    """Relative errors of AIPW by the seed of the data set."""
    numbers = [row["seed"] for row in rows if row["level"] == level]
    return dict(zip(numbers, errors(rows, level, "AIPW"), strict=True))


def draw(series: list, path: Path) -> None:
    """Relative errors, seed by seed."""
    from matplotlib.figure import Figure

    series = [each for each in series if not each[1].endswith("read out")]
    figure = Figure(figsize=(12, 1 + 0.22 * len(series)), layout="constrained")
    names = [name if estimator == "unadjusted" else f"{name}: {estimator}" for name, estimator, _ in series]
    names[0] = "unadjusted"
    for panel, level in zip(figure.subplots(1, len(LEVELS), sharey=True), LEVELS, strict=True):
        for place, (_, estimator, rows) in enumerate(series):
            values = errors(rows, level, estimator)
            panel.plot(values, np.full(len(values), place), "o", ms=3, alpha=0.4, color="C0")
            panel.plot(values.mean(), place, "k|", ms=12)
        panel.set(title=f"{level} confounding", xlabel="relative error of the ATT", yticks=range(len(names)))
        panel.set_yticklabels(names, fontsize=8)
        panel.set_xlim(left=0)
    figure.axes[0].invert_yaxis()
    figure.savefig(path, dpi=110)


def main(arguments: list[str] | None = None) -> None:
    """Draw, train, estimate, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="JSON lines with `abstract`, or a Hub id")
    parser.add_argument("--smollm2", help="causal language model: folder, .gguf file or Hub id")
    parser.add_argument("--minilm", help="BERT-like encoder: folder or Hub id")
    parser.add_argument("--only", help="one predictor")
    parser.add_argument("--report", action="store_true", help="only join what was measured")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--out", type=Path, default=Path("runs/peerread"))
    parser.add_argument("--smoke", action="store_true", help="everything, in small")
    options = parser.parse_args(arguments)
    if options.data is None and not options.smoke:
        parser.error("Name the abstracts with --data, or pass --smoke.")
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    warnings.simplefilter("ignore", UserWarning)
    try:
        abstracts = tiny_abstracts(200) if options.smoke else read_abstracts(options.data)
    except (OSError, ValueError, KeyError) as error:
        parser.error(f"{options.data!r} cannot be read, expected JSON lines with `abstract`: {error}")
    known = predictors(abstracts, options)
    if options.only not in (None, *known):
        parser.error(f"--only is {options.only!r}, expected one of: {', '.join(known)}.")
    for name, make in ({} if options.report else known).items():
        if options.only in (None, name):
            try:
                measure(name, make, abstracts, 1 if options.smoke else options.seeds, options.out)
            except OSError as error:
                parser.error(f"{name} was not measured: {first_line(error)}")
    if not any((options.out / "predictions").glob("*/*.npz")):
        parser.error(f"Nothing was measured in {str(options.out)!r} yet. Leave out --report.")
    print(report(list(known), abstracts, options.out))


if __name__ == "__main__":
    main()
