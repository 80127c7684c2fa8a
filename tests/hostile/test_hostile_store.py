"""A store that a stranger has written into: indexes, tables and vectors that are none."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hostile_tools import Stage, replace


def _sql(*statements: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        index = sqlite3.connect(path)
        for statement in statements:
            index.execute(statement)
        index.commit()
        index.close()

    return change


INDEXES: dict[str, Callable[[Path], object]] = {
    "is no SQLite": lambda path: replace(path, b"not a database" * 1000),
    "is cut short": lambda path: replace(path, path.read_bytes()[:5000]),
    "has a damaged page": lambda path: replace(path, path.read_bytes()[:4096] + b"\xff" * 8192),
    "has other columns": _sql("DROP TABLE vectors", "CREATE TABLE vectors (a, b, c)"),
    "has a view in the place of its table": _sql("ALTER TABLE vectors RENAME TO v", "CREATE VIEW vectors AS SELECT * FROM v"),
    "has rows beyond the file": _sql("UPDATE vectors SET row = row + 1000000000"),
    "has rows below zero": _sql("UPDATE vectors SET row = -5 - row"),
    "has rows of 2^62": _sql("UPDATE vectors SET row = 4611686018427387904 + row"),
    "has texts for rows": _sql("DROP TABLE vectors", "CREATE TABLE vectors (image_id, row)", "INSERT INTO vectors VALUES ('x', '../../x'), (NULL, NULL)"),
    "has a trigger": _sql("CREATE TRIGGER t AFTER INSERT ON vectors BEGIN DELETE FROM checksums; END"),
    "has checksums of nothing": _sql("UPDATE checksums SET rows = -1, sha256 = 'x'"),
}


@pytest.mark.parametrize("index", INDEXES)
def test_an_index_that_is_none_is_told(index: str, stage: Stage) -> None:
    [path] = stage.home.glob("embeddings/*/index.sqlite")
    INDEXES[index](path)
    for line in ("cache verify", "cache info", "train quickstart --dataset pictures train.epochs=1 decode.beams=1 decode.max_tokens=2"):
        stage.survives(*line.split())


TABLES: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda good: b"",
    "marks only": lambda good: b"PAR1" + bytes(100) + b"PAR1",
    "a footer of 2^31": lambda good: b"PAR1" + bytes(100) + b"\xff\xff\xff\x7fPAR1",
    "a footer of noise": lambda good: good[:-200] + bytes(range(192)) + good[-8:],
    "pages of noise": lambda good: good[:4] + b"\xff" * 200 + good[204:],
    "no columns": lambda good: good.replace(b"image_id", b"image_ix").replace(b"caption", b"captiox"),
    "cut short": lambda good: good[: len(good) // 2],
    "rows beyond counting": lambda good: good.replace(b"\x16\x0c", b"\x16\x7e"),
}


@pytest.mark.parametrize("content", TABLES)
@pytest.mark.parametrize("name", ["images.parquet", "captions.parquet"])
def test_a_table_of_the_store_that_is_none_is_told(name: str, content: str, stage: Stage) -> None:
    path = stage.home / "datasets" / "pictures" / "v0001" / name
    replace(path, TABLES[content](path.read_bytes()))
    for line in ("dataset show pictures", "embed pictures --encoder efficientnet-lite0", "cache verify"):
        stage.survives(*line.split())


@pytest.mark.parametrize("size", [0, 1, 2**33])
def test_vectors_of_another_size_are_told(size: int, stage: Stage) -> None:
    [path] = stage.home.glob("embeddings/*/vectors-00000.f16")
    with path.open("r+b") as stream:
        stream.truncate(size)
    stage.survives("embed", "pictures", "--encoder", "efficientnet-lite0")
    stage.survives("cache", "info")
