"""Lines at the bottom of a terminal that are drawn over again and again.

No thread draws, no mode of the terminal is changed and its cursor is not hidden: wherever the program ends, the terminal is as it was.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import RenderableType

_WIDEST = 100  # columns: lines are not longer than what one reads at a glance


class Block:
    """What stands right above the cursor, on stderr."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, markup=False, highlight=False)
        self._widths: list[int] = []  # cells of each line that stands there

    def draw(self, renderable: RenderableType) -> None:
        """Put `renderable` in the place of what stands there, as much of it as the terminal has room for."""
        width, height = self._console.size
        with self._console.capture() as captured:
            # One column stays free: terminals differ in what they do behind the last one.
            self._console.print(renderable, width=min(_WIDEST, max(1, width - 1)))
        lines = captured.get().splitlines()[: max(0, height - 1)]
        self._write(self._erasing(width) + "".join(f"{line}\n" for line in lines))
        self._widths = [cell_len(Text.from_ansi(line).plain) for line in lines]

    def erase(self) -> None:
        """Take away what stands there."""
        self._write(self._erasing(self._console.width))
        self._widths = []

    def _erasing(self, width: int) -> str:
        """What to write to stand where the block began, with its rows empty."""
        # In a terminal that has become narrower since, long lines take several rows.
        rows = sum(max(1, -(-cells // width)) for cells in self._widths)
        return "\r\x1b[2K" + "\x1b[1A\x1b[2K" * rows if rows else ""  # row by row: what clears a whole screen, some terminals keep for scrolling back

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()
