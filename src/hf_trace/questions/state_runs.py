"""Run folders with a model of states: what normal operation is like, read back."""

from os import PathLike
from pathlib import Path

from hf_trace.documents import read_document
from hf_trace.errors import ModelLoadError
from hf_trace.options import TRUST_REMOTE_CODE
from hf_trace.oracle.engine import Oracle
from hf_trace.questions.normal_states import NormalStates
from hf_trace.questions.state_oracle import SnapshotOracle
from hf_trace.runs.folders import load_model, local_run, own_tokenizer
from hf_trace.tokenizers.dag_tokenizer import DagTokenizer

STATES_FILE = "states.json"


def is_of_states(run: str | PathLike[str]) -> bool:
    """Whether a run folder or Hub id holds a model of states."""
    return (local_run(run) / STATES_FILE).is_file()


def load_states(run: str | PathLike[str], *, trust_remote_code: bool = TRUST_REMOTE_CODE.default) -> NormalStates:
    """What normal operation is like, as ``train_states`` wrote it.

    Args:
        run: A run folder, or a Hub id.
        trust_remote_code: Whether code that the model brings along may run here; it is refused otherwise.

    Raises:
        ModelLoadError: If it holds no model of states.
    """
    path = Path(local_run(run)) / STATES_FILE
    document = read_document(path, "states, as `hf-trace train --states` writes them", error=ModelLoadError)
    try:
        return NormalStates.from_dict(document, oracle_of(run, trust_remote_code=trust_remote_code))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelLoadError(
            f"'{path}' is damaged: {error!r}. Expected what `hf-trace train --states` writes. Train again."
        ) from error


def oracle_of(run: str | PathLike[str], *, trust_remote_code: bool = TRUST_REMOTE_CODE.default) -> SnapshotOracle:
    """The model of snapshots of a run."""
    model = load_model(run, trust_remote_code=trust_remote_code)
    return SnapshotOracle(Oracle(model), own_tokenizer(DagTokenizer, model, None))
