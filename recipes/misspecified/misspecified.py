# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace[chess]"]
# ///
"""What does a wrong graph cost, and does the refutation notice?

Five domains whose answers are known: sachs, random networks, a maze, a chess endgame, PeerRead's treatments. One edge
dropped, turned or added, two and four changes at once, a common cause that nobody thought of. The model of a table is
its counts on the graph in question: what training comes close to, without its noise.

python recipes/misspecified/misspecified.py --data BIF --out runs/misspecified
"""

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from domains import Domain, domains
from harness import Recipe, Report, Size, panels, table
from matplotlib.figure import Figure
from wrong_graphs import ignored, measured, several, single

_LEAST = 1e-5
CHANGES = ("none", "added", "dropped", "turned", "2 at once", "4 at once", "latent ignored")


def lines_of(domain: Domain, options: argparse.Namespace) -> list[dict[str, Any]]:
    """The true graph on some tables, wrong ones on the first of them."""
    rng, schema = np.random.default_rng(0), domain.network.schema
    frames = [domain.network.sample(options.rows, seed=seed) for seed in range(options.tables)]
    wrong = [
        *single(schema, options.changes, rng),
        *(each for count in (2, 4) for each in several(schema, count, options.changes, rng)),
        *ignored(schema, options.changes),
    ]
    seen: dict[str, int] = {}
    found = [measured(domain, None, frame, checks=seed < options.checked) for seed, frame in enumerate(frames)]
    for each in wrong:
        seen[each.change] = seen.get(each.change, 0) + 1
        found.append(measured(domain, each, frames[0], checks=seen[each.change] <= options.checked))
    print(f"{domain.name}: {len(found)} graphs", flush=True)
    return found


def measure(options: argparse.Namespace) -> Report:
    """All domains."""
    lines = [line for domain in domains(options) for line in lines_of(domain, options)]
    return Report(lines, "\n\n".join([costs(lines), verdicts(lines)]), figures(lines), drawn(lines))


def family(line: dict[str, Any]) -> str:
    """Random networks are one domain."""
    return line["domain"].split(" ")[0]


def families(lines: list[dict[str, Any]]) -> list[str]:
    """Of all lines, in their order."""
    return list(dict.fromkeys(map(family, lines)))


def of(lines: list[dict[str, Any]], change: str, key: str, domain: str | None = None) -> list[Any]:
    """Values of some lines that are known."""
    chosen = [line for line in lines if line["change"] == change and domain in (None, family(line))]
    return [line[key] for line in chosen if line[key] is not None]


def costs(lines: list[dict[str, Any]]) -> str:
    """Mean total variation by kind of change and domain."""
    names, rows = families(lines), []
    for change in CHANGES:
        means = [np.mean(found) if (found := of(lines, change, "tv", name)) else None for name in names]
        added = of(lines, change, "added")
        mean = np.mean(added) if added else None
        rows.append([change, len(of(lines, change, "tv")), *map(_float, (*means, mean))])
    return table(["change", "graphs", *names, "error added"], rows, digits=4)


def _float(value: Any) -> float | None:
    return None if value is None else float(value)


def verdicts(lines: list[dict[str, Any]]) -> str:
    """What ``--refute`` says of each kind of change."""
    rows = []
    for change in CHANGES:
        flagged, named = of(lines, change, "contradicted"), of(lines, change, "names_it")
        failed = of(lines, change, "failed")
        rows.append([
            change, len(flagged), float(np.mean([count > 0 for count in flagged])) if flagged else None,
            float(np.mean(named)) if named else None,
            f"{sum(map(bool, failed))} of {len(failed)}",
            ", ".join(sorted({name for each in failed for name in each})) or "none",
        ])  # fmt: skip
    columns = ["change", "graphs", "contradicted by rows", "names a wrong pair", "another check fails", "which"]
    return table(columns, rows)


def figures(lines: list[dict[str, Any]]) -> dict[str, tuple[float, float]]:
    """Metrics, and how far another run may be off."""
    found: dict[str, tuple[float, float]] = {}
    for change in CHANGES:
        if added := of(lines, change, "added"):
            found[f"{change}: error added"] = (float(np.mean(added)), 0.01)
        if flagged := of(lines, change, "contradicted"):
            found[f"{change}: contradicted"] = (float(np.mean([count > 0 for count in flagged])), 0.1)
    return found


def drawn(lines: list[dict[str, Any]]) -> Figure:
    """Error added by every graph; filled where rows contradict it."""
    figure, axes = panels(8, 3.6)
    for number, name in enumerate(families(lines)):
        colour = f"C{number}"
        axes.scatter([], [], s=16, c="none", edgecolors=colour, label=name)
        for place, change in enumerate(CHANGES[1:]):
            mine = [each for each in lines if each["change"] == change and family(each) == name]
            chosen = [each for each in mine if each["added"] is not None]
            x = place + 0.14 * (number - 2) + np.zeros(len(chosen))
            y = [max(each["added"], _LEAST) for each in chosen]
            filled = [colour if each["contradicted"] else "none" for each in chosen]
            axes.scatter(x, y, s=16, c=filled, edgecolors=colour)
    axes.set_yscale("log")
    axes.set_xticks(range(len(CHANGES) - 1), CHANGES[1:])
    axes.set_ylabel("total variation added\n(lowest: none, or less)")
    axes.legend(frameon=False, fontsize=8, title="filled: contradicted by rows", title_fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


RECIPE = Recipe(
    __file__,
    __doc__,
    "What does a wrong graph cost, and does the refutation notice?",
    measure,
    {
        "rows": Size(10_000, 300, "rows of a table"),
        "tables": Size(10, 1, "tables on which the true graph is tested"),
        "changes": Size(6, 1, "wrong graphs of a kind in each domain"),
        "checked": Size(2, 0, "graphs of a kind that all checks of --refute are put to"),
        "networks": Size(3, 1, "random networks"),
        "questions": Size(40, 3, "questions of a domain"),
        "programs": Size(200_000, 2_000, "programs written in the maze, from which its probabilities are"),
    },
    options=lambda parser: parser.add_argument("--data", help="folder with sachs.bif and exact_do_sachs.json"),
    more="--data BIF",
)

if __name__ == "__main__":
    RECIPE.main()
