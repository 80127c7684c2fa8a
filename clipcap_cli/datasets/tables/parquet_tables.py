"""Tables of captions in Parquet files, whose pictures are named or lie in the table themselves: as bytes, or as Hugging Face's {bytes, path}.

A few rows at a time are in memory, however large the file and its row groups are; besides, of each column that is read, the page that they are on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from clipcap_cli.datasets.records import Problem, Report, ignore
from clipcap_cli.datasets.tables.columns import Columns, Table
from clipcap_cli.errors import InputError
from clipcap_cli.storage.reading import check_plain
from clipcap_cli.words import size

_ROWS = 16  # at once: a picture may have megabytes
_LARGE = 1 << 26  # bytes of a file
_BUFFER = 1 << 20  # bytes of each column of a large file that are read at once
_LOOKED_AT = 20  # rows
# Pictures are hardly compressed and captions to a tenth: what unpacks to very much more, and is not small, is no table of captions.
_MOST_GROWTH, _WORTH_A_LOOK = 200, 1 << 26
_AGAIN = "Get it again from where it came."


@dataclass(frozen=True)
class ParquetTable(Table):
    """A Parquet file.

    Attributes:
        name: of the file, for people; of one of several its path from the source on.
        rows: how many it has.
        kinds: what each column holds: "names" (texts and numbers), "bytes", "struct" (with bytes in it), or the name of its type.
    """

    name: str
    rows: int
    kinds: tuple[str, ...] = field(repr=False)

    @property
    def inside(self) -> frozenset[str]:
        return frozenset(name for name, kind in zip(self.header, self.kinds, strict=True) if kind in ("bytes", "struct"))

    def cells(self, columns: Columns, report: Report) -> Iterator[tuple[str, Sequence[object]]]:
        """As `Table.cells`; of a picture with bytes and path the path."""
        for number, cells in self.numbered(columns, report):
            cells[columns.image] = picture_in(cells[columns.image])[1]
            yield f"{self.name}, row {number}", cells

    def holds_pictures(self, columns: Columns) -> bool:
        """Whether its pictures lie in the table itself, as the first rows tell; a column for both may have nothing but paths.

        Raises:
            InputError: the column holds neither pictures nor names.
        """
        kind = self.kinds[columns.image]
        if kind not in ("names", "bytes", "struct"):
            message = f"the column {self.header[columns.image]!r} has pictures as {kind}, not as files (JPEG, PNG) or names of files"
            raise InputError(message, where=str(self.path), hint="Write the table anew with the pictures' names, or with the bytes of their files.")
        first = islice(self.numbered(Columns(columns.image, ()), ignore), _LOOKED_AT) if kind == "struct" else ()
        return kind == "bytes" or any(picture_in(cells[columns.image])[0] for _, cells in first)

    def numbered(self, columns: Columns, report: Report) -> Iterator[tuple[int, list[Any]]]:
        """The number of each row, from 0 on, and its cells in these columns; a row group that is damaged is reported.

        Raises:
            InputError: the file cannot be opened any more.
        """
        places = sorted({columns.image, *columns.captions, *columns.tags, *([] if columns.split is None else [columns.split])})
        with _opened(self.path) as file:
            start = 0
            for group in range(file.num_row_groups):
                number, start = start, start + file.metadata.row_group(group).num_rows
                try:
                    for row in self._rows(file, group, places):
                        yield number, row
                        number += 1
                except _damages() as error:
                    message = f"this row and those after it, up to row {start - 1}, are damaged and were left out ({_first_line(error)})"
                    report(Problem("damaged-table", "error", f"{self.name}, row {number}", message, _AGAIN))

    def _rows(self, file: Any, group: int, places: Sequence[int]) -> Iterator[list[Any]]:
        wanted = [self.header[place] for place in places]
        _check_growth(file.metadata.row_group(group), self.path)
        for batch in file.iter_batches(_ROWS, row_groups=[group], columns=wanted, use_threads=False):
            found = [batch.column(batch.schema.names.index(name)) for name in wanted]
            for row in zip(*map(_values, found), strict=True):
                cells: list[Any] = [None] * len(self.header)
                for place, value in zip(places, row, strict=True):
                    cells[place] = value
                yield cells


def read_parquet_table(path: Path, name: str | None = None) -> ParquetTable:
    """The table in a Parquet file: its columns and the number of its rows.

    Args:
        name: of the file, for people.

    Raises:
        InputError: it is damaged or cannot be read.
    """
    with _opened(path) as file:
        schema = file.schema_arrow
        return ParquetTable(path, tuple(schema.names), name or path.name, file.metadata.num_rows, tuple(_kind(column.type) for column in schema))


def picture_in(cell: Any) -> tuple[bytes | None, str]:
    """The bytes of the picture in a cell, where it has them, and its name, where it has one."""
    if isinstance(cell, dict):
        data, name = cell.get("bytes"), cell.get("path")
        return data or None, name if isinstance(name, str) else ""
    return (cell or None, "") if isinstance(cell, bytes) else (None, "" if cell is None else str(cell))


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import pyarrow.parquet as pq

    try:
        check_plain(path)
        # Without a buffer a column of a row group is in memory as a whole; with one, so is what a damaged page says it has.
        buffer = _BUFFER if path.stat().st_size > _LARGE else 0
        file = pq.ParquetFile(path, buffer_size=buffer, pre_buffer=False)
    except _damages() as error:
        if isinstance(error, OSError) and error.strerror:
            raise InputError(f"this file cannot be read: {error.strerror}", where=str(path)) from error
        raise InputError(f"this Parquet file is damaged or cut short ({_first_line(error)})", where=str(path), hint=_AGAIN) from error
    with file:
        yield file


def _damages() -> tuple[type[Exception], ...]:
    """What pyarrow raises where a file is damaged."""
    import pyarrow

    return (pyarrow.ArrowException, OSError, ValueError, OverflowError)


def _kind(kind: Any) -> str:
    from pyarrow import types

    if types.is_struct(kind):
        return "struct" if any(part.name == "bytes" and (types.is_null(part.type) or _kind(part.type) == "bytes") for part in kind) else str(kind)
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind) or types.is_fixed_size_binary(kind):
        return "bytes"
    value = kind.value_type if types.is_dictionary(kind) else kind
    is_text = types.is_string(value) or types.is_large_string(value) or types.is_string_view(value)
    return "names" if is_text or types.is_integer(value) else str(kind)


def _check_growth(group: Any, path: Path) -> None:
    """Raises ValueError where a row group says that it unpacks to more than it can. (What it says of its columns is not asked: pyarrow may abort then.)"""
    small, large = path.stat().st_size, group.total_byte_size
    if large > max(_WORTH_A_LOOK, small * _MOST_GROWTH):
        raise ValueError(f"the file has {size(small)} and unpacks to {size(large)}, which no honest table does")


def _values(column: Any) -> list[Any]:
    try:
        values: list[Any] = column.to_pylist()
    except UnicodeDecodeError:
        return [_value(scalar) for scalar in column]
    return values


def _value(scalar: Any) -> Any:
    """The value of one cell; the bytes of one that is no UTF-8 although the file says so; None of a list with such texts in it."""
    try:
        return scalar.as_py()
    except UnicodeDecodeError:
        return scalar.as_buffer().to_pybytes() if hasattr(scalar, "as_buffer") else None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
