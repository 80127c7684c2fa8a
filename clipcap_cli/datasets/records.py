"""What readers hand on: pictures with their captions, what is wrong with them, and why a layout was chosen.

A reader knows one layout of files. It says whether a source has that layout (`detect`) and turns the source into `Record`s (`read`), reporting each thing it
cannot use as a `Problem` instead of stopping.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from clipcap_cli.datasets.examining import Examined, Refused

Severity = Literal["error", "warning", "info"]
NO_TAGS: Mapping[str, str] = MappingProxyType({})


def no_tags() -> Mapping[str, str]:
    """The one empty mapping, for the many that have nothing."""
    return NO_TAGS


@dataclass(frozen=True, slots=True)
class Record:
    """One picture of a source with what is said about it.

    Attributes:
        image: its file; of a picture without one, only its name.
        where: the place for people ("captions.csv:12").
        image_id: given for a picture of which only the embedding is at hand.
        data: the picture itself, where it lies inside another file: an archive, a table.
        tags: what the columns say that were asked to be kept.
        inside: where in that other file it lies (see `places`).
        found: what its bytes tell, and `place`, where they are from now on: given for a picture that another machine has looked at.
    """

    image: Path
    captions: tuple[str, ...]
    split: str | None
    where: str
    image_id: str | None = None
    data: bytes | None = field(default=None, repr=False)
    tags: Mapping[str, str] = field(default_factory=no_tags)
    inside: str = field(default="", compare=False)
    found: Examined | Refused | None = None
    place: str = ""


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
    """A layout that a source has.

    Attributes:
        reason: a sentence for people.
        name: what its dataset is called, if not after its folder.
        columns: of a table, which column is what ("image": "file_name").
    """

    layout: str
    reason: str
    name: str | None = None
    columns: Mapping[str, str] = field(default_factory=no_tags)


@dataclass(frozen=True)
class ReaderOptions:
    """What the user said about the source.

    Attributes:
        image_column, caption_column: of its captions table.
        images: the folder of its pictures, if that is elsewhere.
        tag_columns: columns of the table whose values are kept with each picture.
        caption_from_folder: a sentence with {} for the name of a picture's folder, for pictures that are sorted by what they show.
    """

    image_column: str | None = None
    caption_column: str | None = None
    images: Path | None = None
    tag_columns: tuple[str, ...] = ()
    caption_from_folder: str | None = None


NO_OPTIONS = ReaderOptions()
Report = Callable[[Problem], None]


def ignore(problem: Problem) -> None:
    """The report of one who only looks."""


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
