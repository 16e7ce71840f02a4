"""What an interrupted training leaves beside its run folder: what it was made with, and checkpoints to go on from."""

import hashlib
import logging
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import TrainerCallback, TrainerState, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME

from hf_trace.documents import Document, parse_json
from hf_trace.errors import OutputError
from hf_trace.logs.writing import hidden_beside
from hf_trace.runs.folders import TRAINING_FILE, write_json
from hf_trace.runs.new_folders import RUN
from hf_trace.runs.processes import joined, on_cpu
from hf_trace.runs.resuming import refuse_other
from hf_trace.tables.encoding import DagTable

RECORD_FILE, SUMS_FILE = "settings.json", "sums.json"
# Where training.json says it.
MADE_WITH = "made_with"
INTERRUPTED, FINISHED = "interrupted", "finished"
_CHECKPOINTS = "checkpoint-*"
_BLOCK = 1 << 20
logger = logging.getLogger(__name__)


def checkpoints_beside(out: str | PathLike[str]) -> Path:
    """The hidden folder in which a training keeps what it can go on from."""
    return hidden_beside(out, "-checkpoints")


def surroundings(settings: Mapping[str, Any]) -> Document:
    """All that determines the weights of a run, as JSON.

    Args:
        settings: As the user chose them, and digests of the data; of a model in a folder here, what is in it counts
            and not where it is.
    """
    model = settings.get("model")
    if model is not None and Path(model).exists():
        settings = {**settings, "model": f"{Path(model).name} ({files_digest(Path(model))})"}
    chosen = {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}
    return {
        **chosen,
        "processes": joined().count,
        "version of torch": torch.__version__,
        "version of transformers": transformers.__version__,
        "kind of device": "cpu" if on_cpu() else "accelerator",
    }


def check_resumed(out: Path, checkpoints: Path, here: Document, *, overwrite: bool) -> str:
    """Refuse to go on with a training that was made with something else.

    Args:
        out: The run folder.
        checkpoints: See ``checkpoints_beside``.
        here: See ``surroundings``.
        overwrite: Whether a finished run of something else may be replaced.

    Returns:
        What there is to go on with: an ``INTERRUPTED`` training, a ``FINISHED`` one, or nothing: an empty text.

    Raises:
        SettingsError: If what was interrupted, or is finished, was made with others.
        OutputError: If it does not say what it was made with.
    """
    words = ("go on with it", "leave out `--resume` to start over")
    if earlier := document_in(checkpoints, RECORD_FILE):
        refuse_other(earlier, here, ("The interrupted training had {}", *words))
        return INTERRUPTED
    is_finished = RUN.is_in(out)
    done = document_in(out, TRAINING_FILE).get(MADE_WITH) if is_finished else None
    if is_finished and overwrite and done != here:
        return ""
    if done:
        refuse_other(done, here, (f"{str(out)!r} is finished and had {{}}", *words))
        return FINISHED
    if is_finished or any(checkpoints.rglob(_CHECKPOINTS)):
        raise OutputError(
            f"{str(out)!r} or its checkpoints do not say what they were made with, as those of older versions. Leave "
            "out `--resume` to start over."
        )
    return ""


