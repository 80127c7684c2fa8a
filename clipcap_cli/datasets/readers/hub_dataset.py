"""`hf:ORGANISATION/NAME`: a dataset of the Hugging Face hub with pictures in it, streamed by the library `datasets` (extra `hub`).

`hf:ORGANISATION/NAME:CONFIG@REVISION` names one of its configurations, and a branch, tag or commit. No program of the dataset's own is ever run. A picture that
a row only names is fetched if it lies in the dataset itself, and from nowhere else: neither from this machine nor from other addresses.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipcap_cli.datasets.pictures import MAX_BYTES
from clipcap_cli.datasets.readers.parquet import joined
from clipcap_cli.datasets.records import Evidence, Problem, ReaderOptions, Record, Report
from clipcap_cli.datasets.splits import split_name
from clipcap_cli.datasets.tables.columns import Columns, Table, require_columns
from clipcap_cli.datasets.tables.delimited import captions_of, split_of, tags_of
from clipcap_cli.errors import InputError, MissingError
from clipcap_cli.storage.hub import dataset_commit, reaching_the_hub

REMOTE = "hf:"  # how the address of a dataset of the hub begins

_ADDRESS = re.compile(r"hf:(?P<name>[^:@]+)(?::(?P<config>[^@]+))?(?:@(?P<revision>.+))?")
_OWN_FILE = r"(?:zip://[^:]*::)?{}[^:]*"  # the address of a file of the dataset, perhaps in a zip
_SCRIPT = "Dataset scripts are no longer supported"  # as the library says it


def is_remote(source: Path) -> bool:
    """Whether a source is an address of the hub, and no path."""
    return str(source).startswith(REMOTE)


class HubDataset:
    """A dataset of the hub. What was looked up is what is read, even if there is a newer commit by then."""

    layout = "hub dataset"

    def __init__(self) -> None:
        self._found: dict[Path, FoundDataset] = {}

    def detect(self, source: Path, options: ReaderOptions) -> Evidence | None:
        return self.look_up(source, options) if is_remote(source) else None

    def look_up(self, source: Path, options: ReaderOptions) -> Evidence:
        """What the hub says of it.

        Raises:
            InputError: there is no such dataset, or it has no pictures or no captions.
            MissingError: offline, not reachable, or the library is not installed.
        """
        found = self._found[source] = find_dataset(source)
        columns = found.splits[0].columns(options)
        named = columns.named(found.splits[0])
        captions, splits = named["captions"].replace(", ", "', '"), ", ".join(rows.split for rows in found.splits)
        reason = f"the hub's dataset {found.name} at {found.commit[:12]} has the columns '{named['image']}' and '{captions}', and the splits {splits}"
        return Evidence(self.layout, reason, columns=named)

    def read(self, source: Path, options: ReaderOptions, report: Report) -> Iterator[Record]:
        found = self._found.get(source) or find_dataset(source)
        yield from records_of(found, found.splits[0].columns(options), report)


@dataclass(frozen=True)
class SplitRows(Table):
    """The rows of one split.

    Attributes:
        split: as the hub calls it.
        rows: the library's stream of them.
        pictures: columns that hold pictures.
    """

    split: str
    rows: Any
    pictures: frozenset[str]

    @property
    def inside(self) -> frozenset[str]:
        return self.pictures

    def columns(self, options: ReaderOptions) -> Columns:
        """Which column is what.

        Raises:
            InputError: there are no pictures or no captions in it.
        """
        columns = require_columns(self, options)
        if self.header[columns.image] not in self.pictures:
            hint = f"Try --image-column {min(self.pictures)}." if self.pictures else "Its pictures may lie elsewhere: read its page on the hub."
            raise InputError(f"the column {self.header[columns.image]!r} of this dataset holds no pictures", where=str(self.path), hint=hint)
        return columns

    def cells(self, columns: Columns, report: Report) -> Iterator[tuple[str, Sequence[object]]]:
        """As `Table.cells`."""
        wanted = {columns.image, *columns.captions, *columns.tags} | ({columns.split} if columns.split is not None else set())
        rows = self.rows.decode(False).select_columns([self.header[place] for place in sorted(wanted)])
        for number, row in enumerate(rows, 1):
            yield f"{self.split}:{number}", [row.get(name) for name in self.header]


@dataclass(frozen=True)
class FoundDataset:
    """A dataset of the hub at one commit.

    Attributes:
        place: how the addresses of its own files begin.
    """

    name: str
    commit: str
    place: str
    splits: Sequence[SplitRows]


def find_dataset(source: Path) -> FoundDataset:
    """Look a dataset of the hub up.

    Raises:
        InputError: there is none, or it is none that can be read.
        MissingError: offline, not reachable, or the library is not installed.
    """
    address = _ADDRESS.fullmatch(source.as_posix())
    if address is None:
        hint = "Write hf:ORGANISATION/NAME, or hf:ORGANISATION/NAME:CONFIG@REVISION."
        raise InputError("this is no address of a dataset of the hub", where=str(source), hint=hint)
    name, config, revision = address["name"], address["config"], address["revision"]
    try:
        from datasets import load_dataset
    except ImportError as error:
        message = f"datasets of the hub are read by the package datasets, which cannot be imported ({error})"
        raise MissingError(message, where=str(source), hint='pip install "clipcap-cli[hub]"') from error
    commit = dataset_commit(name, revision=revision)
    place = f"{REMOTE}//datasets/{name}"  # with this prefix, or a folder of that name in the working directory would be taken
    with _reaching(name):
        try:
            streams = load_dataset(place, config, revision=commit, streaming=True)
        except ValueError as error:
            raise _wrong_config(name, place, config, commit) or error from error
        return FoundDataset(name, commit, f"{place}@{commit}/", splits_of(source, streams))


def splits_of(source: Path, streams: Mapping[str, Any]) -> list[SplitRows]:
    """The library's streams of rows as tables."""
    from datasets import Image

    features: Mapping[str, Any] = next(iter(streams.values())).features or {}
    pictures = frozenset(column for column, feature in features.items() if isinstance(feature, Image))
    return [SplitRows(source, tuple(features), split, rows, pictures) for split, rows in streams.items()]


