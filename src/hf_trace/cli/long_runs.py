"""Discovery in shards, behind the command line: where checkpoints lie, progress, and who goes on to the result."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_trace.console import progress, say, warn
from hf_trace.errors import SettingsError

if TYPE_CHECKING:
    from hf_trace.data.log import EventLog
    from hf_trace.hub.long_run import LongRun
    from hf_trace.hub.pipelines import CausalDiscoveryPipeline


def check_resume(resume: bool, out: Path | None, effect: str) -> None:
    """Refuse to go on with what was never kept.

    Raises:
        SettingsError: If there is no output file, or effects are total.
    """
    if resume and out is None:
        raise SettingsError(
            "`--resume` goes on with what lies beside the output file, and none is named. Pass the `--out` of the run."
        )
    if resume and effect == "total":
        raise SettingsError(
            "`--resume` is for direct effects, which are kept shard by shard; total effects are computed in one go. "
            "Start again without it."
        )


def parse_sample(text: str | None) -> int | float | None:
    """A number of sequences (``1000``), or a share of them (``0.1``, ``10%``).

    Raises:
        SettingsError: If it is neither.

    Example:
        >>> parse_sample("1000"), parse_sample("0.1"), parse_sample("10%")
        (1000, 0.1, 0.1)
    """
    if text is None:
        return None
    try:
        if text.endswith("%"):
            return float(text[:-1]) / 100
        return float(text) if "." in text else int(text)
    except ValueError:
        raise SettingsError(
            f"sample is {text!r}, expected a number of sequences such as 1000, or a share such as 0.1."
        ) from None


@contextmanager
def scores_of(
    pipe: "CausalDiscoveryPipeline",
    sequences: "EventLog",
    out: Path | None,
    parameters: dict[str, Any],
    *,
    resume: bool,
) -> Iterator[tuple["LongRun | None", bool]]:
    """The scores of a log, None for total effects, and whether this process is the one that writes the result.

    Shards lie beside ``out`` until the block, which writes the result, has ended well.
    """
    if parameters["effect"] != "total":
        with _scored_in_shards(pipe, sequences, out, parameters, resume=resume) as run:
            yield run, run.processes.is_main
        return
    from hf_trace.hub.processes import joined

    processes = joined()
    if processes.count > 1:
        warn(
            f"Total effects are computed by one process; the other {processes.count - 1} have nothing to do."
        )
    yield None, processes.is_main


@contextmanager
def _scored_in_shards(
    pipe: "CausalDiscoveryPipeline",
    sequences: "EventLog",
    out: Path | None,
    parameters: dict[str, Any],
    *,
    resume: bool,
) -> Iterator["LongRun"]:
    """Score a log shard by shard; every process of a launch scores its share."""
    from hf_trace.hub.long_run import LongRun
    from hf_trace.hub.processes import joined

    processes = joined()
    lent = None if out is not None else processes.told(_lent_folder(processes.is_main, processes.nodes))
    folder = out.parent / f".{out.name}-shards" if out is not None else Path(lent or "")
    run = LongRun(pipe, sequences, folder, parameters, processes)
    try:
        run.prepare(resume=resume)
        if run.finished:
            say(f"Going on: {run.finished:,} of {len(run.shards):,} shards are finished.")
        elif resume:
            say("There is no interrupted run to go on with; starting from the beginning.")
        with progress("discovering (%)", 100) as advance:
            run.compute(_percent(advance))
        yield run
        if processes.is_main:
            shutil.rmtree(folder)
    finally:
        if processes.is_main and (lent is not None or not run.finished):
            shutil.rmtree(folder, ignore_errors=True)


def _percent(advance: Callable[[float], None]) -> Callable[[float], None]:
    return lambda share: advance(100 * share)


def _lent_folder(is_main: bool, nodes: int) -> str | None:
    if nodes > 1:
        raise SettingsError(
            f"{nodes} machines work on this run and no output file is named. Pass `--out FILE` in a folder that all of "
            "them see: shards are kept beside it."
        )
    return tempfile.mkdtemp(prefix="hf-trace-") if is_main else None
