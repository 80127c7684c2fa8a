"""What is evaluated: a captioner, or a file of captions; and its captions of the pictures that were chosen."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clipcap_cli.captioner.bundle import encoder_inside
from clipcap_cli.captioner.captioner import check_encoder
from clipcap_cli.captioner.manifest import read_manifest
from clipcap_cli.captioner.models import Found, find_captioner
from clipcap_cli.datasets.records import ReaderOptions
from clipcap_cli.encoders.base import ImageEncoder
from clipcap_cli.encoders.registry import load_encoder
from clipcap_cli.errors import InputError
from clipcap_cli.evaluation.captioning import Asking, write_captions
from clipcap_cli.evaluation.pictures import Pictures, embedded
from clipcap_cli.evaluation.predictions import SUFFIXES, check_file, listed, one_each, read_predictions
from clipcap_cli.events import Listener, Note
from clipcap_cli.recipe.schema import Decode
from clipcap_cli.storage.home import Home
from clipcap_cli.training.runs import Run


@dataclass(frozen=True)
class Captions:
    """What is scored.

    Attributes:
        of: captions by picture's name.
        cut: of each, whether the length limit ended it; None where that is not known.
        path: the file that has them.
        settings: how they were written, for signatures.
        left_out: pictures that have none.
    """

    of: Mapping[str, str]
    cut: Sequence[bool] | None
    path: Path
    settings: Mapping[str, str]
    left_out: tuple[str, ...]


def find_subject(what: Run | str | os.PathLike[str] | None, home: Home) -> tuple[Path | None, Found | None]:
    """The file of captions that is meant, or else the captioner.

    Raises:
        InputError: there is neither.
        MissingError: it is a captioner that was published, and was not brought yet.
    """
    if isinstance(what, Run):
        what = what.name
    if what is not None and not (home.runs / what).is_dir() and not (home.models / what).is_dir():
        file = Path(what).expanduser()
        if file.suffix.lower() in SUFFIXES:
            check_file(file)
            return file, None
        if file.is_file():
            hint = f"Captions are read from {', '.join(SUFFIXES)}."
            raise InputError(f"this file ({file.suffix or 'without an ending'}) is no file of captions", where=str(what), hint=hint)
    return None, find_captioner(None if what is None else os.fspath(what), home)


def encoder_of(found: Found | None, spec: str | None, home: Home, device: str, events: Listener) -> ImageEncoder | None:
    """The captioner's encoder, or the one that was named for a file of captions.

    Raises:
        InputError: there is no such encoder, or it is not the one that the captioner was trained with.
        MissingError: its weights are missing.
    """
    if found is None:
        return load_encoder(spec, home=home, device=device, events=events) if spec else None
    manifest = read_manifest(found.path)
    source = encoder_inside(found.path, manifest) or manifest.encoder
    loaded = load_encoder(source.spec, home=home, device=device, events=events)
    check_encoder(loaded, source.fingerprint)
    return loaded


def captions_from_file(file: Path, pictures: Pictures, columns: ReaderOptions, partial: bool, events: Listener) -> Captions:
    """The captions that a file has of the pictures.

    Raises:
        InputError: it cannot be read, or its pictures are not those, unless `partial` asks for what both have.
    """
    captions, missing, strangers = one_each(
        read_predictions(file, columns), [image.name for image in pictures.images], [image.image_id for image in pictures.images]
    )
    if not captions:
        raise InputError(
            f"none of its pictures is in {pictures.told}; it names {listed(strangers)}",
            where=str(file),
            hint="Name the dataset and the split that these captions are of.",
        )
    told = [f"pictures without a caption: {listed(missing)}"] if missing else []
    told += [f"captions of pictures that are not in {pictures.told}: {listed(strangers)}"] if strangers else []
    if told and not partial:
        raise InputError("; ".join(told), where=str(file), hint="Bring what is missing, or score what both have with --partial.")
    for line in told:
        events(Note(f"left out, {line}", "warning"))
    return Captions(captions, None, file, {"captions": file.name}, tuple(missing))


def captions_from_captioner(
    found: Found, pictures: Pictures, encoder: ImageEncoder, asking: Asking, *, home: Home, device: str, batch_size: int, events: Listener
) -> Captions:
    """The captions that a captioner writes for the pictures, or has written.

    Raises:
        InputError: there are no pictures to caption.
        MissingError: weights are missing.
        StoreError: the store cannot be written.
    """
    if pictures.dataset is None:
        raise InputError("a captioner needs pictures, and a file of references has none", hint="Name a dataset with --dataset.")
    store = embedded(pictures.dataset, pictures.split, encoder, events)
    there = store.places([image.image_id for image in pictures.images]) >= 0
    left_out = tuple(image.name for image, has_one in zip(pictures.images, there, strict=True) if not has_one)
    images = [image for image, has_one in zip(pictures.images, there, strict=True) if has_one]
    if not images:
        raise InputError(f"no picture of {pictures.told} could be embedded", hint=f"`clipcap embed {pictures.name}` tells why.")
    label = f"{pictures.name}-{pictures.split}"
    written = write_captions(found, images, store, asking, home=home, label=label, device=device, batch_size=batch_size, events=events)
    if written.were_there:
        events(Note(f"its captions were written before: {written.path}"))
    captions = dict(zip((image.name for image in images), written.captions, strict=True))
    return Captions(captions, written.cut, written.path, _decoding(asking), left_out)


def _decoding(asking: Asking) -> dict[str, str]:
    """How captions were written, as a signature has it: the strategy, and whatever is not as by default."""
    decode, usual = asking.decode, Decode.model_validate({})
    told = {"beam": str(decode.beams)} if decode.strategy == "beam" else {"decode": decode.strategy}
    others = (key for key in Decode.model_fields if key not in ("strategy", "beams") and getattr(decode, key) != getattr(usual, key))
    drawn = {"seed": str(asking.seed)} if decode.strategy == "sample" else {}
    in_precision = {"precision": asking.precision} if asking.precision != "fp32" else {}
    return {**told, **{key: str(getattr(decode, key)) for key in others}, **drawn, **in_precision}
