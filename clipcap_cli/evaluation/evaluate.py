"""One evaluation from a captioner, or from a file of anybody's captions, to scores with intervals and baselines."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from clipcap_cli.captioner.captioner import check_encoder
from clipcap_cli.captioner.decoding.settings import change_decoding
from clipcap_cli.captioner.manifest import read_manifest
from clipcap_cli.captioner.models import Found, find_captioner
from clipcap_cli.datasets.dataset import Dataset, Image
from clipcap_cli.datasets.records import NO_OPTIONS, ReaderOptions
from clipcap_cli.embeddings.pipeline import embed_dataset
from clipcap_cli.embeddings.store import EmbeddingStore
from clipcap_cli.encoders.base import ImageEncoder, TextEncoder
from clipcap_cli.encoders.registry import load_encoder
from clipcap_cli.errors import InputError
from clipcap_cli.evaluation.baselines import FREQUENT, HUMAN, NEAREST, RANDOM, human_captions, most_frequent, nearest_consensus, random_captions
from clipcap_cli.evaluation.captioning import Asking, write_captions
from clipcap_cli.evaluation.comparison import Difference, compare
from clipcap_cli.evaluation.judge import CLIP, ClipView, Judge, check_families
from clipcap_cli.evaluation.language import describe
from clipcap_cli.evaluation.metrics.cider import DocumentFrequencies
from clipcap_cli.evaluation.metrics.overlap import OVERLAP
from clipcap_cli.evaluation.pictures import Learned, Pictures, choose_pictures, what_was_learned
from clipcap_cli.evaluation.predictions import SUFFIXES, check_file, listed, one_each, read_predictions
from clipcap_cli.evaluation.scores import Scores, System, main_metric
from clipcap_cli.events import Listener, Note, silent
from clipcap_cli.recipe.schema import Decode
from clipcap_cli.storage.home import Home, open_home
from clipcap_cli.training.runs import Run, open_run
from clipcap_cli.words import count

_FEW = 100  # pictures
_GALLERY = 50_000  # training pictures at most that neighbours are looked for among, evenly taken


@dataclass(frozen=True)
class _Captions:
    """What is scored: captions by picture, and where they came from."""

    of: Mapping[str, str]
    cut: Sequence[bool] | None
    path: Path
    settings: Mapping[str, str]


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
    loaded = _encoder_of(found, encoder, home, device, events)
    scoring = _scoring_encoder(families, clip, loaded, pictures, home, device, events)
    left_out: list[str] = []
    if file is not None:
        captions = _from_file(file, pictures, columns, partial, left_out, events)
    else:
        assert found is not None
        assert loaded is not None
        asking = Asking(change_decoding(read_manifest(found.path).decode, decode or {}), seed, precision)
        captions, pictures = _from_captioner(found, pictures, loaded, asking, left_out, home=home, device=device, batch_size=batch_size, events=events)
    run = open_run(found.name, home=home) if found and found.kind == "run" else None
    judge = Judge(families, frequencies, _clip_view(scoring, pictures, home, events))
    name = found.name if found else file.name if file else ""
    images = tuple(image for image in pictures.images if image.name in captions.of)
    told = {image.name: image.captions for image in images}
    system = judge.system(name, told, captions.of)
    rivals = _baselines(judge, images, pictures, learned, loaded, events) if baselines else ()
    verdict = _verdict(system, rivals)
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
        verdict=verdict,
        settings={
            "tok": "ptb",
            "idf": frequencies.name if frequencies else "eval",
            **captions.settings,
            **({"clip": judge.clip.encoder.spec} if judge.clip else {}),
        },
        predictions=captions.path,
        left_out=tuple(left_out),
        warnings=(),
    )
    return replace(scores, warnings=tuple(_warnings(scores, pictures, learned, found, judge)))


def find_subject(what: Run | str | os.PathLike[str] | None, home: Home) -> tuple[Path | None, Found | None]:
    """The file of captions that is meant, or else the captioner.

    Raises:
        InputError: there is neither.
        MissingError: it is a captioner that was published, and was not brought yet.
    """
    if isinstance(what, Run):
        what = what.name
    if what is not None and Path(what).suffix.lower() in SUFFIXES and not (home.runs / what).is_dir() and not (home.models / what).is_dir():
        file = Path(what).expanduser()
        check_file(file)
        return file, None
    if what is not None and Path(what).expanduser().is_file():
        hint = f"Captions are read from {', '.join(SUFFIXES)}."
        raise InputError(f"this file ({Path(what).suffix or 'without an ending'}) is no file of captions", where=str(what), hint=hint)
    return None, find_captioner(None if what is None else os.fspath(what), home)


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


def _encoder_of(found: Found | None, spec: str | None, home: Home, device: str, events: Listener) -> ImageEncoder | None:
    """The captioner's encoder, or the one that was named for a file of captions."""
    if found is None:
        return load_encoder(spec, home=home, device=device, events=events) if spec else None
    entry = read_manifest(found.path).encoder
    loaded = load_encoder(entry.spec, home=home, device=device, events=events)
    check_encoder(loaded, entry.fingerprint)
    return loaded


