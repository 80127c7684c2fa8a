"""The functions of the Python face that put others together."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from clipcap_cli.captioner.bundle import load_bundle
from clipcap_cli.captioner.captioner import Captioner
from clipcap_cli.captioner.models import find_captioner
from clipcap_cli.datasets.dataset import Dataset, open_dataset
from clipcap_cli.embeddings.pipeline import Embedded, embed_dataset
from clipcap_cli.encoders.registry import load_encoder
from clipcap_cli.evaluation.metrics.overlap import scorer
from clipcap_cli.events import Listener, silent
from clipcap_cli.recipe import Recipe
from clipcap_cli.storage.home import Home, open_home
from clipcap_cli.training.runs import Run
from clipcap_cli.training.train import train as train_run


def load(name: str | os.PathLike[str] | None = None, *, home: Home | None = None, device: str = "auto", precision: str = "fp32") -> Captioner:
    """Load a captioner.

    Args:
        name: a model's or run's name, or a bundle's folder; None for the model in use, else the newest run's best.
        home: the store; None for the usual one.
        device: "auto", "cpu", "cuda", ….
        precision: of the language model: "fp32", "bf16" (faster where the hardware has it; now and then another word) or "auto".

    Raises:
        InputError: there is no such captioner, or its bundle is not whole.
        MissingError: its language model is not here and cannot be had now.
    """
    home = home or open_home()
    found = find_captioner(None if name is None else os.fspath(name), home)
    return load_bundle(found.path, home=home, device=device, precision=precision)


def embed(
    dataset: Dataset | str,
    *,
    encoder: str = "openai:ViT-B/32",
    home: Home | None = None,
    batch_size: int = 32,
    workers: int | None = None,
    device: str = "auto",
    events: Listener = silent,
) -> Embedded:
    """Turn a dataset's pictures into vectors, but for those that have been already.

    Args:
        dataset: a dataset, or its name.
        encoder: its spec.
        home: the store; None for the dataset's own, or the usual one.
        batch_size: pictures that go through the encoder at once.
        workers: how many read and decode pictures; None for as many as there are cores.
        device: "auto", "cpu", "cuda", ….

    Returns:
        The store of embeddings, how many were made and how many were there, and what could not be embedded.

    Raises:
        InputError: there is no such dataset or encoder.
        MissingError: the encoder's weights or package are missing.
        StoreError: the store cannot be written.
    """
    if isinstance(dataset, str):
        dataset = open_dataset(dataset, home=home)
    loaded = load_encoder(encoder, home=dataset.home, device=device, events=events)
    return embed_dataset(dataset, loaded, batch_size=batch_size, workers=workers, events=events)


def train(
    recipe: Recipe | str | os.PathLike[str],
    overrides: Mapping[str, Any] | Iterable[str] = (),
    *,
    home: Home | None = None,
    device: str = "auto",
    events: Listener = silent,
) -> Run:
    """Train a captioner; the best of its validations is chosen by `train.select_by`.

    Args:
        recipe: a Recipe, a path, or the name of a shipped recipe.
        overrides: `{"train.epochs": 3}` or `["train.epochs=3"]`; only with a path or name.
        home: the store; None for the usual one.
        device: "auto", "cpu", "cuda", ….

    Returns:
        The run; `run.best` is the bundle. A run that was interrupted is returned too, with `run.info.status == "stopped"`.

    Raises:
        InputError: the recipe, the dataset or a model it names is wrong.
        MissingError: weights or a package are missing.
        StoreError: the store cannot be written.
    """
    return train_run(recipe, overrides, home=home, device=device, events=events, scorer=scorer)
