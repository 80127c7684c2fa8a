"""The records of the store and of captioners (JSON): whatever is written in them, a command that reads them ends with a sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hostile_tools import Stage, replace, sparse

RECORDS = {
    "home.json": ("dataset list",),
    "datasets/pictures/dataset.json": ("dataset show pictures", "dataset list"),
    "datasets/pictures/v0001/version.json": ("dataset show pictures",),
    "datasets/pictures/v0001/problems.jsonl": ("dataset show pictures",),
    "runs/quickstart/run.json": ("runs show quickstart", "runs list"),
    "runs/quickstart/lock.json": ("runs verify quickstart",),
    "runs/quickstart/metrics.jsonl": ("runs show quickstart",),
    "runs/quickstart/recipe.yaml": ("runs show quickstart", "runs verify quickstart"),
    "runs/quickstart/best/captioner.json": ("model show quickstart", "model list"),
    "embeddings/*/encoder.json": ("embed pictures --encoder efficientnet-lite0", "cache info"),
    "weights/hashes.json": ("cache verify",),
    "models/default": ("model list", "caption {picture}"),
}
CONTENTS: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda good: b"",
    "not JSON": lambda good: b"\x00\xff\xfe{",
    "not UTF-8": lambda good: b'{"format": "\xff\xfe"}',
    "a list": lambda good: b"[1, 2, 3]",
    "a number": lambda good: b"7",
    "null": lambda good: b"null",
    "cut short": lambda good: good[: len(good) // 2],
    "deep lists": lambda good: b"[" * 200_000,
    "deep objects": lambda good: b'{"format":' * 100_000,
    "NaN": lambda good: b'{"format": NaN, "layout": NaN, "version": Infinity}',
    "a number of 10,000 digits": lambda good: b'{"format": ' + b"9" * 10_000 + b"}",
    "null for every value": lambda good: _each(good, None),
    "text for every value": lambda good: _each(good, "../../../x"),
    "a list for every value": lambda good: _each(good, [[], {}]),
    "a huge number for every value": lambda good: _each(good, 10**30),
    "a negative number for every value": lambda good: _each(good, -1),
    "unknown keys": lambda good: b'{"format": 1, "__class__": "os.system", "layout": 1}',
}


def _each(good: bytes, value: object) -> bytes:
    """The record with another value behind each key but its format."""
    try:
        facts = json.loads(good)
    except ValueError:
        return json.dumps({"format": value}).encode()
    return json.dumps({key: old if key in ("format", "layout") else value for key, old in facts.items()}).encode()


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("record", RECORDS)
def test_a_record_that_is_none_is_refused_or_does_not_matter(record: str, content: str, stage: Stage) -> None:
    path = next(stage.home.glob(record), stage.home / record)
    replace(path, CONTENTS[content](path.read_bytes() if path.exists() else b""))
    for line in RECORDS[record]:
        stage.survives(*(word.format(picture=stage.pictures / "train" / "red.png") for word in line.split()))


@pytest.mark.parametrize("record", [record for record in RECORDS if record.endswith(("json", "yaml")) and "hashes" not in record])
def test_a_record_of_ten_gigabytes_is_not_read(record: str, stage: Stage) -> None:
    path = next(stage.home.glob(record))
    sparse(path)
    said = stage.survives(*RECORDS[record][0].split())
    assert said.code in (0, 3, 6)


@pytest.mark.parametrize("name", ["../../outside", "/etc", "..", "a\x1b[2Jb", "x" * 10_000])
def test_the_captioner_in_use_is_a_name_in_the_store_and_no_path(name: str, stage: Stage) -> None:
    replace(stage.home / "models" / "default", name.encode())
    said = stage.refuses("caption", stage.pictures / "train" / "red.png")
    assert "\x1b" not in said.err


@pytest.mark.parametrize("name", ["../../outside/precious.txt", "/etc/passwd", "lm/../../../outside/precious.txt", "code.py", "lm/pytorch_model.bin"])
def test_a_captioner_cannot_list_files_outside_of_itself(name: str, stage: Stage) -> None:
    path = stage.home / "runs" / "quickstart" / "best" / "captioner.json"
    facts = json.loads(path.read_text())
    facts["files"][name] = "0" * 64
    replace(path, json.dumps(facts).encode())
    stage.refuses("caption", stage.pictures / "train" / "red.png")
    stage.refuses("model", "import", path.parent)
    assert not (stage.home / "models").exists() or not [entry for entry in (stage.home / "models").iterdir() if not Path(entry).name.startswith(".")]
