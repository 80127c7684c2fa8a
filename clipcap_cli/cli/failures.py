"""From an exception to a message and an exit code: the one place where errors are shown.

0 done · 1 a bug of ours · 2 usage · 3 the input is wrong or not found · 4 weights or a package are missing · 5 finished, but some items failed
6 the store (or the place of the output) is busy, full, damaged or read-only · 7 a process or machine that the work needs is gone
130 interrupted · 141 whoever read the output has closed it
"""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import typer

from clipcap_cli._version import __version__
from clipcap_cli.cli.out import out
from clipcap_cli.errors import ClipcapError

BUG, USAGE, INPUT, UNWRITABLE, INTERRUPTED, CLOSED = 1, 2, 3, 6, 130, 141
_DISKS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EIO: "input/output error",
}


class Interrupted(Exception):
    """Ctrl-C."""


class OutputClosed(Exception):
    """Whoever read the output (`| head`) has had enough."""


def report(error: BaseException, *, arguments: Sequence[str], home: Path | None, debug: bool, kept: str) -> int:
    """Say on stderr what happened and what to do, and return the exit code.

    Args:
        arguments: the command line, without the program's name.
        home: the store that was asked for.
        kept: what an interrupted command leaves behind.
    """
    if not _may_speak(error):
        return error.exit_code if isinstance(error, ClipcapError) else INTERRUPTED if isinstance(error, Interrupted) else BUG
    if debug and not isinstance(error, typer.TyperException | OutputClosed):
        traceback.print_exception(error, file=sys.stderr)
    match error:
        case ClipcapError():
            out.error(error.message, where=error.where, hint=error.hint)
            return error.exit_code
        case typer.TyperException():
            error.show()  # type: ignore[attr-defined]  # each that the parser raises has it
            return USAGE
        case Interrupted():
            out.error("interrupted", hint=kept)
            return INTERRUPTED
        case OutputClosed():
            # Python flushes stdout once more at its end; let that go nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return CLOSED
        case OSError(errno=number) if number in _DISKS:
            out.error(f"the output could not be written: {_DISKS[number]}", where=error.filename, hint="Free some space, or write to another place.")
            return UNWRITABLE
        case OSError(errno=errno.ENAMETOOLONG):
            out.error(
                f"a name of {len(str(error.filename)):,} characters is longer than a file's can be", where=str(error.filename), hint="Check what was typed."
            )
            return INPUT
        case _:
            return _bug(error, arguments, home)


def _may_speak(error: BaseException) -> bool:
    """Of processes that were started together, one says what went wrong."""
    from clipcap_cli.training.launching import may_speak, started_together

    return started_together() == 1 or may_speak(error)


def _bug(error: BaseException, arguments: Sequence[str], home: Path | None) -> int:
    place = _log(error, arguments, home)
    out.error(
        f"this is a bug in clipcap ({type(error).__name__}: {error})",
        hint=f"What was going on is written in {place}; please report it with that file." if place else "Type it again with --debug to see where.",
    )
    return BUG


def _log(error: BaseException, arguments: Sequence[str], home: Path | None) -> Path | None:
    """Write the traceback into the store's logs, or where temporary files lie."""
    from clipcap_cli.storage.home import open_home

    text = f"clipcap {__version__}, Python {sys.version}, {sys.platform}\narguments: {list(arguments)!r}\n\n{''.join(traceback.format_exception(error))}"
    name = f"clipcap-{datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}.log"
    places: tuple[Callable[[], Path], ...] = (lambda: open_home(home).prepare().logs, lambda: Path(tempfile.gettempdir()))
    for folder in places:
        try:
            path = folder() / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8", errors="backslashreplace")
        except (OSError, ClipcapError):
            continue
        return path
    return None


@contextmanager
def keep_quiet(*, unless: bool) -> Iterator[None]:
    """Keep the warnings and bars of libraries off the screen while the block runs."""
    if unless:
        yield
        return
    for name, value in {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "TRANSFORMERS_VERBOSITY": "error", "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1"}.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore")
        yield
