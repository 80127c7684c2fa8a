"""Captions for shards, written on a cluster of three nodes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from cluster_tools import draw_tables, make_captioner, picture
from said import Said

from clipcap_cli.captioner.bundle import load_bundle

pytestmark = pytest.mark.filterwarnings("ignore")  # what Ray warns of is not ours


def test_tables_are_captioned_shard_by_shard_as_one_machine_does_it(cluster: Any, tmp_path: Path, clipcap: Callable[..., Said]) -> None:
    source, output, model = draw_tables(tmp_path / "tables", 3, 6, cut_short=(4,)), tmp_path / "captions", make_captioner(tmp_path / "model")
    line = ("caption", source, "--engine", "ray", "--address", cluster.address, "--nodes", 2, "--output", output, "--model", model, "--json")

    said = clipcap(*line)
    assert said.code == 5, said.err
    told = json.loads(said.out)
    assert (told["pictures"], told["captioned"], told["failed"]) == (36, 34, 2)
    assert [(it["shard"], it["pictures"], it["captioned"], it["was_there"]) for it in told["shards"]] == [
        ("train-00001.parquet", 12, 12, False),
        ("train-00002.parquet", 12, 12, False),
        ("validation-00000.parquet", 12, 10, False),
    ]
    assert [problem["where"] for problem in told["shards"][2]["problems"]] == ["validation-00000.parquet/8", "validation-00000.parquet/9"]
    assert "shard validation-00000.parquet: 2 pictures without a caption" in said.err
    assert json.loads((output / "_shards.json").read_text())["shards"] == told["shards"]

    rows = pq.read_table(output / told["shards"][0]["file"]).to_pylist()
    numbers = [number for number in range(6, 12) for _ in range(2)]
    (tmp_path / "files").mkdir()
    paths = [tmp_path / "files" / f"{number}.png" for number in range(6, 12)]
    for number, path in zip(range(6, 12), paths, strict=True):
        path.write_bytes(picture(number))
    alone = dict(zip(range(6, 12), load_bundle(model).caption(paths), strict=True))
    assert [row["image"] for row in rows] == [f"train-00001.parquet/{row}" for row in range(12)]
    assert [(row["caption"], row["problem"]) for row in rows] == [(alone[number].text, None) for number in numbers]
    assert [row["score"] for row in rows] == pytest.approx([alone[number].score for number in numbers], abs=1e-5)
    assert [len(row["candidates"]) for row in rows] == [1] * 12

    files = {path: path.stat().st_mtime_ns for path in output.glob("*.parquet")}
    half = output / told["shards"][1]["file"]
    whole = half.read_bytes()
    half.write_bytes(whole[: len(whole) // 2])
    again = clipcap(*line)
    told = json.loads(again.out)
    assert [it["was_there"] for it in told["shards"]] == [True, False, True]
    assert half.read_bytes() == whole
    assert {path: path.stat().st_mtime_ns for path in output.glob("*.parquet") if path != half} == {path: time for path, time in files.items() if path != half}
    assert (again.code, told["failed"]) == (5, 2), "what could not be read is told again"