def document_in(folder: Path, name: str) -> Document:
    """What a JSON file holds; empty where it is absent or damaged."""
    try:
        found = parse_json((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def files_digest(path: Path) -> str:
    """A hash of a file, or of all files of a folder: their names, their sizes, and where they are long some parts."""
    digest = hashlib.blake2b(digest_size=8)
    for file in sorted(each for each in (path.rglob("*") if path.is_dir() else [path]) if each.is_file()):
        size = file.stat().st_size
        digest.update(f"{file.relative_to(path).as_posix()}\0{size}\0".encode(errors="surrogateescape"))
        with file.open("rb") as content:
            for start in sorted({0, size // 2, max(0, size - _BLOCK)}):
                content.seek(start)
                digest.update(content.read(_BLOCK))
    return digest.hexdigest()


def table_digest(table: DagTable) -> str:
    """A hash of the rows of a table and of their graph."""
    digest = hashlib.blake2b(repr(table.schema.to_dict()).encode(errors="surrogatepass"), digest_size=8)
    digest.update(np.ascontiguousarray(table.weights).tobytes())
    for name, column in table.columns.items():
        values = column.tobytes() if isinstance(column, np.ndarray) else repr(list(column)).encode(errors="replace")
        digest.update(name.encode(errors="replace") + b"\0" + values)
    return digest.hexdigest()


class SumsCallback(TrainerCallback):
    """Notes a checksum of every file of a checkpoint once all of it is written: without them it was cut short."""

    def on_save(self, args: TrainingArguments, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Called by the trainer, in every process, after a checkpoint was written."""
        joined().wait()
        if joined().is_main:
            _note_sums(Path(args.output_dir) / f"checkpoint-{state.global_step}")


def usable_checkpoint(folder: Path) -> Path | None:
    """The last checkpoint that is whole, as is the one it calls the best so far; all that are of no use are removed.

    Args:
        folder: With the checkpoints of one model. The main process calls this.
    """
    whole: list[Path] = []
    for checkpoint in _by_step(folder):
        if is_intact(checkpoint):
            whole.append(checkpoint)
        else:
            was_complete = (checkpoint / SUMS_FILE).exists()
            shutil.rmtree(checkpoint)
            if was_complete:
                logger.warning("The checkpoint %s is damaged; training goes on from an earlier one.", checkpoint.name)
    while whole and not _has_best(whole[-1], whole):
        shutil.rmtree(whole.pop())
    return whole[-1] if whole else None


def is_intact(checkpoint: Path) -> bool:
    """Whether all files of a checkpoint are as they were written."""
    sums = document_in(checkpoint, SUMS_FILE)
    return TRAINER_STATE_NAME in sums and sums == dict(_sums(checkpoint))


def clear_unfinished(checkpoints: Path) -> None:
    """Remove checkpoints that were cut short, and everything where none is left to go on from."""
    for checkpoint in checkpoints.rglob(_CHECKPOINTS):
        if not (checkpoint / SUMS_FILE).exists():
            shutil.rmtree(checkpoint, ignore_errors=True)
    if not any(checkpoints.rglob(_CHECKPOINTS)):
        shutil.rmtree(checkpoints, ignore_errors=True)


def _by_step(folder: Path) -> Sequence[Path]:
    found = [path for path in folder.glob(_CHECKPOINTS) if path.name.rpartition("-")[2].isdigit()]
    return sorted(found, key=lambda path: int(path.name.rpartition("-")[2]))


def _note_sums(checkpoint: Path) -> None:
    write_json(checkpoint / SUMS_FILE, dict(_sums(checkpoint)))


def _sums(checkpoint: Path) -> Iterator[tuple[str, str]]:
    for file in sorted(path for path in checkpoint.rglob("*") if path.is_file() and path.name != SUMS_FILE):
        total = 0
        with file.open("rb") as content:
            while block := content.read(_BLOCK):
                total = zlib.crc32(block, total)
        yield file.relative_to(checkpoint).as_posix(), f"{total:08x} {file.stat().st_size}"


def _has_best(checkpoint: Path, whole: Sequence[Path]) -> bool:
    """Whether the best checkpoint that one refers to is there; its place is noted anew if the folder was moved."""
    state = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))
    if state.best_model_checkpoint is None:
        return True
    best = checkpoint.parent / Path(state.best_model_checkpoint).name
    if best in whole and state.best_model_checkpoint != str(best):
        state.best_model_checkpoint = str(best)
        state.save_to_json(str(checkpoint / TRAINER_STATE_NAME))
        _note_sums(checkpoint)
    return best in whole