def _from_file(file: Path, pictures: Pictures, columns: ReaderOptions, partial: bool, left_out: list[str], events: Listener) -> _Captions:
    captions, missing, strangers = one_each(
        read_predictions(file, columns), [image.name for image in pictures.images], [image.image_id for image in pictures.images]
    )
    if not captions:
        raise InputError(
            f"none of its pictures is in {pictures.name} ({pictures.split}); it names {listed(strangers)}",
            where=str(file),
            hint="Name the dataset and the split that these captions are of.",
        )
    told = [f"pictures without a caption: {listed(missing)}"] if missing else []
    told += [f"captions of pictures that are not in {pictures.name} ({pictures.split}): {listed(strangers)}"] if strangers else []
    if told and not partial:
        raise InputError("; ".join(told), where=str(file), hint="Bring what is missing, or score what both have with --partial.")
    for line in told:
        events(Note(f"left out, {line}", "warning"))
    left_out += missing
    return _Captions(captions, None, file, {"captions": file.name})


def _from_captioner(
    found: Found, pictures: Pictures, encoder: ImageEncoder, asking: Asking, left_out: list[str], *, home: Home, device: str, batch_size: int, events: Listener
) -> tuple[_Captions, Pictures]:
    if pictures.dataset is None:
        raise InputError("a captioner needs pictures, and a file of references has none", hint="Name a dataset with --dataset.")
    store = _embedded(pictures.dataset, pictures.split, encoder, events)
    there = store.places([image.image_id for image in pictures.images]) >= 0
    left_out += [image.name for image, has_one in zip(pictures.images, there, strict=True) if not has_one]
    images = [image for image, has_one in zip(pictures.images, there, strict=True) if has_one]
    if not images:
        raise InputError(f"no picture of {pictures.name} ({pictures.split}) could be embedded", hint=f"`clipcap embed {pictures.name}` tells why.")
    label = f"{pictures.name}-{pictures.split}"
    written = write_captions(found, images, store, asking, home=home, label=label, device=device, batch_size=batch_size, events=events)
    if written.were_there:
        events(Note(f"its captions were written before: {written.path}"))
    captions = dict(zip((image.name for image in images), written.captions, strict=True))
    return _Captions(captions, written.cut, written.path, _decoding(asking)), replace(pictures, images=images)


def _decoding(asking: Asking) -> dict[str, str]:
    """How captions were written, as a signature has it: the strategy, and whatever is not as by default."""
    decode, usual = asking.decode, Decode.model_validate({})
    told = {"beam": str(decode.beams)} if decode.strategy == "beam" else {"decode": decode.strategy}
    others = (key for key in Decode.model_fields if key not in ("strategy", "beams") and getattr(decode, key) != getattr(usual, key))
    drawn = {"seed": str(asking.seed)} if decode.strategy == "sample" else {}
    in_precision = {"precision": asking.precision} if asking.precision != "fp32" else {}
    return {**told, **{key: str(getattr(decode, key)) for key in others}, **drawn, **in_precision}


def _embedded(dataset: Dataset, split: str, encoder: ImageEncoder, events: Listener) -> EmbeddingStore:
    embedded = embed_dataset(dataset, encoder, split=split, events=events)
    for problem in embedded.problems[:1]:
        count = len(embedded.problems)
        events(Note(f"{count:,} of the pictures could not be embedded and are left out; the first: {problem.message}. {problem.remedy}", "warning"))
    return embedded.store


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
    store = _embedded(pictures.dataset, pictures.split, encoder, events)
    return ClipView(encoder, store, {image.name: image.image_id for image in pictures.images}, home, events)


