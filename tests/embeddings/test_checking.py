import os
import random
import sqlite3
from dataclasses import replace

import numpy as np
import pytest

from clipcap_cli.embeddings.checking import add_checksums, check_store, drop_rows, facts_of, ids_in, rows_in, store_folders
from clipcap_cli.embeddings.store import open_store
from clipcap_cli.errors import StoreError


def ids_of(*numbers):
    return [f"{number:032x}" for number in numbers]


def vectors_of(*numbers):
    return np.array([[number + place / 8 for place in range(6)] for number in numbers], np.float32).reshape(-1, 6)


def check(store):
    return check_store(store.folder, lambda amount: None)


def without_checksums(store):
    """As an earlier version left it."""
    with sqlite3.connect(store.folder / "index.sqlite") as index:
        index.execute("DROP TABLE checksums")
    index.close()


@pytest.fixture
def store(home, encoder):
    """Seven rows in three groups, in files of four rows."""
    store = replace(open_store(home, encoder), shard_bytes=4 * 12)
    store.append(ids_of(1, 2, 3), vectors_of(1, 2, 3))
    store.append(ids_of(3, 4, 5), vectors_of(3, 4, 5))
    store.append(ids_of(6, 7), vectors_of(6, 7))
    return store


def test_what_lies_there_is_known_without_the_encoder(store, home):
    assert store_folders(home) == [store.folder]
    facts = facts_of(store.folder)
    assert (facts.spec, facts.embedding_size, facts.of_texts) == ("test:mean-colours", 6, False)
    assert rows_in(store.folder) == 7
    assert ids_in(store.folder) == {*ids_of(1, 2, 3, 4, 5, 6, 7)}


def test_a_whole_store_has_nothing_to_say(store):
    checked = check(store)
    assert (checked.rows, checked.without, checked.damaged) == (7, 0, ())


@pytest.mark.parametrize("byte", range(0, 84, 5))
def test_each_flipped_byte_of_a_vector_is_found_in_its_group(store, byte):
    path = store.folder / f"vectors-{byte // 48:05d}.f16"
    data = bytearray(path.read_bytes())
    data[byte % 48] ^= 1
    path.write_bytes(data)
    row = byte // 12
    [group] = check(store).damaged
    assert group.first_row <= row < group.first_row + group.rows
    assert group.reason == "the bytes are not those that were written"
    assert ids_of(row + 1)[0] in group.ids


def test_an_id_that_stands_at_another_row_is_found(store):
    with sqlite3.connect(store.folder / "index.sqlite") as index:
        index.execute("UPDATE vectors SET image_id = ? WHERE row = 4", ids_of(99))
    index.close()
    assert [group.first_row for group in check(store).damaged] == [3]


def test_a_file_that_is_cut_is_found(store):
    os.truncate(store.folder / "vectors-00001.f16", 12)
    assert [(group.first_row, group.rows) for group in check(store).damaged] == [(5, 2)]


def test_an_index_that_is_no_database_is_told(store):
    (store.folder / "index.sqlite").write_bytes(b"no database at all, " * 100)
    with pytest.raises(StoreError, match="this store of embeddings is damaged"):
        check(store)


def test_what_is_dropped_is_made_anew_and_the_rest_stays(store, home, encoder):
    path = store.folder / "vectors-00000.f16"
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)
    drop_rows(home, store.folder, check(store).damaged)
    assert store.missing(ids_of(1, 2, 3, 4, 5, 6, 7)) == ids_of(4, 5)
    assert check(store).damaged == ()
    store.append(ids_of(4, 5), vectors_of(4, 5))
    assert np.array_equal(store.gather(ids_of(1, 2, 3, 4, 5, 6, 7)), vectors_of(1, 2, 3, 4, 5, 6, 7))
    checked = check(store)
    assert (checked.rows, checked.without, checked.damaged) == (7, 0, ())


def test_rows_of_an_earlier_version_can_be_given_checksums(store, home):
    without_checksums(store)
    assert check(store).without == 7
    store.append(ids_of(8), vectors_of(8))
    assert check(store).without == 7
    assert add_checksums(home, store.folder) == 7
    checked = check(store)
    assert (checked.rows, checked.without, checked.damaged) == (8, 0, ())
    assert add_checksums(home, store.folder) == 0


def test_rows_of_an_earlier_version_whose_file_is_cut_are_found_all_the_same(store):
    without_checksums(store)
    os.truncate(store.folder / "vectors-00001.f16", 12)
    assert [group.reason for group in check(store).damaged] == ["the file of vectors has fewer than the index names"]


def test_an_index_without_tables_that_a_killed_process_left_is_begun_again(home, encoder):
    store = open_store(home, encoder)
    store.append(ids_of(1), vectors_of(1))
    for path in store.folder.glob("index.sqlite*"):
        path.unlink()
    (store.folder / "index.sqlite").touch()
    assert len(store) == 0
    store.append(ids_of(2), vectors_of(2))
    assert np.array_equal(store.gather(ids_of(2)), vectors_of(2))


def test_a_flipped_bit_of_the_index_is_found_or_changes_nothing(store):
    """What is not found lies in parts of the file that nothing is read from."""
    path, numbers, found = store.folder / "index.sqlite", random.Random(0), 0
    ids, whole = ids_of(1, 2, 3, 4, 5, 6, 7), path.read_bytes()
    for _ in range(150):
        spoilt = bytearray(whole)
        spoilt[numbers.randrange(len(whole))] ^= 1 << numbers.randrange(8)
        for other in store.folder.glob("index.sqlite-*"):
            other.unlink()
        path.write_bytes(spoilt)
        try:
            damaged = bool(check(store).damaged)
        except StoreError:
            damaged = True
        if damaged:
            found += 1
        else:
            assert np.array_equal(store.gather(ids), vectors_of(1, 2, 3, 4, 5, 6, 7))
    assert found > 10


def test_a_store_that_had_only_been_begun_when_its_process_was_killed_is_none(home):
    (home.embeddings / "0123456789abcdef-fp32").mkdir(parents=True)
    (home.embeddings / "0123456789abcdef-fp32" / ".encoder.json.1-000000-00000000.part").touch()
    assert store_folders(home) == []
    (home.embeddings / "0123456789abcdef-fp32" / "vectors-00000.f16").touch()
    assert [folder.name for folder in store_folders(home)] == ["0123456789abcdef-fp32"]
