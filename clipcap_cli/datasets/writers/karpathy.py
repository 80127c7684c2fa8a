"""Karpathy's `dataset_NAME.json`: every picture with its split and its sentences, raw and as tokens."""

from __future__ import annotations

import json
import posixpath
import string
from collections.abc import Callable, Sequence
from pathlib import Path

from clipcap_cli.datasets.writers.written import Put, Written

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def write_karpathy(name: str, pictures: Sequence[Written], folder: Path, put: Put, done: Callable[[], None]) -> None:
    """Tokens as Karpathy's files have them: small letters, no punctuation, cut at white space. The pictures are in `images/`."""
    images, sentence_number = [], 0
    for number, it in enumerate(pictures):
        put(it.file, folder / "images" / it.name)
        sentences = []
        for caption in it.picture.captions:
            tokens = caption.lower().translate(_NO_PUNCTUATION).split()
            sentences.append({"raw": caption, "tokens": tokens, "imgid": number, "sentid": sentence_number})
            sentence_number += 1
        images.append(
            {
                "filepath": posixpath.join("images", posixpath.dirname(it.name)).rstrip("/"),
                "filename": posixpath.basename(it.name),
                "imgid": number,
                **({"split": it.picture.split} if it.picture.split else {}),
                "sentids": [sentence["sentid"] for sentence in sentences],
                "sentences": sentences,
            }
        )
        done()
    text = json.dumps({"dataset": name, "images": images}, ensure_ascii=False)
    (folder / f"dataset_{name}.json").write_text(text, encoding="utf-8")
