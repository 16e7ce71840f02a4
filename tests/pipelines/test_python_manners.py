"""The script that shows every manner runs, and a type checker infers what it says."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.pipelines import python_manners


@pytest.mark.slow  # 12 s: trains two models
def test_the_script_runs(tmp_path, capsys):
    python_manners.main(tmp_path, epochs=1.0)
    assert {path.name for path in tmp_path.iterdir()} == {"graph.json", "graph.png", "report.html", "run"}
    printed = capsys.readouterr()
    assert "it/s" not in printed.err.replace("Loading weights", "")
    assert "CausalGraph(level='population', nodes=4, edges=" in printed.out
    assert "without the graph: " in printed.out


@pytest.mark.slow  # a minute: mypy reads what Transformers ships
def test_types_are_inferred():
    """The script asserts each type; mypy refuses one that is another, or Any."""
    pytest.importorskip("mypy", reason="pip install mypy")
    script = Path(python_manners.__file__)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", "", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=script.parents[2])
    assert "1 source file" in done.stdout, done.stderr
    assert [line for line in done.stdout.splitlines() if script.name in line] == []
