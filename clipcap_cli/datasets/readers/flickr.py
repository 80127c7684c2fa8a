"""Flickr8k and Flickr30k: the captions as they were published and as they go round on Kaggle, and lists of the pictures of each split.

    Flickr8k.token.txt, results_20130124.token   NAME#N<TAB>CAPTION
    results.csv                                  NAME| N| CAPTION
    captions.txt                                 NAME,CAPTION

Tables are read line by line as they are, since no caption of theirs has several lines and their marks are not those of CSV. The oddities that these files are
known for are mended and listed: a picture named `x.jpg.1`, a line that lacks its second `|`, captions that are only a full stop.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from clipcap_cli.datasets.files.folders import beside, is_picture_name, pictures_of, subfolders, top_files
from clipcap_cli.datasets.files.text_files import text_encoding
from clipcap_cli.datasets.matching import match_rows
from clipcap_cli.datasets.records import Evidence, Problem, ReaderOptions, Record, Report
from clipcap_cli.datasets.splits import SPLITS, split_name
from clipcap_cli.datasets.tables.delimited import Row, lines_of
from clipcap_cli.errors import InputError
from clipcap_cli.words import count


@dataclass(frozen=True)
class _Form:
    """One form of captions file.

    Attributes:
        names: what such a file is called, in small letters.
        said, line: what each of its lines is, in words and as a pattern.
        header: the line on top, of a table.
        pictures: what pictures are called in a file that is of this form; None where the file's name alone tells.
        quoted: whether captions may stand in quotation marks.
    """

    names: re.Pattern[str]
    said: str
    line: re.Pattern[str]
    header: re.Pattern[str] | None = None
    pictures: re.Pattern[str] | None = None
    quoted: bool = False


_OF_A_TOKEN = "NAME#NUMBER, a tab and a caption"
_TOKEN = re.compile(r"(?P<image>.+?)#\d+\t(?P<caption>.*)")
_ANY_PICTURE = re.compile(r".+\.\w+")
_FORMS = (  # the most telling first
    _Form(re.compile(r"flickr8k\.token\.txt|results(_\d+)?\.token"), _OF_A_TOKEN, _TOKEN),
    _Form(re.compile(r".+\.token(\.txt)?"), _OF_A_TOKEN, _TOKEN, pictures=_ANY_PICTURE),
    _Form(
        re.compile(r"(results|captions)\.(csv|txt)"),
        "NAME| NUMBER| and a caption",
        re.compile(r"(?P<image>[^|]+)\|\s*\d+(?P<bar>\s*\||\s)(?P<caption>.*)"),
        header=re.compile(r"\s*image_name\s*\|\s*comment_number\s*\|\s*comment\s*"),
        pictures=_ANY_PICTURE,
    ),
    _Form(
        re.compile(r"captions\.txt"),
        "NAME, a comma and a caption",
        re.compile(r"(?P<image>[^,]+),(?P<caption>.*)"),
        header=re.compile(r"\s*image\s*,\s*caption\s*"),
        pictures=re.compile(r"\d+_[0-9a-f]{10}\.jpg"),  # as in Flickr8k; a captions.txt of other pictures is read as a table
        quoted=True,
    ),
)
_LIST = re.compile(r"(?:flickr_?(?:8|30)k[._]?)?(train|val|dev|test)(?:[._]?(?:images|list))?\.txt")
_LOOKED_AT = 20  # lines


class Flickr:
    """The files of Flickr8k and Flickr30k."""

    layout = "flickr"

    def detect(self, source: Path, options: ReaderOptions) -> Evidence | None:
        found = _find(source, options)
        if found is None:
            return None
        file, form = found
        layout = "flickr30k" if re.search("30k|^results", file.name.casefold()) else "flickr8k"
        captions = count(sum(match is not None for _, _, match in _matches(file, form)), "caption")
        lists = ", ".join(f"{split} ({len(names):,})" for split, names in _lists(file, source).items())
        folder = pictures_of(source, options.images)
        pictures = count(len(folder.pictures), "picture")
        reason = (
            f"{file.name} has {captions}, {f'with lists for {lists}' if lists else 'there are no lists for splits'}, and {folder.shared_place()} has {pictures}"
        )
        return Evidence(layout, reason)

    def read(self, source: Path, options: ReaderOptions, report: Report) -> Iterator[Record]:
        found = _find(source, options)
        if found is None:
            raise InputError("there is no captions file of Flickr8k or Flickr30k here any more", where=str(source))
        file, form = found
        lists = _lists(file, source)
        splits = _splits(lists, report)
        folder = pictures_of(source, options.images)
        seen: set[str] = set()
        for record in match_rows(_rows(file, form, splits, seen, report), folder, report, beside=beside(file, folder)):
            if splits and record.split is None:
                message = "this picture is in none of the split lists; it is kept, but in no split"
                report(Problem("no-split", "info", record.image.name, message, "Add its name to one of the lists."))
            yield record
        for split, names in lists.items():
            for name in names:
                if _key(name) not in seen and not folder.find(name):  # the pictures that are there have been reported
                    report(Problem("no-caption", "warning", name, f"the list of {split} names this picture, but it has no caption", "Take it out of the list."))


def _find(source: Path, options: ReaderOptions) -> tuple[Path, _Form] | None:
    """The captions file and its form: the most telling one, in the source or in a folder of it that is called after Flickr."""
    if source.is_file():
        places = [[source]]
    else:
        places = [top_files(source), *(top_files(folder) for folder in subfolders(source) if "flickr" in folder.name.casefold())]
    for form in _FORMS:
        if form.header and (options.image_column or options.caption_column or options.tag_columns):  # the user speaks of the columns of a table
            continue
        for files in places:
            found = [file for file in files if _has_form(file, form)]
            if len(found) > 1:
                names = ", ".join(file.name for file in found)
                raise InputError(f"{len(found)} files here have captions: {names}", where=str(source), hint=f"Name the one that is meant: {found[0]}")
            if found:
                return found[0], form
    return None


def _has_form(file: Path, form: _Form) -> bool:
    if not form.names.fullmatch(file.name.casefold()):
        return False
    if form.pictures is None:
        return True
    try:
        matches = [match for _, _, match in islice(_matches(file, form), _LOOKED_AT)]
    except InputError:  # another file may have the captions
        return False
    return any(match and form.pictures.fullmatch(_real_name(match["image"])) for match in matches)


def _matches(file: Path, form: _Form) -> Iterator[tuple[int, str, re.Match[str] | None]]:
    """Each line with its number, and its parts if it has the form; the header and empty lines are passed over.

    Raises:
        InputError: the file cannot be read.
    """
    for number, line in enumerate(_lines(file), 1):
        is_header = number == 1 and form.header is not None and form.header.fullmatch(line.casefold())
        if line.strip() and not is_header:
            yield number, line, form.line.fullmatch(line)


def _rows(file: Path, form: _Form, splits: Mapping[str, str], seen: set[str], report: Report) -> Iterator[Row]:
    if _encoding(file) == "cp1252":
        report(Problem("encoding", "info", file.name, "this file is not UTF-8; it was read as Windows-1252", "Save it as UTF-8 if letters look wrong."))
    for number, line, match in _matches(file, form):
        where = f"{file.name}:{number}"
        if match is None:
            report(Problem("bad-row", "warning", where, f"this line is not {form.said}: {line[:80]!r}"))
            continue
        name, caption = match["image"].strip(), match["caption"].strip()
        if form.quoted:
            caption = _unquoted(caption)
        if (real := _real_name(name)) != name:
            report(Problem("odd-name", "info", where, f"{name!r} was read as {real!r}"))
        if match.groupdict().get("bar", "|").isspace():
            report(Problem("bad-row", "info", where, f"this line has one '|' instead of two; the caption was read as {caption!r}"))
        seen.add(_key(real))
        if caption and not caption.strip(".,;:!?-'\"` "):
            report(
                Problem("empty-caption", "warning", where, f"the caption of {real!r} is only {caption!r}; it is left out", "Write one, or take the line out.")
            )
        else:
            yield Row(real, caption, splits.get(_key(real)), where)


def _real_name(name: str) -> str:
    """`x.jpg` of `x.jpg.1`, as Flickr8k's file has it once."""
    stem, ending = posixpath.splitext(name.strip())
    return stem if ending[1:].isdecimal() and is_picture_name(stem) else name.strip()


