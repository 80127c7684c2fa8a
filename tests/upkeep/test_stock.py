from __future__ import annotations

import os

from clipcap_cli.upkeep.stock import take_stock


def test_everything_in_the_store_is_counted_once(store):
    stock = take_stock(store.home)
    assert stock.size_bytes == sum(path.stat().st_size for path in store.home.root.rglob("*") if path.is_file())
    assert sum(item.files for item in stock.items) == sum(path.is_file() for path in store.home.root.rglob("*"))
    assert stock.free_bytes > 0
    named = {(item.kind, item.name) for item in stock.items if item.name}
    runs = {("runs", "first"), ("runs", "second")}
    assert named == {("datasets", "food"), ("embeddings", store.embeddings.name), ("models", "mine"), *runs, ("evaluations", "food-val-0123456789ab")}


def test_embeddings_are_named_by_their_encoder_and_runs_by_their_parts(store):
    items = {(item.kind, item.name): item for item in take_stock(store.home).items}
    assert items["embeddings", store.embeddings.name].encoder == "efficientnet-lite0, fp32"
    run = items["runs", "first"]
    assert run.parts.keys() == {"best", "checkpoints", "other"}
    assert sum(run.parts.values()) == run.size_bytes


def test_what_is_half_written_is_told_apart(store):
    part = store.home.models / ".mine.1-ffffff-01234567.part"
    part.mkdir()
    (part / "half").write_text("half")
    [leftover] = [item for item in take_stock(store.home).items if item.kind == "leftovers"]
    assert (leftover.files, leftover.size_bytes) == (1, 4)


def test_the_last_use_is_the_last_reading_or_writing(store):
    model = store.home.models / "mine"
    for path in model.iterdir():
        os.utime(path, (2_000_000_000, 1_000_000_000))
    [item] = [item for item in take_stock(store.home).items if item.kind == "models"]
    assert item.used == 2_000_000_000


def test_a_store_that_is_not_there_is_empty(home):
    assert take_stock(home).items == ()
    assert not home.root.exists()
