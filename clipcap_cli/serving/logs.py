"""What a server writes down: one line of JSON for each event, on stderr. No pictures, captions, file names or keys, and of errors no message: only where."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any

LOGGER = logging.getLogger("clipcap.serving")
_FACTS = "facts"
_FRAMES = 12  # of a traceback


def log(event: str, *, level: int = logging.INFO, error: BaseException | None = None, **facts: Any) -> None:
    """Write down that something happened.

    Args:
        event: one word for it.
        error: what was raised: its type and the places that it passed are written.
        facts: plain values.
    """
    LOGGER.log(level, event, extra={_FACTS: facts}, exc_info=error)


class JsonLines(logging.Formatter):
    """A record as one line of JSON. What other libraries log comes under `message`, without their arguments' contents only as far as they leave them out."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
        }
        if record.name == LOGGER.name:
            line |= {"event": record.msg, **getattr(record, _FACTS, {})}
        else:
            line |= {"event": "library", "logger": record.name, "message": record.getMessage()}
        if record.exc_info and record.exc_info[0] is not None:
            frames = traceback.extract_tb(record.exc_info[2])[-_FRAMES:]
            line |= {"error": record.exc_info[0].__name__, "at": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]}
        return json.dumps(line, ensure_ascii=True, default=str)


class _Stderr(logging.Handler):
    """Writes to stderr, whatever that is at the time."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        print(self.format(record), file=sys.stderr, flush=True)


def write_logs(*, quiet: bool) -> None:
    """Send what is logged to stderr, one line for each event; `quiet` leaves out what is usual."""
    handler = _Stderr()
    handler.setFormatter(JsonLines())
    for logger, level in ((LOGGER, logging.WARNING if quiet else logging.INFO), (logging.getLogger(), logging.ERROR)):
        logger.handlers = [handler]
        logger.setLevel(level)
    LOGGER.propagate = False
