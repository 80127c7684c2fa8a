"""Datasets of the hub: read through the library itself, from a folder of this machine or from a hub that runs on it."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest
from dataset_hub import DatasetHub, running_dataset_hub
from pyarrow import Table, parquet
from tars import make_tar, picture, samples

from clipcap_cli.datasets.adding import add_dataset
from clipcap_cli.datasets.detection import detect
from clipcap_cli.datasets.readers.hub_dataset import FoundDataset, records_of, splits_of
from clipcap_cli.datasets.records import Problem, ReaderOptions, Record
from clipcap_cli.errors import InputError, MissingError
from clipcap_cli.storage.home import Home

library = pytest.importorskip("datasets")


def held(what: int, name: str | None = None) -> dict[str, Any]:
    return {"bytes": picture(what), "path": name}


def table(rows: list[dict[str, Any]]) -> bytes:
    """A parquet file as the library writes it, with pictures in its column "image"; its rows may then have what the library would not write."""
    library.disable_progress_bars()
    first = library.Dataset.from_list([{**row, "image": held(0)} for row in rows[:1]])
    stream = io.BytesIO()
    first.cast_column("image", library.Image()).to_parquet(stream)
    schema = parquet.read_schema(io.BytesIO(stream.getvalue()))
    stream = io.BytesIO()
    parquet.write_table(Table.from_pylist(rows, schema=schema), stream)
    return stream.getvalue()


def lay_out(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def read(folder: Path, options: ReaderOptions | None = None) -> tuple[dict[str, Record], list[Problem]]:
    """What is read of a folder that is laid out as a dataset of the hub."""
    streams = library.load_dataset(str(folder), streaming=True, cache_dir=str(folder.parent / "cache"))
    found = FoundDataset("us/food", "0" * 40, f"{folder}/", splits_of(folder, streams))
    problems: list[Problem] = []
    records = records_of(found, found.splits[0].columns(options or ReaderOptions()), problems.append)
    return {record.image.as_posix(): record for record in records}, problems


def test_pictures_and_captions_of_each_split_are_read(tmp_path: Path) -> None:
    train = [{"image": held(1, "a.png"), "caption": "an apple", "from": 7}, {"image": held(2), "caption": "bread", "from": 8}]
    files = {"data/train-0.parquet": table(train), "data/validation-0.parquet": table([{"image": held(3, "x/c.png"), "caption": "a cake", "from": 9}])}
    records, problems = read(lay_out(tmp_path / "food", files), ReaderOptions(tag_columns=("from",)))
    assert {name: (record.captions, record.split, record.where, dict(record.tags)) for name, record in records.items()} == {
        "train/a.png": (("an apple",), "train", "train:1", {"from": "7"}),
        "train/2": (("bread",), "train", "train:2", {"from": "8"}),
        "validation/c.png": (("a cake",), "val", "validation:1", {"from": "9"}),
    }
    assert [record.data for record in records.values()] == [picture(1), picture(2), picture(3)]
    assert problems == []


@pytest.mark.parametrize(
    "columns", [{"captions": ["one", "two"], "text": "x"}, {"caption_1": "two", "caption_0": "one"}, {"sentences": [{"raw": "one"}, {"raw": "two"}]}]
)
def test_captions_may_be_lists_or_stand_in_several_columns(tmp_path: Path, columns: dict[str, Any]) -> None:
    folder = lay_out(tmp_path / "food", {"train.parquet": table([{"image": held(1, "a.png"), **columns}])})
    assert [record.captions for record in read(folder)[0].values()] == [("one", "two")]


def test_the_only_split_of_the_hub_is_none_and_a_column_may_say_more(tmp_path: Path) -> None:
    rows = [{"image": held(1, "a.png"), "caption": "one", "split": "dev"}, {"image": held(2, "b.png"), "caption": "two", "split": "restval"}]
    assert [record.split for record in read(lay_out(tmp_path / "a", {"test.parquet": table(rows)}))[0].values()] == ["val", "train"]
    bare = [{"image": row["image"], "caption": row["caption"]} for row in rows]
    assert [record.split for record in read(lay_out(tmp_path / "b", {"test.parquet": table(bare)}))[0].values()] == [None, None]


def test_a_picture_that_is_named_is_fetched_from_the_dataset_and_from_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(picture(9))
    here = [f"{tmp_path}/{name}" for name in ("food/in.png", "secret.png", "food/../secret.png")]
    elsewhere = ["/etc/passwd", "http://127.0.0.1:9/a.png", "hf://datasets/other/x/a.png", f"reference://a::{tmp_path}/food/in.png", ""]
    rows = [{"image": {"bytes": None, "path": path}, "caption": "x"} for path in here + elsewhere]
    rows += [{"image": None, "caption": "x"}]
    records, problems = read(lay_out(tmp_path / "food", {"in.png": picture(1), "data/train.parquet": table(rows)}))
    assert [record.data for record in records.values()] == [picture(1)]
    assert [(problem.kind, problem.where) for problem in problems] == [("missing-picture", f"train:{number}") for number in range(2, 10)]
    assert "lies outside of the dataset" in problems[0].message
    assert "there is no picture in this row" in problems[-1].message


def test_a_folder_of_shards_is_read_by_the_librarys_own_names_of_columns(tmp_path: Path) -> None:
    folder = tmp_path / "food"
    make_tar(folder / "train-0.tar", samples(2))
    assert {name: record.captions for name, record in read(folder)[0].items()} == {
        "train/000000000.png": ("thing 0",),
        "train/000000001.png": ("thing 1",),
    }


def test_a_dataset_without_pictures_or_captions_is_told(tmp_path: Path) -> None:
    folder = lay_out(tmp_path / "words", {"train.jsonl": b'{"image": "a.png", "text": "one"}\n'})
    with pytest.raises(InputError, match="the column 'image' of this dataset holds no pictures"):
        read(folder)
    labels = lay_out(tmp_path / "labels", {"train.parquet": table([{"image": held(1), "label": 3}])})
    with pytest.raises(InputError, match=r"no column for captions: it has 'image', 'label'.*--caption-column"):
        read(labels)
    with pytest.raises(InputError, match="no column 'imge'"):
        read(labels, ReaderOptions(image_column="imge"))


def _no_network(*_: object) -> NoReturn:
    raise AssertionError("a socket was opened")


def test_offline_nothing_is_asked_for(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPCAP_OFFLINE", "1")
    monkeypatch.setattr(socket, "socket", _no_network)
    with pytest.raises(MissingError, match=r"the dataset us/food would come from the hub, and clipcap is offline.*without --offline"):
        add_dataset("hf:us/food", home=home)


def test_without_the_library_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingError, match=r'read by the package datasets, which cannot be imported.*pip install "clipcap-cli\[hub\]"'):
        detect(Path("hf:us/food"), ReaderOptions())


@pytest.mark.parametrize("address", ["hf:", "hf:@main", "hf:food", "hf:us/food/more", "hf:../food", "hf://datasets/us/food", "hf:us/food@", "hf:us food"])
def test_an_address_that_is_none_is_told(address: str) -> None:
    with pytest.raises(InputError, match=r"ORGANISATION/NAME"):
        detect(Path(address), ReaderOptions())


_ADD = """
import json, sys
from pathlib import Path
from clipcap_cli.datasets.adding import add_dataset
from clipcap_cli.errors import ClipcapError
from clipcap_cli.storage.home import Home
for address in map(str.strip, sys.stdin):
    try:
        dataset = add_dataset(address, home=Home(Path(sys.argv[1])))
        said = {key: getattr(dataset, key) for key in ("name", "version", "reason", "problem_counts")}
        said |= {"splits": dataset.splits(), "images": {image.name: list(image.captions) for image in dataset.images()}}
    except ClipcapError as error:
        said = {"error": type(error).__name__, "said": str(error)}
    print(json.dumps(said), flush=True)
