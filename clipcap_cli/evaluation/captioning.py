"""The captions that a captioner writes for a dataset, kept: asking for a second metric costs nothing.

    evaluations/DATASET-SPLIT-HASH/predictions.json    COCO results, with each caption's score and whether the length limit ended it
                                  /captions.json       what they were written by; HASH is of this
                                  /files.json          the SHA-256 of these two

Everything that a caption depends on is in that hash: the captioner's files, how it decodes, the pictures, the precision of their embeddings.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipcap_cli.captioner.bundle import load_bundle
from clipcap_cli.captioner.manifest import Manifest, read_manifest
from clipcap_cli.captioner.models import Found
from clipcap_cli.datasets.dataset import Image
from clipcap_cli.embeddings.store import EmbeddingStore
from clipcap_cli.evaluation.kept import FACTS, FILES, PREDICTIONS
from clipcap_cli.evaluation.predictions import write_predictions
from clipcap_cli.events import Listener, silent
from clipcap_cli.recipe.schema import Decode
from clipcap_cli.storage.atomic import new_folder, write_json
from clipcap_cli.storage.hashing import sha256_of_file
from clipcap_cli.storage.home import Home
from clipcap_cli.storage.names import name_from
from clipcap_cli.storage.reading import LARGEST_FILE, read_json

_HASH = 12  # digits in the folder's name


@dataclass(frozen=True)
class Written:
    """Captions of pictures, in their order.

    Attributes:
        captions: texts.
        cut: of each, whether the length limit ended it.
        path: the file that keeps them, as COCO results.
        were_there: whether they had been written before.
    """

    captions: tuple[str, ...]
    cut: tuple[bool, ...]
    path: Path
    were_there: bool


@dataclass(frozen=True)
class Asking:
    """How captions are to be written."""

    decode: Decode
    seed: int = 0
    precision: str = "fp32"


def write_captions(
    found: Found,
    images: Sequence[Image],
    store: EmbeddingStore,
    asking: Asking,
    *,
    home: Home,
    label: str,
    device: str = "auto",
    batch_size: int = 32,
    events: Listener = silent,
) -> Written:
    """The captions of `images`, written now or earlier.

    Args:
        found: the captioner.
        store: holds the embeddings of all `images`.
        label: of the pictures, for the folder's name: "flickr8k-val".

    Raises:
        InputError, MissingError: the captioner cannot be loaded.
        StoreError: what is kept cannot be written.
    """
    facts = _facts(read_manifest(found.path), images, store, asking)
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    folder = home.evaluations / f"{name_from(label)}-{key[:_HASH]}"
    kept = _kept(folder, images)
    if kept is not None:
        return kept
    captioner = load_bundle(found.path, home=home, device=device, precision=asking.precision)
    vectors = store.gather([image.image_id for image in images])
    captions = captioner.caption_embeddings(vectors, asking.decode, batch_size=batch_size, seed=asking.seed, events=events)
    texts = tuple(caption.text for caption in captions)
    stop, longest = asking.decode.stop, asking.decode.max_tokens
    cut = tuple(len(caption.tokens) >= longest and not (stop and caption.text.endswith(stop.strip())) for caption in captions)
    home.prepare()
    with new_folder(folder, replace=True) as part:
        entries = zip(images, captions, cut, strict=True)
        write_predictions(
            part / PREDICTIONS,
            ({"image_id": image.name, "caption": caption.text, "score": caption.score, "cut": was_cut} for image, caption, was_cut in entries),
        )
        write_json(part / FACTS, facts)
        write_json(part / FILES, {"files": {name: sha256_of_file(part / name) for name in (PREDICTIONS, FACTS)}})
    return Written(texts, cut, folder / PREDICTIONS, False)


def _facts(manifest: Manifest, images: Sequence[Image], store: EmbeddingStore, asking: Asking) -> dict[str, Any]:
    return {
        "captioner": manifest.model_dump(mode="json", include={"encoder", "preparation", "mapper", "language_model", "files"}),
        "decode": asking.decode.model_dump(mode="json"),
        "seed": asking.seed if asking.decode.strategy == "sample" else None,
        "precision": asking.precision,
        "embeddings": store.folder.name,
        "pictures": pictures_hash(images),
    }


def pictures_hash(images: Sequence[Image]) -> str:
    """64 hex digits of the pictures and their names, in their order."""
    return hashlib.sha256("\n".join(f"{image.image_id} {image.name}" for image in images).encode()).hexdigest()


def _kept(folder: Path, images: Sequence[Image]) -> Written | None:
    """What lies there, if it is whole; whatever else it is will be written anew."""
    try:
        entries = read_json(folder / PREDICTIONS, LARGEST_FILE)
        if [entry["image_id"] for entry in entries] != [image.name for image in images]:
            return None
        captions = tuple(str(entry["caption"]) for entry in entries)
        return Written(captions, tuple(bool(entry["cut"]) for entry in entries), folder / PREDICTIONS, True)
    except (OSError, ValueError, KeyError, TypeError):
        return None