def _baselines(
    judge: Judge, images: Sequence[Image], pictures: Pictures, learned: Learned | None, encoder: ImageEncoder | None, events: Listener
) -> tuple[System, ...]:
    references = {image.name: image.captions for image in images}
    found = []
    if people := {name: captions for name, captions in references.items() if len(captions) > 1}:
        chosen = dict(zip(people, human_captions(list(people.values())), strict=True))
        found.append(judge.system(HUMAN, {name: others for name, (_, others) in chosen.items()}, {name: text for name, (text, _) in chosen.items()}))
    if learned is None or not learned.images:
        return tuple(found)
    names = list(references)
    if encoder is None and pictures.dataset is not None:
        events(Note(f"{NEAREST} are left out: they need an encoder (--encoder SPEC)"))
    if encoder is not None and pictures.dataset is not None and learned.split != pictures.split and len(learned.images) > 1:
        captions, neighbours = _neighbours(images, pictures, learned, encoder, events)
        events(Note(f"{NEAREST}: each picture asks its {count(neighbours, 'nearest one')} of {len(learned.images):,} training pictures"))
        found.append(judge.system(NEAREST, references, dict(zip(names, captions, strict=True))))
    for name, captions in ((RANDOM, random_captions(learned.captions, len(names))), (FREQUENT, most_frequent(learned.captions, len(names)))):
        found.append(judge.system(name, references, dict(zip(names, captions, strict=True))))
    return tuple(found)


def _neighbours(images: Sequence[Image], pictures: Pictures, learned: Learned, encoder: ImageEncoder, events: Listener) -> tuple[list[str], int]:
    assert pictures.dataset is not None
    store = _embedded(learned.dataset, learned.split, encoder, events)
    _embedded(pictures.dataset, pictures.split, encoder, events)
    some = learned.images[:: -(-len(learned.images) // _GALLERY)]
    there = store.places([image.image_id for image in some]) >= 0
    gallery = [image for image, has_one in zip(some, there, strict=True) if has_one]
    return nearest_consensus(
        store.gather([image.image_id for image in images]), store.gather([image.image_id for image in gallery]), [image.captions for image in gallery]
    )


def _verdict(system: System, rivals: Sequence[System]) -> Difference | None:
    """How much better than its nearest neighbours it is."""
    nearest = next((rival for rival in rivals if rival.name == NEAREST), None)
    if nearest is None:
        return None
    name = main_metric(system)
    return compare([nearest.metric(name)], [system.metric(name)])[0]


def _warnings(scores: Scores, pictures: Pictures, learned: Learned | None, found: Found | None, judge: Judge) -> list[str]:
    told = []
    if len(scores.images) < _FEW:
        told.append(f"{count(len(scores.images), 'picture')}: under {_FEW}, scores of the same captioner differ widely from one set of pictures to the next")
    if sum(len(image.captions) == 1 for image in scores.images) > len(scores.images) / 2:
        told.append("most pictures have one reference: a good caption in other words scores as a wrong one")
    if learned and found and pictures.dataset:
        told += _leaks(scores, pictures, learned)
    part = scores.recipe.dataset if scores.recipe else None
    if part and (part.name, part.val) == (scores.dataset, scores.split):
        told.append(f"its best step was chosen on these pictures (split {scores.split}): they flatter it a little")
    if judge.clip and found and judge.clip.encoder.fingerprint == read_manifest(found.path).encoder.fingerprint:
        told.append(f"{judge.clip.encoder.spec} is the encoder that this captioner was trained on: it judges its own work, and CLIPScore and R@k come out high")
    if scores.language.collapse:
        told.append(f"mode collapse: {scores.language.collapse}")
    return told


def _leaks(scores: Scores, pictures: Pictures, learned: Learned) -> list[str]:
    if pictures.dataset and learned.dataset.name == pictures.dataset.name and learned.split == pictures.split:
        return [f"these pictures are those that it learned from (split {learned.split}): the scores say nothing about other pictures"]
    seen = {image.image_id for image in learned.images}
    shared = [image.name for image in scores.images if image.image_id in seen]
    return [f"pictures that it learned from are among these, {listed(shared)}"] if shared else []
