"""JSON files of captions: which ones a source has, what a list in one begins with, and all of one.

Such a file may have gigabytes and be about something else (COCO's instances have 470 MB): what it is shows without reading all of it into memory.
"""

from __future__ import annotations

import json
import re
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from clipcap_cli.datasets.files.folders import subfolders, top_files
from clipcap_cli.datasets.files.text_files import MAX_BYTES, text_encoding
from clipcap_cli.datasets.records import Problem, Report, no_tags
from clipcap_cli.errors import InputError
from clipcap_cli.storage.reading import check_plain, parse_json

ANNOTATIONS = "annotations"  # COCO's folder of them, and the list in each of its files
_MOST_FILES = 100  # of a folder that are looked into; one with more has a file for each picture
_PIECE = 1 << 20  # bytes
_OVERLAP = 128  # bytes, enough for a key, a colon and a bracket
_LOOKED_AT = 20  # things in a list
_COMMA = re.compile(r"\s*,\s*")
_DECODER = json.JSONDecoder()


def json_files(source: Path) -> Iterator[list[Path]]:
    """The .json files that may be about all of a source, by place: itself; or those right in the folder, then those in its folder `annotations`.

    Raises:
        InputError: a folder cannot be read.
    """
    if source.is_file():
        yield [source] if _is_json(source) else []
        return
    for folder in (source, *(path for path in subfolders(source) if path.name.casefold() == ANNOTATIONS)):
        files = [path for path in top_files(folder) if _is_json(path)]
        yield files if len(files) <= _MOST_FILES else []


def first_items(path: Path, key: str = "") -> list[Any]:
    """The first things in a list of a JSON file: in the one that the file is or, if a key is given, in the first one under that key, however deep.

    Returns:
        None of them where there is no such list, or the file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            stream.seek(next(_places(path, _key(key) + rb"\s*\[")) if key else 0)
            text = stream.read(_PIECE).decode("utf-8-sig", "replace")
    except (OSError, StopIteration):
        return []
    start = re.match(rf'\s*"{key}"\s*:\s*\[\s*' if key else r"\s*\[\s*", text)
    return list(islice(_items(text, start.end()), _LOOKED_AT)) if start else []


def count_key(path: Path, key: str) -> int:
    """How often a JSON file has this key.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return sum(1 for _ in _places(path, _key(key)))
    except OSError as error:
        raise _unreadable(path, error) from error


def load_json(path: Path, report: Report) -> Any:
    """What a JSON file holds; a file that is not UTF-8 is a problem.

    Raises:
        InputError: it cannot be read, is larger than what is read, or is no JSON.
    """
    try:
        encoding = text_encoding(path, MAX_BYTES)
        text = path.read_text(encoding, errors="replace")
    except OSError as error:
        raise _unreadable(path, error) from error
    if encoding == "cp1252":
        report(Problem("encoding", "info", path.name, "this file is not UTF-8; it was read as Windows-1252", "Save it as UTF-8 if letters look wrong."))
    try:
        return parse_json(text)
    except ValueError as error:
        message = f"this file is not valid JSON: {error}"
        raise InputError(message, where=str(path), hint="It may have been cut off on its way here: fetch it again, or mend it.") from error


def bad_item(where: str, message: str, value: Any) -> Problem:
    """The problem of a value that is not what it should be; it is shown in short."""
    return Problem("bad-row", "warning", where, f"{message}: {reprlib.repr(value)}", "Mend it, or take it out.")


def _key(key: str) -> bytes:
    return rb'"%b"\s*:' % key.encode()


def tags_of(item: Mapping[str, Any], keys: Sequence[str]) -> Mapping[str, str]:
    """What an object says that was asked to be kept: texts and numbers."""
    return {key: str(item[key]) for key in keys if isinstance(item.get(key), str | int | float)} if keys else no_tags()


def check_keys(items: Sequence[Any], keys: Sequence[str], path: Path) -> None:
    """That each key which was asked to be kept is in some object of a list.

    Raises:
        InputError: one is in none of them.
    """
    there = dict.fromkeys(key for item in items if isinstance(item, dict) for key in item) if keys else {}
    if absent := [key for key in keys if key not in there]:
        listed = ", ".join(map(repr, islice(there, _LOOKED_AT)))
        raise InputError(f"no picture of this file has {absent[0]!r}: they have {listed}", where=str(path), hint="Name another with --keep-column.")


def _is_json(path: Path) -> bool:
    return path.suffix.lower() == ".json"


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError(f"this file cannot be read: {error.strerror}", where=str(path))


def _items(text: str, place: int) -> Iterator[Any]:
    """The values from a place on that have commas between, as far as they are whole."""
    while True:
        try:
            item, place = _DECODER.raw_decode(text, place)
        except (ValueError, RecursionError):  # cut off, or no JSON
            return
        yield item
        if not (comma := _COMMA.match(text, place)):
            return
        place = comma.end()


def _places(path: Path, pattern: bytes) -> Iterator[int]:
    """Where in the file something is that has no more than _OVERLAP bytes.

    A quotation mark inside of a text has a backslash before it, so that no text is taken for a key.
    """
    looked_for = re.compile(pattern)
    check_plain(path, MAX_BYTES)
    with path.open("rb") as stream:
        before, end = b"", 0  # the last of what has been looked at, and how much has been read
        while piece := stream.read(_PIECE):
            window = before + piece
            end += len(piece)
            yield from (end - len(window) + match.start() for match in looked_for.finditer(window) if match.end() > len(before))
            before = window[-_OVERLAP:]
