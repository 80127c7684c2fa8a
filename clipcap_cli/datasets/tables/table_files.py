"""Which files of a source may be tables of captions, and opening one of any kind."""

from __future__ import annotations

import re
from pathlib import Path, PurePath

from clipcap_cli.datasets.files.folders import scan, top_files
from clipcap_cli.datasets.records import ReaderOptions, Report, ignore
from clipcap_cli.datasets.splits import is_split
from clipcap_cli.datasets.tables.columns import Table
from clipcap_cli.datasets.tables.delimited import read_head
from clipcap_cli.datasets.tables.json_tables import read_json_lines, read_json_table
from clipcap_cli.datasets.tables.parquet_tables import read_parquet_table

TEXT = (".csv", ".tsv", ".tab")
JSON_LINES = (".jsonl", ".ndjson")
JSON = ".json"
PARQUET = ".parquet"
# Names that say what is in a table, the clearest first.
_TELLING = ("captions", "caption", "annotations", "labels", "descriptions", "results", "metadata")


def table_files(source: Path) -> list[Path]:
    """The files of a source that may be tables of captions: itself, or those right in the folder.

    Of JSON files in a folder those whose name tells, or the only one: some folders have one for each picture.

    Raises:
        InputError: the folder cannot be read.
    """
    if source.is_file():
        return [source] if source.suffix.lower() in (*TEXT, *JSON_LINES, JSON, ".txt") else []
    files = top_files(source)
    documents = [path for path in files if path.suffix.lower() == JSON]
    tables = [path for path in files if path.suffix.lower() in (*TEXT, *JSON_LINES) or path.name.casefold() == "captions.txt"]
    return tables + [path for path in documents if len(documents) == 1 or is_telling(path)]


def parquet_files(source: Path) -> list[Path]:
    """The Parquet files of a source: itself, or all in the folder and its subfolders.

    Raises:
        InputError: the folder cannot be read.
    """
    if source.is_file():
        return [source] if source.suffix.lower() == PARQUET else []
    return [source / name for name in scan(source).files if name.lower().endswith(PARQUET)]


def open_table(path: Path, options: ReaderOptions, report: Report = ignore) -> Table | None:
    """The table in a file, whatever its kind; None if there is none in it.

    Raises:
        InputError: it cannot be read, or is damaged.
    """
    suffix = path.suffix.lower()
    if suffix in JSON_LINES:
        return read_json_lines(path)
    if suffix == JSON:
        return read_json_table(path, options, report)
    return read_parquet_table(path) if suffix == PARQUET else read_head(path, options)


def is_telling(path: Path) -> bool:
    """Whether the name of a file says that captions are in it."""
    return path.stem.casefold() in _TELLING


def clearness(path: Path) -> tuple[int, int]:
    """The smaller, the clearer does a file's name say that it has the captions."""
    stem, suffix = path.stem.casefold(), path.suffix.lower()
    return _TELLING.index(stem) if stem in _TELLING else len(_TELLING), (suffix in JSON_LINES) + 2 * (suffix == JSON)


def split_word(path: PurePath) -> str:
    """The word in a file's name, or in those of its folders, that says a split: "train" of data/train-00000-of-00002.parquet; "" if there is none."""
    words = re.findall("[a-z]+", path.with_suffix("").as_posix().lower())
    return next(filter(is_split, reversed(words)), "")
