"""Good files of well-known datasets, spoilt at random: what can be read is read, what is wrong is listed or refused, and nothing else happens."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from clipcap_cli.datasets.readers.coco import Coco, CocoResults, refusal
from clipcap_cli.datasets.readers.flickr import Flickr
from clipcap_cli.datasets.readers.karpathy import Karpathy
from clipcap_cli.datasets.records import NO_OPTIONS, Problem, Reader
from clipcap_cli.errors import InputError

NAMES = ("000000000001.jpg", "1000268201_693b08cb0e.jpg", "2199200615.jpg")
FILES: dict[str, tuple[type[Reader], str, Any]] = {
    "coco": (
        Coco,
        "captions_val2017.json",
        {
            "images": [{"id": number, "file_name": name} for number, name in enumerate(NAMES)],
            "annotations": [{"id": number, "image_id": number, "caption": "A dog, « brun »."} for number in range(3)],
        },
    ),
    "results": (CocoResults, "results.json", [{"image_id": 1, "caption": "a dog"}, {"image_id": 2199200615, "caption": "a cat"}]),
    "karpathy": (
        Karpathy,
        "dataset_coco.json",
        {
            "images": [
                {"filename": name, "filepath": "val2014", "split": "restval", "sentences": [{"raw": "A dog.", "tokens": ["a", "dog"]}, {"tokens": ["dogs"]}]}
                for name in NAMES
            ],
            "dataset": "coco",
        },
    ),
    "tokens": (Flickr, "Flickr8k.token.txt", "".join(f"{name}#0\tA dog .\n{name}.1#1\tZwei Hünde .\n" for name in NAMES)),
    "pipes": (Flickr, "results.csv", "image_name| comment_number| comment\n" + "".join(f"{name}| 0| A dog , é .\n{name}| 4   Dogs .\n" for name in NAMES)),
    "commas": (Flickr, "captions.txt", "image,caption\n" + f'{NAMES[1]},A dog , running .\n{NAMES[1]},"Two ""dogs"" , é"\n' * 3),
}

junk = st.sampled_from(
    [b"\x00", b"\xff", b"\xef\xbb\xbf", b"\r", b"\r\n", b'"', b"[", b"{", b"]", b"}", b",", b"\\ud800", b"\\u0000", b"|", b"#1\t", b"9" * 5000]
)
damage = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 30), junk | st.binary(max_size=8)), min_size=1, max_size=4)
DEEP = "a list in a list in a list"
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([10**400, "\ud800", "\x00", DEEP, "../../x.jpg", "a" * 5000]),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(["raw", "caption", "id", "images"]), below, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def folder() -> Any:
    with tempfile.TemporaryDirectory() as name:
        for picture in NAMES:
            Image.new("RGB", (4, 4)).save(Path(name) / picture)
        yield Path(name)


def try_reading(layout: type[Reader], source: Path) -> None:
    """Read a source as this layout, whether it looks like it or not."""
    problems: list[Problem] = []
    for step in (lambda: layout().detect(source, NO_OPTIONS), lambda: refusal(source), lambda: list(layout().read(source, NO_OPTIONS, problems.append))):
        with suppress(InputError):
            step()
    assert all(problem.where and problem.message for problem in problems)


def text_of(good: Any) -> bytes:
    return (good if isinstance(good, str) else json.dumps(good, ensure_ascii=False)).encode()


@pytest.mark.parametrize("name", FILES)
def test_the_good_files_are_good(name: str, folder: Path) -> None:
    layout, file, good = FILES[name]
    (folder / file).write_bytes(text_of(good))
    assert layout().detect(folder / file, NO_OPTIONS)
    assert list(layout().read(folder / file, NO_OPTIONS, lambda _: None))
    (folder / file).unlink()


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=100)
@given(spoilt=damage, kept=st.floats(0, 1) | st.just(1.0))
def test_a_file_with_other_bytes_in_it_is_read_or_refused(name: str, folder: Path, spoilt: list[tuple[float, int, bytes]], kept: float) -> None:
    layout, file, good = FILES[name]
    data = text_of(good)
    for place, cut, inserted in spoilt:
        at = int(place * len(data))
        data = data[:at] + inserted + data[at + cut :]
    (folder / file).write_bytes(data[: int(kept * len(data))])
    for source in (folder, folder / file):
        try_reading(layout, source)


def with_other(value: Any, choose: Callable[[int], int], other: Any) -> Any:
    """The same JSON with one of its values, wherever it is, replaced."""
    inner = list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    place = choose(len(inner) + 1)
    if place == len(inner):
        return other
    key, below = inner[place]
    changed = with_other(below, choose, other)
    return {**value, key: changed} if isinstance(value, dict) else [*value[:key], changed, *value[key + 1 :]]


@pytest.mark.parametrize("name", ["coco", "results", "karpathy"])
@settings(max_examples=100)
@given(places=st.lists(st.integers(0, 99), min_size=8, max_size=8), other=values)
def test_a_file_with_values_of_other_kinds_is_read_or_refused(name: str, folder: Path, places: list[int], other: Any) -> None:
    layout, file, good = FILES[name]
    chosen = iter(places)
    text = json.dumps(with_other(good, lambda size: next(chosen) % size, other))
    (folder / file).write_text(text.replace(f'"{DEEP}"', "[" * 900 + "]" * 900))
    for source in (folder, folder / file):
        try_reading(layout, source)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "data", [b"", b"[" * 200_000, b'{"annotations": ' + b"[" * 200_000, b"\x00" * 70_000, b"[" + b"9" * 100_000, b'{"images": [' + b" " * 3_000_000]
)
def test_files_made_to_harm_are_refused(name: str, folder: Path, data: bytes) -> None:
    layout, file, _ = FILES[name]
    (folder / file).write_bytes(data)
    try_reading(layout, folder)
    try_reading(layout, folder / file)
