"""Files at addresses (`s3://BUCKET/PATH`, `gs://…`, `hf://…`, whatever fsspec knows), with the errors of many libraries in plain words. A path of this machine
is an address too.

What is written appears whole or not at all: on this machine by a rename, in an object store by a single put.
"""

from __future__ import annotations

import errno
import functools
import os
import posixpath
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from clipcap_cli.errors import ClipcapError, InputError, MissingError, StoreError, UnreachableError
from clipcap_cli.storage.atomic import write_bytes

CONNECT_S, READ_S = 10, 60  # for a server that does not answer; the libraries' own limits, with their retries, are many minutes

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
_CREDENTIALS = {
    "s3": "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE), on each machine that takes part.",
    "gcs": "Run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS, on each machine that takes part.",
    "": "Run `hf auth login`, or set HF_TOKEN, on each machine that takes part.",
}
_MARKS = ("ETag", "etag", "md5Hash", "crc32c", "sha256", "blob_id", "mtime", "LastModified", "last_modified", "updated", "created")
# What errors of the libraries are called, or have in their text; none of them can be imported where its library is not there.
_NO_CREDENTIALS = (
    *("NoCredentials", "PartialCredentials", "CredentialRetrieval", "DefaultCredentialsError", "ProfileNotFound", "LocalTokenNotFound"),
    "Anonymous caller",
)
_NOT_REACHED = (
    *("EndpointConnection", "ConnectTimeout", "ConnectionError", "ConnectionClosed", "ReadTimeout", "ClientConnector", "TimeoutError"),
    *("Cannot connect", "Could not connect"),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A file that lies somewhere.

    Attributes:
        address: where.
        mark: another one when the file is another one, as far as its server tells (a checksum, or the time of its last change).
    """

    address: str
    size: int
    mark: str


def is_address(text: str) -> bool:
    """Whether a text names something by a protocol, and not by a path of this machine."""
    return _SCHEME.match(text) is not None


def joined(address: str, *names: str) -> str:
    """The address of something beneath another one."""
    return posixpath.join(address.rstrip("/") if is_address(address) else address, *names)


def list_files(address: str) -> list[Entry]:
    """The file at an address, or all files beneath it, in the order of their names; without hidden ones.

    Raises:
        InputError: nothing is there, or it may not be read.
        MissingError: the package for such addresses is not installed.
        UnreachableError: their server does not answer.
    """
    with reaching(address):
        files, path = _opened(address)
        if files.isfile(path):
            return [_entry(address, files.info(path))]
        root = path.rstrip("/") + "/"
        found = files.find(path, detail=True)
        beneath = {name.removeprefix(root): facts for name, facts in found.items() if facts.get("type") != "directory" and name.startswith(root)}
        seen = {name: facts for name, facts in beneath.items() if name and not any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))}
        if not found and not files.exists(path):
            raise FileNotFoundError(errno.ENOENT, "nothing is there", address)
        return [_entry(joined(address, name), seen[name]) for name in sorted(seen)]


def entry_of(address: str) -> Entry:
    """What is known of one file.

    Raises:
        InputError, MissingError, UnreachableError: as `list_files`.
    """
    with reaching(address):
        files, path = _opened(address)
        return _entry(address, files.info(path))


def read(address: str, start: int = 0, size: int | None = None) -> bytes:
    """The bytes of a file, or `size` of them from `start` on, which is all that is fetched.

    Raises:
        InputError, MissingError, UnreachableError: as `list_files`.
    """
    with reaching(address):
        files, path = _opened(address)
        return bytes(files.cat_file(path, start=start, end=None if size is None else start + size))


@contextmanager
def opened(address: str) -> Iterator[IO[bytes]]:
    """A file to read from, which is fetched as it is read.

    Raises:
        InputError, MissingError, UnreachableError: as `list_files`; also while it is read.
    """
    with reaching(address):
        files, path = _opened(address)
        with files.open(path, "rb") as stream:
            yield stream


def copy_to(address: str, place: Path) -> None:
    """Fetch a file.

    Raises:
        InputError, MissingError, UnreachableError: as `list_files`.
    """
    with opened(address) as stream, place.open("wb") as copy:
        shutil.copyfileobj(stream, copy, 1 << 22)


def write(address: str, data: bytes) -> None:
    """Put a file into its place, whole or not at all; one that was there is replaced.

    Raises:
        StoreError: it cannot be written.
        InputError, MissingError, UnreachableError: as `list_files`.
    """
    if not is_address(address):
        write_bytes(Path(address), data)
        return
    with reaching(address):
        files, path = _opened(address)
        try:
            files.pipe_file(path, data)
        except PermissionError as error:
            raise StoreError("this cannot be written: there is no permission", where=address, hint="Choose another place, or another key.") from error


def remove(address: str) -> None:
    """Take a file away, if it is there.

    Raises:
        InputError, MissingError, UnreachableError: as `list_files`.
    """
    with reaching(address):
        files, path = _opened(address)
        try:
            files.rm_file(path)
        except FileNotFoundError:
            return


@contextmanager
def reaching(address: str) -> Iterator[None]:
    """Turn what may go wrong at an address into one sentence."""
    try:
        yield
    except ClipcapError:
        raise
    except Exception as error:  # each library has its own errors, and they have no common kind
        told = _told(address, error)
        if told is None:
            raise
        raise told from error


def _told(address: str, error: Exception) -> ClipcapError | None:
    scheme = address.partition("://")[0].lower() if is_address(address) else ""
    extra = _EXTRAS.get(scheme, "")
    names = [f"{type(cause).__name__}: {cause}" for cause in _causes(error)]

    def has(marks: tuple[str, ...]) -> bool:
        return any(mark in name for name in names for mark in marks)

    said = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    if isinstance(error, ImportError):
        package = {"s3": "s3fs", "gcs": "gcsfs"}.get(extra, said)
        hint = f'pip install "clipcap-cli[{extra}]"' if extra else "Install the package that fsspec names."
        return MissingError(f"addresses that begin with {scheme}:// need the package {package}, which is not installed", where=address, hint=hint)
    if isinstance(error, ValueError) and "rotocol" in said:
        return InputError(f"nothing here knows addresses that begin with {scheme}://", where=address, hint="There are s3://, gs://, hf://, and paths.")
    if has(_NO_CREDENTIALS):
        return InputError("there are no credentials for this address", where=address, hint=_CREDENTIALS[extra])
    if has(_NOT_REACHED):
        return UnreachableError(
            "the server of this address does not answer", where=address, hint="Look at the network, and at the address (AWS_ENDPOINT_URL for s3://)."
        )
    if isinstance(error, FileNotFoundError):
        what = "there is no such bucket" if "bucket" in said.lower() else "there is no such file or folder"
        return InputError(what, where=address, hint="Check the spelling.")
    if isinstance(error, PermissionError):
        hint = _CREDENTIALS[extra] if scheme else "Give yourself permission to read it."
        return InputError(f"this may not be read ({said})", where=address, hint=hint)
    if isinstance(error, OSError):
        return InputError(f"this cannot be read: {error.strerror or said}", where=address)
    return InputError(f"this cannot be read: {said}", where=address) if _of_a_library(error) else None


def _of_a_library(error: Exception) -> bool:
    """Whether it comes from what fsspec stands on: mistakes of our own are to be seen as such."""
    return type(error).__module__.partition(".")[0] in ("botocore", "aiobotocore", "aiohttp", "gcsfs", "google", "huggingface_hub", "httpx", "requests", "s3fs")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _opened(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path in it."""
    import fsspec

    if not is_address(address):
        return _local(), os.fspath(Path(address).absolute())
    scheme = address.partition("://")[0].lower()
    files, path = fsspec.url_to_fs(address, **_options(scheme))
    return files, path


@functools.cache
def _local() -> Any:
    import fsspec

    return fsspec.filesystem("file")


def _options(scheme: str) -> dict[str, Any]:
    """Listings are asked for anew, since other machines write; a server that is not there is given up soon."""
    if _EXTRAS.get(scheme) == "s3":
        retries = {"total_max_attempts": 2}
        return {"use_listings_cache": False, "config_kwargs": {"connect_timeout": CONNECT_S, "read_timeout": READ_S, "retries": retries}}
    return {"use_listings_cache": False} if _EXTRAS.get(scheme) == "gcs" else {}


def _entry(address: str, facts: dict[str, Any]) -> Entry:
    known = next((facts[key] for key in _MARKS if facts.get(key) is not None), "")
    return Entry(address, int(facts.get("size") or 0), str(known))
