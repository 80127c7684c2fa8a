"""Captions for all pictures of a source, written on a cluster: a file for each shard.

    OUTPUT/0123….parquet     image, caption, score, candidates, problem: one row for each picture, in the order of the shard
    OUTPUT/_shards.json      which file is of which shard, and what could not be read

The name is a hash of the shard (as its server describes it: size, checksum or time), the captioner, and how it decodes. A file that is there is not made again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from clipcap_cli.captioner.bundle import load_bundle
from clipcap_cli.captioner.captioner import Caption, Captioner
from clipcap_cli.captioner.manifest import read_manifest
from clipcap_cli.cluster.engine import Engine, absolute
from clipcap_cli.cluster.running import Task, Worker
from clipcap_cli.cluster.shard_files import get_table, name_of, names_in, put_table
from clipcap_cli.cluster.sources import Named, Shard, list_source, options_from, options_json, pictures_in, shards_of, unread
from clipcap_cli.cluster.staging import run_on
from clipcap_cli.cluster.surroundings import on_this_node, store_here, use_cores
from clipcap_cli.datasets.places import Place
from clipcap_cli.datasets.records import NO_OPTIONS, Problem, ReaderOptions
from clipcap_cli.embeddings.pipeline import encode_pictures
from clipcap_cli.encoders.base import Vectors
from clipcap_cli.encoders.precision import choose_device, choose_precision
from clipcap_cli.errors import ClipcapError, InputError
from clipcap_cli.events import Advanced, Finished, Listener, Note, Started, silent
from clipcap_cli.recipe.schema import Decode
from clipcap_cli.storage.addresses import is_address, joined, write
from clipcap_cli.storage.atomic import make_folder, store_errors
from clipcap_cli.storage.downloads import is_offline
from clipcap_cli.storage.home import Home
from clipcap_cli.words import count

REPORT = "_shards.json"  # what reads a folder of Parquet files passes over such names

_FORMAT = 1
_TASK = "caption"


@dataclass(frozen=True)
class Asked:
    """What captions are to be like.

    Attributes:
        name: of the captioner, for people; captioner: the folder of its bundle.
        candidates: how many are kept of each picture.
        device, precision: of the workers, as `load_bundle` has them.
    """

    name: str
    captioner: Path
    decode: Decode
    candidates: int = 1
    seed: int = 0
    device: str = "auto"
    precision: str = "fp32"


@dataclass(frozen=True)
class CaptionedShard:
    """One shard of the output.

    Attributes:
        shard: its name in the source.
        file: its name in the output.
        was_there: it had been written before.
    """

    shard: str
    file: str
    pictures: int
    captioned: int
    problems: tuple[Problem, ...]
    was_there: bool


def caption_on_cluster(
    sources: Sequence[str], output: str, asked: Asked, engine: Engine, home: Home, *, options: ReaderOptions = NO_OPTIONS, events: Listener = silent
) -> list[CaptionedShard]:
    """Caption all pictures of some sources.

    Args:
        sources: folders, files or addresses: of pictures, tars, or Parquet tables with pictures in them.
        output: a folder or an address.
        options: which column of a table has the pictures.

    Returns:
        The shards, in the order of the sources and of their names.

    Raises:
        InputError, MissingError, UnreachableError: a source, the output or the cluster cannot be used.
        StoreError: the output cannot be written.
    """
    listed = [list_source(source) for source in sources]
    shards = [shard for each in listed for shard in shards_of(each, engine.shard_size)]
    folder = absolute(output)
    settings = _settings(asked, engine, home, options)
    made_by = {name: settings[name] for name in ("decode", "candidates", "seed", "precision", "encoder_precision", "options")}
    names = [name_of([_FORMAT, shard.facts, _captioner_facts(asked), made_by]) for shard in shards]
    there = names_in(folder)
    summaries: dict[int, Mapping[str, Any]] = {
        number: found for number, name in enumerate(names) if name in there and (found := _summary(joined(folder, name))) is not None
    }
    before = set(summaries)
    if before:
        events(Note(f"{count(len(before), 'shard')} of {len(shards):,} {'is' if len(before) == 1 else 'are'} there already"))
    left = [number for number in range(len(shards)) if number not in before]
    tasks = [{"shard": shards[number].as_json(), "output": joined(folder, names[number])} for number in left]
    events(Started(_TASK, len(shards), "shards", done=len(before)))
    try:
        must_see = [*(each.address for each in listed), folder, str(asked.captioner)]
        with _made(folder), closing(run_on(engine, CaptionWriter, settings, tasks, must_see, events)) as results:
            for place, result in results:
                summaries[left[place]] = result
                events(Advanced(_TASK))
    finally:
        events(Finished(_TASK))
    done = [_captioned(shard.name, name, summaries[number], number in before) for number, (shard, name) in enumerate(zip(shards, names, strict=True))]
    report = {"captioner": asked.name, "decode": settings["decode"], "shards": [asdict(one) for one in done]}
    write(joined(folder, REPORT), (json.dumps(report, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace"))
    return done


@contextmanager
def _made(folder: str) -> Iterator[None]:
    """With the folder that is written to; one that was made for nothing is taken away again."""
    if is_address(folder) or Path(folder).is_dir():
        yield
        return
    with store_errors(Path(folder)):
        make_folder(Path(folder))
    try:
        yield
    finally:
        with suppress(OSError):  # it is not empty
            Path(folder).rmdir()


def _settings(asked: Asked, engine: Engine, home: Home, options: ReaderOptions) -> dict[str, Any]:
    device = choose_device(asked.device)  # precisions are decided here, so that all nodes compute alike
    return {
        "captioner": str(asked.captioner),
        "decode": asked.decode.model_dump(mode="json"),
        "candidates": asked.candidates,
        "seed": asked.seed if asked.decode.strategy == "sample" else None,
        "precision": choose_precision(asked.precision, device)[0],
        "encoder_precision": choose_precision("auto", device)[0],
        "device": asked.device,
        "home": str(home.root),
        "offline": is_offline(),
        "batch_size": engine.batch_size,
        "threads": engine.threads,
        "options": options_json(options),
    }


def _captioner_facts(asked: Asked) -> Any:
    manifest = read_manifest(asked.captioner)
    return manifest.model_dump(mode="json", include={"encoder", "preparation", "mapper", "language_model", "files"})


def _captioned(shard: str, file: str, result: Mapping[str, Any], was_there: bool) -> CaptionedShard:
    problems = tuple(Problem(**problem) for problem in result["problems"])
    return CaptionedShard(shard, file, result["pictures"], result["captioned"], problems, was_there)


def _summary(address: str) -> dict[str, Any] | None:
    """What a file of the output says of itself; None where it is not there or not whole."""
    table = get_table(address)
    if table is None or "problem" not in table.column_names:
        return None
    problems = [json.loads(problem) for problem in table["problem"].to_pylist() if problem is not None]
    return {"pictures": len(table), "captioned": len(table) - len(problems), "problems": problems}


class CaptionWriter(Worker):
    """Writes captions, somewhere in the cluster."""

    _captioner: Captioner | None = None

    def work(self, task: Task) -> Mapping[str, Any]:
        """Caption the pictures of a shard, unless another one has."""
        found = _summary(task["output"])
        if found is None:
            put_table(task["output"], self._written(Shard.from_json(task["shard"])))
            found = _summary(task["output"])
        if found is None:
            raise InputError("what was written here cannot be read again", where=task["output"], hint="Look at the disk, or choose another place.")
        return found

    def _written(self, shard: Shard) -> Any:
        import pyarrow as pa

        rows = list(self._rows(shard))
        candidates = [None if caption is None else [asdict(one) for one in caption.candidates] for _, caption, _ in rows]
        return pa.table(
            {
                "image": pa.array([name for name, _, _ in rows], pa.string()),
                "caption": pa.array([caption and caption.text for _, caption, _ in rows], pa.string()),
                "score": pa.array([caption and caption.score for _, caption, _ in rows], pa.float64()),
                "candidates": pa.array(candidates, pa.list_(pa.struct([("text", pa.string()), ("score", pa.float64())]))),
                "problem": pa.array([None if problem is None else json.dumps(asdict(problem)) for _, _, problem in rows], pa.string()),
            }
        )

    def _rows(self, shard: Shard) -> Iterator[tuple[str, Caption | None, Problem | None]]:
        """Of each picture its name, and its caption or why it has none."""
        captioner = self._loaded()
        batch_size, threads = int(self.settings["batch_size"]), self.settings["threads"] or self.settings["cores"]
        reading = _Reading(pictures_in(shard, options_from(self.settings["options"])))
        encoder = captioner.load_encoder()
        captions: dict[int, Caption] = {}
        batch: dict[int, Vectors] = {}
        for number, result in encode_pictures(reading.readable(), encoder, batch_size=batch_size, workers=threads):
            place = reading.places[number]
            if isinstance(result, ClipcapError):
                reading.problems[place] = Problem("unreadable", "error", reading.names[place], result.message, result.hint or "")
            else:
                batch[place] = result
            if len(batch) == batch_size:
                captions |= self._captions(captioner, batch)
                batch = {}
        captions |= self._captions(captioner, batch)
        for place, name in enumerate(reading.names):
            yield name, captions.get(place), reading.problems.get(place)
        if reading.damage is not None:
            yield shard.name, None, unread(shard, reading.damage)

    def _captions(self, captioner: Captioner, batch: Mapping[int, Vectors]) -> dict[int, Caption]:
        """Of pictures by their place in the shard, on which what is drawn by sampling depends."""
        if not batch:
            return {}
        decode, seed, kept = Decode.model_validate(self.settings["decode"]), self.settings["seed"] or 0, int(self.settings["candidates"])
        written = captioner.caption_embeddings(np.stack([*batch.values()]), decode, numbers=[*batch], batch_size=len(batch), seed=seed)
        return {place: replace(caption, candidates=caption.candidates[:kept]) for place, caption in zip(batch, written, strict=True)}

    def _loaded(self) -> Captioner:
        if self._captioner is None:
            use_cores(int(self.settings["cores"]))
            home, settings = store_here(self.settings["home"]), self.settings
            try:
                self._captioner = load_bundle(Path(settings["captioner"]), home=home, device=settings["device"], precision=settings["precision"])
                self._captioner.load_encoder(precision=settings["encoder_precision"])
            except ClipcapError as error:
                raise on_this_node(error) from error
        return self._captioner


class _Reading:
    """Goes through a shard once, and remembers how its pictures are called and which of them are not there.

    Attributes:
        names: of all, in order; places: of those that can be encoded, among all.
        damage: why the shard could not be read to its end.
    """

    def __init__(self, pictures: Iterator[Named]) -> None:
        self._pictures = pictures
        self.names: list[str] = []
        self.places: list[int] = []
        self.problems: dict[int, Problem] = {}
        self.damage: InputError | None = None

    def readable(self) -> Iterator[Path | Place | bytes]:
        """The pictures that are there."""
        try:
            for name, picture in self._pictures:
                self.names.append(name)
                if isinstance(picture, Problem):
                    self.problems[len(self.names) - 1] = picture
                else:
                    self.places.append(len(self.names) - 1)
                    yield picture
        except InputError as error:
            self.damage = error
