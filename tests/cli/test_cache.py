from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from mean_colour import COLOURS, ColourEncoder
from PIL import Image

from clipcap_cli.datasets.adding import add_dataset
from clipcap_cli.embeddings.store import EmbeddingStore, open_store
from clipcap_cli.storage.home import Home


@pytest.fixture
def embeddings(home: Home, tmp_path: Path) -> EmbeddingStore:
    """The store of embeddings of a dataset of four pictures."""
    pictures = tmp_path / "colours"
    pictures.mkdir()
    for name, colour in COLOURS.items():
        Image.new("RGB", (8, 8), colour).save(pictures / f"{name}.png")
        (pictures / f"{name}.txt").write_text(f"all {name}\n")
    ids = [image.image_id for image in add_dataset(pictures, home=home).images()]
    store = open_store(home, ColourEncoder())
    store.append(ids, np.ones((4, 3), np.float32))
    return store


def test_an_empty_store_is_looked_at_and_not_made(clipcap, home):
    assert clipcap("cache", "info").code == 0
    assert "There is nothing yet." in clipcap("cache", "info").err
    assert "whole: there is nothing yet" in clipcap("cache", "verify").out
    assert "There is nothing to remove." in clipcap("cache", "prune").out
    assert not home.root.exists()


def test_info_has_kinds_encoders_sizes_and_times(clipcap, home, embeddings):
    said = clipcap("cache", "info")
    assert said.code == 0
    assert "efficientnet-lite0, fp32" in said.out
    stock = json.loads(clipcap("cache", "info", "--json").out)
    assert stock["path"] == str(home.root)
    assert stock["size_bytes"] == sum(path.stat().st_size for path in home.root.rglob("*") if path.is_file())
    [dataset] = [item for item in stock["items"] if item["kind"] == "datasets"]
    assert (dataset["name"], dataset["files"], dataset["parts"], dataset["encoder"]) == ("colours", 5, None, None)
    assert dataset["used"].startswith("20")
    assert f"embeddings {embeddings.folder.name}" in clipcap("cache", "info", "--all").out


def test_a_thousand_evaluations_are_told_in_a_few_lines(clipcap, home, embeddings):
    for number in range(1000):
        folder = home.evaluations / f"food-val-{number:012x}"
        folder.mkdir(parents=True)
        (folder / "predictions.json").write_text("[]")
    assert len(clipcap("cache", "info").out.splitlines()) < 20
    items = json.loads(clipcap("cache", "info", "--json").out)["items"]
    assert sum(item["kind"] == "evaluations" for item in items) == 1000


def test_verify_lists_all_that_is_damaged_with_what_to_type_and_ends_with_6(clipcap, home, embeddings):
    assert clipcap("cache", "verify").out.startswith("whole: 1 datasets, 1 embeddings")
    path = embeddings.folder / "vectors-00000.f16"
    path.write_bytes(b"\xff" + path.read_bytes()[1:])
    captions = home.datasets / "colours" / "v0001" / "captions.parquet"
    captions.write_bytes(b"")
    said = clipcap("cache", "verify")
    assert said.code == 6
    assert "2 things in the store are damaged" in said.err
    assert "`clipcap cache prune damaged` removes the one that can be made anew." in said.err
    assert f"embeddings {embeddings.folder.name}: {embeddings.folder}: rows 0 to 3: the bytes are not those that were written" in said.out
    assert f"datasets colours: {captions}: " in said.out
    assert "  clipcap dataset add " in said.out
    assert "--name colours --replace\n" in said.out
    found = json.loads(clipcap("cache", "verify", "--json").out)
    assert found["whole"] is False
    assert [finding["kind"] for finding in found["findings"]] == ["datasets", "embeddings"]
    assert clipcap("cache", "verify", "weights").code == 0
    assert clipcap("cache", "verify", "datsets").code == 3


def test_what_is_damaged_can_be_dropped_and_made_anew(clipcap, embeddings):
    path = embeddings.folder / "vectors-00000.f16"
    path.write_bytes(b"\xff" + path.read_bytes()[1:])
    assert clipcap("cache", "prune", "damaged", "--yes").code == 0
    assert clipcap("cache", "verify").code == 0
    assert len(embeddings) == 0


def test_checksums_can_be_given(clipcap, embeddings):
    assert clipcap("cache", "verify", "--add-checksums").code == 0
    assert json.loads(clipcap("cache", "verify", "--json").out)["without_checksums"] == 0


def test_prune_plans_first_and_removes_only_what_was_agreed_to(clipcap, home, embeddings):
    assert clipcap("cache", "prune").out == "There is nothing to remove.\n"
    assert clipcap("dataset", "remove", "colours", "--yes").code == 0
    said = clipcap("cache", "prune", "--dry-run")
    assert said.code == 0
    assert f"embeddings/{embeddings.folder.name}" in said.out
    assert "none of its pictures is in a dataset" in said.out
    assert "1 thing, " in said.out
    assert embeddings.folder.exists()
    said = clipcap("cache", "prune")
    assert said.code == 3
    assert "nothing was removed: there is no terminal to ask at" in said.err
    assert embeddings.folder.exists()
    planned = json.loads(clipcap("cache", "prune", "--dry-run", "--json").out)
    assert (planned["dry_run"], planned["removed"], planned["freed_bytes"]) == (True, [], 0)
    done = json.loads(clipcap("cache", "prune", "embeddings", "--yes", "--json").out)
    assert done["removed"] == planned["planned"]
    assert done["freed_bytes"] > 0
    assert not embeddings.folder.exists()
    assert clipcap("cache", "prune", "models").code == 3


def test_prune_takes_logs_of_the_age_that_is_asked_for(clipcap, home):
    home.prepare().logs.mkdir()
    log = home.logs / "clipcap-1.log"
    log.write_text("a bug\n")
    os.utime(log, (time.time() - 8 * 86_400,) * 2)
    assert clipcap("cache", "prune", "--yes").out == "There is nothing to remove.\n"
    assert clipcap("cache", "prune", "logs", "--older-than", 7, "--yes").code == 0
    assert not log.exists()
