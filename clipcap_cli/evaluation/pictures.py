"""Which pictures are evaluated, with which references, and what the captioner has learned from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipcap_cli.captioner.manifest import read_manifest
from clipcap_cli.captioner.models import Found
from clipcap_cli.datasets.checking import require_whole
from clipcap_cli.datasets.dataset import Dataset, Image, open_dataset
from clipcap_cli.datasets.records import ReaderOptions
from clipcap_cli.embeddings.pipeline import embed_dataset
from clipcap_cli.embeddings.store import EmbeddingStore
from clipcap_cli.encoders.base import ImageEncoder
from clipcap_cli.errors import InputError
from clipcap_cli.evaluation.predictions import grouped, read_predictions
from clipcap_cli.events import Listener, Note
from clipcap_cli.storage.home import Home
from clipcap_cli.training.runs import open_run

TRAINING_SPLIT = "train"


@dataclass(frozen=True)
class Pictures:
    """What is scored on.

    Attributes:
        dataset: None where references came from a file.
        name: of the dataset, or of the file.
        images: with their references.
    """

    dataset: Dataset | None
    name: str
    split: str
    images: list[Image]

    @property
    def told(self) -> str:
        """For people: "food (test)", "references.csv"."""
        return f"{self.name} ({self.split})" if self.dataset else self.name


@dataclass(frozen=True)
class Learned:
    """What a captioner was trained on: pictures with captions."""

    dataset: Dataset
    split: str
    images: list[Image]

    @property
    def captions(self) -> list[str]:
        """All of them."""
        return [caption for image in self.images for caption in image.captions]


def choose_pictures(found: Found | None, name: str | None, split: str | None, references: Path | None, options: ReaderOptions, home: Home) -> Pictures:
    """The pictures that are meant.

    Args:
        found: the captioner; None for a file of captions.
        name: of a dataset; None for the one that the captioner was trained on.
        split: None for "test".
        references: a file with references, in the place of a dataset.

    Raises:
        InputError: there is no such dataset, split or file, or it cannot be told which is meant.
    """
    if references is not None:
        if name is not None or split is not None:
            raise InputError("a file of references takes the place of a dataset", hint="Leave out --dataset and --split, or --references.")
        return _of_file(references, options)
    name = _trained_on(found, home) if name is None else name
    dataset = open_dataset(name, home=home)
    require_whole(dataset.folder)
    if split is None and "test" not in dataset.splits():
        raise InputError(f"the dataset {name!r} has no split 'test'", hint=f"Say which: --split {' or --split '.join(dataset.splits()) or 'NAME'}.")
    return Pictures(dataset, name, split or "test", _with_captions(dataset, split or "test"))


def what_was_learned(found: Found | None, pictures: Pictures, home: Home) -> Learned | None:
    """The training pictures of a captioner; of a file of captions, those that belong to the pictures; None where there are none."""
    if found is not None and found.kind == "run":
        part = open_run(found.name, home=home).recipe.dataset
        name, split = part.name, part.train
    elif found is not None:
        name, split = _info(found).get("name"), TRAINING_SPLIT
    else:
        name, split = pictures.dataset.name if pictures.dataset else None, TRAINING_SPLIT
    if name is None:
        return None
    try:
        dataset = open_dataset(name, home=home)
    except InputError:
        return None  # it was removed
    if split not in dataset.splits() or (found is None and split == pictures.split):
        return None
    return Learned(dataset, split, dataset.images(split))


def _of_file(path: Path, options: ReaderOptions) -> Pictures:
    images = [Image(number, None, name, None, 0, 0, captions) for name, number, captions in grouped(read_predictions(path, options))]
    return Pictures(None, path.name, path.stem, images)


def _with_captions(dataset: Dataset, split: str) -> list[Image]:
    images = dataset.images(split)
    if not images:
        raise InputError(f"the split {split!r} of {dataset.name!r} has no pictures", hint="`clipcap dataset show NAME` lists the splits.")
    return images


def _trained_on(found: Found | None, home: Home) -> str:
    if found is None:
        raise InputError("it is not said which pictures these captions are of", hint="Add --dataset NAME (`clipcap eval` also takes --references FILE).")
    name: str | None = _info(found).get("name")
    if name is None:
        raise InputError(f"the {found.kind} {found.name!r} does not say which dataset it was trained on", hint="Add --dataset NAME.")
    if not (home.datasets / name).is_dir():
        raise InputError(f"{found.name!r} was trained on the dataset {name!r}, which is not in this store", hint="Add --dataset NAME.")
    return name


def _info(found: Found) -> dict[str, Any]:
    """What the bundle says about the dataset that it was trained on."""
    info = read_manifest(found.path).info.get("dataset")
    return info if isinstance(info, dict) and isinstance(info.get("name"), str) else {}


def embedded(dataset: Dataset, split: str, encoder: ImageEncoder, events: Listener) -> EmbeddingStore:
    """The store with the embeddings of a split's pictures; what cannot be embedded is a warning.

    Raises:
        MissingError: the encoder's weights are missing.
        StoreError: the store cannot be written.
    """
    done = embed_dataset(dataset, encoder, split=split, events=events)
    for problem in done.problems[:1]:
        told = f"{len(done.problems):,} of the pictures could not be embedded and are left out; the first: {problem.message}. {problem.remedy}"
        events(Note(told, "warning"))
    return done.store
