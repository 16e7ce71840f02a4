"""The lines that start jobs on the Hub are understood by its own command line; nothing is started."""

import os
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from tests.documentation import blocks_of, pages

LINES = [
    command
    for page in pages()
    for block in blocks_of(page)
    if block.language == "console"
    for command in block.commands
    if command.startswith("hf jobs ")
]
HF = Path(sys.executable).with_name("hf")

pytestmark = pytest.mark.skipif(
    int(version("huggingface_hub").partition(".")[0]) < 2 or not HF.exists(), reason="`--dry-run` of jobs is of hf 2"
)


@pytest.mark.slow  # a second each
@pytest.mark.parametrize("line", LINES)
def test_a_line_that_starts_a_job_is_understood(line, tmp_path):
    words = shlex.split(line)
    at = words.index("run") + 1
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    command = [HF, *words[1:at], "--dry-run", *words[at:]]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "(dry run) Job not submitted." in done.stdout


def test_there_are_such_lines():
    assert len(LINES) >= 3
