"""New versions of datasets: whole or not at all; versions that are there are never touched, so that each is the way back from the next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from clipcap_cli.datasets.dataset import Dataset, open_dataset
from clipcap_cli.datasets.manifest import Manifest, read_manifest, write_manifest
from clipcap_cli.datasets.records import Problem
from clipcap_cli.datasets.versions import Picture, content_digest, version_folder, write_version
from clipcap_cli.errors import InputError, StoreError
from clipcap_cli.events import Listener, silent
from clipcap_cli.storage.atomic import new_folder
from clipcap_cli.storage.home import Home
from clipcap_cli.storage.locks import hold

ADDED = "add"
_WAIT_S = 60.0  # for another process that is changing the same dataset


@dataclass(frozen=True)
class Contents:
    """What a new version says.

    Attributes:
        layout, reason: how the source was read, and why so.
        made_by: the verb that made it.
        change: what it changed, a sentence for people; "" where it was added.
        added_in: the versions in which pictures of the source came in, but for a new one that is added.
        splits_by: what decided the splits: source, hash or rule.
        is_changed: whether pictures or captions are others than the source's, since they were changed here.
    """

    pictures: Sequence[Picture]
    problems: Sequence[Problem]
    layout: str
    reason: str
    made_by: str = ADDED
    change: str = ""
    added_in: tuple[int, ...] = ()
    splits_by: str = "source"
    is_changed: bool = False

    @property
    def digest(self) -> str:
        """A hash of what it says."""
        return content_digest(self.pictures, self.problems)


@contextmanager
def changing(home: Home, name: str, events: Listener = silent) -> Iterator[None]:
    """Hold a dataset, so that nobody else changes it."""
    with hold(home, f"dataset-{name}", wait_s=_WAIT_S, events=events):
        yield


def put_version(home: Home, manifest: Manifest, contents: Contents) -> Dataset:
    """Write `contents` as version `manifest.current`, and make it the current one. The dataset must be held.

    Raises:
        StoreError: it cannot be written; the dataset is as it was.
    """
    folder, number = home.datasets / manifest.name, manifest.current
    facts = {
        "version": number,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "source": manifest.source,
        "layout": contents.layout,
        "reason": contents.reason,
        "made_by": contents.made_by,
        "change": contents.change,
        "splits_by": contents.splits_by,
        "is_changed": contents.is_changed,
        "added_in": [*contents.added_in, *([number] if contents.made_by == ADDED else [])],
        "digest": contents.digest,
    }
    if not folder.exists():
        with new_folder(folder) as part:
            version_folder(part, number).mkdir()
            write_version(version_folder(part, number), contents.pictures, contents.problems, facts)
            write_manifest(part, manifest)
    else:
        # A folder of this number can only be what a killed process left: it becomes a version by dataset.json alone.
        with new_folder(version_folder(folder, number), replace=True) as part:
            write_version(part, contents.pictures, contents.problems, facts)
        write_manifest(folder, manifest)
    return open_dataset(manifest.name, home=home)


def change_dataset(
    dataset: Dataset,
    pictures: Sequence[Picture],
    *,
    made_by: str,
    change: str,
    manifest: Manifest | None = None,
    splits_by: str | None = None,
    is_changed: bool = True,
    events: Listener = silent,
) -> Dataset:
    """Make a version of a dataset that has other pictures, captions or splits.

    Args:
        dataset: in its current version.
        made_by: the verb.
        change: what it changes, a sentence for people.
        manifest: what dataset.json says from now on, if that changes.
        splits_by: what decides the splits from now on, if that changes.
        is_changed: whether pictures or captions are others than the source's from now on.

    Returns:
        The new version; the dataset as it is if nothing differs.

    Raises:
        InputError: nothing would be left.
        StoreError: it was changed meanwhile, or cannot be written.
    """
    if not pictures:
        raise InputError(f"nothing of {dataset.name!r} would be left, so nothing was changed", hint="Look at `clipcap dataset show` and choose otherwise.")
    contents = Contents(
        pictures, dataset.problems(), dataset.layout, dataset.reason, made_by, change, dataset.added_in, splits_by or dataset.splits_by, is_changed
    )
    with changing(dataset.home, dataset.name, events):
        now = read_manifest(dataset.home.datasets / dataset.name)
        if now.current != dataset.version:
            raise StoreError(f"the dataset {dataset.name!r} was changed meanwhile: it is at version {now.current}", hint="Type the same line again.")
        wanted = manifest or now
        if contents.digest == dataset.digest:
            if wanted != now:
                write_manifest(dataset.home.datasets / dataset.name, wanted)
            return open_dataset(dataset.name, home=dataset.home)
        return put_version(dataset.home, replace(wanted, current=now.current + 1), contents)


def restore_version(dataset: Dataset, version: int, *, events: Listener = silent) -> Dataset:
    """Make a version that says what an older one said.

    Raises:
        InputError: there is no such version, or it is not there any more.
        StoreError: the dataset is damaged, or was changed meanwhile.
    """
    old = open_dataset(dataset.name, home=dataset.home, version=version)
    return change_dataset(
        dataset, old.entries(), made_by="restore", change=f"back to version {version}", splits_by=old.splits_by, is_changed=True, events=events
    )
