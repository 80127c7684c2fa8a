"""What is known of a captioner where it was made, and should travel with it: its data, its recipe, and how good it was found to be.

All of it goes into `info` of captioner.json, from which the model card is written, so that it is still known where the bundle is exported again.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from clipcap_cli.captioner.manifest import Manifest, read_manifest
from clipcap_cli.captioner.models import Found
from clipcap_cli.datasets.dataset import Dataset, open_dataset
from clipcap_cli.errors import ClipcapError
from clipcap_cli.evaluation.pictures import TRAINING_SPLIT
from clipcap_cli.exports.measured import Measured, find_measured
from clipcap_cli.recipe import Recipe, dump_recipe
from clipcap_cli.storage.home import Home
from clipcap_cli.training.runs import Run


def gather_facts(found: Found, manifest: Manifest, home: Home, *, licence: str | None = None) -> dict[str, Any]:
    """What captioner.json should say of the captioner's making: its `info`, and all else that this store knows.

    Args:
        found: the captioner in `home`.
        licence: of the captioner, as its owner states it.
    """
    info = dict(manifest.info)
    recipe = _recipe_of(found, manifest, home)
    if recipe is not None:
        info["recipe"] = dump_recipe(recipe)
        dataset = _dataset_of(info, home)
        if dataset is not None:
            info["dataset"] = _told(dataset)
    data = info.get("dataset")
    name = str(data.get("name")) if isinstance(data, dict) else None
    part = recipe.dataset if recipe else None
    measured = find_measured(manifest, home, learned=(name, part.train if part else TRAINING_SPLIT))
    if measured:
        chosen_on = (name, part.val if part else None)
        here = [{**one.as_dict(), **({"chosen_on": True} if (one.dataset, one.split) == chosen_on else {})} for one in measured]
        info["scores"] = [*here, *_others(info.get("scores"), measured)]
        info["examples"] = measured[0].examples()
    if licence is not None:
        info["licence"] = licence
    return info


def _recipe_of(found: Found, manifest: Manifest, home: Home) -> Recipe | None:
    """The recipe of the run of this store that made the captioner. A run of the same name that made another does not count."""
    training = manifest.info.get("training")
    name = found.name if found.kind == "run" else training.get("run") if isinstance(training, dict) else None
    if name is None:
        return None
    run = Run(home, str(name))
    with suppress(ClipcapError):
        return run.recipe if read_manifest(run.best).files.items() <= manifest.files.items() else None
    return None


def _dataset_of(info: dict[str, Any], home: Home) -> Dataset | None:
    """The version that it learned from, if it is still here."""
    data = info.get("dataset")
    if not isinstance(data, dict):
        return None
    with suppress(ClipcapError):
        return open_dataset(str(data.get("name")), home=home, version=data.get("version"))
    return None


def _told(dataset: Dataset) -> dict[str, Any]:
    said = dataset.manifest.provenance
    here = f"{dataset.source.name} ({dataset.layout})"  # where it lies on this machine is nobody's business
    told = {"source": said.source or here, "licence": said.licence, "citation": said.citation}
    return {
        "name": dataset.name,
        "version": dataset.version,
        "pictures": dataset.pictures,
        "captions": dataset.captions,
        "splits": dataset.splits(),
        **{key: value for key, value in told.items() if value},
    }


def _others(before: object, measured: list[Measured]) -> list[dict[str, Any]]:
    """Scores that came with it, of other pictures than those that were found here."""
    here = {(one.dataset, one.version, one.split) for one in measured}
    scores = before if isinstance(before, list) else []
    return [one for one in scores if isinstance(one, dict) and (one.get("dataset"), one.get("version"), one.get("split")) not in here]
