"""Fetching a file once: verified, resumable, atomic, and refused in plain words when offline."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from pathlib import Path

from clipcap_cli.errors import MissingError
from clipcap_cli.events import Advanced, Finished, Listener, Note, Started, silent
from clipcap_cli.storage.atomic import store_errors, sync_folder
from clipcap_cli.storage.hashing import sha256_of_file
from clipcap_cli.storage.locks import hold_file

_PIECE = 1 << 20
_TIMEOUT_S = 30.0
_WAIT_S = 3600.0  # for another process that is downloading the same file
DOWNLOAD = ".download"  # how the name of a file ends that is not here as a whole yet


def is_offline() -> bool:
    """Whether the user asked for no network (`--offline` sets CLIPCAP_OFFLINE=1; the hub's own HF_HUB_OFFLINE counts too)."""
    return any(os.environ.get(name, "").lower() not in ("", "0", "false", "no") for name in ("CLIPCAP_OFFLINE", "HF_HUB_OFFLINE"))


def fetch(url: str, path: Path, *, sha256: str | None, what: str, size: str, events: Listener = silent) -> Path:
    """The file of `url` at `path`: as it is if it is there, else downloaded, going on where an earlier try broke off.

    Args:
        sha256: 64 hex digits that the file must have; None where nobody published them.
        what: for people, "CLIP ViT-B/32".
        size: for people, "354 MB".

    Raises:
        MissingError: offline, not reachable, or the bytes are not the right ones (those are removed).
        StoreError: it cannot be written, or another process has been downloading it for an hour.
    """
    if path.exists():
        return path
    by_hand = f"Or bring it by hand: download {url} and put it at {path}."
    if is_offline():
        raise MissingError(f"{what} ({size}) is not here, and clipcap is offline", hint=f"Type this again without --offline and CLIPCAP_OFFLINE. {by_hand}")
    lock = path.with_name(f".{path.name}.lock")
    with hold_file(lock, f"the download of {what}", wait_s=_WAIT_S, events=events), store_errors(path):
        if path.exists():  # it was downloaded while this one waited
            return path
        events(Note(f"{what} ({size}) is downloaded once, from {url} to {path}"))
        part = path.with_name(f".{path.name}{DOWNLOAD}")
        try:
            _download(url, part, events)
        except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
            reason = getattr(error, "reason", None) or error
            raise MissingError(
                f"{what} ({size}) could not be downloaded: {reason}", where=url, hint=f"Type this again: it goes on where it stopped. {by_hand}"
            ) from error
        found = sha256_of_file(part) if sha256 else None
        if found is not None and sha256 is not None and found != sha256:
            part.unlink()
            raise MissingError(
                f"the download of {what} has SHA-256 {found[:12]}…, not {sha256[:12]}…; it was removed", where=url, hint=f"Type this again. {by_hand}"
            )
        os.replace(part, path)
        sync_folder(path.parent)
        lock.unlink(missing_ok=True)  # whoever waits for it sees that the file is there
    return path


def _download(url: str, part: Path, events: Listener) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "clipcap", **({"Range": f"bytes={have}-"} if have else {})})
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing is left to fetch: the SHA-256 will tell whether it is whole
            return
        raise
    with response:
        goes_on = response.status == 206
        rest = response.headers.get("Content-Length")
        events(Started("download", int(rest) if rest else None, "bytes"))
        try:
            with part.open("ab" if goes_on else "wb") as stream:
                while piece := response.read(_PIECE):
                    stream.write(piece)
                    events(Advanced("download", len(piece)))
                stream.flush()
                os.fsync(stream.fileno())
        finally:
            events(Finished("download"))
        if rest and part.stat().st_size < int(rest) + (have if goes_on else 0):
            raise ConnectionError("the connection broke off")
