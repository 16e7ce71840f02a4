"""Every code block of the documentation and of the README runs, or says on its face that it does not."""

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.documentation import NOT_RUN, ROOT, RUN, Block, Reader, blocks_of, pages

# Pages that train models or discover often. The others take a few seconds each.
SLOW = {
    *("events.md", "table.md", "identify.md", "own-model.md", "read-a-graph.md", "streaming.md", "publish.md"),
    *("explain.md", "many-processes.md", "speed.md", "index.md", "construction.md", "threshold.md", "topology.md"),
    *("notebook.md", "benchmark.md", "counterfactuals.md"),
}
README = ROOT / "README.md"
BLOCKS = [block for page in [*pages(), README] for block in blocks_of(page)]
WITH_CODE = [page for page in pages() if any(block.is_run for block in blocks_of(page))]
NAMED = re.compile(r"\]\[(hf_trace[\w.]*)\]")


def marked(page: Path):
    return pytest.param(page, id=page.stem, marks=[pytest.mark.slow] if page.name in SLOW else [])


@pytest.mark.parametrize("page", [marked(page) for page in WITH_CODE])
def test_a_page_can_be_followed(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    reader = Reader()
    for block in blocks_of(page):
        reader.follow(block)
    assert reader.run == sum(block.is_run for block in blocks_of(page))


@pytest.mark.parametrize("block", [each for each in BLOCKS if each.language in (*RUN, "bash", "json")], ids=str)
def test_a_block_is_well_formed_even_where_it_is_not_run(block):
    if block.language == "python":
        compile(block.text, block.page, "exec")
    elif block.language == "json":
        json.loads(block.text)
    elif block.language == "bash":
        assert block.is_marked, "scripts are shown, not run: say why in the title"
        subprocess.run(["bash", "-n"], input=block.text, text=True, check=True)
    for words in commands_of_ours(block):
        assert unknown_options(*words) == [], words


def commands_of_ours(block: Block) -> list[tuple[str, list[str]]]:
    """Names of commands and the options given to them, also behind a launcher."""
    lines = block.commands if block.language == "console" else re.sub(r"\\\n", "", block.text).splitlines()
    found = [re.search(r"(?:hf-trace|-m hf_trace) ([a-z]+)(.*)", line) for line in lines]
    return [
        (each[1], re.findall(r"(?<=\s)--[a-z0-9-]+", each[2])) for each in found if each and block.language != "python"
    ]


def unknown_options(command: str, options: list[str]) -> list[str]:
    from typer.main import get_command

    from hf_trace.cli import app

    known = {option for each in get_command(app).commands[command].params for option in each.opts}
    known |= {option for each in get_command(app).commands[command].params for option in each.secondary_opts}
    return [option for option in options if option not in known]


def test_most_blocks_run():
    """The count that is stated; a block that is only shown is the exception."""
    run = [block for block in BLOCKS if block.is_run]
    shown = [block for block in BLOCKS if block.is_marked]
    print(f"{len(run)} blocks run, {len(shown)} are only shown: {', '.join(map(str, shown))}")
    assert len(run) > 3 * len(shown)
    assert all(len(block.title) > len(NOT_RUN) + 5 for block in shown), "a block that is not run says why"


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_the_names_a_page_links_to_exist(page):
    for name in NAMED.findall(page.read_text(encoding="utf-8")):
        assert resolves(name), name


def resolves(name: str) -> bool:
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            thing = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            thing = getattr(thing, part, None)
        return thing is not None
    return False


def test_every_room_has_its_page_in_the_reference():
    """With all its modules, so that nothing public is missing; and the site shows the page."""
    import hf_trace

    texts = {page.stem: page.read_text(encoding="utf-8") for page in (ROOT / "docs/api").glob("*.md")}
    listed = re.findall(r"^::: hf_trace\.(\S+)$", "\n".join(texts.values()), flags=re.M)
    rooms = [path.parent.name for path in (ROOT / "src/hf_trace").glob("*/__init__.py") if path.parent.name != "cli"]
    assert sorted(listed) == sorted([*rooms, "errors", "checks", "notebooks", "options"])
    assert {home.partition(".")[0] for home in hf_trace._HOMES.values()} <= set(listed)
    site = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert "show_submodules: true" in site
    assert [name for name in texts if f"api/{name}.md" not in site] == []


def test_figures_of_recipes_are_those_of_their_files():
    """A figure that a page takes from a recipe stands in the README of that recipe."""
    for page in pages():
        for recipe, figures in re.findall(
            r"<!-- figures of recipes/([\w-]+): (.*?) -->", page.read_text(encoding="utf-8")
        ):
            source = (ROOT / "recipes" / recipe / "README.md").read_text(encoding="utf-8")
            for figure in figures.split(";"):
                assert figure.strip() in source, (page.name, recipe, figure)


@pytest.mark.slow
def test_the_readme_can_be_followed(tmp_path, monkeypatch):
    """On small data under the names it uses; its `make` lines are the tests' own targets."""
    from tests.readme_data import prepare

    for number, block in enumerate(each for each in blocks_of(README) if each.language in RUN):
        folder = tmp_path / str(number)
        prepare(folder)
        monkeypatch.chdir(folder)
        if block.language == "console" and all(line.startswith("make ") for line in block.commands):
            continue
        Reader().follow(block)


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("material", reason="needs the extra `docs`")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site/index.html").exists()


@pytest.mark.slow
def test_the_notebook_runs(tmp_path):
    nbformat = pytest.importorskip("nbformat", reason="needs the extra `docs`")
    nbclient = pytest.importorskip("nbclient", reason="needs the extra `docs`")
    for path in sorted((ROOT / "docs/notebooks").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        nbclient.NotebookClient(notebook, timeout=280, resources={"metadata": {"path": str(tmp_path)}}).execute()
        errors = [
            output for cell in notebook.cells for output in cell.get("outputs", []) if output["output_type"] == "error"
        ]
        assert errors == []
