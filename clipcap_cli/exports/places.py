"""Where an export goes: what may be written over, and how it gets there whole or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from clipcap_cli.captioner.manifest import CARD, LIMIT, NAME
from clipcap_cli.captioner.original import read_checkpoint
from clipcap_cli.captioner.tar import SUFFIX, listing, write_tar
from clipcap_cli.errors import ClipcapError, InputError
from clipcap_cli.storage.atomic import new_folder, replacing
from clipcap_cli.storage.home import Home
from clipcap_cli.storage.leftovers import part_path
from clipcap_cli.storage.names import name_from

Fill = Callable[[Path], None]


def check_place(output: Path, *, folder: bool, overwrite: bool, home: Home) -> None:
    """Whether an export may be put at `output`, before anything is made.

    Args:
        folder: it will be a folder, not a file.
        overwrite: an earlier export may be replaced.

    Raises:
        InputError: something is there that is no earlier export, or the place is inside a file or the store.
    """
    where = str(output)
    above = next(path for path in output.absolute().parents if path.exists())
    if not above.is_dir():
        raise InputError(f"{above} is a file, and nothing can be put into it", where=where, hint="Choose another place with --output.")
    if any(room in output.resolve().parents for room in (home.models, home.runs, home.datasets, home.embeddings, home.evaluations, home.weights)):
        raise InputError(
            "this place is inside clipcap's own store", where=where, hint="Choose another with --output; `clipcap model import` puts a bundle there."
        )
    if not (output.exists() or output.is_symlink()) or (folder and output.is_dir() and not any(output.iterdir())):
        return
    if not overwrite:
        raise InputError("something is there already", where=where, hint="Choose another place with --output; --overwrite replaces an earlier export.")
    if output.is_symlink() or not (_is_exported_folder(output) if folder else _is_exported_file(output)):
        raise InputError("what is there is no earlier export of this kind, and is left as it is", where=where, hint="Choose another place with --output.")


def put_folder(output: Path, fill: Fill) -> None:
    """Make the folder `output`, in the place of an earlier export.

    Raises:
        StoreError: it cannot be written; what was there is as it was.
    """
    with new_folder(output, replace=True) as part:
        fill(part)


def put_tar(output: Path, fill: Fill) -> None:
    """Make the file `output`, a tar of the folder that `fill` fills. The folder in it has the name of the tar, so that two can be unpacked in one place.

    Raises:
        StoreError: it cannot be written; what was there is as it was.
    """
    with replacing(output) as part:
        scratch = part_path(output)
        scratch.mkdir()
        try:
            fill(scratch)
            write_tar(scratch, part, name=name_from(output.name.removesuffix(SUFFIX)))
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _is_exported_folder(path: Path) -> bool:
    there = {file.relative_to(path).as_posix() for file in path.rglob("*") if not file.is_dir() or file.is_symlink()}
    return (path / NAME).is_file() and (path / NAME).stat().st_size <= LIMIT and _is_all_listed(there, (path / NAME).read_bytes())


def _is_exported_file(path: Path) -> bool:
    if not path.is_file():
        return False
    if path.suffix == SUFFIX:
        return _is_all_listed(*listing(path))
    try:
        return read_checkpoint(path).language_model is not None
    except ClipcapError:
        return False


def _is_all_listed(there: set[str], manifest: bytes) -> bool:
    """Whether these files are those that a captioner.json lists, and nothing else."""
    try:
        return there <= {*json.loads(manifest)["files"].keys(), NAME, CARD}
    except (ValueError, KeyError, TypeError, AttributeError):
        return False
