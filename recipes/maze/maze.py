"""What would another program have done, in a maze nobody has seen? A trained model against the usual estimators.

    python recipes/maze/maze.py --out runs/maze            # everything; what is there already is not done again
    python recipes/maze/maze.py --out runs/maze --report   # only join what was measured
    python recipes/maze/maze.py --out runs/maze-smoke --smoke

A small Llama learns rows of walls, floor, skill, goal, program, path and outcome; the effect pipeline answers. The
other methods get the same rows. All are judged by the exact answers on mazes that are in no row.
"""

import argparse
import datetime
import json
import os
import time
import warnings
from dataclasses import dataclass, fields, replace
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
from baselines import methods
from maze_questions import KINDS, Answers, Question, draw_questions, truths
from maze_world import CELLS, LONGEST, Floats, Rows, observe, schema
from sklearn.exceptions import ConvergenceWarning
from transformers import LlamaConfig, pipeline

import hf_trace  # noqa: F401  (teaches transformers the task)
from hf_trace.effects.answers import AnswerSettings, answers
from hf_trace.tables.encoding import encode_table
from hf_trace.training.table_training import DagTrainingSettings, train_dag

ENGINE = "this package"
HARDWARE = "2 CPU cores shared with other work, one thread"
CONFUSED = "p(Y | A, maze), exactly"
QUESTION_SEED, RESAMPLES, MAZES = 1_000_000, 2000, 4000


@dataclass(frozen=True)
class Scale:
    """How much is done.

    Attributes:
        rows: Sizes of the training tables, each the beginning of the next.
        tokens: Tokens read in training, for each size.
        questions: Of every kind.
        draws: Per question.
        width: Of the model.
        layers: Of the model.
        seed: Of the tables and the training; questions stay the same.
    """

    rows: tuple[int, ...]
    tokens: tuple[int, ...]
    questions: int
    draws: int
    width: int = 96
    layers: int = 3
    seed: int = 1


FULL = Scale((1_000, 10_000, 100_000), (1_000_000, 2_500_000, 5_500_000), questions=100, draws=300)
SMOKE = Scale((300,), (20_000,), questions=4, draws=60, width=16, layers=1)


def first(rows: Rows, count: int) -> Rows:
    """The first rows of a table."""
    return Rows(*(getattr(rows, each.name)[:count] for each in fields(rows)))


def train(rows: Rows, tokens: int, scale: Scale, out: Path) -> dict:
    """Train a model on a table; the run's metrics."""
    shape = out.parent / "shape"
    LlamaConfig(
        hidden_size=scale.width, intermediate_size=2 * scale.width, num_hidden_layers=scale.layers,
        num_attention_heads=4, max_position_embeddings=128,
    ).save_pretrained(shape)  # fmt: skip
    settings = DagTrainingSettings(
        model=str(shape), history="full", max_tokens=tokens, learning_rate=3e-3, bf16=False, seed=scale.seed
    )
    started = time.process_time()
    run = train_dag(encode_table(schema(), rows.frame()), out, settings)
    return {"cpu_seconds": time.process_time() - started, **run.metrics}


def ask(run: Path, questions: list[Question], draws: int) -> tuple[Answers, float]:
    """Answers of the engine, and the mean squared Monte Carlo error of "reached"."""
    effect = pipeline("causal-effect", model=str(run), memory="50MB")
    # No row has this very maze: the pipeline would refuse, so it is not told how many rows there were.
    settings = AnswerSettings(num_samples=draws)

    def distributions(target: str) -> tuple[Floats, Floats]:
        asked = [effect.asked.reader.query(question.record(target)) for question in questions]
        found = answers(effect.asked.conditionals, asked, settings)
        return np.stack([each.probabilities for each in found]), np.stack([each.standard_error for each in found])

    every = np.arange(len(questions))
    if questions[0].kind == "average":
        reached, error = distributions("reached")
        unsaid = np.full((len(questions), len(CELLS)), np.nan)
        return Answers(reached[:, 1], np.full(len(questions), np.nan), unsaid), float((error[:, 1] ** 2).mean())
    final, error = distributions("final")
    goal = np.array([question.goal for question in questions])
    steps = distributions("steps")[0] @ np.arange(LONGEST + 1)
    return Answers(final[every, goal], steps, final), float((error[every, goal] ** 2).mean())


