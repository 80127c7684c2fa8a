"""One version of a dataset on disk: what it is in version.json, its pictures and captions in Parquet, its problems a line each.

    v0001/{version.json, images.parquet, captions.parquet, problems.jsonl}

A version is written once and never changed; version.json has the SHA-256 of the three others.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from clipcap_cli.datasets.records import NO_TAGS, Problem, no_tags
from clipcap_cli.datasets.splits import in_order
from clipcap_cli.datasets.statistics import Statistics, statistics_of
from clipcap_cli.errors import StoreError
from clipcap_cli.storage.atomic import write_json
from clipcap_cli.storage.hashing import sha256_of_file
from clipcap_cli.storage.reading import LARGEST_FILE, parse_json, read_small

FORMAT = 1
DATASET_FILE = "dataset.json"
VERSION_FILE = "version.json"
IMAGES_FILE = "images.parquet"
CAPTIONS_FILE = "captions.parquet"
PROBLEMS_FILE = "problems.jsonl"

TAGS = "tags"  # a column that is there where a picture has some

# Rows that are read together: of a million captions those of five pictures come in a twentieth of the time, and the file is no larger (measured).
_ROW_GROUP = 1 << 14
_PROBLEMS_AT_MOST = 2**30  # bytes of problems.jsonl
_TEXTS = frozenset(["image_id", "path", "name", "split", "caption", TAGS])  # the other columns are whole numbers
_RESTORE = "Restore the file, or remove the dataset (`clipcap dataset remove {name}`) and add it again."
_ADD_AGAIN = "Restore the file, or make a new version: clipcap dataset add SOURCE --name {name} --replace"


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture as a version has it.

    Attributes:
        path: of its file, or relative to the store where the store keeps it; of one inside of a shard its place (see `places`); "" where there is no file,
            and zeros in what follows.
        size, mtime_ns: of the file, in bytes, when it was read.
        tags: what the columns of its table say that were asked to be kept.
    """

    image_id: str
    path: str
    name: str
    split: str | None
    width: int
    height: int
    size: int
    mtime_ns: int
    captions: tuple[str, ...]
    tags: Mapping[str, str] = field(default_factory=no_tags)


def version_folder(dataset: Path, version: int) -> Path:
    return dataset / f"v{version:04d}"


def content_digest(pictures: Sequence[Picture], problems: Iterable[Problem]) -> str:
    """A hash of what a version says, for knowing whether a source has changed; when files were touched is no part of it."""
    digest = hashlib.sha256()
    for picture in pictures:
        told = [picture.image_id, picture.path, picture.name, picture.split, picture.captions]
        digest.update(json.dumps([*told, dict(picture.tags)] if picture.tags else told).encode())
    for problem in problems:
        digest.update(json.dumps(asdict(problem)).encode())
    return digest.hexdigest()


def write_version(folder: Path, pictures: Sequence[Picture], problems: Sequence[Problem], facts: dict[str, Any]) -> None:
    """Fill an empty folder with a version.

    Args:
        facts: what version.json says beside the counts: version, created, source, layout, reason, digest.
    """
    import pyarrow as pa

    images = {
        "image_id": pa.array([picture.image_id for picture in pictures], pa.string()),
        "path": pa.array([picture.path for picture in pictures], pa.string()),
        "name": pa.array([picture.name for picture in pictures], pa.string()),
        "split": pa.array([picture.split for picture in pictures], pa.string()),
        "width": pa.array([picture.width for picture in pictures], pa.int32()),
        "height": pa.array([picture.height for picture in pictures], pa.int32()),
        "size": pa.array([picture.size for picture in pictures], pa.int64()),
        "mtime_ns": pa.array([picture.mtime_ns for picture in pictures], pa.int64()),
    }
    if any(picture.tags for picture in pictures):
        images[TAGS] = pa.array([json.dumps(dict(picture.tags)) for picture in pictures], pa.string())
    captions = {
        "row": pa.array([row for row, picture in enumerate(pictures) for _ in picture.captions], pa.int32()),  # of its picture in images.parquet
        "caption": pa.array([caption for picture in pictures for caption in picture.captions], pa.string()),
    }
    _write_parquet(folder / IMAGES_FILE, pa.table(images))
    _write_parquet(folder / CAPTIONS_FILE, pa.table(captions))
    with (folder / PROBLEMS_FILE).open("w", encoding="utf-8") as stream:
        for problem in problems:
            stream.write(json.dumps(asdict(problem)) + "\n")
    counts = {
        "pictures": len(pictures),
        "captions": len(captions["caption"]),
        "splits": in_order(Counter(picture.split for picture in pictures if picture.split)),
        "problems": dict(Counter(problem.kind for problem in problems).most_common()),
        "severities": dict(Counter(problem.severity for problem in problems).most_common()),
    }
    files = {name: sha256_of_file(folder / name) for name in (IMAGES_FILE, CAPTIONS_FILE, PROBLEMS_FILE)}
    statistics = statistics_of(pictures).as_json()
    write_json(folder / VERSION_FILE, {"format": FORMAT, **facts, **counts, "files": files, "statistics": statistics})


