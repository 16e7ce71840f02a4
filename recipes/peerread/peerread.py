# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""How much does a treatment move acceptance, when the confounder is written in the abstract?

    python recipes/peerread/peerread.py --data PATH/TO/cs_ai.jsonl --smollm2 PATH --minilm PATH --out runs/peerread
    python recipes/peerread/peerread.py --smoke --out runs/peerread-smoke      # made-up abstracts, no pretrained model

Semi-synthetic outcomes with a known effect on the treated (ATT), at three strengths of confounding, 20 seeds each.
Every estimate is kept as soon as it is there; a run that was interrupted goes on.
"""

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
from abstracts import LEVELS, Abstracts, draw_outcomes, read_abstracts, tiny_abstracts
from attention_head import Attentive
from estimators import Buzzy, Linear, Predictions, Predictor, estimates, folds_of, read_out, unadjusted, words
from from_scratch import Scratch
from harness import NotMeasured, Recipe, Report, Size, panels, table
from matplotlib.figure import Figure
from top_layer import Adapted, Written, kept, load, write
from transformers.utils import logging

from hf_trace.errors import first_line
from hf_trace.logs.writing import atomic_path

ABSTRACTS = "abstracts.jsonl"
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


def measure_one(name: str, make: Callable[[], Predictor], abstracts: Abstracts, seeds: int, out: Path) -> None:
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


def joined(names: list[str], abstracts: Abstracts, out: Path) -> Report:
    """Table, metrics and figure of what was measured."""
    found = {name: rows for name in names if (rows := estimated(name, abstracts, out))}
    if not found:
        raise NotMeasured(f"Nothing was measured in {str(out)!r} yet. Leave out --report.")
    series = [("none", "unadjusted", next(iter(found.values())))]
    for name, rows in found.items():
        series += [(name, each, rows) for each in rows[0] if each.startswith(("plug-in", "AIPW"))]
    lines, named = [], {}
    for name, estimator, rows in series:
        values = {level: errors(rows, level, estimator) for level in LEVELS}
        for level, each in values.items():
            metric = (float(each.mean()), max(0.05, 2 * standard_error(each)))
            named[f"{name}, {estimator}, {level}: mean relative error"] = metric
        seconds = np.mean([row["seconds"] for row in rows]) if estimator != "unadjusted" else 0
        count = len({row["seed"] for row in rows})
        lines.append([name, estimator, count, *map(averaged, values.values()), f"{seconds:.1f}"])
    columns = ("predictor", "estimator", "seeds", *LEVELS, "CPU s a data set")
    text = f"{table(columns, lines)}\n\n{compared(found)}"
    cost = {
        f"{name}, a data set": round(float(np.mean([row["seconds"] for row in rows])), 1)
        for name, rows in found.items()
    }
    return Report(found, text, named, draw(series), cost)


def compared(found: dict[str, list[dict]]) -> str:
    """How much nearer AIPW comes with a predictor than with word counts, on the same data sets."""
    lines = []
    counting = [name for name in COUNTING if name in found]
    for name, rows in found.items():
        for other in counting if not name.startswith((*COUNTING, "confounder")) else ():
            cells = []
            for level in LEVELS:
                ours, theirs = (by_seed(each, level) for each in (rows, found[other]))
                cells.append(averaged(np.array([theirs[seed] - ours[seed] for seed in ours if seed in theirs]), "+"))
            lines.append([f"{name}: {other}", *cells])
    return table(("AIPW, nearer than with", *LEVELS), lines)


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


def draw(series: list) -> Figure:
    """Relative errors, seed by seed."""
    series = [each for each in series if not each[1].endswith("read out")]
    figure, axes = panels(12, 1 + 0.22 * len(series), 1, len(LEVELS), sharey=True)
    names = [name if estimator == "unadjusted" else f"{name}: {estimator}" for name, estimator, _ in series]
    names[0] = "unadjusted"
    for panel, level in zip(axes, LEVELS, strict=True):
        for place, (_, estimator, rows) in enumerate(series):
            values = errors(rows, level, estimator)
            panel.plot(values, np.full(len(values), place), "o", ms=3, alpha=0.4, color="C0")
            panel.plot(values.mean(), place, "k|", ms=12)
        panel.set(title=f"{level} confounding", xlabel="relative error of the ATT", yticks=range(len(names)))
        panel.set_yticklabels(names, fontsize=8)
        panel.set_xlim(left=0)
    axes[0].invert_yaxis()
    return figure


def made_up(folder: Path) -> None:
    """Abstracts of a few words, one in five of them buzzy."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"abstract": text}) for text in tiny_abstracts(200).texts]
    (folder / ABSTRACTS).write_text("\n".join(lines) + "\n", encoding="utf-8")


def measure(options: argparse.Namespace) -> Report:
    """Draw, train, estimate, compare."""
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    warnings.simplefilter("ignore", UserWarning)
    if options.data is None:
        raise NotMeasured("Name the abstracts with --data, or pass --smoke.")
    try:
        made = Path(options.data, ABSTRACTS)
        abstracts = read_abstracts(str(made) if made.exists() else options.data)
    except (OSError, ValueError, KeyError) as error:
        raise NotMeasured(f"{options.data!r} cannot be read, expected JSON lines with `abstract`: {error}") from error
    known = predictors(abstracts, options)
    if options.only not in (None, *known):
        raise NotMeasured(f"--only is {options.only!r}, expected one of: {', '.join(known)}.")
    for name, make in ({} if options.report else known).items():
        if options.only in (None, name):
            try:
                measure_one(name, make, abstracts, options.seeds, options.out)
            except OSError as error:
                raise NotMeasured(f"{name} was not measured: {first_line(error)}") from error
    return joined(list(known), abstracts, options.out)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Where the pretrained models are."""
    parser.add_argument("--smollm2", help="causal language model: folder, .gguf file or Hub id")
    parser.add_argument("--minilm", help="BERT-like encoder: folder or Hub id")
    parser.add_argument("--only", help="one predictor")


RECIPE = Recipe(
    __file__,
    __doc__,
    "How much does a treatment move acceptance, when the confounder is written in the abstract?",
    measure,
    {"seeds": Size(20, 1)},
    add_options,
    data="JSON lines with `abstract`, or a Hub id",
    tiny_data=made_up,
    can_report=True,
)

if __name__ == "__main__":
    RECIPE.main()
