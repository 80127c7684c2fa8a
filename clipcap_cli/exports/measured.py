"""How good a captioner was found to be: the captions that earlier evaluations kept, scored again (which takes seconds) with intervals.

Only captions that this very captioner wrote in its own way count: same files, its default decoding, fp32.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipcap_cli.captioner.manifest import ENCODER, LANGUAGE_MODEL, Manifest
from clipcap_cli.datasets.dataset import Dataset, Image, list_datasets
from clipcap_cli.errors import ClipcapError
from clipcap_cli.evaluation.captioning import pictures_hash
from clipcap_cli.evaluation.judge import Judge
from clipcap_cli.evaluation.kept import FACTS, PREDICTIONS
from clipcap_cli.evaluation.metrics.overlap import OVERLAP
from clipcap_cli.evaluation.scores import System
from clipcap_cli.storage.home import Home
from clipcap_cli.storage.names import name_from
from clipcap_cli.storage.reading import LARGEST_FILE, read_json

_DIGITS = 4  # behind the point, of scores
_EXAMPLES = 6
_ASKED = ("encoder", "preparation", "mapper", "language_model", "files")
_WHEREABOUTS = ("inside", "revision")
_NAMED = re.compile(r"(.+)-[0-9a-f]{12}")


@dataclass(frozen=True)
class Measured:
    """The scores of a captioner on a split.

    Attributes:
        images: with references.
        system: its captions of them, with metrics and intervals.
    """

    dataset: str
    version: int
    split: str
    images: list[Image]
    system: System

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        pairs = zip(self.system.metrics, self.system.intervals, strict=True)
        return {
            "dataset": self.dataset,
            "version": self.version,
            "split": self.split,
            "pictures": len(self.images),
            "references": sum(len(image.captions) for image in self.images),
            "metrics": {
                metric.name: {"score": round(metric.score, _DIGITS), "low": round(interval.low, _DIGITS), "high": round(interval.high, _DIGITS)}
                for metric, interval in pairs
            },
        }

    def examples(self) -> list[dict[str, str]]:
        """Some of the pictures, evenly taken, with what it wrote and what the first person did."""
        some = self.images[:: -(-len(self.images) // _EXAMPLES)]
        return [{"image": image.name, "caption": self.system.captions[image.name], "reference": image.captions[0]} for image in some]


def find_measured(manifest: Manifest, home: Home, *, learned: tuple[str | None, str]) -> list[Measured]:
    """What evaluations in the store say of the captioner: test splits first, of the dataset that it learned from before others.

    Args:
        learned: the dataset and the split that it learned from; how it does on these pictures tells nobody anything, and is left out.
    """
    found: dict[tuple[str, str], Measured] = {}
    folders = sorted(home.evaluations.iterdir()) if home.evaluations.is_dir() else []
    for folder in folders:
        captions = _captions(folder, manifest)
        for measured in _measured(folder, captions, home) if captions else ():
            if (measured.dataset, measured.split) != learned:
                found[measured.dataset, measured.split] = measured
    return sorted(found.values(), key=lambda one: (one.dataset != learned[0], one.split != "test", one.dataset, one.split))


def _captions(folder: Path, manifest: Manifest) -> dict[str, str] | None:
    """The captions kept in a folder by picture's name, if it is this captioner that wrote them."""
    try:
        facts = read_json(folder / FACTS)
        if _same(facts["captioner"]) != _same(manifest.model_dump(mode="json", include=set(_ASKED))):
            return None
        if facts["decode"] != manifest.decode.model_dump(mode="json") or facts["precision"] != "fp32":
            return None
        entries = read_json(folder / PREDICTIONS, LARGEST_FILE)
        return {str(entry["image_id"]): str(entry["caption"]) for entry in entries}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _same(captioner: dict[str, Any]) -> dict[str, Any]:
    """What decides about captions: whether stock weights lie in the bundle or outside does not."""
    parts = {part: {key: value for key, value in values.items() if key not in _WHEREABOUTS} for part, values in captioner.items()}
    stock = (f"{ENCODER}/",) if parts["language_model"]["tuned"] else (f"{ENCODER}/", f"{LANGUAGE_MODEL}/")
    return {**parts, "files": {path: sha256 for path, sha256 in parts["files"].items() if not path.startswith(stock)}}


def _measured(folder: Path, captions: dict[str, str], home: Home) -> Iterator[Measured]:
    """The scores of the captions, if the pictures are still those of a dataset of the store."""
    label = _NAMED.fullmatch(folder.name)
    expected = read_json(folder / FACTS).get("pictures")
    for dataset, split in _splits(label[1] if label else "", home):
        with suppress(ClipcapError):
            images = [image for image in dataset.images(split) if image.name in captions]
            if images and pictures_hash(images) == expected:
                told = {image.name: image.captions for image in images}
                yield Measured(dataset.name, dataset.version, split, images, Judge(OVERLAP).system(dataset.name, told, captions))


def _splits(label: str, home: Home) -> Iterator[tuple[Dataset, str]]:
    """The splits for which an evaluation's folder would be called so."""
    with suppress(ClipcapError):
        for dataset in list_datasets(home):
            yield from ((dataset, split) for split in dataset.splits() if name_from(f"{dataset.name}-{split}") == label)
