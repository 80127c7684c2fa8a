"""COCO's JSON: captions files (`images` and `annotations`), and results, which name a picture by its number.

Several files of one folder (`captions_train2017.json`, `captions_val2017.json`) are read as one dataset, and their names say the splits. A file alone is no
split, whatever its name: its pictures are split as those of any other source.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TypeGuard

from clipcap_cli.datasets.files.folders import beside, pictures_of
from clipcap_cli.datasets.files.json_files import ANNOTATIONS, bad_item, check_keys, count_key, first_items, json_files, load_json, tags_of
from clipcap_cli.datasets.matching import match_rows
from clipcap_cli.datasets.readers.coco_names import CocoPictures
from clipcap_cli.datasets.records import NO_TAGS, Evidence, Problem, ReaderOptions, Record, Report
from clipcap_cli.datasets.splits import is_split, split_name
from clipcap_cli.datasets.tables.delimited import Row
from clipcap_cli.errors import InputError
from clipcap_cli.words import count

# What annotations have in COCO's other files, and what it is.
_OTHERS = {"keypoints": "keypoints", "segments_info": "segments", "segmentation": "outlines of things", "bbox": "boxes around things"}


class Coco:
    """Captions files of COCO and of those who took over its format. What the options call columns are keys of its images."""

    layout = "coco captions"

    def detect(self, source: Path, options: ReaderOptions) -> Evidence | None:
        files = _files(source, options)
        if not files:
            if source.is_file() and (refused := refusal(source)):
                raise refused
            return None
        splits = _splits(files)
        folder = pictures_of(source, options.images)
        listed = " and ".join(f"{file.name} has {count(count_key(file, 'caption'), 'caption')}" for file in files)
        by_name = f" (splits {', '.join(splits.values())})" if splits else ""
        return Evidence(self.layout, f"{listed} in COCO's format{by_name}, and {folder.shared_place()} has {count(len(folder.pictures), 'picture')}")

    def read(self, source: Path, options: ReaderOptions, report: Report) -> Iterator[Record]:
        files = _files(source, options)
        if not files:
            raise InputError("there is no captions file of COCO here any more", where=str(source))
        splits = _splits(files)
        folder = pictures_of(source, options.images)
        place = beside(files[0], folder)
        pictures = CocoPictures(folder, place)
        kept, alone = options.tag_columns, len(files) == 1
        rows = chain.from_iterable(_rows(file, splits.get(file), pictures, report, kept=kept, alone=alone) for file in files)
        yield from match_rows(rows, folder, report, beside=place)


class CocoResults:
    """The captions that a model made, as COCO's evaluation takes them: a list of `image_id` and `caption`."""

    layout = "coco results"

    def detect(self, source: Path, options: ReaderOptions) -> Evidence | None:
        file = _results(source, options)
        if file is None:
            return None
        folder = pictures_of(source, options.images)
        pictures = count(len(folder.pictures), "picture")
        return Evidence(
            self.layout, f"{file.name} has {count(count_key(file, 'caption'), 'caption')} by picture number, and {folder.shared_place()} has {pictures}"
        )

    def read(self, source: Path, options: ReaderOptions, report: Report) -> Iterator[Record]:
        file = _results(source, options)
        if file is None:
            raise InputError("there are no COCO results here any more", where=str(source))
        folder = pictures_of(source, options.images)
        yield from match_rows(_result_rows(file, CocoPictures(folder), report), folder, report)


def refusal(source: Path) -> InputError | None:
    """Why COCO's files at `source` cannot be read: they are about something else than captions."""
    for file in chain.from_iterable(json_files(source)):
        annotations = first_items(file, ANNOTATIONS)
        others = [said for key, said in _OTHERS.items() if _have(annotations, key)]
        if others or (not annotations and _have(first_items(file, "images"), "id", "file_name")):
            message = f"this is a file in COCO's format with {' and '.join(others) or 'images'}, but without captions"
            return InputError(message, where=str(file), hint="Bring the file of captions (captions_*.json) of the same archive.")
    return None


def _files(source: Path, options: ReaderOptions) -> list[Path]:
    """The captions files: of the first place that has some."""
    if options.image_column or options.caption_column:
        return []
    found = ([file for file in files if _have(first_items(file, ANNOTATIONS), "image_id", "caption")] for files in json_files(source))
    return next(filter(None, found), [])


def _have(items: Iterable[Any], *keys: str) -> bool:
    return any(isinstance(item, dict) and item.keys() >= {*keys} for item in items)


def _results(source: Path, options: ReaderOptions) -> Path | None:
    if options.image_column or options.caption_column:
        return None
    for files in json_files(source):
        found = [file for file in files if any(isinstance(item, dict) and _is_number(item.get("image_id")) and "caption" in item for item in first_items(file))]
        if len(found) > 1:
            names = ", ".join(file.name for file in found)
            raise InputError(f"{len(found)} files here are COCO results: {names}", where=str(source), hint=f"Name the one that is meant: {found[0]}")
        if found:
            return found[0]
    return None


def _splits(files: list[Path]) -> Mapping[Path, str]:
    """The split that each file's name says, where there are several files and one is to learn from: `val` of captions_val2017.json."""
    words = ((file, word) for file in files for word in re.findall("[a-z]+", file.stem.lower()) if is_split(word))
    splits = {file: split for file, word in words if (split := split_name(word))}
    return splits if len(files) > 1 and "train" in splits.values() else {}


