"""Captioners in the store: bundles in models/NAME, the best of each run in runs/NAME/best, and models/default, the name of the one in use. Imports no torch."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from clipcap_cli.captioner.manifest import NAME, Manifest, is_bundle, read_manifest
from clipcap_cli.captioner.published import PUBLISHED
from clipcap_cli.errors import ClipcapError, InputError, MissingError, StoreError
from clipcap_cli.storage.atomic import remove_folder, store_errors, write_text
from clipcap_cli.storage.home import Home
from clipcap_cli.storage.locks import hold
from clipcap_cli.storage.names import is_name, named_within, unknown
from clipcap_cli.storage.reading import read_small

_DEFAULT = "default"
_BEST = "best"
_LONGEST = 200  # bytes of the name of the model in use
_LOCK = "models"
_WAIT_S = 10.0  # for another process that chooses or removes one: it takes an instant
_CLOCKS_DIFFER_S = 60.0  # between this machine and one that serves its files

Kind = Literal["model", "run", "bundle"]


@dataclass(frozen=True)
class Found:
    """A captioner that was meant; `why` completes "it is taken because …"."""

    path: Path
    kind: Kind
    name: str
    why: str


@dataclass(frozen=True)
class ModelInfo:
    """A line of the list of captioners; `manifest` is None and `problem` says why where captioner.json cannot be read."""

    name: str
    kind: Kind
    path: Path
    in_use: bool
    size_bytes: int
    manifest: Manifest | None
    problem: str | None


def list_models(home: Home) -> list[ModelInfo]:
    """Every captioner of the store: models first, then what runs made, each by name."""
    used = model_in_use(home)
    models, runs = _models(home), _runs(home)
    found = [_info(name, "model", path, name == used) for name, path in models.items()]
    return found + [_info(name, "run", path, name == used and name not in models) for name, path in runs.items()]


def model_in_use(home: Home) -> str | None:
    """The name that `caption` takes when none is given; None if none was chosen.

    Raises:
        StoreError: what was chosen cannot be read.
    """
    path = home.models / _DEFAULT
    try:
        return read_small(path, _LONGEST).strip() or None
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"the name of the model in use cannot be read ({error})", where=str(path), hint="Choose one with `clipcap model use NAME`.") from error


def use_model(home: Home, name: str) -> None:
    """Make a model or a run's captioner the one in use.

    Raises:
        InputError: there is none of that name.
    """
    if name not in _models(home) and name not in _runs(home):
        raise _unknown(name, home)
    with hold(home, _LOCK, wait_s=_WAIT_S):
        write_text(home.models / _DEFAULT, name + "\n")


def remove_model(home: Home, name: str) -> None:
    """Remove a model from the store. If it was in use, none is afterwards.

    Raises:
        InputError: there is none of that name, or it belongs to a run.
    """
    if name not in _models(home):
        if name in _runs(home):
            raise InputError(f"{name!r} is the captioner of a run, and goes with it", hint=f"`clipcap runs remove {name}` removes the run.")
        raise _unknown(name, home)
    with hold(home, _LOCK, wait_s=_WAIT_S):
        remove_folder(home.models / name)
        if model_in_use(home) == name:
            with store_errors(home.models):
                (home.models / _DEFAULT).unlink()


def find_captioner(name: str | None, home: Home) -> Found:
    """The captioner that is meant.

    Args:
        name: a model, a run (`runs/NAME` too), or a folder with a bundle in it; None for the model in use, else the newest run's.

    Raises:
        InputError: there is none.
        MissingError: it is one that was published, and was not brought yet.
    """
    if name is None:
        return _find_default(home)
    for kind, known in (("model", _models(home)), ("run", _runs(home))):
        if name in known:
            return Found(known[name], "model" if kind == "model" else "run", name, f"it is the {kind} of that name")
    folder = Path(name).expanduser()
    for path in (folder, folder / _BEST):
        if is_bundle(path):
            return Found(path, "bundle", name, "it is the bundle in that folder")
    inside = named_within(home.runs, name)
    if inside in _runs(home):
        return Found(_runs(home)[inside], "run", inside, "it is the run of that name")
    if folder.is_dir():
        raise InputError(f"no captioner is in the folder {name!r}: it has no {NAME}", hint="`clipcap model list` lists yours.")
    if folder.is_file():
        raise InputError(f"a captioner is a folder, and {name!r} is a file", hint=f"Bring it into the store first: clipcap model import {name}")
    if is_name(name) and (home.runs / name).is_dir():
        raise InputError(f"the run {name!r} has no captioner yet", hint=f"`clipcap runs show {name}` tells how far it is.")
    raise _unknown(name, home)


def _find_default(home: Home) -> Found:
    used = model_in_use(home)
    models, runs = _models(home), _runs(home)
    if used is not None and used in models:
        return Found(models[used], "model", used, "it is the model in use")
    if used is not None and used in runs:
        return Found(runs[used], "run", used, "it is the model in use")
    if used is not None:
        raise InputError(
            f"the model in use, {used!r}, is not there any more", where=str(home.models / _DEFAULT), hint="Choose another with `clipcap model use NAME`."
        )
    if runs:
        written = {run: (path / NAME).stat().st_mtime for run, path in runs.items()}
        newest = max(written, key=written.__getitem__)
        doubt = " by the times of the files; the clock has been set back since" if written[newest] > time.time() + _CLOCKS_DIFFER_S else ""
        return Found(runs[newest], "run", newest, f"it is the newest run's{doubt}")
    if len(models) == 1:
        only = next(iter(models))
        return Found(models[only], "model", only, "it is the only one")
    if models:
        raise InputError("no model is in use", hint=f"Choose one with `clipcap model use NAME`: {', '.join(models)}.")
    raise InputError("there is no captioner yet", hint="Train one with `clipcap train quickstart`, or name a bundle's folder with --model.")


def _models(home: Home) -> dict[str, Path]:
    return {path.name: path for path in _folders(home.models) if is_bundle(path)}


def _runs(home: Home) -> dict[str, Path]:
    return {path.name: path / _BEST for path in _folders(home.runs) if is_bundle(path / _BEST)}


def _folders(room: Path) -> list[Path]:
    return sorted(path for path in room.iterdir() if path.is_dir() and not path.name.startswith(".")) if room.is_dir() else []


def _info(name: str, kind: Kind, path: Path, in_use: bool) -> ModelInfo:
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    try:
        return ModelInfo(name, kind, path, in_use, size, read_manifest(path), None)
    except ClipcapError as error:
        return ModelInfo(name, kind, path, in_use, size, None, error.message)


def _unknown(name: str, home: Home) -> ClipcapError:
    if name in PUBLISHED:
        return MissingError(f"the published checkpoint {name!r} is not here yet", hint=f"clipcap model pull {name} ({PUBLISHED[name].size})")
    return unknown("model or run", name, {**_models(home), **_runs(home)}, listing="clipcap model list")
