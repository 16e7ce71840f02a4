"""Whatever is done to a file, reading it gives a result or one clear line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.damaged_files import read_damaged, specimens


def test_whole_files_are_read(tmp_path):
    for number, each in enumerate(specimens(tmp_path)):
        path = tmp_path / f"{number}.{each.name.split('/')[-1].split(' ')[-1].split('.', 1)[1]}"
        path.write_bytes(each.content)
        each.read(path)


def test_some_damaged_files_end_in_one_line():
    found = read_damaged(300, seed=1)
    assert not found.faults
    assert found.count["clean errors"] > 100 < found.count["read"] + 100


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_twenty_thousand_damaged_files_end_in_one_line():
    command = [sys.executable, "-m", "tests.damaged_files", "--count", "20000"]
    root = Path(__file__).parents[1]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    # tokenizers writes to standard output itself, of options that it does not know.
    found = json.loads(done.stdout[done.stdout.index("{\n") :])
    assert not found["faults"]
    assert (found["other exceptions"], found["hangs"]) == (0, 0)
    assert found["read"] + found["clean errors"] == 20_000
    assert found["peak_gib"] < 1.5
