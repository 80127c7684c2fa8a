"""One dataset of several: a picture that is in more than one is there once, with all its captions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from clipcap_cli.datasets.dataset import Dataset, open_dataset
from clipcap_cli.datasets.manifest import Manifest, Provenance, read_manifest
from clipcap_cli.datasets.records import Problem
from clipcap_cli.datasets.versioning import Contents, changing, put_version
from clipcap_cli.datasets.versions import Picture
from clipcap_cli.errors import InputError
from clipcap_cli.events import Listener, silent
from clipcap_cli.storage.home import Home
from clipcap_cli.storage.names import check_name
from clipcap_cli.words import count

MERGED = "merged:"  # how the source of a merged dataset begins


def merge_datasets(datasets: Sequence[Dataset], name: str, home: Home, *, replace_it: bool = False, events: Listener = silent) -> Dataset:
    """Make a dataset of several.

    Splits are kept; a picture that is in two keeps the split of the first one that names it. Where two have pictures of one name, names begin with that of
    their dataset.

    Args:
        replace_it: a dataset of this name gets a new version.

    Raises:
        InputError: fewer than two, one twice, or the name is taken.
        StoreError: one of them is damaged, or the store cannot be written.
    """
    check_name(name, "dataset")
    if len(datasets) < 2 or len({dataset.name for dataset in datasets}) < len(datasets):
        raise InputError("merging takes two datasets or more, each once", hint="clipcap dataset merge A B --name C")
    with changing(home, name, events):
        taken = (home.datasets / name).exists()
        if taken and not replace_it:
            raise InputError(f"there is a dataset {name!r} already", where="--name", hint="Choose another name, or add --replace for a new version of it.")
        current = read_manifest(home.datasets / name).current + 1 if taken else 1
        pictures, problems = _joined(datasets)
        parts = ",".join(f"{dataset.name}@{dataset.version}" for dataset in datasets)
        manifest = Manifest(name, f"{MERGED}{parts}", "in-place", current, _provenance(datasets))
        reason = " and ".join(f"{dataset.name} v{dataset.version} ({count(dataset.pictures, 'picture')})" for dataset in datasets)
        contents = Contents(pictures, problems, "merge", reason, splits_by="source")
        if taken and open_dataset(name, home=home).digest == contents.digest:
            return open_dataset(name, home=home)
        return put_version(home, manifest, contents)


def _joined(datasets: Sequence[Dataset]) -> tuple[list[Picture], list[Problem]]:
    names = Counter(picture.name for dataset in datasets for picture in dataset.entries())
    found: dict[str, Picture] = {}
    problems: list[Problem] = []
    for dataset in datasets:
        here: set[str] = set()  # two files of one picture within one dataset stay two
        for picture in dataset.entries():
            name = f"{dataset.name}/{picture.name}" if names[picture.name] > 1 else picture.name
            before = found.get(picture.image_id)
            if before is None or picture.image_id in here:
                key = picture.image_id if before is None else f"{picture.image_id} {dataset.name} {picture.name}"
                found[key] = replace(picture, name=name)
                here.add(picture.image_id)
                continue
            if picture.split and before.split and picture.split != before.split:
                message = f"this picture is in {picture.split} of {dataset.name}, and in {before.split} before; it stays in {before.split}"
                problems.append(Problem("split-conflict", "warning", name, message, "Check with `clipcap dataset check`, and split again if it leaks."))
            new = tuple(caption for caption in picture.captions if caption not in before.captions)
            found[picture.image_id] = replace(before, captions=before.captions + new, split=before.split or picture.split)
    return sorted(found.values(), key=lambda picture: picture.name), problems


def _provenance(datasets: Sequence[Dataset]) -> Provenance:
    """What is said of the parts, one after another; nothing where one of them has no licence, since the whole has none then."""
    of = [(dataset.name, dataset.manifest.provenance) for dataset in datasets]

    def together(values: list[tuple[str, str | None]]) -> str | None:
        there = [(name, value) for name, value in values if value]
        if len({value for _, value in there}) == 1 and len(there) == len(values):
            return there[0][1]
        return "; ".join(f"{name}: {value}" for name, value in there) or None

    licence = together([(name, it.licence) for name, it in of]) if all(it.licence for _, it in of) else None
    return Provenance(licence, together([(name, it.source) for name, it in of]), together([(name, it.citation) for name, it in of]))