def errors(found: Answers, true: Answers) -> dict[str, list[float]]:
    """Of every question: squared errors of p(reached) and of the mean steps, total variation of the final cell."""
    return {
        "reached": ((found.reached - true.reached) ** 2).tolist(),
        "steps": ((found.steps - true.steps) ** 2).tolist(),
        "final": (np.abs(found.final - true.final).sum(1) / 2).tolist(),
    }


def measure(scale: Scale, out: Path) -> None:
    """Train and answer with every table size; one file per size."""
    table = observe(scale.rows[-1], scale.seed)
    questions = draw_questions(scale.questions, table, QUESTION_SEED)
    true = {kind: truths(questions[kind], MAZES, QUESTION_SEED + 1) for kind in KINDS}
    confused = {kind: truths(questions[kind], 0, 0, observed=True) for kind in ("complete", "partial")}
    for count, tokens in zip(scale.rows, scale.tokens, strict=True):
        path, run = out / f"{count}.json", out / f"rows-{count}"
        if path.exists():
            continue
        rows = first(table, count)
        if not (run / "config.json").exists():
            metrics = train(rows, tokens, scale, run)
            (out / f"training-{count}.json").write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
        document = {"rows": count, "seconds": {}, "monte_carlo": {}, "errors": {kind: {} for kind in KINDS}}
        document["training"] = json.loads((out / f"training-{count}.json").read_text(encoding="utf-8"))
        document["spread"] = {kind: float(true[kind].reached.var()) for kind in KINDS}
        started = time.process_time()
        for kind in KINDS:
            found, document["monte_carlo"][kind] = ask(run, questions[kind], scale.draws)
            document["errors"][kind][ENGINE] = errors(found, true[kind])
        document["seconds"][ENGINE] = time.process_time() - started
        for kind, each in confused.items():
            document["errors"][kind][CONFUSED] = errors(each, true[kind])
        for method in methods(rows):
            started = time.process_time()
            for kind in KINDS:
                found = method.answers(questions[kind])
                document["errors"][kind][method.name] = errors(found, true[kind])
            document["seconds"][method.name] = time.process_time() - started
            print(f"{count:,} rows: {method.name}, {document['seconds'][method.name]:.0f} s", flush=True)
        path.write_text(json.dumps(document) + "\n", encoding="utf-8")


