"""The kinds of things that may go: what of each there is, and how it is looked at once more and removed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from clipcap_cli.datasets.versions import version_folder
from clipcap_cli.storage.atomic import remove_folder, store_errors
from clipcap_cli.storage.downloads import DOWNLOAD
from clipcap_cli.storage.home import Home
from clipcap_cli.storage.leftovers import is_abandoned, leftovers
from clipcap_cli.storage.locks import hold, holder_of, is_held
from clipcap_cli.training.runs import Run, list_runs, run_lock
from clipcap_cli.upkeep.captioners import CHECKPOINTS, folders_in
from clipcap_cli.upkeep.data import dataset_names, versions_of
from clipcap_cli.upkeep.findings import size_of
from clipcap_cli.upkeep.references import evaluations_of_nobody, kept_pictures_of_nobody, stores_without_pictures, versions_in_use
from clipcap_cli.upkeep.verify import verify
from clipcap_cli.words import count

PRUNING = "prune"  # the lock of whoever prunes
_DAY_S = 86_400.0
_DOWNLOAD_DAYS = 7


@dataclass(frozen=True)
class Removal:
    """Something that may go.

    Attributes:
        kind: of `prune.PRUNED`.
        path: where it lies.
        why: it may go.
        size_bytes: what is free afterwards.
        act: looks once more and removes it; False if it is to stay after all.
    """

    kind: str
    path: Path
    why: str
    size_bytes: int
    act: Callable[[], bool] = field(compare=False, repr=False)


def find_leftovers(home: Home) -> Iterator[Removal]:
    """What killed processes left half written or half removed, and versions of datasets that they did not make current."""
    for path in leftovers(home.root):
        yield Removal("leftovers", path, "a process was killed while it wrote or removed this", size_of(path), partial(_remove_leftover, path))
    for path in sorted(home.root.rglob(f".*{DOWNLOAD}")):
        if time.time() - path.stat().st_mtime > _DOWNLOAD_DAYS * _DAY_S:
            why = f"a download broke off and was not gone on with for {_DOWNLOAD_DAYS} days"
            yield Removal("leftovers", path, why, size_of(path), partial(_remove_file, path))
    for name in dataset_names(home):
        current = versions_of(home, name)[-1]
        for folder in folders_in(home.datasets / name):
            if folder.name[1:].isdecimal() and int(folder.name[1:]) > current:
                why = f"a process was killed before this became the current version of {name}"
                yield Removal("leftovers", folder, why, size_of(folder), partial(_remove_version, home, name, folder))


def find_versions(home: Home) -> Iterator[Removal]:
    """Versions of datasets that are not the current one and that no run and no captioner was made with."""
    for name in dataset_names(home):
        used = versions_in_use(home, name)
        for number in versions_of(home, name):
            folder = version_folder(home.datasets / name, number)
            if number not in used:
                why = f"{name} is at v{max(used)}, and no run or captioner was made with v{number}"
                yield Removal("versions", folder, why, size_of(folder), partial(_remove_version, home, name, folder))


def find_images(home: Home) -> Iterator[Removal]:
    """Pictures that were taken into the store and that no version of a dataset names; not those of today, which somebody may be adding."""
    for path in kept_pictures_of_nobody(home):
        if _asked_for_s(path) > _DAY_S:
            yield Removal("images", path, "no version of a dataset has this picture", path.stat().st_size, partial(_remove_image, home, path))


def find_embeddings(home: Home) -> Iterator[Removal]:
    """Whole stores of embeddings of which no picture is in a dataset."""
    for folder in stores_without_pictures(home):
        why = "none of its pictures is in a dataset" if not folder.name.endswith("-text") else "no dataset has embeddings by this encoder"
        yield Removal("embeddings", folder, why, size_of(folder), partial(_remove_embeddings, home, folder))


def find_evaluations(home: Home) -> Iterator[Removal]:
    """Captions that were kept, of captioners that are not in the store any more."""
    for folder in evaluations_of_nobody(home):
        why = "the captioner that wrote them is not in the store any more"
        yield Removal("evaluations", folder, why, size_of(folder), partial(_remove_evaluation, home, folder))


def find_checkpoints(home: Home) -> Iterator[Removal]:
    """Checkpoints of runs that have finished: what their recipes wanted to be kept, and nobody goes on from."""
    for run in list_runs(home):
        folder = run.path / CHECKPOINTS
        many = len(folders_in(folder))
        if many and run.info.status == "finished":
            yield Removal(
                "checkpoints", folder, f"the run {run.name} has finished; {count(many, 'checkpoint')}", size_of(folder), partial(_remove_checkpoints, run)
            )


def find_logs(home: Home, days: float) -> Iterator[Removal]:
    """Logs that are older than so many days."""
    for path in sorted(home.logs.glob("*.log")):
        if path.exists() and time.time() - path.stat().st_mtime > days * _DAY_S:
            yield Removal("logs", path, f"it is older than {days:g} days", size_of(path), partial(_remove_file, path))


def find_holders(home: Home) -> Iterator[Removal]:
    """Notes about who holds a lock, by processes that are gone. The empty lock files stay: whoever waits for one has it open."""
    for path in sorted(home.locks.glob("*.holder")):
        if path.stem != PRUNING and holder_of(path.with_suffix(".lock")) is None and not is_held(home, path.stem):
            yield Removal("locks", path, "the process that wrote it is gone", size_of(path), partial(_remove_holder, home, path))


def find_damaged(home: Home) -> Iterator[Removal]:
    """What is damaged and can be made anew, or is needed by nothing: rows of embeddings, kept captions, checkpoints, old versions. All else stays."""
    for finding in verify(home, ("datasets", "embeddings", "runs", "evaluations")).findings:
        if finding.drop is not None and isinstance(finding.where, Path):
            yield Removal("damaged", finding.where, finding.what, finding.size_bytes, partial(_drop, finding.drop))


def _drop(drop: Callable[[], None]) -> bool:
    drop()
    return True


def _remove_leftover(path: Path) -> bool:
    if not is_abandoned(path):
        return False
    return _remove_file(path) if not path.is_dir() else _empty(path)


def _empty(folder: Path) -> bool:
    with store_errors(folder):
        shutil.rmtree(folder)
    return True


def _remove_file(path: Path) -> bool:
    with store_errors(path):
        path.unlink()
    return True


def _remove_version(home: Home, name: str, folder: Path) -> bool:
    with hold(home, f"dataset-{name}"):
        if int(folder.name[1:]) in versions_in_use(home, name):
            return False
        remove_folder(folder)
    return True


def _remove_image(home: Home, path: Path) -> bool:
    if _asked_for_s(path) <= _DAY_S:  # somebody asked for it meanwhile
        return False
    return _remove_file(path)


def _asked_for_s(path: Path) -> float:
    """Seconds since a picture was taken into the store, or asked for again (`keeping` marks that); a link has its file's own time of writing."""
    return time.time() - path.stat().st_ctime


def _remove_embeddings(home: Home, folder: Path) -> bool:
    with hold(home, f"embeddings-{folder.name}"):
        if folder not in stores_without_pictures(home):
            return False
        remove_folder(folder)
    return True


def _remove_evaluation(home: Home, folder: Path) -> bool:
    if folder not in evaluations_of_nobody(home):
        return False
    remove_folder(folder)
    return True


def _remove_checkpoints(run: Run) -> bool:
    with run_lock(run):
        if run.info.status != "finished":
            return False
        remove_folder(run.path / CHECKPOINTS)
    return True


def _remove_holder(home: Home, path: Path) -> bool:
    with hold(home, path.stem):  # which writes its own in its place, and removes it
        return True
