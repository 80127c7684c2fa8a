"""What is evaluated, from strangers: files of captions and of document frequencies that are none."""

from __future__ import annotations

import os

import pytest
from hostile_tools import Stage, replace, sparse

NAMES = [f'{{"image_id": "val/{colour}.png", "caption": "a picture"}}' for colour in ("blue", "black")]
PREDICTIONS = {
    "nothing": b"",
    "brackets": b"[" * 1_000_000,
    "objects in objects": b'{"a":' * 200_000,
    "a number": b"1",
    "null": b"null",
    "numbers": b"[1, 2, 3]",
    "not UTF-8": b'[{"image_id": "\xff", "caption": "x"}]',
    "NaN for a name": b'[{"image_id": NaN, "caption": "x"}]',
    "an object for a caption": b'[{"image_id": "a", "caption": {"a": "b"}}]',
    "a number of 10,000 digits": b'[{"image_id": ' + b"9" * 10_000 + b', "caption": "x"}]',
    "an id that is a list": b'{"annotations": [{"image_id": [1], "caption": "x"}], "images": [{"id": [1], "file_name": "x"}]}',
    "images that are none": b'{"annotations": [{"image_id": 1, "caption": "x"}], "images": {"id": {}}}',
    "a name that leads out": b'[{"image_id": "../../outside/precious.txt", "caption": "x"}]',
    "half a surrogate": b'[{"image_id": "\\ud800", "caption": "\\udfff"}]',
    "zero bytes": bytes(10_000),
    "a pickle": b"cposix\nsystem\n(S'echo > $CLIPCAP_CANARY'\ntR.",
}


@pytest.mark.parametrize("content", PREDICTIONS)
@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv"])
def test_a_file_of_captions_that_is_none_is_refused(suffix: str, content: str, stage: Stage) -> None:
    path = replace(stage.work / f"captions{suffix}", PREDICTIONS[content])
    stage.refuses("eval", path, "--dataset", "pictures", "--split", "val", codes=(3,))


@pytest.mark.parametrize("kind", ["pipe", "device", "large"])
@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv"])
def test_a_file_of_captions_that_cannot_be_read_whole_is_refused(suffix: str, kind: str, stage: Stage) -> None:
    path = stage.work / f"captions{suffix}"
    os.mkfifo(path) if kind == "pipe" else path.symlink_to("/dev/zero") if kind == "device" else sparse(path)
    stage.refuses("eval", path, "--dataset", "pictures", "--split", "val", codes=(3,))


@pytest.mark.parametrize("content", [*PREDICTIONS, "pipe", "large"])
def test_document_frequencies_that_are_none_are_refused(content: str, stage: Stage) -> None:
    captions = replace(stage.work / "captions.json", f"[{','.join(NAMES)}]".encode())
    path = stage.work / "idf.json"
    if content == "pipe":
        os.mkfifo(path)
    elif content == "large":
        sparse(path)
    else:
        replace(path, PREDICTIONS[content])
    stage.refuses("eval", captions, "--dataset", "pictures", "--split", "val", "--metric", "cider", "--idf", path, codes=(3,))
