"""What stays so however large a store is; `benchmarks/scale.py` measures it up to ten million rows."""

import sqlite3
import tracemalloc
from contextlib import closing

import numpy as np
import pytest
from growth import Growth
from hypothesis import given, settings
from hypothesis import strategies as st
from scale_measures import Pictures, Synthetic, few_sorted, id_of, sort_ids, write_dataset

from clipcap_cli.datasets.dataset import open_dataset
from clipcap_cli.embeddings import lookup
from clipcap_cli.embeddings.index import _SCHEMA as SCHEMA
from clipcap_cli.embeddings.pipeline import embed_dataset
from clipcap_cli.embeddings.store import open_store
from clipcap_cli.storage.home import Home

SMALL, LARGE = 1_000, 10_000


def filled(home, rows, group=1_000):
    store = open_store(home, Synthetic())
    vectors = np.random.default_rng(0).standard_normal((group, 512), np.float32)
    for start in range(0, rows, group):
        store.append([id_of(number) for number in range(start, start + group)], vectors)
    return store


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    return {rows: filled(Home(tmp_path_factory.mktemp(str(rows))), rows) for rows in (SMALL, LARGE)}


def test_a_row_takes_as_many_bytes_in_a_large_store_as_in_a_small_one(stores):
    def bytes_a_row(pattern, rows):
        return sum(path.stat().st_size for path in stores[rows].folder.glob(pattern)) / rows

    assert bytes_a_row("vectors-*", SMALL) == bytes_a_row("vectors-*", LARGE) == 2 * 512
    assert bytes_a_row("index.sqlite", LARGE) == pytest.approx(bytes_a_row("index.sqlite", SMALL), rel=0.2)


@pytest.mark.parametrize("few", [0, 10**9])
def test_each_id_is_found_in_its_row_and_no_other_is_found(few, stores, monkeypatch):
    monkeypatch.setattr(lookup, "_FEW", few)
    monkeypatch.setattr(lookup, "_READ_AT_ONCE", 777)
    monkeypatch.setattr(lookup, "_ASKED_AT_ONCE", 99)
    asked = np.random.default_rng(0).integers(-500, LARGE + 500, 5_000)
    expected = np.where((asked >= 0) & (asked < LARGE), asked, -1)
    assert np.array_equal(stores[LARGE].places([id_of(int(number)) for number in asked]), expected)


@settings(max_examples=50)
@given(st.lists(st.integers(0, 60), unique=True), st.lists(st.integers(0, 80), max_size=60), st.integers(1, 9), st.booleans())
def test_places_are_those_of_a_dictionary(here, asked, at_once, few):
    rows = {id_of(number): row for row, number in enumerate(here)}
    with closing(sqlite3.connect(":memory:")) as index, pytest.MonkeyPatch.context() as patch:
        index.execute(SCHEMA[0])
        index.executemany("INSERT INTO vectors VALUES (?, ?)", rows.items())
        patch.setattr(lookup, "_FEW", 100 if few else -1)
        patch.setattr(lookup, "_SHARE", 10**9)
        patch.setattr(lookup, "_READ_AT_ONCE", at_once)
        patch.setattr(lookup, "_ASKED_AT_ONCE", at_once)
        ids = [id_of(number) for number in asked]
        assert lookup.places_of(index, np.array(ids, lookup.ID)).tolist() == [rows.get(image_id, -1) for image_id in ids]


def test_adding_a_few_to_a_large_store_does_not_read_its_whole_index(home, monkeypatch):
    store = filled(home, LARGE)

    def whole(index):
        raise AssertionError("the whole index was read")

    monkeypatch.setattr(lookup, "_FEW", 10)
    monkeypatch.setattr(lookup, "_all", whole)
    store.append([id_of(number) for number in range(LARGE - 100, LARGE + 100)], np.zeros((200, 512), np.float32))
    assert len(store) == LARGE + 100


def test_looking_a_few_ids_up_takes_no_more_memory_in_a_large_store(stores, monkeypatch):
    monkeypatch.setattr(lookup, "_FEW", 0)
    monkeypatch.setattr(lookup, "_SHARE", 10**9)
    monkeypatch.setattr(lookup, "_READ_AT_ONCE", 200)
    peaks = {}
    for rows, store in stores.items():
        store.places([id_of(0)])
        tracemalloc.start()
        assert store.places([id_of(number) for number in range(100)]).tolist() == list(range(100))
        peaks[rows] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peaks[LARGE] < 1.5 * peaks[SMALL]


def test_what_the_benchmark_makes_is_a_dataset_whose_embeddings_are_all_there(home):
    filled(home, SMALL)
    write_dataset(home, SMALL)
    done = embed_dataset(open_dataset("made", home=home), Synthetic())
    assert (done.new, done.reused, done.problems) == (0, SMALL, ())
    assert len({(picture.image_id, picture.path, picture.captions) for picture in Pictures(SMALL)}) == SMALL


def test_sorted_ids_could_take_the_place_of_the_index(stores):
    assert sort_ids(stores[LARGE], LARGE) == LARGE
    assert few_sorted(stores[LARGE], LARGE) == 1_000
    assert sum(path.stat().st_size for path in (stores[LARGE].home.root / "sorted").iterdir()) == 24 * LARGE


@pytest.mark.parametrize(("law", "told"), [(lambda n: 30_000 + 0.5 * n, "30,000 + 0.5 n"), (lambda n: 0.01 * n**1.4, "0.01 n^1.40"), (lambda n: 7.0, "7")])
def test_a_law_is_found_again_and_goes_on(law, told):
    growth = Growth("made", {10**power: law(10**power) for power in (4, 5, 6, 7)})
    assert growth.law() == (told, pytest.approx(0, abs=1e-6))
    assert growth.at(10**8) == pytest.approx(law(10**8), rel=1e-4)


def test_what_follows_no_law_is_told_by_its_residual():
    assert Growth("made", {10: 1.0, 100: 10.0, 1000: 2.0}).law()[1] > 0.5
