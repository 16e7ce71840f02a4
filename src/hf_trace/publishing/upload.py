"""Uploads a publication to the Hub in one commit, and says in one line why where that cannot be."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from hf_trace.errors import PublishError, first_line
from hf_trace.logs.writing import Document
from hf_trace.publishing.publication import Publication


def check_repo_id(repo_id: str) -> None:
    """Refuse a name that the Hub does not accept.

    Raises:
        PublishError: If the Hub does not.

    Example:
        >>> check_repo_id("org/alarms")
    """
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise PublishError(
            f"{repo_id!r} is not a repository name. Expected ORG/NAME of letters, digits, '-', '_' and '.', at most "
            "96 in all, without '--' or '..' and with no '-' or '.' at either end."
        ) from error


def publish(
    publication: Publication,
    *,
    private: bool = False,
    update: bool = False,
    token: str | None = None,
    message: str | None = None,
    revision: str | None = None,
) -> str:
    """Create the repository and upload everything in one commit.

    Args:
        publication: What goes where.
        private: Whether only its owners see a new repository.
        update: Replace what is in a repository that exists.
        token: Of the Hub; by default that of ``hf auth login`` or ``HF_TOKEN``.
        message: Of the commit.
        revision: Branch to commit to; by default ``main``.

    Returns:
        The address of the repository.

    Raises:
        PublishError: If the name is wrong, nobody is logged in, the Hub cannot be reached, the repository exists
            and is not to be updated, or it may not be written.
    """
    check_repo_id(publication.repo_id)
    if not (token or get_token()):
        raise PublishError(
            "Nobody is logged in to the Hub: there is no token. Run `hf auth login`, or set HF_TOKEN to a token that "
            "may write."
        )
    api = HfApi(token=token)
    kind, repo_id = publication.kind, publication.repo_id
    with _refusals_in_one_line(repo_id):
        account = api.whoami()
        repo_id = repo_id if "/" in repo_id else f"{account['name']}/{repo_id}"
        exists = api.repo_exists(repo_id, repo_type=kind)
        _check_owner(repo_id, account, exists=exists, update=update)
    with _refusals_in_one_line(repo_id, made=not exists):
        address = str(api.create_repo(repo_id, repo_type=kind, private=private or None, exist_ok=update))
        if revision is not None:
            api.create_branch(repo_id, branch=revision, repo_type=kind, exist_ok=True)
        there = api.list_repo_files(repo_id, repo_type=kind, revision=revision) if exists else []
        operations: list[CommitOperationAdd | CommitOperationCopy | CommitOperationDelete] = [
            *(CommitOperationAdd(name, source) for name, source in sorted(publication.files.items())),
            *(CommitOperationDelete(name) for name in filter(publication.replaces, there)),
        ]
        api.create_commit(
            repo_id,
            operations,
            commit_message=message or f"Upload with hf-trace: {len(publication.files)} files",
            repo_type=kind,
            revision=revision,
        )
    return address


def _check_owner(repo_id: str, account: Document, *, exists: bool, update: bool) -> None:
    """Refuse to write over a repository that is there, and say whose it is."""
    owner = repo_id.partition("/")[0]
    is_ours = owner in {account["name"], *(each["name"] for each in account.get("orgs", ()))}
    if exists and not is_ours:
        raise PublishError(
            f"The repository {repo_id!r} exists and belongs to {owner!r}, of which {account['name']!r} is not a "
            "member. Choose another name."
        )
    if exists and not update:
        raise PublishError(
            f"The repository {repo_id!r} exists already, and it is yours. Choose another name, or pass `--update` to "
            "replace what is in it."
        )
    if not is_ours:
        raise PublishError(
            f"{account['name']!r} is logged in and not a member of {owner!r}. Expected a name such as "
            f"{account['name']}/{repo_id.partition('/')[2]}."
        )


@contextmanager
def _refusals_in_one_line(repo_id: str, *, made: bool = False) -> Iterator[None]:
    state = " The repository may be there and empty: go on with `--update`." if made else ""
    refusals: tuple[type[Exception], ...] = (HfHubHTTPError, RuntimeError, *_transport_errors())
    try:
        yield
    except OfflineModeIsEnabled as error:
        raise PublishError("HF_HUB_OFFLINE is set, so nothing can be published. Unset it.") from error
    except refusals as error:
        # A large file that could not be sent is reported as a RuntimeError.
        cause = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error
        raise PublishError(_refusal(repo_id, cause) + state) from error


def _refusal(repo_id: str, error: BaseException) -> str:
    if isinstance(error, _transport_errors()) and not isinstance(error, HfHubHTTPError):
        return (
            f"The Hub cannot be reached ({first_line(error)}). Check the network (and HF_ENDPOINT, where you set it), "
            "or see what would be published with `--dry-run`."
        )
    response = getattr(error, "response", None)
    status = None if response is None else response.status_code
    if status == 401:
        return "The Hub does not accept the token: it is wrong or has expired. Run `hf auth login` again."
    if status == 403:
        return (
            f"The token may not write {repo_id!r}. Use one with the right to write there (`hf auth login`), or choose "
            "another name."
        )
    return f"The Hub refused {repo_id!r}: {first_line(error)}. Nothing was published."


def _transport_errors() -> tuple[type[Exception], ...]:
    """What the HTTP client of huggingface_hub raises when nobody answers; which client depends on its version."""
    names = [name for name in ("httpx", "httpx2") if find_spec(name)]
    return (*(importlib.import_module(name).TransportError for name in names), ConnectionError, TimeoutError)
