"""The Hugging Face hub: what a model's id looks like, what is in the local cache, and how a model's folder gets there and back. Never pickles.

And transformers, which reads such folders, without its noise."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from logging import CRITICAL
from pathlib import Path

from clipcap_cli import words
from clipcap_cli.errors import ClipcapError, InputError, MissingError
from clipcap_cli.events import Listener, Note
from clipcap_cli.storage.atomic import store_errors
from clipcap_cli.storage.downloads import is_offline

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_REPO_LENGTH = 96  # as the hub has it
_TOKEN = "Run `hf auth login`, or set HF_TOKEN to a token that may write there (hub settings, Access Tokens)."
_PAGES = "https://huggingface.co"


def cached_folder(name: str, revision: str | None = None) -> Path | None:
    """The folder of a model in the hub's local cache, whole or not.

    Args:
        revision: None for the newest that is there.
    """
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, "config.json", revision=revision)
    return Path(found).parent if isinstance(found, str) else None


def download_folder(
    name: str,
    *,
    kind: str,
    size: str | None,
    wanted: Sequence[str],
    unwanted: Sequence[str],
    by_hand: str,
    events: Listener,
    revision: str | None = None,
) -> Path:
    """Bring a model's folder into the hub's local cache; a broken download is gone on with.

    Args:
        name: the model's id.
        kind: for people, "language model".
        size: for people, "548 MB"; None where it is not known.
        wanted, unwanted: patterns of file names.
        by_hand: for people, what to do with the folder once it was downloaded elsewhere: "copy it to PATH".
        revision: a commit of the hub; None for the newest.

    Raises:
        InputError: the hub has no such model.
        MissingError: offline, not reachable, or only for those who accepted its terms.
        StoreError: the download cannot be written.
    """
    what = f"the {kind} {name!r}" + (f" ({size})" if size else "")
    otherwise = f"Or bring it by hand: download {_PAGES}/{name} on another machine and {by_hand}."
    if is_offline():
        raise MissingError(f"{what} is not here, and clipcap is offline", hint=f"Type this again without --offline and CLIPCAP_OFFLINE. {otherwise}")

    from huggingface_hub import snapshot_download

    events(Note(f"{what} is downloaded once, from {_PAGES}/{name}"))
    absent = InputError(f"there is no {kind} {name!r}: neither a folder nor a public model of the hub", hint="Check the spelling.")
    with reaching_the_hub(what, "downloaded", absent, f"Type this again: it goes on where it stopped. {otherwise}", otherwise):
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(wanted), ignore_patterns=list(unwanted)))


def check_repo(name: str) -> str:
    """`name`, if it can be that of a repository of the hub: "org/name".

    Raises:
        InputError: it cannot.
    """
    if not _REPO.fullmatch(name) or any(sign in name for sign in ("--", "..")) or len(name) > _REPO_LENGTH or name.endswith((".git", ".ipynb", "-", ".")):
        hint = "Write it as ORGANISATION/NAME or USER/NAME, of letters, digits, '.', '-' and '_'."
        raise InputError(f"{name!r} cannot name a repository of the hub", hint=hint)
    return name


def list_repo(name: str, *, revision: str | None = None) -> tuple[str, dict[str, int]]:
    """The commit of a model's repository, and the size in bytes of each file in it.

    Args:
        name: "org/name".
        revision: a branch, tag or commit; None for the newest.

    Raises:
        InputError: there is no such repository or revision.
        MissingError: offline, not reachable, or not for everybody.
    """
    what = f"the model {check_repo(name)}"
    _check_online(what)

    from huggingface_hub import HfApi
    from huggingface_hub.errors import RevisionNotFoundError

    with reaching_the_hub(what, "looked up", _absent(name), "Type this again."):
        try:
            info = HfApi().model_info(name, revision=revision, files_metadata=True)
        except RevisionNotFoundError as error:
            raise InputError(f"the hub's model {name} has no revision {revision!r}", hint="Name a branch, a tag or a commit, or none.") from error
    return str(info.sha), {sibling.rfilename: sibling.size or 0 for sibling in info.siblings or ()}


def dataset_commit(name: str, *, revision: str | None = None) -> str:
    """The commit of a dataset's repository.

    Args:
        name: "org/name".
        revision: a branch, tag or commit; None for the newest.

    Raises:
        InputError: there is no such repository or revision.
        MissingError: offline, not reachable, or not for everybody.
    """
    what = f"the dataset {check_repo(name)}"
    _check_online(what)

    from huggingface_hub import HfApi
    from huggingface_hub.errors import RevisionNotFoundError

    with reaching_the_hub(what, "looked up", _absent(name, "dataset"), "Type this again."):
        try:
            return str(HfApi().dataset_info(name, revision=revision).sha)
        except RevisionNotFoundError as error:
            raise InputError(f"the hub's dataset {name} has no revision {revision!r}", hint="Name a branch, a tag or a commit, or none.") from error


def download_file(name: str, path: str, revision: str, folder: Path) -> None:
    """Bring one file of a model's repository into `folder`; a broken download is gone on with, and what is there is not fetched again.

    Raises:
        InputError: there is no such repository or file.
        MissingError: not reachable.
        StoreError: it cannot be written.
    """
    from huggingface_hub import hf_hub_download

    with reaching_the_hub(f"{path} of {name}", "downloaded", _absent(name), "Type this again: it goes on where it stopped.", place=folder):
        hf_hub_download(name, path, revision=revision, local_dir=folder)


def check_upload(name: str) -> None:
    """Whether an upload to the repository `name` could be begun now.

    Raises:
        InputError: the name cannot be one.
        MissingError: offline, or there is no token.
    """
    what = f"the model {check_repo(name)} cannot be uploaded"
    if is_offline():
        raise MissingError(f"{what}: clipcap is offline", hint="Type this again without --offline and CLIPCAP_OFFLINE.")

    from huggingface_hub import get_token

    if get_token() is None:
        raise MissingError(f"{what}: there is no token of the hub on this machine", hint=_TOKEN)


def upload_folder(folder: Path, name: str, *, private: bool, message: str, replaces: Callable[[str], bool], events: Listener) -> str:
    """Put the files of a folder into a repository of the hub, in one commit; the repository is made if there is none.

    Args:
        name: "org/name".
        private: of a repository that is made now.
        message: of the commit.
        replaces: whether a file that is there and not in `folder` is one of an earlier upload, and to be removed.

    Returns:
        The address of the commit.

    Raises:
        InputError: the name cannot be one.
        MissingError: offline, not reachable, no token, or one that may not write there.
    """
    check_upload(name)
    what = f"the model {name}"

    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    size = sum(path.stat().st_size for path in files.values())
    events(Note(f"{what} is uploaded: {len(files)} files, {words.size(size)}"))
    api = HfApi()
    with reaching_the_hub(what, "uploaded", MissingError(f"the hub does not know {name}, or not this token", hint=_TOKEN), "Type this again.", _TOKEN):
        api.create_repo(name, private=private, exist_ok=True)
        gone = [path for path in api.list_repo_files(name) if path not in files and replaces(path)]
        adding = [CommitOperationAdd(path_in_repo=path, path_or_fileobj=file) for path, file in files.items()]
        done = api.create_commit(name, [*adding, *(CommitOperationDelete(path) for path in gone)], commit_message=message)
    return str(done.commit_url)


def _check_online(what: str) -> None:
    if is_offline():
        raise MissingError(f"{what} would come from the hub, and clipcap is offline", hint="Type this again without --offline and CLIPCAP_OFFLINE.")


def _absent(name: str, kind: str = "model") -> InputError:
    return InputError(f"the hub has no public {kind} {name}", hint="Check the spelling; for a private one, run `hf auth login`.")


@contextmanager
def reaching_the_hub(what: str, done: str, absent: ClipcapError, again: str, allowed: str = "", *, place: Path | None = None) -> Iterator[None]:
    """Without the library's bars and remarks, and with its errors in plain words.

    Args:
        what: for people, is `done`: "downloaded".
        absent: the error for what is not there.
        again: for people, what to do when it was not reached.
        allowed: for people, what to do beside asking for leave.
        place: where it is written to; None for the local cache.
    """
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
    from huggingface_hub.utils import logging
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    drew, level = not are_progress_bars_disabled(), logging.get_verbosity()
    disable_progress_bars()
    logging.set_verbosity(CRITICAL)
    try:
        with store_errors(place or Path("~/.cache/huggingface").expanduser()):
            yield
    except ClipcapError:
        raise
    except GatedRepoError as error:
        raise MissingError(f"{what} is only for those who accepted its terms", hint=f"Accept them on its page and run `hf auth login`. {allowed}") from error
    except RepositoryNotFoundError as error:
        raise absent from error
    except Exception as error:  # the kinds depend on the hub library's version and on the HTTP library under it
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        refused = getattr(getattr(error, "response", None), "status_code", None) in (401, 403)
        hint = f"The hub did not allow it. {allowed}" if refused else again
        raise MissingError(f"{what} could not be {done}: {reason}", hint=hint.strip()) from error
    finally:
        logging.set_verbosity(level)
        if drew:
            enable_progress_bars()


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Without the log lines, warnings and bars of transformers; as they were afterwards."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
