# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""What would another program have done, in a maze nobody has seen? A trained model against the usual estimators.

    python recipes/maze/maze.py --out runs/maze            # everything; what is there already is not done again
    python recipes/maze/maze.py --out runs/maze --report   # only join what was measured
    python recipes/maze/maze.py --out runs/maze-smoke --smoke

A small Llama learns rows of walls, floor, skill, goal, program, path and outcome; the effect pipeline answers. The
other methods get the same rows. All are judged by the exact answers on mazes that are in no row.
"""

import argparse
import json
import sys
import time
import warnings
from dataclasses import fields
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from baselines import methods
from harness import Metrics, NotMeasured, Recipe, Report, Size, interval, kept, panels, table
from matplotlib.figure import Figure
from maze_questions import KINDS, Answers, Question, draw_questions, truths
from maze_world import CELLS, LONGEST, Floats, Rows, observe, schema
from sklearn.exceptions import ConvergenceWarning
from transformers import LlamaConfig, pipeline

import hf_trace  # noqa: F401  (teaches transformers the task)
from hf_trace.effects.answers import AnswerSettings, answers
from hf_trace.tables.encoding import encode_table
from hf_trace.training.table_training import DagTrainingSettings, train_dag

ENGINE = "this package"
CONFUSED = "p(Y | A, maze), exactly"
QUESTION_SEED = 1_000_000


def first(rows: Rows, count: int) -> Rows:
    """The first rows of a table."""
    return Rows(*(getattr(rows, each.name)[:count] for each in fields(rows)))


def train(rows: Rows, tokens: int, options: argparse.Namespace, out: Path) -> dict:
    """Train a model on a table; the run's metrics."""
    shape = out.parent / "shape"
    LlamaConfig(
        hidden_size=options.width, intermediate_size=2 * options.width, num_hidden_layers=options.layers,
        num_attention_heads=4, max_position_embeddings=128,
    ).save_pretrained(shape)  # fmt: skip
    settings = DagTrainingSettings(
        model=str(shape), history="full", max_tokens=tokens, learning_rate=3e-3, bf16=False, seed=options.seed
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


def measure_sizes(options: argparse.Namespace) -> None:
    """Train and answer with every table size; one file per size, and one that is there is not made again."""
    drawn = observe(options.rows[-1], options.seed)
    questions = draw_questions(options.questions, drawn, QUESTION_SEED)
    true = {kind: truths(questions[kind], options.mazes, QUESTION_SEED + 1) for kind in KINDS}
    confused = {kind: truths(questions[kind], 0, 0, observed=True) for kind in ("complete", "partial")}
    for count, tokens in zip(options.rows, options.tokens, strict=True):
        path, run = options.out / f"{count}.json", options.out / f"rows-{count}"
        if path.exists():
            continue
        rows = first(drawn, count)
        training = kept(options.out / f"training-{count}.json", partial(train, rows, tokens, options, run))
        document = {"rows": count, "seconds": {}, "monte_carlo": {}, "errors": {kind: {} for kind in KINDS}}
        document |= {"training": training, "spread": {kind: float(true[kind].reached.var()) for kind in KINDS}}
        started = time.process_time()
        for kind in KINDS:
            found, document["monte_carlo"][kind] = ask(run, questions[kind], options.draws)
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


def measure(options: argparse.Namespace) -> Report:
    """Train, answer and compare, unless it is only to be reported."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    if not options.report:
        measure_sizes(options)
    documents = [json.loads(path.read_text(encoding="utf-8")) for path in options.out.glob("[0-9]*.json")]
    if not documents:
        raise NotMeasured(f"Nothing was measured in {str(options.out)!r} yet. Leave out --report.")
    documents.sort(key=lambda document: document["rows"])
    parts, found = [], {}
    columns = ("method", *(f"{document['rows']:,} rows" for document in documents))
    for kind in KINDS:
        names = list(documents[0]["errors"][kind])
        rows = [[name, *(_cell(document["errors"][kind], name) for document in documents)] for name in names]
        parts.append(f"### {kind}\n\n{table(columns, rows)}")
        for document in documents:
            found |= _metrics(document, kind)
    return Report(documents, "\n\n".join(parts), found, draw(documents), _cost(documents))


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
    reached = np.array(errors[name]["reached"])
    mean, (low, high) = reached.mean(), interval(reached)
    steps, final = (float(np.mean(errors[name][each])) for each in ("steps", "final"))
    rest = [f"{value:.{digits}f}" for value, digits in ((steps, 3), (final, 2)) if value == value]
    beaten = ""
    if name not in (ENGINE, CONFUSED):
        apart = reached - np.array(errors[ENGINE]["reached"])
        beaten = " *" if interval(apart)[0] > 0 else ""
    return f"{mean:.4f} [{low:.4f}, {high:.4f}]{beaten}" + (f" · {' · '.join(rest)}" if rest else "")


def _metrics(document: dict, kind: str) -> Metrics:
    """What ``expected.json`` holds of one kind of question and one size."""
    errors, size = document["errors"][kind], f"{document['rows']:,} rows"
    others = {name: float(np.mean(each["reached"])) for name, each in errors.items() if name not in (ENGINE, CONFUSED)}
    best = min(others, key=lambda name: others[name])
    own = np.array(errors[ENGINE]["reached"])
    apart = interval(np.array(errors[best]["reached"]) - own)
    named = {
        f"{kind}, {size}: squared error": float(own.mean()),
        f"{kind}, {size}: squared error of the best other method": others[best],
        f"{kind}, {size}: how much lower, at least (95 %)": apart[0],
    }
    return {name: (value, max(0.3 * abs(value), 0.001)) for name, value in named.items()}


def draw(documents: list[dict]) -> Figure:
    """Squared errors of "reached" against the size of the training table."""
    figure, axes = panels(11, 3.6, 1, len(KINDS), sharex=True)
    sizes = [document["rows"] for document in documents]
    names = list(documents[0]["errors"]["complete"])
    for panel, kind in zip(axes, KINDS, strict=True):
        for name in documents[0]["errors"][kind]:
            reached = [np.array(each["errors"][kind][name]["reached"]) for each in documents]
            low, high = zip(*map(interval, reached), strict=True)
            style = {"color": f"C{names.index(name)}", "lw": 1}
            if name == ENGINE:
                style = {"color": "black", "lw": 2, "marker": "o"}
            elif name == CONFUSED:
                style = {"color": "grey", "ls": ":"}
            panel.plot(sizes, [each.mean() for each in reached], label=name, **style)
            panel.fill_between(sizes, low, high, color=style["color"], alpha=0.12, lw=0)
        panel.set(xscale="log", yscale="log", title=kind, xlabel="training rows")
    handles, labels = axes[0].get_legend_handles_labels()
    axes[0].set_ylabel("squared error of p(reached)")
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8)
    return figure


RECIPE = Recipe(
    __file__,
    __doc__,
    "What would another program have done, in a maze nobody has seen?",
    measure,
    {
        "rows": Size([1_000, 10_000, 100_000], [200], "sizes of the training tables, each the beginning of the next"),
        "tokens": Size([1_000_000, 2_500_000, 5_500_000], [5_000], "read in training, for each size"),
        "questions": Size(100, 2, "of every kind"),
        "draws": Size(300, 40, "per question"),
        "mazes": Size(4000, 20, "over which averages are taken"),
        "width": Size(96, 16, "of the model"),
        "layers": Size(3, 1, "of the model"),
    },
    seed=1,
    can_report=True,
)

if __name__ == "__main__":
    RECIPE.main()
