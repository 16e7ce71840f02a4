"""Model cards from the measured results of recipes; no figure in them is typed.

python recipes/cards.py            # writes model_cards/*.md
"""

import json
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import EvalResult, ModelCardData

RECIPES = Path(__file__).parent
CARDS = RECIPES.parent / "model_cards"
SHOWN = ("AUROC", "AUPRC", "F1")


@dataclass(frozen=True)
class Oracle:
    """What a card says that is not a measurement.

    Attributes:
        recipe: Folder of the recipe.
        title: Of the card.
        data: What the model was trained on, with its licence.
        train: How to make it again.
        licence: Of the data, as the Hub spells it.
    """

    recipe: str
    title: str
    data: str
    train: str
    licence: str


ORACLES = [
    Oracle(
        "alarms",
        "Oracles of telecom alarms",
        "34,838 alarms of 18 types on 55 devices of a wireless network (PCIC 2021, gcastle-hub/dataset, MIT), packaged "
        "with `hf_trace`; windows of 64 alarms, the time between alarms written as tokens.",
        "python recipes/alarms/alarms.py --out runs/alarms",
        "mit",
    ),
    Oracle(
        "causrca",
        "Oracle of a lathe's controller",
        "170 recordings of normal operation of an industrial lathe (causRCA, Apache-2.0): changes of binary variables "
        "and alarms, the time between them written as tokens. The data are not packaged.",
        "python recipes/causrca/causrca.py --data PATH/TO/causrca --out runs/causrca",
        "apache-2.0",
    ),
]


@dataclass(frozen=True)
class Engine:
    """What the card of a model of variables says that is not a measurement.

    Attributes:
        recipe: Folder of the recipe; the metrics of its ``expected.json`` are the results.
        title: Of the card.
        model: What it is and predicts.
        data: What the model was trained on.
        train: How to make it again.
        use: A question.
        assumes: What must hold for its answers to be effects.
        limits: What it is not for, and where it fails.
        folder: Of the run.
        leave_out: Metrics whose name has this stand in the recipe's README alone.
    """

    recipe: str
    title: str
    model: str
    data: str
    train: str
    use: str
    assumes: str
    limits: str
    folder: str = "model"
    leave_out: str | None = None


ENGINES = [
    Engine(
        "chess-endgame",
        "Engine of rook and queen endgames",
        "A Llama of two layers, 64 wide, that predicts moves, positions and outcomes, each from its causes alone.",
        "300,000 simulated games, king and rook or queen against king, at most six plies from one of 20 starts, by "
        "players of three skills who do not get equal starts. The games are made by the recipe; the rules are those of "
        "python-chess, of which nothing is shipped.",
        "python recipes/chess-endgame/chess_endgame.py --out runs/chess-endgame",
        '{"target": "outcome", "given": {"material": "rook"}, "do": {"skill": "expert"}}',
        "The graph of a game is known: start, player, move, position and so on. Nothing unrecorded moves both a move "
        "and what follows it; the player is recorded. What is forced was played now and then in such positions.",
        "Playing chess: it knows positions that come up in these games, as these players play them, and no others. "
        "Moves that nobody makes are no tokens of it. Where a move is forced that was hardly seen there, it goes on "
        "with illegal moves and the answer is off; heed its warnings.",
    ),
    Engine(
        "maze",
        "Engine of robots in mazes",
        "A Llama of three layers, 96 wide, that predicts walls, floor, writer, goal, program, path and outcome.",
        "1,000 to 100,000 simulated rows: mazes of 4 by 4 cells, programs of at most eight moves by writers of two "
        "skills, more of them experts where the floor is wet. The rows are made by the recipe.",
        "python recipes/maze/maze.py --out runs/maze",
        '{"target": "reached", "given": {"walls": [], "goal": "c3"}, "do": {"program": ["N", "N", "..."]}}',
        "The graph is known. Floor, writer and goal, which move program and outcome alike, are recorded. What is "
        "forced is something that some writer writes.",
        "Mazes of another size, floors or writers of another kind. With 1,000 rows it is hardly better than "
        "regression; for averages over all mazes a regression is better.",
        "rows-100000",
    ),
    Engine(
        "peerread",
        "Engines of abstracts",
        "A pretrained language model (SmolLM2-135M, MiniLM as a decoder, or a small one from scratch) that reads an "
        "abstract and predicts a treatment and whether the paper is accepted.",
        "4,091 abstracts of cs.AI papers (PeerRead, no licence stated, not shipped) with simulated treatments and "
        "outcomes; the run below: the first 200, cut to 40 words.",
        "hf-trace train papers.csv --dag dag.json --model PATH/TO/smollm2 --lora --learn treated --learn accepted "
        "--out runs/peerread/papers",
        '{"target": "accepted", "do": {"treated": "yes"}, "given": {"abstract": "we study deep nets"}}',
        "All that moves both treatment and acceptance can be read in the abstract, and whatever the abstract says, "
        "some such papers are treated and some are not.",
        "Judging papers. Adapters learn the treatments of a few thousand rows by heart: their propensities are too "
        "sure, and AIPW is worse with them than with word counts. A frozen model with one new head of attention, which "
        "the recipe trains too, is better than word counts; no command of the package does that.",
        "papers",
        leave_out="read out",
    ),
]