def records_of(found: FoundDataset, columns: Columns, report: Report) -> Iterator[Record]:
    """The pictures with their captions. A dataset without splits has the one that the hub needs, so a single one is no split."""
    several = len(found.splits) > 1
    with _reaching(found.name):
        for table in found.splits:
            split = split_name(table.split) if several else None
            yield from joined(_records_of_split(table, split, found.place, columns, report))


def _records_of_split(table: SplitRows, split: str | None, place: str, columns: Columns, report: Report) -> Iterator[Record]:
    for where, cells in table.cells(columns, report):
        picture, captions = _picture(cells[columns.image], place), captions_of(cells, columns)
        if isinstance(picture, str):
            report(Problem("missing-picture", "warning", where, picture, "Ask those who made the dataset."))
        elif not captions:
            report(Problem("empty-caption", "warning", where, "the caption of this row is empty", "Ask those who made the dataset."))
        else:
            name, data = picture
            image = Path(table.split, name or where.rpartition(":")[2])
            yield Record(image, tuple(captions), split or split_of(cells, columns), where, data=data, tags=tags_of(cells, columns, table))


def _picture(cell: Any, place: str) -> tuple[str, bytes] | str:
    """The name of a picture's file and its bytes, or why there are none.

    Args:
        place: how the address of a file begins that may be fetched.
    """
    held = cell if isinstance(cell, Mapping) else {}
    data, path = held.get("bytes"), held.get("path") or ""
    if data is None and re.fullmatch(_OWN_FILE.format(re.escape(place)), path) and ".." not in path.split("/"):
        data = _fetched(path)
    if data is None:
        return f"this picture lies outside of the dataset, at {path[:200]!r}, and is not fetched" if path else "there is no picture in this row"
    if len(data) > MAX_BYTES:
        return f"this picture has more than the {MAX_BYTES / 1e6:,.0f} MB that are read"
    return posixpath.basename(path), data


def _fetched(path: str) -> bytes:
    """The bytes of a file; one more than may be used, if there are more."""
    import fsspec

    with fsspec.open(path, "rb") as stream:
        return bytes(stream.read(MAX_BYTES + 1))


def _wrong_config(name: str, place: str, config: str | None, commit: str) -> InputError | None:
    """The error where a configuration has to be named, or there is none of that name."""
    from datasets import get_dataset_config_names

    names = get_dataset_config_names(place, revision=commit)
    if config in names or (config is None and len(names) == 1):
        return None
    what = f"the dataset {name} has no configuration {config!r}" if config else f"the dataset {name} has several configurations"
    return InputError(f"{what}: there are {', '.join(names[:10])}{' …' if len(names) > 10 else ''}", hint=f"Name one, as in {REMOTE}{name}:{names[0]}.")


@contextmanager
def _reaching(name: str) -> Iterator[None]:
    """Without the libraries' bars and remarks, and with their errors in plain words."""
    import datasets
    from datasets.exceptions import DatasetsError

    what, level, drew = f"the dataset {name}", datasets.logging.get_verbosity(), not datasets.are_progress_bars_disabled()
    absent = InputError(f"the hub has no public dataset {name}", hint="Check the spelling; for a private one, run `hf auth login`.")
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    datasets.disable_progress_bars()
    try:
        with reaching_the_hub(what, "read", absent, "Type this again."):
            try:
                yield
            except (DatasetsError, RuntimeError) as error:
                is_script = _SCRIPT in str(error)
                if not is_script and not isinstance(error, DatasetsError):
                    raise
                reason = "a program of its own makes it, and none is run here" if is_script else next(iter(str(error).strip().splitlines()), "")
                raise InputError(f"{what} cannot be read: {reason}", hint="Look at its page on the hub, where it may be in another form.") from error
    finally:
        datasets.logging.set_verbosity(level)
        if drew:
            datasets.enable_progress_bars()
