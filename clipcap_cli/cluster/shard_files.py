"""The shards that tasks write: Parquet files with a checksum of each page, so that one that is half written or spoilt is known and made again."""

from __future__ import annotations

import hashlib
import io
import json
from typing import Any

from clipcap_cli.errors import InputError
from clipcap_cli.storage.addresses import list_files, read, write

ENDING = ".parquet"


def name_of(facts: Any) -> str:
    """The name of the shard that follows from `facts`, plain JSON: 32 hex digits of their SHA-256."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32] + ENDING


def put_table(address: str, table: Any) -> None:
    """Write an Arrow table, whole or not at all.

    Raises:
        StoreError, InputError, MissingError: it cannot be written there.
    """
    import pyarrow.parquet as pq

    stream = io.BytesIO()
    pq.write_table(table, stream, compression="zstd", write_page_checksum=True)
    write(address, stream.getvalue())


def get_table(address: str) -> Any:
    """The table that was written to `address`; None where there is none, or none that is whole.

    Raises:
        MissingError: the address is not reached.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        data = read(address)
        with pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True) as file:
            table = file.read()
        table.validate(full=True)
    except (InputError, OSError, ValueError, pa.ArrowException):
        return None
    return table


def names_in(folder: str) -> set[str]:
    """The names of the shards in a folder, whole or not.

    Raises:
        MissingError: the address is not reached.
        InputError: its bucket is not there, or may not be read.
    """
    try:
        return {entry.address.rpartition("/")[2] for entry in list_files(folder) if entry.address.endswith(ENDING)}
    except InputError as error:
        if isinstance(error.__cause__, FileNotFoundError) and "bucket" not in error.message:
            return set()
        raise
