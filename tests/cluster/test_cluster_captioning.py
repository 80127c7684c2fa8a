"""Captions for shards in an object store, written on a cluster."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from cluster_tools import draw_folder, draw_tables, make_captioner, picture, upload
from said import Said

from clipcap_cli.captioner.bundle import load_bundle

pytestmark = pytest.mark.filterwarnings("ignore")  # what Ray warns of is not ours


def test_tables_and_folders_are_captioned_shard_by_shard_as_one_machine_does_it(
    cluster: Any, bucket: tuple[Any, str], tmp_path: Path, clipcap: Callable[..., Said]
) -> None:
    files, address = bucket
    tables = upload(files, draw_tables(tmp_path / "tables", 2, 6, cut_short=(4,)), f"{address}/to-caption")
    photos = upload(files, draw_folder(tmp_path / "photos", 7, cut_short=(5,)), f"{address}/photos-to-caption")
    output, model = tmp_path / "captions", make_captioner(tmp_path / "model")
    engine = ("--engine", "ray", "--address", cluster.address, "--nodes", 1, "--shard-size", 5)
    line = ("caption", tables, photos, *engine, "--model", model, "--json", "--output")

    said = clipcap(*line, output)
    assert said.code == 5, said.err
    told = json.loads(said.out)
    assert (told["pictures"], told["captioned"], told["failed"]) == (31, 28, 3)
    assert [(it["shard"], it["pictures"], it["captioned"], it["was_there"]) for it in told["shards"]] == [
        ("train-00001.parquet", 12, 12, False),
        ("validation-00000.parquet", 12, 10, False),
        ("00000.png … 00004.png", 5, 5, False),
        ("00005.png … 00006.png", 2, 1, False),
    ]
    bad = [problem["where"] for it in told["shards"] for problem in it["problems"]]
    assert bad == ["validation-00000.parquet/8", "validation-00000.parquet/9", f"{photos}/00005.png"]
    assert "shard validation-00000.parquet: 2 pictures without a caption" in said.err
    assert json.loads((output / "_shards.json").read_text())["shards"] == told["shards"]

    alone = dict(zip(range(12), load_bundle(model).caption(_files(tmp_path / "files", 12)), strict=True))
    of_table, of_folder = (pq.read_table(output / told["shards"][place]["file"]).to_pylist() for place in (0, 2))
    assert [row["image"] for row in of_table] == [f"train-00001.parquet/{row}" for row in range(12)]
    assert [row["image"] for row in of_folder] == [f"{photos}/{number:05}.png" for number in range(5)]
    for rows, numbers in ((of_table, [number for number in range(6, 12) for _ in range(2)]), (of_folder, range(5))):
        assert [(row["caption"], row["problem"]) for row in rows] == [(alone[number].text, None) for number in numbers]
        assert [row["score"] for row in rows] == pytest.approx([alone[number].score for number in numbers], abs=1e-5)
        assert [len(row["candidates"]) for row in rows] == [1] * len(rows)

    elsewhere = upload(files, output, f"{address}/captions")
    half = f"{elsewhere}/{told['shards'][2]['file']}"
    whole = files.cat_file(half)
    files.pipe_file(half, whole[: len(whole) // 2])
    again = clipcap(*line, elsewhere)
    assert [it["was_there"] for it in json.loads(again.out)["shards"]] == [True, True, False, True]
    assert files.cat_file(half) == whole
    assert (again.code, json.loads(again.out)["failed"]) == (5, 3), "what could not be read is told again"


def _files(folder: Path, pictures: int) -> list[Path]:
    folder.mkdir()
    paths = [folder / f"{number}.png" for number in range(pictures)]
    for number, path in enumerate(paths):
        path.write_bytes(picture(number))
    return paths
