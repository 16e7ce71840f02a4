"""What the README shows must run, and say what it says."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_it_is_short_and_its_targets_exist():
    assert len(README.splitlines()) < 120
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"[$`] ?make (\w+)", README)):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
    for link in re.findall(r"\]\((?!https)([^)]+)\)", README):
        assert (ROOT / link).exists(), link


def test_its_python_runs(monkeypatch):
    monkeypatch.chdir(ROOT)
    (code,) = blocks("python")
    names: dict = {}
    exec(code, names)
    assert names["graph"].number_of_nodes() == 3


def test_its_commands_have_the_options_it_names():
    from typer.main import get_command

    from hf_trace.cli import app

    commands = get_command(app).commands
    for line in re.findall(r"hf-trace (\w+) ([^\n|`]*)", README):
        known = {option for parameter in commands[line[0]].params for option in parameter.opts}
        for option in re.findall(r"(--[a-z-]+)", line[1]):
            assert option in known, option


def test_the_background_knowledge_of_its_page_is_understood():
    from hf_trace.graphs.knowledge import BackgroundKnowledge

    page = (ROOT / "docs/how-to/knowledge.md").read_text(encoding="utf-8")
    (document,) = re.findall(r"```json\n(.*?)```", page, flags=re.DOTALL)
    known = BackgroundKnowledge.from_dict(json.loads(document))
    assert not known.allows("ticket", "alarm")
    assert known.allows("a", "c")
    assert not known.allows("a", "d")


def test_what_it_says_of_its_table_stands_in_the_table():
    table = blocks("text")[0]
    names = re.search(r"^graph +(.*)$", table, flags=re.MULTILINE)[1].split()
    found = r"^(predicted|bigram|cooccurrence|lift|onset|hawkes|every edge) +([\d. ]+)$"
    lines = re.findall(found, table, flags=re.MULTILINE)
    rows = {name: dict(zip(names, map(float, values.split()), strict=True)) for name, values in lines}
    assert len(rows) == 7
    graph, onset = rows["predicted"], rows["onset"]
    count, right, counted = map(
        int, re.search(r"of the (\d+) edges (\d+) are right, .* highest (\d+)\.", README).groups()
    )
    assert f", {count} edges; the strongest" in table
    assert [right / count, counted / count] == pytest.approx([row["precision"] for row in (graph, onset)], abs=5e-4)
    said = re.search(r"\(AUROC (\.\d+) against (\.\d+), AUPRC (\.\d+) against (\.\d+)\)", README).groups()
    assert list(map(float, said)) == [graph["auroc"], onset["auroc"], graph["auprc"], onset["auprc"]]
    assert all(onset[name] >= graph[name] for name in ("auroc", "auprc"))  # no better than counting in time
    alone = re.search(r"F1 is (\.\d+), AUROC (\.\d+), AUPRC (\.\d+)", README).groups()
    measured = json.loads((ROOT / "recipes/demo/expected.json").read_text())["metrics"]
    ways = {"": [graph[name] for name in ("f1", "auroc", "auprc")], "atomic_": list(map(float, alone))}
    for prefix, values in ways.items():
        assert values == [measured[prefix + name]["value"] for name in ("f1", "auroc", "auprc")]


@pytest.mark.parametrize(
    ("carried", "edges"), [([True], 0), ([True, False], 1), ([True, True], 1), ([False, False], 0)]
)
def test_what_a_population_edge_needs(carried, edges):
    """Two sequences in which it was tested, of which one may carry it."""
    from hf_trace.discovery.population.pool import PopulationPool
    from hf_trace.discovery.statistics import PairScores
    from hf_trace.discovery.thresholds import parse_threshold
    from hf_trace.logs.sequence import EventSequence

    assert "edge needs two sequences in which its pair was tested, of which one may be all that carries it" in (
        " ".join(README.split())
    )
    pool = PopulationPool(parse_threshold("margin:0.05"))
    for number, is_carried in enumerate(carried):
        cmi = np.array([0.5 if is_carried else 0.0])
        pair = PairScores(np.array([0]), np.array([1]), cmi, cmi, np.zeros(1))
        pool.add(EventSequence(("a", "b"), id=str(number)), pair)
    assert len(pool.graph().edges) == edges


@pytest.mark.slow
@pytest.mark.timeout(1800)  # single events take five minutes, on a core of its own
@pytest.mark.parametrize(("construction", "prefix"), [("by-type", ""), ("atomic", "atomic_")])
def test_the_demo_gives_the_figures_of_its_recipe(tmp_path, construction, prefix):
    from hf_trace.cli.demo import run_demo

    expected = json.loads((ROOT / "recipes/demo/expected.json").read_text())["metrics"]
    graph, comparison = run_demo(tmp_path / "demo", seed=0, construction=construction)
    found = {prefix + name: value for name, value in comparison.to_dict().items() if name in ("f1", "auroc", "auprc")}
    found |= {name: comparison.to_dict()[name] for name in ("base_rate", "predict_all_f1")}
    found["validation_loss"] = graph.metadata["oracle"]["loss"]
    for name, value in found.items():
        assert value == pytest.approx(expected[name]["value"], abs=expected[name]["tolerance"]), name
