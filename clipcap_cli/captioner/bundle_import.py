"""A bundle from elsewhere becomes a model of the store: a folder, or the tar of one. Its files are checked against their hashes before it is there."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clipcap_cli.captioner.bundle import check_files
from clipcap_cli.captioner.manifest import CARD, MAPPER, NAME, ROOMS, Manifest, belongs, is_bundle, read_manifest
from clipcap_cli.captioner.tar import SUFFIX, extract_bundle
from clipcap_cli.errors import ClipcapError, InputError
from clipcap_cli.events import Listener, Note, silent
from clipcap_cli.storage.atomic import new_folder
from clipcap_cli.storage.home import Home
from clipcap_cli.storage.names import check_name, free_name, name_from

_BEST = "best"  # of a run's folder


def is_bundle_path(path: Path) -> bool:
    """Whether `path` is to be read as a bundle: a folder, or a tar."""
    return path.is_dir() or path.suffix == SUFFIX


def import_bundle(
    path: Path, home: Home, *, name: str | None = None, replace: bool = False, info: Mapping[str, Any] | None = None, events: Listener = silent
) -> str:
    """Make a model of the store of a bundle.

    Args:
        path: its folder, the folder of a run, or its tar.
        name: of the model; that of the folder or file if nothing is said.
        replace: take the place of a model of that name.
        info: facts about where it came from, kept with it.

    Returns:
        The name of the model.

    Raises:
        InputError: there is no bundle, or it holds what no bundle holds.
        StoreError: its files are not those that were written, or the store cannot be written.
    """
    target = name_for(name, path, home, replace)
    if name is None and target != usual_name(path):
        events(Note(f"there is a model {usual_name(path)!r} already, so this one is {target!r} (--replace takes its place)"))
    with new_folder(home.prepare().models / target, replace=replace) as part:
        try:
            if path.suffix == SUFFIX and not path.is_dir():
                extract_bundle(path, part)
            else:
                _copy(path if is_bundle(path) else path / _BEST if is_bundle(path / _BEST) else path, part)
            manifest = read_manifest(part)
            check_listed(manifest, part)
            check_files(part, manifest)
        except ClipcapError as error:  # what is wrong is wrong where it came from
            error.where = str(path) if error.where and error.where.startswith(str(part)) else error.where
            raise
        if info:
            changed = manifest.model_copy(update={"info": {**manifest.info, **info}})
            (part / NAME).write_text(changed.to_json(), encoding="utf-8")
    return target


def check_listed(manifest: Manifest, where: Path) -> None:
    """Whether captioner.json lists nothing but what belongs to a bundle.

    Raises:
        InputError: it lists a pickle, code, or a path that leads elsewhere.
    """
    strange = [path for path in manifest.files if not belongs(path) or path in (NAME, CARD)]
    if strange:
        raise InputError(f"{NAME} lists {strange[0]!r}, which no captioner has", where=str(where), hint="Bring back the bundle as it was made.")


def usual_name(path: Path) -> str:
    """The name that a model made of the file or folder `path` has, if nothing is said and it is free."""
    return name_from(path.resolve().name if path.is_dir() else path.stem)


def name_for(name: str | None, path: Path, home: Home, replace: bool) -> str:
    """The name of the model that is made of `path`.

    Raises:
        InputError: it cannot be a name, or is taken.
    """
    if name is None:
        return free_name(home.models, usual_name(path)) if not replace else usual_name(path)
    check_name(name, "model")
    if (home.models / name).exists() and not replace:
        raise InputError(f"there is a model {name!r} already", hint=f"Add --replace, or --name {free_name(home.models, name)}.")
    return name


def _copy(folder: Path, to: Path) -> None:
    """Copy what belongs to a bundle; what else lies in its rooms is an error, and what lies beside them is none of ours."""
    read_manifest(folder)
    for path in [folder / NAME, folder / MAPPER, *(path for room in ROOMS for path in (folder / room).rglob("*"))]:
        place = path.relative_to(folder).as_posix()
        if not path.is_file():
            continue
        if not belongs(place):
            raise InputError(f"it has {place!r}, which no captioner has", where=str(folder), hint="Bring the bundle as it was made.")
        (to / place).parent.mkdir(exist_ok=True)
        shutil.copyfile(path, to / place)
    if (folder / CARD).is_file():
        shutil.copyfile(folder / CARD, to / CARD)
