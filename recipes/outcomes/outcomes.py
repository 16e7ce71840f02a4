# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""Which events bring an outcome about: a world whose rule is known, and blocks of a file system (HDFS).

python recipes/outcomes/outcomes.py --data PATH/TO/hdfs_logkeys --out runs/outcomes
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
from harness import Metrics, Recipe, Report, Size, panels, table
from matplotlib.figure import Figure
from outcome_rules import OutcomeRule
from scipy.stats import chi2_contingency, fisher_exact
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from hf_trace.logs.contexts import outcome_event
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence
from hf_trace.pipelines.discovery_pipeline import CausalDiscoveryPipeline, load_pipeline
from hf_trace.questions.outcome_scores import binary_measures
from hf_trace.training.log_training import TrainingSettings, train
from hf_trace.worlds.simulator import simulate
from hf_trace.worlds.world import World, WorldSpec

# e00 and e01 act alone, e02 only before e03. e04 follows e00, e05 precedes e02, and neither does anything.
SPEC = WorldSpec(types=12, memory=1, edges=((0, 4, 2.5), (5, 2, 2.5), (6, 7, 2.0)), length=10)
RULE = OutcomeRule(-1.2, {0: 2.5, 1: -2.0}, {(2, 3): 2.5})
DELTA = 0.05
EXPLAINED = 500
SIGNIFICANT = 0.001
# Names that the log parsers' own list of templates gives to these keys; the data set has numbers alone.
KEYS = {
    "1": "adding an existing block", "2": "verification succeeded", "3": "served block",
    "4": "exception while serving", "5": "receiving block", "6": "received block (with source)",
    "7": "writeBlock exception", "8": "PacketResponder interrupted", "9": "received block of size",
    "10": "PacketResponder exception", "11": "PacketResponder terminating", "12": "exception writing to mirror",
    "13": "receiving empty packet", "14": "exception in receiveBlock", "15": "changing file offset",
    "16": "transmitted block", "17": "failed to transfer", "18": "starting transfer thread", "19": "reopen block",
    "20": "unexpected error deleting block", "21": "deleting block file", "22": "allocate block",
    "23": "block added to invalid set", "24": "removing from needed replications", "25": "ask to replicate",
    "26": "stored block added to map", "27": "redundant stored block", "28": "stored block of no file",
    "29": "replication timed out",
}  # fmt: skip


def labelled(log: EventLog, labels: list[str]) -> EventLog:
    """A log with labels as last events."""
    return EventLog.from_sequences(
        EventSequence((*sequence.events, outcome_event("label", label)), None, sequence.id)
        for sequence, label in zip(log, labels, strict=True)
    )


def pipeline_of(log: EventLog, folder: Path, settings: TrainingSettings) -> CausalDiscoveryPipeline:
    """A trained pipeline; a folder that exists is used as it is."""
    if not (folder / "config.json").exists():
        train(log, folder, settings)
    return load_pipeline(folder)


def training(options: argparse.Namespace, **settings: Any) -> TrainingSettings:
    """The label is learned as the last event."""
    small = {"preset": "nano", "epochs": 1.0} if options.smoke else {}
    return TrainingSettings(outcome_column="label", seed=0, **small, **settings)


def occurrences(log: EventLog) -> np.ndarray:
    """How often each sequence holds each type."""
    found = np.zeros((len(log), len(log.event_types)))
    np.add.at(found, (np.repeat(np.arange(len(log)), log.sequence_lengths), log.codes), 1)
    return found


