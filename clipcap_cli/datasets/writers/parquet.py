"""Parquet tables with the pictures inside, as the hub has them: `SPLIT-00000-of-00001.parquet` with image {bytes, path} and captions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from clipcap_cli.datasets.writers.written import Put, Written, by_split

_FILE = 5_000  # rows
_GROUP = 100  # rows: what a reader has to hold


def write_parquet(name: str, pictures: Sequence[Written], folder: Path, put: Put, done: Callable[[], None]) -> None:
    """A row for each picture; row groups are small, so that neither side holds many pictures."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])), ("captions", pa.list_(pa.string())), ("split", pa.string())])
    for split, members in by_split(pictures).items():
        files = -(-len(members) // _FILE)
        for number in range(files):
            path = folder / f"{split or name}-{number:05d}-of-{files:05d}.parquet"
            mine = members[number * _FILE : (number + 1) * _FILE]
            with pq.ParquetWriter(path, schema) as table:
                for start in range(0, len(mine), _GROUP):
                    rows = [
                        {"image": {"bytes": it.data, "path": it.name}, "captions": list(it.picture.captions), "split": split}
                        for it in mine[start : start + _GROUP]
                    ]
                    table.write_table(pa.Table.from_pylist(rows, schema))
                    for _ in rows:
                        done()
