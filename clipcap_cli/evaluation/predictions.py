"""Anybody's captions in a file: COCO results JSON, COCO captions JSON, JSON lines, CSV or TSV. And the way back, as COCO results.

A picture may be named by its path, its file name with or without the ending, its number (COCO's "000000391895.jpg" is 391895), or its image id.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from clipcap_cli.datasets.files.folders import Folder
from clipcap_cli.datasets.files.text_files import text_encoding
from clipcap_cli.datasets.records import ReaderOptions
from clipcap_cli.datasets.tables.columns import CAPTION_ALIASES, IMAGE_ALIASES, require_columns
from clipcap_cli.datasets.tables.delimited import read_head, read_rows
from clipcap_cli.errors import InputError
from clipcap_cli.storage.atomic import write_text
from clipcap_cli.storage.reading import LARGEST_FILE, parse_json

SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv", ".tsv")
_FORM = 'Captions come as COCO results [{"image_id": "a.jpg", "caption": "…"}], as JSON lines of such objects, or as CSV with the header image,caption.'
_NAMED_AT_MOST = 5
_SNIFFED = 1 << 16  # bytes of a table that tell whether it is one


@dataclass(frozen=True)
class Prediction:
    """A caption of a picture, as a file has them; `where` is its place in the file, `number` the picture's where the file has a name and a number for it."""

    image: str
    caption: str
    where: str
    number: str | None = None


def read_predictions(path: Path, options: ReaderOptions | None = None) -> list[Prediction]:
    """All captions of a file, in its order; a picture may come more than once.

    Args:
        options: names of a table's columns.

    Raises:
        InputError: it cannot be read, or has no captions.
    """
    check_file(path)
    kind = path.suffix.lower()
    try:
        if kind in (".csv", ".tsv"):
            found = list(_rows(path, options or ReaderOptions()))
        else:
            text = path.read_text(encoding=text_encoding(path, LARGEST_FILE))
            found = list(_lines(text, path) if kind in (".jsonl", ".ndjson") else _document(text, path))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"this file of captions cannot be read: {error}", where=str(path), hint=_FORM) from error
    if not found:
        raise InputError("there is no caption in this file", where=str(path), hint=_FORM)
    return found


def check_file(path: Path) -> None:
    """Whether there is a file.

    Raises:
        InputError: there is none.
    """
    if not path.is_file():
        raise InputError("there is no such file of captions", where=str(path), hint=_FORM)


def write_predictions(path: Path, entries: Iterable[Mapping[str, Any]]) -> None:
    """Write COCO results: a list of `{"image_id", "caption", …}`; what else an entry has is kept, and other tools do not mind it.

    Raises:
        StoreError: it cannot be written.
    """
    write_text(path, "[\n" + ",\n".join(json.dumps(dict(entry), ensure_ascii=False) for entry in entries) + "\n]\n")


def one_each(predictions: Sequence[Prediction], names: Sequence[str], image_ids: Sequence[str]) -> tuple[dict[str, str], list[str], list[str]]:
    """The caption of each picture that is evaluated.

    Args:
        names, image_ids: of the pictures.

    Returns:
        Captions by name, in the order of `names`; the pictures that have none; what the file names and is not among the pictures.

    Raises:
        InputError: a picture has two captions, or a name may mean several pictures.
    """
    found: dict[str, Prediction] = {}
    strangers = []
    for prediction, meant in zip(predictions, _meant([prediction.image for prediction in predictions], names, image_ids), strict=True):
        if not meant:
            strangers.append(prediction.image)
        elif len(meant) > 1:
            hint = "Write the pictures' paths as the dataset has them."
            raise InputError(f"{prediction.image!r} may mean {len(meant)} pictures, such as {meant[0]!r} and {meant[1]!r}", where=prediction.where, hint=hint)
        elif meant[0] in found:
            first = found[meant[0]]
            raise InputError(
                f"{prediction.image!r} has two captions; the first is at {first.where}", where=prediction.where, hint="Keep one caption for each picture."
            )
        else:
            found[meant[0]] = prediction
    captions = {name: found[name].caption for name in names if name in found}
    return captions, [name for name in names if name not in found], strangers


def grouped(predictions: Sequence[Prediction]) -> list[tuple[str, str, tuple[str, ...]]]:
    """All captions of each picture, as a file of references has them: its name, its number (or its name again), its captions."""
    groups: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for prediction in predictions:
        groups[prediction.image, prediction.number or prediction.image].append(prediction.caption)
    return [(image, number, tuple(captions)) for (image, number), captions in groups.items()]