@dataclass(frozen=True)
class EdgeClassifier:
    """What the card of the classifier that comes with the package says that is not a measurement.

    Attributes:
        recipe: Folder of the recipe; the metrics of its ``expected.json`` are the results.
        title: Of the card.
    """

    recipe: str
    title: str


EDGES = EdgeClassifier("combined", "Classifier of edges")
Model = Oracle | Engine | EdgeClassifier
# By name of the card.
MODELS: dict[str, Model] = {**{model.recipe: model for model in (*ORACLES, *ENGINES)}, "edges": EDGES}


def card(model: Model) -> str:
    """The whole text of one card."""
    if isinstance(model, EdgeClassifier):
        return edge_card(model)
    return oracle_card(model) if isinstance(model, Oracle) else engine_card(model)


def edge_card(model: EdgeClassifier) -> str:
    """The card of the classifier of edges."""
    document = json.loads((RECIPES / model.recipe / "expected.json").read_text(encoding="utf-8"))
    metrics = {name: each["value"] for name, each in document["metrics"].items()}
    columns = (*SHOWN, "Brier score")
    rows: dict[str, dict[str, float]] = {}
    for name, value in metrics.items():
        row, _, metric = name.rpartition(": ")
        log, _, score = row.rpartition(", ")
        if metric in columns and (log == "unseen worlds" or score.startswith("combined")):
            rows.setdefault(row, {})[metric] = value
    results = [
        EvalResult(
            task_type="causal-discovery",
            dataset_type=model.recipe,
            dataset_name=f"{model.recipe}: {name}",
            metric_type=metric.lower(),
            metric_value=round(value, 4),
        )
        for name, row in rows.items()
        for metric, value in row.items()
    ]
    data = ModelCardData(
        library_name="transformers",
        pipeline_tag="other",
        license="apache-2.0",
        tags=["causal-discovery", "event-sequences", "hf_trace"],
        model_name=model.title,
        eval_results=results,
    )
    lines = "\n".join(
        f"| {name} | " + " | ".join(f"{row[column]:.3f}" if column in row else "–" for column in columns) + " |"
        for name, row in rows.items()
    )
    return f"""---
{data.to_yaml()}
---
# {model.title}

Three networks of two layers, 128 wide, that say how probable it is that one event type drives another (`combined`), and
that it is followed by it in whatever way (`combined_follows`): from counts of a log (onset and direction, a Hawkes
process, bigrams and others) and the by-type effects of an oracle trained on it. They come with `hf_trace`
(`src/hf_trace/runs/edge_model_files`).

**Data.** Simulated logs alone: point processes with bursts, floods, hidden causes, beats and lost events, of one
process, of joined places, and of variables with values. No real log was fitted to.

**Make it again.** `{document["command"]}`

**Use it.** `hf-trace discover RUN LOG --level population --construction by-type --statistic combined`, or
`AutoModel.from_pretrained` after `import hf_trace`.

## Measured against known graphs

| log, score | {" | ".join(columns)} |
|---|{"---|" * len(columns)}
{lines}

F1 is of pairs whose probability is above one half; of the unseen worlds AUPRC is the mean, the others are of all pairs.

## Not for

Reading a probability as a frequency in your log: it is one among simulated logs, and a log of another kind has other
odds. A hidden common cause looks like an edge between its effects. Where a log has the shape that one of the scores
assumes of which it is made, that score may rank better; they stand beside it in the graph.
"""


