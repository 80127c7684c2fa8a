"""What of the store is referred to by something else: versions of datasets by runs and models, embeddings by datasets, kept captions by captioners."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clipcap_cli.captioner.manifest import is_bundle, read_manifest
from clipcap_cli.datasets.dataset import open_dataset
from clipcap_cli.embeddings.checking import facts_of, ids_in, store_folders
from clipcap_cli.evaluation.kept import FACTS
from clipcap_cli.storage.home import Home
from clipcap_cli.storage.reading import read_json
from clipcap_cli.training.runs import list_runs
from clipcap_cli.training.sweeps import list_sweeps, open_sweep
from clipcap_cli.upkeep.captioners import CHECKPOINTS, folders_in
from clipcap_cli.upkeep.data import dataset_names, versions_of


def versions_in_use(home: Home, name: str) -> set[int]:
    """The versions of a dataset that a run, a sweep or a captioner was made with, and the current one.

    Raises:
        ClipcapError: something that may refer to one cannot be read.
    """
    current = open_dataset(name, home=home)
    used = {current.version, *(current.added_in if current.is_changed else ())}  # adding again asks what was in these
    for run in list_runs(home):
        info = run.info
        if info.dataset == name:
            used.add(info.dataset_version)
    for sweep in (open_sweep(it, home) for it in list_sweeps(home)):
        if sweep.dataset_version is not None and any(trial.recipe.dataset.name == name for trial in sweep.trials.values()):
            used.add(sweep.dataset_version)
    for folder in bundles(home):
        made_with = read_manifest(folder).info.get("dataset")
        if isinstance(made_with, dict) and made_with.get("name") == name and isinstance(made_with.get("version"), int):
            used.add(made_with["version"])
    return used


def kept_pictures_of_nobody(home: Home) -> list[Path]:
    """Pictures in the store that no version of any dataset names.

    Raises:
        ClipcapError: a dataset cannot be read, so that nobody knows.
    """
    named = {
        picture.path
        for name in dataset_names(home)
        for version in versions_of(home, name)
        for picture in open_dataset(name, home=home, version=version).entries()
    }
    found = sorted(path for path in home.images.glob("??/*") if not path.name.startswith(".") and path.is_file())
    return [path for path in found if path.relative_to(home.root).as_posix() not in named]


def stores_without_pictures(home: Home, folders: list[Path] | None = None) -> list[Path]:
    """Stores of embeddings of which no picture is in any dataset; and those of texts, where the pictures' store of the same encoder is such, or gone.

    Args:
        folders: only these are asked about; all if nothing is said.

    Raises:
        ClipcapError: a dataset or a store cannot be read, so that nobody knows.
    """
    known: set[str] = set()
    for name in dataset_names(home):
        for version in versions_of(home, name):
            known |= {image_id.decode() for image_id in open_dataset(name, home=home, version=version).image_ids()}
    facts = [facts_of(folder) for folder in store_folders(home)]
    needed = {of.fingerprint for of in facts if not of.of_texts and not known.isdisjoint(ids_in(of.folder))}
    asked = [of for of in facts if folders is None or of.folder in folders]
    return [of.folder for of in asked if (of.fingerprint not in needed if of.of_texts else known.isdisjoint(ids_in(of.folder)))]


def evaluations_of_nobody(home: Home) -> list[Path]:
    """Kept captions whose captioner is not in the store any more.

    Raises:
        ClipcapError: a captioner cannot be read, so that nobody knows what is its.
    """
    here = {_identity(read_manifest(folder).model_dump(mode="json")) for folder in bundles(home)}
    return [folder for folder in folders_in(home.evaluations) if _writer(folder) not in here]


def bundles(home: Home) -> Iterator[Path]:
    """The folders of all captioners: models, and the best, last and checkpoints of runs."""
    candidates = folders_in(home.models)
    for run in folders_in(home.runs):
        candidates += [run / "best", run / "last", *folders_in(run / CHECKPOINTS)]
    yield from (folder for folder in candidates if is_bundle(folder))


def _writer(folder: Path) -> str | None:
    """Which captioner wrote what is kept in a folder; None if that cannot be read."""
    try:
        return _identity(read_json(folder / FACTS)["captioner"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _identity(manifest: dict[str, Any]) -> str:
    """What tells captioners apart: the hashes of their own files, and of the language model that they refer to."""
    return json.dumps([manifest["files"], manifest["language_model"]["content"]], sort_keys=True)
