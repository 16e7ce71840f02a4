"""What trainings that begin with what is told without training cost, and how good they become, as tables."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from fine_tuning import WAYS
from harness import table

# Nats by which a loss may miss the one that is to be reached.
MARGINS = (0.0, 0.01)
HALF = 0.5


class Reached(NamedTuple):
    """What it costs to be as good as a training.

    Attributes:
        passes: Over the data; 0 where the zero-shot model is as good.
        seconds: Of the processor, without those of the zero-shot model.
    """

    passes: float
    seconds: float


def reached(row: dict, way: str, loss: float) -> Reached | None:
    """When a way was first at a loss; None: never."""
    before = [] if way == "ordinary" else [[0.0, 0.0, row["zero"]]]
    return next((Reached(*point[:2]) for point in (*before, *row[way]) if point[2] <= loss), None)


def best(row: dict, way: str) -> list[float]:
    """The evaluation at which a way was best."""
    return min(row[way], key=lambda point: point[2])


def reading_seconds(row: dict, way: str) -> float:
    """Seconds that the zero-shot model takes for a way."""
    return {"ordinary": 0.0, "residual": row["reading"] + row["reading held"]}.get(way, row["reading held"])


def loss_lines(rows: Sequence[dict]) -> tuple[tuple[str, ...], list[list[Any]]]:
    """Columns and lines of a table: how good each way is at best."""
    lines = [
        [row["log"], row["seed"], row["events"], row["zero"], *(best(row, way)[2] for way in WAYS),
         " / ".join(f"{weight:.2f}" for weight in best(row, "mixture")[3:])] for row in rows
    ]  # fmt: skip
    return ("log", "seed", "events", "zero-shot", *WAYS, "weights of the mixture"), lines


def cost_lines(rows: Sequence[dict], margin: float) -> tuple[tuple[str, ...], list[list[Any]]]:
    """Columns and lines of a table: what each way costs until it is as good as the ordinary training is at best."""
    lines = [[row["log"], row["seed"], *(_cost(row, way, margin) for way in WAYS)] for row in rows]
    return ("log", "seed", *WAYS), lines


def _cost(row: dict, way: str, margin: float) -> str:
    found = reached(row, way, best(row, "ordinary")[2] + margin)
    if found is None:
        return "never"
    reads = reading_seconds(row, way)
    return f"{found.passes:.3g}, {found.seconds:.0f} s" + (f" + {reads:.0f} s" if reads else "")


def half_lines(rows: Sequence[dict]) -> tuple[tuple[str, ...], list[list[Any]]]:
    """Columns and lines of a table: how good each way is at best where it has half of the passes."""
    lines = [
        [row["log"], row["seed"], f"{best(row, 'ordinary')[0] / 2:.3g}", best(row, "ordinary")[2],
         *(best(row["half"], way)[2] for way in WAYS)] for row in rows
    ]  # fmt: skip
    return ("log", "seed", "passes", "ordinary, twice as many", *WAYS), lines


def shares(rows: Sequence[dict], margin: float) -> Iterator[dict]:
    """Of each log and way the share of the ordinary training's passes and seconds; None: never as good."""
    for row in rows:
        loss = best(row, "ordinary")[2] + margin
        usual = reached(row, "ordinary", loss)
        for way in WAYS[1:]:
            found = reached(row, way, loss)
            yield {
                "log": row["log"], "seed": row["seed"], "way": way, "margin": margin,
                "passes": found and found.passes / usual.passes,
                "seconds": found and (found.seconds + reading_seconds(row, way)) / usual.seconds,
            }  # fmt: skip


def verdict(rows: Sequence[dict]) -> str:
    """How many trainings were as good in half of the passes, and of the seconds."""
    said = []
    for margin in MARGINS:
        found, loss = list(shares(rows, margin)), f"the ordinary training's best loss + {margin}"
        for way in WAYS[1:]:
            mine = [row for row in found if row["way"] == way]
            sooner = [sum(row[key] is not None and row[key] <= HALF for row in mine) for key in ("passes", "seconds")]
            said.append(
                f"* {way}, {loss}: in half of the passes {sooner[0]}, of the seconds {sooner[1]} of {len(mine)}."
            )
        for way in WAYS:
            again = [best(row["half"], way)[2] <= best(row, "ordinary")[2] + margin for row in rows]
            said.append(f"* {way}, trained again in half of the passes, {loss}: {sum(again)} of {len(again)}.")
    return "\n".join(said)


def figures(rows: Sequence[dict]) -> dict[str, tuple[float, float]]:
    """Metrics: the losses at best, and the share of passes."""
    found = {}
    for row in rows:
        name = f"{row['log']}, seed {row['seed']}"
        found |= {f"{name}: nats, {way}": (best(row, way)[2], 0.05) for way in WAYS}
    for share in shares(rows, MARGINS[-1]):
        if share["passes"] is not None:
            found[f"{share['log']}, seed {share['seed']}: share of passes, {share['way']}"] = (share["passes"], 0.3)
    return found


def tables(rows: Sequence[dict]) -> str:
    """The tables, readable, and whether half was enough; nothing where nothing was trained."""
    if not rows:
        return ""
    text = f"\n\nTrainings that begin with what is told: nats per held-out event, at best\n\n{table(*loss_lines(rows))}"
    for margin in MARGINS:
        text += f"\n\nPasses and seconds to the ordinary training's best loss + {margin}\n\n"
        text += table(*cost_lines(rows, margin))
    text += "\n\nTrained again in half of the passes that the ordinary training was best after\n\n"
    return f"{text}{table(*half_lines(rows))}\n\n{verdict(rows)}"