def _rows(file: Path, split: str | None, pictures: CocoPictures, report: Report, *, kept: Sequence[str], alone: bool) -> Iterator[Row]:
    """The captions of one file, each with the name that its picture has in the folder.

    Raises:
        InputError: the file cannot be read, or does not have the two lists.
    """
    images, annotations = _lists(load_json(file, report), file)
    check_keys(images, kept, file)
    names = _names(images, file, report)
    found = {image_id: pictures.find(name) for image_id, name in names.items()}
    tags = {image["id"]: tags_of(image, kept) for image in images if isinstance(image, dict) and _is_id(image.get("id"))} if kept else {}
    if not alone and not any(found.values()):
        message = f"none of its {count(len(names), 'picture')} is in {pictures.folder.root}; the file is left out"
        report(Problem("missing-picture", "warning", file.name, message, "Bring the pictures, or take the file away."))
        return
    unknown: Counter[Hashable] = Counter()
    ids: Counter[Hashable] = Counter()
    captioned: set[Hashable] = set()
    for place, annotation in enumerate(annotations):
        where = f"{file.name}, {ANNOTATIONS}[{place}]"
        if not isinstance(annotation, dict):
            report(bad_item(where, "this annotation is not an object with image_id and caption", annotation))
            continue
        image_id, caption = annotation.get("image_id"), annotation.get("caption")
        if _is_id(annotation.get("id")):
            ids[annotation["id"]] += 1
        if not _is_id(image_id):
            report(bad_item(where, "this annotation has no image_id", annotation))
        elif image_id not in names:
            unknown[image_id] += 1
        elif not isinstance(caption, str):
            report(bad_item(where, f"the caption of {names[image_id]!r} is not text", caption))
        else:
            captioned.add(image_id)
            yield Row(found[image_id][0] if len(found[image_id]) == 1 else names[image_id], caption, split, where, tags.get(image_id, NO_TAGS))
    _report_ids(unknown, ids, file, report)
    for image_id, name in names.items():
        if image_id not in captioned and not found[image_id]:  # the pictures that are there are reported with their names
            report(Problem("no-caption", "warning", file.name, f"image {image_id!r}, {name!r}, has no caption and no picture; it is left out"))


def _report_ids(unknown: Counter[Hashable], used: Counter[Hashable], file: Path, report: Report) -> None:
    """Report the images that are not there, with the number of their captions, and the ids of annotations that are used more than once."""
    for image_id, captions in unknown.items():
        message = f"{count(captions, 'caption')} of image {image_id!r}, which is not among the images of this file, {'is' if captions == 1 else 'are'} left out"
        report(Problem("unknown-image", "warning", file.name, message, "Add the image, or take its annotations out."))
    if repeated := [str(annotation_id) for annotation_id, times in used.items() if times > 1]:
        shown = ", ".join(repeated[:5]) + (" …" if len(repeated) > 5 else "")
        message = f"{count(len(repeated), 'id')} of annotations {'is' if len(repeated) == 1 else 'are'} used more than once ({shown}); all captions are kept"
        report(Problem("repeated-id", "info", file.name, message))


def _lists(value: Any, file: Path) -> tuple[list[Any], list[Any]]:
    lists = [value.get(key) if isinstance(value, dict) else None for key in ("images", ANNOTATIONS)]
    images, annotations = lists
    if isinstance(images, list) and isinstance(annotations, list):
        return images, annotations
    raise InputError(
        "this file does not have COCO's two lists, images and annotations",
        where=str(file),
        hint='It should be {"images": [{"id": 1, "file_name": "1.jpg"}], "annotations": [{"image_id": 1, "caption": "A dog runs."}]}.',
    )


def _names(images: list[Any], file: Path, report: Report) -> dict[Hashable, str]:
    """The file name of each image, by id."""
    names: dict[Hashable, str] = {}
    for place, image in enumerate(images):
        where = f"{file.name}, images[{place}]"
        image_id, name = (image.get("id"), image.get("file_name")) if isinstance(image, dict) else (None, None)
        if not _is_id(image_id) or not isinstance(name, str) or not name.strip():
            report(bad_item(where, "this image has no id or no file_name", image))
        elif image_id in names and names[image_id] != name:
            message = f"the id {image_id!r} is that of {names[image_id]!r}, too; it stays with that one"
            report(Problem("repeated-id", "warning", where, message, "Give each image an id of its own."))
        else:
            names[image_id] = name
    return names


def _result_rows(file: Path, pictures: CocoPictures, report: Report) -> Iterator[Row]:
    value = load_json(file, report)
    lost: Counter[tuple[int, tuple[str, ...]]] = Counter()
    for place, result in enumerate(value if isinstance(value, list) else []):
        where = f"{file.name}, [{place}]"
        number, caption = (result.get("image_id"), result.get("caption")) if isinstance(result, dict) else (None, None)
        if not _is_number(number) or not isinstance(caption, str):
            report(bad_item(where, "this result does not have a number as image_id and a text as caption", result))
            continue
        found = pictures.numbered(number)
        if len(found) == 1:
            yield Row(found[0], caption, None, where)
        else:
            lost[number, found] += 1
    for (number, found), captions in lost.items():
        if found:
            message = f"{len(found)} pictures have the number {number}: {', '.join(map(repr, found[:3]))} ({count(captions, 'caption')})"
            report(Problem("ambiguous-picture", "error", file.name, message, "Name the folder of the pictures that are meant with --images."))
        else:
            message = f"there is no picture with the number {number} at the end of its name ({count(captions, 'caption')})"
            report(Problem("missing-picture", "warning", file.name, message, "Bring the picture, or take its captions out."))


def _is_id(value: Any) -> bool:
    return isinstance(value, str) or _is_number(value)


def _is_number(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