def engine_card(engine: Engine) -> str:
    """The card of a model that answers what would happen if."""
    document = json.loads((RECIPES / engine.recipe / "expected.json").read_text(encoding="utf-8"))
    metrics = {
        name: each["value"]
        for name, each in document["metrics"].items()
        if engine.leave_out is None or engine.leave_out not in name
    }
    results = [
        EvalResult(
            task_type="causal-inference",
            dataset_type=engine.recipe,
            dataset_name=engine.recipe,
            metric_type=name,
            metric_value=value,
        )
        for name, value in metrics.items()
    ]
    data = ModelCardData(
        library_name="transformers",
        pipeline_tag="other",
        license="apache-2.0",
        tags=["causal-inference", "hf_trace"],
        model_name=engine.title,
        eval_results=results,
    )
    lines = "\n".join(f"| {name} | {value:g} |" for name, value in metrics.items())
    cost = "\n".join(f"| {name} | {seconds:,g} |" for name, seconds in document["cost"].items())
    run = f"runs/{engine.recipe}/{engine.folder}"
    return f"""---
{data.to_yaml()}
---
# {engine.title}

{engine.model} Frozen, it answers what would happen if some of them were forced: see `hf_trace` (arXiv 2409.18581).

**Data.** {engine.data}

**Make it again.** `{engine.train}`

**Use it.** `pipeline("causal-effect", model="{run}")({engine.use})` after `import hf_trace`.

## Assumptions

{engine.assumes}

## Measured against the truth

| metric | value |
|---|---|
{lines}

{document["command"]}, {document["date"]}.

## Cost

| what | CPU seconds |
|---|---|
{cost}

{document["hardware"]}; not measured on a GPU.

## Not for

{engine.limits}
"""


def oracle_card(oracle: Oracle) -> str:
    """The card of a model that finds causes."""
    document = json.loads((RECIPES / oracle.recipe / "expected.json").read_text(encoding="utf-8"))
    metrics = {name: each["value"] for name, each in document["metrics"].items()}
    rows: dict[str, dict[str, float]] = {}
    for name, value in metrics.items():
        row, _, metric = name.rpartition(": ")
        if metric in SHOWN and row != "every pair":
            rows.setdefault(row, {})[metric] = value
    results = [
        EvalResult(
            task_type="causal-discovery",
            dataset_type=oracle.recipe,
            dataset_name=f"{oracle.recipe}: {' '.join(_parts(name))}".strip(),
            metric_type=metric.lower(),
            metric_value=round(value, 4),
        )
        for name, row in rows.items()
        if name.startswith(("direct", "total"))
        for metric, value in row.items()
    ]
    data = ModelCardData(
        library_name="transformers",
        pipeline_tag="other",
        license=oracle.licence,
        tags=["causal-discovery", "event-sequences", "hf_trace"],
        model_name=oracle.title,
        eval_results=results,
    )
    return f"""---
{data.to_yaml()}
---
# {oracle.title}

A Llama of two layers, 128 wide, that predicts the next event. Frozen, it answers what an event changed: see
`hf_trace` (TRACE, arXiv 2602.01135).

**Data.** {oracle.data}

**Make it again.** `{oracle.train}`

**Use it.** `pipeline("causal-discovery", model="runs/{oracle.recipe}/oracles/0")` after `import hf_trace`.

## Measured against the known graph

{table(rows)}

Base rate {metrics["base rate"]:.4f}; answering every pair gives F1 {metrics["every pair: F1"]:.3f}.

## Not for

Decisions without a person who knows the plant. A hidden common cause looks like an edge between its effects; what the
log does not record cannot be found.
"""


def table(rows: dict[str, dict[str, float]]) -> str:
    """One line per method."""
    lines = ["| method | setting | AUROC | AUPRC | F1, own threshold |", "|---|---|---|---|---|"]
    for name, row in rows.items():
        method, setting = _parts(name)
        lines.append(f"| {method} | {setting} | " + " | ".join(f"{row[metric]:.3f}" for metric in SHOWN) + " |")
    return "\n".join(lines)


def _parts(name: str) -> tuple[str, str]:
    """Method and setting of a row, "total risk (16,1h)"."""
    method, _, setting = name.partition(" (")
    return method, setting.removesuffix(")")


def main() -> None:
    """Write every card."""
    CARDS.mkdir(exist_ok=True)
    for name, model in MODELS.items():
        (CARDS / f"{name}.md").write_text(card(model), encoding="utf-8")


if __name__ == "__main__":
    main()
