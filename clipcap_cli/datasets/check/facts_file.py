"""Facts of pictures' files beside their dataset, so that a file is looked at again only when it has changed: datasets/NAME/facts.parquet.

The file is derived: what cannot be read, or was written by another version of clipcap, is as if it were not there, and is made anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from clipcap_cli.datasets.check.facts import Facts
from clipcap_cli.datasets.duplicates.thumbnails import LENGTH
from clipcap_cli.storage.atomic import replacing

FACTS_FILE = "facts.parquet"
_FORMAT = b"1"  # to be raised when facts or thumbnails are made in another way
_KEY = b"clipcap.facts"


def read_facts(path: Path) -> dict[str, Facts]:
    """The facts by path of the file; none if they cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as stream:
            table = pq.read_table(stream)
        if (table.schema.metadata or {}).get(_KEY) != _FORMAT or not table.schema.equals(_schema()):
            return {}
        table.validate(full=True)
        rows = zip(*(table[name].to_pylist() for name in table.schema.names), strict=True)
        return {row[0]: Facts(*row) for row in rows if None not in row and len(row[-1]) in (0, LENGTH)}
    except (OSError, pa.ArrowException, ValueError):
        return {}


def write_facts(path: Path, facts: Mapping[str, Facts]) -> None:
    """Keep facts for the next time.

    Raises:
        StoreError: they cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [of.name for of in fields(Facts)]
    columns = [[getattr(one, name) for one in facts.values()] for name in names]
    table = pa.table(columns, schema=_schema().with_metadata({_KEY: _FORMAT}))
    with replacing(path) as part, part.open("wb") as stream:
        pq.write_table(table, stream, use_dictionary=[name for name in names if name in ("fault", "reason", "format")])


def _schema() -> Any:
    import pyarrow as pa

    texts, numbers, truths = pa.string(), pa.int64(), pa.bool_()
    kinds = {"size": numbers, "mtime_ns": numbers, "animated": truths, "turned": truths, "thumbnail": pa.binary()}
    return pa.schema([(of.name, kinds.get(of.name, texts)) for of in fields(Facts)])
