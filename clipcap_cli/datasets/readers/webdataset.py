"""Shards as webdataset and img2dataset make them: tars in which the files of one sample follow one another and share their name up to its first dot.

    00000.tar:  000000000.jpg  000000000.txt  000000000.json  000000001.jpg  …

One sample at a time is in memory. A shard is read as it comes, so nothing can be known of its end at its beginning: a member that would leave the folder, or
is a link or a device, is reported and passed over, and what came before the place where a shard is cut off is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path, PurePosixPath
from tarfile import TarInfo
from typing import Any

from clipcap_cli.datasets.files.archives import Content, is_hidden, parts_of, tar_members
from clipcap_cli.datasets.files.folders import scan
from clipcap_cli.datasets.files.text_files import decode
from clipcap_cli.datasets.pictures import MAX_BYTES, PICTURE_SUFFIXES
from clipcap_cli.datasets.places import inside_tar
from clipcap_cli.datasets.records import Evidence, Problem, ReaderOptions, Record, Report, Severity, clean_caption
from clipcap_cli.datasets.splits import is_split, splits_of_places
from clipcap_cli.datasets.tables.cells import texts_in
from clipcap_cli.datasets.tables.columns import CAPTION_ALIASES
from clipcap_cli.datasets.tables.table_files import split_word
from clipcap_cli.errors import InputError
from clipcap_cli.storage.reading import parse_json
from clipcap_cli.words import count, size

_ENDINGS = (".tar", ".tar.gz", ".tgz")
_TEXTS = ("txt", "text", "caption", "captions")
_JSON = "json"
_LARGEST_TEXT = 2**20  # bytes
_SHARDS_TRIED, _MEMBERS_TRIED, _SAMPLES_TRIED = 3, 1000, 20  # before it is said what a source is


@dataclass
class _Sample:
    """What consecutive members of one key hold: the picture's name and bytes, and where in the tar it lies; texts by their ending."""

    key: str
    picture: tuple[str, bytes] | None = None
    inside: str = ""
    texts: dict[str, bytes] = field(default_factory=dict)


class WebDataset:
    """Tars of samples: one, or a folder of them. What the options call columns are endings, or keys of the samples' JSON."""

    layout = "webdataset"

    def detect(self, source: Path, options: ReaderOptions) -> Evidence | None:
        if options.images or options.caption_from_folder:
            return None
        shards = _shards(source)
        for name, path in islice(shards.items(), _SHARDS_TRIED):
            first = _Shard(name, path, options, lambda _: None).first_pair()
            # Folders in the only tar may be its splits, which shows only once all of it is unpacked.
            if first is None or (source.is_file() and any(map(is_split, first.key.split("/")[:-1]))):
                continue
            assert first.picture is not None
            endings = " and ".join(f".{ending}" for ending in sorted(first.texts))
            splits = sorted(set(splits_of_shards(shards).values()))
            of_many = f", one of {count(len(shards), 'shard')}," if len(shards) > 1 else ""
            named = f"; the shards are named for {', '.join(splits)}" if splits else ""
            reason = f"{name}{of_many} has {first.picture[0]} and, of the same name, {endings}{named}"
            return Evidence(self.layout, reason, source.name.partition(".")[0] if source.is_file() else None)
        return None

    def read(self, source: Path, options: ReaderOptions, report: Report) -> Iterator[Record]:
        shards = _shards(source)
        splits = splits_of_shards(shards)
        for name, path in shards.items():
            yield from read_shard(name, path, splits.get(name), options, report)


def read_shard(name: str, path: Path, split: str | None, options: ReaderOptions, report: Report) -> Iterator[Record]:
    """The pictures of one tar with their captions; where it is damaged is reported, and what came before is given."""
    try:
        yield from _Shard(name, path, options, report).records(split)
    except InputError as error:
        report(Problem("damaged-archive", "error", name, error.message, error.hint or ""))


def _shards(source: Path) -> dict[str, Path]:
    """The tars of a source by name, in order; none if there are pictures beside them, which captions elsewhere may be about."""
    if source.is_file():
        return {source.name: source} if source.name.lower().endswith(_ENDINGS) else {}
    folder = scan(source)
    return {} if folder.pictures else {name: folder.path(name) for name in folder.files if name.lower().endswith(_ENDINGS)}


def splits_of_shards(shards: Iterable[str]) -> dict[str, str]:
    """The split of each shard ("train-00000.tar", "val/00000.tar"), if all have one."""
    return splits_of_places({name: split_word(PurePosixPath(name)) for name in shards})


