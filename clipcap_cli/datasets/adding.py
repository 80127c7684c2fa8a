"""Adding a source of pictures and captions to the store, or adding it again after it has changed.

The pictures stay where they are. What is made is a new version, whole or not at all; versions that are there are never touched.
"""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from clipcap_cli.datasets.dataset import Dataset, open_dataset
from clipcap_cli.datasets.detection import detect
from clipcap_cli.datasets.ingest import ingest, nothing_left, settle_splits
from clipcap_cli.datasets.records import NO_OPTIONS, Evidence, Problem, Reader, ReaderOptions, as_text
from clipcap_cli.datasets.versions import DATASET_FILE, FORMAT, Picture, content_digest, version_folder, write_version
from clipcap_cli.errors import InputError
from clipcap_cli.events import Listener, Note, silent
from clipcap_cli.storage.atomic import new_folder, write_json
from clipcap_cli.storage.home import Home, open_home
from clipcap_cli.storage.locks import hold
from clipcap_cli.storage.names import check_name, free_name, name_from
from clipcap_cli.words import count

_WAIT_S = 60.0  # for another process that is adding the same dataset


def add_dataset(
    source: str | os.PathLike[str],
    *,
    name: str | None = None,
    home: Home | None = None,
    options: ReaderOptions = NO_OPTIONS,
    events: Listener = silent,
) -> Dataset:
    """Read a folder (or a captions table) into the store.

    Args:
        source: the folder; or the captions file, with the pictures beside it or beneath.
        name: of the dataset; by default that of the folder.
        options: columns of a table and the folder of the pictures, where they are not as usual.

    Returns:
        The dataset: a new one, a new version of the one that was made of this source before, or that one itself if nothing has changed.

    Raises:
        InputError: no such source, no known layout, nothing in it that can be used, or the name is taken.
        StoreError: the store is busy, full, damaged or read-only.
    """
    home = home or open_home()
    source = _absolute(source)
    if options.images is not None:
        options = replace(options, images=_absolute(options.images))
        if not options.images or not options.images.is_dir():
            raise InputError("there is no such folder of pictures", where=str(options.images), hint="Name it with --images.")
    reader, evidence = detect(source, options)
    root = source if source.is_dir() else source.parent
    name = check_name(name_from(evidence.name or root.name) if name is None else name, "dataset")
    with hold(home, f"dataset-{name}", wait_s=_WAIT_S, events=events):
        before = _before(home, name, source)
        events(Note(f"{evidence.layout}: {evidence.reason}"))
        pictures, problems = _read(reader, source, options.images or root, options, before, events)
        digest = content_digest(pictures, problems)
        if before is not None and before.digest == digest:
            events(Note(f"nothing has changed: {name!r} stays at version {before.version}"))
            return before
        return _write(home, name, source, evidence, before, pictures, problems, digest)


def _absolute(path: str | os.PathLike[str]) -> Path:
    try:
        return Path(path).expanduser().resolve()
    except (OSError, RuntimeError) as error:  # a link to itself; the home of a user who is not there
        raise InputError(f"this leads nowhere: {error}", where=str(path), hint="Name a folder of pictures with captions, or a captions table.") from error


def _before(home: Home, name: str, source: Path) -> Dataset | None:
    """The current version of the dataset of this name, if there is one."""
    if not (home.datasets / name).exists():
        return None
    before = open_dataset(name, home=home)
    if before.source != source:
        raise InputError(
            f"there is a dataset {name!r} already, made of another source: {before.source}",
            where=str(source),
            hint=f"Give this one another name: --name {free_name(home.datasets, name)}.",
        )
    return before


def _read(reader: Reader, source: Path, root: Path, options: ReaderOptions, before: Dataset | None, events: Listener) -> tuple[list[Picture], list[Problem]]:
    problems: list[Problem] = []

    def report(problem: Problem) -> None:
        problems.append(replace(problem, where=as_text(problem.where), message=as_text(problem.message)))

    pictures = ingest(reader.read(source, options, report), root, report, events=events)
    if not pictures:
        raise nothing_left(source, problems)
    earlier = _splits_of(before) if before else {}
    pictures, decided_by = settle_splits(pictures, earlier, report)
    if decided_by == "hash":
        events(Note("the source gives no splits: 80 % train, 10 % val, 10 % test, by each picture's hash"))
    elif without := sum(picture.split is None for picture in pictures):
        events(Note(f"{count(without, 'picture')} of the source {'is' if without == 1 else 'are'} in no split"))
    return pictures, problems


def _splits_of(before: Dataset) -> dict[str, str | None]:
    """The split of each id; an id that is in several has none to keep."""
    splits: dict[str, str | None] = {}
    ambiguous = set()
    for image in before.images():
        if splits.setdefault(image.image_id, image.split) != image.split:
            ambiguous.add(image.image_id)
    return {image_id: split for image_id, split in splits.items() if image_id not in ambiguous}


def _write(
    home: Home,
    name: str,
    source: Path,
    evidence: Evidence,
    before: Dataset | None,
    pictures: list[Picture],
    problems: list[Problem],
    digest: str,
) -> Dataset:
    folder = home.datasets / name
    number = before.version + 1 if before else 1
    facts: dict[str, Any] = {
        "version": number,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "source": str(source),
        "layout": evidence.layout,
        "reason": evidence.reason,
        "digest": digest,
    }
    current = {"format": FORMAT, "name": name, "source": str(source), "policy": "in-place", "current": number}
    if before is None:
        with new_folder(folder) as part:
            version_folder(part, number).mkdir()
            write_version(version_folder(part, number), pictures, problems, facts)
            write_json(part / DATASET_FILE, current)
    else:
        # A folder of this number can only be what a killed process left: it becomes a version by dataset.json alone.
        with new_folder(version_folder(folder, number), replace=True) as part:
            write_version(part, pictures, problems, facts)
        write_json(folder / DATASET_FILE, current)
    return open_dataset(name, home=home)
