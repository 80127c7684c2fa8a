"""Pictures in folders that are named for what they show, and a sentence for those names: "a photo of a {}" and dog/1.jpg are "a photo of a dog".

Only where the user gives the sentence. Where the topmost folders are named train and val(idation) or test, they are the splits.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from clipcap_cli.datasets.files.folders import Folder, scan, split_folders
from clipcap_cli.datasets.records import Evidence, Problem, ReaderOptions, Record, Report, clean_caption
from clipcap_cli.errors import InputError
from clipcap_cli.words import count

_BLANK = "{}"
_SHOWN = 5


class ClassFolders:
    """A folder of pictures for each thing that they show."""

    layout = "class folders"

    def detect(self, source: Path, options: ReaderOptions) -> Evidence | None:
        sentence = options.caption_from_folder
        if sentence is None or not source.is_dir():
            return None
        if _BLANK not in sentence:
            hint = f'Write {_BLANK} where the name of the folder goes, as in "a photo of a {_BLANK}".'
            raise InputError(f"the sentence {sentence!r} has no place for a folder's name", where="--caption-from-folder", hint=hint)
        folder = scan(source)
        names = sorted(set(classes(folder).values()) - {""})
        if not names:
            return None
        splits = ", ".join(sorted(split_folders(folder)))
        return Evidence(
            self.layout,
            f"{count(len(folder.pictures), 'picture')} in {count(len(names), 'class folder')} ({in_short(names)}) fill {sentence!r}"
            + (f"; the folders {splits} are its splits" if splits else ""),
        )

    def read(self, source: Path, options: ReaderOptions, report: Report) -> Iterator[Record]:
        folder = scan(source)
        splits = split_folders(folder)
        for name, shown in classes(folder).items():
            if shown:
                caption = clean_caption((options.caption_from_folder or _BLANK).replace(_BLANK, shown))
                yield Record(folder.path(name), (caption,), splits.get(name.split("/", 1)[0]), name)
            else:
                report(Problem("no-caption", "warning", name, "this picture is in no folder that says what it shows", "Move it into the folder of its class."))


def classes(folder: Folder) -> dict[str, str]:
    """What each picture shows by the name of its folder, with blanks for '_' and '-'; "" where that folder is a split or, beside folders of classes, none."""
    splits = split_folders(folder)
    parents = {name: posixpath.dirname(name) for name in folder.pictures}
    top = "" if any(parents.values()) else folder.root.name
    named = {name: "" if parent in splits else posixpath.basename(parent) or top for name, parent in parents.items()}
    return {name: " ".join(re.split(r"[\s_-]+", shown)).strip() for name, shown in named.items()}


def in_short(names: list[str]) -> str:
    """The first few of them, for people."""
    return ", ".join(names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")
