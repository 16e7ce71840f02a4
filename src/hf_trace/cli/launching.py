"""Several processes for one command on this machine, started and watched by torch's launcher."""

import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence

import typer

from hf_trace.checks import whole
from hf_trace.cli.console import warn
from hf_trace.errors import ProcessError

_GRACE_SECONDS = 10.0
_PLACES = ("RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
# Set by launchers that start every process themselves.
_SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
_RESUME = "What is finished is kept: start the same command again with `--resume`."


def launch_when_asked(count: int) -> int:
    """Where ``--processes`` asks for several and none was started yet, start them and end with their result.

    Raises:
        SettingsError: If fewer than 1 are asked for.
    """
    whole("processes", count)
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
    import psutil

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


def let_main_speak() -> None:
    """Where a process beside the main one fails, give that one the time to say why: the launcher then ends both."""
    if not is_helping():
        return
    from hf_trace.runs.processes import LAUNCHED

    if LAUNCHED in os.environ:
        time.sleep(_GRACE_SECONDS)


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
        ProcessError: If one was killed, or this launcher is stopped; the others are ended too.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    from hf_trace.runs.processes import LAUNCHED

    logging.disable(logging.CRITICAL)  # the launcher reports what is told below in one line
    os.environ[LAUNCHED] = "1"
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # its warnings name lines of C++
    with tempfile.TemporaryDirectory(prefix="hf-trace-") as folder:
        config = LaunchConfig(
            min_nodes=1, max_nodes=1, nproc_per_node=count, logs_specs=DefaultLogsSpecs(log_dir=folder),
            run_id="hf-trace", rdzv_backend="c10d", rdzv_endpoint="127.0.0.1:0", local_addr="127.0.0.1",
            max_restarts=0,
        )  # fmt: skip
        # Ctrl-C stays a KeyboardInterrupt here and ends the processes as SIGTERM does, which they take in silence.
        config.signals_to_handle = "SIGTERM"
        try:
            elastic_launch(config, sys.executable)("-m", "hf_trace", *sys.argv[1:])
        except ChildFailedError as error:
            return exit_code_of({number: failure.exitcode for number, failure in error.failures.items()}, count)
        except SignalException as error:
            if error.sigval == signal.SIGINT:
                raise KeyboardInterrupt from error
            raise ProcessError(f"The run was stopped. {_RESUME}") from error
        finally:
            logging.disable(logging.NOTSET)
    return 0


def exit_code_of(ended: Mapping[int, int], count: int) -> int:
    """The exit code of a launch that failed.

    Args:
        ended: Exit codes of the processes that did not end well, by their number from 0; those that were killed have
            the negative number of the signal.
        count: How many processes there were.

    Raises:
        ProcessError: If one was killed, or failed and the main one, which says why, did not.
    """
    from hf_trace.runs.processes import LEFT_ALONE

    # The launcher ends the others, once one has failed.
    causes = {number: code for number, code in ended.items() if code not in (LEFT_ALONE, -signal.SIGTERM)}
    causes = causes or {number: code for number, code in ended.items() if code != LEFT_ALONE}
    number, code = min(causes.items())
    if code < 0:
        name = signal.Signals(-code).name
        raise ProcessError(f"Process {number + 1} of {count} was killed ({name}), and the others were ended. {_RESUME}")
    if number > 0:
        raise ProcessError(
            f"Process {number + 1} of {count} failed and the first one did not, so the result may lack a part. "
            f"{_RESUME}"
        )
    return code
