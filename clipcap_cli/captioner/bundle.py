"""A captioner as a folder: written whole or not at all, and checked before anything in it is used. No pickle anywhere.

A tuned language model is kept in the precision that it was trained in (fp32): halving it changes captions.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from clipcap_cli._version import __version__
from clipcap_cli.captioner.adapters import merge_adapters, save_adapters, save_merged
from clipcap_cli.captioner.captioner import Captioner, InsideEncoder
from clipcap_cli.captioner.language_models import LanguageModel
from clipcap_cli.captioner.lm_folders import copy_folder, revision_of
from clipcap_cli.captioner.lm_loading import load_from_folder, load_language_model
from clipcap_cli.captioner.manifest import (
    ADAPTER,
    CARD,
    FORMAT,
    LANGUAGE_MODEL,
    MAPPER,
    NAME,
    ROOMS,
    EncoderEntry,
    LanguageModelEntry,
    Manifest,
    PreparationEntry,
    read_manifest,
)
from clipcap_cli.captioner.mappers import Mapper, Preparation, build_mapper
from clipcap_cli.captioner.model_card import model_card
from clipcap_cli.encoders.precision import choose_device, choose_precision
from clipcap_cli.errors import ClipcapError, InputError, StoreError
from clipcap_cli.recipe.schema import MapperPart
from clipcap_cli.storage.atomic import new_folder
from clipcap_cli.storage.hashing import sha256_of_file
from clipcap_cli.storage.home import Home

_PREPARATION = "preparation."
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
_NAMED_AT_MOST = 10  # tensors in a message
_TRIES = 3  # of reading a bundle that is replaced meanwhile


def save_bundle(captioner: Captioner, folder: Path, *, self_contained: bool = False) -> None:
    """Write a captioner to `folder`, in the place of what was there.

    Args:
        self_contained: put the language model inside even if it is the stock one. A tuned one always is.

    Raises:
        StoreError: it cannot be written; what was there is as it was.
    """
    with new_folder(folder, replace=True) as part:
        write_bundle(captioner, part, self_contained=self_contained)


def write_bundle(captioner: Captioner, part: Path, *, self_contained: bool = False) -> None:
    """Fill the empty folder `part` with a captioner, as `save_bundle` does."""
    language_model = captioner.language_model
    inside = language_model.tuned or self_contained
    adapter = language_model.adapters is not None and not language_model.tuned  # those of a tuned one are saved in its weights
    tensors = {**captioner.mapper.state_dict(), **{_PREPARATION + key: value for key, value in captioner.preparation.state_dict().items()}}
    save_file({key: value.detach().cpu().contiguous() for key, value in tensors.items()}, part / MAPPER)
    if language_model.tuned and language_model.adapters is not None:
        save_merged(language_model, part / LANGUAGE_MODEL)
    elif language_model.tuned:
        language_model.save(part / LANGUAGE_MODEL)
    elif inside:
        copy_folder(language_model.folder, part / LANGUAGE_MODEL)
    if adapter:
        save_adapters(language_model, part / ADAPTER)
    manifest = Manifest(
        format=FORMAT,
        clipcap=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        encoder=EncoderEntry(spec=captioner.encoder_spec, fingerprint=captioner.encoder_fingerprint, embedding_size=captioner.mapper.embedding_size),
        preparation=PreparationEntry(normalize=captioner.preparation.normalize, standardize=captioner.preparation.mean is not None),
        mapper=MapperPart.model_validate(captioner.mapper.settings),
        language_model=LanguageModelEntry(
            name=language_model.name,
            width=language_model.width,
            tuned=language_model.tuned,
            inside=inside,
            content=language_model.content_hash,
            adapter=adapter,
            revision=revision_of(language_model.folder),
        ),
        decode=captioner.decode,
        info=captioner.info,
        files=hashes_of(part),
    )
    (part / NAME).write_text(manifest.to_json(), encoding="utf-8")
    (part / CARD).write_text(model_card(manifest), encoding="utf-8")


def load_bundle(folder: Path, *, home: Home | None = None, device: str = "auto", precision: str = "fp32") -> Captioner:
    """The captioner in `folder`, frozen, in eval mode.

    Args:
        home: where the encoder and a language model that is not inside are looked for.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        precision: of the language model's matrix products: "fp32"; "bf16", which now and then chooses another word; or "auto", bf16 where the hardware has it.

    Raises:
        InputError: no bundle is there, it is of a newer format, its tensors do not fit, or the stock language model is another than it was.
        MissingError: the stock language model would have to be downloaded and that cannot be done now.
        StoreError: its files are not those that were written.
    """
    for _ in range(_TRIES - 1):
        before = _listing(folder)
        try:
            captioner = _load_bundle(folder, home, device, precision)
        except (ClipcapError, OSError):
            if _listing(folder) == before:
                raise
        else:
            if _listing(folder) == before:
                return captioner
    return _load_bundle(folder, home, device, precision)


def _listing(folder: Path) -> bytes | None:
    """captioner.json as it is now: a training may let a better bundle take the place of this one while it is read."""
    try:
        return (folder / NAME).read_bytes()
    except OSError:
        return None


def _load_bundle(folder: Path, home: Home | None, device: str, precision: str) -> Captioner:
    where = choose_device(device)
    manifest = read_manifest(folder)
    check_files(folder, manifest)
    preparation, mapper = _load_mapper(folder, manifest)
    language_model = _load_language_model(folder, manifest, home).to(where)
    language_model.step_in(_DTYPES[choose_precision(precision, where)[0]])
    return Captioner(
        encoder_spec=manifest.encoder.spec,
        encoder_fingerprint=manifest.encoder.fingerprint,
        preparation=preparation.to(where),
        mapper=mapper.to(where),
        language_model=language_model,
        decode=manifest.decode,
        info=manifest.info,
        home=home,
        inside=encoder_inside(folder, manifest),
    )


def encoder_inside(folder: Path, manifest: Manifest) -> InsideEncoder | None:
    """The encoder that the bundle in `folder` brings with it, if it brings one."""
    inside = manifest.encoder.inside
    return InsideEncoder(f"{inside.family}:{folder.absolute() / inside.path}", inside.fingerprint) if inside else None


def hashes_of(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file of the bundle in `folder` but captioner.json and the model card."""
    return {path: sha256_of_file(folder / path) for path in _files(folder)}


