"""One evaluation from a captioner, or from a file of anybody's captions, to scores with intervals and baselines."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from clipcap_cli.captioner.decoding.settings import change_decoding
from clipcap_cli.captioner.manifest import read_manifest
from clipcap_cli.captioner.models import Found
from clipcap_cli.datasets.records import NO_OPTIONS, ReaderOptions
from clipcap_cli.encoders.base import ImageEncoder, TextEncoder
from clipcap_cli.encoders.registry import load_encoder
from clipcap_cli.errors import InputError
from clipcap_cli.evaluation.captioning import Asking
from clipcap_cli.evaluation.cautions import cautions
from clipcap_cli.evaluation.judge import CLIP, ClipView, Judge, check_families
from clipcap_cli.evaluation.language import describe
from clipcap_cli.evaluation.metrics.cider import DocumentFrequencies
from clipcap_cli.evaluation.metrics.overlap import OVERLAP
from clipcap_cli.evaluation.pictures import Pictures, choose_pictures, embedded, what_was_learned
from clipcap_cli.evaluation.rivals import rivals_of, verdict_on
from clipcap_cli.evaluation.scores import Scores
from clipcap_cli.evaluation.subject import captions_from_captioner, captions_from_file, encoder_of, find_subject
from clipcap_cli.events import Listener, Note, silent
from clipcap_cli.storage.home import Home, open_home
from clipcap_cli.training.runs import Run, open_run


def evaluate(
    what: Run | str | os.PathLike[str] | None = None,
    dataset: str | None = None,
    *,
    split: str | None = None,
    metrics: Sequence[str] = OVERLAP,
    decode: Mapping[str, Any] | None = None,
    references: Path | None = None,
    frequencies: DocumentFrequencies | None = None,
    clip: str | None = None,
    encoder: str | None = None,
    baselines: bool = True,
    partial: bool = False,
    columns: ReaderOptions = NO_OPTIONS,
    precision: str = "fp32",
    seed: int = 0,
    batch_size: int = 32,
    home: Home | None = None,
    device: str = "auto",
    events: Listener = silent,
) -> Scores:
    """Score captions.

    Args:
        what: a run, a model, a bundle's folder, or a file of captions (COCO results, JSON lines, CSV); None for the model in use.
        dataset: its name; None for the one that the captioner was trained on.
        split: None for "test".
        metrics: families out of `FAMILIES`: "bleu", "rouge-l", "cider", "meteor", "spice", "clipscore", "retrieval".
        decode: what to do otherwise than by the captioner's default, as in the recipe.
        references: a file of references in the place of a dataset.
        frequencies: document frequencies of a corpus for CIDEr; None for those of the evaluated references.
        clip: encoder for CLIPScore and retrieval; None for the captioner's own.
        encoder: of the nearest neighbours; None for the captioner's own.
        baselines: whether to score what a captioner has to beat.
        partial: score what a file of captions has, also when pictures are missing from it.
        columns: names of the columns of a table of captions.
        precision, seed, batch_size, device: of writing captions.
        home: the store; None for the usual one.

    Returns:
        The scores, with 95 % intervals. The captions are kept: asking again for other metrics does not write them again.

    Raises:
        InputError: something that was named is not there, or the captions do not fit the pictures.
        MissingError: weights, a package or a program are missing.
        StoreError: the store cannot be written.
    """
    home = home or (what.home if isinstance(what, Run) else open_home())
    families = check_families(metrics)
    file, found = find_subject(what, home)
    _check_asked(file, found, bool(decode), partial or columns != NO_OPTIONS, clip, encoder, families)
    if found is not None and what is None:
        events(Note(f"eval: {found.kind} {found.name!r} ({found.why})"))
    pictures = choose_pictures(found, dataset, split, references, columns, home)
    learned = what_was_learned(found, pictures, home)
    loaded = encoder_of(found, encoder, home, device, events)
    scoring = _scoring_encoder(families, clip, loaded, pictures, home, device, events)
    if file is not None:
        captions = captions_from_file(file, pictures, columns, partial, events)
    else:
        assert found is not None
        assert loaded is not None
        asking = Asking(change_decoding(read_manifest(found.path).decode, decode or {}), seed, precision)
        captions = captions_from_captioner(found, pictures, loaded, asking, home=home, device=device, batch_size=batch_size, events=events)
    run = open_run(found.name, home=home) if found and found.kind == "run" else None
    judge = Judge(families, frequencies, _clip_view(scoring, pictures, home, events))
    name = found.name if found else file.name if file else ""
    images = tuple(image for image in pictures.images if image.name in captions.of)
    told = {image.name: image.captions for image in images}
    system = judge.system(name, told, captions.of)
    rivals = rivals_of(judge, images, pictures, learned, loaded, events) if baselines else ()
    language = describe(list(system.captions.values()), training=learned.captions if learned else None, cut=captions.cut)
    scores = Scores(
        name=name,
        run=run.name if run else None,
        recipe=run.recipe if run else None,
        learned_from=f"{run.info.dataset} v{run.info.dataset_version}" if run else None,
        dataset=pictures.name,
        version=pictures.dataset.version if pictures.dataset else None,
        split=pictures.split,
        images=images,
        system=system,
        baselines=rivals,
        language=language,
        verdict=verdict_on(system, rivals),
        settings={
            "tok": "ptb",
            "idf": frequencies.name if frequencies else "eval",
            **captions.settings,
            **({"clip": judge.clip.encoder.spec} if judge.clip else {}),
        },
        predictions=captions.path,
        left_out=captions.left_out,
        warnings=(),
    )
    return replace(scores, warnings=tuple(cautions(scores, pictures, learned, found, judge)))


def _check_asked(
    file: Path | None, found: Found | None, decodes: bool, for_files: bool, clip: str | None, encoder: str | None, families: Sequence[str]
) -> None:
    """Refuse what would have no effect.

    Raises:
        InputError: something was asked for that this evaluation does not do.
    """
    if file is not None and decodes:
        raise InputError(f"the captions of {file.name} are written already", hint="Leave out --beam and --decode.")
    if found is not None and for_files:
        raise InputError(f"{found.name!r} is a captioner, and --partial, --image-column and --caption-column are for files of captions", hint="Leave them out.")
    if found is not None and encoder is not None:
        raise InputError(f"{found.name!r} has an encoder of its own, and --encoder is for files of captions", hint="Leave it out.")
    if clip is not None and not set(families) & set(CLIP):
        raise InputError("no metric that is asked for uses --clip", hint="Add --metric clipscore or --metric retrieval.")


def _scoring_encoder(
    families: Sequence[str], clip: str | None, own: ImageEncoder | None, pictures: Pictures, home: Home, device: str, events: Listener
) -> ImageEncoder | None:
    """The encoder that judges, where one is needed."""
    if not set(families) & set(CLIP):
        return None
    if pictures.dataset is None:
        raise InputError("CLIPScore and retrieval need pictures, and a file of references has none", hint="Name a dataset with --dataset.")
    encoder = load_encoder(clip, home=home, device=device, events=events) if clip else own
    if not isinstance(encoder, TextEncoder):
        which = "no encoder is named" if encoder is None else f"{encoder.spec} turns no texts into vectors"
        raise InputError(f"CLIPScore and retrieval need an encoder with a text tower, and {which}", hint="Name one with --clip, such as openai:ViT-B/32.")
    return encoder


def _clip_view(encoder: ImageEncoder | None, pictures: Pictures, home: Home, events: Listener) -> ClipView | None:
    if encoder is None or pictures.dataset is None:
        return None
    store = embedded(pictures.dataset, pictures.split, encoder, events)
    return ClipView(encoder, store, {image.name: image.image_id for image in pictures.images}, home, events)
