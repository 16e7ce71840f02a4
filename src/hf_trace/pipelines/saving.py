"""``save_pretrained`` and ``push_to_hub`` of the pipelines: the whole run, not only the model."""

import shutil
import tempfile
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

from transformers import Pipeline

from hf_trace.documents import Document
from hf_trace.errors import ModelLoadError
from hf_trace.publishing.model_card import GRAPH_FILE, also_licence
from hf_trace.publishing.publication import publish, run_publication
from hf_trace.runs.folders import (
    CUSTOM_PIPELINES,
    DAG_FILE,
    METRICS_FILE,
    TRAINING_FILE,
    RunTokenizer,
    ensure_auto_tokenizer,
    load_model,
    run_of,
)
from hf_trace.runs.members import FOLDS_FILE, MEMBERS

_LOADING = ("dtype", "device", "device_map", "trust_remote_code")
Own = TypeVar("Own", bound="Publishable")
_DOCUMENTS = (TRAINING_FILE, METRICS_FILE, DAG_FILE, FOLDS_FILE, GRAPH_FILE)


class NoDefaultModel(Document):
    """Stands where Transformers looks for the model of a task when none was named, and says that there is none.

    Args:
        task: Name of the task.
    """

    def __init__(self, task: str) -> None:
        super().__init__()
        self._task = task

    def __contains__(self, key: object) -> bool:
        return key == "model"

    def __missing__(self, key: str) -> Any:
        raise ModelLoadError(
            f"The task {self._task!r} was given no model, expected a run: no model knows the events of every log. Pass "
            'one, such as `model="runs/alarms"`, written by `hf-trace train`.'
        )


class Publishable(Pipeline):
    """A pipeline that writes its whole run: what is beside the model, too."""

    # Each pipeline reads its own vocabulary.
    _load_tokenizer = False
    _load_processor = False
    _load_image_processor = False
    _load_video_processor = False
    _load_feature_extractor = False

    @classmethod
    def from_pretrained(cls: type[Own], run: str | PathLike[str], **parameters: Any) -> Own:
        """The pipeline of a run folder or Hub id; the same as ``pipeline(task, model=run)``, with its type.

        Args:
            run: The folder or id.
            parameters: Of ``load_model`` (``dtype``, ``device``, ``device_map``, ``trust_remote_code``) and of the
                pipeline.

        Raises:
            ModelLoadError: If there is no model, no tokenizer, or a run of another kind.
        """
        loading = {name: parameters.pop(name) for name in _LOADING if name in parameters}
        return cls(model=load_model(run, **loading), **parameters)

    @property
    def run_tokenizer(self) -> RunTokenizer:
        """The vocabulary with what is said of it."""
        raise NotImplementedError

    def save_pretrained(self, save_directory: str | PathLike[str], **kwargs: Any) -> None:
        """Write a run folder: model, tokenizer, how it was trained, what was measured, the further models.

        Nothing in it asks for ``trust_remote_code``.

        Args:
            save_directory: Where to; made if absent.
            kwargs: Passed on to the model and the tokenizer.
        """
        folder = Path(save_directory)
        # A model that came with a shim would name it, and have none beside it.
        if hasattr(self.model.config, CUSTOM_PIPELINES):
            delattr(self.model.config, CUSTOM_PIPELINES)
        super().save_pretrained(str(folder), **kwargs)
        ensure_auto_tokenizer(folder, self.run_tokenizer)
        run = run_of(self.model, members=True)
        if not run or Path(run).resolve() == folder.resolve():
            return
        for name in _DOCUMENTS:
            if (Path(run) / name).exists():
                shutil.copyfile(Path(run) / name, folder / name)
        if (Path(run) / MEMBERS).is_dir():
            shutil.copytree(Path(run) / MEMBERS, folder / MEMBERS, dirs_exist_ok=True)

    @also_licence
    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool = False,
        token: str | None = None,
        commit_message: str | None = None,
        revision: str | None = None,
        license: str | None = None,
        data: str | None = None,
    ) -> str:
        """Publish the run with a card; a repository of yours that exists is updated.

        Args:
            repo_id: ``"ORG/NAME"``.
            private: Whether only its owners see a new repository.
            token: Of the Hub; by default that of ``hf auth login`` or ``HF_TOKEN``.
            commit_message: Of the commit.
            revision: Branch to commit to; by default ``main``.
            license: Of the model and what it learned from, as the Hub spells it.
            data: What it was trained on, in words, for the card.

        Returns:
            The address of the repository.

        Raises:
            PublishError: See ``hf_trace.publishing.publication.publish``.
        """
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            publication = run_publication(folder, repo_id, license=license, data=data)
            return publish(
                publication, private=private, update=True, token=token, message=commit_message, revision=revision
            )
