"""The house (rooms, arrows, sizes, names) and its documented public surface: every test lists all offenders."""

import ast
import importlib
import inspect
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import pytest

import hf_trace

ROOT = Path(hf_trace.__file__).parent
MODULES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(ROOT.rglob("*.py"))}
# Rooms from the ground up; a room may import those before it, and the ones it stands beside where that is said.
FLOORS = (
    ("starting",),
    ("errors",),
    ("documents",),
    ("checks",),
    ("options",),
    ("notebooks",),
    ("edges",),
    ("logs",),
    ("graphs",),
    ("tables",),
    ("worlds",),
    ("tokenizers",),
    ("oracle",),
    ("runs",),
    ("discovery",),
    ("amortised",),
    ("questions", "effects"),
    ("report",),
    ("publishing", "training"),
    ("pipelines",),
    ("benchmark",),
    ("app",),
    ("cli",),
    ("__init__", "__main__"),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
READS_TRANSFORMERS = {"oracle", "runs", "amortised", "training", "publishing", "pipelines", "tokenizers", "cli"}
VAGUE = {"utils", "common", "helpers", "core", "base", "misc"}
MOST_LINES, MOST_MODULES = 500, 20


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def dotted(path: Path) -> str:
    return ".".join(("hf_trace", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")


def imported(tree: ast.AST) -> Iterator[str]:
    """All imports, those inside functions and for type checkers included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def misplaced() -> Iterator[str]:
    for path, tree in MODULES.items():
        own = room(path)
        for name in imported(tree):
            top, _, rest = name.partition(".")
            other = rest.partition(".")[0]
            if top == "hf_trace" and other in FLOOR and other != own and FLOOR[other] >= FLOOR[own]:
                yield f"{dotted(path)} imports {name}"
            if top == "transformers" and own not in READS_TRANSFORMERS and own != "__init__":
                yield f"{dotted(path)} imports {name}"


def circles() -> Iterator[str]:
    names = {dotted(path) for path in MODULES}
    graph = nx.DiGraph(
        (dotted(path), name) for path, tree in MODULES.items() for name in imported(tree) if name in names
    )
    graph.remove_edges_from(nx.selfloop_edges(graph))
    return (f"circle: {' -> '.join(circle)}" for circle in nx.simple_cycles(graph))


def misshapen() -> Iterator[str]:
    for path, tree in MODULES.items():
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > MOST_LINES:
            yield f"{dotted(path)} has {lines} lines"
        if path.stem in VAGUE:
            yield f"{dotted(path)} says nothing"
        if not ast.get_docstring(tree):
            yield f"{dotted(path)} is not described"
    for folder, count in Counter(path.parent for path in MODULES).items():
        if count > MOST_MODULES:
            yield f"{folder.relative_to(ROOT)} has {count} modules"


def shared_names() -> Iterator[str]:
    """Names of two modules, and of two public classes or functions."""
    stems = Counter(path.stem for path in MODULES if path.stem not in ("__init__", "__main__"))
    yield from (f"{count} modules are called {name}" for name, count in stems.items() if count > 1)
    things: dict[str, list[str]] = {}
    for path, tree in MODULES.items():
        if room(path) == "cli":  # a command has the name of what it runs
            continue
        for node in ast.iter_child_nodes(tree):
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and not node.name.startswith("_"):
                things.setdefault(node.name, []).append(dotted(path))
    yield from (f"{name} is in {', '.join(places)}" for name, places in things.items() if len(places) > 1)


def test_rooms_import_what_is_below_them_and_nothing_goes_in_circles():
    assert sorted(misplaced()) == []
    assert list(circles()) == []


def test_modules_are_short_described_and_have_names_of_their_own():
    assert sorted(misshapen()) == []
    assert sorted(shared_names()) == []


def test_every_public_name_is_loaded_and_documented():
    for name in hf_trace.__all__:
        thing = getattr(hf_trace, name)
        if name != "__version__":
            assert inspect.getdoc(thing), name


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        hf_trace.nonsense  # noqa: B018


def test_every_module_can_be_imported():
    for path in MODULES:
        if path.stem not in ("__main__", "causal_graph_metrics"):
            importlib.import_module(dotted(path))


def test_what_the_house_recipe_counts_does_not_grow(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT.parents[1] / "recipes" / "house"))
    house = importlib.import_module("house")
    found = house.figures(ROOT)
    assert found["modules"] <= 320
    assert found["dict[str, Any]"] <= 40
    assert {name: found[f"definitions of {name}"] for name in house.OPTIONS} == dict.fromkeys(house.OPTIONS, 1)
    # A figure is no figure if it cannot be wrong.
    assert house.definitions(ast.parse("def f(seed: int = 0, *, n=SEED.default): options.get('seed', 1)"), "seed") == 2
