"""The functions of the Python face that put others together."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from clipcap_cli.captioner.captioner import Captioner
from clipcap_cli.captioner.copies import load_copies
from clipcap_cli.captioner.models import find_captioner
from clipcap_cli.datasets.checking import require_whole
from clipcap_cli.datasets.dataset import Dataset, open_dataset
from clipcap_cli.embeddings.pipeline import Embedded, embed_dataset
from clipcap_cli.encoders.devices import Devices, choose_devices
from clipcap_cli.encoders.registry import load_encoders
from clipcap_cli.errors import InputError, StoreError
from clipcap_cli.evaluation.metrics.overlap import scorer
from clipcap_cli.events import Listener, Note, silent
from clipcap_cli.recipe import Recipe, load_recipe
from clipcap_cli.storage.home import Home, open_home
from clipcap_cli.training.lock import run_of
from clipcap_cli.training.runs import Run, find_run, is_recipe, list_checkpoints
from clipcap_cli.training.train import resume as resume_run
from clipcap_cli.training.train import train as train_run
from clipcap_cli.training.verifying import train_again


def load(
    name: str | os.PathLike[str] | None = None, *, home: Home | None = None, device: str = "auto", devices: Devices | None = None, precision: str = "fp32"
) -> Captioner:
    """Load a captioner.

    Args:
        name: a model's or run's name, or a bundle's folder; None for the model in use, else the newest run's best.
        home: the store; None for the usual one.
        device: "auto", "cpu", "cuda", ….
        devices: several instead, each with a copy of the captioner: how many, "auto" for all, or their names; `caption` shares pictures between them.
        precision: of the language model: "fp32", "bf16" (faster where the hardware has it; now and then another word) or "auto".

    Raises:
        UsageError: both device and devices were given.
        InputError: there is no such captioner or device, or its bundle is not whole.
        MissingError: its language model is not here and cannot be had now.
    """
    home = home or open_home()
    found = find_captioner(None if name is None else os.fspath(name), home)
    return load_copies(found.path, choose_devices(devices, device=device), home=home, precision=precision)


def embed(
    dataset: Dataset | str,
    *,
    encoder: str = "openai:ViT-B/32",
    home: Home | None = None,
    batch_size: int = 32,
    workers: int | None = None,
    device: str = "auto",
    devices: Devices | None = None,
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
        devices: several instead, each with a copy of the encoder: how many, "auto" for all, or their names.

    Returns:
        The store of embeddings, how many were made and how many were there, what could not be embedded, and what limited.

    Raises:
        UsageError: both device and devices were given.
        InputError: there is no such dataset, encoder or device, or a device has too little memory.
        MissingError: the encoder's weights or package are missing.
        StoreError: the dataset is damaged, or the store cannot be written.
    """
    if isinstance(dataset, str):
        dataset = open_dataset(dataset, home=home)
    require_whole(dataset.folder)
    loaded = load_encoders(encoder, choose_devices(devices, device=device), home=dataset.home, events=events)
    return embed_dataset(dataset, loaded, batch_size=batch_size, workers=workers, events=events)


def train(
    recipe: Recipe | str | os.PathLike[str],
    overrides: Mapping[str, Any] | Iterable[str] = (),
    *,
    resume: bool = False,
    from_step: int | None = None,
    stop_after: int | None = None,
    home: Home | None = None,
    device: str = "auto",
    events: Listener = silent,
) -> Run:
    """Train a captioner, make a run again, or go on with one; the best of its validations is chosen by `train.select_by`.

    Args:
        recipe: a Recipe, a path, the name of a shipped recipe, or a run: `runs/NAME`, its folder or, where no recipe has it, its name. A run is made again as a
            new one, and compared with it afterwards.
        overrides: `{"train.epochs": 3}` or `["train.epochs=3"]`; only with a path or name. A run with other values is another training, not made again.
        resume: go on with the run that is named, or with the newest of the recipe; where it has none, begin one. A run that has finished stays as it is.
        from_step: with `resume`: the checkpoint to go on from, instead of the newest.
        stop_after: stop after this many steps, to be gone on with.
        home: the store; None for the usual one.
        device: "auto", "cpu", "cuda", ….

    Returns:
        The run; `run.best` is the bundle. A run that was stopped is returned too, with `run.info.status == "stopped"`.

    Raises:
        InputError: the recipe, the dataset or a model it names is wrong; or data or weights of the run to be gone on with have changed.
        MissingError: weights or a package are missing.
        StoreError: the store cannot be written, or the run is training now.
    """
    home = (home or open_home()).prepare()
    how: dict[str, Any] = {"stop_after": stop_after, "device": device, "events": events, "scorer": scorer}
    overrides = dict(overrides) if isinstance(overrides, Mapping) else [*overrides]
    run = None if isinstance(recipe, Recipe) else find_run(os.fspath(recipe), home, first=resume and not overrides)
    if resume:
        if run is None:
            wanted = recipe if isinstance(recipe, Recipe) else load_recipe(recipe, overrides)
            run = run_of(wanted, home)
            if run is None:
                events(Note("there is no run of this recipe yet: one is begun"))
                return train_run(wanted, home=home, **how)
        elif overrides:
            raise InputError("a run that goes on keeps its recipe", where=run.name, hint="Leave the values out, or train anew.")
        elif from_step is None and recipe == run.name and is_recipe(run.name) and run.info.status == "finished":
            events(Note(f"this is the run {run.name!r}; `clipcap train {run.name}`, without --resume, trains the recipe of that name anew"))
        return resume_run(run, from_step=from_step, **how)
    if from_step is not None:
        raise InputError("a step to go on from needs a run to go on with", where="from_step", hint="Say resume too.")
    if run is None:
        wanted = recipe if isinstance(recipe, Recipe) else load_recipe(recipe, overrides)
        _tell_what_waits(wanted, home, events)
        return train_run(wanted, home=home, **how)
    if overrides:
        return train_run(run.path / "recipe.yaml", overrides, home=home, **how)
    return train_again(run, **how)[0]


def _tell_what_waits(recipe: Recipe, home: Home, events: Listener) -> None:
    """Say that a run of this very recipe could be gone on with, where one that begins anew may not be what was meant."""
    with suppress(StoreError):  # a damaged run is no reason not to train another
        run = run_of(recipe, home)
        if run is None or run.info.status not in ("stopped", "failed", "broken off"):
            return
        steps = [checkpoint.step for checkpoint in list_checkpoints(run) if checkpoint.can_resume]
        if steps:
            events(Note(f"the run {run.name!r} of this very recipe waits at step {steps[-1]:,}; to go on with it: clipcap train {run.name} --resume"))
