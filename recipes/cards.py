"""Model cards from the measured results of recipes; no figure in them is typed.

python recipes/cards.py            # writes model_cards/*.md
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

RECIPES = Path(__file__).parent
CARDS = RECIPES.parent / "model_cards"


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


def card(oracle: Oracle) -> str:
    """The whole text of one card."""
    rows = json.loads((RECIPES / oracle.recipe / "expected.json").read_text(encoding="utf-8"))
    results = [
        EvalResult(
            task_type="causal-discovery",
            dataset_type=oracle.recipe,
            dataset_name=f"{oracle.recipe}: {row['method']} {row['setting']}".strip(),
            metric_type=metric,
            metric_value=round(row[metric], 4),
        )
        for row in rows
        if row["method"].startswith(("direct", "total"))
        for metric in ("auroc", "auprc", "f1")
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

Base rate {rows[0]["base_rate"]:.4f}; answering every pair gives F1 {rows[0]["predict_all_f1"]:.3f}.

## Not for

Decisions without a person who knows the plant. A hidden common cause looks like an edge between its effects; what the
log does not record cannot be found.
"""


def table(rows: list[dict[str, Any]]) -> str:
    """One line per method."""
    lines = ["| method | setting | AUROC | AUPRC | F1, own threshold |", "|---|---|---|---|---|"]
    lines += [
        f"| {row['method']} | {row['setting']} | {row['auroc']:.3f} | {row['auprc']:.3f} | {row['f1']:.3f} |"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> None:
    """Write every card."""
    CARDS.mkdir(exist_ok=True)
    for oracle in ORACLES:
        (CARDS / f"{oracle.recipe}.md").write_text(card(oracle), encoding="utf-8")


if __name__ == "__main__":
    main()
