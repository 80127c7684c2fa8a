"""Which layout a source has, and, if it has none, what it has instead and what to do."""

from __future__ import annotations

import posixpath
from pathlib import Path

from clipcap_cli.datasets.folders import Folder, is_picture_name, scan, what_it_holds
from clipcap_cli.datasets.readers.captions_table import table_files
from clipcap_cli.datasets.readers.metadata import metadata_head
from clipcap_cli.datasets.readers.registry import known_readers
from clipcap_cli.datasets.records import Evidence, Reader, ReaderOptions
from clipcap_cli.datasets.tables import missing_columns, read_head
from clipcap_cli.errors import InputError
from clipcap_cli.storage.names import nearest
from clipcap_cli.storage.reading import check_plain
from clipcap_cli.words import count

_LOOKED_FOR = "Looked for Flickr8k.token.txt, metadata.csv or metadata.jsonl, a captions table (CSV or TSV), and a .txt beside each picture."
_HOW_TO = "Lay a .txt beside each picture (one caption a line), or a captions.csv with the header 'image,caption' into the folder."
REMOTE = "hf:"  # how the address of a dataset of the hub begins
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")


def detect(source: Path, options: ReaderOptions) -> tuple[Reader, Evidence]:
    """The reader for `source`, and why it was chosen.

    Raises:
        InputError: there is no such folder or file, or no reader knows its layout.
    """
    try:
        if not source.exists():
            raise _not_there(source)
        if not source.is_dir():
            check_plain(source)
    except OSError as error:
        raise InputError(f"this cannot be read: {error.strerror}", where=str(source)) from error
    for reader in known_readers():
        evidence = reader.detect(source, options)
        if evidence is not None:
            return reader, evidence
    raise _unknown_folder(source, options) if source.is_dir() else _unknown_file(source, options)


def _not_there(source: Path) -> InputError:
    parent = source.parent
    meant = nearest(source.name, [path.name for path in parent.iterdir()]) if parent.is_dir() else None
    hint = f"Did you mean {parent / meant}?" if meant else "Name a folder of pictures with captions, or a captions table."
    return InputError("there is no such folder or file", where=str(source), hint=hint)


def _unknown_file(source: Path, options: ReaderOptions) -> InputError:
    if source.suffix.lower() in _ARCHIVES:
        return InputError("this is an archive", where=str(source), hint="Unpack it, then add the folder.")
    if is_picture_name(source.name):
        return InputError("this is one picture, not a folder of them", where=str(source), hint=_HOW_TO)
    return _near_miss([source], options) or InputError(
        f"this file ({source.suffix or 'without an ending'}) is not a captions table",
        where=str(source),
        hint="Name a CSV or TSV file, a data pickle (.pkl) of the original code, or a folder; checkpoints (.pt) are taken by `clipcap model import`.",
    )


def _unknown_folder(source: Path, options: ReaderOptions) -> InputError:
    folder = scan(source)
    if not folder.files:
        return InputError("this folder is empty", where=str(source), hint=_HOW_TO)
    if miss := _near_miss([*table_files(source), *source.glob("metadata.jsonl")], options):
        return miss
    if not folder.pictures:
        archives = any(name.lower().endswith(_ARCHIVES) for name in folder.files)
        hint = "Unpack the archive, then add the folder." if archives else f"{_LOOKED_FOR} {_HOW_TO}"
        return InputError(f"there are no pictures in this folder: it holds {what_it_holds(folder.files)}", where=str(source), hint=hint)
    return _without_captions(folder)


def _near_miss(tables: list[Path], options: ReaderOptions) -> InputError | None:
    """A table that would do if its columns had other names."""
    for path in tables:
        try:
            head = metadata_head(path, options) if path.suffix.lower() == ".jsonl" else read_head(path, options)
        except InputError as error:
            return error
        if head is not None and len(head.header) > 1:
            return missing_columns(head, options)
    return None


def _without_captions(folder: Folder) -> InputError:
    pictures = count(len(folder.pictures), "picture")
    parents = sorted({posixpath.dirname(name) for name in folder.pictures})
    if len(parents) > 1 and "" not in parents:
        classes = ", ".join(parents[:5]) + (" …" if len(parents) > 5 else "")
        return InputError(
            f"there are {pictures} in {len(parents)} subfolders ({classes}) and no captions; if these are classes, their names are not yet sentences",
            where=str(folder.root),
            hint=f"{_HOW_TO} {_LOOKED_FOR}",
        )
    others = tuple(name for name in folder.files if not is_picture_name(name))
    held = f"; else it holds {what_it_holds(others)}" if others else ""
    return InputError(f"there are {pictures} in this folder and no captions{held}", where=str(folder.root), hint=f"{_HOW_TO} {_LOOKED_FOR}")
