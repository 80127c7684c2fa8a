"""Adding a source of pictures and captions to the store, or adding it again after it has changed.

What is made is a new version, whole or not at all; versions that are there are never touched, nor is anything of the source's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from clipcap_cli.datasets.changes.splitting import decide
from clipcap_cli.datasets.checking import check_version
from clipcap_cli.datasets.dataset import Dataset, open_dataset
from clipcap_cli.datasets.examining import examine_all
from clipcap_cli.datasets.ingest import Examine, ingest, nothing_left, settle_splits
from clipcap_cli.datasets.keeping import Keeper
from clipcap_cli.datasets.manifest import UNKNOWN, Manifest, Policy, Provenance, read_manifest, write_manifest
from clipcap_cli.datasets.places import Place
from clipcap_cli.datasets.records import NO_OPTIONS, Evidence, Problem, ReaderOptions, Record, as_text
from clipcap_cli.datasets.sources import Source, looked_at
from clipcap_cli.datasets.splits import in_order
from clipcap_cli.datasets.versioning import ADDED, Contents, changing, put_version
from clipcap_cli.datasets.versions import Picture
from clipcap_cli.errors import InputError, StoreError
from clipcap_cli.events import Listener, Note, silent
from clipcap_cli.storage.home import Home, open_home
from clipcap_cli.storage.names import check_name, free_name
from clipcap_cli.words import count

_SAMPLES = 5


@dataclass(frozen=True)
class Preview:
    """What adding a source would find, as far as it shows without reading the pictures.

    Attributes:
        name: of the dataset.
        pictures, captions: how many records the reader gives.
        splits: pictures by split, as the source says.
        samples: some records.
        problems: what would be left out or decided.
    """

    name: str
    evidence: Evidence
    pictures: int
    captions: int
    splits: Mapping[str, int]
    samples: tuple[Record, ...]
    problems: tuple[Problem, ...]


def add_dataset(
    source: str | os.PathLike[str],
    *,
    name: str | None = None,
    home: Home | None = None,
    options: ReaderOptions = NO_OPTIONS,
    policy: Policy | None = None,
    provenance: Provenance = UNKNOWN,
    replace_all: bool = False,
    events: Listener = silent,
) -> Dataset:
    """Read a source into the store: a folder, a captions file, an archive of one, or `hf:ORGANISATION/NAME`.

    Args:
        source: the folder; or the captions file, with the pictures beside it or beneath.
        name: of the dataset; by default that of the folder.
        options: what the reader should know; of a source that was added before, as then.
        policy: what becomes of the pictures' files; "in-place" for a new dataset if nothing is said.
        provenance: licence, source and citation, in the user's words.
        replace_all: what the dataset was until now is given up: another source may take its place, splits are made anew, changes made here are not kept.

    Returns:
        The dataset: a new one, a new version of the one that was made of this source before, or that one itself if nothing has changed.

    Raises:
        InputError: no such source, no known layout, nothing in it that can be used, or the name is taken.
        MissingError: a package is missing that reads this source.
        StoreError: the store is busy, full, damaged or read-only.
    """
    home = home or open_home()
    with looked_at(source, name, home, options, policy, events) as found:
        return add_source(found, name, home, provenance=provenance, replace_all=replace_all, events=events)


def add_source(
    found: Source,
    name: str | None,
    home: Home,
    *,
    provenance: Provenance = UNKNOWN,
    replace_all: bool = False,
    keeper: Keeper | None = None,
    examine: Examine = examine_all,
    events: Listener = silent,
) -> Dataset:
    """Read a source that has been looked at; the rest is as `add_dataset` says.

    Args:
        keeper: says where pictures are from now on; None for what the source's policy says.
        examine: looks at pictures that are files.
    """
    name = check_name(name or found.name, "dataset")
    keeper = keeper or Keeper(home, found.policy)
    with changing(home, name, events):
        before = _before(home, name, found.place, replace_all)
        return _add(found, name, before, keeper, provenance, replace_all, examine, events)


def preview_source(
    source: str | os.PathLike[str], *, name: str | None = None, home: Home | None = None, options: ReaderOptions = NO_OPTIONS, events: Listener = silent
) -> Preview:
    """What `add_dataset` would find; nothing is kept.

    Raises:
        InputError, MissingError, StoreError: as `add_dataset`.
    """
    home = home or open_home()
    problems: list[Problem] = []
    samples: list[Record] = []
    splits: dict[str, int] = {}
    seen: dict[str, int] = {}
    with looked_at(source, name, home, options, None, events) as found:
        for record in found.reader.read(found.files, found.options, problems.append):
            key = str(record.image)
            if key not in seen:
                if record.split:
                    splits[record.split] = splits.get(record.split, 0) + 1
                if len(samples) < _SAMPLES:
                    samples.append(replace(record, image=_relative(record.image, found.root), data=None))
            seen[key] = seen.get(key, 0) + len(record.captions)
        return Preview(name or found.name, found.evidence, len(seen), sum(seen.values()), in_order(splits), tuple(samples), tuple(problems))


def _relative(path: Path, root: Path) -> Path:
    return path.relative_to(root) if path.is_relative_to(root) else path


def _before(home: Home, name: str, place: Path | Place, replace_all: bool) -> Dataset | None:
    """The current version of the dataset of this name, if there is one."""
    if not (home.datasets / name).exists():
        return None
    try:
        before = open_dataset(name, home=home)
    except StoreError:
        if not replace_all:
            raise
        read_manifest(home.datasets / name)  # the dataset itself is whole, and gets a version in the place of the one that is damaged
        return None
    if before.source != place and not replace_all:
        raise InputError(
            f"there is a dataset {name!r} already, made of another source: {before.source}",
            where=str(place),
            hint=f"Give this one another name (--name {free_name(home.datasets, name)}), or let it take that one's place (--replace).",
        )
    return before


def _add(
    found: Source, name: str, before: Dataset | None, keeper: Keeper, provenance: Provenance, replace_all: bool, examine: Examine, events: Listener
) -> Dataset:
    home = keeper.home
    events(Note(f"{found.evidence.layout}: {found.evidence.reason}"))
    old = read_manifest(home.datasets / name) if (home.datasets / name).exists() else None
    manifest = Manifest(
        name=name,
        source=str(found.place),
        policy=found.policy,
        current=old.current + 1 if old else 1,
        provenance=old.provenance.updated(provenance) if old else provenance,
        options=found.options,
        columns=found.evidence.columns,
        split_rule=old.split_rule if old and not replace_all else None,
        keeps_source_splits=old is None or replace_all or old.keeps_source_splits,
    )
    pictures, problems, splits_by = _read(found, None if replace_all else before, manifest, keeper, examine, events)
    change, added_in = "", tuple[int, ...]()
    if before is not None and before.is_changed and not replace_all:
        pictures, change, added_in = _only_new(before, pictures, events), "what is new in the source joined what was changed here", before.added_in
    contents = Contents(pictures, problems, found.evidence.layout, found.evidence.reason, ADDED, change, added_in, splits_by, bool(change))
    if before is not None and before.digest == contents.digest and not (replace_all and check_version(before.folder, lambda _: None)):
        if old is not None and replace(manifest, current=old.current) != old:
            write_manifest(home.datasets / name, replace(manifest, current=old.current))
        events(Note(f"nothing has changed: {name!r} stays at version {before.version}"))
        return open_dataset(name, home=home)
    keeper.settle()
    return put_version(home, manifest, contents)


def _read(
    found: Source, before: Dataset | None, manifest: Manifest, keeper: Keeper, examine: Examine, events: Listener
) -> tuple[list[Picture], list[Problem], str]:
    problems: list[Problem] = []

    def report(problem: Problem) -> None:
        problems.append(replace(problem, where=as_text(problem.where), message=as_text(problem.message)))

    pictures = ingest(found.reader.read(found.files, found.options, report), found.root, report, keeper=keeper, events=events, examine=examine)
    if not pictures:
        raise nothing_left(found.place, problems)
    earlier = _splits_of(before) if before else {}
    if not manifest.keeps_source_splits:
        pictures = [replace(picture, split=None) for picture in pictures]
    pictures, decided_by = settle_splits(pictures, earlier, report, _decider(manifest, keeper.home, earlier, events))
    if decided_by == "hash":
        events(Note("the source gives no splits: 80 % train, 10 % val, 10 % test, by each picture's hash"))
    elif without := sum(picture.split is None for picture in pictures):
        events(Note(f"{count(without, 'picture')} of the source {'is' if without == 1 else 'are'} in no split"))
    return pictures, problems, decided_by


def _decider(manifest: Manifest, home: Home, earlier: Mapping[str, str | None], events: Listener) -> Callable[[list[Picture]], Mapping[str, str]] | None:
    """What gives a split where the source gives none: the rule that the user set, if there is one."""
    rule = manifest.split_rule
    if rule is None:
        return None
    fixed = {image_id: split for image_id, split in earlier.items() if split}

    def decided(pictures: list[Picture]) -> Mapping[str, str]:
        given = {picture.image_id: picture.split for picture in pictures if picture.split}
        return decide(pictures, rule, fixed | given, home, manifest.name, events=events)

    return decided


def _only_new(before: Dataset, pictures: list[Picture], events: Listener) -> list[Picture]:
    """A version that was changed here keeps its changes: of the source come pictures that are new, and files that are other pictures by now."""
    versions = [open_dataset(before.name, home=before.home, version=number) for number in before.added_in]
    known = {image_id.decode() for version in versions for image_id in version.image_ids()}
    in_source = {picture.path: picture for picture in pictures if picture.path}
    kept, changed = [], 0
    for picture in before.entries():
        now = in_source.get(picture.path, picture)
        changed += now.image_id != picture.image_id
        kept.append(picture if now.image_id == picture.image_id else replace(now, split=picture.split))
    paths = {picture.path for picture in kept if picture.path}
    new = [picture for picture in pictures if picture.image_id not in known and picture.path not in paths]
    told = f"{count(len(new), 'new picture')}{f', {changed:,} changed' if changed else ''}"
    events(Note(f"{before.name} was changed here and keeps its captions: {told}; --replace takes the source as it is now"))
    return sorted([*kept, *new], key=lambda picture: picture.name)


def _splits_of(before: Dataset) -> dict[str, str | None]:
    """The split of each id; an id that is in several has none to keep."""
    splits: dict[str, str | None] = {}
    ambiguous = set()
    for image in before.images():
        if splits.setdefault(image.image_id, image.split) != image.split:
            ambiguous.add(image.image_id)
    return {image_id: split for image_id, split in splits.items() if image_id not in ambiguous}