class _Shard:
    """One tar, with what to look for in it and whom to tell of problems."""

    def __init__(self, name: str, path: Path, options: ReaderOptions, report: Report) -> None:
        self._name, self._path, self._options, self._report = name, path, options, report

    def first_pair(self) -> _Sample | None:
        """The first picture with a caption, if at least half of the first pictures have one: in a tar of any folder some captions follow by chance."""
        pictures, pairs = 0, []
        try:
            for sample in self._samples(_MEMBERS_TRIED):
                if sample.picture:
                    pictures += 1
                    if self._captions(sample, self._facts(sample)):
                        pairs.append(replace(sample, picture=(sample.picture[0], b"")))
                if pictures == _SAMPLES_TRIED:
                    break
        except InputError:  # what came before the damage tells
            pass
        return pairs[0] if pairs and len(pairs) * 2 >= pictures else None

    def records(self, split: str | None) -> Iterator[Record]:
        """The pictures with their captions.

        Raises:
            InputError: the tar is damaged or cut short; what came before has been given.
        """
        failed: Counter[str] = Counter()  # downloads, by what img2dataset says of them
        try:
            for sample in self._samples():
                facts = self._facts(sample)
                captions = self._captions(sample, facts)
                if sample.picture and captions:
                    member, data = sample.picture
                    yield Record(Path(self._name, member), captions, split, self._place(sample.key), data=data, tags=self._tags(facts), inside=sample.inside)
                elif sample.picture:
                    self._tell("no-caption", "warning", sample.key, "this picture has no caption; it is left out", "Give it one, in a .txt of its name.")
                elif isinstance(facts, dict) and facts.get("status", "success") != "success":
                    failed[str(facts["status"])[:80]] += 1
                elif captions:
                    self._tell("missing-picture", "warning", sample.key, "this sample has a caption and no picture", "Bring the picture, or take it out.")
        finally:
            if failed:
                kinds = ", ".join(f"{status} {number:,}" for status, number in failed.most_common(5))
                message = f"{count(failed.total(), 'sample')} of this shard could not be downloaded by whoever made it: {kinds}"
                self._report(Problem("not-downloaded", "warning", self._name, message, "Run img2dataset again, if they are wanted."))

    def _samples(self, members_at_most: int | None = None) -> Iterator[_Sample]:
        """The samples one after the other, those too that are no pairs.

        Raises:
            InputError: as `tar_members`; a sample that had both picture and text by then has been given.
        """
        sample: _Sample | None = None
        try:
            for member, content in islice(tar_members(self._path), members_at_most):
                if member.isdir():
                    continue
                parts = parts_of(member.name)
                if parts is None or content is None:
                    what = "has a name that leads out of the shard" if parts is None else "is a link or a device"
                    self._tell("refused-member", "error", member.name[:200], f"this member {what}; it is left out", "Take it out of the shard.")
                    continue
                base, _, ending = parts[-1].partition(".")
                if is_hidden(parts) or not ending:
                    continue
                key = "/".join((*parts[:-1], base))
                if sample is not None and sample.key != key:
                    yield sample
                    sample = None
                sample = sample or _Sample(key)
                self._take(sample, "/".join(parts), ending.lower(), member, content)
        except InputError:
            if sample is not None and sample.picture and sample.texts:
                yield sample
            raise
        if sample is not None:
            yield sample

    def _take(self, sample: _Sample, name: str, ending: str, member: TarInfo, content: Content) -> None:
        """Read a member into its sample, if it is a picture or a text."""
        options = self._options
        is_picture = ending == options.image_column if options.image_column else f".{ending}" in PICTURE_SUFFIXES
        if not is_picture and ending not in (*_TEXTS, _JSON, options.caption_column):
            return
        length, limit = member.size, MAX_BYTES if is_picture else _LARGEST_TEXT
        if length > limit:
            kind = "unreadable-picture" if is_picture else "unreadable-caption"
            self._tell(kind, "error", name, f"this file has {size(length)}, more than the {size(limit)} that are read", "Make it smaller, or take it out.")
        elif sample.picture if is_picture else ending in sample.texts:
            what = "pictures" if is_picture else f".{ending} files"
            self._tell("repeated-member", "warning", name, f"this sample has several {what}; the first is taken", "Give each sample a name of its own.")
        elif is_picture:
            sample.picture, sample.inside = (name, content.whole()), inside_tar(member.offset_data, length)
        else:
            sample.texts[ending] = content.whole()

    def _facts(self, sample: _Sample) -> Any:
        """What the JSON of a sample says; None if it has none."""
        if _JSON not in sample.texts:
            return None
        try:
            return parse_json(decode(sample.texts[_JSON])[0])
        except ValueError as error:
            self._tell("unreadable-caption", "error", sample.key, f"the .json of this sample is not JSON: {error}", "Write it again.")
            return None

    def _captions(self, sample: _Sample, facts: Any) -> tuple[str, ...]:
        """What the texts say, one caption a line, and of the JSON what they do not say."""
        wanted = self._options.caption_column
        lines: list[str] = []
        for ending, data in sample.texts.items():
            if ending == _JSON or wanted not in (None, ending):
                continue
            text, encoding = decode(data)
            if encoding == "cp1252":
                message = f"its .{ending} is not UTF-8; it was read as Windows-1252"
                self._tell("encoding", "info", sample.key, message, "Save it as UTF-8 if letters look wrong.")
            lines += text.splitlines()
        captions = [caption for line in lines if (caption := clean_caption(line))]
        told = map(clean_caption, _told(facts, (wanted,) if wanted else CAPTION_ALIASES))
        return (*captions, *(caption for caption in told if caption and caption not in captions))

    def _tags(self, facts: Any) -> dict[str, str]:
        values = facts if isinstance(facts, dict) else {}
        return {column: str(values[column]) for column in self._options.tag_columns if isinstance(values.get(column), str | int | float)}

    def _place(self, member: str) -> str:
        return f"{self._name}: {member}"

    def _tell(self, kind: str, severity: Severity, member: str, message: str, remedy: str) -> None:
        self._report(Problem(kind, severity, self._place(member), message, remedy))


def _told(facts: Any, keys: Iterable[str]) -> list[str]:
    """Captions in JSON: under the first of these keys that has some, or what it is as a whole."""
    if isinstance(facts, dict):
        return next((texts for key in keys if (texts := texts_in(facts.get(key)))), [])
    return texts_in(facts)