def interval(values: Floats) -> tuple[float, float, float]:
    """Mean over questions, and its 95 % bootstrap interval."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(0, len(values), (RESAMPLES, len(values)))].mean(1)
    return float(values.mean()), *np.quantile(means, [0.025, 0.975]).tolist()


def report(out: Path) -> None:
    """Tables, metrics and the figure of what was measured."""
    documents = [json.loads(path.read_text(encoding="utf-8")) for path in out.glob("[0-9]*.json")]
    documents.sort(key=lambda document: document["rows"])
    lines, metrics = [], {}
    for kind in KINDS:
        lines += ["", f"### {kind}", ""]
        lines.append("| method | " + " | ".join(f"{each['rows']:,} rows" for each in documents) + " |")
        lines.append("|---" * (len(documents) + 1) + "|")
        for name in documents[0]["errors"][kind]:
            cells = [_cell(document["errors"][kind], name) for document in documents]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        for document in documents:
            metrics |= _metrics(document, kind)
    text = "\n".join(lines).strip() + "\n"
    (out / "maze.md").write_text(text, encoding="utf-8")
    document = {
        "question": "What would another program have done, in a maze nobody has seen?",
        "date": datetime.date.today().isoformat(),
        "hardware": HARDWARE,
        "command": "python recipes/maze/maze.py --out runs/maze",
        "cost": _cost(documents),
        "metrics": metrics,
    }
    (out / "expected.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    draw(documents, out / "maze.png")
    print(text)


def _cost(documents: list[dict]) -> dict[str, int]:
    """CPU seconds of this package."""
    cost = {}
    for document in documents:
        questions = sum(len(errors[ENGINE]["reached"]) for errors in document["errors"].values())
        cost[f"training, {document['rows']:,} rows"] = round(document["training"]["cpu_seconds"])
        cost[f"{questions} questions, {document['rows']:,} rows"] = round(document["seconds"][ENGINE])
    return cost


def _cell(errors: dict, name: str) -> str:
    """Squared error of "reached" with its interval, and the two other errors."""
    mean, low, high = interval(np.array(errors[name]["reached"]))
    steps, final = (float(np.mean(errors[name][each])) for each in ("steps", "final"))
    rest = [f"{value:.{digits}f}" for value, digits in ((steps, 3), (final, 2)) if value == value]
    beaten = ""
    if name not in (ENGINE, CONFUSED):
        apart = np.array(errors[name]["reached"]) - np.array(errors[ENGINE]["reached"])
        beaten = " *" if interval(apart)[1] > 0 else ""
    return f"{mean:.4f} [{low:.4f}, {high:.4f}]{beaten}" + (f" · {' · '.join(rest)}" if rest else "")


def _metrics(document: dict, kind: str) -> dict:
    """What ``expected.json`` holds of one kind of question and one size."""
    errors, size = document["errors"][kind], f"{document['rows']:,} rows"
    others = {name: float(np.mean(each["reached"])) for name, each in errors.items() if name not in (ENGINE, CONFUSED)}
    best = min(others, key=lambda name: others[name])
    own = np.array(errors[ENGINE]["reached"])
    apart = interval(np.array(errors[best]["reached"]) - own)
    named = {
        f"{kind}, {size}: squared error": float(own.mean()),
        f"{kind}, {size}: squared error of the best other method": others[best],
        f"{kind}, {size}: how much lower, at least (95 %)": apart[1],
    }
    return {
        name: {"value": round(value, 5), "tolerance": round(max(0.3 * abs(value), 0.001), 5)}
        for name, value in named.items()
    }


def draw(documents: list[dict], path: Path) -> None:
    """Squared errors of "reached" against the size of the training table."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.6), layout="constrained")
    sizes = [document["rows"] for document in documents]
    names = list(documents[0]["errors"]["complete"])
    for panel, kind in zip(figure.subplots(1, len(KINDS), sharex=True), KINDS, strict=True):
        for name in documents[0]["errors"][kind]:
            values = np.array([interval(np.array(each["errors"][kind][name]["reached"])) for each in documents])
            style = {"color": f"C{names.index(name)}", "lw": 1}
            if name == ENGINE:
                style = {"color": "black", "lw": 2, "marker": "o"}
            elif name == CONFUSED:
                style = {"color": "grey", "ls": ":"}
            panel.plot(sizes, values[:, 0], label=name, **style)
            panel.fill_between(sizes, values[:, 1], values[:, 2], color=style["color"], alpha=0.12, lw=0)
        panel.set(xscale="log", yscale="log", title=kind, xlabel="training rows")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.axes[0].set_ylabel("squared error of p(reached)")
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8)
    figure.savefig(path, dpi=110)


def main(arguments: list[str] | None = None) -> None:
    """Train, answer, compare, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/maze"))
    parser.add_argument("--seed", type=int, default=1, help="of the tables and the training; questions stay the same")
    parser.add_argument("--smoke", action="store_true", help="everything, in small")
    parser.add_argument("--report", action="store_true", help="only join what was measured")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore", ConvergenceWarning)
    if not options.report:
        measure(replace(SMOKE if options.smoke else FULL, seed=options.seed), options.out)
    elif not list(options.out.glob("[0-9]*.json")):
        parser.error(f"Nothing was measured in {str(options.out)!r} yet. Leave out --report.")
    report(options.out)


if __name__ == "__main__":
    main()
