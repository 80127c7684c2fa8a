from __future__ import annotations

import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from scenes import clean_source, encoded, scene

from clipcap_cli.datasets.adding import add_dataset
from clipcap_cli.datasets.check import facts_file, gathering
from clipcap_cli.datasets.check.facts import Facts, facts_of
from clipcap_cli.datasets.check.facts_file import FACTS_FILE, read_facts, write_facts
from clipcap_cli.datasets.check.gathering import gather_facts
from clipcap_cli.datasets.dataset import Dataset, remove_dataset
from clipcap_cli.errors import StoreError
from clipcap_cli.events import Event, Note
from clipcap_cli.storage.home import Home


@pytest.fixture
def source(tmp_path: Path) -> Path:
    clean_source(tmp_path / "clean")
    return tmp_path / "clean"


@pytest.fixture
def dataset(home: Home, source: Path) -> Dataset:
    return add_dataset(source, name="clean", home=home)


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are looked at, by name."""
    names: list[str] = []

    def counted(path: str) -> Facts:
        names.append(Path(path).name)
        return facts_of(path)

    monkeypatch.setattr(gathering, "facts_of", counted)
    return names


def gather(dataset: Dataset, **how: bool) -> list[Facts | None]:
    return gather_facts(dataset.home, dataset.name, dataset.entries(), **how)


def test_a_second_check_looks_only_at_what_is_new_or_touched(home: Home, source: Path, dataset: Dataset, looked_at: list[str]) -> None:
    first = gather(dataset)
    assert len(looked_at) == 160
    looked_at.clear()
    assert gather(dataset) == first
    assert looked_at == []
    (source / "images/000.jpg").write_bytes(encoded(scene(900)))
    os.utime(source / "images/001.jpg", (1, 1))
    (source / "images/002.jpg").unlink()
    changed = gather(dataset)
    assert sorted(looked_at) == ["000.jpg", "001.jpg", "002.jpg"]
    assert [facts.fault for facts in changed[:4] if facts] == ["", "", "unreadable", ""]
    assert changed[3:] == first[3:]


def test_what_was_found_out_holds_for_the_next_version(home: Home, source: Path, dataset: Dataset, looked_at: list[str]) -> None:
    gather(dataset)
    looked_at.clear()
    (source / "images/new.jpg").write_bytes(encoded(scene(901)))
    with (source / "captions.csv").open("a") as stream:
        stream.write("new.jpg,A new one.,train\n")
    second = add_dataset(source, name="clean", home=home)
    assert second.version == 2
    assert len(gather(second)) == 161
    assert looked_at == ["new.jpg"]


def test_all_files_are_looked_at_again_if_that_is_wanted(dataset: Dataset, looked_at: list[str]) -> None:
    gather(dataset)
    gather(dataset, reread=True)
    assert len(looked_at) == 320


def test_a_file_of_facts_that_cannot_be_read_is_made_anew(dataset: Dataset, looked_at: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    first = gather(dataset)
    path = dataset.home.datasets / "clean" / FACTS_FILE
    data = path.read_bytes()
    for spoilt in (b"", b"PAR1", data[: len(data) // 2], data[:-1], data.replace(b"image_id", b"imagexid")):
        looked_at.clear()
        path.write_bytes(spoilt)
        assert gather(dataset) == first
        assert len(looked_at) == 160
    assert len(read_facts(path)) == 160
    monkeypatch.setattr(facts_file, "_FORMAT", b"2")
    assert read_facts(path) == {}


def test_facts_come_back_as_they_were_written(tmp_path: Path) -> None:
    (tmp_path / "é 犬.png").write_bytes(encoded(scene(1), "PNG"))
    facts = {facts.path: facts for facts in (facts_of(str(tmp_path / "é 犬.png")), facts_of(str(tmp_path / "gone")))}
    write_facts(tmp_path / "f.parquet", facts)
    assert read_facts(tmp_path / "f.parquet") == facts
    table = pq.read_table(tmp_path / "f.parquet")
    pq.write_table(table.set_column(0, "path", table["path"].cast("large_string")), tmp_path / "f.parquet")
    assert read_facts(tmp_path / "f.parquet") == {}


def test_a_store_that_takes_no_facts_is_checked_all_the_same(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise StoreError("this cannot be written: the disk is full")

    monkeypatch.setattr(gathering, "write_facts", refuse)
    events: list[Event] = []
    assert len(gather_facts(dataset.home, "clean", dataset.entries(), events=events.append)) == 160
    assert [event.level for event in events if isinstance(event, Note)] == ["warning"]


def test_facts_go_with_their_dataset(home: Home, dataset: Dataset) -> None:
    gather(dataset)
    assert (home.datasets / "clean" / FACTS_FILE).is_file()
    remove_dataset(home, "clean")
    assert not (home.datasets / "clean").exists()
