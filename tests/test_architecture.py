"""The shape of the package: layers, sizes, names and documented public surface."""

import ast
import importlib
import inspect
from pathlib import Path

import pytest

import hf_trace

ROOT = Path(hf_trace.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))
# An entry reads "may import".
LAYERS = {
    "errors": set(),
    "data": {"errors"},
    "tokenization": {"errors", "data"},
    "scoring": {"errors"},
    "causal": {"errors", "data", "scoring"},
    "report": {"errors", "data", "causal"},
    "hub": {"errors", "data", "tokenization", "scoring", "causal", "report"},
    "console": {"errors"},
    "cli": {"errors", "console", "data", "causal", "hub", "report"},
    "__main__": {"cli"},
    "__init__": {"errors", "data", "tokenization", "causal", "hub", "report"},
}
VAGUE = {"utils", "common", "helpers", "core", "base", "misc"}


def layer(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> list[ast.Import | ast.ImportFrom]:
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return [node for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom))]


def names(node: ast.Import | ast.ImportFrom) -> list[str]:
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_what_its_layer_may(path):
    own = layer(path)
    for node in imports(path):
        assert not getattr(node, "level", 0), "imports are absolute"
        for name in names(node):
            parts = name.split(".")
            if parts[0] == "hf_trace" and len(parts) > 1:
                assert parts[1] == own or parts[1] in LAYERS[own], f"{own} imports {name}"
            if own in ("causal", "data") and "transformers" in parts[0]:
                pytest.fail(f"{own} imports {name}")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_short_named_and_described(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    assert path.stem not in VAGUE
    assert ast.get_docstring(ast.parse(text))


def test_every_public_name_is_loaded_and_documented():
    for name in hf_trace.__all__:
        thing = getattr(hf_trace, name)
        if name != "__version__":
            assert inspect.getdoc(thing), name


def test_no_module_imports_another_in_a_circle():
    edges = {}
    for path in MODULES:
        own = "hf_trace." + ".".join(path.relative_to(ROOT).with_suffix("").parts)
        top = ast.parse(path.read_text(encoding="utf-8")).body
        edges[own] = {
            name for node in top if isinstance(node, (ast.Import, ast.ImportFrom)) for name in names(node)
        }

    def visit(module, trail):
        assert module not in trail, " -> ".join([*trail, module])
        for other in edges.get(module, ()):
            if other in edges:
                visit(other, [*trail, module])

    for module in edges:
        visit(module, [])


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        hf_trace.nonsense  # noqa: B018


def test_every_module_can_be_imported():
    for path in MODULES:
        if path.stem not in ("__main__", "causal_graph_metrics"):
            importlib.import_module(
                "hf_trace." + ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            )
