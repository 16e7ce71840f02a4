"""Further oracles of a run, each trained on another bootstrap sample of the log: how sure the run can be.

They lie in ``RUN/members/1`` and so on, each a folder that ``from_pretrained`` loads; the run itself stays one.
"""

from os import PathLike
from pathlib import Path

import numpy as np
from transformers import PreTrainedModel

from hf_trace.data.log import EventLog
from hf_trace.hub.run_source import run_of
from hf_trace.hub.runs import load_model
from hf_trace.hub.world_model import WorldModel
from hf_trace.scoring.oracle import Oracle

MEMBERS = "members"
_FURTHEST_SEED = 2**31


def member_seed(seed: int, number: int) -> int:
    """Seed of a further oracle: of its sample, its weights and its order; 0 is the run itself.

    Example:
        >>> member_seed(7, 0), member_seed(7, 1) == member_seed(7, 2)
        (7, False)
    """
    return seed if number == 0 else int(np.random.default_rng([seed, number]).integers(_FURTHEST_SEED))


def bootstrap(windows: EventLog, seed: int) -> EventLog:
    """As many sequences as there are, drawn with replacement; all windows of a sequence come together.

    Args:
        windows: Sequences, or windows of them named ``ID#NUMBER``.
        seed: The same seed draws the same sample.
    """
    cases, counts = np.unique([name.rpartition("#")[0] or name for name in windows.ids], return_inverse=True)
    order = np.argsort(counts, kind="stable")
    windows_of = np.split(order, np.cumsum(np.bincount(counts))[:-1])
    drawn = np.random.default_rng(seed).integers(len(cases), size=len(cases))
    return windows.select(np.concatenate([windows_of[case] for case in np.sort(drawn)]))


def member_folders(run: str | PathLike[str]) -> list[Path]:
    """Folders of the further oracles of a run, by number; none where it has only one."""
    found = [path for path in (Path(run) / MEMBERS).glob("*") if path.name.isdigit()]
    return sorted(found, key=lambda path: int(path.name))


def load_members(model: PreTrainedModel, *, memory: str | float | None = None) -> list[Oracle]:
    """The further oracles of the run a model was loaded from, in its precision and on its device."""
    run = run_of(model, members=True)
    loaded = [load_model(folder, device=model.device) for folder in (member_folders(run) if run else [])]
    return [Oracle(member.to(model.dtype), memory=memory) for member in loaded]


def doubt(model: PreTrainedModel, oracles: int) -> str | None:
    """What to tell a user about confidence from a single trained oracle; None where it can be believed."""
    if oracles > 1 or isinstance(model, WorldModel):
        return None
    return (
        "Confidence counts the error of the draws alone: this run has one oracle, and how far training misled it is "
        "not known. Expect more false edges than asked for, or train with `--ensemble 5`."
    )