def listed(names: Sequence[str]) -> str:
    """`3: 'a.jpg', 'b.jpg', 'c.jpg'`, `1,200: 'a.jpg', … and 1,195 more`."""
    more = f" and {len(names) - _NAMED_AT_MOST:,} more" if len(names) > _NAMED_AT_MOST else ""
    return f"{len(names):,}: {', '.join(map(repr, names[:_NAMED_AT_MOST]))}{more}"


def _meant(asked: Sequence[str], names: Sequence[str], image_ids: Sequence[str]) -> Iterator[tuple[str, ...]]:
    folder = Folder(Path(), tuple(names))
    known = set(names)
    by_id: defaultdict[str, list[str]] = defaultdict(list)
    by_number: defaultdict[int, list[str]] = defaultdict(list)
    for name, image_id in zip(names, image_ids, strict=True):
        by_id[image_id].append(name)
        if (number := _number(PurePosixPath(name).stem)) is not None:
            by_number[number].append(name)
    for name in asked:
        if name in known:
            yield (name,)
        elif name in by_id:
            yield tuple(by_id[name])
        elif found := folder.find(name):
            yield found
        else:
            number = _number(name) if name.isdecimal() else None
            yield tuple(by_number.get(number, ())) if number is not None else ()


def _number(stem: str) -> int | None:
    """391895 of "COCO_val2014_000000391895"."""
    found = re.search(r"(?:^|_)0*([0-9]{1,18})$", stem)
    return int(found[1]) if found else None


def _rows(path: Path, options: ReaderOptions) -> Iterator[Prediction]:
    with path.open("rb") as stream:
        start = stream.read(_SNIFFED)
    if b"\0" in start and "utf-16" not in text_encoding(path):
        raise InputError("this is no table of text", where=str(path), hint=_FORM)
    head = read_head(path, options)
    if head is None:
        return
    for row in read_rows(head, require_columns(head, options), lambda problem: None):
        yield Prediction(row.image, row.caption, row.where)


def _lines(text: str, path: Path) -> Iterator[Prediction]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            where = f"{path.name}:{number}"
            yield _entry(_parsed(line, where), where, {})


def _document(text: str, path: Path) -> Iterator[Prediction]:
    found = _parsed(text, str(path))
    files: dict[Any, str] = {}
    if isinstance(found, dict) and isinstance(found.get("annotations"), list):  # COCO captions: pictures have numbers here
        images = found.get("images")
        for image in images if isinstance(images, list) else ():
            if isinstance(image, dict) and isinstance(image.get("file_name"), str) and isinstance(image.get("id"), str | int):
                files[image.get("id")] = image["file_name"]
        found = found["annotations"]
    if not isinstance(found, list):
        raise InputError("this JSON is no list of captions", where=str(path), hint=_FORM)
    for number, entry in enumerate(found, 1):
        yield _entry(entry, f"{path.name}, caption {number}", files)


def _entry(entry: Any, where: str, files: Mapping[Any, str]) -> Prediction:
    if not isinstance(entry, dict):
        raise InputError(f"this is {str(entry)[:60]!r}, and should be an object", where=where, hint=_FORM)
    image = next((entry[key] for key in ("image_id", *IMAGE_ALIASES) if key in entry), None)
    caption = next((entry[key] for key in CAPTION_ALIASES if key in entry), None)
    if image is None or caption is None:
        lacks = "image_id" if image is None else "caption"
        raise InputError(f"this object has no {lacks!r}: it has {', '.join(map(repr, list(entry)[:10])) or 'nothing'}", where=where, hint=_FORM)
    if isinstance(image, bool) or not isinstance(image, str | int) or not isinstance(caption, str):
        wrong, value = ("caption", caption) if not isinstance(caption, str) else ("image_id", image)
        raise InputError(f"its {wrong!r} is {str(value)[:60]!r}, of the type {type(value).__name__}, and should be a text", where=where, hint=_FORM)
    return Prediction(files[image], caption, where, str(image)) if image in files else Prediction(str(image), caption, where)


def _parsed(text: str, where: str) -> Any:
    try:
        return parse_json(text)
    except ValueError as error:
        raise InputError(f"this is not JSON: {error}", where=where, hint=_FORM) from error