def by_counting(seen: np.ndarray, labels: np.ndarray, tested: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """Logistic regression on counts, out of sample."""
    scaler = StandardScaler().fit(seen)
    model = LogisticRegression(max_iter=5000).fit(scaler.transform(seen), labels)
    return binary_measures(truth, model.predict_proba(scaler.transform(tested))[:, 1])


def world(options: argparse.Namespace) -> dict[str, Any]:
    """A rule that is known: precision and recall of causes, coverage of intervals, prediction."""
    sequences, tested = options.sequences, options.tested
    drawn = simulate(World(SPEC), sequences + tested, seed=1)
    codes, log = drawn.codes, drawn.log
    untimed = EventLog(log.event_types, log.codes, log.offsets, None, log.ids)
    chance = RULE.probability(codes)
    happened = np.random.default_rng(2).random(len(codes)) < chance
    whole = labelled(untimed, ["yes" if each else "no" for each in happened])
    seen, held = np.arange(sequences), np.arange(sequences, sequences + tested)
    settings = training(options, ensemble=options.ensemble)
    discover = pipeline_of(whole.select(seen), options.out / "world", settings)
    fresh = whole.select(held)
    found = discover.outcomes(fresh, proposal="exhaustive")
    each = discover.outcomes(fresh, proposal="exhaustive", level="instance", outcome="yes")
    yes = outcome_event("label", "yes")
    causes = {cause["event"] for named in found["outcomes"] for cause in named["causes"]}
    names = np.array(log.event_types)
    is_cause = np.isin(np.arange(SPEC.types), list(RULE.causes))
    counts = occurrences(untimed)
    return {
        "sequences": {"training": sequences, "test": tested},
        "types": agreement(np.isin(names, list(causes)), is_cause),
        "chi-square": agreement(associated(counts[seen] > 0, happened[seen]), is_cause),
        "predict all": agreement(np.ones(SPEC.types, dtype=bool), is_cause),
        "found": sorted(causes),
        "instances": instances(each, codes[held]),
        "prediction": found["prediction"]["labels"][yes],
        "true probabilities": binary_measures(happened[held], chance[held]),
        "logistic regression": by_counting(counts[seen], happened[seen], counts[held], happened[held]),
        "population": [
            {name: cause[name] for name in ("event", "cmi", "gain", "gain_low", "gain_high", "frequency")}
            for cause in next(named for named in found["outcomes"] if named["outcome"] == yes)["tested"]
        ],
    }


def agreement(found: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Precision, recall and F1 of a set."""
    hits = float((found & truth).sum())
    precision = hits / max(found.sum(), 1)
    recall = hits / max(truth.sum(), 1)
    return {
        "precision": float(precision),
        "recall": float(recall),
        "f1": 2 * precision * recall / max(precision + recall, 1e-12),
    }


def associated(present: np.ndarray, happened: np.ndarray) -> np.ndarray:
    """Types whose presence goes with the outcome (chi-square, 5 % over all types together)."""
    found = []
    for column in present.T:
        cells = [[np.sum(column & happened), np.sum(column & ~happened)],
                 [np.sum(~column & happened), np.sum(~column & ~happened)]]  # fmt: skip
        found.append(chi2_contingency(cells).pvalue < 0.05 / present.shape[1])
    return np.array(found)


def instances(found: list[dict[str, Any]], codes: np.ndarray) -> dict[str, Any]:
    """Single events: against the rule, every replacement enumerated."""
    rows = []
    for record, sequence in zip(found, codes, strict=True):
        gain, mean = RULE.gains(sequence, SPEC.types)
        p = float(RULE.probability(sequence[None])[0])
        truth = p * np.log(p / mean) + (1 - p) * np.log((1 - p) / (1 - mean)) > DELTA
        for cause in record["outcomes"][0]["causes"]:
            place = cause["position"]
            rows.append(
                (cause["carries"], truth[place], gain[place], cause["gain"], cause["gain_low"], cause["gain_high"])
            )
    carries, truth, gain, estimate, low, high = (np.array(column) for column in zip(*rows, strict=True))
    inside = (low <= gain) & (gain <= high)
    return {
        **agreement(carries.astype(bool), truth.astype(bool)),
        "base_rate": float(truth.mean()),
        "coverage": float(inside.mean()),
        "coverage_of_causes": float(inside[truth.astype(bool)].mean()),
        "correlation": float(np.corrcoef(gain, estimate)[0, 1]),
        "scatter": np.stack([gain, estimate], 1)[:: max(1, len(gain) // 1500)].round(4).tolist(),
    }


def hdfs(options: argparse.Namespace) -> dict[str, Any]:
    """Blocks of a file system, normal or anomalous."""
    data, sequences = Path(options.data), options.blocks
    lines = [(line.split(), "normal") for line in (data / "hdfs_train").read_text().splitlines()]
    lines += [(line.split(), "anomalous") for line in (data / "hdfs_test_abnormal").read_text().splitlines()]
    lines = [(events, label) for events, label in lines if len(events) <= 100]
    order = np.random.default_rng(0).permutation(len(lines))[: 2 * sequences]
    log = EventLog.from_sequences(
        EventSequence(tuple(f"{key} {KEYS[key]}" for key in lines[index][0]), None, str(index)) for index in order
    )
    labels = [lines[index][1] for index in order]
    whole = labelled(log, labels)
    seen, held = np.arange(sequences), np.arange(sequences, 2 * sequences)
    discover = pipeline_of(whole.select(seen), options.out / "hdfs", training(options))
    known = np.isin(np.arange(len(whole.event_types)), np.unique(whole.select(seen).codes))
    unknown = "error" if known.all() else "map"
    predicted = discover.outcomes(whole.select(held), num_samples=1, unknown=unknown)["prediction"]
    explained = held[[labels[index] == "anomalous" for index in held]][:EXPLAINED]
    found = discover.outcomes(whole.select(explained), outcome="anomalous", unknown=unknown)
    total = discover.outcomes(
        whole.select(explained[: options.followed]),
        outcome="anomalous",
        unknown=unknown,
        effect="total",
        num_samples=32,
    )
    is_bad = np.array([label == "anomalous" for label in labels])
    counts = occurrences(log)
    return {
        "sequences": {"training": sequences, "test": sequences},
        "distinct": len({tuple(lines[index][0]) for index in order}),
        "explained": len(explained),
        "prediction": predicted["labels"][outcome_event("label", "anomalous")],
        "logistic regression": by_counting(counts[seen], is_bad[seen], counts[held], is_bad[held]),
        "causes": found["outcomes"][0]["tested"][:10],
        "beside counting": beside_counting(
            log.event_types, counts[held] > 0, is_bad[held], *(each["outcomes"][0] for each in (found, total))
        ),
    }


def beside_counting(
    names: Sequence[str], present: np.ndarray, is_bad: np.ndarray, direct: dict[str, Any], total: dict[str, Any]
) -> list[dict[str, Any]]:
    """Types that are more, or less, frequent in anomalous blocks (Fisher's exact test), and what effects say."""
    rows = []
    for name, column in zip(names, present.T, strict=True):
        cells = [[np.sum(column & label), np.sum(~column & label)] for label in (is_bad, ~is_bad)]
        if fisher_exact(cells).pvalue < SIGNIFICANT:
            (bad, _), (normal, _) = cells
            row = {"event": name, "anomalous": bad / is_bad.sum(), "normal": normal / (~is_bad).sum()}
            for effect, found in (("direct", direct), ("total", total)):
                gains = {each["event"]: each["gain"] for each in found["tested"]}
                causes = [each["event"] for each in found["causes"]]
                row |= {effect: gains.get(name), f"{effect}: cause": name in causes}
            rows.append(row)
    return sorted(rows, key=lambda row: row["normal"] - row["anomalous"])


def agreeing(rows: list[dict[str, Any]], effect: str) -> float:
    """Share of types that are causes and act as they are counted."""
    right = [row[f"{effect}: cause"] and (row[effect] > 0) == (row["anomalous"] > row["normal"]) for row in rows]
    return sum(right) / max(len(right), 1)


def in_words(cause: dict[str, Any]) -> str:
    """A cause as a sentence."""
    acts = "likelier" if cause["direction"] == "excites" else "less likely"
    return (
        f"`{cause['event']}` makes the anomaly {acts} by {abs(cause['gain']):.2f} ({cause['gain_low']:+.2f} to "
        f"{cause['gain_high']:+.2f}); it carries it in {cause['frequency']:.0%} of the {cause['support']} anomalous "
        "blocks that have it."
    )


def markdown(found: dict[str, Any]) -> str:
    """All numbers."""
    rows = []
    for part in ("world", "hdfs"):
        for name in ("prediction", "logistic regression", "true probabilities"):
            if name in found[part]:
                row, called = found[part][name], "this model" if name == "prediction" else name
                rows.append([f"{part}, {called}", *(row[key] for key in ("base_rate", "auroc", "auprc", "log_loss"))])
    causes = [
        [name, *(found["world"][name][key] for key in ("precision", "recall", "f1"))]
        for name in ("types", "chi-square", "predict all", "instances")
    ]
    single, counted = found["world"]["instances"], found["hdfs"]["beside counting"]
    effects = [
        [
            row["event"],
            f"{row['anomalous']:.1%}",
            f"{row['normal']:.1%}",
            *(in_bold(row, e) for e in ("direct", "total")),
        ]
        for row in counted
    ]
    parts = [
        table(("predicting", "base rate", "AUROC", "AUPRC", "log loss"), rows, digits=4),
        table(("causes in the world", "precision", "recall", "F1"), causes),
        f"Single events: base rate {single['base_rate']:.3f}; intervals of the gain cover {single['coverage']:.3f} of "
        f"all true gains, {single['coverage_of_causes']:.3f} of those of causes.",
        "\n".join(f"{number}. {in_words(cause)}" for number, cause in enumerate(found["hdfs"]["causes"], start=1)),
        table(("hdfs", "of anomalous", "of normal", "direct effect", "total effect"), effects),
        f"Causes that act as they are counted: direct {agreeing(counted, 'direct'):.2f}, total "
        f"{agreeing(counted, 'total'):.2f} of {len(counted)} types.",
    ]
    return "\n\n".join(parts)


def in_bold(row: dict[str, Any], effect: str) -> str:
    """A mean effect, in bold where the type is a cause."""
    if row[effect] is None:
        return "–"
    return f"**{row[effect]:+.3f}**" if row[f"{effect}: cause"] else f"{row[effect]:+.3f}"


def named(found: dict[str, Any]) -> Metrics:
    """What ``expected.json`` holds."""
    world, hdfs = found["world"], found["hdfs"]
    single = world["instances"]
    return {
        "world: AUROC": (world["prediction"]["auroc"], 0.02),
        "world: AUPRC": (world["prediction"]["auprc"], 0.03),
        "world, logistic regression: AUROC": (world["logistic regression"]["auroc"], 0.02),
        "hdfs: AUROC": (hdfs["prediction"]["auroc"], 0.005),
        "hdfs: AUPRC": (hdfs["prediction"]["auprc"], 0.005),
        "hdfs, logistic regression: AUROC": (hdfs["logistic regression"]["auroc"], 0.005),
        "hdfs, direct: causes that act as counted": (agreeing(hdfs["beside counting"], "direct"), 0.2),
        "hdfs, total: causes that act as counted": (agreeing(hdfs["beside counting"], "total"), 0.2),
        "world, types: F1": (world["types"]["f1"], 0.12),
        "world, single events: F1": (single["f1"], 0.05),
        "world: intervals that hold the truth": (single["coverage"], 0.03),
        "world: intervals of causes that hold the truth": (single["coverage_of_causes"], 0.05),
    }


def draw(found: dict[str, Any]) -> Figure:
    """Estimated against true gains, and the strongest causes of an anomaly."""
    figure, (left, right) = panels(12, 4.4, 1, 2)
    pairs = np.array(found["world"]["instances"]["scatter"])
    left.plot([-0.6, 0.6], [-0.6, 0.6], color="#999999", linewidth=1)
    left.scatter(pairs[:, 0], pairs[:, 1], s=6, alpha=0.4, color="#2c6fbb")
    left.set(xlabel="true gain of an event", ylabel="estimated", title="world with a known rule")
    causes = found["hdfs"]["causes"]
    gains = [cause["gain"] for cause in causes]
    error = [[abs(cause["gain"] - cause[end]) for cause in causes] for end in ("gain_low", "gain_high")]
    colours = ["#d1702d" if gain > 0 else "#2c6fbb" for gain in gains]
    right.barh(range(len(causes)), gains, xerr=error, color=colours, error_kw={"linewidth": 0.8})
    right.set(yticks=range(len(causes)), yticklabels=[cause["event"] for cause in causes],
              xlabel="what it adds to P(anomalous)", title="HDFS blocks")  # fmt: skip
    right.invert_yaxis()
    return figure


def made_up(folder: Path) -> None:
    """Blocks of which the anomalous ones are deleted twice."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for name, end in (("hdfs_train", "23 21"), ("hdfs_test_abnormal", "20 21 20")):
        lines = [f"22 5 {' '.join(rng.choice(['9', '11', '26'], 4))} {end}" for _ in range(60)]
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def measure(options: argparse.Namespace) -> Report:
    """Both parts."""
    torch.set_num_threads(1)
    found = {"world": world(options), "hdfs": hdfs(options)}
    return Report(found, markdown(found), named(found), draw(found))


RECIPE = Recipe(
    __file__,
    __doc__,
    "Which events bring an outcome about?",
    measure,
    {
        "sequences": Size(4000, 60, "to train on, in the world"),
        "tested": Size(1000, 40, "to test on, in the world"),
        "blocks": Size(3000, 40, "to train on, and as many to test on"),
        "followed": Size(200, 5, "anomalous blocks whose total effects are simulated"),
        "ensemble": Size(4, 1),
    },
    data="folder with hdfs_train and hdfs_test_abnormal",
    tiny_data=made_up,
)

if __name__ == "__main__":
    RECIPE.main()
