"""Karpathy's splits of COCO, Flickr8k and Flickr30k: `dataset_coco.json` with `images`, each with its split and its sentences.

The caption is a sentence's `raw`, the text as people wrote it; where it is missing, its `tokens` with blanks between. The tokens are not kept beside it:
scoring tokenises every text anew (`evaluation/metrics/tokenizer`), as the evaluation that published scores come from does. `restval`, the part of COCO's
validation pictures that is learned from, is train.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from clipcap_cli.datasets.files.folders import pictures_of
from clipcap_cli.datasets.files.json_files import bad_item, check_keys, count_key, first_items, json_files, load_json, tags_of
from clipcap_cli.datasets.matching import match_rows
from clipcap_cli.datasets.readers.coco_names import CocoPictures
from clipcap_cli.datasets.records import Evidence, Problem, ReaderOptions, Record, Report
from clipcap_cli.datasets.splits import split_name
from clipcap_cli.datasets.tables.delimited import Row
from clipcap_cli.errors import InputError
from clipcap_cli.words import count


class Karpathy:
    """One `dataset_*.json`. What the options call columns are keys of its images."""

    layout = "karpathy"

    def detect(self, source: Path, options: ReaderOptions) -> Evidence | None:
        file = _file(source, options)
        if file is None:
            return None
        folder = pictures_of(source, options.images)
        named, captions = count(count_key(file, "sentences"), "picture"), count(count_key(file, "raw"), "sentence")
        there = f"{folder.shared_place()} has {count(len(folder.pictures), 'picture')}"
        return Evidence(self.layout, f"{file.name} names {named} with {captions} in Karpathy's splits, and {there}")

    def read(self, source: Path, options: ReaderOptions, report: Report) -> Iterator[Record]:
        file = _file(source, options)
        if file is None:
            raise InputError("there is no file of Karpathy's here any more", where=str(source))
        folder = pictures_of(source, options.images)
        yield from match_rows(_rows(file, CocoPictures(folder), options.tag_columns, report), folder, report)


def _file(source: Path, options: ReaderOptions) -> Path | None:
    if options.image_column or options.caption_column:
        return None
    for files in json_files(source):
        found = [file for file in files if _has_sentences(first_items(file, "images"))]
        if len(found) > 1:
            names = ", ".join(file.name for file in found)
            raise InputError(f"{len(found)} files here have Karpathy's splits: {names}", where=str(source), hint=f"Name the one that is meant: {found[0]}")
        if found:
            return found[0]
    return None


def _has_sentences(items: list[Any]) -> bool:
    return any(isinstance(item, dict) and {"filename", "sentences"} <= item.keys() for item in items)


def _rows(file: Path, pictures: CocoPictures, kept: Sequence[str], report: Report) -> Iterator[Row]:
    value = load_json(file, report)
    images = value.get("images") if isinstance(value, dict) else None
    if not isinstance(images, list):
        raise InputError("this file has no list of images", where=str(file), hint='It should be {"images": [{"filename": …, "split": …, "sentences": …}]}.')
    check_keys(images, kept, file)
    for place, image in enumerate(images):
        where = f"{file.name}, images[{place}]"
        name = image.get("filename") if isinstance(image, dict) else None
        if not isinstance(name, str) or not name.strip():
            report(bad_item(where, "this image has no filename", image))
            continue
        folder, split, sentences = image.get("filepath"), image.get("split"), image.get("sentences")
        if folder and isinstance(folder, str):
            name = f"{folder}/{name}"
        found = pictures.find(name)
        if not isinstance(sentences, list):
            report(bad_item(where, f"{name!r} has no list of sentences", sentences))
            continue
        if not sentences and not found:  # the pictures that are there are reported with their names
            report(Problem("no-caption", "warning", where, f"{name!r} has no sentences and no picture; it is left out"))
        for sentence in sentences:
            text = _text(sentence)
            if text is None:
                report(bad_item(where, f"a sentence of {name!r} has no text", sentence))
            else:
                yield Row(found[0] if len(found) == 1 else name, text, split_name(split) if isinstance(split, str) else None, where, tags_of(image, kept))


def _text(sentence: Any) -> str | None:
    raw, tokens = (sentence.get("raw"), sentence.get("tokens")) if isinstance(sentence, dict) else (None, None)
    if isinstance(raw, str):
        return raw
    return " ".join(tokens) if isinstance(tokens, list) and all(isinstance(token, str) for token in tokens) else None
