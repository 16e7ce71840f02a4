"""Several processes for one command on this machine: starting them, and ending all when one ends early."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import NoReturn

import typer

from hf_trace.cli.console import warn
from hf_trace.errors import ProcessError, SettingsError

# What else speaks to a launched process: how it knows that it is one, see ``hf_trace.runs.processes``.
LAUNCHED = "HF_TRACE_LAUNCHED"
_POLL_SECONDS = 0.1
_GRACE_SECONDS = 10.0
_PLACES = ("RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
# Set by launchers that start every process themselves.
_SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")


def launch_when_asked(count: int) -> int:
    """Where ``--processes`` asks for several and none was started yet, start them and end with their result.

    Raises:
        SettingsError: If fewer than 1 are asked for.
    """
    if count < 1:
        raise SettingsError(f"processes is {count}, expected at least 1.")
    if count > 1 and not _is_launched():
        raise typer.Exit(start_processes(count))
    return count


def processes_not_started() -> int:
    """How many processes ``accelerate launch --cpu`` was asked for, where it has started only this one; else 0.

    On CPUs that launcher starts several only with ``--mpirun_hostfile`` and otherwise one, without a word; the
    number is left on its command line alone.
    """
    on_cpu = os.environ.get("ACCELERATE_USE_CPU", "").lower() == "true" and "MASTER_ADDR" in os.environ
    if not on_cpu or _is_launched():
        return 0
    import psutil  # type: ignore[import-untyped]

    parent = psutil.Process().parent()
    return _asked_for(parent.cmdline() if parent is not None else [])


def _asked_for(command: Sequence[str]) -> int:
    for word, following in zip(command, [*command[1:], ""], strict=True):
        name, _, value = word.partition("=")
        if name in ("--num_processes", "--num-processes"):
            return int(value or following)
    return 0


def is_helping() -> bool:
    """Whether this process works for another, which speaks and writes."""
    return int(os.environ.get("RANK", "0")) > 0


def work_alone(what: str) -> None:
    """Let the main process of a launch do what is not shared out, as if it had been started alone; others end.

    Args:
        what: What is done by one process, for the user.
    """
    if is_helping():
        raise typer.Exit
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        warn(f"{what} by one process; the others have nothing to do.")
        forget_launch()


def forget_launch() -> None:
    """Make this process one that was started alone."""
    for name in (*_PLACES, *_SIZES):
        os.environ.pop(name, None)


def _is_launched() -> bool:
    return any(name in os.environ for name in _SIZES)


def start_processes(count: int) -> int:
    """Run the command of this process in ``count`` processes.

    Returns:
        Exit code: 0 if all have ended well.

    Raises:
        ProcessError: If one was killed; the others are ended too.
    """
    shared = {**os.environ, "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), LAUNCHED: "1"}
    shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    shared.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))
    shared.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # its warnings name lines of C++
    before = signal.signal(signal.SIGTERM, _end)
    children: list[subprocess.Popen[bytes]] = []
    try:
        for number in range(count):
            place = {"RANK": str(number), "LOCAL_RANK": str(number)}
            children.append(subprocess.Popen([sys.executable, "-m", "hf_trace", *sys.argv[1:]], env=shared | place))
        return _watched(children)
    finally:
        _ended(children)
        signal.signal(signal.SIGTERM, before)


def _watched(children: Sequence["subprocess.Popen[bytes]"]) -> int:
    """Wait for all, or for the first that ends badly."""
    while True:
        codes = [child.poll() for child in children]
        for number, code in enumerate(codes, 1):
            if code is not None and code < 0:
                name = signal.Signals(-code).name
                raise ProcessError(
                    f"Process {number} of {len(children)} was killed ({name}), and the others were ended. What is "
                    "finished is kept: start the same command again with `--resume`."
                )
        if any(codes):
            return _first_failure(children)
        if all(code == 0 for code in codes):
            return 0
        time.sleep(_POLL_SECONDS)


def _first_failure(children: Sequence["subprocess.Popen[bytes]"]) -> int:
    """The main process says why it fails, and may still be about to; others are silent."""
    with suppress(subprocess.TimeoutExpired):
        children[0].wait(_GRACE_SECONDS)
    number, code = next((number, code) for number, child in enumerate(children, 1) if (code := child.poll()))
    if children[0].poll() == 0:
        raise ProcessError(
            f"Process {number} of {len(children)} failed and the first one did not, so the result may lack a part. "
            "What is finished is kept: start the same command again with `--resume`."
        )
    return code


def _ended(children: Sequence["subprocess.Popen[bytes]"]) -> None:
    for child in children:
        if child.poll() is None:
            child.terminate()
    deadline = time.monotonic() + _GRACE_SECONDS
    for child in children:
        try:
            child.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _end(number: int, frame: FrameType | None) -> NoReturn:
    raise ProcessError("The run was stopped. What is finished is kept: start the same command again with `--resume`.")
