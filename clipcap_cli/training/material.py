"""What a run learns from and is validated on: the recipe's dataset, or its texts, with their embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from clipcap_cli.captioner.language_models import LanguageModel
from clipcap_cli.captioner.manifest import NAME as MANIFEST
from clipcap_cli.datasets.checking import require_whole
from clipcap_cli.datasets.dataset import Dataset, Image, open_dataset
from clipcap_cli.datasets.pairs import Pairs
from clipcap_cli.embeddings.pipeline import embed_dataset
from clipcap_cli.embeddings.rows import StoredRows
from clipcap_cli.embeddings.store import EmbeddingStore
from clipcap_cli.embeddings.texts import embed_texts
from clipcap_cli.encoders.base import ImageEncoder
from clipcap_cli.errors import InputError
from clipcap_cli.events import Listener, Note
from clipcap_cli.recipe import Recipe
from clipcap_cli.recipe.presets import PRESETS, preset_for
from clipcap_cli.storage.home import Home
from clipcap_cli.training.loop import planned_steps
from clipcap_cli.training.samples import Samples, collect_samples
from clipcap_cli.training.texts import pairs_of_texts, read_texts
from clipcap_cli.words import count

_OWN_CAPTIONS = "captions"  # dataset.texts: those of the dataset itself


@dataclass(frozen=True)
class Material:
    """What was gathered.

    Attributes:
        recipe: with what depends on the data settled.
        dataset: None where there are only texts.
        val: None where nothing is validated on.
        shown: pictures of the validation split, and the store with their embeddings.
    """

    recipe: Recipe
    dataset: Dataset | None
    samples: Samples
    val: Samples | None
    shown: list[Image]
    store: EmbeddingStore | None

    @property
    def source(self) -> str:
        """For people: "food v2", "captions.txt"."""
        name = f"{self.dataset.name} v{self.dataset.version}" if self.dataset else str(self.recipe.dataset.texts)
        return f"{name} (captions alone)" if self.dataset and self.recipe.dataset.texts else name


def open_material(recipe: Recipe, home: Home) -> Dataset | None:
    """The recipe's dataset; what is wrong with its name or splits is told before anything is loaded.

    Raises:
        InputError: there is no such dataset or split, or no name and nothing else to learn from.
        StoreError: the dataset is damaged.
    """
    part = recipe.dataset
    if part.name is None:
        if part.texts is None or part.texts == _OWN_CAPTIONS or part.val is not None:
            hint = "Add dataset.name=NAME to the command; `clipcap dataset list` lists them."
            if part.texts not in (None, _OWN_CAPTIONS):
                hint = "Name one to validate on (dataset.name=NAME), or set dataset.val=null."
            raise InputError("the recipe names no dataset", where="dataset.name", hint=hint)
        return None
    dataset = open_dataset(part.name, home=home, version=part.version)
    require_whole(dataset.folder)
    if part.train not in dataset.splits() and part.texts in (None, _OWN_CAPTIONS):
        raise InputError(f"dataset {dataset.name!r} has no split {part.train!r}", where="dataset.train", hint=_splits_hint(dataset))
    if part.val is not None and part.val not in dataset.splits():
        hint = f"{_splits_hint(dataset)} To train without validation: dataset.val=null."
        raise InputError(f"dataset {dataset.name!r} has no split {part.val!r}", where="dataset.val", hint=hint)
    return dataset


def gather(recipe: Recipe, dataset: Dataset | None, encoder: ImageEncoder, language_model: LanguageModel, home: Home, events: Listener) -> Material:
    """Embed what is missing, and put captions and embeddings together.

    Raises:
        InputError: there is nothing to learn from.
        MissingError: weights or a package are missing.
        StoreError: the store cannot be written.
    """
    store = _embedded(dataset, encoder, events) if dataset and (recipe.dataset.texts is None or recipe.dataset.val) else None
    if recipe.dataset.texts is not None:
        own = recipe.dataset.texts == _OWN_CAPTIONS
        texts = dataset.pairs(recipe.dataset.train).captions.to_pylist() if own and dataset else read_texts(recipe.dataset.texts)
        pairs, rows = _with_rows(pairs_of_texts(texts), embed_texts(texts, encoder, home, events))
    else:
        assert dataset is not None
        assert store is not None
        pairs, rows = _with_rows(dataset.pairs(recipe.dataset.train), store)
    recipe = _with_preset(recipe, len(pairs.captions))
    samples = collect_samples(pairs, rows, language_model, recipe.mapper.prefix_length, recipe.train.objective)
    _check(samples, recipe, dataset)
    val, shown = None, []
    if recipe.dataset.val and dataset and store:
        pairs, rows = _with_rows(dataset.pairs(recipe.dataset.val), store)
        if len(pairs.captions):
            val = collect_samples(pairs, rows, language_model, recipe.mapper.prefix_length, recipe.train.objective)
        there = {image_id.decode() for image_id in pairs.image_ids}
        shown = [image for image in dataset.images(recipe.dataset.val) if image.image_id in there]
    return Material(recipe, dataset, samples, val, shown, store)


def _embedded(dataset: Dataset, encoder: ImageEncoder, events: Listener) -> EmbeddingStore:
    embedded = embed_dataset(dataset, encoder, events=events)
    if embedded.problems:
        first = embedded.problems[0]
        events(Note(f"{count(len(embedded.problems), 'picture')} could not be embedded and left out; the first: {first.message}. {first.remedy}", "warning"))
    return embedded.store


def _with_rows(pairs: Pairs, store: EmbeddingStore) -> tuple[Pairs, StoredRows]:
    """The pairs that have an embedding, and where it lies."""
    places = store.places(pairs.image_ids)
    there = places >= 0
    return (pairs, store.at(places)) if there.all() else (pairs.of(there), store.at(places[there]))


def settled(recipe: Recipe, dataset: Dataset | None, encoder: ImageEncoder, language_model: LanguageModel) -> Recipe:
    """The recipe by which the same comes out later and from anywhere: the version of the dataset is named, and paths begin at the root."""
    texts = recipe.dataset.texts
    part = {"version": dataset.version if dataset else None, "texts": texts if texts in (None, _OWN_CAPTIONS) else str(Path(texts).expanduser().absolute())}
    start = Path(recipe.init).expanduser() if recipe.init else None
    return recipe.model_copy(
        update={
            "dataset": recipe.dataset.model_copy(update=part),
            "encoder": recipe.encoder.model_copy(update={"name": encoder.spec}),
            "language_model": recipe.language_model.model_copy(update={"name": language_model.name}),
            "init": str(start.absolute()) if start and (start / MANIFEST).is_file() else recipe.init,
        }
    )


def _with_preset(recipe: Recipe, captions: int) -> Recipe:
    """With `mapper.preset: auto` replaced by the preset it means; keys that were written out stay."""
    if recipe.mapper.preset != "auto":
        return recipe
    chosen = preset_for(captions)
    written = {key: getattr(recipe.mapper, key) for key in recipe.mapper.model_fields_set}
    return recipe.model_copy(update={"mapper": type(recipe.mapper).model_validate({**PRESETS[chosen], **written, "preset": chosen})})


def _check(samples: Samples, recipe: Recipe, dataset: Dataset | None) -> None:
    split = recipe.dataset.train
    if not len(samples) and dataset:
        raise InputError(f"split {split!r} of dataset {dataset.name!r} has no picture with a caption and an embedding", hint=_splits_hint(dataset))
    if not planned_steps(recipe, len(samples)):
        raise InputError(
            f"there are {len(samples):,} captions, fewer than one batch of {recipe.train.batch_size}, and the original objective drops what fills no batch",
            where="train.batch_size",
            hint=f"Set train.batch_size to {len(samples)} or less.",
        )


def _splits_hint(dataset: Dataset) -> str:
    return f"Its splits are {', '.join(f'{name} ({count:,} pictures)' for name, count in dataset.splits().items())}."
