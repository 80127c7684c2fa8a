"""Folders with a table: `captions.csv`, and `metadata.csv|jsonl|parquet` as Hugging Face's image folders have it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from clipcap_cli.datasets.writers.written import Put, Written

_IMAGES = "images"


def write_captions_table(name: str, pictures: Sequence[Written], folder: Path, put: Put, done: Callable[[], None]) -> None:
    """`captions.csv` with image, caption and split, a row for each caption; the pictures in `images/`."""
    _write_csv(folder / "captions.csv", ("image", "caption", "split"), _put_all(pictures, folder, put, done))


def write_metadata_csv(name: str, pictures: Sequence[Written], folder: Path, put: Put, done: Callable[[], None]) -> None:
    """`metadata.csv` with file_name, text and split, a row for each caption; the pictures in `images/`."""
    _write_csv(folder / "metadata.csv", ("file_name", "text", "split"), _put_all(pictures, folder, put, done))


def write_metadata_jsonl(name: str, pictures: Sequence[Written], folder: Path, put: Put, done: Callable[[], None]) -> None:
    """`metadata.jsonl`, a line for each picture with a list of texts; the pictures in `images/`."""
    with (folder / "metadata.jsonl").open("w", encoding="utf-8") as stream:
        for it in _put_all(pictures, folder, put, done):
            line = {"file_name": f"{_IMAGES}/{it.name}", "text": list(it.picture.captions), **({"split": it.picture.split} if it.picture.split else {})}
            stream.write(json.dumps(line, ensure_ascii=False) + "\n")


def write_metadata_parquet(name: str, pictures: Sequence[Written], folder: Path, put: Put, done: Callable[[], None]) -> None:
    """`metadata.parquet`, a row for each picture with a list of texts; the pictures in `images/`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = list(_put_all(pictures, folder, put, done))
    table = pa.table(
        {
            "file_name": pa.array([f"{_IMAGES}/{it.name}" for it in rows], pa.string()),
            "text": pa.array([list(it.picture.captions) for it in rows], pa.list_(pa.string())),
            "split": pa.array([it.picture.split for it in rows], pa.string()),
        }
    )
    pq.write_table(table, folder / "metadata.parquet")


def _write_csv(path: Path, header: tuple[str, str, str], pictures: Iterator[Written]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(header)
        for it in pictures:
            table.writerows((f"{_IMAGES}/{it.name}", caption, it.picture.split or "") for caption in it.picture.captions)


def _put_all(pictures: Sequence[Written], folder: Path, put: Put, done: Callable[[], None]) -> Iterator[Written]:
    for it in pictures:
        put(it.file, folder / _IMAGES / it.name)
        yield it
        done()
