"""Pictures to work on in every layout, and what came of them."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

from clipcap_cli.captioner.bundle import save_bundle
from clipcap_cli.captioner.captioner import Captioner
from clipcap_cli.captioner.lm_loading import load_language_model
from clipcap_cli.captioner.mappers import Preparation, build_mapper
from clipcap_cli.datasets.dataset import Dataset
from clipcap_cli.encoders.registry import load_encoder
from clipcap_cli.events import Advanced, Event, Note
from clipcap_cli.recipe.schema import Decode

SPEC = "plain-colours"


class Heard:
    """A listener that keeps notes and counts what is done."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.done = 0

    def __call__(self, event: Event) -> None:
        if isinstance(event, Note):
            self.notes.append(event.text)
        if isinstance(event, Advanced):
            self.done += event.amount


def picture(number: int) -> bytes:
    """A small picture, another one for each number."""
    corners = np.random.default_rng(number).integers(0, 256, (2, 2, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(corners).resize((16, 16)).save(stream, "PNG")
    return stream.getvalue()


def cut(data: bytes) -> bytes:
    """A picture whose header is whole, and the rest is missing."""
    return data[:60]


def draw_folder(folder: Path, pictures: int, cut_short: tuple[int, ...] = ()) -> Path:
    """A folder of pictures, each with a text beside it."""
    folder.mkdir()
    for number in range(pictures):
        (folder / f"{number:05}.png").write_bytes(cut(picture(number)) if number in cut_short else picture(number))
        (folder / f"{number:05}.txt").write_text(f"picture number {number}\n")
    return folder


def draw_tars(folder: Path, tars: int, each: int, cut_short: tuple[int, ...] = ()) -> Path:
    """Tars of pictures with a caption each, as img2dataset writes them; some pictures are in two of them."""
    folder.mkdir()
    for shard in range(tars):
        with tarfile.open(folder / f"{shard:05}.tar", "w") as tar:
            for number in range(shard * each, (shard + 1) * each + 1):
                data = cut(picture(number)) if number in cut_short else picture(number)
                for ending, content in (("png", data), ("txt", f"picture number {number}".encode())):
                    member = tarfile.TarInfo(f"{number:09}.{ending}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    return folder


def draw_tables(folder: Path, tables: int, each: int, cut_short: tuple[int, ...] = ()) -> Path:
    """Parquet files with pictures in them, as the hub has them, in splits; the second half of each picture's captions is in a row of its own."""
    folder.mkdir()
    for table in range(tables):
        rows: list[dict[str, Any]] = []
        for number in range(table * each, (table + 1) * each):
            data = cut(picture(number)) if number in cut_short else picture(number)
            rows += [{"image": {"bytes": data, "path": None}, "caption": f"{how} number {number}"} for how in ("picture", "photo")]
        name = f"{'train' if table else 'validation'}-{table:05}.parquet"
        pq.write_table(pa.Table.from_pylist(rows), folder / name, row_group_size=7)
    return folder


def vectors_of(dataset: Dataset, store: Any) -> dict[str, bytes]:
    """The vector of each picture of a dataset that has one."""
    ids = [image_id.decode() for image_id in dataset.image_ids()]
    there = [image_id for image_id, place in zip(ids, store.places(ids), strict=True) if place >= 0]
    return dict(zip(there, (vector.tobytes() for vector in store.gather(there)), strict=True))


def make_captioner(folder: Path) -> Path:
    """The bundle of an untrained captioner that tells pictures apart."""
    encoder, language_model = load_encoder(SPEC), load_language_model("builtin:nano")
    torch.manual_seed(3)
    mapper = build_mapper("mlp", embedding_size=encoder.embedding_size, lm_width=language_model.width, prefix_length=2, clip_length=2, layers=2, heads=4)
    decode = Decode.model_validate({"beams": 2, "max_tokens": 6})
    save_bundle(Captioner(SPEC, encoder.fingerprint, Preparation(False), mapper, language_model, decode), folder)
    return folder


def upload(files: Any, folder: Path, address: str) -> str:
    """Copy a folder to an address; `files` is the file system of it."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            files.pipe_file(f"{address}/{path.relative_to(folder).as_posix()}", path.read_bytes())
    return address
