"""Whether what captioners are made of is whole: datasets, the pictures they name, embeddings, weights."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path

from clipcap_cli.datasets.changes.merging import MERGED
from clipcap_cli.datasets.dataset import Dataset, open_dataset
from clipcap_cli.datasets.pictures import read_picture
from clipcap_cli.datasets.places import by_engine
from clipcap_cli.datasets.versions import DATASET_FILE, damaged, read_json, version_folder
from clipcap_cli.embeddings.checking import Group, StoreFacts, check_store, drop_rows, facts_of, store_folders
from clipcap_cli.embeddings.index import DamagedError
from clipcap_cli.encoders.openai_models import OPENAI_MODELS, own_file
from clipcap_cli.errors import ClipcapError
from clipcap_cli.storage import reading
from clipcap_cli.storage.atomic import remove_folder
from clipcap_cli.storage.hashing import image_id_of, sha256_quietly
from clipcap_cli.storage.home import Home
from clipcap_cli.storage.locks import hold
from clipcap_cli.upkeep.findings import Finding, Looked, Read, size_of

_DROP = "clipcap cache prune damaged"
_NAMED_AT_MOST = 3  # datasets in a remedy


def dataset_names(home: Home) -> list[str]:
    """The names of all datasets, whole or not."""
    room = home.datasets
    return sorted(path.name for path in room.iterdir() if path.is_dir() and not path.name.startswith(".")) if room.is_dir() else []


def versions_of(home: Home, name: str) -> list[int]:
    """The versions of a dataset that are there; those above the current one are what a killed process left.

    Raises:
        StoreError: dataset.json is damaged.
    """
    path = home.datasets / name / DATASET_FILE
    current = read_json(path).get("current")
    if not isinstance(current, int) or current < 1:
        raise damaged(path, "it does not say which version is the current one")
    return [number for number in range(1, current + 1) if number == current or version_folder(path.parent, number).is_dir()]


def look_at_pictures(home: Home, looked: Looked, read: Read) -> None:
    """The pictures themselves, where they lie: those of every dataset's current version."""
    for name in dataset_names(home):
        try:
            images = open_dataset(name, home=home).images()
        except ClipcapError:  # `look_at_datasets` tells
            continue
        for image in images:
            if image.path is None:
                continue
            looked.things += 1
            try:
                data = read_picture(image.path)
                what = None if image_id_of(data) == image.image_id else "this picture has changed since it was added"
                read(len(data))
            except OSError as error:
                what = f"this picture cannot be read ({error.strerror or error})"
            if what:
                looked.add(Finding("pictures", name, image.path, what, f"Put the old picture back, or {_adding(home, name)}"))


def _adding(home: Home, name: str) -> str:
    return line_for(name, str(open_dataset(name, home=home).source))


def line_for(name: str, source: str) -> str:
    """The line that makes a dataset from its source."""
    if source.startswith(MERGED):
        return f"clipcap dataset merge {source.removeprefix(MERGED).replace(',', ' ')} --name {name} --replace"
    return f"clipcap dataset add {shlex.quote(source)} --name {name}{by_engine(source)}"


def look_at_images(home: Home, looked: Looked, read: Read) -> None:
    """Pictures that were taken into the store: each is named by its bytes."""
    for path in sorted(home.images.glob("??/*")):
        if path.name.startswith(".") or not path.is_file():
            continue
        looked.things += 1
        try:
            data = read_picture(path)
            read(len(data))
            what = None if image_id_of(data) == path.stem else "this picture is not as it was when it was taken into the store"
        except OSError as error:
            what = f"this picture cannot be read ({error.strerror or error})"
        if what:
            of = [name for name in dataset_names(home) if path.stem in ids_of(home, name)]
            remedy = " && ".join(_adding(home, name) for name in of[:_NAMED_AT_MOST]) or f"rm {shlex.quote(str(path))}: no dataset has it"
            looked.add(Finding("images", path.stem, path, what, remedy))


def look_at_embeddings(home: Home, looked: Looked, read: Read) -> None:
    """Every row of every store."""
    for folder in store_folders(home):
        looked.things += 1
        try:
            facts, checked = facts_of(folder), check_store(folder, read)
        except DamagedError as error:
            if folder.is_dir():
                remedy = f"{_DROP} && clipcap embed DATASET --encoder SPEC"
                where, drop = Path(error.where or folder), partial(_remove_store, home, folder)
                looked.add(Finding("embeddings", folder.name, where, error.message, remedy, drop, size_of(folder)))
            continue
        looked.without_checksums += checked.without
        for group in checked.damaged if folder.is_dir() else ():
            what = f"rows {group.first_row:,} to {group.first_row + group.rows - 1:,}: {group.reason}"
            drop = partial(drop_rows, home, folder, [group])
            size = group.rows * facts.embedding_size * 2
            looked.add(Finding("embeddings", folder.name, folder, what, f"{_DROP} && {_embedding_again(home, facts, group)}", drop, size))


def _remove_store(home: Home, folder: Path) -> None:
    with hold(home, f"embeddings-{folder.name}"):
        if folder.is_dir():
            remove_folder(folder)


def _embedding_again(home: Home, facts: StoreFacts, group: Group) -> str:
    if facts.of_texts:
        return "clipcap eval makes them anew"
    lost = set(group.ids)
    names = [name for name in dataset_names(home) if lost & ids_of(home, name)]
    lines = [f"clipcap embed {name} --encoder {facts.spec}" for name in names[:_NAMED_AT_MOST]]
    return " && ".join(lines) if lines else "no dataset has these pictures any more"


def ids_of(home: Home, name: str) -> set[str]:
    """The ids of all pictures of a dataset, in all its versions that can be read."""
    found: set[str] = set()
    try:
        for number in versions_of(home, name):
            dataset: Dataset = open_dataset(name, home=home, version=number)
            found |= {image_id.decode() for image_id in dataset.image_ids()}
    except ClipcapError:
        return found
    return found


def look_at_weights(home: Home, looked: Looked, read: Read) -> None:
    """Downloaded weights whose hash is published, and files whose hash was remembered and that were not touched since."""
    known = {own_file(model, home): model.sha256 for model in OPENAI_MODELS.values()}
    expected = {path: sha256 for path, sha256 in known.items() if path.is_file()} | _remembered(home)
    for path, sha256 in sorted(expected.items()):
        looked.things += 1
        try:
            whole = sha256_quietly(path, read) == sha256
            what = "" if whole else "the file is not as it was"
        except OSError as error:
            what = f"the file cannot be read ({error.strerror or error})"
        if what:
            own = path.is_relative_to(home.weights)
            remedy = f"rm {shlex.quote(str(path))}: it is downloaded again when it is needed" if own else "Bring the file again"
            looked.add(Finding("weights", path.name, path, what, remedy))


def _remembered(home: Home) -> dict[Path, str]:
    """The files whose SHA-256 is in hashes.json and that have the size and time that they had then."""
    try:
        entries = reading.read_json(home.weights / "hashes.json")
        return {Path(name): str(entry["sha256"]) for name, entry in entries.items() if _is_untouched(Path(name), entry)}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _is_untouched(path: Path, entry: dict[str, object]) -> bool:
    try:
        stat = path.stat()
    except OSError:
        return False
    return (entry["size"], entry["mtime_ns"]) == (stat.st_size, stat.st_mtime_ns)
