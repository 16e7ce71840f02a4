"""Programs as a user starts them, in processes of their own."""

import os
import subprocess
import sys


def start(*arguments, launcher=("-m", "hf_trace"), **variables):
    """A process in a group of its own, one thread, without network."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **variables}
    return subprocess.Popen(
        [sys.executable, *launcher, *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(process):
    """Exit status, output and errors, once it has ended."""
    out, err = process.communicate(timeout=250)
    return process.returncode, out, err
