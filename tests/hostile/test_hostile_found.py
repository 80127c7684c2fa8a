"""What spoiling files at random has found (benchmarks/hostile.py): each of these once ended as a bug of clipcap's, and is now refused with a sentence."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import zipfile
from pathlib import Path

import pytest
from golden_lm import make_lm_folder
from hostile_tools import Stage, replace

from clipcap_cli.captioner.lm_loading import load_language_model
from clipcap_cli.encoders.fingerprints import file_hash
from clipcap_cli.encoders.hf import read_preprocessing
from clipcap_cli.encoders.openai import read_state
from clipcap_cli.errors import InputError
from clipcap_cli.recipe.reading import load_recipe
from clipcap_cli.storage.hashing import sha256_of_bytes
from clipcap_cli.storage.home import Home


def _edit(path: Path, **changes: object) -> None:
    replace(path, json.dumps({**json.loads(path.read_bytes()), **changes}).encode())


def test_a_tokenizer_whose_longest_text_is_no_number(tmp_path: Path) -> None:
    folder = make_lm_folder(tmp_path / "lm")
    _edit(folder / "tokenizer_config.json", model_max_length="CON")
    with pytest.raises(InputError, match="the tokenizer of this language model cannot be used"):
        load_language_model(str(folder))


@pytest.mark.parametrize("changes", [{"resample": float("inf")}, {"crop_size": float("inf")}, {"size": {"shortest_edge": float("-inf")}}])
def test_preprocessing_without_end(changes: dict[str, object], tmp_path: Path) -> None:
    good = {"size": {"shortest_edge": 36}, "crop_size": 32, "do_center_crop": True, "resample": 3, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**good, **changes}))
    with pytest.raises(InputError, match="this preprocessing cannot be followed"):
        read_preprocessing(tmp_path, {})


def test_a_recipe_that_extends_a_name_longer_than_any(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(f"extends: {'x' * 10_000}\n")
    with pytest.raises(InputError, match="'extends' names a recipe that cannot be read"):
        load_recipe(tmp_path / "mine.yaml")


@pytest.mark.parametrize("part", ["encoder.embedding_size", "language_model.width"])
def test_a_captioner_wider_than_any(part: str, stage: Stage) -> None:
    bundle = stage.home / "runs" / "quickstart" / "best"
    facts = json.loads((bundle / "captioner.json").read_bytes())
    room, key = part.split(".")
    facts[room][key] = 10**30
    replace(bundle / "captioner.json", json.dumps(facts).encode())
    assert part in stage.refuses("caption", stage.pictures / "train" / "red.png", codes=(3,)).err


@pytest.mark.parametrize("value", [float("inf"), 10**30, 0, -1])
@pytest.mark.parametrize("key", ["shard_bytes", "embedding_size"])
def test_a_store_of_embeddings_whose_sizes_cannot_be(key: str, value: float, stage: Stage) -> None:
    [path] = stage.home.glob("embeddings/*/encoder.json")
    _edit(path, **{key: value})
    stage.refuses("embed", "pictures", "--encoder", "efficientnet-lite0", codes=(6,))
    assert stage.run("cache", "verify").code == 6


@pytest.mark.parametrize("rows", ["'x' || row", "row + 0.5", "-1 - row", "NULL", "x'00ff'"])
def test_an_index_whose_rows_are_no_rows(rows: str, stage: Stage) -> None:
    [path] = stage.home.glob("embeddings/*/index.sqlite")
    index = sqlite3.connect(path)
    index.execute(f"CREATE TABLE other AS SELECT image_id, {rows} AS row FROM vectors")
    index.execute("DROP TABLE vectors")
    index.execute("ALTER TABLE other RENAME TO vectors")
    index.commit()
    index.close()
    stage.survives("embed", "pictures", "--encoder", "efficientnet-lite0")
    assert stage.run("cache", "verify").code == 6


def test_a_table_with_texts_that_are_none(stage: Stage) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = stage.home / "datasets" / "pictures" / "v0001" / "images.parquet"
    table = pq.ParquetFile(path).read()
    wrong = pa.Array.from_buffers(pa.string(), len(table), pa.array([b"\xff\xfe"] * len(table), pa.binary()).buffers())
    pq.write_table(table.set_column(table.column_names.index("name"), "name", wrong), stage.work / "images.parquet")
    replace(path, (stage.work / "images.parquet").read_bytes())
    assert "cannot be read" in stage.refuses("dataset", "show", "pictures", codes=(6,)).err


@pytest.mark.parametrize("row", [-7, 6, 2**31 - 1, None])
def test_a_caption_of_no_picture(row: int | None, stage: Stage) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = stage.home / "datasets" / "pictures" / "v0001" / "captions.parquet"
    table = pq.ParquetFile(path).read()
    pq.write_table(table.set_column(0, "row", pa.array([row, *range(len(table) - 1)], pa.int32())), stage.work / "captions.parquet")
    replace(path, (stage.work / "captions.parquet").read_bytes())
    for line in (("dataset", "export", "pictures", "--format", "table", "--output", stage.work / "out"), ("dataset", "check", "pictures")):
        assert "is damaged" in stage.refuses(*line, codes=(6,)).err


def test_an_index_with_a_text_that_is_none(stage: Stage) -> None:
    [path] = stage.home.glob("embeddings/*/index.sqlite")
    index = sqlite3.connect(path)
    index.execute("UPDATE vectors SET image_id = CAST(x'f7f7' AS TEXT) WHERE row = 0")
    index.commit()
    index.close()
    assert stage.run("cache", "verify").code == 6
    assert "UTF-8" in stage.run("cache", "verify").out
    stage.survives("cache", "prune", "--dry-run")
    stage.survives("embed", "pictures", "--encoder", "efficientnet-lite0")


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names there are texts")
def test_weights_whose_name_is_no_text_are_hashed_all_the_same(home: Home, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.pt")
    path.write_bytes(b"weights")
    assert file_hash(path, home) == file_hash(path, home) == sha256_of_bytes(b"weights")


def test_a_torchscript_archive_that_says_it_has_more_numbers(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuJ\xff\xff\xff\x7ftQ"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00(K\x02t(K\x01ttR"
    with zipfile.ZipFile(tmp_path / "archive.pt", "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\x02" + tensor + b".")
        archive.writestr("a/constants.pkl", b"")
        archive.writestr("a/data/0", bytes(8))
    with pytest.raises(InputError, match="larger than its bytes"):
        read_state(tmp_path / "archive.pt")
    assert capfd.readouterr().err == ""
