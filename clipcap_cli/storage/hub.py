"""The Hugging Face hub: what a model's id looks like, what is in the local cache, and how a model's folder gets there. Never pickles.

And transformers, which reads such folders, without its noise."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from clipcap_cli.errors import ClipcapError, InputError, MissingError
from clipcap_cli.events import Listener, Note
from clipcap_cli.storage.atomic import store_errors
from clipcap_cli.storage.downloads import is_offline

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_PAGES = "https://huggingface.co"


def cached_folder(name: str) -> Path | None:
    """The folder of a model in the hub's local cache, whole or not."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, "config.json")
    return Path(found).parent if isinstance(found, str) else None


def download_folder(name: str, *, kind: str, size: str | None, wanted: Sequence[str], unwanted: Sequence[str], by_hand: str, events: Listener) -> Path:
    """Bring a model's folder into the hub's local cache; a broken download is gone on with.

    Args:
        name: the model's id.
        kind: for people, "language model".
        size: for people, "548 MB"; None where it is not known.
        wanted, unwanted: patterns of file names.
        by_hand: for people, what to do with the folder once it was downloaded elsewhere: "copy it to PATH".

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
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    events(Note(f"{what} is downloaded once, from {_PAGES}/{name}"))
    drew = not are_progress_bars_disabled()
    disable_progress_bars()
    try:
        with store_errors(Path("~/.cache/huggingface").expanduser()):
            return Path(snapshot_download(name, allow_patterns=list(wanted), ignore_patterns=list(unwanted)))
    except ClipcapError:
        raise
    except GatedRepoError as error:
        raise MissingError(f"{what} is only for those who accepted its terms", hint=f"Accept them on its page and run `hf auth login`. {otherwise}") from error
    except RepositoryNotFoundError as error:
        raise InputError(f"there is no {kind} {name!r}: neither a folder nor a public model of the hub", hint="Check the spelling.") from error
    except Exception as error:  # the kinds depend on the hub library's version and on the HTTP library under it
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise MissingError(f"{what} could not be downloaded: {reason}", hint=f"Type this again: it goes on where it stopped. {otherwise}") from error
    finally:
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