def read_statistics(folder: Path) -> Statistics:
    """What the captions and pictures of a version are like; counted now if an older clipcap has written it.

    Raises:
        StoreError: a file is missing or damaged.
    """
    path = folder / VERSION_FILE
    kept = read_json(path).get("statistics")
    try:
        return statistics_of(read_pictures(folder)) if kept is None else Statistics.from_json(kept)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise damaged(path, f"its statistics are not as they were written ({error!r})") from error


def read_json(path: Path) -> dict[str, Any]:
    """dataset.json or version.json.

    Raises:
        StoreError: it is missing, damaged, or of a newer format.
    """
    try:
        value = parse_json(read_small(path))
    except FileNotFoundError as error:
        raise damaged(path, "the file is missing") from error
    except (OSError, ValueError) as error:
        raise damaged(path, f"the file cannot be read ({error})") from error
    if not isinstance(value, dict) or not isinstance(value.get("format"), int):
        raise damaged(path, "the file has no format number")
    if value["format"] > FORMAT:
        raise StoreError(f"this has format {value['format']}, newer than the {FORMAT} that this clipcap knows", where=str(path), hint="Update clipcap.")
    return value


def read_table(path: Path, columns: Sequence[str], *, among: tuple[str, Sequence[int]] | None = None) -> Any:
    """Columns of a Parquet file, as an Arrow table.

    Args:
        among: one of the columns, and those of its values whose rows are wanted: parts of the file that cannot hold them are not read.

    Raises:
        StoreError: it is missing or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # Not by `pq.read_table`, which loads pandas: a third of a second.
        with path.open("rb") as stream, pq.ParquetFile(stream) as file:
            groups = range(file.num_row_groups) if among is None else _groups_with(file, *among)
            table = file.read_row_groups(groups, columns=list(columns)).select(list(columns))
        table.validate(full=True)  # texts that are none, places outside of the data
        odd = [name for name in columns if not (pa.types.is_string if name in _TEXTS else pa.types.is_integer)(table.schema.field(name).type)]
        if odd:
            raise damaged(path, f"its column {odd[0]!r} is of another kind")
        return table
    except FileNotFoundError as error:
        raise damaged(path, "the file is missing") from error
    except (OSError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
        raise damaged(path, f"the file cannot be read ({str(error).partition(chr(10))[0]})") from error


def _groups_with(file: Any, column: str, values: Sequence[int]) -> list[int]:
    """The row groups of a Parquet file that may have one of these values in a column."""
    place = file.schema_arrow.names.index(column)
    known = [file.metadata.row_group(group).column(place).statistics for group in range(file.num_row_groups)]
    return [group for group, of in enumerate(known) if of is None or not of.has_min_max or any(of.min <= value <= of.max for value in values)]


def read_pictures(folder: Path) -> list[Picture]:
    """The pictures of a version, in the order of their names.

    Raises:
        StoreError: a file is missing or damaged.
    """
    columns = [of.name for of in fields(Picture) if of.name not in ("captions", TAGS)]
    path = folder / IMAGES_FILE
    has_tags = TAGS in column_names(path)
    images = read_table(path, [*columns, TAGS] if has_tags else columns).to_pylist()
    captions = read_table(folder / CAPTIONS_FILE, ["row", "caption"])
    told: list[list[str]] = [[] for _ in images]
    try:
        for row, text in zip(captions["row"].to_pylist(), captions["caption"].to_pylist(), strict=True):
            told[_row(row)].append(text)
        tags = [parse_json(image.pop(TAGS)) if has_tags else NO_TAGS for image in images]
        return [Picture(**image, captions=tuple(texts), tags=of) for image, texts, of in zip(images, told, tags, strict=True)]
    except (IndexError, TypeError, ValueError) as error:
        raise damaged(path, f"its pictures are not those of the other files ({error})") from error


def _row(row: int) -> int:
    if row < 0:
        raise IndexError(row)
    return row


def column_names(path: Path) -> list[str]:
    """The columns of a Parquet file.

    Raises:
        StoreError: it is missing or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as stream:
            return list(pq.read_schema(stream).names)
    except FileNotFoundError as error:
        raise damaged(path, "the file is missing") from error
    except (OSError, pa.ArrowException) as error:
        raise damaged(path, f"the file cannot be read ({str(error).splitlines()[0]})") from error


def read_problems(path: Path) -> list[Problem]:
    """The problems of a version.

    Raises:
        StoreError: the file is missing or damaged.
    """
    try:
        return [Problem(**parse_json(line)) for line in read_small(path, LARGEST_FILE).splitlines()]
    except FileNotFoundError as error:
        raise damaged(path, "the file is missing") from error
    except (OSError, ValueError, TypeError) as error:
        raise damaged(path, f"the file cannot be read ({error})") from error


def damaged(path: Path, message: str) -> StoreError:
    """The error for a file of a dataset that is not as it was written."""
    is_whole = path.name == DATASET_FILE  # the dataset's file, not a version's
    name = path.parent.name if is_whole else path.parent.parent.name
    return StoreError(f"the dataset {name!r} is damaged: {message}", where=str(path), hint=(_RESTORE if is_whole else _ADD_AGAIN).format(name=name))


def _write_parquet(path: Path, table: Any) -> None:
    import pyarrow.parquet as pq

    with path.open("wb") as stream:
        pq.write_table(table, stream, row_group_size=_ROW_GROUP)