"""


@contextmanager
def adding(hub: DatasetHub, room: Path) -> Iterator[Callable[[str], dict[str, Any]]]:
    """Add datasets one after the other, in a process of its own that knows no other hub and says nothing else."""
    environment = {key: value for key, value in os.environ.items() if key not in ("HF_HUB_OFFLINE", "CLIPCAP_OFFLINE", "HF_TOKEN")}
    environment |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(room / "hf"), "HF_HUB_DISABLE_TELEMETRY": "1"}
    command = [sys.executable, "-c", _ADD, str(room / "home")]
    with (room / "stderr").open("w+") as remarks:
        process = subprocess.Popen(command, env=environment, cwd=room, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=remarks, text=True)
        assert process.stdin is not None
        assert process.stdout is not None
        ask, answers = process.stdin, process.stdout

        def add(address: str) -> dict[str, Any]:
            print(address, file=ask, flush=True)
            return json.loads(answers.readline())

        with process:
            yield add
            ask.close()
        remarks.seek(0)
        assert remarks.read() == ""


def test_a_hub_is_read_as_it_is_at_one_commit(tmp_path: Path) -> None:
    rows = [{"image": held(number, f"{number}.png"), "caption": [f"thing {number}", "more"]} for number in range(3)]
    lay_out(tmp_path / "us/food", {"train.parquet": b"a folder of the same name that is not meant"})
    with running_dataset_hub() as hub, adding(hub, tmp_path) as add:
        hub.datasets["us/food"] = {"data/train-0.parquet": table(rows[:2]), "data/test-0.parquet": table(rows[2:])}
        hub.datasets["us/folder"] = {"train/a.png": picture(7), "train/metadata.jsonl": b'{"file_name": "a.png", "text": "seven"}'}
        hub.datasets["us/program"] = {"program.py": b"print('run')"}
        configs = b'---\nconfigs:\n- config_name: en\n  data_files: "en*"\n- config_name: de\n  data_files: "de*"\n---\n'
        hub.datasets["us/two"] = {"README.md": configs, "en.parquet": table(rows[:1]), "de.parquet": table(rows[1:2])}
        commit = hub.commit("us/food")
        food, again, pinned = add("hf:us/food"), add("hf:us/food"), add(f"hf:us/food@{commit}")
        hub.datasets["us/food"]["data/train-1.parquet"] = table([{"image": held(4, "4.png"), "caption": ["thing 4", "more"]}])
        newer = add("hf:us/food")
        folder, german, which, french = add("hf:us/folder"), add("hf:us/two:de"), add("hf:us/two"), add("hf:us/two:fr")
        program, none, revision = add("hf:us/program"), add("hf:us/none"), add("hf:us/food@v2")
    things = {f"train/{number}.png": [f"thing {number}", "more"] for number in range(2)} | {"test/2.png": ["thing 2", "more"]}
    assert (food["name"], food["version"], food["splits"], food["images"], food["problem_counts"]) == ("food", 1, {"train": 2, "test": 1}, things, {})
    assert food["reason"] == f"the hub's dataset us/food at {commit[:12]} has the columns 'image' and 'caption', and the splits train, test"
    assert again == food
    assert (pinned["name"], pinned["images"]) == (f"food-{commit}", things)
    assert folder["images"] == {"train/a.png": ["seven"]}
    assert (german["name"], german["images"]) == ("two-de", {"train/1.png": ["thing 1", "more"]})
    assert which["said"] == "the dataset us/two has several configurations: there are en, de Name one, as in hf:us/two:en."
    assert "has no configuration 'fr': there are en, de" in french["said"]
    assert "a program of its own makes it, and none is run here" in program["said"]
    assert (newer["version"], newer["images"]) == (2, things | {"train/4.png": ["thing 4", "more"]})
    assert none == {"error": "InputError", "said": "the hub has no public dataset us/none Check the spelling; for a private one, run `hf auth login`."}
    assert "the hub's dataset us/food has no revision 'v2'" in revision["said"]


def test_a_hub_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_OFFLINE", "CLIPCAP_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(MissingError, match="the dataset us/food could not be looked up"):
        detect(Path("hf:us/food"), ReaderOptions())
