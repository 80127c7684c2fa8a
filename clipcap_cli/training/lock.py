"""lock.json: what a run was made of and on. Whoever has all of it has the run again.

recipe       as it was settled: presets, the dataset's version, paths from the root
asked        as it was asked for
data         dataset, version and digest; pictures, captions and the hash of both, by split; the hash of a file of texts
encoder      spec, fingerprint, precision; store of embeddings, how many rows of it were used, and the hash of these
start        language model and tokenizer by hash (and the hub's revision), the captioner that `init` names
machine      platform, processor, threads, device, precision, settings of the environment
packages     versions
git          commits of clipcap's code and of the folder
made_again   the run that it repeats
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clipcap_cli.captioner.lm_folders import hash_of_weights, revision_of
from clipcap_cli.captioner.manifest import read_manifest
from clipcap_cli.captioner.models import find_captioner
from clipcap_cli.datasets.dataset import Dataset
from clipcap_cli.datasets.pairs import Pairs
from clipcap_cli.embeddings.store import open_store
from clipcap_cli.encoders.base import ImageEncoder
from clipcap_cli.errors import StoreError
from clipcap_cli.recipe import Recipe
from clipcap_cli.storage.hashing import sha256_of_bytes, sha256_of_file
from clipcap_cli.storage.home import Home
from clipcap_cli.storage.hub import HUB_ID, cached_folder
from clipcap_cli.storage.reading import read_json
from clipcap_cli.training import surroundings
from clipcap_cli.training.runs import Run, list_runs

FORMAT = 1
FILE = "lock.json"
_AT_ONCE = 100_000  # captions, or rows, that are hashed in one go
_TOKENIZER = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "vocab.txt", "merges.txt", "special_tokens_map.json")


@dataclass(frozen=True)
class Lock:
    """All of lock.json, as plain JSON values."""

    recipe: dict[str, Any]
    asked: dict[str, Any]
    data: dict[str, Any]
    encoder: dict[str, Any]
    start: dict[str, Any]
    machine: dict[str, Any]
    packages: dict[str, str]
    git: dict[str, Any]
    made_again: str | None = None


def data_facts(recipe: Recipe, dataset: Dataset | None) -> dict[str, Any]:
    """What is learned from and validated on."""
    facts: dict[str, Any] = {}
    if dataset is not None:
        facts = {"dataset": dataset.name, "version": dataset.version, "digest": dataset.digest}
        for split in (recipe.dataset.train, recipe.dataset.val):
            if split in dataset.splits():
                pairs = dataset.pairs(split)
                facts[str(split)] = {"pictures": len(pairs.image_ids), "captions": len(pairs.captions), "sha256": _hash_of_pairs(pairs)}
    texts = Path(recipe.dataset.texts).expanduser() if recipe.dataset.texts else None
    if texts is not None and texts.is_file():
        facts["texts"] = {"path": str(texts), "sha256": sha256_of_file(texts)}
    return facts


def encoder_facts(recipe: Recipe, dataset: Dataset | None, encoder: ImageEncoder, home: Home) -> dict[str, Any]:
    """The encoder, and the rows of its store that are used."""
    facts: dict[str, Any] = {"spec": encoder.spec, "fingerprint": encoder.fingerprint, "precision": encoder.precision, "revision": _revision_of(encoder.spec)}
    if dataset is None:
        return facts
    store = open_store(home, encoder)
    digest, count = hashlib.sha256(), 0
    for split in (recipe.dataset.train, recipe.dataset.val):
        if split not in dataset.splits() or (split == recipe.dataset.train and recipe.dataset.texts is not None):
            continue
        places = store.places(dataset.image_ids(split))
        rows = store.at(places[places >= 0])
        for start in range(0, len(rows), _AT_ONCE):
            digest.update(np.ascontiguousarray(rows[start : start + _AT_ONCE]).data)
        count += len(rows)
    return {**facts, "store": store.folder.name, "rows": count, "rows_sha256": digest.hexdigest()}


def start_facts(recipe: Recipe, folder: Path, home: Home) -> dict[str, Any]:
    """The weights that training begins with.

    Args:
        folder: of the language model.
    """
    tokenizer = [sha256_of_file(folder / name) for name in _TOKENIZER if (folder / name).is_file()]
    facts: dict[str, Any] = {
        "language_model": recipe.language_model.name,
        "weights": hash_of_weights(folder),
        "tokenizer": sha256_of_bytes("".join(tokenizer).encode()),
        "revision": revision_of(folder),
    }
    if recipe.init is not None:
        files = read_manifest(find_captioner(recipe.init, home).path).files
        facts["init"] = {"captioner": recipe.init, "sha256": sha256_of_bytes(json.dumps(files, sort_keys=True).encode())}
    return facts


def take_lock(
    recipe: Recipe,
    asked: Recipe,
    dataset: Dataset | None,
    encoder: ImageEncoder,
    language_model: Path,
    home: Home,
    device: torch.device,
    precision: str,
    made_again: str | None = None,
    processes: int = 1,
) -> Lock:
    """The lock of a training that is about to begin.

    Args:
        recipe: with all that depends on the data settled.
        asked: as it was asked for.
        language_model: its folder.
        made_again: the run that is repeated.
        processes: that train together.
    """
    return Lock(
        recipe=recipe.model_dump(mode="json"),
        asked=asked.model_dump(mode="json"),
        data=data_facts(recipe, dataset),
        encoder=encoder_facts(recipe, dataset, encoder, home),
        start=start_facts(recipe, language_model, home),
        machine=surroundings.machine(device, precision, processes),
        packages=surroundings.packages(),
        git=surroundings.git_states(),
        made_again=made_again,
    )


def lock_json(lock: Lock) -> str:
    """The text of lock.json."""
    return json.dumps({"format": FORMAT, **vars(lock)}, indent=2, ensure_ascii=False) + "\n"


def read_lock(folder: Path) -> Lock | None:
    """The lock of the run in `folder`; None where it was made before there were any.

    Raises:
        StoreError: it is damaged, or was written by a newer clipcap.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        facts = read_json(path)
        number = facts.pop("format")
        if number > FORMAT:
            raise StoreError(f"this lock has format {number}, newer than the {FORMAT} that this clipcap knows", where=str(path), hint="Update clipcap.")
        lock = Lock(**facts)
        if not all(isinstance(value, Mapping) for value in (lock.recipe, lock.asked, lock.data, lock.encoder, lock.start, lock.machine, lock.packages)):
            raise TypeError("its parts are no objects")
        return lock
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise StoreError(f"this lock cannot be read ({error})", where=str(path), hint="Bring it back as it was, or train again.") from error


def run_of(recipe: Recipe, home: Home) -> Run | None:
    """The newest run that was asked for with this very recipe, however it stands; None where there is none.

    Raises:
        StoreError: a run's lock is damaged.
    """
    asked = recipe.model_dump(mode="json")
    for run in list_runs(home):
        lock = read_lock(run.path)
        if lock is not None and lock.asked == asked:
            return run
    return None


def _revision_of(spec: str) -> str | None:
    """The hub's revision of an encoder that came from there."""
    family, _, name = spec.partition(":")
    folder = cached_folder(name) if family == "hf" and HUB_ID.fullmatch(name) else None
    return revision_of(folder) if folder else None


def _hash_of_pairs(pairs: Pairs) -> str:
    digest = hashlib.sha256()
    digest.update(pairs.image_ids.tobytes())
    digest.update(pairs.pictures.tobytes())
    digest.update(pairs.bytes_of_captions().tobytes())
    for start in range(0, len(pairs.captions), _AT_ONCE):
        digest.update("".join(pairs.captions[start : start + _AT_ONCE].to_pylist()).encode())
    return digest.hexdigest()