def _files(folder: Path) -> list[str]:
    inside = sorted(path for room in ROOMS for path in (folder / room).rglob("*") if path.is_file())
    return [MAPPER, *(path.relative_to(folder).as_posix() for path in inside)]


def check_files(folder: Path, manifest: Manifest) -> None:
    """Whether the files of a bundle are those that were written.

    Raises:
        StoreError: one is missing, changed, or was added.
    """
    there = {path for path in _files(folder) if (folder / path).is_file()}
    wrong = [f"{path} is missing" for path in sorted(manifest.files.keys() - there)]
    wrong += [f"{path} was added" for path in sorted(there - manifest.files.keys())]
    try:
        wrong += [f"{path} was changed" for path in sorted(there & manifest.files.keys()) if sha256_of_file(folder / path) != manifest.files[path]]
    except OSError as error:
        where = str(error.filename or folder)
        raise StoreError(f"this captioner cannot be read: {error.strerror}", where=where, hint="Give yourself the right to read it.") from error
    if wrong:
        raise StoreError(f"this captioner is damaged: {'; '.join(wrong)}", where=str(folder), hint="Bring back the bundle as it was made, or train again.")


def _load_mapper(folder: Path, manifest: Manifest) -> tuple[Preparation, Mapper]:
    with torch.device("meta"):  # shapes first: nothing is allocated for a mapper that does not fit
        mapper = build_mapper(
            **manifest.mapper.model_dump(exclude={"preset"}), embedding_size=manifest.encoder.embedding_size, lm_width=manifest.language_model.width
        )
    try:
        tensors = load_file(folder / MAPPER)
    except SafetensorError as error:
        raise InputError(f"this is no safetensors file: {error}", where=str(folder / MAPPER), hint="Bring back the bundle as it was made.") from error
    sides = [f"{_PREPARATION}{name}" for name in ("mean", "scale")] if manifest.preparation.standardize else []
    shapes = {key: tuple(value.shape) for key, value in mapper.state_dict().items()} | dict.fromkeys(sides, (manifest.encoder.embedding_size,))
    _check_shapes(shapes, tensors, folder / MAPPER)
    mean, scale = (tensors.pop(key) for key in sides) if sides else (None, None)
    mapper.load_state_dict(tensors, assign=True)
    return Preparation(manifest.preparation.normalize, mean, scale).eval(), _frozen(mapper)


def _check_shapes(expected: dict[str, tuple[int, ...]], found: dict[str, Tensor], path: Path) -> None:
    wrong = [f"{key} is missing" for key in expected if key not in found]
    wrong += [f"{key} is left over" for key in found if key not in expected]
    wrong += [f"{key} is {tuple(found[key].shape)}, not {shape}" for key, shape in expected.items() if key in found and tuple(found[key].shape) != shape]
    if wrong:
        more = f"; and {len(wrong) - _NAMED_AT_MOST} more" if len(wrong) > _NAMED_AT_MOST else ""
        raise InputError(
            f"the tensors do not fit the mapper that {NAME} describes: {'; '.join(wrong[:_NAMED_AT_MOST])}{more}",
            where=str(path),
            hint="Bring back the bundle as it was made.",
        )


def _frozen(mapper: Any) -> Mapper:
    frozen: Mapper = mapper.eval().requires_grad_(False)
    return frozen


def _load_language_model(folder: Path, manifest: Manifest, home: Home | None) -> LanguageModel:
    entry = manifest.language_model
    if entry.inside:
        language_model = load_from_folder(folder / LANGUAGE_MODEL, name=entry.name)
        language_model.tuned = entry.tuned
        language_model.content_hash = entry.content
    else:
        language_model = load_language_model(entry.name, home=home, revision=entry.revision)
    if language_model.content_hash != entry.content:
        raise InputError(
            f"the language model {entry.name!r} here is not the one that this captioner was trained with: its captions would mean nothing",
            where=str(language_model.folder),
            hint=f"Bring back the weights that it was trained with{f' (revision {entry.revision} of the hub)' if entry.revision else ''}, or train again.",
        )
    if language_model.width != entry.width:
        raise InputError(f"the language model has width {language_model.width}, and {NAME} says {entry.width}", where=str(language_model.folder))
    if entry.adapter:
        merge_adapters(language_model, folder / ADAPTER)
    return language_model
