"""Whether the versions of datasets are whole, and what makes good one that is not."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from clipcap_cli.datasets.checking import check_version
from clipcap_cli.datasets.versions import DATASET_FILE, read_json, version_folder
from clipcap_cli.errors import ClipcapError, StoreError
from clipcap_cli.storage.atomic import remove_folder
from clipcap_cli.storage.home import Home
from clipcap_cli.storage.locks import hold
from clipcap_cli.upkeep.data import dataset_names, line_for, versions_of
from clipcap_cli.upkeep.findings import Finding, Looked, Read, size_of
from clipcap_cli.upkeep.references import versions_in_use


def look_at_datasets(home: Home, looked: Looked, read: Read) -> None:
    """Every version of every dataset."""
    for name in dataset_names(home):
        try:
            versions = versions_of(home, name)
        except StoreError as error:
            _add(home, looked, name, error, "Bring back the file, or remove the dataset and add it again")
            continue
        for number in versions:
            looked.things += 1
            problems = check_version(version_folder(home.datasets / name, number), read)
            for problem in problems:
                if number == versions[-1]:
                    _add(home, looked, name, problem, _adding_again(home, name))
                else:
                    _add_old(home, looked, name, number, problem)


def _add(home: Home, looked: Looked, name: str, error: StoreError, remedy: str) -> None:
    if (home.datasets / name).is_dir():  # else it was removed meanwhile
        looked.add(Finding("datasets", name, Path(error.where or home.datasets / name), error.message, remedy))


def _add_old(home: Home, looked: Looked, name: str, number: int, error: StoreError) -> None:
    """A damaged version that is not the current one is removed if nothing was made with it."""
    folder = version_folder(home.datasets / name, number)
    if _is_in_use(home, name, number):
        remedy = "Restore the file. A run, a captioner or the current version was made with this one; without it they work, but cannot be made again"
        _add(home, looked, name, error, remedy)
    elif folder.is_dir():
        where = Path(error.where or folder)
        drop = partial(_remove, home, name, number)
        looked.add(Finding("datasets", name, where, error.message, "clipcap cache prune damaged", drop, size_of(folder)))


def _is_in_use(home: Home, name: str, number: int) -> bool:
    """Whether something was made with a version; in doubt it was."""
    try:
        return number in versions_in_use(home, name)
    except ClipcapError:
        return True


def _remove(home: Home, name: str, number: int) -> None:
    with hold(home, f"dataset-{name}"):
        if not _is_in_use(home, name, number):
            remove_folder(version_folder(home.datasets / name, number))


def _adding_again(home: Home, name: str) -> str:
    """A new version in the place of the damaged one; the versions before stay."""
    try:
        source = str(read_json(home.datasets / name / DATASET_FILE)["source"])
    except (StoreError, KeyError):
        source = "SOURCE"
    line = line_for(name, source)
    return line if line.endswith("--replace") else f"{line} --replace"
