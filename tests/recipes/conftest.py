"""Modules of a recipe, imported as its script imports them."""

import importlib
import sys
from pathlib import Path

import pytest

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.fixture(scope="module")
def recipe():
    """Imports a module of a recipe by the name of its folder; one folder for each file of tests.

    Modules of different recipes share names, so they are forgotten when the tests of the file are done.
    """
    folders = set()

    def load(folder, module):
        folders.add(folder)
        if str(RECIPES / folder) not in sys.path:
            sys.path.insert(0, str(RECIPES / folder))
        return importlib.import_module(module)

    yield load
    forget(folders)


def forget(folders):
    """Take the folders from the path, and their modules from those that are imported."""
    paths = [RECIPES / folder for folder in folders]
    sys.path[:] = [path for path in sys.path if Path(path) not in paths]
    for name, module in list(sys.modules.items()):
        if Path(getattr(module, "__file__", None) or "/").parent in paths:
            del sys.modules[name]
