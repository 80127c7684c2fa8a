"""A captioner as a folder for others: the bundle as it lies in the store, file by file, with a full model card; self-contained if that is asked for.

Nothing is loaded and written anew, so what comes out is what was there, to the byte.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from clipcap_cli.captioner.bundle import check_files, hashes_of
from clipcap_cli.captioner.captioner import check_encoder
from clipcap_cli.captioner.lm_folders import copy_folder, find_folder, hash_of_weights, revision_of
from clipcap_cli.captioner.manifest import CARD, ENCODER, LANGUAGE_MODEL, NAME, EncoderInside, Manifest, read_manifest
from clipcap_cli.captioner.model_card import model_card
from clipcap_cli.captioner.models import Found
from clipcap_cli.encoders.carrying import carry_encoder
from clipcap_cli.encoders.registry import load_encoder
from clipcap_cli.errors import InputError
from clipcap_cli.events import Listener, Note
from clipcap_cli.exports.facts import gather_facts
from clipcap_cli.storage.home import Home
from clipcap_cli.storage.hub import HUB_ID, cached_folder


def export_bundle(found: Found, folder: Path, *, name: str, self_contained: bool, licence: str | None, repo: str | None, home: Home, events: Listener) -> None:
    """Fill an empty folder with a captioner.

    Args:
        name: for the heading of the card.
        self_contained: with language model, tokenizer and encoder inside.
        licence: what its owner states for it, as the hub writes licences ("mit").
        repo: where it will lie on the hub.

    Raises:
        InputError: the encoder or the language model that is here is another one, or cannot be put inside.
        MissingError: what should go inside is not here and cannot be had now.
        StoreError: the bundle is damaged, or the folder cannot be written.
    """
    manifest = read_manifest(found.path)
    check_files(found.path, manifest)
    info = gather_facts(found, manifest, home, licence=licence)
    for path in manifest.files:
        (folder / path).parent.mkdir(exist_ok=True)
        shutil.copyfile(found.path / path, folder / path)
    if self_contained:
        manifest = _with_encoder(_with_language_model(manifest, folder, home, events), folder, home, events)
    else:
        manifest = _with_revision(manifest)
        _tell_what_is_needed(manifest, events)
    if not info.get("scores"):
        events(Note(f"the card has no scores: none are known of pictures that it did not learn from (`clipcap eval {found.name}`, then export again)"))
    manifest = manifest.model_copy(update={"info": info, "files": hashes_of(folder)})
    (folder / NAME).write_text(manifest.to_json(), encoding="utf-8")
    (folder / CARD).write_text(model_card(manifest, name=name, repo=repo), encoding="utf-8")


def _with_language_model(manifest: Manifest, folder: Path, home: Home, events: Listener) -> Manifest:
    entry = manifest.language_model
    if entry.inside:
        return manifest
    source = find_folder(entry.name, home=home, revision=entry.revision, events=events)
    if hash_of_weights(source) != entry.content:
        raise InputError(
            f"the language model {entry.name!r} here is not the one that this captioner was trained with",
            where=str(source),
            hint="Bring back the weights that it was trained with.",
        )
    copy_folder(source, folder / LANGUAGE_MODEL)
    return _changed(manifest, "language_model", inside=True, revision=entry.revision or revision_of(source))


def _with_encoder(manifest: Manifest, folder: Path, home: Home, events: Listener) -> Manifest:
    entry = manifest.encoder
    if entry.inside:
        return manifest
    check_encoder(load_encoder(entry.spec, home=home, device="cpu", events=events), entry.fingerprint)
    family, path = carry_encoder(entry.spec, folder / ENCODER, home=home, events=events)
    inside = load_encoder(f"{family}:{path}", home=home, device="cpu", events=events)
    return _changed(manifest, "encoder", inside=EncoderInside(family=family, path=path.relative_to(folder).as_posix(), fingerprint=inside.fingerprint))


def _with_revision(manifest: Manifest) -> Manifest:
    """With the hub's revision of a language model that is not inside, if the local cache tells it."""
    entry = manifest.language_model
    if entry.inside or entry.revision is not None:
        return manifest
    source = cached_folder(entry.name) if HUB_ID.fullmatch(entry.name) else None
    return _changed(manifest, "language_model", revision=revision_of(source)) if source and hash_of_weights(source) == entry.content else manifest


def _tell_what_is_needed(manifest: Manifest, events: Listener) -> None:
    """Warn of what only this machine has."""
    encoder, language_model = manifest.encoder, manifest.language_model
    own = []
    if not encoder.inside and Path(encoder.spec.partition(":")[2]).is_absolute():
        own.append(f"the encoder {encoder.spec}")
    if not language_model.inside and Path(language_model.name).is_absolute():
        own.append(f"the language model {language_model.name}")
    if own:
        events(Note(f"on another machine it will lack {' and '.join(own)}: --self-contained puts that inside", "warning"))


def _changed(manifest: Manifest, part: str, **values: Any) -> Manifest:
    return manifest.model_copy(update={part: getattr(manifest, part).model_copy(update=values)})
