"""What readers hand on: pictures with their captions, what is wrong with them, and why a layout was chosen.

A reader knows one layout of files. It says whether a source has that layout (`detect`) and turns the source into `Record`s (`read`), reporting each thing it
cannot use as a `Problem` instead of stopping.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True, slots=True)
class Record:
    """One picture of a source with what is said about it; `where` is the place for people ("captions.csv:12").

    `image_id` is given for a picture of which no file is at hand; `image` is only its name then.
    """

    image: Path
    captions: tuple[str, ...]
    split: str | None
    where: str
    image_id: str | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that was left out or decided, where it stands, and what would mend it."""

    kind: str
    severity: Severity
    where: str
    message: str
    remedy: str = ""


@dataclass(frozen=True)
class Evidence:
    """A layout that a source has; `reason` is a sentence for people, `name` what its dataset is called if not after its folder."""

    layout: str
    reason: str
    name: str | None = None


@dataclass(frozen=True)
class ReaderOptions:
    """What the user said about the source: the columns of its captions table, and the folder of its pictures if that is elsewhere."""

    image_column: str | None = None
    caption_column: str | None = None
    images: Path | None = None


NO_OPTIONS = ReaderOptions()
Report = Callable[[Problem], None]


@runtime_checkable
class Reader(Protocol):
    """One layout of files. Third parties add theirs through the entry-point group `clipcap.readers`."""

    layout: str

    def detect(self, source: Path, options: ReaderOptions) -> Evidence | None:
        """Why `source` (a folder, or one file) has this layout, or None."""

    def read(self, source: Path, options: ReaderOptions, report: Report) -> Iterator[Record]:
        """The pictures of `source` with their captions."""


def clean_caption(text: str) -> str:
    """The text with each run of white space, newlines too, as one blank and none around it; "" if it says that there is no caption ("NaN", "null")."""
    cleaned = as_text(" ".join(text.split()))
    return "" if cleaned.casefold() in _NOTHING else cleaned


def as_text(text: str) -> str:
    """The same text with what cannot be written as UTF-8 (parts of file names that are not text, halves of JSON's escapes) shown as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


# What tables have in a cell that has no value.
_NOTHING = frozenset({"", "nan", "null", "none", "na", "n/a", "<na>", "#n/a"})
