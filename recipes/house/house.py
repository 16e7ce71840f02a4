# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""How hard is the package to enter? Its size, circles, shared names, untyped seams and definitions of options.

python recipes/house/house.py            # of this checkout
python recipes/house/house.py --source OTHER/src/hf_trace
"""

import argparse
import ast
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))

import networkx as nx
from harness import Recipe, Report

ROOT = Path(__file__).parents[2]
OPTIONS = ("max_lag", "min_frequency", "num_samples", "unknown", "bootstrap", "seed")


def dotted(path: Path, source: Path) -> str:
    """The name of a module."""
    name = ".".join((source.name, *path.relative_to(source).with_suffix("").parts))
    return name.removesuffix(".__init__")


def imported(tree: ast.AST) -> Iterator[str]:
    """All imports of a module, those inside functions and for type checkers included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def circles(trees: dict[str, ast.AST]) -> list[list[str]]:
    """Groups of modules that import each other, directly or not."""
    edges = [(name, other) for name, tree in trees.items() for other in imported(tree) if other in trees]
    graph = nx.DiGraph(edge for edge in edges if edge[0] != edge[1])
    return [sorted(group) for group in nx.strongly_connected_components(graph) if len(group) > 1]


def is_plain(node: ast.expr | None) -> bool:
    """Whether a default is written out where it stands: a number, a text or None, not the name of one."""
    if isinstance(node, ast.Call) and node.args:  # str(0.05)
        return is_plain(node.args[0])
    return isinstance(node, ast.Constant)


def definitions(tree: ast.AST, option: str) -> int:
    """Places that give an option a default of their own: parameters, fields, ``get`` with a default, constants."""
    found = 0
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.Lambda)):
            arguments = node.args
            positional = [*arguments.posonlyargs, *arguments.args]
            given = [None] * (len(positional) - len(arguments.defaults)) + arguments.defaults
            pairs = [
                *zip(positional, given, strict=True),
                *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
            ]
            found += sum(name.arg == option and is_plain(default) for name, default in pairs)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found += node.target.id == option and is_plain(node.value)
        elif isinstance(node, ast.Call) and len(node.args) == 2 and isinstance(node.func, ast.Attribute):
            name = node.args[0]
            is_option = isinstance(name, ast.Constant) and name.value == option
            found += node.func.attr == "get" and is_option and is_plain(node.args[1])
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Option":
            found += bool(node.args) and isinstance(node.args[0], ast.Constant) and node.args[0].value == option
    return found


def figures(source: Path) -> dict[str, object]:
    """All figures of a package."""
    paths = sorted(source.rglob("*.py"))
    texts = {path: path.read_text(encoding="utf-8") for path in paths}
    trees = {dotted(path, source): ast.parse(text) for path, text in texts.items()}
    lengths = [
        node.end_lineno - node.lineno + 1
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno
    ]
    folders = Counter(path.parent.relative_to(source.parent).as_posix() for path in paths)
    stems = Counter(path.stem for path in paths if path.stem not in ("__init__", "__main__"))
    knots = circles(trees)
    return {
        "modules": len(paths),
        "lines": sum(len(text.splitlines()) for text in texts.values()),
        "largest folder": "{} ({})".format(*folders.most_common(1)[0]),
        "longest module, lines": max(len(text.splitlines()) for text in texts.values()),
        "functions": len(lengths),
        "median function, lines": median(lengths),
        "longest function, lines": max(lengths),
        "modules in circles, over all imports": sum(map(len, knots)),
        "names that modules share": ", ".join(sorted(name for name, count in stems.items() if count > 1)) or 0,
        "dict[str, Any]": sum(text.count("dict[str, Any]") for text in texts.values()),
        **{f"definitions of {option}": sum(definitions(tree, option) for tree in trees.values()) for option in OPTIONS},
    }


def measure(options: argparse.Namespace) -> Report:
    """The figures as a table."""
    found = figures(options.source)
    text = "| | |\n|---|---|\n" + "\n".join(f"| {name} | {value} |" for name, value in found.items())
    # How far the package may grow or shrink before the figures are to be measured again.
    slack = {"modules": 10, "lines": 1000, "functions": 100, "dict[str, Any]": 13, "longest module, lines": 50}
    numbers = {
        name: (float(value), float(slack.get(name, 0 if name.startswith(("definitions", "modules in")) else 20)))
        for name, value in found.items()
        if isinstance(value, (int, float))
    }
    return Report(found, text, numbers)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which package is measured."""
    parser.add_argument("--source", type=Path, default=ROOT / "src" / "hf_trace", help="folder of the package")


RECIPE = Recipe(__file__, __doc__, "How hard is the package to enter?", measure, options=add_options)

if __name__ == "__main__":
    RECIPE.main()
