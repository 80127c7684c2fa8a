"""Single cells of Parquet files, for pictures that lie in them.

A Parquet file has no way to one row but through the page that it is in. Whoever reads row after row gets each from the batch that is in memory; whoever jumps
pays with the part of the row group before it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from clipcap_cli.errors import InputError
from clipcap_cli.storage.addresses import opened, reaching

_ROWS = 16  # at once: a picture may have megabytes
_KEPT_BYTES = 1 << 26  # of cells that were read, since several threads read one file and none is exactly the next
_OPEN_AT_MOST = 4  # files
_BUFFER = 1 << 20

_open: OrderedDict[tuple[str, str], _Column] = OrderedDict()
_lock = threading.Lock()


def read_cell(address: str, row: int, column: str) -> Any:
    """A cell of the table at an address.

    Raises:
        InputError: the file is damaged, or has no such cell any more.
        MissingError: it is not reached.
    """
    with _lock:
        found = _open.pop((address, column), None) or _Column(address, column)
        _open[address, column] = found
        while len(_open) > _OPEN_AT_MOST:
            _open.popitem(last=False)[1].close()
    return found.cell(row)


class _Column:
    """One column of one file, read forwards."""

    def __init__(self, address: str, name: str) -> None:
        self._address, self._name = address, name
        self._turn = threading.RLock()
        self._stack = ExitStack()
        self._file: Any = None
        self._batches: Iterator[Any] = iter(())
        self._kept: deque[tuple[int, Any]] = deque()  # first row and cells of the batches read last
        self._kept_bytes = 0
        self._group = -1  # that is being read
        self._next = 0  # the row at which the next batch of it begins

    def cell(self, row: int) -> Any:
        import pyarrow

        with self._turn, reaching(self._address):
            try:
                return self._cell(row)
            except (pyarrow.ArrowException, ValueError, KeyError, IndexError) as error:
                self.close()
                reason = str(error).partition("\n")[0][:200]
                message = f"row {row} of this Parquet file cannot be read any more ({reason})"
                raise InputError(message, where=self._address, hint="Put the old file back, or add the dataset again.") from error
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        with self._turn:
            self._stack.close()
            self._file, self._group = None, -1
            self._kept.clear()
            self._kept_bytes = 0

    def _cell(self, row: int) -> Any:
        kept = self._among_kept(row)
        if kept is not None:
            return kept.as_py()
        if self._file is None:
            self._open()
        group, first, last = self._group_of(row)
        if group != self._group or row < self._next:
            self._batches = self._file.iter_batches(_ROWS, row_groups=[group], columns=[self._name], use_threads=False)
            self._group, self._next = group, first
        while self._next <= row:
            batch = next(self._batches, None)
            if batch is None:
                raise IndexError(f"its row group ends before row {last}")
            self._keep(self._next, batch.column(0))
            self._next += len(batch)
        return self._among_kept(row).as_py()

    def _open(self) -> None:
        import pyarrow.parquet as pq

        stream = self._stack.enter_context(opened(self._address))
        self._file = self._stack.enter_context(pq.ParquetFile(stream, buffer_size=_BUFFER, pre_buffer=False))

    def _group_of(self, row: int) -> tuple[int, int, int]:
        """The row group of a row, and the group's first and last row."""
        first = 0
        for group in range(self._file.num_row_groups):
            rows = self._file.metadata.row_group(group).num_rows
            if row < first + rows:
                return group, first, first + rows - 1
            first += rows
        raise IndexError(f"it has {first:,} rows")

    def _keep(self, first: int, cells: Any) -> None:
        self._kept.append((first, cells))
        self._kept_bytes += cells.nbytes
        while self._kept_bytes > _KEPT_BYTES and len(self._kept) > 1:
            self._kept_bytes -= self._kept.popleft()[1].nbytes

    def _among_kept(self, row: int) -> Any:
        return next((cells[row - first] for first, cells in self._kept if first <= row < first + len(cells)), None)
