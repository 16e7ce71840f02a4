"""Every recipe says what it needs, for ``uv run``: all that it imports, and nothing that is not one of our extras."""

import ast
import re
import sys
from importlib.metadata import packages_distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tests.recipes.conftest import RECIPES

tomllib = pytest.importorskip("tomllib", reason="reads TOML since Python 3.11")
SCRIPTS = sorted(path for path in RECIPES.glob("*/*.py") if "\nRECIPE = " in path.read_text(encoding="utf-8"))
PROJECT = tomllib.loads((RECIPES.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DISTRIBUTIONS = packages_distributions()
# The form that PEP 723 gives.
BLOCK = re.compile(r"(?m)^# /// script$\s(?P<content>(^#(| .*)$\s)+)^# ///$")


def metadata(path):
    [found] = BLOCK.finditer(path.read_text(encoding="utf-8"))
    return tomllib.loads(re.sub(r"(?m)^# ?", "", found["content"]))


def read_by(path, seen):
    """A script and the modules of recipes that it imports, directly or not, by their paths."""
    seen.add(path)
    for name in imported(path):
        # Of one name, the nearest; some read a neighbour's.
        folders = (path.parent, RECIPES, *sorted(each for each in RECIPES.iterdir() if each.is_dir()))
        found = [module for folder in folders if (module := folder / f"{name}.py").exists()]
        if found and found[0] not in seen:
            read_by(found[0], seen)
    return seen


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_recipe_says_all_that_it_needs(path):
    said = metadata(path)
    assert said["requires-python"] == PROJECT["requires-python"]
    [ours] = map(Requirement, said["dependencies"])
    assert ours.name == PROJECT["name"]
    extras = [need for extra in ours.extras for need in PROJECT["optional-dependencies"][extra]]
    known = {canonicalize_name(Requirement(need).name) for need in (*PROJECT["dependencies"], *extras)} | {ours.name}
    modules = {name for each in read_by(path, set()) for name in imported(each)}
    modules -= {each.stem for each in read_by(path, set())} | set(sys.stdlib_module_names)
    of = {name: DISTRIBUTIONS.get(name, []) for name in modules}
    assert {name: found for name, found in of.items() if not known & set(map(canonicalize_name, found))} == {}
