"""A store with something of each kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from mean_colour import ColourEncoder
from upkeep_tools import Store, draw, make_bundle, make_evaluation, make_run

from clipcap_cli.datasets.adding import add_dataset
from clipcap_cli.embeddings.store import open_store
from clipcap_cli.storage.atomic import write_json
from clipcap_cli.storage.hashing import sha256_of_file
from clipcap_cli.storage.home import Home


@pytest.fixture
def make() -> Callable[..., Path]:
    """Draw pictures into a folder."""
    return draw


@pytest.fixture
def store(home: Home, tmp_path: Path) -> Store:
    """Dataset food, of whose v1 run "first" was made and of v2 run "second"; its embeddings; a model, an evaluation, weights, a log."""
    pictures = draw(tmp_path / "food", "red", "green")
    add_dataset(pictures, home=home)
    made = Store(home, pictures, open_store(home, ColourEncoder()).folder)
    made.embed("food")
    draw(pictures, "blue")
    add_dataset(pictures, home=home)
    made.embed("food")
    make_run(home, "first", dataset="food", version=1)
    second = make_run(home, "second", dataset="food", version=2)
    make_bundle(home.models / "mine", "a model", info={"imported": {"file": "mine.pt"}})
    make_evaluation(home, "food-val-0123456789ab", second.best)
    weights = home.weights / "openai" / "mine.pt"
    weights.parent.mkdir(parents=True)
    weights.write_text("weights")
    stat = weights.stat()
    write_json(home.weights / "hashes.json", {str(weights): {"size": 7, "mtime_ns": stat.st_mtime_ns, "sha256": sha256_of_file(weights)}})
    home.logs.mkdir()
    (home.logs / "clipcap-1.log").write_text("a bug\n")
    return made
