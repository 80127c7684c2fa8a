"""Adding a source on a cluster: workers read its shards, hash and check the pictures, and this process makes a version of what they tell.

    STAGING/0123….parquet     what a worker found in a shard, one thing a row (JSON), named by a hash of the shard and of how it is read

Nothing is copied: the version says where in which shard each picture lies. Records go through the same `ingest` as those of a single machine, in the order of
the shards, so that ids, captions and splits come out the same. A second time only shards are read that are new or others by now.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from clipcap_cli.cluster.engine import Engine
from clipcap_cli.cluster.running import Task, Worker
from clipcap_cli.cluster.shard_files import get_table, name_of, put_table
from clipcap_cli.cluster.sources import Listed, Shard, list_source, on_disk, options_from, options_json, own_shards
from clipcap_cli.cluster.staging import finished_shards, staging_of
from clipcap_cli.datasets.adding import add_source
from clipcap_cli.datasets.dataset import Dataset
from clipcap_cli.datasets.detection import detect
from clipcap_cli.datasets.examining import Examined, Refused, examine, examine_bytes
from clipcap_cli.datasets.files.archives import is_packed, parts_of
from clipcap_cli.datasets.files.folders import is_picture_name
from clipcap_cli.datasets.keeping import Keeper
from clipcap_cli.datasets.manifest import UNKNOWN, Provenance
from clipcap_cli.datasets.pictures import read_picture
from clipcap_cli.datasets.places import Place, place_within, source_of
from clipcap_cli.datasets.readers.parquet import read_table_with_pictures, splits_of_tables
from clipcap_cli.datasets.readers.webdataset import read_shard, splits_of_shards
from clipcap_cli.datasets.records import NO_OPTIONS, Evidence, Problem, ReaderOptions, Record, Report, as_text
from clipcap_cli.datasets.sources import Source, manifest_of, told_as
from clipcap_cli.errors import InputError, UsageError
from clipcap_cli.events import Listener, Note, silent
from clipcap_cli.storage.addresses import Entry, copy_to, entry_of, is_address
from clipcap_cli.storage.downloads import is_offline
from clipcap_cli.storage.home import Home
from clipcap_cli.storage.names import name_from
from clipcap_cli.storage.reading import LARGEST_FILE
from clipcap_cli.words import count

_FORMAT = 1
_LAYOUTS = {"tar": "webdataset", "parquet": "parquet"}


def add_on_cluster(
    source: str,
    engine: Engine,
    home: Home,
    *,
    name: str | None = None,
    options: ReaderOptions = NO_OPTIONS,
    provenance: Provenance = UNKNOWN,
    replace_all: bool = False,
    events: Listener = silent,
) -> Dataset:
    """As `add_dataset`, with the work done by a cluster and the pictures left where they are.

    Args:
        source: a folder, a file or an address: of tars, of Parquet tables with pictures in them, or of pictures with captions as `add_dataset` knows them.

    Raises:
        InputError, StoreError: as `add_dataset`.
        MissingError, UnreachableError: the cluster or the address cannot be used.
    """
    if source.startswith("hf:") and not is_address(source):
        hint = f"Write hf://datasets/{source.removeprefix('hf:')}, or leave out --engine ray."
        raise UsageError(f"{source} is read by the hub's own library, on one machine", where="--engine", hint=hint)
    if options.images is not None and is_address(source):
        raise UsageError("the pictures of an address lie beneath it", where="--images", hint="Name the folder that has both, without --images.")
    home.prepare()
    listed = list_source(source)
    known = manifest_of(home, name or name_from(_name(listed)))
    if known is not None and known.source == listed.address and options == NO_OPTIONS:
        options = known.options
    desk = _Desk(engine, home, listed.address, events)
    with _looked_at(listed, options, desk) as (found, keeper):
        return add_source(
            found, name, home, provenance=provenance, replace_all=replace_all, keeper=keeper, examine=desk.examiner(listed, found.files), events=events
        )


@contextmanager
def _looked_at(listed: Listed, options: ReaderOptions, desk: _Desk) -> Iterator[tuple[Source, Keeper]]:
    """Find out what a source is."""
    place = source_of(listed.address)
    shards = [] if any(is_picture_name(entry.address) for entry in listed.files) else own_shards(listed)
    if shards:
        files = Path(listed.address)
        evidence = Evidence(_LAYOUTS[shards[0].kind], f"{count(len(shards), f'{shards[0].kind} shard')}, the first of them {shards[0].name}", _name(listed))
        yield Source(place, files, options, "in-place", _Shards(shards, desk), evidence), _Staying(desk.home, {})
    elif isinstance(place, Path):
        yield Source(place, place, options, "in-place", *detect(place, options)), _Staying(desk.home, {})
    else:
        with _skeleton(listed, desk.events) as (files, addresses), told_as(files, place):
            reader, evidence = detect(files, options)
            yield Source(place, files, options, "in-place", reader, evidence), _Staying(desk.home, addresses)


def _name(listed: Listed) -> str:
    last = listed.address.rstrip("/").rpartition("/")[2]
    return last.partition(".")[0] if listed.is_file else last


@contextmanager
def _skeleton(listed: Listed, events: Listener) -> Iterator[tuple[Path, dict[str, str]]]:
    """A folder as readers know it: what lies at the address, but for the pictures, of which there are only the names; and the address of each of these."""
    with tempfile.TemporaryDirectory(prefix="clipcap-names-") as folder:
        root, addresses = Path(folder), dict[str, str]()
        for entry in listed.files:
            name = listed.name(entry)
            parts = parts_of(name)
            if parts is None:
                continue
            path = root.joinpath(*parts)
            path.parent.mkdir(parents=True, exist_ok=True)
            if is_picture_name(name):
                path.touch()
                addresses[str(path)] = entry.address
            elif entry.size <= LARGEST_FILE:
                copy_to(entry.address, path)
            else:
                events(Note(f"{name} has {entry.size / 1e6:,.0f} MB and is not looked at", "warning"))
        yield root, addresses


class _Staying(Keeper):
    """Pictures stay where they are."""

    def __init__(self, home: Home, addresses: Mapping[str, str]) -> None:
        super().__init__(home, "in-place")
        self._addresses = addresses

    def keep_file(self, path: str, image_id: str, form: str) -> str:
        return self._addresses.get(path, path)

    def keep_bytes(self, data: bytes, image_id: str, form: str) -> str:
        raise InputError(
            "some of these pictures lie inside of tables or archives, beside others that are files", hint="Name the tables' or tars' own folder, or file."
        )


@dataclass(frozen=True)
class _Desk:
    """Gives shards to the cluster, and takes what was found in them, in order."""

    engine: Engine
    home: Home
    source: str
    events: Listener

    def found(self, tasks: Sequence[Task]) -> Iterator[Sequence[Any]]:
        """What was found in each shard; those that were read before are not read again."""
        shards = {name_of([_FORMAT, task]): task for task in tasks}
        staging, settings = staging_of(self.engine, self.home), {"offline": is_offline()}
        with closing(finished_shards(self.engine, staging, ShardReader, settings, shards, must_see=[self.source], events=self.events)) as finished:
            for _, table in finished:
                yield [json.loads(item) for item in table["item"].to_pylist()]

    def examiner(self, listed: Listed, files: Path) -> Callable[[Sequence[str]], Iterator[list[Examined | Refused]]]:
        """What looks at pictures that are files; these are named as the reader knows them, beneath `files`."""
        entries = {str(files.joinpath(*listed.name(entry).split("/"))): entry for entry in listed.files}

        def examine_all(paths: Sequence[str]) -> Iterator[list[Examined | Refused]]:
            size = self.engine.shard_size
            parts = (paths[start : start + size] for start in range(0, len(paths), size))
            shards = [Shard("files", "", tuple(entries.get(path) or _entry(path) for path in part)) for part in parts]
            for items in self.found([{"shard": shard.as_json()} for shard in shards]):
                yield [_found_from(item) for item in items]

        return examine_all


def _entry(path: str) -> Entry:
    try:
        return entry_of(path)
    except InputError:  # whoever examines it says so
        return Entry(path, 0, "")


class _Shards:
    """The reader of a source whose shards are read by a cluster."""

    def __init__(self, shards: Sequence[Shard], desk: _Desk) -> None:
        self._shards, self._desk = shards, desk
        self.layout = _LAYOUTS[shards[0].kind]

    def detect(self, source: Path, options: ReaderOptions) -> Evidence | None:
        """It is known what the source is."""
        return None

    def read(self, source: Path, options: ReaderOptions, report: Report) -> Iterator[Record]:
        """The pictures of all shards, without their bytes."""
        names = [shard.name for shard in self._shards]
        splits = splits_of_shards(names) if self.layout == "webdataset" else splits_of_tables(names)
        tasks = [{"shard": shard.as_json(), "split": splits.get(shard.name), "options": options_json(options)} for shard in self._shards]
        for items in self._desk.found(tasks):
            for item in items:
                if "problem" in item:
                    report(Problem(**item["problem"]))
                else:
                    yield Record(
                        Path(item["name"]),
                        tuple(item["captions"]),
                        item["split"],
                        item["where"],
                        tags=item["tags"],
                        found=_found_from(item),
                        place=item["place"],
                    )


class ShardReader(Worker):
    """Reads shards, somewhere in the cluster."""

    def work(self, task: Task) -> Mapping[str, Any]:
        """Tell what is in a shard, unless another one has."""
        import pyarrow as pa

        if get_table(task["output"]) is None:
            shard = Shard.from_json(task["shard"])
            items = _examined(shard) if shard.kind == "files" else _read(shard, task["split"], options_from(task["options"]))
            put_table(task["output"], pa.table({"item": pa.array([json.dumps(item) for item in items], pa.string())}))
        return {}


def _examined(shard: Shard) -> Iterator[dict[str, Any]]:
    for entry in shard.files:
        if not is_address(entry.address):
            yield _found_as_json(examine(entry.address))
            continue
        try:
            yield _found_as_json(examine_bytes(read_picture(Place(entry.address)), entry.address))
        except OSError as error:
            yield _found_as_json(Refused(f"this picture cannot be read: {error.strerror}", "Look at its address."))


def _read(shard: Shard, split: str | None, options: ReaderOptions) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []

    def report(problem: Problem) -> None:
        items.append({"problem": asdict(problem)})

    entry, read = shard.files[0], read_shard if shard.kind == "tar" else read_table_with_pictures
    with on_disk(entry) as path:
        if shard.kind == "tar" and is_packed(path):
            message = "this tar is compressed, so that no picture in it can be read without all before it; it is left out"
            report(Problem("packed-shard", "error", shard.name, message, "Unpack it (gunzip), or add it without --engine ray."))
            return items
        for record in read(shard.name, path, split, options, report):
            name = as_text(record.image.as_posix())
            found = examine_bytes(record.data or b"", name)
            told = {"name": name, "captions": record.captions, "split": record.split, "where": record.where, "tags": dict(record.tags)}
            items.append({**told, "place": str(place_within(entry.address, record.inside)), **_found_as_json(found)})
    return items


def _found_as_json(found: Examined | Refused) -> dict[str, Any]:
    return {"examined" if isinstance(found, Examined) else "refused": asdict(found)}


def _found_from(item: Mapping[str, Any]) -> Examined | Refused:
    return Examined(**item["examined"]) if "examined" in item else Refused(**item["refused"])
