"""What is put into a store to be looked after, made without torch: it is only looked at."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mean_colour import ColourEncoder
from PIL import Image

from clipcap_cli.captioner.manifest import Manifest
from clipcap_cli.datasets.dataset import open_dataset
from clipcap_cli.embeddings.store import open_store
from clipcap_cli.evaluation.kept import FACTS, FILES, PREDICTIONS
from clipcap_cli.recipe import Recipe, dump_recipe
from clipcap_cli.storage.atomic import write_json, write_text
from clipcap_cli.storage.hashing import sha256_of_bytes, sha256_of_file
from clipcap_cli.storage.home import Home
from clipcap_cli.training.runs import Run, RunInfo


@dataclass(frozen=True)
class Store:
    """The store, and what was put into it."""

    home: Home
    pictures: Path
    embeddings: Path

    def embed(self, name: str) -> None:
        """Bring the embeddings of a dataset into the store."""
        images = open_dataset(name, home=self.home).images()
        open_store(self.home, ColourEncoder()).append([image.image_id for image in images], np.ones((len(images), 3), np.float32))


def draw(folder: Path, *colours: str) -> Path:
    """Pictures of these colours, with a caption each."""
    folder.mkdir(parents=True, exist_ok=True)
    for colour in colours:
        Image.new("RGB", (16, 16), colour).save(folder / f"{colour}.png")
        (folder / f"{colour}.txt").write_text(f"all {colour}\n")
    return folder


def make_bundle(folder: Path, what: str, *, info: dict[str, Any] | None = None) -> Path:
    """A captioner whose mapper is the bytes of `what`."""
    folder.mkdir(parents=True)
    (folder / "mapper.safetensors").write_text(what)
    manifest = Manifest.model_validate(
        {
            "format": 1,
            "clipcap": "0",
            "created": "2024-05-01T12:30:00+00:00",
            "encoder": {"spec": "efficientnet-lite0", "fingerprint": "c0105", "embedding_size": 3},
            "preparation": {"normalize": False, "standardize": False},
            "mapper": {},
            "language_model": {"name": "builtin:nano", "width": 8, "tuned": False, "inside": False, "content": "ab"},
            "decode": {},
            "info": info or {},
            "files": {"mapper.safetensors": sha256_of_bytes(what.encode())},
        }
    )
    write_text(folder / "captioner.json", manifest.model_dump_json(exclude_none=True))
    return folder


def make_run(home: Home, name: str, *, dataset: str, version: int, status: Any = "finished") -> Run:
    """A run with a bundle, a checkpoint and some figures."""
    run = Run(home, name)
    make_bundle(run.best, f"best of {name}")
    make_bundle(run.path / "checkpoints" / "step-00000002", f"checkpoint of {name}")
    resume = run.path / "checkpoints" / "step-00000002" / "resume"
    resume.mkdir()
    (resume / "tensors.safetensors").write_text("optimiser")
    write_json(resume / "state.json", {"files": {"tensors.safetensors": sha256_of_file(resume / "tensors.safetensors")}})
    write_text(run.path / "recipe.yaml", dump_recipe(Recipe.model_validate({"name": name})))
    (run.path / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2}\n')
    run.write_info(
        RunInfo(name, status, "2024-05-01T12:30:00+00:00", dataset, version, encoder="efficientnet-lite0", language_model="builtin:nano", planned_steps=2)
    )
    return run


def make_evaluation(home: Home, name: str, bundle: Path) -> Path:
    """What a captioner wrote."""
    folder = home.evaluations / name
    folder.mkdir(parents=True)
    manifest = json.loads((bundle / "captioner.json").read_text())
    write_json(folder / PREDICTIONS, [{"image_id": "red.png", "caption": "all red"}])
    write_json(folder / FACTS, {"captioner": {part: manifest[part] for part in ("encoder", "preparation", "mapper", "language_model", "files")}})
    write_json(folder / FILES, {"files": {part: sha256_of_file(folder / part) for part in (PREDICTIONS, FACTS)}})
    return folder