def _unquoted(caption: str) -> str:
    return caption[1:-1].replace('""', '"').strip() if len(caption) > 1 and caption[0] == caption[-1] == '"' else caption


def _lists(file: Path, source: Path) -> dict[str, list[str]]:
    """The names in the list of each split, which lies beside the captions file or in the folder above it."""
    lists: dict[str, list[str]] = {split: [] for split in SPLITS}
    for path in (*top_files(file.parent), *(top_files(source) if source.is_dir() and source != file.parent else ())):
        match = _LIST.fullmatch(path.name.casefold())
        names = [line.strip() for line in _lines(path) if line.strip()] if match else []
        if match and all(len(name.split()) == 1 for name in names[:_LOOKED_AT]):  # else it is something else that is called train.txt
            lists[split_name(match[1]) or ""] += names
    return {split: names for split, names in lists.items() if names}


def _splits(lists: Mapping[str, list[str]], report: Report) -> dict[str, str]:
    """The split of each picture, by its name without ending."""
    splits: dict[str, str] = {}
    for split, names in lists.items():
        for name in names:
            before = splits.setdefault(_key(name), split)
            if before != split:
                message = f"the lists of {before} and of {split} have this picture; it stays in {before}"
                report(Problem("split-conflict", "warning", name, message, "Take it out of one of them."))
    return splits


def _key(name: str) -> str:
    """A picture's own name without ending: lists of Flickr30k have only that."""
    base = posixpath.basename(name.strip())
    return posixpath.splitext(base)[0] if is_picture_name(base) else base


def _lines(path: Path) -> Iterator[str]:
    encoding = _encoding(path)
    try:
        with path.open(encoding=encoding, errors="replace") as stream:
            for line in lines_of(stream):
                yield line.rstrip("\n")
    except OSError as error:
        raise _unreadable(path, error) from error


def _encoding(path: Path) -> str:
    try:
        return text_encoding(path)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError(f"this file cannot be read: {error.strerror}", where=str(path))
