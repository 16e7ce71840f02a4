"""What models with the manners of scikit-learn share: the folder of their run, saving, publishing, being fitted."""

import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from transformers.utils import logging as host_logging

from hf_trace.pipelines.saving import Publishable


@contextmanager
def without_bars() -> Iterator[None]:
    """Keep the bars that Transformers draws for every checkpoint out of a notebook."""
    before = host_logging.set_tqdm_hook(lambda _, given, named: host_logging.EmptyTqdm(*given, **named))
    try:
        yield
    finally:
        host_logging.set_tqdm_hook(before)


class _PassingFolder:
    """A folder that is there as long as somebody holds this."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="hf_trace-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


class FittedRun(BaseEstimator):
    """A model that ``fit`` trains into a run folder, and that can be saved, published and loaded again.

    Attributes:
        folder: Where the run is kept; None: somewhere, until the model is forgotten or saved.
        pipeline_: The pipeline of the run, once there is one.
    """

    folder: str | PathLike[str] | None
    pipeline_: Publishable

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "pipeline_")

    def _run_folder(self) -> Path:
        """Where to train."""
        if self.folder is not None:
            return Path(self.folder)
        self._passing = _PassingFolder()
        return self._passing.path / "run"

    def save_pretrained(self, save_directory: str | PathLike[str]) -> None:
        """Write the run folder: model, vocabulary, how it was trained, what was measured.

        Args:
            save_directory: Where to; made if absent.

        Raises:
            NotFittedError: If there is no run yet.
        """
        check_is_fitted(self)
        with without_bars():
            self.pipeline_.save_pretrained(save_directory)

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Publish the run with a card.

        Args:
            repo_id: ``"ORG/NAME"``.
            options: ``private``, ``token``, ``commit_message``, ``revision``, ``license`` and ``data``, see
                ``Publishable.push_to_hub``.

        Returns:
            The address of the repository.

        Raises:
            NotFittedError: If there is no run yet.
            PublishError: If it cannot be published.
        """
        check_is_fitted(self)
        address: str = self.pipeline_.push_to_hub(repo_id, **options)
        return address
