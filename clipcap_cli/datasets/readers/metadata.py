"""`metadata.csv` or `metadata.jsonl` beside the pictures: `file_name` and `text`, or the usual other names.

One such file for the whole folder, or one in each subfolder; subfolders named train, val(idation) and test are splits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from clipcap_cli.datasets.folders import beside, pictures_of, scan, subfolders, top_files
from clipcap_cli.datasets.matching import match_rows
from clipcap_cli.datasets.records import Evidence, Problem, ReaderOptions, Record, Report
from clipcap_cli.datasets.splits import is_split, split_name
from clipcap_cli.datasets.tables import (
    SPLIT_COLUMN,
    Head,
    Row,
    read_head,
    read_rows,
    require_columns,
)
from clipcap_cli.datasets.text_files import text_encoding
from clipcap_cli.errors import InputError
from clipcap_cli.words import count

_NAMES = ("metadata.csv", "metadata.tsv", "metadata.jsonl")
_LOOKED_AT = 20


class Metadata:
    """A metadata file, as Hugging Face's image folders have it."""

    layout = "metadata"

    def detect(self, source: Path, options: ReaderOptions) -> Evidence | None:
        files = _files(source)
        try:
            names = {_columns(file, options) for file in files}
        except InputError:  # it may be about something else, and the captions in another file
            return None
        if not names:
            return None
        folder = pictures_of(source, options.images)
        listed = ", ".join(file.relative_to(folder.root).as_posix() if file.is_relative_to(folder.root) else file.name for file in files)
        image, caption = sorted(names)[0]
        pictures = count(len(folder.pictures), "picture")
        return Evidence(self.layout, f"{listed} has '{image}' and '{caption}', and {folder.shared_place()} has {pictures}")

    def read(self, source: Path, options: ReaderOptions, report: Report) -> Iterator[Record]:
        folder = pictures_of(source, options.images)
        files = _files(source)
        for file in files:
            place = beside(file, folder)
            split = split_name(file.parent.name) if len(files) > 1 and is_split(file.parent.name) else None
            # A file in a subfolder speaks for that subfolder alone.
            part = folder if len(files) == 1 else scan(file.parent)
            yield from match_rows(_rows(file, options, split, report), part, report, beside=place if part is folder else "")


def _files(source: Path) -> list[Path]:
    if source.is_file():
        return [source] if source.name.casefold() in _NAMES or source.suffix.lower() == ".jsonl" else []
    here = [path for path in top_files(source) if path.name.casefold() in _NAMES]
    if here:
        return here[:1]
    return [file for folder in subfolders(source) if (file := next(filter(Path.is_file, (folder / name for name in _NAMES)), None))]


def _rows(file: Path, options: ReaderOptions, split: str | None, report: Report) -> Iterator[Row]:
    if file.suffix.lower() == ".jsonl":
        yield from _json_rows(file, *_columns(file, options), split, report)
        return
    head = metadata_head(file, options)
    yield from read_rows(head, require_columns(head, options), report, default_split=split)


def _columns(file: Path, options: ReaderOptions) -> tuple[str, str]:
    """The names of the picture's and the caption's column."""
    head = metadata_head(file, options)
    columns = require_columns(head, options)
    return head.header[columns.image], head.header[columns.caption]


def metadata_head(file: Path, options: ReaderOptions) -> Head:
    """How a metadata file is written, and its header: of JSON lines, the keys of the first ones.

    Raises:
        InputError: it is empty or cannot be read.
    """
    if file.suffix.lower() == ".jsonl":
        keys: dict[str, None] = {}
        for _, value in islice(_lines(file, lambda _: None), _LOOKED_AT):
            keys.update(dict.fromkeys(value))
        head: Head | None = Head(file, "utf-8", ",", '"', None, tuple(keys)) if keys else None
    else:
        head = read_head(file, options)
    if head is None:
        raise InputError("this metadata file is empty", where=str(file), hint="Each line should have 'file_name' and 'text'.")
    return head


def _json_rows(file: Path, image: str, caption: str, split: str | None, report: Report) -> Iterator[Row]:
    for where, value in _lines(file, report):
        texts = value.get(caption)
        name = value.get(image)
        given = value.get(SPLIT_COLUMN)
        for text in texts if isinstance(texts, list) and texts else [texts]:
            yield Row(
                name.strip() if isinstance(name, str) else "",
                text if isinstance(text, str) else "",
                (split_name(given) if isinstance(given, str) else None) or split,
                where,
            )


def _lines(file: Path, report: Report) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        with file.open(encoding=text_encoding(file), errors="replace") as stream:
            for number, line in enumerate(stream, 1):
                where = f"{file.name}:{number}"
                if not line.strip():
                    continue
                try:
                    value = json.loads(line)
                except (ValueError, RecursionError):
                    value = None
                if isinstance(value, dict):
                    yield where, value
                else:
                    report(Problem("bad-row", "warning", where, f"this line is not a JSON object: {line.strip()[:80]!r}", "Write one object a line."))
    except OSError as error:
        raise InputError(f"this file cannot be read: {error.strerror}", where=str(file)) from error
