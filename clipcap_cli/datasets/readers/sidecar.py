"""A `.txt` beside each picture, with the picture's name and one caption a line; subfolders too.

Where the topmost subfolders are named train and val(idation) or test, they are the splits.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from pathlib import Path

from clipcap_cli.datasets.files.folders import Folder, scan, split_folders
from clipcap_cli.datasets.files.text_files import text_encoding
from clipcap_cli.datasets.matching import report_without_caption
from clipcap_cli.datasets.records import Evidence, Problem, ReaderOptions, Record, Report, clean_caption
from clipcap_cli.words import count

# What people lay into a folder of pictures for people, not as captions.
_FOR_PEOPLE = ("readme", "license", "licence", "notice", "attribution", "credits", "requirements", "classes", "labels", "changelog")

_LARGEST = 2**20  # bytes of one picture's captions


class Sidecar:
    """Pictures with a text file each."""

    layout = "sidecar"

    def detect(self, source: Path, options: ReaderOptions) -> Evidence | None:
        if not source.is_dir() or options.images or options.image_column or options.caption_column:
            return None
        folder = scan(source)
        texts = _texts(folder)
        beside = sum(_stem(name) in texts for name in folder.pictures)
        if not beside:
            return None
        splits = split_folders(folder)
        named = f"; the folders {', '.join(sorted(splits))} are its splits" if splits else ""
        return Evidence(self.layout, f"{beside:,} of {count(len(folder.pictures), 'picture')} have a .txt of their name beside them{named}")

    def read(self, source: Path, options: ReaderOptions, report: Report) -> Iterator[Record]:
        folder = scan(source)
        texts = _texts(folder)
        splits = split_folders(folder)
        report_without_caption((name for name in folder.pictures if _stem(name) not in texts), report)
        stems = {_stem(name) for name in folder.pictures}
        for stem, text in texts.items():
            if stem not in stems and posixpath.basename(stem).casefold() not in _FOR_PEOPLE:
                report(Problem("missing-picture", "warning", text, "there is no picture of this name beside it", "Bring the picture, or take the file out."))
        for name in folder.pictures:
            if _stem(name) not in texts:
                continue
            text = texts[_stem(name)]
            captions = _captions(folder.path(text), text, report)
            if captions:
                yield Record(folder.path(name), captions, splits.get(name.split("/", 1)[0]), text)
            else:
                report(Problem("empty-caption", "warning", text, f"the caption of {name!r} is empty", "Write one caption a line into this file."))


def _texts(folder: Folder) -> dict[str, str]:
    """The text files by their path without ending."""
    return {_stem(name): name for name in folder.files if name.lower().endswith(".txt")}


def _stem(name: str) -> str:
    return posixpath.splitext(name)[0]


def _captions(path: Path, where: str, report: Report) -> tuple[str, ...]:
    try:
        encoding = text_encoding(path, _LARGEST)
        lines = path.read_text(encoding, errors="replace").splitlines()
    except OSError as error:
        report(Problem("unreadable-caption", "error", where, f"this file cannot be read: {error.strerror}", "Give yourself permission to read it."))
        return ()
    if encoding == "cp1252":
        report(Problem("encoding", "info", where, "this file is not UTF-8; it was read as Windows-1252", "Save it as UTF-8 if letters look wrong."))
    return tuple(caption for line in lines if (caption := clean_caption(line)))
