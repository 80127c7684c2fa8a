"""What is said to people and to programs.

Results go to stdout, as text or, with --json, as JSON; notes, warnings, hints and errors go to stderr. Text is never markup: what stands in a caption or a
file name is printed as it is, with control characters escaped, so that it cannot steer a terminal or break a line.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from typing import Any, TextIO

from clipcap_cli.errors import InputError

# C0, C1, line and paragraph separators, bidirectional overrides, and bytes of a file name that are no UTF-8 (lone surrogates).
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_LONGEST = 4000  # characters of a message; thirty mistakes of a recipe fit
_COLOURS = {"Error": "31", "Warning": "33", "Next": "36"}


def printable(text: object, keep: str = "") -> str:
    """`text` on one line: every control character but those in `keep` is written as an escape."""
    return _UNPRINTABLE.sub(lambda found: found[0] if found[0] in keep else found[0].encode("unicode_escape").decode("ascii"), str(text))


class Out:
    """The one object that commands speak through. What it is told in the wrong mode (a table with --json) it does not say."""

    def __init__(self) -> None:
        self.json = False
        self.quiet = False

    def text(self, line: str = "") -> None:
        """A line of the result."""
        if not self.json:
            _write(sys.stdout, printable(line, keep="\n\t") + "\n")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[str] = ()) -> None:
        """Rows of the result, under headings; the columns named in `right` are numbers."""
        if self.json or not rows:
            return
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, show_header=any(columns), pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        for column in columns:
            table.add_column(column, justify="right" if column in right else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(printable("-" if cell is None else cell)) for cell in row))
        # Where nobody looks at a terminal, lines are as long as they are: programs cut by columns.
        width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 10_000
        console = Console(width=width, highlight=False)
        with console.capture() as captured:
            console.print(table)
        _write(sys.stdout, "".join(line.rstrip() + "\n" for line in captured.get().splitlines()))

    def result(self, value: Any) -> None:
        """The result as one JSON document."""
        if self.json:
            _write(sys.stdout, to_json(value, indent=2) + "\n")

    def note(self, text: str) -> None:
        """What is worth knowing while work goes on."""
        if not self.quiet:
            _write(sys.stderr, printable(text, keep="\n\t") + "\n")

    def warning(self, text: str) -> None:
        """What people may want to mend."""
        self._labelled("Warning", text)

    def hint(self, command: str) -> None:
        """The next line to type."""
        if not (self.quiet or self.json):
            self._labelled("Next", command)

    def error(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        """What went wrong, where, and what to do."""
        self._labelled("Error", f"{_line(where)}: {_line(message)}" if where else _line(message))
        if hint:
            _write(sys.stderr, f"  {_line(hint)}\n")

    def confirm(self, question: str, *, yes: bool, otherwise: str) -> bool:
        """Whether to go on; `yes` answers without asking.

        Raises:
            InputError: there is nobody to ask.
        """
        if yes:
            return True
        if not sys.stdin.isatty():
            raise InputError(f"{otherwise}: there is no terminal to ask at", hint="Add --yes.")
        _write(sys.stderr, f"{printable(question)} [y/N] ")
        if sys.stdin.readline().strip().lower() in ("y", "yes"):
            return True
        self.note(f"{otherwise[0].upper()}{otherwise[1:]}.")
        return False

    def _labelled(self, label: str, text: str) -> None:
        heading = f"{label}:"
        if has_colours(sys.stderr):
            heading = f"\x1b[1;{_COLOURS[label]}m{heading}\x1b[0m"
        _write(sys.stderr, f"{heading} {printable(text, keep=chr(10))}\n")


def _line(text: str) -> str:
    """What can be shown of a text. What was typed or found in a file may be of any length, and an escape is longer than its character; a message is not."""
    shown = printable(text, keep="\n")
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST // 2]} … {shown[-_LONGEST // 2 :]}"


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON in the characters that stdout can carry."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent, allow_nan=False)
    return text


def has_colours(stream: TextIO) -> bool:
    """Whether colours may be used on `stream` (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _write(stream: TextIO, text: str) -> None:
    stream.write(text)
    if stream is sys.stderr:
        stream.flush()


out = Out()
