"""COCO's captions: `annotations/captions_SPLIT.json`, and a folder of pictures for each split."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from clipcap_cli.datasets.writers.written import Put, Written, by_split


def write_coco(name: str, pictures: Sequence[Written], folder: Path, put: Put, done: Callable[[], None]) -> None:
    """Ids count from 1 over all splits. Pictures in no split are in `captions.json`."""
    (folder / "annotations").mkdir()
    image_number = caption_number = 0
    for split, members in by_split(pictures).items():
        images, annotations = [], []
        for it in members:
            image_number += 1
            place = f"{split or 'images'}/{it.name}"
            put(it.file, folder / place)
            images.append({"id": image_number, "file_name": place, "width": it.picture.width, "height": it.picture.height})
            for caption in it.picture.captions:
                caption_number += 1
                annotations.append({"id": caption_number, "image_id": image_number, "caption": caption})
            done()
        told = {"info": {"description": name}, "licenses": [], "images": images, "annotations": annotations}
        path = folder / "annotations" / (f"captions_{split}.json" if split else "captions.json")
        path.write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8")
