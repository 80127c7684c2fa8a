"""Which layout a source has, and, if it has none, what it has instead and what to do."""

from __future__ import annotations

from pathlib import Path

from clipcap_cli.datasets.files.folders import Folder, is_picture_name, pictures_of, scan, what_it_holds
from clipcap_cli.datasets.readers.class_folders import classes, in_short
from clipcap_cli.datasets.readers.coco import refusal
from clipcap_cli.datasets.readers.hub_dataset import HubDataset, is_remote
from clipcap_cli.datasets.readers.registry import known_readers
from clipcap_cli.datasets.records import Evidence, Reader, ReaderOptions, ignore
from clipcap_cli.datasets.tables.addresses import are_addresses, to_be_fetched
from clipcap_cli.datasets.tables.columns import find_columns, missing_columns
from clipcap_cli.datasets.tables.delimited import read_rows
from clipcap_cli.datasets.tables.table_files import open_table, parquet_files, table_files
from clipcap_cli.errors import InputError
from clipcap_cli.storage.names import nearest
from clipcap_cli.storage.reading import check_plain
from clipcap_cli.words import count

_LOOKED_FOR = (
    "Looked for COCO's captions_*.json, Flickr8k.token.txt, metadata.csv or metadata.jsonl, a captions table (CSV, TSV, JSON, Parquet), "
    "and a .txt beside each picture."
)
_HOW_TO = "Lay a .txt beside each picture (one caption a line), or a captions.csv with the header 'image,caption' into the folder."
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")


def detect(source: Path, options: ReaderOptions) -> tuple[Reader, Evidence]:
    """The reader for `source`, and why it was chosen.

    Raises:
        InputError: there is no such folder or file, or no reader knows its layout.
    """
    if is_remote(source):
        reader = HubDataset()
        return reader, reader.look_up(source, options)
    try:
        if not source.exists():
            raise _not_there(source)
        if not source.is_dir():
            check_plain(source)
    except OSError as error:
        raise InputError(f"this cannot be read: {error.strerror}", where=str(source)) from error
    if options.caption_from_folder and not source.is_dir():
        raise InputError("captions can be made of the names of folders, and this is a file", where=str(source), hint="Name the folder that they lie in.")
    found = recognised(source, options)
    if found is None:
        raise _unknown_folder(source, options) if source.is_dir() else _unknown_file(source, options)
    return found


def recognised(source: Path, options: ReaderOptions) -> tuple[Reader, Evidence] | None:
    """The reader for a folder or file that is there, and why it was chosen; None if no reader knows its layout.

    Raises:
        InputError: it cannot be read.
    """
    for reader in known_readers():
        evidence = reader.detect(source, options)
        if evidence is not None:
            return reader, evidence
    return None


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
    return _near_miss([source], options, pictures_of(source, options.images)) or InputError(
        f"this file ({source.suffix or 'without an ending'}) is not a captions table",
        where=str(source),
        hint="Name a CSV, TSV, JSON or Parquet file, a data pickle (.pkl) of the original code, or a folder; `clipcap model import` takes checkpoints (.pt).",
    )


def _unknown_folder(source: Path, options: ReaderOptions) -> InputError:
    folder = scan(source)
    if not folder.files:
        return InputError("this folder is empty", where=str(source), hint=_HOW_TO)
    if refused := refusal(source):
        return refused
    if miss := _near_miss([*table_files(source), *parquet_files(source)], options, pictures_of(source, options.images)):
        return miss
    if not folder.pictures:
        archives = any(name.lower().endswith(_ARCHIVES) for name in folder.files)
        hint = "Unpack the archive, then add the folder." if archives else f"{_LOOKED_FOR} {_HOW_TO}"
        return InputError(f"there are no pictures in this folder: it holds {what_it_holds(folder.files)}", where=str(source), hint=hint)
    return _without_captions(folder)


def _near_miss(files: list[Path], options: ReaderOptions, folder: Folder) -> InputError | None:
    """Why a table would not do: it is damaged, its columns have other names, or its pictures are on the web."""
    for path in files:
        try:
            table = open_table(path, options)
            columns = find_columns(table, options) if table else None
        except InputError as error:
            return error
        if table is not None and columns is not None and are_addresses(read_rows(table, columns, ignore), folder):
            return to_be_fetched(table, columns)
        if table is not None and columns is None and len(table.header) > 1:
            return missing_columns(table, options)
    return None


def _without_captions(folder: Folder) -> InputError:
    pictures = count(len(folder.pictures), "picture")
    names = classes(folder)
    if all(names.values()) and len(set(names.values())) > 1:
        shown = sorted(set(names.values()))
        return InputError(
            f"there are {pictures} in {len(shown)} subfolders ({in_short(shown)}) and no captions; if these are classes, their names are not yet sentences",
            where=str(folder.root),
            hint=f'--caption-from-folder "a photo of a {{}}" makes a caption of each folder\'s name. {_HOW_TO}',
        )
    others = tuple(name for name in folder.files if not is_picture_name(name))
    held = f"; else it holds {what_it_holds(others)}" if others else ""
    return InputError(f"there are {pictures} in this folder and no captions{held}", where=str(folder.root), hint=f"{_HOW_TO} {_LOOKED_FOR}")
