"""Fits the classifier of edges to worlds, and tells how good it is in worlds that it has not seen."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from harness import table
from log_evidence import Evidence
from sklearn.metrics import average_precision_score, brier_score_loss, f1_score
from torch.nn.functional import binary_cross_entropy_with_logits

from hf_trace.runs.edge_model import EdgeConfig, EdgeModel

QUESTIONS = ("drives", "follows")
SINGLE = {"onset": "onset", "hawkes": "hawkes", "strength": "by-type", "bigram": "bigram"}
_BATCH, _RATE, _DECAY = 512, 2e-3, 0.1
_FOLDS, _BINS = 5, 10
# By so much less than the best single score a world is worse.
_WORSE = 0.01


def fitted(worlds: Sequence[Evidence], members: int, epochs: int) -> EdgeModel:
    """A classifier of the pairs of all worlds; a world counts as the root of its number of pairs."""
    features = torch.from_numpy(np.concatenate([world.features for world in worlds])).float()
    asked = [np.concatenate([world.labels(question) for world in worlds]) for question in QUESTIONS]
    labels = torch.from_numpy(np.stack(asked, axis=1)).float()
    sizes = torch.tensor([len(world.features) for world in worlds])
    weights = (sizes**-0.5).repeat_interleave(sizes)
    weights /= weights.mean()
    torch.manual_seed(0)
    model = EdgeModel(EdgeConfig(features.shape[1], members=members, questions=QUESTIONS)).train()
    model.standardise(features)
    optimizer = torch.optim.AdamW(model.members.parameters(), lr=_RATE, weight_decay=_DECAY)
    steps = max(epochs * len(labels) // _BATCH, 1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2 * _RATE, total_steps=steps + 1)
    for _ in range(steps):
        drawn = torch.randint(len(labels), (_BATCH,))
        logits = model(features[drawn]).logits
        losses = binary_cross_entropy_with_logits(logits, labels[drawn].expand_as(logits), reduction="none")
        optimizer.zero_grad()
        # Each member learns by itself.
        (losses * weights[drawn, None]).mean(1).sum().backward()
        optimizer.step()
        schedule.step()
    return model.eval()


def unseen_probabilities(
    worlds: Sequence[Evidence], members: int, epochs: int
) -> Iterator[tuple[int, str, np.ndarray]]:
    """For each world, by number, and each question what a classifier of the other folds says of its pairs."""
    fold = np.arange(len(worlds)) % min(_FOLDS, len(worlds))
    for left_out in np.unique(fold):
        model = fitted([worlds[number] for number in np.flatnonzero(fold != left_out)], members, epochs)
        for number in np.flatnonzero(fold == left_out):
            for question in QUESTIONS:
                yield int(number), question, model.probabilities(worlds[number].features, question)


def cross_validated(worlds: Sequence[Evidence], members: int, epochs: int) -> dict[str, dict]:
    """How good the classifier is in worlds it has not seen, by question."""
    found: dict[str, dict[int, np.ndarray]] = {question: {} for question in QUESTIONS}
    for number, question, probability in unseen_probabilities(worlds, members, epochs):
        found[question][number] = probability
    return {
        question: validated(worlds, question, [said[number] for number in range(len(worlds))])
        for question, said in found.items()
    }


def validated(worlds: Sequence[Evidence], question: str, found: Sequence[np.ndarray]) -> dict:
    """How good probabilities are, beside single scores and beside knowing the base rate."""
    precision = [precisions(world, question, each) for world, each in zip(worlds, found, strict=True)]
    labels = np.concatenate([world.labels(question) for world in worlds])
    probability = np.concatenate(found)
    best = np.array([max(each[name] for name in SINGLE.values()) for each in precision])
    combined = np.array([each["combined"] for each in precision])
    kinds = [world.kind for world in worlds]
    return {
        "worlds": len(worlds), "pairs": len(labels), "base_rate": float(labels.mean()),
        "auprc": {"all": means(precision), **{kind: means(precision, kinds, kind) for kind in sorted(set(kinds))}},
        "best_single": float(best.mean()), "worse": float((combined < best - _WORSE).mean()),
        "brier": float(brier_score_loss(labels, probability)), "brier_base": float(labels.mean() * (1 - labels.mean())),
        "f1": float(f1_score(labels, probability > 0.5, zero_division=0)), "edges": int((probability > 0.5).sum()),
        "reliability": reliability(labels, probability),
    }  # fmt: skip


def precisions(world: Evidence, question: str, probability: np.ndarray) -> dict[str, float]:
    """AUPRC of each score, and the base rate."""
    labels = world.labels(question)
    scores = {called: world.scores(name) for name, called in SINGLE.items()} | {"combined": probability}
    found = {name: float(average_precision_score(labels, each)) for name, each in scores.items()}
    return found | {"base rate": float(labels.mean())}


def means(rows: Sequence[dict[str, float]], kinds: Sequence[str] = (), kind: str = "") -> dict[str, float]:
    """Of each column, and how many worlds there are."""
    of_kind = [row for number, row in enumerate(rows) if not kind or kinds[number] == kind]
    return {"worlds": len(of_kind)} | {name: float(np.mean([row[name] for row in of_kind])) for name in of_kind[0]}


def reliability(labels: np.ndarray, probability: np.ndarray) -> list[dict]:
    """Share of true edges among pairs of about the same probability.

    Example:
        >>> reliability(np.array([True, False, True]), np.array([0.91, 0.93, 1.0]))
        [{'pairs': 3, 'said': 0.9466666666666667, 'true': 0.6666666666666666}]
    """
    place = np.minimum((probability * _BINS).astype(int), _BINS - 1)
    return [
        {"pairs": int(at.sum()), "said": float(probability[at].mean()), "true": float(labels[at].mean())}
        for at in (place == number for number in range(_BINS))
        if at.any()
    ]


def markdown(found: dict[str, dict]) -> str:
    """The tables, readable."""
    return "\n\n".join(f"Unseen worlds, what {question}\n\n{of_question(each)}" for question, each in found.items())


def of_question(found: dict) -> str:
    """The same of one question."""
    columns = ("worlds", "combined", *SINGLE.values(), "base rate")
    ranked = table(("AUPRC, mean", *columns), [[kind, *map(row.get, columns)] for kind, row in found["auprc"].items()])
    said = table(
        ("pairs", "mean probability", "share of true edges"),
        [[f"{row['pairs']:,}", row["said"], row["true"]] for row in found["reliability"]],
    )
    worse = f"The best single score of each world, chosen in hindsight: {found['best_single']:.3f}; "
    worse += f"combined is worse by more than {_WORSE} in {found['worse']:.0%} of the worlds."
    sure = f"Brier score {found['brier']:.4f} (base rate alone {found['brier_base']:.4f}); "
    sure += f"F1 at .5 {found['f1']:.3f} ({found['edges']:,} edges of {found['pairs']:,} pairs)."
    return f"{ranked}\n\n{worse} {sure}\n\n{said}"
