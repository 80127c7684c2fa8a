import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mean_colours import MeanColours

from clipcap_cli.embeddings.store import open_store
from clipcap_cli.errors import InputError, StoreError
from clipcap_cli.storage.home import Home
from clipcap_cli.storage.locks import hold


def ids_of(*numbers):
    return [f"{number:032x}" for number in numbers]


def vectors_of(*numbers):
    """What the encoder gives for each picture: nothing else ever comes for it."""
    return np.array([[number + place / 8 for place in range(6)] for number in numbers], np.float32).reshape(-1, 6)


@pytest.fixture
def store(home, encoder):
    return open_store(home, encoder)


def test_a_store_that_is_only_looked_at_leaves_no_trace(store, home):
    assert len(store) == 0
    assert store.missing(ids_of(1, 2, 1)) == ids_of(1, 2)
    assert store.gather([]).shape == (0, 6)
    assert not home.root.exists()


@settings(max_examples=25)  # each waits for the disk
@given(st.lists(st.lists(st.integers(0, 40), max_size=12), max_size=8), st.lists(st.integers(0, 50), max_size=20))
def test_what_was_put_in_comes_out_whatever_was_put_in_how_often(appends, asked):
    with tempfile.TemporaryDirectory() as folder:
        store = replace(open_store(Home(Path(folder)), MeanColours()), shard_bytes=5 * 12)
        for numbers in appends:
            store.append(ids_of(*numbers), vectors_of(*numbers))
        there = {number for numbers in appends for number in numbers}
        assert len(store) == len(there)
        assert store.missing(ids_of(*asked)) == ids_of(*dict.fromkeys(number for number in asked if number not in there))
        known = [number for number in asked if number in there]
        assert np.array_equal(store.gather(ids_of(*known)), vectors_of(*known))
        assert np.array_equal(open_store(Home(Path(folder)), MeanColours()).gather(ids_of(*sorted(there))), vectors_of(*sorted(there)))


def test_the_first_vector_of_an_image_stays(store):
    store.append(ids_of(1), vectors_of(1))
    store.append(ids_of(2, 1, 2), np.concatenate([vectors_of(2), vectors_of(9), vectors_of(8)]))
    assert np.array_equal(store.gather(ids_of(1, 2)), vectors_of(1, 2))


def test_what_is_lacking_is_counted(store):
    store.append(ids_of(1), vectors_of(1))
    with pytest.raises(StoreError, match="2 of 3 images have no embedding by test:mean-colours"):
        store.gather(ids_of(1, 2, 3, 2))


@pytest.mark.parametrize("value", [1e5, -1e5, np.inf, np.nan])
def test_vectors_that_cannot_be_kept_are_refused_and_nothing_is_added(store, value):
    vectors = vectors_of(1, 2)
    vectors[1, 3] = value
    with pytest.raises(InputError, match=f"image {ids_of(2)[0]}"):
        store.append(ids_of(1, 2), vectors)
    assert len(store) == 0


def test_vectors_of_another_shape_are_refused(store):
    with pytest.raises(InputError, match=r"are \[2, 6\], not \[2, 5\]"):
        store.append(ids_of(1, 2), np.zeros((2, 5), np.float32))


def test_a_process_killed_between_vectors_and_index_loses_only_these(store, home, encoder, monkeypatch):
    store.append(ids_of(1, 2), vectors_of(1, 2))
    code = """
import os, sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
import numpy as np
from mean_colours import MeanColours
from clipcap_cli.embeddings import store as module
from clipcap_cli.storage.home import Home
write = module.EmbeddingStore._write
def write_and_die(self, row, vectors):
    write(self, row, vectors)
    os.kill(os.getpid(), 9)
module.EmbeddingStore._write = write_and_die
module.open_store(Home(Path(sys.argv[1])), MeanColours()).append(["a", "b", "c"], np.full((3, 6), 7, np.float32))
"""
    killed = subprocess.run([sys.executable, "-c", code, str(home.root), *filter(None, sys.path)], check=False)
    assert killed.returncode == -9
    assert (store.folder / "vectors-00000.f16").stat().st_size == 5 * 12
    again = open_store(home, encoder)
    assert again.missing(["a", "b", "c"]) == ["a", "b", "c"]
    again.append(ids_of(3), vectors_of(3))
    assert np.array_equal(again.gather(ids_of(3, 1, 2)), vectors_of(3, 1, 2))
    assert (store.folder / "vectors-00000.f16").stat().st_size == 5 * 12  # the dead vectors are written over


def test_half_a_vector_at_the_end_is_written_over(store):
    store.append(ids_of(1), vectors_of(1))
    with (store.folder / "vectors-00000.f16").open("ab") as stream:
        stream.write(b"\x00" * 7)
    store.append(ids_of(2), vectors_of(2))
    assert np.array_equal(store.gather(ids_of(2, 1)), vectors_of(2, 1))


@pytest.mark.parametrize("spoil", ["cut", "remove", "index", "facts", "size"])
def test_a_damaged_store_says_so_and_what_to_do(store, home, encoder, spoil):
    store.append(ids_of(1, 2), vectors_of(1, 2))
    shard = store.folder / "vectors-00000.f16"
    if spoil == "cut":
        os.truncate(shard, 12)
    elif spoil == "remove":
        shard.unlink()
    elif spoil == "index":
        (store.folder / "index.sqlite").write_bytes(b"no database at all, " * 100)
    elif spoil == "facts":
        (store.folder / "encoder.json").write_text("{")
    else:
        path = store.folder / "encoder.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "embedding_size": 7}))
    with pytest.raises(StoreError) as raised:
        open_store(home, encoder).gather(ids_of(1, 2))
    assert "damaged" in raised.value.message
    assert f"Remove the folder {store.folder}" in (raised.value.hint or "")


def test_a_store_of_a_newer_clipcap_is_left_alone(store, home, encoder):
    store.append(ids_of(1), vectors_of(1))
    path = store.folder / "encoder.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 2}))
    with pytest.raises(StoreError, match="format 2, newer"):
        open_store(home, encoder)


def test_other_precisions_and_encoders_have_stores_of_their_own(home, encoder):
    open_store(home, encoder).append(ids_of(1), vectors_of(1))
    encoder.precision = "bf16"
    assert len(open_store(home, encoder)) == 0
    encoder.precision, encoder.fingerprint = "fp32", "f" * 16
    assert len(open_store(home, encoder)) == 0


def test_vectors_are_read_from_a_store_that_cannot_be_written(store, monkeypatch):
    store.append(ids_of(1, 2), vectors_of(1, 2))
    monkeypatch.setattr(os, "access", lambda path, mode, **_: False)
    assert np.array_equal(store.gather(ids_of(2, 1)), vectors_of(2, 1))


def test_while_another_process_is_adding_one_waits_for_it_and_then_says_so(store, home, monkeypatch):
    monkeypatch.setattr("clipcap_cli.embeddings.store._WAIT_S", 0.1)
    with hold(home, f"embeddings-{store.folder.name}"), pytest.raises(StoreError, match="is being changed by"):
        store.append(ids_of(1), vectors_of(1))


def test_a_full_disk_adds_nothing(store, monkeypatch):
    store.append(ids_of(1), vectors_of(1))

    def full(*_):
        raise OSError(28, "No space left on device", "vectors")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="the disk is full"):
        store.append(ids_of(2), vectors_of(2))
    monkeypatch.undo()
    assert len(store) == 1
    with sqlite3.connect(store.folder / "index.sqlite") as index:
        assert index.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    index.close()
