"""What a source of pictures and captions is: where its files lie, how they are read, and what becomes of the pictures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from clipcap_cli.datasets.detection import detect, recognised
from clipcap_cli.datasets.files.unpacking import is_archive, unpacked
from clipcap_cli.datasets.manifest import Manifest, Policy, read_manifest
from clipcap_cli.datasets.places import Place
from clipcap_cli.datasets.readers.hub_dataset import REMOTE
from clipcap_cli.datasets.records import NO_OPTIONS, Evidence, Reader, ReaderOptions
from clipcap_cli.errors import ClipcapError, InputError
from clipcap_cli.events import Listener
from clipcap_cli.storage.addresses import is_address
from clipcap_cli.storage.home import Home
from clipcap_cli.storage.names import name_from


@dataclass(frozen=True)
class Source:
    """A source that has been looked at.

    Attributes:
        place: the folder, file or address that the user named.
        files: where its files are: the place itself, or the folder that an archive was unpacked into.
        policy: what becomes of the pictures' files; those of an archive are always taken into the store.
    """

    place: Path | Place
    files: Path
    options: ReaderOptions
    policy: Policy
    reader: Reader
    evidence: Evidence

    @property
    def root(self) -> Path:
        """What names of pictures are relative to."""
        return self.options.images or (self.files if self.files.is_dir() else self.files.parent)

    @property
    def name(self) -> str:
        """What its dataset is called where the user does not say."""
        place = str(self.place)
        if place.startswith(REMOTE):
            return name_from(place.removeprefix(REMOTE).rpartition("/")[2])
        if self.files != self.place:
            return name_from(self.place.name.partition(".")[0])
        return name_from(self.evidence.name or self.root.name)


@contextmanager
def looked_at(
    source: str | os.PathLike[str], name: str | None, home: Home, options: ReaderOptions, policy: Policy | None, events: Listener
) -> Iterator[Source]:
    """Find out what a source is; an archive is unpacked for as long as it is needed."""
    place = _absolute(source)
    known = manifest_of(home, name or name_from(place.name.partition(".")[0] if place.is_file() else place.name))
    if known is not None and known.source == str(place):
        options = known.options if options == NO_OPTIONS else options
        policy = policy or known.policy
    if options.images is not None:
        options = replace(options, images=_absolute(options.images))
        if not options.images or not options.images.is_dir():
            raise InputError("there is no such folder of pictures", where=str(options.images), hint="Name it with --images.")
    if place.is_file() and is_archive(place) and recognised(place, options) is None:
        with unpacked(place, home, events) as files, told_as(files, place):
            yield Source(place, files, options, "link", *detect(files, options))
    else:
        yield Source(place, place, options, policy or "in-place", *detect(place, options))


@contextmanager
def told_as(files: Path, place: object) -> Iterator[None]:
    """Let errors name the archive or address, which people know, and not the folder that it was unpacked into."""
    try:
        yield
    except ClipcapError as error:
        error.where, error.hint = (text and text.replace(str(files), str(place)) for text in (error.where, error.hint))
        raise


def _absolute(path: str | os.PathLike[str]) -> Path:
    if not str(path):
        raise InputError("the source has no name", hint="Name a folder of pictures with captions, or a captions table.")
    if str(path).startswith(REMOTE):
        return Path(path)
    if is_address(str(path)):
        raise InputError("what lies at an address is added by workers, which read it there", where=str(path), hint="Add --engine ray.")
    try:
        return Path(path).expanduser().resolve()
    except (OSError, RuntimeError) as error:  # a link to itself; the home of a user who is not there
        raise InputError(f"this leads nowhere: {error}", where=str(path), hint="Name a folder of pictures with captions, or a captions table.") from error


def manifest_of(home: Home, name: str) -> Manifest | None:
    """What is said of the dataset of this name; None if there is none, or none that can be read."""
    folder = home.datasets / name
    try:
        return read_manifest(folder) if folder.is_dir() else None
    except (ClipcapError, OSError, ValueError):  # who adds to it is told
        return None
